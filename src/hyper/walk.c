/* A walker's life, and one hypergradient from start to end. */
#include "hyper/walker.h"
#include <math.h>
#include <string.h>

/* What a trajectory of weights alone cannot give an optimiser besides SGD. */
static drmad_status check_path(walker *w, const char *kind)
{
    const train_spec *s = &w->t->spec;
    const optim_spec *o = &s->optim;
    double eps = s->eps;

    if (o->kind == OPTIM_SGD || w->exact) return DRMAD_OK;
    if (w->spec.stride > 1)
        return FAIL(w->ctx, DRMAD_E_CONFIG,
                    "trajectory.stride: fast is only for sgd: several steps of an optimiser with "
                    "averaged squares are not one longer step; use exact");
    if (traj_kind_of(w->tr) == TRAJ_LINE)
        return FAIL(w->ctx, DRMAD_E_CONFIG,
                    "trajectory.kind: line has no averaged squares, which the optimiser divides "
                    "by; use grid, full or replay");
    if (o->centered)
        return FAIL(w->ctx, DRMAD_E_CONFIG,
                    "optimizer.centered: trajectory: %s keeps no average gradient; use full or "
                    "replay",
                    kind);
    if (space_has(s->space, HYPER_MOMENTUM))
        return FAIL(w->ctx, DRMAD_E_CONFIG,
                    "momentum: of rmsprop needs its buffer, which trajectory: %s does not keep; "
                    "use full or replay",
                    kind);
    for (int32_t i = 0; i < s->space->n_slices; i++)
        if (s->space->slices[i].kind == HYPER_EPS) eps = fmin(eps, s->space->slices[i].low);
    if ((o->eps_inside ? eps : eps * eps) < 1e-8) /* grid.md, section 3 */
        base_log(
            w->ctx, LOG_WARN,
            "optimizer.eps: %g %s the root is too small for trajectory: %s: expect no faithful "
            "hypergradient; use eps_inside: true with 1e-8 or more, or trajectory: full or "
            "replay",
            eps, o->eps_inside ? "inside" : "outside", kind);
    return DRMAD_OK;
}

static drmad_status check_stride(const walker *w)
{
    const train_spec *s = &w->t->spec;

    if (w->spec.stride == 1) return DRMAD_OK;
    if (!w->t->on->host)
        return FAIL(w->ctx, DRMAD_E_CONFIG,
                    "trajectory.stride: fast works on vectors in host memory, and the model's live "
                    "on a device; use exact");
    for (int32_t i = 0; i < s->params->n; i++)
        if (s->params->at[i].role == PARAM_STAT)
            return FAIL(w->ctx, DRMAD_E_CONFIG,
                        "trajectory.stride: fast steps over the running statistics of batch norm; "
                        "use exact");
    if (space_has(s->space, HYPER_MOMENTUM))
        return FAIL(w->ctx, DRMAD_E_CONFIG,
                    "trajectory.stride: fast steps over the buffers that momentum's hypergradient "
                    "is made of; use exact");
    return DRMAD_OK;
}

/* What is made after the trajectory: the way back, audits. Their peak, in tunings of dense and
 * convolutional nets over the host driver, was within four plans of a step and 16 vectors. */
static size_t made_later(const trainer *t)
{
    return 4 * program_bytes(t->step->prog) + 16 * (size_t)t->spec.params->total * t->size;
}

/* The limit of states on a device: for `auto` so that all else has room beside them. */
static drmad_status find_room(const walker *w, size_t *out)
{
    const backend *on = w->t->on;
    drmad_status st = DRMAD_OK;
    size_t left, later = 0;

    *out = 0;
    if (!on->room) return DRMAD_OK;
    TRY(on->room(on, &left));
    if (w->spec.trajectory == TRAJ_AUTO) later = trainer_later_bytes(w->t) + made_later(w->t);
    left = left > later ? left - later : 1;
    *out = w->spec.fills_device || !w->spec.memory || left < w->spec.memory ? left : w->spec.memory;
done:
    return st;
}

static drmad_status open_trajectory(walker *w)
{
    const train_spec *s = &w->t->spec;
    drmad_status st = DRMAD_OK;

    w->kept = (traj_spec){
        .kind = w->spec.trajectory,
        .first = w->first,
        .quality = w->spec.quality,
        .dtype = s->dtype,
        .params = s->params,
        .steps = s->steps,
        .vectors = w->t->vectors,
        .squares = optim_squares(&s->optim) > 0 ? optim_squares(&s->optim) : 0,
        .memory_of_squares = s->beta2,
        .first_step = optim_first_step(&s->optim, s->beta2),
        .memory = w->spec.memory,
        .spill_dir = w->spec.spill_dir,
        .mask_bytes = w->t->mask_bytes,
        .kinked = s->oracle || s->model.kinked, /* an oracle's loss may have any kinks */
        .on = w->t->on,
        .step = trainer_replay_step,
        .user = w->t,
    };
    TRY(find_room(w, &w->kept.room));
    if (w->spec.estimator.kind == ESTIMATOR_TRUNCATED && w->kept.kind == TRAJ_AUTO) {
        w->kept.kind = TRAJ_FULL;
        if (traj_limit(&w->kept) && traj_estimate(&w->kept) > traj_limit(&w->kept))
            w->kept.kind = TRAJ_REPLAY;
    }
    TRY(traj_new(w->ctx, &w->kept, &w->tr));
    const traj_kind kind = traj_kind_of(w->tr);
    w->exact =
        (kind == TRAJ_FULL || kind == TRAJ_REPLAY) && !w->spec.path_only && w->spec.stride == 1;
    TRY(check_stride(w));
    TRY(check_path(w, traj_kind_name(kind)));
    w->squares = !w->exact && w->kept.squares && kind == TRAJ_GRID;
    TRY(space_check_trajectory(s->space, traj_kind_name(kind), w->exact));
done:
    return st;
}

/* On a path without b every phase of every momentum use has its own sum. */
static drmad_status momentum_sums(walker *w)
{
    trainer *t = w->t;
    const space *s = t->spec.space;
    drmad_status st = DRMAD_OK;
    int32_t n = 0, slot;

    if (w->exact || t->spec.optim.kind != OPTIM_SGD) return DRMAD_OK;
    for (int32_t i = 0; i < s->n_uses; i++)
        if (s->uses[i].kind == HYPER_MOMENTUM) n += (int32_t)s->slices[s->uses[i].slice].phases;
    if (n == 0) return DRMAD_OK;
    TRY(mem_alloc(w->ctx, (size_t)n, sizeof *w->sum, &w->sum));
    TRY(trainer_add_slots(t, 3 * n, &slot));
    for (int32_t i = 0; i < s->n_uses; i++) {
        if (s->uses[i].kind != HYPER_MOMENTUM) continue;
        for (int32_t k = 0; k < s->slices[s->uses[i].slice].phases; k++, slot += 3) {
            w->sum[w->sums++] = (momentum_sum){i, k, slot};
            TRY(mem_alloc(w->ctx, 1, t->size, &t->slot[slot]));
            TRY(mem_alloc(w->ctx, t->use[i].count, t->size, &t->slot[slot + 1]));
            TRY(trainer_vector(t, (size_t)t->spec.params->at[s->uses[i].tensor].count,
                               &t->slot[slot + 2]));
        }
    }
done:
    return st;
}

/* Memory on a device for the states that the reverse plan reads; see walker_send_step. */
static drmad_status fix_states(walker *w)
{
    const int32_t squares = w->squares ? optim_squares(&w->t->spec.optim) : -1;
    const size_t flat = (size_t)w->t->spec.params->total;
    drmad_status st = DRMAD_OK;

    for (int32_t k = 0; w->t->on->mixed && !w->solve && k < w->t->vectors; k++) {
        if (job_reads(w->back, (slot_id)(SLOT_W + k)))
            TRY(trainer_vector(w->t, flat, &w->fixed[0][k]));
        if (k != squares && job_reads(w->back, (slot_id)(SLOT_W1 + k)))
            TRY(trainer_vector(w->t, flat, &w->fixed[1][k]));
    }
done:
    return st;
}

drmad_status walker_new(drmad_ctx *ctx, trainer *t, const walk_spec *spec, walker **out)
{
    const size_t flat = (size_t)t->spec.params->total, uses = (size_t)t->spec.space->n_uses + 1;
    drmad_status st = DRMAD_OK;
    walker *w = NULL;

    *out = NULL;
    if (t->spec.half)
        return FAIL(ctx, DRMAD_E_MODEL,
                    "hypergradients: the trainer keeps activations in bf16, too few digits for a "
                    "walk back; make it with f32");
    TRY(mem_alloc(ctx, 1, sizeof *w, &w));
    w->ctx = ctx;
    w->t = t;
    w->spec = *spec;
    w->exact = true;
    TRY(estimator_open(w));
    if (estimator_walks(w)) TRY(open_trajectory(w));
    TRY(mem_alloc(ctx, uses, sizeof *w->has_cot, &w->has_cot));
    TRY(mem_alloc(ctx, uses, sizeof *w->inverted, &w->inverted));
    TRY(mem_alloc(ctx, uses, sizeof *w->tangent_of, &w->tangent_of));
    for (int32_t k = 0; k < t->vectors; k++) TRY(trainer_vector(t, flat, &w->cot[k]));
    TRY(mem_alloc(ctx, flat, sizeof *w->dw, &w->dw));
    if (spec->stride > 1) TRY(mem_alloc(ctx, flat, t->size, &w->ahead));
    if (spec->stride > 1) TRY(mem_alloc(ctx, flat, t->size, &w->middle));
    TRY(momentum_sums(w));
    TRY(rates_new(w));
    if (spec->estimator.kind == ESTIMATOR_IMPLICIT) TRY(implicit_open(w));
    else TRY(walker_build_back(w));
    TRY(walker_build_norm(w));
    TRY(late_new(w));
    TRY(fix_states(w));
    *out = w, w = NULL;
done:
    walker_free(w);
    return st;
}

void walker_free(walker *w)
{
    if (!w) return;
    for (int32_t k = 0; k < w->sums; k++) {
        void **slot = &w->t->slot[w->sum[k].slot];
        mem_free(w->ctx, slot[0]);
        mem_free(w->ctx, slot[1]);
        trainer_vector_free(w->t, slot[2]);
        slot[0] = slot[1] = slot[2] = NULL;
    }
    for (int i = 0; w->norm_slot && i < 3; i++) {
        mem_free(w->ctx, w->t->slot[w->norm_slot + i]);
        w->t->slot[w->norm_slot + i] = NULL;
    }
    if (w->square_slot) {
        if (!w->t->on->mixed) trainer_vector_free(w->t, w->t->slot[w->square_slot]);
        w->t->slot[w->square_slot] = NULL;
    }
    rates_free(w);
    late_free(w);
    implicit_close(w);
    traj_free(w->tr);
    job_free(w->back);
    job_free(w->direction);
    job_free(w->tangent);
    job_free(w->norm);
    for (int k = 0; k < OPTIM_VECTORS; k++) trainer_vector_free(w->t, w->cot[k]);
    for (int k = 0; k < 2 * OPTIM_VECTORS; k++) trainer_vector_free(w->t, w->fixed[k % 2][k / 2]);
    for (int k = 0; k < OPTIM_VECTORS; k++) trainer_vector_free(w->t, w->tan[k]);
    void *all[] = {w->has_cot, w->inverted, w->tangent_of, w->sum, w->dw, w->ahead, w->middle};
    for (size_t i = 0; i < COUNT(all); i++) mem_free(w->ctx, all[i]);
    mem_free(w->ctx, w);
}

static drmad_status clear_sums(walker *w)
{
    const trainer *t = w->t;
    drmad_status st = DRMAD_OK;

    for (int32_t k = 0; k < w->sums; k++) {
        const param *p = &t->spec.params->at[t->spec.space->uses[w->sum[k].use].tensor];
        TRY(t->on->copy(t->on, w->ctx, COPY_WITHIN, t->slot[w->sum[k].slot + 2], NULL,
                        (size_t)p->count * t->size));
    }
done:
    return st;
}

drmad_status walker_start_adjoint(walker *w)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;
    void *wcot;

    TRY(trainer_stage(t, w->cot[0], &wcot));
    for (int64_t i = 0; i < t->spec.params->total; i++) trainer_put(t, wcot, i, w->dw[i]);
    TRY(trainer_send(t, w->cot[0]));
    for (int32_t k = 1; k < t->vectors; k++) TRY(trainer_clear(t, w->cot[k]));
done:
    return st;
}

static drmad_status walk_back(walker *w, const double *values, uint64_t seed, walk_report *r,
                              double *dvalues)
{
    drmad_status st = DRMAD_OK;

    TRY(walker_start_adjoint(w));
    TRY(clear_sums(w));
    rates_begin(w);
    trainer_restart(w->t, values, seed);
    TRY(walker_back(w, r, dvalues));
    TRY(trainer_replay_end(w->t));
done:
    r->kept = traj_stats_of(w->tr);
    return st;
}

/* The run, recorded; `along` takes what the one-step estimator makes meanwhile. */
static drmad_status run(walker *w, const double *values, uint64_t seed, const examples *objective,
                        walk_report *r, double *along)
{
    const double start = base_now();
    const drmad_status st = along ? walker_one_step(w, values, seed, objective, r, along)
                                  : trainer_run(w->t, values, seed, w->tr, &r->run);

    r->train_seconds = base_now() - start;
    return st;
}

drmad_status walker_gradient(walker *w, const double *values, uint64_t seed,
                             const examples *objective, walk_report *r, double *dvalues)
{
    trainer *t = w->t;
    const size_t total = (size_t)t->spec.space->total;
    drmad_status st = DRMAD_OK;
    double start = base_now(), *along = NULL;

    *r = (walk_report){.trajectory = walker_kind(w), .residual = NAN};
    if (w->spec.estimator.kind == ESTIMATOR_ONE_STEP)
        TRY(mem_alloc(w->ctx, total + 1, sizeof *along, &along));
    TRY(run(w, values, seed, objective, r, along));
    start = base_now();
    TRY(trainer_eval(t, objective, values, &r->value, w->dw, dvalues));
    r->eval_seconds = base_now() - start;

    start = base_now();
    if (w->tr) TRY(walk_back(w, values, seed, r, dvalues));
    if (w->solve) TRY(walker_implicit(w, values, seed, r, dvalues));
    for (size_t i = 0; along && i < total; i++) dvalues[i] += along[i];
    for (size_t i = 0; i < total; i++)
        if (!isfinite(dvalues[i]))
            TRY(FAIL(w->ctx, DRMAD_E_DIVERGED, "a hypergradient is %g", dvalues[i]));
    if (!w->solve) r->products = r->steps;
done:
    r->reverse_seconds = r->steps ? base_now() - start : 0;
    mem_free(w->ctx, along);
    return st;
}

size_t walker_bytes(const walker *w)
{
    const size_t flat = (size_t)w->t->spec.params->total;

    return flat * (2 * (size_t)w->t->vectors * w->t->size + sizeof(double)) +
           program_bytes(w->back->prog) + (w->direction ? program_bytes(w->direction->prog) : 0) +
           (w->tr ? traj_estimate(&w->kept) : 0) + implicit_bytes(w) + rates_bytes(w);
}

size_t walker_later_bytes(const walker *w)
{
    const size_t all = made_later(w->t), back = w->back ? program_bytes(w->back->prog) : 0;

    return (all > back ? all - back : 0) + (w->tr ? traj_later_bytes(w->tr) : 0);
}

void walker_explain(const walker *w, void (*line)(void *user, const char *text), void *user)
{
    plan_explain(w->back->plan, line, user);
}

traj_kind walker_kind(const walker *w)
{
    return w->tr ? traj_kind_of(w->tr) : TRAJ_NONE;
}

int64_t walker_step_macs(const walker *w)
{
    return w->back->plan->counts.macs;
}
