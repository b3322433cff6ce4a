/* A trajectory of any kind: picks the kind, checks the settings and the order of calls. How each
 * kind keeps its states is in traj_<kind>.c. */
#include "train/trajectory.h"
#include "train/traj_kinds.h"
#include <string.h>

static const struct {
    const traj_ops *ops;
    size_t (*bytes)(const traj_spec *s);
} kinds[TRAJ_KIND_COUNT] = {
    [TRAJ_FULL] = {&traj_full, traj_full_bytes},
    [TRAJ_REPLAY] = {&traj_replay, traj_replay_bytes},
    [TRAJ_GRID] = {&traj_grid, traj_grid_bytes},
    [TRAJ_LINE] = {&traj_line, traj_line_bytes},
};

size_t traj_limit(const traj_spec *s)
{
    return s->on && !s->on->host && s->room ? s->room : s->memory;
}

size_t traj_vector_bytes(const traj_spec *s)
{
    return (size_t)s->params->total * dtype_size(s->dtype);
}

size_t traj_state_bytes(const traj_spec *s)
{
    return (size_t)s->vectors * traj_vector_bytes(s);
}

drmad_status traj_hold(trajectory *tr, size_t count, size_t size, void *out_ptr)
{
    drmad_status st = mem_alloc(tr->ctx, count, size, out_ptr);

    if (st == DRMAD_OK) tr->stats.bytes_held += count * size;
    return st;
}

drmad_status traj_hold_vectors(trajectory *tr, int32_t n, void *out_ptr)
{
    const size_t bytes = (size_t)n * traj_vector_bytes(&tr->spec);
    drmad_status st = backend_alloc(tr->spec.on, tr->ctx, bytes, 1, out_ptr);

    if (st == DRMAD_OK) tr->stats.bytes_held += bytes;
    return st;
}

void traj_free_vectors(trajectory *tr, void *ptr)
{
    tr->spec.on->free(tr->spec.on, tr->ctx, ptr);
}

drmad_status traj_copy_in(trajectory *tr, char *to, void *const state[])
{
    const size_t bytes = traj_vector_bytes(&tr->spec);
    const backend *on = tr->spec.on;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < tr->spec.vectors; i++)
        TRY(on->copy(on, tr->ctx, COPY_WITHIN, to + (size_t)i * bytes, state[i], bytes));
done:
    return st;
}

drmad_status traj_down(trajectory *tr, const void *v, void *stage, const void **out)
{
    const backend *on = tr->spec.on;

    *out = on->host ? v : stage;
    if (on->host) return DRMAD_OK;
    return on->copy(on, tr->ctx, COPY_DOWN, stage, v, traj_vector_bytes(&tr->spec));
}

drmad_status traj_up(trajectory *tr, const void *v, void *there, const void **out)
{
    const backend *on = tr->spec.on;

    *out = on->host ? v : there;
    if (on->host) return DRMAD_OK;
    return on->copy(on, tr->ctx, COPY_UP, there, v, traj_vector_bytes(&tr->spec));
}

/* The run as its kind sees it. */
static traj_spec kept_part(const traj_spec *s)
{
    traj_spec part = *s;

    part.steps -= s->first;
    return part;
}

void traj_show(const trajectory *tr, const char *now, const char *next, traj_view *out)
{
    const size_t bytes = traj_vector_bytes(&tr->spec);

    *out = (traj_view){.exact = true};
    for (int32_t i = 0; i < tr->spec.vectors; i++)
        out->now[i] = now + (size_t)i * bytes, out->next[i] = next + (size_t)i * bytes;
}

static traj_kind resolve(const traj_spec *s)
{
    const bool host = !s->on || s->on->host;
    const size_t limit = traj_limit(s);

    if (s->kind != TRAJ_AUTO) return s->kind;
    if (limit == 0 || traj_full_bytes(s) <= limit) return TRAJ_FULL;
    if (!host && !s->on->pass_new) return TRAJ_REPLAY;
    return host || traj_replay_bytes(s) > limit ? TRAJ_GRID : TRAJ_REPLAY;
}

static drmad_status check_spec(drmad_ctx *ctx, const traj_spec *s)
{
    size_t all;

    if ((unsigned)s->kind >= TRAJ_KIND_COUNT)
        return FAIL(ctx, DRMAD_E_USAGE, "trajectory: kind %d, expected 0 to %d", (int)s->kind,
                    TRAJ_KIND_COUNT - 1);
    if (!s->params || s->params->n == 0)
        return FAIL(ctx, DRMAD_E_USAGE, "trajectory: no parameters to keep");
    if (s->dtype != F32 && s->dtype != F64)
        return FAIL(ctx, DRMAD_E_USAGE, "trajectory: element type %s, expected f32 or f64",
                    dtype_name(s->dtype));
    if (s->steps < 1)
        return FAIL(ctx, DRMAD_E_USAGE, "trajectory: %lld steps, expected 1 or more",
                    (long long)s->steps);
    if (s->first < 0 || s->first >= s->steps)
        return FAIL(ctx, DRMAD_E_USAGE, "trajectory: first state %lld of %lld steps",
                    (long long)s->first, (long long)s->steps);
    if (s->vectors < 1 || s->vectors > TRAJ_VECTORS)
        return FAIL(ctx, DRMAD_E_USAGE, "trajectory: %d vectors in a state, expected 1 to %d",
                    s->vectors, TRAJ_VECTORS);
    if (s->on && !s->on->host &&
        ((s->kind == TRAJ_GRID && !s->on->pass_new) || (s->kind == TRAJ_LINE && !s->on->mixed)))
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "trajectory.kind: %s needs vectors in host memory, and the model's live on a "
                    "device; use replay, which is exact and keeps about sqrt(steps) states",
                    traj_kind_name(s->kind));
    if (s->kind == TRAJ_REPLAY && !s->step)
        return FAIL(ctx, DRMAD_E_USAGE, "trajectory: replay needs the training step");
    if (!size_mul(traj_state_bytes(s), (size_t)s->steps + 1, &all))
        return FAIL(ctx, DRMAD_E_USAGE,
                    "trajectory: %lld states of %zu bytes are more than can be counted",
                    (long long)s->steps + 1, traj_state_bytes(s));
    return DRMAD_OK;
}

drmad_status traj_new(drmad_ctx *ctx, const traj_spec *spec, trajectory **out)
{
    drmad_status st = DRMAD_OK;
    trajectory *tr = NULL;

    *out = NULL;
    TRY(check_spec(ctx, spec));
    TRY(mem_alloc(ctx, 1, sizeof *tr, &tr));
    tr->ctx = ctx;
    tr->spec = kept_part(spec);
    tr->first = spec->first;
    tr->spec.kind = resolve(&tr->spec);
    if (!tr->spec.on) tr->spec.on = &backend_cpu;
    tr->ops = kinds[tr->spec.kind].ops;
    TRY(tr->ops->open(tr));
    TRY(traj_begin(tr));
    *out = tr, tr = NULL;
done:
    traj_free(tr);
    return st;
}

void traj_free(trajectory *tr)
{
    if (!tr) return;
    if (tr->kept) tr->ops->close(tr);
    mem_free(tr->ctx, tr);
}

traj_kind traj_kind_of(const trajectory *tr)
{
    return tr->spec.kind;
}

const char *traj_kind_name(traj_kind k)
{
    if (k == TRAJ_NONE) return "none";
    if (k == TRAJ_AUTO) return "auto";
    return (unsigned)k < TRAJ_KIND_COUNT ? kinds[k].ops->name : "unknown";
}

size_t traj_estimate(const traj_spec *spec)
{
    const traj_spec part = kept_part(spec);

    return kinds[resolve(&part)].bytes(&part);
}

/* full: states, as they come; grid: lists that its passes find, or take in two seats. */
size_t traj_later_bytes(const trajectory *tr)
{
    const traj_spec *s = &tr->spec;
    const size_t lists = 3 * (size_t)s->params->total * sizeof(pass_move);

    if (s->kind == TRAJ_FULL) return traj_full_bytes(s);
    return s->kind == TRAJ_GRID && !s->on->host ? lists * (s->squares ? 2 : 1) : 0;
}

drmad_status traj_begin(trajectory *tr)
{
    tr->stats = (traj_stats){.bytes_held = tr->stats.bytes_held};
    tr->back = false;
    tr->next = -1;
    drmad_status st = tr->ops->begin(tr);
    if (st == DRMAD_OK) tr->next = 0;
    return st;
}

/* After a failed call nothing but traj_begin is allowed: next = -1. */
drmad_status traj_record(trajectory *tr, int64_t t, void *const state[], const void *masks)
{
    int64_t want = tr->next;

    if (tr->back || t != want)
        return FAIL(tr->ctx, DRMAD_E_USAGE,
                    "trajectory: state %lld recorded out of order, expected %lld%s", (long long)t,
                    (long long)want, tr->back ? " to be loaded" : "");
    tr->next = -1;
    if (t >= tr->first) {
        const drmad_status st = tr->ops->record(tr, t - tr->first, state, masks);
        if (st != DRMAD_OK) return st;
    }
    tr->back = t == tr->first + tr->spec.steps;
    tr->next = tr->back ? t - 1 : t + 1;
    return DRMAD_OK;
}

drmad_status traj_load(trajectory *tr, int64_t t, traj_view *out)
{
    int64_t want = tr->next;

    *out = (traj_view){0};
    if (!tr->back || t != want || t < tr->first)
        return FAIL(tr->ctx, DRMAD_E_USAGE,
                    "trajectory: state %lld loaded out of order, expected %lld%s", (long long)t,
                    (long long)want, tr->back ? "" : " to be recorded");
    tr->next = -1;
    drmad_status st = tr->ops->load(tr, t - tr->first, out);
    if (st == DRMAD_OK) tr->next = t - 1;
    return st;
}

traj_stats traj_stats_of(const trajectory *tr)
{
    return tr->stats;
}
