/* The gradient to the weights in F32: dw = sum over pixels of x (taps and channels) times dy
 * (channels). A tile of it, some neighbouring floats of x by a panel of dy, stays in registers
 * while the kernel runs along the pixels of a strip; then the tile is added to the sums,
 * [group][tap][from][to in whole vectors], which conv_put turns round. */
#include "exec/cpu/conv_f32.h"

#define conv_dw_tile GEMM_ISA(conv_dw_tile)
#define conv_put GEMM_ISA(conv_put)

typedef struct dw_strip {
    const conv_job *j;
    conv_strip s;
    conv_field f;
    const float *dy;        /* of the strip and the group */
    int64_t dy_step;        /* from pixel to pixel */
    float *sums;            /* of the group */
    int64_t g, first, last; /* output channels of the group */
    bool acc;
} dw_strip;

/* The group's channels of dy in whole vectors: in place where they are. */
static void fill_dy(dw_strip *d, const float *dy)
{
    const conv_job *j = d->j;
    const int64_t ch = conv_to(j->c), live = conv_to_group(j->c), wide = conv_whole(live);
    const int64_t pixels = d->s.images * d->s.lines * j->x.outs;

    dy += (d->s.image * j->y.outs + d->s.line) * j->x.outs * ch + d->g * live;
    d->dy = dy, d->dy_step = ch;
    if (!j->dy) return;
    for (int64_t i = 0; i < pixels; i++) {
        memcpy(j->dy + i * wide, dy + i * ch, (size_t)live * sizeof *dy);
        memset(j->dy + i * wide + live, 0, (size_t)(wide - live) * sizeof *dy);
    }
    d->dy = j->dy, d->dy_step = wide;
}

/* Where each line's pixels begin. Lines that lie evenly apart in both are one long line. */
static void list_lines(const dw_strip *d, gemm_tile *t)
{
    const conv_job *j = d->j;
    const conv_axis *y = &j->y;

    t->piece = j->line, t->pieces = 0, t->k = j->x.outs;
    if (j->flat) t->k *= d->s.images * d->s.lines;
    for (int64_t i = 0; i < d->s.images; i++) {
        for (int64_t r = 0; r < d->s.lines; r++) {
            const int64_t down = (d->s.line + r) * y->step + y->low - d->f.row;
            if (j->flat && t->pieces == 1) return;
            j->line[t->pieces++] = (gemm_piece){
                .a = i * d->f.image + (down * d->f.pitch + j->x.low - d->f.col) * conv_from(j->c),
                .b = (i * d->s.lines + r) * j->x.outs * d->dy_step};
        }
    }
}

/* `run` rows of the sums. */
static void run_rows(gemm_tile *t, int64_t run, int vecs)
{
    const even_cut cut = cut_evenly(run, conv_rows_max(vecs));
    const int64_t runs[2] = {cut.large, cut.runs - cut.large};

    for (int i = 0; i < 2; i++) {
        const int64_t rows = cut.small + (i == 0);
        t->tiles = (int)runs[i], t->a_tile = rows;
        if (runs[i] > 0) gemm_tile_run(t, (int)rows, vecs);
        t->a += runs[i] * rows, t->c += runs[i] * rows * t->c_step;
    }
}

static void run_strip(const dw_strip *d)
{
    const conv_job *j = d->j;
    const int64_t wide = conv_whole(conv_to_group(j->c));
    const conv_pieces p = conv_tap_pieces(j, 0, 0, d->f.pitch);
    const int64_t end = conv_whole(d->last) / VL, begin = d->first / VL;
    const even_cut cut = cut_evenly(end - begin, TILE_VECS);
    gemm_tile all = {.a_step = j->x.step * conv_from(j->c),
                     .b_step = d->dy_step,
                     .c_step = wide,
                     .tail = VL,
                     .by_col = true,
                     .acc = d->acc};

    list_lines(d, &all);
    for (int64_t v = begin, vecs; v < end; v += vecs) {
        vecs = run_at(cut, v - begin);
        for (int64_t i = 0; i < p.count; i++) {
            gemm_tile t = all;
            t.a = d->f.at + p.piece[i].a + d->g * conv_from_group(j->c);
            t.b = d->dy + v * VL;
            t.c = d->sums + i * p.run * wide + v * VL;
            run_rows(&t, p.run, (int)vecs);
        }
    }
}

void conv_dw_tile(const conv *c, const conv_memory *m, int64_t tile, void *work)
{
    const int64_t group = conv_to_group(c), share = tile % c->shares;
    const int64_t first = tile / c->shares * c->wide, to = (share + 1) * c->tile_lines;
    const int64_t last = to < c->lines ? to : c->lines;
    const int64_t size = conv_area(c) * conv_from_group(c) * conv_whole(group);
    conv_job j;

    conv_job_open(&j, c, work);
    dw_strip d = {.j = &j, .first = first};
    d.last = first + c->wide < group ? first + c->wide : group;
    int64_t n = share * c->tile_lines;
    do { /* no lines: zeros */
        d.s = conv_next(&j, n, last);
        d.f = conv_fill(&j, m->in, &d.s);
        for (d.g = 0; d.g < c->v.groups; d.g++) {
            d.sums = (float *)m->out + (share * c->v.groups + d.g) * size;
            fill_dy(&d, m->with);
            run_strip(&d);
        }
        d.acc = true;
        n += d.s.images * d.s.lines;
    } while (n < last);
}

enum { PUT_BLOCK = 8 };

/* Row o of dw, [from][area], from columns o of the shares' sums, [area][from][wide]. */
static void put_row(const conv *c, const float *sums, int64_t block, int64_t end, float *dw)
{
    const int64_t area = conv_area(c), from = conv_from_group(c);
    const int64_t wide = conv_whole(conv_to_group(c)), share = c->v.groups * area * from * wide;

    for (int64_t i = block; i < end; i++) {
        for (int64_t t = 0; t < area; t++) {
            const float *at = sums + (t * from + i) * wide;
            float sum = c->acc ? dw[i * area + t] : 0;
            for (int64_t s = 0; s < c->shares; s++) sum += at[s * share];
            dw[i * area + t] = sum;
        }
    }
}

void conv_put(const conv *c, const void *sums, void *dw, int64_t first, int64_t last)
{
    const int64_t area = conv_area(c), from = conv_from_group(c), to = conv_to_group(c);
    const int64_t size = area * from * conv_whole(to);

    for (int64_t block = 0; block < from; block += PUT_BLOCK) {
        const int64_t end = block + PUT_BLOCK < from ? block + PUT_BLOCK : from;
        for (int64_t o = first; o < last; o++)
            put_row(c, (const float *)sums + o / to * size + o % to, block, end,
                    (float *)dw + o * from * area);
    }
}
