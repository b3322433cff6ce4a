/* Models from a folder: as a study's model, and with the caller's data (drmad/graph.h). */
#include "drmad/graph.h"
#include "setup/model.h"
#include "setup/setup_parts.h"
#include <math.h>
#include <string.h>

/* ---- model.import ---- */

/* Rows of images are [h, w, c] here and there; a picture of one channel is also a plain row. */
static bool row_fits(const module *o, const dataset *d)
{
    shape row = d->row;

    if (row.rank == 2) row = SHAPE(row.dim[0], row.dim[1], 1);
    const bool plain = row.rank < 3 || row.dim[2] == 1;
    if (o->tokens)
        return d->row.rank == 1 && o->input.rank == 1 && d->width == o->input.dim[0] + 1 &&
               (d->dtype == I32 || d->dtype == U8);
    if (d->dtype == I32) return false;
    return o->input.rank == 3 ? shape_same(&row, &o->input)
                              : plain && shape_count(&o->input) == d->width;
}

static drmad_status check_data(const setup *s, const imported *m)
{
    const module *o = &m->module;
    const dataset *d = s->train_data;
    char a[96], b[96];

    if (!row_fits(o, d))
        return config_refuse(s->cfg, "model.import",
                             "%s reads rows %s%s, %s has %s %s (images are [h,w,c])", m->folder,
                             shape_print(&o->input, a, sizeof a),
                             o->tokens ? " of tokens, and one more to predict" : "", d->name,
                             dtype_name(d->dtype), shape_print(&d->row, b, sizeof b));
    for (int32_t k = 0; k < o->n_more; k++)
        if (!o->more[k].labels || !o->tokens)
            return config_refuse(s->cfg, "model.import",
                                 "%s also reads %s, which data sets do not have; bind it "
                                 "through drmad_model_bind",
                                 m->folder, o->more[k].name);
    if (!o->tokens && o->classes > 0 && o->classes < d->classes)
        return config_refuse(s->cfg, "model.import", "%s has %lld outputs for %lld classes",
                             m->folder, (long long)o->classes, (long long)d->classes);
    if ((s->cfg->set.dtype == CFG_F64) != (m->f->dtype == F64))
        return config_refuse(s->cfg, "dtype", "%s is %s; export it in the other precision",
                             m->folder, dtype_name(m->f->dtype));
    return DRMAD_OK;
}

/* The lender has read the folder and compared it with PyTorch already. */
static drmad_status open_folder(setup *s)
{
    const char *folder = s->cfg->set.model.import;
    const setup *l = s->lender;
    import_parity ignored;

    if (l && l->import && strcmp(l->import->folder, folder) == 0)
        return import_lend(s->ctx, l->import, &s->import);
    const drmad_status st = import_open(s->ctx, folder, &s->import);
    return st == DRMAD_OK ? import_check(s->import, &ignored) : st;
}

drmad_status setup_import(setup *s)
{
    drmad_status st;

    TRY(open_folder(s));
    s->import->redraws = s->cfg->set.model.redraw;
    TRY(check_data(s, s->import));
    for (int32_t i = 0; i < s->import->params->n; i++) {
        const param *p = &s->import->params->at[i];
        TRY(params_add(s->params, p->name, p->shape, p->role, p->layer));
    }
    for (int32_t i = 0; i < s->import->params->sites; i++)
        TRY(params_add_site(s->params, s->import->params->site[i].name, HYPER_DROPOUT));
done:
    return st;
}

/* ---- drmad/graph.h ---- */

drmad_status drmad_model_import(drmad_ctx *ctx, const char *folder, drmad_model **out)
{
    drmad_status st;
    drmad_model *m = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *m, &m));
    m->ctx = ctx;
    TRY(mem_strdup(ctx, folder, &m->name));
    TRY(import_open(ctx, folder, &m->import));
    m->params = m->import->params;
    m->dtype = m->import->f->dtype;
    TRY(import_check(m->import, &m->parity));
    TRY(model_describe(m));
    *out = m, m = NULL;
done:
    drmad_model_free(m);
    return st;
}

void model_import_forget(drmad_model *m)
{
    for (int part = 0; part < 3; part++) {
        for (int32_t i = 0; i < GRAPH_ROWS_MAX; i++) {
            mem_free(m->ctx, m->rows[part][i]);
            m->rows[part][i] = NULL;
        }
        mem_free(m->ctx, m->labels[part]);
        m->labels[part] = NULL;
    }
    mem_free(m->ctx, m->list);
    m->list = NULL;
}

const char *drmad_model_text(const drmad_model *m)
{
    return m->text;
}

const char *drmad_model_json(const drmad_model *m)
{
    return m->json;
}

void model_import_free(drmad_model *m)
{
    mem_free(m->ctx, m->text);
    mem_free(m->ctx, m->json);
    model_import_forget(m);
    import_close(m->import);
}

/* The number of the file's input that is the `k`th with rows; -1: none. */
static int32_t input_with_rows(const drmad_model *m, int32_t k)
{
    const graph_file *f = m->import ? m->import->f : NULL;

    for (int32_t i = 0; f && i < f->n_inputs; i++)
        if ((f->input[i].role == INPUT_BATCH || f->input[i].role == INPUT_LABEL) && k-- == 0)
            return i;
    return -1;
}

int drmad_model_inputs(const drmad_model *m)
{
    int n = 0;

    while (input_with_rows(m, n) >= 0) n++;
    return n;
}

const char *drmad_model_input_name(const drmad_model *m, int input)
{
    const int32_t i = input < 0 ? -1 : input_with_rows(m, input);

    return i < 0 ? NULL : m->import->f->input[i].name;
}

const char *drmad_model_input_type(const drmad_model *m, int input)
{
    const int32_t i = input < 0 ? -1 : input_with_rows(m, input);

    if (i < 0) return NULL;
    return m->import->f->input[i].type == NUMBER_WHOLE ? "i64" : dtype_name(m->dtype);
}

int64_t drmad_model_input_width(const drmad_model *m, int input)
{
    const int32_t i = input < 0 ? -1 : input_with_rows(m, input);

    if (i < 0) return -1;
    const shape row = import_lies(m->import->f, i, 0);
    return shape_count(&row);
}

int drmad_model_find(const drmad_model *m, const char *tensor)
{
    for (int32_t i = 0; i < m->params->n; i++)
        if (strcmp(m->params->at[i].name, tensor) == 0) return i;
    return -1;
}

/* 64 bits to 32, none of them below `least`. */
static drmad_status narrow(const drmad_model *m, const char *name, const int64_t *from, int64_t n,
                           int64_t least, int32_t *to)
{
    for (int64_t i = 0; i < n; i++) {
        if (from[i] < least || from[i] > INT32_MAX)
            return FAIL(m->ctx, DRMAD_E_DATA, "%s: %s: element %lld is %lld, expected %lld to %d",
                        m->name, name, (long long)i, (long long)from[i], (long long)least,
                        INT32_MAX);
        to[i] = (int32_t)from[i];
    }
    return DRMAD_OK;
}

static drmad_status copy_rows(const drmad_model *m, int32_t input, const void *rows, int64_t count,
                              void **out)
{
    const graph_input *in = &m->import->f->input[input];
    const bool whole = in->type == NUMBER_WHOLE;
    const dtype type = whole ? I32 : m->dtype;
    const shape row = import_lies(m->import->f, input, 0);
    const int64_t least = in->role == INPUT_LABEL ? 0 : INT32_MIN;
    drmad_status st;
    int32_t *narrowed = NULL;
    size_t n;

    if (!size_mul((size_t)count, (size_t)shape_count(&row), &n)) n = SIZE_MAX;
    TRY(mem_alloc(m->ctx, n, dtype_size(type), out));
    if (whole) {
        TRY(mem_alloc(m->ctx, n, sizeof *narrowed, &narrowed));
        TRY(narrow(m, in->name, rows, (int64_t)n, least, narrowed));
    }
    import_copy_rows(m->import->f, input, count, type, whole ? narrowed : rows, type, *out);
done:
    mem_free(m->ctx, narrowed);
    if (st != DRMAD_OK) {
        mem_free(m->ctx, *out);
        *out = NULL;
    }
    return st;
}

/* Labels of every part, and the list of examples, where they are not there yet. */
static drmad_status make_lists(drmad_model *m)
{
    drmad_status st = DRMAD_OK;
    int64_t most = 0;

    for (int part = 0; part < 3; part++) {
        if (m->count[part] > most) most = m->count[part];
        if (!m->labels[part])
            TRY(mem_alloc(m->ctx, (size_t)m->count[part] + 1, sizeof(int32_t), &m->labels[part]));
    }
    if (!m->list) {
        TRY(mem_alloc(m->ctx, (size_t)most + 1, sizeof *m->list, &m->list));
        for (int64_t i = 0; i < most; i++) m->list[i] = (int32_t)i;
    }
done:
    return st;
}

drmad_status drmad_model_bind(drmad_model *m, int part, const char *name, const void *rows,
                              int64_t count)
{
    const int n = drmad_model_inputs(m);
    drmad_status st;
    void *fresh = NULL;
    int k = 0;

    while (k < n && strcmp(drmad_model_input_name(m, k), name) != 0) k++;
    if (k == n)
        return FAIL(m->ctx, DRMAD_E_USAGE, "%s: no input is called \"%.200s\"", m->name, name);
    if (part < 0 || part > 2 || count != m->count[part] || count < 1 || !rows)
        return FAIL(m->ctx, DRMAD_E_USAGE, "%s: %s: %lld rows of part %d, which has %lld examples",
                    m->name, name, (long long)count, part,
                    part < 0 || part > 2 ? 0LL : (long long)m->count[part]);
    const int32_t input = input_with_rows(m, k);
    TRY(make_lists(m));
    TRY(copy_rows(m, input, rows, count, &fresh));
    if (m->import->slot[input].as == AS_LABELS)
        memcpy(m->labels[part], fresh, (size_t)count * sizeof(int32_t));
    mem_free(m->ctx, m->rows[part][k]);
    m->rows[part][k] = fresh;
done:
    return st;
}

drmad_status drmad_model_set_sources(drmad_model *m, drmad_start_fn *start, drmad_batch_fn *batch,
                                     void *user)
{
    if (!m->import)
        return FAIL(m->ctx, DRMAD_E_USAGE, "%s: the caller computes it, and says all this there",
                    m->name);
    m->sources = (train_sources){start, batch, user};
    return DRMAD_OK;
}

/* ---- rows for a set-up ---- */

drmad_status model_check_rows(const drmad_model *m)
{
    for (int part = 0; part < 3; part++)
        for (int k = 0; m->count[part] > 0 && k < drmad_model_inputs(m); k++)
            if (!m->rows[part][k])
                return FAIL(m->ctx, DRMAD_E_USAGE, "%s: no rows of %s in part %d", m->name,
                            drmad_model_input_name(m, k), part);
    return DRMAD_OK;
}

int32_t model_classes(const drmad_model *m)
{
    int32_t most = -1;

    if (!m->import || m->import->labels < 0) return 0;
    for (int part = 0; part < 3; part++)
        for (int64_t i = 0; i < m->count[part]; i++)
            if (m->labels[part][i] > most) most = m->labels[part][i];
    return most + 1;
}

examples model_examples(const drmad_model *m, int part)
{
    examples e = {.count = m->count[part], .part = part};

    if (!m->import || e.count == 0) return e;
    const module *o = &m->import->module;
    e.n = e.count, e.scale = 1;
    e.list = m->list, e.labels = m->labels[part];
    for (int32_t k = 0, i; (i = input_with_rows(m, k)) >= 0; k++) {
        const import_slot *slot = &m->import->slot[i];
        if (slot->as == AS_MORE) e.more[slot->at] = m->rows[part][k];
        if (slot->as == AS_X) e.rows = m->rows[part][k];
    }
    e.type = o->tokens ? I32 : m->dtype;
    e.width = shape_count(&o->input);
    return e;
}
