/* The small net's training step and reverse step written by hand, as plain calls of the kernels
 * that a plan runs too: no graph, no planner. With x~ = dF/dx, u = b~ - lr w~:
 *
 *   step     p = g + l2 w per input unit    b' = mu b + p    w' = w - lr b'
 *   reverse  b~ = mu u    w~ += (d2L/dw dw) u + l2 u    l2~ = sum over outputs of w u
 *
 * Compared with the planned steps by bench_twin.c. */
#ifndef TWIN_H
#define TWIN_H
#include "exec/cpu/tile.h"
#include "lab.h"

enum { LAYERS = 4, BATCH = 50, CLASSES = 10, AHEAD = 4, LINE = 64 };

/* Values of one layer: outputs a and their slope 1 - a*a; t_: tangents along u; d_: dL/d. */
typedef struct layer {
    int64_t in, out, w, b; /* w, b: where they start in the flat buffers */
    float *a, *slope, *t_a, *l2, *l2_cot, *planned_cot;
} layer;

typedef struct twin {
    trainer *t;
    cpu_isa isa;
    const tile_fns *tile;
    layer l[LAYERS];
    float *x, *p, *u, *grad, *d[2], *t_d[2], *g, *t_g, *work;
    float lr, mu, loss;
} twin;

static float *floats(int64_t n)
{
    float *x = aligned_alloc(64, ((size_t)n * sizeof *x + 127) / 64 * 64);

    if (!x) abort();
    memset(x, 0, (size_t)n * sizeof *x);
    return x;
}

static void ew(const twin *w, ew_op op, int64_t n, float *y, const float *const in[3], double s)
{
    ew_get(w->isa, F32, op)(n, y, in[0], in[1], in[2], s);
}
#define EW(op, n, y, s, ...) ew(w, EW_##op, n, y, (const float *const[3]){__VA_ARGS__}, s)

/* c [+]= op(a) op(b), all dense. */
static void product(const twin *w, const char *how, const int64_t mnk[3], const float *const in[2],
                    float *c)
{
    gemm_shape s = {.m = mnk[0], .n = mnk[1], .k = mnk[2], .ldc = mnk[1]};

    s.ta = how[0] == 'T', s.tb = how[1] == 'T', s.acc = how[2] == '+';
    s.lda = s.ta ? s.m : s.k, s.ldb = s.tb ? s.k : s.n;
    gemm_f32(w->isa, &s, in[0], in[1], c, w->work);
}
#define PRODUCT(how, m, n, k, a, b, c)                                                             \
    product(w, how, (const int64_t[3]){m, n, k}, (const float *const[2]){a, b}, c)

static void gather(const twin *w)
{
    const int64_t width = w->l[0].in;
    const uint8_t *rows = w->t->spec.train.rows;

    for (int64_t i = 0; i < BATCH; i++) {
        const uint8_t *next = rows + w->t->index[i + AHEAD < BATCH ? i + AHEAD : i] * width;
        for (int64_t k = 0; k < width; k += LINE) __builtin_prefetch(next + k);
        w->tile->scale_u8(width, w->x + i * width, rows + w->t->index[i] * width,
                          w->t->spec.train.scale);
    }
}

static const float *input_of(const twin *w, int l)
{
    return l > 0 ? w->l[l - 1].a : w->x;
}

static void forward(const twin *w, const float *flat)
{
    for (int l = 0; l < LAYERS; l++) {
        const layer *y = &w->l[l];
        const int64_t n = BATCH * y->out;
        w->tile->spread_cols(BATCH, y->out, y->a, flat + y->b);
        PRODUCT("NT+", BATCH, y->out, y->in, input_of(w, l), flat + y->w, y->a);
        if (l + 1 < LAYERS) EW(TANH, n, y->a, 0, y->a);
    }
}

/* p = softmax(z), d = (p - onehot)/B, and the loss. */
static void soft_max(twin *w)
{
    const layer *y = &w->l[LAYERS - 1];
    float most[BATCH];
    double sum[BATCH] = {0}, loss = 0;

    w->tile->row_maxs(BATCH, CLASSES, most, y->a);
    w->tile->minus_rows(BATCH, CLASSES, w->p, y->a, most);
    EW(EXP, BATCH * CLASSES, w->p, 0, w->p);
    w->tile->row_sums(BATCH, CLASSES, sum, w->p, NULL);
    for (int64_t i = 0; i < BATCH; i++) {
        const int32_t k = w->t->batch_labels[i];
        float *p = w->p + i * CLASSES, *d = w->d[0] + i * CLASSES;
        loss += log(sum[i]) + (double)(most[i] - y->a[i * CLASSES + k]);
        for (int j = 0; j < CLASSES; j++) {
            p[j] *= (float)(1 / sum[i]);
            d[j] = p[j] * (1.0F / BATCH) - (j == k ? 1.0F / BATCH : 0);
        }
    }
    w->loss = (float)(loss / BATCH);
}

static void col_sums(const twin *w, int64_t cols, float *y, const float *a)
{
    memset(y, 0, (size_t)cols * sizeof *y);
    w->tile->add_rows(BATCH, cols, y, a, NULL);
}

/* One run of parameters: b = mu b + g, w = w - lr b. */
static void update(const twin *w, int64_t n, const float *g, float *flat, float *b)
{
    EW(SFMA, n, b, 0, b, &w->mu, g);
    EW(SFNMA, n, flat, 0, b, &w->lr, flat);
}

static void backward(twin *w, float *flat, float *b)
{
    for (int l = LAYERS - 1, now = 0; l >= 0; l--, now = !now) {
        const layer *y = &w->l[l];
        const float *in = input_of(w, l), *d = w->d[now];
        PRODUCT("TN ", y->out, y->in, BATCH, d, in, w->grad);
        if (l > 0) {
            PRODUCT("NN ", BATCH, y->in, y->out, d, flat + y->w, w->d[!now]);
            EW(DTANH, BATCH * y->in, w->d[!now], 0, in, NULL, w->d[!now]);
        }
        for (int64_t r = 0; r < y->out; r++) {
            float *g = w->grad + r * y->in, *at = flat + y->w + r * y->in;
            EW(FMA, y->in, g, 0, at, y->l2, g);
            update(w, y->in, g, at, b + y->w + r * y->in);
        }
        col_sums(w, y->out, w->g, d);
        update(w, y->out, w->g, flat + y->b, b + y->b);
    }
}

static void twin_step(twin *w, float *flat, float *b)
{
    gather(w);
    forward(w, flat);
    soft_max(w);
    backward(w, flat, b);
}

/* ---- the reverse step ---- */

/* u, b~ and l2~, a row at a time. */
static void direction(const twin *w, const float *flat, const float *w_cot, float *b_cot)
{
    for (int l = 0; l < LAYERS; l++) {
        const layer *y = &w->l[l];
        memset(y->l2_cot, 0, (size_t)y->in * sizeof *y->l2_cot);
        for (int64_t r = 0; r <= y->out; r++) {
            const int64_t at = r < y->out ? y->w + r * y->in : y->b;
            const int64_t n = r < y->out ? y->in : y->out;
            EW(AXPY, n, w->u + at, -(double)w->lr, w_cot + at, b_cot + at);
            EW(SCALE, n, b_cot + at, (double)w->mu, w->u + at);
            if (r < y->out) w->tile->add_rows(1, n, y->l2_cot, flat + at, w->u + at);
        }
    }
}

static void forward_tangent(const twin *w, const float *flat)
{
    static const float one = 1;

    for (int l = 0; l < LAYERS; l++) {
        const layer *y = &w->l[l];
        const int64_t n = BATCH * y->out;
        w->tile->spread_cols(BATCH, y->out, y->t_a, w->u + y->b);
        PRODUCT("NT+", BATCH, y->out, y->in, input_of(w, l), w->u + y->w, y->t_a);
        if (l > 0)
            PRODUCT("NT+", BATCH, y->out, y->in, w->l[l - 1].t_a, flat + y->w, y->t_a);
        if (l + 1 == LAYERS) continue;
        EW(MUL, n, y->slope, 0, y->a, y->a);
        EW(SCALE, n, y->slope, -1, y->slope);
        EW(SADD, n, y->slope, 0, y->slope, &one);
        EW(MUL, n, y->t_a, 0, y->t_a, y->slope);
    }
}

/* t_d = p (t_z - <p, t_z>)/B */
static void soft_max_tangent(const twin *w)
{
    const float *t_z = w->l[LAYERS - 1].t_a;
    double dot[BATCH] = {0};
    float mean[BATCH];

    w->tile->row_sums(BATCH, CLASSES, dot, w->p, t_z);
    for (int i = 0; i < BATCH; i++) mean[i] = (float)dot[i];
    w->tile->minus_rows(BATCH, CLASSES, w->t_d[0], t_z, mean);
    EW(MUL, BATCH * CLASSES, w->t_d[0], 0, w->t_d[0], w->p);
    EW(SCALE, BATCH * CLASSES, w->t_d[0], 1.0 / BATCH, w->t_d[0]);
}

/* d, t_d of the layer below: d = g slope, t_d = t_g slope - 2 g a t_a. */
static void below(const twin *w, int l, int now, const float *flat)
{
    const layer *y = &w->l[l], *x = &w->l[l - 1];
    const int64_t n = BATCH * y->in;

    PRODUCT("NN ", BATCH, y->in, y->out, w->d[now], flat + y->w, w->g);
    PRODUCT("NN ", BATCH, y->in, y->out, w->t_d[now], flat + y->w, w->t_g);
    PRODUCT("NN+", BATCH, y->in, y->out, w->d[now], w->u + y->w, w->t_g);
    EW(MUL, n, w->d[!now], 0, w->g, x->slope);
    EW(MUL, n, w->t_d[!now], 0, x->a, x->t_a);
    EW(MUL, n, w->t_d[!now], 0, w->t_d[!now], w->g);
    EW(SCALE, n, w->t_d[!now], -2, w->t_d[!now]);
    EW(FMA, n, w->t_d[!now], 0, w->t_g, x->slope, w->t_d[!now]);
}

static void twin_reverse(twin *w, const float *flat, float *w_cot, float *b_cot)
{
    gather(w);
    direction(w, flat, w_cot, b_cot);
    forward(w, flat);
    forward_tangent(w, flat);
    soft_max(w);
    soft_max_tangent(w);
    for (int l = LAYERS - 1, now = 0; l >= 0; l--, now = !now) {
        const layer *y = &w->l[l];
        PRODUCT("TN ", y->out, y->in, BATCH, w->t_d[now], input_of(w, l), w->grad);
        if (l > 0)
            PRODUCT("TN+", y->out, y->in, BATCH, w->d[now], w->l[l - 1].t_a, w->grad);
        for (int64_t r = 0; r < y->out; r++) {
            const int64_t at = y->w + r * y->in;
            float *g = w->grad + r * y->in;
            EW(FMA, y->in, g, 0, w->u + at, y->l2, g);
            EW(ADD, y->in, w_cot + at, 0, w_cot + at, g);
        }
        w->tile->add_rows(BATCH, y->out, w_cot + y->b, w->t_d[now], NULL);
        if (l > 0) below(w, l, now, flat);
    }
}

static void twin_open(twin *w, trainer *t)
{
    const int64_t total = t->spec.params->total, most = BATCH * t->spec.model.input.dim[0];
    float **all[] = {&w->x,      &w->p,      &w->u, &w->grad, &w->d[0], &w->d[1],
                     &w->t_d[0], &w->t_d[1], &w->g, &w->t_g,  &w->work};

    for (size_t i = 0; i < COUNT(all); i++) *all[i] = floats(most > total ? most : total);
    w->t = t;
    w->isa = cpu_isa_best();
    w->tile = tile_get(w->isa, F32);
    w->lr = 0.01F, w->mu = 0.9F;
    for (int32_t i = 0; i < LAYERS; i++) {
        const param *p = t->spec.params->at;
        const hyper_use *u = space_find(t->spec.space, HYPER_L2, 2 * i);
        const int32_t use = (int32_t)(u - t->spec.space->uses);
        w->l[i] = (layer){.in = p[2 * i].shape.dim[1],
                          .out = p[2 * i].shape.dim[0],
                          .w = p[2 * i].offset,
                          .b = p[2 * i + 1].offset,
                          .l2 = t->slot[trainer_use_ref(t, use, USE_VALUE).slot],
                          .planned_cot = t->slot[trainer_use_ref(t, use, USE_COT).slot]};
        float **mine[] = {&w->l[i].a, &w->l[i].slope, &w->l[i].t_a, &w->l[i].l2_cot};
        for (size_t k = 0; k < COUNT(mine); k++) *mine[k] = floats(BATCH * w->l[0].in);
    }
}
#endif
