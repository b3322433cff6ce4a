/* The search for the largest acquisition: values, starts, the order of things.
 *
 * Source:  starts drawn by exp(a), as BoTorch does: Balandat et al., "BoTorch: a framework for
 *          efficient Monte-Carlo Bayesian optimization" (NeurIPS 2020), appendix F.
 * Checked: tests/bo/test_sampler_gp.c. */
#include "bo/acquire_inside.h"
#include "base/rng.h"
#include "bo/logei.h"
#include <math.h>
#include <string.h>

/* Starts that are climbed: a climb costs n^2 a step */
static int32_t starts_of(int32_t rows)
{
    return rows < 200 ? 5 : rows < 400 ? 4 : 3;
}

static const double near_known = 1e-9;

/* ln(1 - sigma / sqrt(variance + sigma2)) without cancellation; *slope: by the variance. */
static double share_of_news(double noise, double variance, double *slope)
{
    const double s2 = variance + noise, s = sqrt(s2), both = s + sqrt(noise);

    *slope = 1 / variance - 0.5 / s2 - 0.5 / (s * both);
    return log(variance / (s * both));
}

static double mean_of_sides(const double *mean, int32_t sides, int32_t stride)
{
    double sum = 0;

    for (int32_t s = 0; s < sides; s++) sum += mean[(int64_t)s * stride];
    return sum / sides;
}

double acquire_of(const acquire_task *task, const double *mean, int32_t stride, double variance)
{
    const int32_t sides = task->model->sides;
    const double sd = sqrt(variance);
    double most = -INFINITY, sum = 0, slope, news = 0;

    if (task->polish) return -mean_of_sides(mean, sides, stride);
    if (task->noise > 0) news = share_of_news(task->noise, variance, &slope);
    if (sides == 1) return logei(task->best[0], mean[0], sd, NULL, NULL) + news;
    for (int32_t s = 0; s < sides; s++) {
        const double a = logei(task->best[s], mean[(int64_t)s * stride], sd, NULL, NULL);

        if (a > most) sum = sum * exp(most - a) + 1, most = a;
        else sum += exp(a - most);
    }
    return most + log(sum / sides) + news;
}

/* slopes: dmean (sides x columns), dvariance (columns), mean (sides). */
static double value_at(const acquire_task *task, const double *z, double *slopes, double *gradient)
{
    const int32_t sides = task->model->sides, columns = task->model->shape.columns;
    double *dvariance = slopes + (int64_t)sides * columns, *mean = dvariance + columns;
    double variance, sum = 0, news = 0, slope = 0;

    gp_predict(task->model, z, mean, &variance, gradient ? slopes : NULL,
               gradient ? dvariance : NULL);
    const double a = acquire_of(task, mean, 1, variance), sd = sqrt(variance);

    if (!gradient) return a;
    for (int32_t c = 0; c < columns; c++) gradient[c] = 0;
    if (task->noise > 0) news = share_of_news(task->noise, variance, &slope);
    for (int32_t s = 0; s < sides; s++) {
        double dm = -1, ds = 0, weight = 1.0 / sides;

        if (!task->polish)
            weight *= exp(logei(task->best[s], mean[s], sd, &dm, &ds) + news - a);

        for (int32_t c = 0; c < columns; c++)
            gradient[c] += weight * dm * slopes[(int64_t)s * columns + c];
        sum += weight * ds;
    }
    for (int32_t c = 0; c < columns; c++)
        gradient[c] += (sum / (2 * sd) + slope) * dvariance[c];
    return a;
}

double acquire_value(const acquire_task *task, const double *z, double *gradient)
{
    enum { MOST = 4096 };
    double slopes[MOST];
    const int64_t size =
        (int64_t)task->model->sides * (task->model->shape.columns + 1) + task->model->shape.columns;

    return size <= MOST ? value_at(task, z, slopes, gradient) : -INFINITY;
}

bool acquire_within(const acquire_task *task, const double *z)
{
    const int32_t columns = task->code->columns;

    for (int32_t b = 0; b < task->n_balls; b++) {
        double r2 = 0;

        for (int32_t c = 0; c < columns; c++) {
            const double d = z[c] - task->balls[b].centre[c];

            r2 += d * d;
        }
        if (r2 < task->balls[b].radius * task->balls[b].radius) return true;
    }
    return false;
}

bool acquire_allowed(const acquire_task *task, const double *z)
{
    const int32_t columns = task->code->columns;

    if (acquire_within(task, z)) return false;
    for (int32_t i = 0; i < task->n_known; i++) {
        const double *other = task->known + (int64_t)i * columns;
        int32_t c = 0;

        while (c < columns && fabs(z[c] - other[c]) < near_known) c++;
        if (c == columns) return false;
    }
    return true;
}

/* Of the candidates not yet taken: the best, then by exp of the standardised a (Gumbel's trick: the
 * largest a + g is drawn with probability proportional to exp(a)). */
static int32_t next_start(acquire_work *w, int32_t start, double mean, double sd)
{
    const rng_key key = {w->task->seed, (uint32_t)w->task->number, rng_site("gp/starts")};
    double most = -INFINITY;
    int32_t best = -1;

    for (int32_t i = 0; i < w->m; i++) {
        if (!(w->a[i] > -INFINITY)) continue;
        double u = start ? rng_uniform(key, (uint64_t)i) : 0.5;
        double a = (w->a[i] - mean) / sd - (start ? log(-log(u + 0x1p-60)) : 0);

        if (a > most) most = a, best = i;
    }
    return best;
}

static void moments_of(const acquire_work *w, double *mean, double *sd)
{
    double sum = 0, square = 0;
    int32_t n = 0;

    for (int32_t i = 0; i < w->m; i++)
        if (w->a[i] > -INFINITY) sum += w->a[i], n++;
    *mean = n ? sum / n : 0;
    for (int32_t i = 0; i < w->m; i++)
        if (w->a[i] > -INFINITY) square += (w->a[i] - *mean) * (w->a[i] - *mean);
    *sd = square > 0 ? sqrt(square / n) : 1;
}

/* Starts whose way up leads into a closed ball lie on the slopes of a basin that is finished: the
 * best of them counts only where there is no other. */
static drmad_status climb_all(acquire_work *w, double *x, double *value, bool *found)
{
    const int32_t n = w->task->code->n, all = w->task->code->space->n;
    drmad_status st = DRMAD_OK;
    const int32_t starts = starts_of(w->task->model->n);
    bool strays = true;
    double mean, sd;

    *value = -INFINITY, *found = false;
    moments_of(w, &mean, &sd);
    for (int32_t start = 0, kept = 0; start < 2 * starts && kept < starts; start++) {
        const int32_t i = next_start(w, start, mean, sd);

        if (i < 0) break;
        spot s = {w->v + (int64_t)i * n, w->x + (int64_t)i * all,
                  w->z + (int64_t)i * w->task->code->columns, w->a[i], false};

        w->a[i] = -INFINITY;
        TRY(acquire_climb(w, &s));
        kept += !s.strays;
        if (*found && (s.strays && !strays)) continue;
        if (*found && s.strays == strays && !(s.value > *value)) continue;
        *value = s.value, *found = true, strays = s.strays;
        memcpy(x, s.x, sizeof *x * (size_t)all);
    }
done:
    return st;
}

drmad_status acquire(const acquire_task *task, double *x, double *value, bool *found)
{
    const size_t columns = (size_t)task->code->columns, sides = (size_t)task->model->sides;
    drmad_status st = DRMAD_OK;
    acquire_work w = {.task = task, .ctx = task->code->space->ctx};

    TRY(mem_alloc(w.ctx, (sides + 2) * (columns + 1), sizeof *w.slopes, &w.slopes));
    TRY(acquire_candidates(&w));
    TRY(climb_all(&w, x, value, found));
done:
    mem_free(w.ctx, w.v);
    mem_free(w.ctx, w.x);
    mem_free(w.ctx, w.z);
    mem_free(w.ctx, w.mean);
    mem_free(w.ctx, w.variance);
    mem_free(w.ctx, w.a);
    mem_free(w.ctx, w.slopes);
    return st;
}
