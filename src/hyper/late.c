/* Reverse steps under way. Where the backend lets the host run ahead (backend.wait) and the
 * trajectory is exact, LATE_STEPS of them are sent off before the cotangents of the older half are
 * looked at; each has memory of its own for what the host reads of it: the small cotangents and the
 * batch that they belong to. What is summed on the device is taken at the ends of its phases, at
 * which all are looked at. */
#include "hyper/walker.h"
#include <math.h>
#include <string.h>

struct late_step {
    int64_t step;
    int32_t *local, *index, *labels; /* of the batch */
    void *rate;                      /* the base rate's cotangent */
    void **cot;                      /* by use; NULL: the device's sum, or none */
    bool normed;
    double square; /* normed: |w~|^2 after it */
};

drmad_status late_new(walker *w)
{
    const trainer *t = w->t;
    const size_t uses = (size_t)t->spec.space->n_uses, batch = (size_t)t->spec.batch;
    drmad_status st = DRMAD_OK;

    if (!t->on->wait || !w->exact || !w->tr) return DRMAD_OK;
    TRY(mem_alloc(w->ctx, LATE_STEPS, sizeof *w->late, &w->late));
    for (int k = 0; k < LATE_STEPS; k++) {
        late_step *l = &w->late[k];
        TRY(mem_alloc(w->ctx, batch, sizeof *l->local, &l->local));
        TRY(mem_alloc(w->ctx, batch, sizeof *l->index, &l->index));
        TRY(mem_alloc(w->ctx, batch, sizeof *l->labels, &l->labels));
        TRY(mem_alloc(w->ctx, 1, sizeof(double), &l->rate));
        TRY(mem_alloc(w->ctx, uses + 1, sizeof *l->cot, &l->cot));
        for (size_t i = 0; i < uses; i++)
            if (w->has_cot[i] && !trainer_sums(t, (int32_t)i))
                TRY(mem_alloc(w->ctx, t->use[i].count, sizeof(double), &l->cot[i]));
    }
done:
    return st;
}

void late_free(walker *w)
{
    for (int k = 0; w->late && k < LATE_STEPS; k++) {
        late_step *l = &w->late[k];
        for (int32_t i = 0; l->cot && i < w->t->spec.space->n_uses; i++)
            mem_free(w->ctx, l->cot[i]);
        void *const all[] = {l->local, l->index, l->labels, l->rate, l->cot};
        for (size_t i = 0; i < COUNT(all); i++) mem_free(w->ctx, all[i]);
    }
    mem_free(w->ctx, w->late);
}

static void swap(void *a, void *b)
{
    void *x, *y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    memcpy(a, &y, sizeof y);
    memcpy(b, &x, sizeof x);
}

/* The step's memory in the trainer's place, and back. */
static void change_places(walker *w, late_step *l)
{
    trainer *t = w->t;

    swap(&t->local, &l->local);
    swap(&t->index, &l->index);
    swap(&t->batch_labels, &l->labels);
    swap(&t->slot[SLOT_LR_COT], &l->rate);
    for (int32_t i = 0; i < t->spec.space->n_uses; i++) {
        if (!l->cot[i]) continue;
        swap(&t->use[i].host[USE_COT], &l->cot[i]);
        t->slot[trainer_use_ref(t, i, USE_COT).slot] = t->use[i].host[USE_COT];
    }
}

/* Whether a sum of the device's is to be taken after this step. */
static bool phase_ends(const walker *w, int64_t step)
{
    const space *s = w->t->spec.space;
    bool ends = step == w->first;

    for (int32_t i = 0; i < s->n_uses && !ends; i++)
        ends = w->has_cot[i] && trainer_sums(w->t, i) &&
               space_phase(s, &s->uses[i], step - 1) != space_phase(s, &s->uses[i], step);
    return ends;
}

/* Of the i-th under way. */
static late_step *late_at(const walker *w, int32_t i)
{
    return &w->late[(w->late_head + i) % LATE_STEPS];
}

/* Looks at all but the last `leave`. */
static drmad_status look(walker *w, int32_t leave, double *dvalues)
{
    const int32_t n = w->lates - leave;
    drmad_status st = job_wait(w->back, leave);
    int32_t norms = 0;

    for (int32_t k = n; k < w->lates; k++) norms += late_at(w, k)->normed;
    if (st == DRMAD_OK) st = job_wait(w->norm, norms);
    for (int32_t k = 0; st == DRMAD_OK && k < n; k++) {
        late_step *l = late_at(w, k);
        change_places(w, l);
        st = walker_collect(w, l->step, dvalues);
        change_places(w, l);
        if (st == DRMAD_OK && l->normed) st = walker_note_norm(w, l->step, sqrt(l->square));
    }
    w->late_head = (w->late_head + n) % LATE_STEPS;
    w->lates = leave;
    return st;
}

void late_forget(walker *w)
{
    if (w->lates > 0) {
        (void)job_wait(w->back, 0);
        (void)job_wait(w->norm, 0);
    }
    w->lates = w->late_head = 0;
}

drmad_status late_norm(walker *w)
{
    late_step *l = late_at(w, w->lates - 1);

    l->normed = true;
    return walker_send_norm(w, &l->square);
}

drmad_status late_reverse(walker *w, int64_t step, double *dvalues)
{
    drmad_status st = DRMAD_OK;
    traj_view v;

    TRY(traj_load(w->tr, step, &v)); /* may run steps, on batches of the trainer's own */
    late_step *l = late_at(w, w->lates++);
    l->step = step, l->normed = false;
    change_places(w, l);
    st = trainer_prepare(w->t, step);
    if (st == DRMAD_OK) st = walker_send_step(w, step, &v);
    change_places(w, l);
    if (st == DRMAD_OK && phase_ends(w, step)) return look(w, 0, dvalues);
    if (st == DRMAD_OK && w->lates == LATE_STEPS) st = look(w, LATE_STEPS / 2, dvalues);
done:
    return st;
}
