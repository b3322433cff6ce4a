/* How wide the grid's cells are.
 *
 * tau is fixed at t = 0 from the root mean square of the tensor. Steering it towards a given
 * rate of crossings was measured too and costs more bytes at equal cosine. It changes, by
 * doubling, in two cases only: the memory limit nears, or the tensor started at zero and still
 * grows. Nothing is rounded again then: the reader only needs "hat += n tau" with the tau of
 * that step.
 *
 * tau has 8 significant bits. Adding and taking it away then only ever drops the lowest bits of
 * w_0 once, when a weight grows past a power of two; walking back is exact to one unit in the
 * last place of the largest |hat_i|.
 *
 * An optimiser that divides by averaged squares moves all weights by about the rate, however large
 * they are; there tau is so many first steps long, and doubles while the largest tensor's steps
 * grow beyond it (warm-up). */
#include "train/traj_grid.h"
#include <math.h>

enum { SMALL_SHARE = 8, TAU_BITS = 8, UNARY_MAX = 32 };

/* tau / rms of large tensors, [quality][kinked]. grid.md section 6 gives .1 and .05 for all
 * tensors; .11 with 3/4 of it for biases and for tensors below 1/8 of the largest one takes 2 %
 * fewer bytes and has a better worst layer (MNIST tanh MLP, T = 1000, learning rate .3, three
 * seeds: cosine of the rates of the worst layer .977 instead of .931). Errors add up over long
 * runs: beyond 1000 steps tau shrinks with T^(-1/3) (T = 2000, momentum .95: cosine .996 instead
 * of .994). */
static const double tau_size[3][2] = {{.22, .11}, {.11, .055}, {.033, .033}};
static const double small_size = .75, long_run = 1000;
/* Scales of a norm start at 1 and hardly move beside that; the weights before and behind it grow,
 * and what they do shrinks with their size. LeNet with batch norm, T = 400
 * (bench/bench_grid_nets.c). */
static const double norm_size = .1;
/* In nets with norms few weights average less of their rounding out: tau goes with the power of a
 * tensor's count, and is a little larger for the largest. ResNet-8 on CIFAR-10, T = 1500, with
 * normed_size 1.2: smallest cosine .992, by small_size .986; 1.22 keeps a LeNet within 8 vectors
 * (bench/bench_grid_nets.c). */
static const double normed_size = 1.22, count_power = .4;
enum { FOLLOW = 8 };
/* tau over the root mean square of a usual step, [quality][kinked]; of small tensors a part of it.
 * MLP and LeNet-5 with AdamW: docs/RESULTS.md. */
static const double first_steps[3][2] = {{12, 2.5}, {6, 1.6}, {1.3, .5}};
static const double small_steps = .25, grown = .75;

double tau_relative(const traj_spec *s)
{
    double times = (double)s->steps / long_run;

    return tau_size[s->quality][s->kinked] / cbrt(times > 1 ? times : 1);
}

bool tau_normed(const traj_spec *s)
{
    for (int32_t i = 0; i < s->params->n; i++)
        if (s->params->at[i].role == PARAM_NORM) return true;
    return false;
}

int32_t tau_largest(const param_table *p)
{
    int32_t k = 0;

    for (int32_t i = 1; i < p->n; i++)
        if (p->at[i].count > p->at[k].count) k = i;
    return k;
}

void tau_cells(const traj_spec *s, grid *g)
{
    const param_table *p = s->params;
    const double largest = (double)p->at[g->largest].count;

    for (int32_t i = 0; i < p->n; i++) {
        cell *c = &g->at[i];
        const double count = (double)p->at[i].count;
        c->span = (code_span){p->at[i].offset, (p->at[i].count + 15) / 16 * 16, 0};
        c->small = count < largest / SMALL_SHARE || p->at[i].role != PARAM_WEIGHT;
        c->size = tau_relative(s);
        if (g->normed) c->size *= normed_size * pow(count / largest, count_power);
        else if (c->small) c->size *= small_size;
        if (p->at[i].role == PARAM_NORM) c->size *= norm_size;
    }
}

/* Of tensor i, from a device's sums where the host does not see w. */
static double sum_squares(const trajectory *tr, const void *w, int32_t i)
{
    const grid *g = tr->kept;
    const param *p = &tr->spec.params->at[i];
    double sum = 0;

    if (!w) return g->sum[i];
    for (int64_t k = 0; k < p->count; k++) {
        double x = dtype_get(tr->spec.dtype, w, p->offset + k);
        sum += x * x;
    }
    return sum;
}

/* Root mean square that sets tau of tensor `i`: a weight's own; else, or where that is zero, of
 * its layer's weights, or of weight and bias of a norm; where those are zero too or absent, its own
 * again. */
static double scale_of(const trajectory *tr, const void *w, int32_t i)
{
    const traj_spec *s = &tr->spec;
    const param *p = &s->params->at[i], *q = s->params->at;
    double own = sqrt(sum_squares(tr, w, i) / (double)(p->count ? p->count : 1)), sum = 0;
    int64_t count = 0;

    if (p->role == PARAM_WEIGHT && own != 0) return own;
    for (int32_t j = 0; j < s->params->n; j++) {
        const bool scales = q[j].role == PARAM_WEIGHT || q[j].role == PARAM_NORM;
        if (q[j].layer != p->layer || !scales) continue;
        sum += sum_squares(tr, w, j);
        count += q[j].count;
    }
    return sum != 0 ? sqrt(sum / (double)count) : own;
}

static double few_bits(double x)
{
    int e;
    double m = frexp(x, &e);

    return ldexp(rint(ldexp(m, TAU_BITS)), e - TAU_BITS);
}

/* The first tau, and its growth for a tensor that started at zero. */
static drmad_status set_tau(trajectory *tr, int32_t i, const void *w, int64_t t)
{
    grid *g = tr->kept;
    cell *c = &g->at[i];
    const param *p = &tr->spec.params->at[i];

    if (p->role == PARAM_STAT) return DRMAD_OK; /* no step backwards reads them: tau stays 0 */
    double tau = c->size * scale_of(tr, w, i);

    if (!w && !isfinite(tau)) return DRMAD_OK; /* the device's pass finds it */
    for (int64_t j = 0; j < p->count && !isfinite(tau); j++)
        if (!isfinite(dtype_get(tr->spec.dtype, w, p->offset + j)))
            return grid_lost(tr, i, j, false, t);
    if (c->span.tau == 0) c->span.tau = few_bits(tau);
    for (; tau >= 2 * c->span.tau && tau > 0 && c->doubled < UNARY_MAX; c->doubled++)
        c->span.tau *= 2;
    return DRMAD_OK;
}

drmad_status tau_begin(trajectory *tr, const void *w)
{
    grid *g = tr->kept;

    for (int32_t i = 0; i < tr->spec.params->n; i++) {
        const param_role role = tr->spec.params->at[i].role;
        if (role == PARAM_STAT) continue; /* the adjoint does not read them: no grid */
        drmad_status st = set_tau(tr, i, w, 0);
        if (st != DRMAD_OK) return st;
        g->at[i].late = g->at[i].span.tau == 0;
        g->at[i].follows = role == PARAM_WEIGHT && tr->spec.first_step == 0 && g->normed;
        g->at[i].expected = (double)g->at[i].span.count / 64; /* soon replaced by what is counted */
    }
    return DRMAD_OK;
}

/* The root mean square of what has moved since the start; 0 for nothing. */
static double first_step(const trajectory *tr, int32_t i, const void *w)
{
    const grid *g = tr->kept;
    const param *p = &tr->spec.params->at[i];
    double sum = 0;
    int64_t moved = 0;

    for (int64_t j = p->offset; j < p->offset + p->count; j++) {
        const double d = dtype_get(tr->spec.dtype, w, j) - dtype_get(tr->spec.dtype, g->hat[0], j);
        sum += d * d;
        moved += d != 0;
    }
    return moved > 0 && isfinite(sum) ? sqrt(sum / (double)moved) : 0;
}

/* tau by the first step, before anything is rounded to it; later twice as large where most weights
 * cross in each step. Most of a small tensor's are meant to: it follows the largest one. */
static void fit_tau(trajectory *tr, int32_t i, const void *w, int64_t t)
{
    const traj_spec *s = &tr->spec;
    grid *g = tr->kept;
    cell *c = &g->at[i];

    if (t > 1) {
        if (c->small ? g->swell : c->share > grown) c->span.tau *= 2, c->doubled++;
        return;
    }
    const double steps = first_steps[s->quality][s->kinked] * (c->small ? small_steps : 1);
    const double tau = few_bits(steps / s->first_step * first_step(tr, i, w));
    if (tau > 0 && (tau < c->span.tau || !g->normed)) c->span.tau = tau;
}

static drmad_status choose_one(trajectory *tr, int32_t i, const void *w, int64_t t)
{
    const grid *g = tr->kept;
    cell *c = &g->at[i];
    drmad_status st = DRMAD_OK;

    c->doubled = 0;
    if (tr->spec.first_step > 0 && c->span.tau > 0 && !c->late) fit_tau(tr, i, w, t);
    if (c->late || (c->follows && t % FOLLOW == 0)) TRY(set_tau(tr, i, w, t));
    if (g->coarsen && c->span.tau > 0 && c->doubled < UNARY_MAX) c->span.tau *= 2, c->doubled++;
done:
    return st;
}

drmad_status tau_choose(trajectory *tr, const void *w, int64_t t)
{
    grid *g = tr->kept;
    drmad_status st = DRMAD_OK;

    g->swell = g->at[g->largest].share > grown;
    for (int32_t i = 0; i < tr->spec.params->n; i++) TRY(choose_one(tr, i, w, t));
done:
    return st;
}

bool tau_wants_weights(const trajectory *tr, int64_t t)
{
    return t == 0 || (t == 1 && tr->spec.first_step > 0);
}

bool tau_wants_sums(const trajectory *tr, int64_t t)
{
    const grid *g = tr->kept;
    bool wants = false;

    for (int32_t i = 0; i < tr->spec.params->n; i++)
        wants = wants || g->at[i].late || (g->at[i].follows && t % FOLLOW == 0);
    return wants;
}
