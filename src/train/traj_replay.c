/* replay: some states are kept, the ones between are computed again by the training step. Exact.
 *
 * Two levels: a checkpoint every L steps and at the end, and room for the L - 1 states inside
 * one segment. In memory that is T/L + L states, least at L = sqrt(T); each step is run again
 * once at most. The last segment is kept as it is recorded. What does not fit the limit goes
 * elsewhere: the checkpoints recorded last, because those are wanted back first. Of states on a
 * device that copies beside its work that is host memory, within a limit of its own; else, or
 * where a folder is given, an unlinked file, of which the disk's cache has the last part. */
#include "train/traj_kinds.h"
#include "train/traj_spill.h"
#include <math.h>
#include <string.h>

typedef struct replay {
    int64_t length;     /* L */
    int64_t segments;   /* checkpoint i is state min(i L, T), i = 0 ... segments */
    int64_t in_memory;  /* the first so many checkpoints */
    char **checkpoint;  /* in_memory of them */
    char *slot[2];      /* two spilled checkpoints, by i modulo 2 */
    int64_t in_slot[2]; /* which; -1 = none */
    char **beyond;      /* the other checkpoints, in host memory; NULL: they go to the file */
    char **inside;      /* L - 1 states of segment `segment`, after its checkpoint */
    int64_t segment;    /* -1 = none */
    void *stage;        /* of a device's vectors, what goes to the file; NULL otherwise */
    spill file;
} replay;

static int64_t count_segments(int64_t steps, int64_t length)
{
    return (steps + length - 1) / length;
}

/* Has a device host memory for what it cannot hold? */
static bool sends(const traj_spec *s)
{
    return s->on && s->on->copy_later && !s->spill_dir;
}

static bool fits_beyond(const traj_spec *s, int64_t states)
{
    return s->memory == 0 ||
           (uint64_t)states <= s->memory / (traj_state_bytes(s) + sizeof(char *));
}

/* Chooses L and how many checkpoints stay where states live. False when the limits cannot be
 * met. */
static bool choose(const traj_spec *s, replay *r)
{
    int64_t best = (int64_t)ceil(sqrt((double)s->steps));
    const size_t limit = traj_limit(s), states = limit > sizeof *r ? limit - sizeof *r : 0;
    size_t fit = limit ? states / (traj_state_bytes(s) + sizeof(char *)) : SIZE_MAX;
    int64_t room = fit > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)fit;

    r->length = best;
    r->segments = count_segments(s->steps, best);
    r->in_memory = r->segments + 1;
    if (best - 1 + r->in_memory <= room) return true;
    if ((!s->spill_dir && !sends(s)) || room < 2) return false;
    r->length = best < room - 1 ? best : room - 1;
    r->segments = count_segments(s->steps, r->length);
    r->in_memory = room - 2 - (r->length - 1);
    return !sends(s) || fits_beyond(s, r->segments + 1 - r->in_memory);
}

static drmad_status hold_states(trajectory *tr, int64_t n, char ***out)
{
    drmad_status st = DRMAD_OK;

    TRY(traj_hold(tr, (size_t)n, sizeof **out, out));
    for (int64_t i = 0; i < n; i++) TRY(traj_hold_vectors(tr, tr->spec.vectors, &(*out)[i]));
done:
    return st;
}

static drmad_status hold_host(trajectory *tr, int64_t n, char ***out)
{
    const backend *on = tr->spec.on;
    const size_t bytes = traj_state_bytes(&tr->spec);
    drmad_status st = DRMAD_OK;

    TRY(traj_hold(tr, (size_t)n, sizeof **out, out));
    for (int64_t i = 0; i < n; i++) {
        void *state;
        TRY(on->alloc_host(on, tr->ctx, bytes, &state));
        (*out)[i] = state;
        tr->stats.bytes_held += bytes;
    }
done:
    return st;
}

/* Room for the checkpoints that do not stay where states live. */
static drmad_status open_beyond(trajectory *tr, replay *r)
{
    const traj_spec *s = &tr->spec;
    drmad_status st = DRMAD_OK;

    TRY(traj_hold_vectors(tr, s->vectors, &r->slot[0]));
    TRY(traj_hold_vectors(tr, s->vectors, &r->slot[1]));
    if (sends(s)) return hold_host(tr, r->segments + 1 - r->in_memory, &r->beyond);
    if (!s->on->host) TRY(traj_hold(tr, traj_state_bytes(s), 1, &r->stage));
    TRY(spill_open(tr->ctx, s->spill_dir, &r->file));
done:
    return st;
}

static drmad_status does_not_fit(const trajectory *tr)
{
    const traj_spec *s = &tr->spec;
    const size_t one = traj_state_bytes(s), limit = traj_limit(s);

    if (sends(s))
        return FAIL(tr->ctx, DRMAD_E_NOMEM,
                    "trajectory replay: limits of %zu bytes on the device and %zu in host memory "
                    "are not enough for states of %zu bytes; raise trajectory.memory, or name a "
                    "folder for what is beyond in trajectory.spill_dir",
                    limit, s->memory, one);
    return FAIL(tr->ctx, DRMAD_E_NOMEM,
                "trajectory replay: a limit of %zu bytes holds %zu states of %zu bytes, %s", limit,
                limit / one, one,
                s->spill_dir ? "expected 2 or more" : "and no folder to spill to is given");
}

static drmad_status replay_open(trajectory *tr)
{
    drmad_status st = DRMAD_OK;
    replay *r;

    TRY(traj_hold(tr, 1, sizeof *r, &r));
    tr->kept = r;
    spill_none(&r->file);
    if (!choose(&tr->spec, r)) TRY(does_not_fit(tr));
    TRY(hold_states(tr, r->in_memory, &r->checkpoint));
    TRY(hold_states(tr, r->length - 1, &r->inside));
    if (r->in_memory <= r->segments) TRY(open_beyond(tr, r));
done:
    return st;
}

static void free_states(trajectory *tr, char **state, int64_t n)
{
    for (int64_t i = 0; state && i < n; i++) traj_free_vectors(tr, state[i]);
    mem_free(tr->ctx, state);
}

static void replay_close(trajectory *tr)
{
    const backend *on = tr->spec.on;
    replay *r = tr->kept;

    for (int64_t i = 0; r->beyond && i <= r->segments - r->in_memory; i++)
        on->free_host(on, tr->ctx, r->beyond[i]);
    mem_free(tr->ctx, r->beyond);
    spill_close(&r->file);
    free_states(tr, r->checkpoint, r->in_memory);
    free_states(tr, r->inside, r->length - 1);
    traj_free_vectors(tr, r->slot[0]);
    traj_free_vectors(tr, r->slot[1]);
    mem_free(tr->ctx, r->stage);
    mem_free(tr->ctx, r);
}

static drmad_status replay_begin(trajectory *tr)
{
    replay *r = tr->kept;

    r->segment = -1;
    r->in_slot[0] = r->in_slot[1] = -1;
    return DRMAD_OK;
}

/* The bytes of a state in host memory: its own or, of a device, a copy's. */
static void *staged(const trajectory *tr, char *state)
{
    const replay *r = tr->kept;

    return r->stage ? r->stage : state;
}

static drmad_status spill_state(trajectory *tr, int64_t i)
{
    replay *r = tr->kept;
    const backend *on = tr->spec.on;
    const size_t bytes = traj_state_bytes(&tr->spec);
    char *slot = r->slot[i % 2];
    drmad_status st = DRMAD_OK;

    if (r->beyond) {
        tr->stats.bytes_spilled += bytes;
        return on->copy_later(on, tr->ctx, COPY_DOWN, r->beyond[i - r->in_memory], slot, bytes);
    }
    if (r->stage) TRY(on->copy(on, tr->ctx, COPY_DOWN, r->stage, slot, bytes));
    tr->stats.bytes_spilled += bytes;
    TRY(spill_write(tr->ctx, &r->file, staged(tr, slot), bytes,
                    (uint64_t)(i - r->in_memory) * bytes));
done:
    return st;
}

/* Until slots and host memory may be written. */
static drmad_status all_copied(const trajectory *tr)
{
    const replay *r = tr->kept;

    return r->beyond ? tr->spec.on->copied(tr->spec.on, tr->ctx) : DRMAD_OK;
}

static drmad_status keep_checkpoint(trajectory *tr, int64_t i, void *const state[])
{
    replay *r = tr->kept;
    drmad_status st = DRMAD_OK;

    if (i < r->in_memory) return traj_copy_in(tr, r->checkpoint[i], state);
    TRY(all_copied(tr));
    TRY(traj_copy_in(tr, r->slot[i % 2], state));
    r->in_slot[i % 2] = i;
    TRY(spill_state(tr, i));
done:
    return st;
}

static drmad_status replay_record(trajectory *tr, int64_t t, void *const state[], const void *masks)
{
    replay *r = tr->kept;
    int64_t last = r->segments - 1;

    (void)masks; /* running the steps again makes them again */
    if (t == tr->spec.steps) {
        r->segment = last;
        return keep_checkpoint(tr, r->segments, state);
    }
    if (t % r->length == 0) return keep_checkpoint(tr, t / r->length, state);
    if (t > last * r->length) return traj_copy_in(tr, r->inside[t % r->length - 1], state);
    return DRMAD_OK;
}

static drmad_status need_checkpoint(trajectory *tr, int64_t i)
{
    replay *r = tr->kept;
    const backend *on = tr->spec.on;
    const size_t bytes = traj_state_bytes(&tr->spec);
    char *slot = r->slot[i % 2];
    drmad_status st = DRMAD_OK;

    if (i < r->in_memory || r->in_slot[i % 2] == i) return DRMAD_OK;
    r->in_slot[i % 2] = i;
    if (r->beyond) {
        TRY(all_copied(tr));
        return on->copy_later(on, tr->ctx, COPY_UP, slot, r->beyond[i - r->in_memory], bytes);
    }
    TRY(spill_read(tr->ctx, &r->file, staged(tr, slot), bytes,
                   (uint64_t)(i - r->in_memory) * bytes));
    if (r->stage) TRY(on->copy(on, tr->ctx, COPY_UP, slot, r->stage, bytes));
done:
    return st;
}

/* State t, in or at the ends of segment s. */
static char *state_at(const trajectory *tr, int64_t s, int64_t t)
{
    const replay *r = tr->kept;
    int64_t i = t == s * r->length ? s : s + 1;
    bool inside = t > s * r->length && t < (s + 1) * r->length && t < tr->spec.steps;

    if (inside) return r->inside[t % r->length - 1];
    return i < r->in_memory ? r->checkpoint[i] : r->slot[i % 2];
}

static drmad_status run_step(trajectory *tr, int64_t s, int64_t t)
{
    void *from[TRAJ_VECTORS], *to[TRAJ_VECTORS];
    size_t bytes = traj_vector_bytes(&tr->spec);

    for (int32_t i = 0; i < tr->spec.vectors; i++) {
        from[i] = state_at(tr, s, t) + (size_t)i * bytes;
        to[i] = state_at(tr, s, t + 1) + (size_t)i * bytes;
    }
    tr->stats.recomputed++;
    return tr->spec.step(tr->spec.user, tr->first + t, from, to);
}

static drmad_status replay_load(trajectory *tr, int64_t t, traj_view *out)
{
    drmad_status st = DRMAD_OK;
    replay *r = tr->kept;
    int64_t s = t / r->length, end = (s + 1) * r->length;

    TRY(need_checkpoint(tr, s));
    TRY(need_checkpoint(tr, s + 1));
    if (end > tr->spec.steps) end = tr->spec.steps;
    for (int64_t i = s * r->length; r->segment != s && i < end - 1; i++) TRY(run_step(tr, s, i));
    r->segment = s;
    traj_show(tr, state_at(tr, s, t), state_at(tr, s, t + 1), out);
done:
    return st;
}

/* Where states live. */
size_t traj_replay_bytes(const traj_spec *s)
{
    replay r = {0};

    if (!choose(s, &r)) return SIZE_MAX;
    int64_t states = r.length - 1 + r.in_memory + (r.in_memory > r.segments ? 0 : 2);
    return sizeof r + (size_t)states * (traj_state_bytes(s) + sizeof(char *));
}

const traj_ops traj_replay = {
    .name = "replay",
    .open = replay_open,
    .close = replay_close,
    .begin = replay_begin,
    .record = replay_record,
    .load = replay_load,
};
