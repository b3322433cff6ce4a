/* y and dx in F32. A tile is some pixels of a line x a panel of channels, 1 to 3 vectors; its sums
 * stay in registers while the kernel runs down the taps and channels of the operand. Weights are
 * packed for that: for each group and pair of phases, panel after panel, each taps x channels x
 * the panel's channels in whole vectors. Nothing is gathered: pixels of a line lie evenly apart. */
#include "exec/cpu/conv_f32.h"

enum { DEEP_MAX = 1536, PACK_BLOCK = 8 }; /* DEEP_MAX x 2 vectors: 192 KiB */

#define conv_sizes GEMM_ISA(conv_sizes)
#define conv_pack GEMM_ISA(conv_pack)
#define conv_run GEMM_ISA(conv_run)

void conv_sizes(conv *c)
{
    const size_t area = (size_t)conv_area(c), to = (size_t)conv_whole(conv_to_group(c));
    conv_job j;

    conv_job_open(&j, c, NULL);
    c->work = j.bytes;
    const size_t weights = area * (size_t)conv_from(c) * to * sizeof(float);
    c->packed = c->op == CONV_DW ? 0 : weights;
    c->sums = c->op == CONV_DW ? (size_t)c->shares * weights : 0;
}

/* ---- weights ---- */

/* One panel: channels first .. first + live of group g, to out[tap][channel][wide]. */
typedef struct panel_of {
    int64_t g, first, live, wide;
    const int64_t *row, *col; /* taps */
    int64_t rows, cols;
} panel_of;

static void pack_taps(const panel_of *p, const float *w, int64_t kernel_cols, int64_t step,
                      float *out)
{
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t s = 0; s < p->cols; s++, out += step)
            *out = w[p->row[r] * kernel_cols + p->col[s]];
}

static void pack_panel(const conv *c, const panel_of *p, const float *w, float *out)
{
    const int64_t from = conv_from_group(c), to = conv_to_group(c), area = conv_area(c);
    const bool back = c->op == CONV_DX; /* w[from][to] there, w[to][from] else */
    const int64_t from_step = back ? to * area : area, to_step = back ? area : from * area;

    if (p->live < p->wide)
        memset(out, 0, (size_t)(p->rows * p->cols * from * p->wide) * sizeof *out);
    w += p->g * from * to * area + p->first * to_step;
    for (int64_t block = 0; block < from; block += PACK_BLOCK) {
        const int64_t end = block + PACK_BLOCK < from ? block + PACK_BLOCK : from;
        for (int64_t o = 0; o < p->live; o++)
            for (int64_t i = block; i < end; i++)
                pack_taps(p, w + i * from_step + o * to_step, c->v.kernel[1], from * p->wide,
                          out + i * p->wide + o);
    }
}

void conv_pack(const conv *c, const void *w, void *packed, void *work)
{
    const int64_t to = conv_to_group(c);
    const even_cut cut = conv_panels(to);
    float *out = packed;
    conv_job j;

    conv_job_open(&j, c, work);
    const int64_t pairs = j.y.phases * j.x.phases;
    for (int64_t n = 0; n < c->v.groups * pairs; n++) {
        panel_of p = {.g = n / pairs, .row = j.k[0], .col = j.k[1]};
        p.rows = conv_taps(c, 0, n % pairs / j.x.phases, j.k[0], j.at[0]);
        p.cols = conv_taps(c, 1, n % j.x.phases, j.k[1], j.at[1]);
        for (int64_t v = 0, vecs; v * VL < to; v += vecs) {
            vecs = run_at(cut, v);
            p.first = v * VL, p.wide = vecs * VL;
            p.live = to - p.first < p.wide ? to - p.first : p.wide;
            pack_panel(c, &p, w, out);
            out += p.rows * p.cols * conv_from_group(c) * p.wide;
        }
    }
}

/* ---- lines ---- */

/* What is the same for all tiles of a panel: the strip, its operand, the pair of phases. */
typedef struct lines_of {
    const conv_job *j;
    conv_strip s;
    conv_field f;
    float *out; /* line s.line of image s.image */
    int64_t g, row_phase, col_phase, outs;
} lines_of;

/* All tiles of one line, `outs` pixels of the phase. */
static void run_line(gemm_tile *t, int64_t outs, int vecs)
{
    const even_cut cut = cut_evenly(outs, conv_rows_max(vecs));
    const int64_t runs[2] = {cut.large, cut.runs - cut.large};

    for (int i = 0; i < 2; i++) {
        const int64_t rows = cut.small + (i == 0);
        t->tiles = (int)runs[i];
        t->a_tile = rows * t->a_step;
        if (runs[i] > 0) gemm_tile_run(t, (int)rows, vecs);
        t->a += runs[i] * t->a_tile, t->c += runs[i] * rows * t->c_step;
    }
}

/* The lines of the phase for one panel, which begins at channel `first` of the group. */
static void run_panel(const lines_of *l, const gemm_tile *of, int64_t first, int vecs)
{
    const conv_job *j = l->j;
    const int64_t from = conv_from(j->c), to = conv_to(j->c), row = j->x.outs * to;
    const int64_t skip = (l->row_phase - l->s.line % j->y.phases + j->y.phases) % j->y.phases;

    for (int64_t i = 0; i < l->s.images; i++) {
        for (int64_t r = skip; r < l->s.lines; r += j->y.phases) {
            const int64_t down = (l->s.line + r) / j->y.phases * j->y.step + j->y.low - l->f.row;
            gemm_tile t = *of;
            t.a = l->f.at + i * l->f.image + (down * l->f.pitch + j->x.low - l->f.col) * from +
                  l->g * conv_from_group(j->c);
            t.c = l->out + (i * l->s.lines + r) * row + l->col_phase * to +
                  l->g * conv_to_group(j->c) + first;
            run_line(&t, j->flat ? l->s.images * l->s.lines * l->outs : l->outs, vecs);
            if (j->flat) return;
        }
    }
}

/* The panels of one group and pair of phases; gives the end of their weights. */
static const float *run_panels(const lines_of *l, const float *w)
{
    const conv_job *j = l->j;
    const int64_t to = conv_to_group(j->c);
    const even_cut cut = conv_panels(to);
    const conv_pieces p = conv_tap_pieces(j, l->row_phase, l->col_phase, l->f.pitch);
    const int64_t deep = p.run < DEEP_MAX ? DEEP_MAX / p.run : 1;

    for (int64_t v = 0, vecs; v * VL < to; v += vecs) {
        vecs = run_at(cut, v);
        const int64_t wide = vecs * VL, live = to - v * VL < wide ? to - v * VL : wide;
        gemm_tile t = {.k = p.run,
                       .a_step = j->x.step * conv_from(j->c),
                       .b_step = wide,
                       .c_step = j->x.phases * conv_to(j->c),
                       .tail = (int)(live - wide + VL),
                       .acc = j->c->acc};
        for (int64_t i = 0; i < p.count; i++) p.piece[i].b = i * p.run * wide;
        for (int64_t i = 0; i == 0 || i < p.count; i += deep, t.acc = true) {
            t.piece = p.piece + i, t.b = w;
            t.pieces = p.count - i < deep ? p.count - i : deep;
            if (l->outs > 0) run_panel(l, &t, v * VL, (int)vecs);
        }
        w += p.count * p.run * wide;
    }
    return w;
}

static void run_strip(lines_of *l, const float *w)
{
    const conv_job *j = l->j;
    const conv *c = j->c;

    for (l->g = 0; l->g < c->v.groups; l->g++) {
        for (l->row_phase = 0; l->row_phase < j->y.phases; l->row_phase++) {
            for (l->col_phase = 0; l->col_phase < j->x.phases; l->col_phase++) {
                l->outs = conv_phase_outs(&j->x, l->col_phase);
                w = run_panels(l, w);
            }
        }
    }
}

void conv_run(const conv *c, const conv_memory *m, int64_t from, int64_t to, void *work)
{
    conv_job j;
    lines_of l = {.j = &j, .out = m->out};

    conv_job_open(&j, c, work);
    for (int64_t n = from; n < to; n += l.s.images * l.s.lines) {
        l.s = conv_next(&j, n, to);
        l.f = conv_fill(&j, m->in, &l.s);
        run_strip(&l, m->with);
        l.out += l.s.images * l.s.lines * j.x.outs * conv_to(c);
    }
}
