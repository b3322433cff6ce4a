/* CMA-ES, updates and draws.
 *
 *   v = m + sigma A y,  y ~ N(0, C)          A diagonal: 1 but where a margin has widened it
 *   m, sigma, C, the paths p_sigma, p_c: figure 6 of the tutorial, with its negative weights and
 *   the constants of its table 1
 *
 * A member from elsewhere (an earlier distribution, a user) is cut to a Mahalanobis length of
 * sqrt d + 2 d / (d + 2). What is not known of a member is drawn from the present distribution of
 * its coordinate, cut to what is known: so an unknown coordinate neither shrinks nor grows C.
 *
 * Source:  Hansen, "The CMA evolution strategy: a tutorial", arXiv 1604.00772; the cut: Hansen,
 *          "Injecting external solutions into CMA-ES", arXiv 1110.4181, section 3; the margin:
 *          Hamano, Saito, Nomura, Shirakawa, "CMA-ES with margin", GECCO 2022, section 4.
 * Differs: Hamano's update uses the reals behind the integers, which a history does not have: they
 *          are drawn anew within the cell. Its margin takes what the neighbours lack from all
 *          other cells in proportion; ours takes it from the mean's cell.
 * Checked: tests/bo/test_cmaes.c. */
#include "bo/cma.h"
#include "space/search.h"
#include <math.h>
#include <string.h>

struct cma {
    drmad_ctx *ctx;
    const linalg *lin;
    int32_t d, size, parents, generation;
    double mu_eff, c_sigma, d_sigma, c_c, c_1, c_mu, chi;
    double *weights; /* of the ranks */
    double sigma;
    double *mean, *widen, *p_sigma, *p_c, *step, *white; /* d each; the last two: work */
    double *c, *vectors, *values;                        /* C = V diag(values) V' */
    double *y;                                           /* size x d: work */
};

static const double SIGMA = 0.3, SPENT = 1e-8;

/* ---- constants: table 1 ---- */

int32_t cma_size(int32_t d)
{
    return 4 + (int32_t)floor(3 * log(d));
}

static void set_rates(cma *c)
{
    const double n = c->d, m = c->mu_eff;

    c->c_sigma = (m + 2) / (n + m + 5);
    c->d_sigma = 1 + 2 * fmax(0, sqrt((m - 1) / (n + 1)) - 1) + c->c_sigma;
    c->c_c = (4 + m / n) / (n + 4 + 2 * m / n);
    c->c_1 = 2 / ((n + 1.3) * (n + 1.3) + m);
    c->c_mu = fmin(1 - c->c_1, 2 * (0.25 + m + 1 / m - 2) / ((n + 2) * (n + 2) + m));
    c->chi = sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
}

static double effective(const double *w, int32_t n)
{
    double sum = 0, squares = 0;

    for (int32_t i = 0; i < n; i++) sum += w[i], squares += w[i] * w[i];
    return squares > 0 ? sum * sum / squares : 0;
}

static void set_weights(cma *c)
{
    double *w = c->weights, up = 0, down = 0;

    for (int32_t i = 0; i < c->size; i++) w[i] = log((c->size + 1) / 2.0) - log(i + 1);
    c->parents = c->size / 2;
    c->mu_eff = effective(w, c->parents);
    set_rates(c);
    const double against = effective(w + c->parents, c->size - c->parents);
    const double most = fmin(fmin(1 + c->c_1 / c->c_mu, 1 + 2 * against / (c->mu_eff + 2)),
                             (1 - c->c_1 - c->c_mu) / (c->d * c->c_mu));

    for (int32_t i = 0; i < c->size; i++) *(w[i] >= 0 ? &up : &down) += fabs(w[i]);
    for (int32_t i = 0; i < c->size; i++) w[i] *= w[i] >= 0 ? 1 / up : most / down;
}

drmad_status cma_new(drmad_ctx *ctx, const linalg *lin, int32_t d, cma **out)
{
    drmad_status st = DRMAD_OK;
    const size_t n = (size_t)d, size = (size_t)cma_size(d);
    cma *c = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *c, &c));
    *c = (cma){.ctx = ctx, .lin = lin, .d = d, .size = (int32_t)size};
    TRY(mem_alloc(ctx, size + 7 * n + 2 * n * n + size * n, sizeof(double), &c->weights));
    c->mean = c->weights + size, c->widen = c->mean + n, c->p_sigma = c->widen + n;
    c->p_c = c->p_sigma + n, c->step = c->p_c + n, c->white = c->step + n;
    c->values = c->white + n, c->c = c->values + n, c->vectors = c->c + n * n;
    c->y = c->vectors + n * n;
    set_weights(c);
    *out = c, c = NULL;
done:
    cma_free(c);
    return st;
}

void cma_free(cma *c)
{
    if (!c) return;
    mem_free(c->ctx, c->weights);
    mem_free(c->ctx, c);
}

void cma_start(cma *c, const double *mean)
{
    const size_t n = (size_t)c->d;

    c->sigma = SIGMA, c->generation = 0;
    memset(c->c, 0, 2 * n * n * sizeof(double)); /* and the vectors */
    for (size_t i = 0; i < n; i++) {
        c->mean[i] = mean[i], c->widen[i] = c->values[i] = 1;
        c->p_sigma[i] = c->p_c[i] = 0;
        c->c[i * n + i] = c->vectors[i * n + i] = 1;
    }
}

const double *cma_mean(const cma *c)
{
    return c->mean;
}

double cma_sd(const cma *c, int32_t i)
{
    return c->sigma * c->widen[i] * sqrt(c->c[i * c->d + i]);
}

/* ---- draws ---- */

void cma_draw(const cma *c, rng_key key, uint64_t element, double *v)
{
    const int32_t n = c->d;

    for (int32_t i = 0; i < n; i++) v[i] = 0;
    for (int32_t k = 0; k < n; k++) {
        const double z = sqrt(c->values[k]) * rng_normal(key, element + (uint64_t)k);

        for (int32_t i = 0; i < n; i++) v[i] += c->vectors[i * n + k] * z;
    }
    for (int32_t i = 0; i < n; i++) v[i] = c->mean[i] + c->sigma * c->widen[i] * v[i];
}

/* ---- update ---- */

/* c->white = V' y / sqrt(values), of the length of C^-1/2 y; gives that length. */
static double whiten(cma *c, const double *y)
{
    double square = 0;

    for (int32_t k = 0; k < c->d; k++) {
        double sum = 0;

        for (int32_t i = 0; i < c->d; i++) sum += c->vectors[i * c->d + k] * y[i];
        c->white[k] = sum / sqrt(c->values[k]);
        square += c->white[k] * c->white[k];
    }
    return sqrt(square);
}

/* y of one member. */
static void step_of(cma *c, const cma_span *member, rng_key key, uint64_t element, double *y)
{
    const double longest = sqrt(c->d) + 2.0 * c->d / (c->d + 2);

    for (int32_t i = 0; i < c->d; i++) {
        const double m = c->mean[i], sd = cma_sd(c, i), u = rng_uniform(key, element + (uint64_t)i);
        double v = member[i].from;

        if (member[i].from < member[i].to)
            v = m + sd * search_cut_normal(u, (member[i].from - m) / sd, (member[i].to - m) / sd);
        y[i] = (v - m) / (c->sigma * c->widen[i]);
    }
    const double length = whiten(c, y);

    for (int32_t i = 0; length > longest && i < c->d; i++) y[i] *= longest / length;
}

/* c->step = sum of the weighted steps of the parents, whose weights are to sum to 1. */
static void recombine(cma *c, int32_t m)
{
    const int32_t parents = m < c->parents ? m : c->parents;
    double sum = 0;

    memset(c->step, 0, (size_t)c->d * sizeof *c->step);
    for (int32_t k = 0; k < parents; k++) sum += c->weights[k];
    for (int32_t k = 0; k < parents; k++)
        for (int32_t i = 0; i < c->d; i++) c->step[i] += c->weights[k] / sum * c->y[k * c->d + i];
}

/* The mean, both paths and sigma; gives h_sigma. */
static bool walk(cma *c)
{
    const double keep = 1 - c->c_sigma, gain = sqrt(c->c_sigma * (2 - c->c_sigma) * c->mu_eff);
    const double gain_c = sqrt(c->c_c * (2 - c->c_c) * c->mu_eff);
    double square = 0;

    whiten(c, c->step);
    for (int32_t i = 0; i < c->d; i++) {
        double back = 0; /* C^-1/2 step */

        for (int32_t k = 0; k < c->d; k++) back += c->vectors[i * c->d + k] * c->white[k];
        c->p_sigma[i] = keep * c->p_sigma[i] + gain * back;
        square += c->p_sigma[i] * c->p_sigma[i];
    }
    const double length = sqrt(square), settled = 1 - pow(keep, 2.0 * ++c->generation);
    const bool h = length / sqrt(settled) < (1.4 + 2 / (c->d + 1.0)) * c->chi;

    for (int32_t i = 0; i < c->d; i++) {
        c->mean[i] += c->sigma * c->widen[i] * c->step[i];
        c->mean[i] = fmin(fmax(c->mean[i], 0), 1);
        c->p_c[i] = (1 - c->c_c) * c->p_c[i] + h * gain_c * c->step[i];
    }
    c->sigma = fmin(c->sigma * exp(c->c_sigma / c->d_sigma * (length / c->chi - 1)), 1);
    return h;
}

static void adapt(cma *c, int32_t m, bool h)
{
    const int32_t n = c->d;
    double sum = 0;

    for (int32_t k = 0; k < m; k++) sum += c->weights[k];
    const double delta = h ? 0 : c->c_c * (2 - c->c_c);
    const double keep = 1 + c->c_1 * delta - c->c_1 - c->c_mu * sum;

    for (int32_t i = 0; i < n * n; i++) c->c[i] *= keep;
    for (int32_t k = -1; k < m; k++) {
        const double *y = k < 0 ? c->p_c : c->y + k * n;
        double w = k < 0 ? c->c_1 : c->c_mu * c->weights[k];

        if (w < 0) {
            const double length = whiten(c, y);

            w *= n / fmax(length * length, 1e-300);
        }
        for (int32_t i = 0; i < n; i++)
            for (int32_t j = 0; j < n; j++) c->c[i * n + j] += w * y[i] * y[j];
    }
}

/* Whether the numbers are of use for more draws. */
static bool sound(const cma *c)
{
    double widest = 0;

    for (int32_t i = 0; i < c->d; i++) widest = fmax(widest, cma_sd(c, i));
    return c->values[0] > 1e-14 * c->values[c->d - 1] && widest > SPENT && isfinite(widest);
}

drmad_status cma_update(cma *c, int32_t m, const cma_span *members, rng_key key,
                        const uint64_t *elements)
{
    const size_t n = (size_t)c->d;
    drmad_status st = DRMAD_OK;

    if (m == 0) return st;
    for (int32_t k = 0; k < m; k++)
        step_of(c, members + k * c->d, key, elements[k], c->y + k * c->d);
    recombine(c, m);
    adapt(c, m, walk(c));
    memcpy(c->vectors, c->c, n * n * sizeof *c->c);
    st = linalg_eigen(c->lin, c->d, c->vectors, c->d, c->values);
    if (st == DRMAD_E_NOMEM) return st;
    if (st != DRMAD_OK || !sound(c)) {
        for (size_t i = 0; i < n; i++) c->step[i] = rng_uniform(key, elements[0] + n + i);
        cma_start(c, c->step);
    }
    return DRMAD_OK;
}

/* ---- margin ---- */

static double beyond(double z)
{
    return 0.5 * erfc(z / M_SQRT2);
}

void cma_margin(cma *c, int32_t i, cma_span cell)
{
    const double least = 0.5 / (c->d * c->size), sd = cma_sd(c, i), m = c->mean[i];
    double under = beyond((m - cell.from) / sd), over = beyond((cell.to - m) / sd);

    if (isinf(cell.from) && isinf(cell.to)) return;
    if (isinf(cell.from) || isinf(cell.to)) { /* one neighbour: the mean comes nearer */
        const double far = -search_cut_normal(2 * least, -INFINITY, INFINITY) * sd;

        if (isinf(cell.from)) c->mean[i] = fmax(m, cell.to - far);
        else c->mean[i] = fmin(m, cell.from + far);
        return;
    }
    if (under >= least && over >= least) return;
    under = fmin(fmax(under, least), 0.5), over = fmin(fmax(over, least), 0.5);
    const double left = -search_cut_normal(under, -INFINITY, INFINITY);
    const double right = -search_cut_normal(over, -INFINITY, INFINITY);
    const double wide = (cell.to - cell.from) / fmax(left + right, 1e-3);

    c->mean[i] = cell.from + left * wide;
    c->widen[i] *= wide / sd;
}
