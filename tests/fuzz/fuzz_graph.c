/* graph.json: what is accepted is lowered for two sizes of a batch, its weights being ones. */
#include "fuzz.h"
#include "import/import.h"

enum { ELEMENTS_MOST = 1 << 16, TENSORS_MOST = 256 };

static const dtype types[] = {[NUMBER_REAL] = F32, [NUMBER_WHOLE] = I32, [NUMBER_BOOL] = U8};

/* Memory that is 1 in every type. */
typedef struct ones {
    float f32[ELEMENTS_MOST];
    double f64[ELEMENTS_MOST];
    int32_t i32[ELEMENTS_MOST];
    uint8_t u8[ELEMENTS_MOST];
    st_tensor at[TENSORS_MOST];
} ones;

static const void *of_type(const ones *o, dtype t)
{
    return t == F32   ? (const void *)o->f32
           : t == F64 ? (const void *)o->f64
           : t == I32 ? (const void *)o->i32
                      : (const void *)o->u8;
}

/* The tensors that the file names; false where there are too many or too large ones. */
static bool weights_of(const graph_file *f, ones *o, st_file *w)
{
    *w = (st_file){.at = o->at};
    for (int i = 0; i < ELEMENTS_MOST; i++) o->f32[i] = 1, o->f64[i] = 1, o->i32[i] = o->u8[i] = 1;
    for (int32_t i = 0; i < f->n_inputs; i++) {
        const graph_input *in = &f->input[i];
        const dtype t = in->type == NUMBER_REAL ? f->dtype : types[in->type];

        if (!in->full) continue;
        if (w->n == TENSORS_MOST || shape_count(&in->size.of_one) > ELEMENTS_MOST) return false;
        o->at[w->n++] = (st_tensor){in->full, t, in->size.of_one, of_type(o, t)};
    }
    return true;
}

static void lower(drmad_ctx *ctx, const imported *m, int64_t batch)
{
    const nn_pass pass = {.train = true, .key = NODE_NONE};
    graph *g = NULL;
    import_nodes n = {0};
    bool whole;

    if (graph_new(ctx, &g) == DRMAD_OK && import_leaves(g, m, batch, &n) == DRMAD_OK) {
        const module_result r = import_build(g, m, n.w, &n.batch, &pass, &whole, NULL);
        if (graph_status(g) == DRMAD_OK && graph_shape(g, r.rows)->dim[0] != batch) abort();
        if (graph_status(g) != DRMAD_OK && drmad_errmsg(ctx)[0] == '\0') abort();
    }
    import_leaves_free(m, &n);
    graph_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    const blob b = {.name = "input", .at = data, .size = size};
    ones *o = malloc(sizeof *o);
    graph_file *f = NULL;
    imported *m = NULL;
    st_file w;

    if (ctx && o && graph_file_parse(ctx, &b, &f) == DRMAD_OK) {
        if (!weights_of(f, o, &w)) graph_file_free(f);
        else if (import_make(ctx, "input", f, &w, &m) != DRMAD_OK && drmad_errmsg(ctx)[0] == '\0')
            abort();
        if (m) lower(ctx, m, m->f->any ? 3 : m->f->batch);
        import_close(m);
    } else if (ctx && o && drmad_errmsg(ctx)[0] == '\0') {
        abort();
    }
    free(o);
    if (ctx) drmad_ctx_free(ctx);
    return 0;
}
