/* full: every state as it was. Exact, and the oracle of the other kinds. Memory is taken a state
 * at a time on the first run and kept for the next ones. */
#include "train/traj_kinds.h"

typedef struct full {
    char **state; /* steps + 1 */
} full;

static drmad_status full_open(trajectory *tr)
{
    drmad_status st = DRMAD_OK;
    full *f;

    TRY(traj_hold(tr, 1, sizeof *f, &f));
    tr->kept = f;
    TRY(traj_hold(tr, (size_t)tr->spec.steps + 1, sizeof *f->state, &f->state));
done:
    return st;
}

static void full_close(trajectory *tr)
{
    full *f = tr->kept;

    if (f->state)
        for (int64_t t = 0; t <= tr->spec.steps; t++) traj_free_vectors(tr, f->state[t]);
    mem_free(tr->ctx, f->state);
    mem_free(tr->ctx, f);
}

static drmad_status full_begin(trajectory *tr)
{
    (void)tr;
    return DRMAD_OK;
}

static drmad_status full_record(trajectory *tr, int64_t t, void *const state[], const void *masks)
{
    drmad_status st = DRMAD_OK;
    full *f = tr->kept;

    (void)masks; /* the reverse step makes them again from the exact weights */
    if (!f->state[t]) TRY(traj_hold_vectors(tr, tr->spec.vectors, &f->state[t]));
    TRY(traj_copy_in(tr, f->state[t], state));
done:
    return st;
}

static drmad_status full_load(trajectory *tr, int64_t t, traj_view *out)
{
    const full *f = tr->kept;

    traj_show(tr, f->state[t], f->state[t + 1], out);
    return DRMAD_OK;
}

size_t traj_full_bytes(const traj_spec *s)
{
    return sizeof(full) + ((size_t)s->steps + 1) * (traj_state_bytes(s) + sizeof(char *));
}

const traj_ops traj_full = {
    .name = "full",
    .open = full_open,
    .close = full_close,
    .begin = full_begin,
    .record = full_record,
    .load = full_load,
};
