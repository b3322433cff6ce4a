/* grid: w_t rounded to a grid around w_0, kept as the crossings from cell to cell.
 *
 *   hat_0 = w_0;   each step, for every weight with |w_i - hat_i| > tau/2:
 *   n = rint((w_i - hat_i) / tau),  hat_i += n tau,  log (i, n)
 *
 * and backwards hat_i -= n tau. So |w_i - hat_i| <= tau/2 at every t, and the rounding errors of
 * different weights and steps are unrelated; that, not their size, is what keeps the
 * hypergradient (no hysteresis, no smoothing, no dither: each was measured and hurts). Source:
 * our own measurements, bench/grid_study.py.
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
 * grow beyond it (warm-up). Its averaged squares are kept beside the weights, as cells
 * (traj_cells.h); of the other buffers nothing is.
 *
 * Walking back is in traj_grid_back.c.
 *
 * Record of step t in the log: [sign masks of step t, t < T] [for each tensor: doublings of tau
 * in unary, k, events of t-1 -> t]. */
#include "train/traj_grid.h"
#include <math.h>
#include <string.h>

enum { SMALL_SHARE = 8, TAU_BITS = 8, RATE_MEMORY = 8, UNARY_MAX = 32 };

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

static double size_for(const traj_spec *s)
{
    double times = (double)s->steps / long_run;

    return tau_size[s->quality][s->kinked] / cbrt(times > 1 ? times : 1);
}

static void choose_scan(grid *g)
{
    static const struct {
        traj_scan_f32_fn *f32;
        traj_scan_f64_fn *f64;
    } table[ISA_COUNT] = {{traj_scan_f32_portable, traj_scan_f64_portable},
                          {traj_scan_f32_avx2, traj_scan_f64_avx2},
                          {traj_scan_f32_avx512, traj_scan_f64_avx512}};
    cpu_isa isa = cpu_isa_best();

    g->scan_f32 = table[isa].f32;
    g->scan_f64 = table[isa].f64;
}

static bool normed(const traj_spec *s)
{
    for (int32_t i = 0; i < s->params->n; i++)
        if (s->params->at[i].role == PARAM_NORM) return true;
    return false;
}

static int32_t largest_of(const param_table *p)
{
    int32_t k = 0;

    for (int32_t i = 1; i < p->n; i++)
        if (p->at[i].count > p->at[k].count) k = i;
    return k;
}

static void make_cells(const traj_spec *s, grid *g)
{
    const param_table *p = s->params;
    const double largest = (double)p->at[g->largest].count;

    for (int32_t i = 0; i < p->n; i++) {
        cell *c = &g->at[i];
        const double count = (double)p->at[i].count;
        c->span = (code_span){p->at[i].offset, (p->at[i].count + 15) / 16 * 16, 0};
        c->small = count < largest / SMALL_SHARE || p->at[i].role != PARAM_WEIGHT;
        c->size = size_for(s);
        if (g->normed) c->size *= normed_size * pow(count / largest, count_power);
        else if (c->small) c->size *= small_size;
        if (p->at[i].role == PARAM_NORM) c->size *= norm_size;
    }
}

static drmad_status hold_device(trajectory *tr, grid *g)
{
    const bool squares = tr->spec.squares > 0;
    drmad_status st = DRMAD_OK;

    for (int k = 0; k < 1 + squares && !tr->spec.on->host; k++)
        TRY(traj_hold(tr, traj_vector_bytes(&tr->spec), 1, &g->stage[k]));
    TRY(cross_new(tr, &g->cross));
    if (g->cross) TRY(traj_hold(tr, (size_t)tr->spec.params->n, sizeof *g->tau, &g->tau));
    for (int k = g->cross ? 2 : 0; k < 2 + squares && !tr->spec.on->host; k++)
        TRY(traj_hold_vectors(tr, 1, &g->there[k]));
done:
    return st;
}

static drmad_status grid_open(trajectory *tr)
{
    drmad_status st = DRMAD_OK;
    const traj_spec *s = &tr->spec;
    grid *g;

    TRY(traj_hold(tr, 1, sizeof *g, &g));
    tr->kept = g;
    g->mask_words = (s->mask_bytes + 3) / 4;
    TRY(traj_hold(tr, (size_t)s->steps + 1, sizeof *g->start, &g->start));
    TRY(traj_hold(tr, (size_t)s->params->n, sizeof *g->at, &g->at));
    TRY(traj_hold(tr, traj_vector_bytes(s), 1, &g->hat[0]));
    TRY(traj_hold(tr, traj_vector_bytes(s), 1, &g->hat[1]));
    TRY(traj_hold(tr, g->mask_words, sizeof *g->masks, &g->masks));
    TRY(hold_device(tr, g));
    if (s->squares) TRY(cells_open(tr, &g->squares));
    g->fixed = tr->stats.bytes_held;
    g->normed = normed(s);
    g->largest = largest_of(s->params);
    if (s->first_step > 0 && s->kinked && !g->normed && s->quality != QUALITY_HIGH)
        base_log(
            tr->ctx, LOG_WARN,
            "trajectory grid: with averaged squares and kinks, but without norms, "
            "hypergradients were not close on every run (cosine .92 to .999); trust them where "
            "audits agree, or use trajectory.quality: high, or trajectory.kind: replay");
    code_table_make(&g->table);
    choose_scan(g);
done:
    return st;
}

static void grid_close(trajectory *tr)
{
    grid *g = tr->kept;

    bits_close(&g->log);
    cells_close(tr, &g->squares);
    mem_free(tr->ctx, g->start);
    mem_free(tr->ctx, g->at);
    mem_free(tr->ctx, g->hat[0]);
    mem_free(tr->ctx, g->hat[1]);
    mem_free(tr->ctx, g->masks);
    for (int k = 0; k < 2; k++) mem_free(tr->ctx, g->stage[k]);
    for (int k = 0; k < 3; k++) traj_free_vectors(tr, g->there[k]);
    cross_free(tr, g->cross);
    mem_free(tr->ctx, g->tau);
    mem_free(tr->ctx, g);
}

static drmad_status grid_begin(trajectory *tr)
{
    grid *g = tr->kept;

    memset(g->at, 0, (size_t)tr->spec.params->n * sizeof *g->at);
    make_cells(&tr->spec, g);
    g->rate = 0;
    g->coarsen = false;
    bits_begin(&g->log, tr);
    if (g->log.failed == DRMAD_OK && tr->spec.squares) return cells_begin(tr, &g->squares);
    return g->log.failed;
}

static double sum_squares(const traj_spec *s, const void *w, const param *p)
{
    double sum = 0;

    for (int64_t i = 0; i < p->count; i++) {
        double x = dtype_get(s->dtype, w, p->offset + i);
        sum += x * x;
    }
    return sum;
}

/* Root mean square that sets tau of tensor `i`: a weight's own; else, or where that is zero, of
 * its layer's weights, or of weight and bias of a norm; where those are zero too or absent, its own
 * again. */
static double scale_of(const traj_spec *s, const void *w, int32_t i)
{
    const param *p = &s->params->at[i], *q = s->params->at;
    double own = sqrt(sum_squares(s, w, p) / (double)(p->count ? p->count : 1)), sum = 0;
    int64_t count = 0;

    if (p->role == PARAM_WEIGHT && own != 0) return own;
    for (int32_t j = 0; j < s->params->n; j++) {
        const bool scales = q[j].role == PARAM_WEIGHT || q[j].role == PARAM_NORM;
        if (q[j].layer != p->layer || !scales) continue;
        sum += sum_squares(s, w, &q[j]);
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

static drmad_status not_finite(trajectory *tr, int32_t tensor, int64_t i, const void *w, int64_t t)
{
    const param *p = &tr->spec.params->at[tensor];

    return FAIL(tr->ctx, DRMAD_E_DIVERGED, "weights: %s[%lld] is %g after %lld steps: %s", p->name,
                (long long)i, dtype_get(tr->spec.dtype, w, p->offset + i), (long long)t,
                isfinite(dtype_get(tr->spec.dtype, w, p->offset + i))
                    ? "more than a million grid cells in one step"
                    : "expected a finite number");
}

/* The first tau, and its growth for a tensor that started at zero. */
static drmad_status set_tau(trajectory *tr, int32_t i, const void *w, int64_t t)
{
    grid *g = tr->kept;
    cell *c = &g->at[i];
    const param *p = &tr->spec.params->at[i];

    if (p->role == PARAM_STAT) return DRMAD_OK; /* no step backwards reads them: tau stays 0 */
    double tau = c->size * scale_of(&tr->spec, w, i);

    for (int64_t j = 0; j < p->count && !isfinite(tau); j++)
        if (!isfinite(dtype_get(tr->spec.dtype, w, p->offset + j)))
            return not_finite(tr, i, j, w, t);
    if (c->span.tau == 0) c->span.tau = few_bits(tau);
    for (; tau >= 2 * c->span.tau && tau > 0 && c->doubled < UNARY_MAX; c->doubled++)
        c->span.tau *= 2;
    return DRMAD_OK;
}

static drmad_status first_state(trajectory *tr, const void *w)
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
    memcpy(g->hat[0], w, traj_vector_bytes(&tr->spec));
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

static drmad_status choose_tau(trajectory *tr, int32_t i, const void *w, int64_t t)
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

/* Whether choosing tau asks for the weights themselves. */
static bool wants_weights(const trajectory *tr, int64_t t)
{
    const grid *g = tr->kept;
    bool wants = t == 0 || (t == 1 && tr->spec.first_step > 0);

    for (int32_t i = 0; i < tr->spec.params->n; i++)
        wants = wants || g->at[i].late || (g->at[i].follows && t % FOLLOW == 0);
    return wants;
}

/* On a device: all tensors at once. */
static drmad_status cross_there(trajectory *tr, const void *w, int64_t t)
{
    grid *g = tr->kept;
    const param_table *p = tr->spec.params;
    drmad_status st = DRMAD_OK;
    int64_t lost;
    int32_t i = p->n - 1;

    for (int32_t k = 0; k < p->n; k++) g->tau[k] = g->at[k].span.tau;
    TRY(cross_run(tr, g->cross, w, g->tau, &lost));
    if (lost < 0) goto done;
    while (p->at[i].offset > lost) i--;
    st = not_finite(tr, i, lost - p->at[i].offset, g->cross->w, t);
done:
    return st;
}

static int64_t encode(trajectory *tr, code_writer *out, code_span s, const void *w)
{
    const grid *g = tr->kept;

    if (g->cross) return cross_encode(out, g->cross, s);
    return tr->spec.dtype == F32
               ? code_encode_f32(out, s, g->scan_f32, w, (float *)(void *)g->hat[0])
               : code_encode_f64(out, s, g->scan_f64, w, (double *)(void *)g->hat[0]);
}

static drmad_status put_tensor(trajectory *tr, code_writer *out, int32_t i, const void *w,
                               int64_t t)
{
    const grid *g = tr->kept;
    cell *c = &g->at[i];

    code_put(out, (1ull << c->doubled) - 1, c->doubled + 1);
    if (c->span.tau == 0) {
        code_put(out, CODE_NONE, CODE_K_BITS);
        return DRMAD_OK;
    }
    out->k = code_k(c->expected, c->span.count);
    code_put(out, out->k, CODE_K_BITS);
    const int64_t n = encode(tr, out, c->span, w);
    if (n < 0) return not_finite(tr, i, -1 - n, w, t);
    tr->stats.events += n;
    c->expected = (c->expected + (double)n) / 2;
    c->share = (double)n / (double)c->span.count;
    return DRMAD_OK;
}

static void put_masks(code_writer *out, const void *masks, size_t bytes)
{
    const char *from = masks;

    for (size_t i = 0; i < bytes; i += 4) {
        uint32_t word = 0;
        memcpy(&word, from + i, bytes - i < 4 ? bytes - i : 4);
        code_put(out, word, 32);
    }
}

/* Doubles tau when the log, at its present rate, would outgrow the limit, but not before half of
 * the room is used: a run's first steps say little about the rest. Half as many crossings are
 * expected from then on. */
static void watch_limit(trajectory *tr, int64_t t, int64_t events)
{
    grid *g = tr->kept;
    double beside = tr->spec.squares ? (double)bits_where(&g->squares.log) / 8 : 0;
    double used = (double)bits_where(&g->log) / 8, step = used - (double)g->start[t] / 8;
    double chunk = BITS_CHUNK_WORDS * sizeof(uint64_t),
           room = (double)tr->spec.memory - (double)g->fixed - beside - 2 * chunk;

    g->rate += t == 1 ? step : (step - g->rate) / RATE_MEMORY;
    g->coarsen = tr->spec.memory > 0 && events > 0 && used > room / 2 &&
                 used + g->rate * (double)(tr->spec.steps - t) > room;
    if (!g->coarsen) return;
    g->rate /= 2;
    tr->stats.coarsened++;
    base_log(
        tr->ctx, LOG_WARN,
        "trajectory grid: %.0f of %zu bytes used after %lld of %lld steps: made twice as coarse",
        used + (double)g->fixed, tr->spec.memory, (long long)t, (long long)tr->spec.steps);
}

/* `there`: the state as it lies, w: as the host sees it, or NULL where it need not. */
static drmad_status put_record(trajectory *tr, int64_t t, const void *there, const void *w,
                               const void *masks)
{
    drmad_status st = DRMAD_OK;
    grid *g = tr->kept;
    code_writer out;

    out.out = &g->log;
    out.table = &g->table;
    out.waiting = 0;
    if (t < tr->spec.steps) put_masks(&out, masks, tr->spec.mask_bytes);
    g->swell = g->at[g->largest].share > grown;
    for (int32_t i = 0; t > 0 && i < tr->spec.params->n; i++) TRY(choose_tau(tr, i, w, t));
    if (t > 0 && g->cross) TRY(cross_there(tr, there, t));
    for (int32_t i = 0; t > 0 && i < tr->spec.params->n; i++) TRY(put_tensor(tr, &out, i, w, t));
    code_flush(&out);
    st = g->log.failed;
done:
    return st;
}

static drmad_status grid_record(trajectory *tr, int64_t t, void *const state[], const void *masks)
{
    drmad_status st = DRMAD_OK;
    grid *g = tr->kept;
    int64_t before = tr->stats.events;
    const void *w = NULL, *v;

    if (!masks && g->mask_words && t < tr->spec.steps)
        return FAIL(tr->ctx, DRMAD_E_USAGE, "trajectory grid: no masks for step %lld",
                    (long long)t);
    g->start[t] = bits_where(&g->log);
    if (!g->cross || wants_weights(tr, t)) TRY(traj_down(tr, state[0], g->stage[0], &w));
    TRY(put_record(tr, t, state[0], w, masks));
    if (tr->spec.squares) {
        TRY(traj_down(tr, state[tr->spec.squares], g->stage[1], &v));
        TRY(cells_record(tr, &g->squares, t, v));
    }
    if (t == 0) TRY(first_state(tr, w));
    if (t == 0 && g->cross) TRY(cross_begin(tr, g->cross, state[0]));
    if (t > 0 && t < tr->spec.steps) watch_limit(tr, t, tr->stats.events - before);
    if (t < tr->spec.steps) goto done;
    if (g->cross) TRY(cross_keep(tr, g->cross, state[0]));
    else memcpy(g->hat[1], w, traj_vector_bytes(&tr->spec));
    TRY(bits_end(&g->log));
    tr->stats.bytes_logged = (size_t)(bits_where(&g->log) / 8);
    if (tr->spec.squares) tr->stats.bytes_logged += (size_t)(bits_where(&g->squares.log) / 8);
done:
    return st;
}

/* An estimate: 3 % of the weights cross a step at tau = .11 rms (learning rate .3), at 7.2 bits
 * each. */
size_t traj_grid_bytes(const traj_spec *s)
{
    double crossings = .03 * .11 / size_for(s) * (double)s->params->weights * (double)s->steps;
    size_t fixed = sizeof(grid) + (size_t)s->params->n * sizeof(cell) + 2 * traj_vector_bytes(s) +
                   ((size_t)s->steps + 1) * (sizeof(uint64_t) + s->mask_bytes);
    size_t all = fixed + (size_t)(crossings * .9) + (s->squares ? cells_bytes(s) : 0);

    return s->memory > 0 && all > s->memory && fixed < s->memory ? s->memory : all;
}

const traj_ops traj_grid = {
    .name = "grid",
    .open = grid_open,
    .close = grid_close,
    .begin = grid_begin,
    .record = grid_record,
    .load = grid_load,
};
