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
 * Where an optimiser divides by averaged squares, these are kept beside the weights, as cells
 * (traj_cells.h); of the other buffers nothing is.
 *
 * A record is begun and ended. On a device the end comes with the next record, so that the host
 * codes what crossed in a step while the device is at the next one.
 *
 * How tau is chosen is in traj_tau.c, walking back in traj_grid_back.c.
 *
 * Record of step t in the log: [sign masks of step t, t < T] [for each tensor: doublings of tau
 * in unary, k, events of t-1 -> t]. */
#include "train/traj_grid.h"
#include <math.h>
#include <string.h>

enum { RATE_MEMORY = 8 };

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

static drmad_status hold_device(trajectory *tr, grid *g)
{
    const size_t tensors = (size_t)tr->spec.params->n;
    drmad_status st = DRMAD_OK;

    TRY(cross_new(tr, &g->cross));
    TRY(traj_hold(tr, traj_vector_bytes(&tr->spec), 1, &g->stage));
    TRY(traj_hold(tr, tensors, sizeof *g->tau, &g->tau));
    TRY(traj_hold(tr, tensors, sizeof *g->sum, &g->sum));
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
    if (s->on->host) TRY(traj_hold(tr, traj_vector_bytes(s), 1, &g->hat[1]));
    TRY(traj_hold(tr, g->mask_words, sizeof *g->masks, &g->masks));
    if (!s->on->host) TRY(hold_device(tr, g));
    if (s->squares) TRY(cells_open(tr, &g->squares));
    g->fixed = tr->stats.bytes_held;
    g->normed = tau_normed(s);
    g->largest = tau_largest(s->params);
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
    cross_free(tr, g->cross);
    mem_free(tr->ctx, g->stage);
    mem_free(tr->ctx, g->tau);
    mem_free(tr->ctx, g->sum);
    mem_free(tr->ctx, g);
}

static drmad_status grid_begin(trajectory *tr)
{
    grid *g = tr->kept;

    memset(g->at, 0, (size_t)tr->spec.params->n * sizeof *g->at);
    tau_cells(&tr->spec, g);
    g->begun = -1;
    g->rate = 0;
    g->coarsen = false;
    bits_begin(&g->log, tr);
    if (g->log.failed == DRMAD_OK && tr->spec.squares) return cells_begin(tr, &g->squares);
    return g->log.failed;
}

drmad_status grid_lost(trajectory *tr, int32_t tensor, int64_t i, bool far, int64_t t)
{
    tr->lost = tr->first + t;
    return FAIL(tr->ctx, DRMAD_E_DIVERGED, "weights: %s[%lld] after %lld steps: %s",
                tr->spec.params->at[tensor].name, (long long)i, (long long)tr->lost,
                far ? "moved by more than a million grid cells in one" : "not a finite number");
}

/* As code_encode_f32. */
static int64_t encode(trajectory *tr, code_writer *out, code_span s, bool *far)
{
    const grid *g = tr->kept;

    if (g->cross) return cross_encode(out, g->cross, s, far);
    const int64_t n =
        tr->spec.dtype == F32
            ? code_encode_f32(out, s, g->scan_f32, g->w, (float *)(void *)g->hat[0])
            : code_encode_f64(out, s, g->scan_f64, g->w, (double *)(void *)g->hat[0]);
    *far = n < 0 && isfinite(dtype_get(tr->spec.dtype, g->w, s.offset - 1 - n));
    return n;
}

static drmad_status put_tensor(trajectory *tr, code_writer *out, int32_t i, int64_t t)
{
    const grid *g = tr->kept;
    cell *c = &g->at[i];
    bool far = false;

    code_put(out, (1ull << c->doubled) - 1, c->doubled + 1);
    if (c->span.tau == 0) {
        code_put(out, CODE_NONE, CODE_K_BITS);
        return DRMAD_OK;
    }
    out->k = code_k(c->expected, c->span.count);
    code_put(out, out->k, CODE_K_BITS);
    const int64_t n = encode(tr, out, c->span, &far);
    if (n < 0) return grid_lost(tr, i, -1 - n, far, t);
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

static void begin_code(grid *g, code_writer *out)
{
    out->out = &g->log;
    out->table = &g->table;
    out->waiting = 0;
}

/* On a device: cells as wide as chosen, for all tensors at once. */
static drmad_status cross_there(trajectory *tr, const void *w)
{
    const grid *g = tr->kept;

    for (int32_t k = 0; k < tr->spec.params->n; k++) g->tau[k] = g->at[k].span.tau;
    return cross_run(tr, g->cross, w, g->tau);
}

/* g->w: the host's view of w, where it needs one. */
static drmad_status see_weights(trajectory *tr, const void *w, int64_t t)
{
    grid *g = tr->kept;
    drmad_status st = DRMAD_OK;

    g->w = NULL;
    if (!g->cross || tau_wants_weights(tr, t)) TRY(traj_down(tr, w, g->stage, &g->w));
    else if (tau_wants_sums(tr, t)) TRY(cross_squares(tr, g->cross, w, g->sum));
done:
    return st;
}

static drmad_status begin_record(trajectory *tr, int64_t t, void *const state[], const void *masks)
{
    const traj_spec *s = &tr->spec;
    grid *g = tr->kept;
    drmad_status st = DRMAD_OK;
    code_writer out;

    g->start[t] = bits_where(&g->log);
    begin_code(g, &out);
    if (t < s->steps) put_masks(&out, masks, s->mask_bytes);
    code_flush(&out);
    TRY(see_weights(tr, state[0], t));
    if (t > 0) TRY(tau_choose(tr, g->w, t));
    if (t > 0 && g->cross) TRY(cross_there(tr, state[0]));
    if (s->squares) TRY(cells_record(tr, &g->squares, t, state[s->squares]));
    if (t == 0) {
        TRY(tau_begin(tr, g->w));
        memcpy(g->hat[0], g->w, traj_vector_bytes(s));
        if (g->cross) TRY(cross_begin(tr, g->cross, state[0]));
    }
    g->begun = t;
done:
    return st;
}

static drmad_status end_record(trajectory *tr)
{
    const int64_t before = tr->stats.events;
    grid *g = tr->kept;
    const int64_t t = g->begun;
    drmad_status st = DRMAD_OK;
    code_writer out;

    if (t < 0) return DRMAD_OK;
    g->begun = -1;
    begin_code(g, &out);
    if (t > 0 && g->cross) TRY(cross_found(g->cross));
    for (int32_t i = 0; t > 0 && i < tr->spec.params->n; i++) TRY(put_tensor(tr, &out, i, t));
    code_flush(&out);
    TRY(g->log.failed);
    if (tr->spec.squares) TRY(cells_end(tr, &g->squares, t));
    if (t > 0 && t < tr->spec.steps) watch_limit(tr, t, tr->stats.events - before);
done:
    return st;
}

static drmad_status end_run(trajectory *tr, const void *w)
{
    grid *g = tr->kept;
    drmad_status st = DRMAD_OK;

    TRY(end_record(tr));
    if (g->cross) TRY(cross_keep(tr, g->cross, w));
    else memcpy(g->hat[1], w, traj_vector_bytes(&tr->spec));
    TRY(bits_end(&g->log));
    tr->stats.bytes_logged = (size_t)(bits_where(&g->log) / 8);
    if (tr->spec.squares) tr->stats.bytes_logged += (size_t)(bits_where(&g->squares.log) / 8);
done:
    return st;
}

static drmad_status grid_record(trajectory *tr, int64_t t, void *const state[], const void *masks)
{
    const grid *g = tr->kept;
    drmad_status st = DRMAD_OK;

    if (!masks && g->mask_words && t < tr->spec.steps)
        return FAIL(tr->ctx, DRMAD_E_USAGE, "trajectory grid: no masks for step %lld",
                    (long long)t);
    TRY(end_record(tr));
    TRY(begin_record(tr, t, state, masks));
    if (!g->cross) TRY(end_record(tr));
    if (t == tr->spec.steps) TRY(end_run(tr, state[0]));
done:
    return st;
}

/* An estimate: 3 % of the weights cross a step at tau = .11 rms (learning rate .3), at 7.2 bits
 * each. */
size_t traj_grid_bytes(const traj_spec *s)
{
    double crossings = .03 * .11 / tau_relative(s) * (double)s->params->weights * (double)s->steps;
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
