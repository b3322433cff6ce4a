/* What goes from leg to leg of a rally: weights, the optimiser's state, hyperparameters. */
#include "base/file.h"
#include "compose/rally.h"
#include "setup/grow.h"
#include <stdio.h>
#include <string.h>

/* A leg as the study alone describes it, without a trainer. */
typedef struct shape_of_leg {
    drmad_study *study;
    setup *u;
    space *s; /* with all ties ended */
} shape_of_leg;

static void shape_free(shape_of_leg *l)
{
    space_free(l->s);
    setup_free(l->u);
    drmad_study_free(l->study);
}

static drmad_status space_at(const setup *u, int64_t meta_step, space **out)
{
    const space_facts facts = setup_facts(u, meta_step);

    return space_new(u->ctx, u->params, &facts, u->decl, u->decls, out);
}

static drmad_status shape_new(rally *r, int32_t k, shape_of_leg *l)
{
    drmad_status st = DRMAD_OK;

    *l = (shape_of_leg){0};
    TRY(leg_study(r->s, k, "rally", NULL, &l->study));
    TRY(setup_new(l->study->ctx, l->study->cfg, NULL, l->study->lender, &l->u));
    TRY(space_at(l->u, INT64_MAX, &l->s));
done:
    return st;
}

static void path_of(const rally *r, const char *dir, const char *file, char *path, size_t size)
{
    snprintf(path, size, "%s/%s%s%s", folder_path(r->s->f), dir, dir[0] ? "/" : "", file);
}

static drmad_status read_tensors(const rally *r, const char *name, char *path, size_t size,
                                 st_file **out)
{
    path_of(r, "", name, path, size);
    return safetensors_read(r->s->ctx, path, out);
}

/* ---- weights and the optimiser's state ---- */

drmad_status carry_state(rally *r, int32_t k, const char *dir, const char *to)
{
    char name[2 * RALLY_DIR], path[1200];
    drmad_status st = DRMAD_OK;
    shape_of_leg last = {0}, next = {0};
    start_state state = {0};
    st_file *f = NULL;

    TRY(shape_new(r, k - 1, &last));
    TRY(shape_new(r, k, &next));
    snprintf(name, sizeof name, "%s/state.safetensors", dir);
    TRY(read_tensors(r, name, path, sizeof path, &f));
    TRY(start_state_read(last.u, path, f, &state));
    TRY(grow_state(last.u, next.u, rally_leg(r, k)->noise, &state));
    path_of(r, to, "", path, sizeof path);
    TRY(file_make_folder(r->s->ctx, path));
    path_of(r, to, "start.safetensors", path, sizeof path);
    TRY(start_save_state(path, next.u, &state));
done:
    start_state_free(r->s->ctx, &state);
    mem_free(r->s->ctx, f);
    shape_free(&last);
    shape_free(&next);
    return st;
}

/* ---- hyperparameters ---- */

static drmad_status read_values(const rally *r, const char *name, const space *s, double **out)
{
    drmad_status st = DRMAD_OK;
    st_file *f = NULL;
    char path[1200];

    TRY(read_tensors(r, name, path, sizeof path, &f));
    TRY(mem_alloc(r->s->ctx, (size_t)s->total + 1, sizeof **out, out));
    TRY(start_values(s, path, f, *out));
done:
    mem_free(r->s->ctx, f);
    return st;
}

drmad_status carry_loosen(rally *r, int32_t k, int64_t meta_steps)
{
    drmad_status st = DRMAD_OK;
    double *coarse = NULL, *fine = NULL;
    shape_of_leg leg = {0};
    space *then = NULL;
    char name[RALLY_DIR];

    TRY(shape_new(r, k, &leg));
    TRY(space_at(leg.u, meta_steps > 0 ? meta_steps - 1 : 0, &then));
    snprintf(name, sizeof name, "rally/%d/hyperparameters.safetensors", (int)k + 1);
    TRY(read_values(r, name, then, &coarse));
    TRY(mem_alloc(r->s->ctx, (size_t)leg.s->total + 1, sizeof *fine, &fine));
    TRY(space_loosen(then, coarse, leg.s, fine));
    snprintf(name, sizeof name, "rally/%d/tuned.safetensors", (int)k + 1);
    TRY(start_save_values(r->s->f, name, leg.u, leg.s, fine));
done:
    mem_free(r->s->ctx, coarse);
    mem_free(r->s->ctx, fine);
    space_free(then);
    shape_free(&leg);
    return st;
}

drmad_status carry_values(rally *r, int32_t k)
{
    drmad_status st = DRMAD_OK;
    double *old = NULL, *fresh = NULL;
    shape_of_leg last = {0}, next = {0};
    char name[RALLY_DIR];

    TRY(shape_new(r, k - 1, &last));
    TRY(shape_new(r, k, &next));
    snprintf(name, sizeof name, "rally/%d/tuned.safetensors", (int)k);
    TRY(read_values(r, name, last.s, &old));
    TRY(mem_alloc(r->s->ctx, (size_t)next.s->total + 1, sizeof *fresh, &fresh));
    TRY(grow_values(&(grow_side){last.u, last.s}, old, &(grow_side){next.u, next.s}, fresh));
    snprintf(name, sizeof name, "rally/%d/start-values.safetensors", (int)k + 1);
    TRY(start_save_values(r->s->f, name, next.u, next.s, fresh));
done:
    mem_free(r->s->ctx, old);
    mem_free(r->s->ctx, fresh);
    shape_free(&last);
    shape_free(&next);
    return st;
}
