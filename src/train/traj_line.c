/* line: only w_0 and w_T; the states between lie on the straight line,
 *
 *   w_t = w_0 + (t/T) (w_T - w_0)
 *
 * Source: Fu, Luo, Feng, Low, Chua, "DrMAD: Distilling Reverse-Mode Automatic Differentiation
 * for Optimizing
 *         Hyperparameters of Deep Neural Networks", IJCAI 2016 (arXiv 1601.00917), section 3.
 * Close only while the learning rate times T is small; what goes wrong beyond is in
 * docs/MATH.md. */
#include "train/traj_kinds.h"

typedef struct line {
    void *first, *last; /* w_0, w_T */
    void *mid[2];       /* w_t and w_{t+1}, by t modulo 2 */
    void *there[2];     /* a device's, likewise */
} line;

static drmad_status line_open(trajectory *tr)
{
    drmad_status st = DRMAD_OK;
    size_t bytes = traj_vector_bytes(&tr->spec);
    line *l;

    TRY(traj_hold(tr, 1, sizeof *l, &l));
    tr->kept = l;
    TRY(traj_hold(tr, bytes, 1, &l->first));
    TRY(traj_hold(tr, bytes, 1, &l->last));
    TRY(traj_hold(tr, bytes, 1, &l->mid[0]));
    TRY(traj_hold(tr, bytes, 1, &l->mid[1]));
    for (int k = 0; k < 2 && !tr->spec.on->host; k++) TRY(traj_hold_vectors(tr, 1, &l->there[k]));
done:
    return st;
}

static void line_close(trajectory *tr)
{
    line *l = tr->kept;

    mem_free(tr->ctx, l->first);
    mem_free(tr->ctx, l->last);
    mem_free(tr->ctx, l->mid[0]);
    mem_free(tr->ctx, l->mid[1]);
    for (int k = 0; k < 2; k++) traj_free_vectors(tr, l->there[k]);
    mem_free(tr->ctx, l);
}

static drmad_status line_begin(trajectory *tr)
{
    (void)tr;
    return DRMAD_OK;
}

static drmad_status line_record(trajectory *tr, int64_t t, void *const state[], const void *masks)
{
    const line *l = tr->kept;
    const backend *on = tr->spec.on;
    void *to = t == 0 ? l->first : l->last;

    (void)masks;
    if (t > 0 && t < tr->spec.steps) return DRMAD_OK;
    return on->copy(on, tr->ctx, COPY_DOWN, to, state[0], traj_vector_bytes(&tr->spec));
}

static void between_f32(float *restrict w, const float *a, const float *b, double s, int64_t n)
{
    for (int64_t i = 0; i < n; i++) w[i] = a[i] + (float)s * (b[i] - a[i]);
}

static void between_f64(double *restrict w, const double *a, const double *b, double s, int64_t n)
{
    for (int64_t i = 0; i < n; i++) w[i] = a[i] + s * (b[i] - a[i]);
}

static drmad_status line_load(trajectory *tr, int64_t t, traj_view *out)
{
    line *l = tr->kept;
    drmad_status st = DRMAD_OK;
    int64_t n = tr->spec.params->total, steps = tr->spec.steps;
    double s = (double)t / (double)steps;
    void *w = t == 0 ? l->first : l->mid[t % 2];

    if (t > 0 && tr->spec.dtype == F32) between_f32(w, l->first, l->last, s, n);
    if (t > 0 && tr->spec.dtype == F64) between_f64(w, l->first, l->last, s, n);
    *out = (traj_view){.next = {tr->spec.on->host ? l->mid[(t + 1) % 2] : l->there[(t + 1) % 2]}};
    if (t + 1 == steps) TRY(traj_up(tr, l->last, l->there[(t + 1) % 2], &out->next[0]));
    TRY(traj_up(tr, w, l->there[t % 2], &out->now[0]));
done:
    return st;
}

size_t traj_line_bytes(const traj_spec *s)
{
    return sizeof(line) + 4 * traj_vector_bytes(s);
}

const traj_ops traj_line = {
    .name = "line",
    .open = line_open,
    .close = line_close,
    .begin = line_begin,
    .record = line_record,
    .load = line_load,
};
