/* The trials of a study as the GP sampler sees them. */
#include "bo/gp_scene.h"
#include <math.h>
#include <string.h>

static drmad_status scene_room(gp_scene *c)
{
    const size_t n = (size_t)c->h->n + 1, columns = (size_t)c->code->columns;
    drmad_status st = DRMAD_OK;
    drmad_ctx *ctx = c->s->ctx;

    TRY(mem_alloc(ctx, n, sizeof *c->done, &c->done));
    TRY(mem_alloc(ctx, n, sizeof *c->rows, &c->rows));
    TRY(mem_alloc(ctx, n, sizeof *c->notes, &c->notes));
    TRY(mem_alloc(ctx, n, sizeof *c->noted, &c->noted));
    TRY(mem_alloc(ctx, n * (columns + 1), sizeof *c->z, &c->z));
    TRY(mem_alloc(ctx, n, sizeof *c->centres, &c->centres));
done:
    return st;
}

static bool is_complete(const observation *row)
{
    return row->state == OBSERVED_COMPLETE && isfinite(row->value);
}

/* The rows that are (not) pending, from place `at` on. */
static drmad_status take(gp_scene *c, bool pending, int32_t at)
{
    drmad_status st = DRMAD_OK;
    json_t *model = NULL;

    for (int32_t i = 0; i < c->h->n; i++) {
        const observation *row = &c->h->rows[i];

        if ((row->state == OBSERVED_PENDING) != pending) continue;
        TRY(sampler_model(c->s, row, &model));
        c->notes[at] = gp_note_read(model);
        json_decref(model);
        model = NULL;
        c->noted[at] = row;
        encoding_columns(c->code, row->x, c->z + (int64_t)at * c->code->columns);
        if (!pending) {
            c->done[at] = row;
            c->rows[at] = (niche_row){is_complete(row) ? row->value : NAN,
                                      c->z + (int64_t)at * c->code->columns, &c->notes[at]};
            c->n_complete += is_complete(row);
        }
        at++;
    }
    *(pending ? &c->n_pending : &c->n_done) = pending ? at - c->n_done : at;
done:
    return st;
}

/* With unordered choices a ball about a point leaves all other choices in, and what is near to it
 * among them is looked at a second time: measured, docs/SEARCH.md. */
static bool all_numbers(const encoding *code)
{
    for (int32_t i = 0; i < code->n; i++)
        if (code->params[i].choice) return false;
    return true;
}

drmad_status scene_make(const sampler *s, const history *h, int64_t number, const niche_options *o,
                        gp_scene *out)
{
    drmad_status st = DRMAD_OK;

    *out = (gp_scene){.s = s, .h = h, .number = number};
    TRY(encoding_new(s->space, &out->code));
    TRY(scene_room(out));
    TRY(take(out, false, 0));
    TRY(take(out, true, out->n_done));
    if (all_numbers(out->code))
        TRY(niche_closed(s->ctx, o, out->rows, out->n_done, out->code->columns, out->code->n,
                         out->centres, &out->balls));
done:
    if (st != DRMAD_OK) scene_free(out);
    return st;
}

void scene_free(gp_scene *c)
{
    drmad_ctx *ctx = c->s->ctx;

    encoding_free(c->code);
    mem_free(ctx, c->done);
    mem_free(ctx, c->rows);
    mem_free(ctx, c->notes);
    mem_free(ctx, c->noted);
    mem_free(ctx, c->z);
    mem_free(ctx, c->centres);
    *c = (gp_scene){.s = c->s};
}

drmad_status scene_fit(const gp_scene *c, gp_turn turn, int32_t n, double *phi, int32_t *place)
{
    drmad_status st = DRMAD_OK;
    json_t *model = NULL;
    int32_t best = -1;

    for (int32_t i = 0; i < c->n_done + c->n_pending; i++) {
        const gp_note *note = &c->notes[i];

        if (note->turn != turn || note->rows == 0) continue;
        if (turn == GP_NICHE && note->balls != c->balls) continue;
        if (best < 0 || c->noted[i]->number > c->noted[best]->number) best = i;
    }
    *place = -1;
    if (best < 0) return st;
    TRY(sampler_model(c->s, c->noted[best], &model));
    if (gp_note_phi(model, phi, n)) *place = best;
done:
    json_decref(model);
    return st;
}
