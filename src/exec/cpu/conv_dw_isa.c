/* The gradient to the weights in F32: dw = sum over pixels of x (taps and channels) times dy
 * (channels). A tile of it, some neighbouring floats of x by a panel of dy, stays in registers
 * while the kernel runs along the pixels of a strip; then the tile is added to the sums,
 * [group][tap][from][to in whole vectors], which conv_put turns round. */
#include "exec/cpu/conv_f32.h"
#include "exec/cpu/turn.h"

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

/* All taps together: tiles of x's neighbours, which are channels of several taps. */
static void run_taps(const gemm_tile *of, const conv_pieces *p, int vecs)
{
    for (int64_t i = 0; i < p->count; i++) {
        gemm_tile t = *of;
        t.a += p->piece[i].a;
        t.c += i * p->run * t.c_step;
        run_rows(&t, p->run, vecs);
    }
}

/* The lines of dy from which row tap `k` lies in the image. */
static void list_reach(const dw_strip *d, gemm_tile *t, int64_t k)
{
    const conv_job *j = d->j;

    t->piece = j->line, t->pieces = 0;
    for (int64_t n = 0; n < d->s.images * d->s.lines; n++) {
        const int64_t row = (d->s.line + n % d->s.lines) * j->y.step + j->at[0][k];
        if (row < 0 || row >= j->y.ins) continue;
        j->line[t->pieces++] =
            (gemm_piece){.a = n / d->s.lines * d->f.image + row * d->f.pitch * conv_from(j->c),
                         .b = n * j->x.outs * d->dy_step};
    }
}

/* Tap by tap, each over the pixels from which it lies in the image. */
static void run_row(const dw_strip *d, const gemm_tile *of, const conv_pieces *p, int64_t row,
                    int vecs)
{
    const conv_job *j = d->j;
    const int64_t from = conv_from_group(j->c);

    for (int64_t s = 0; s < p->cols; s++) {
        int64_t reach[2];
        gemm_tile t = *of;
        conv_reach(&j->x, j->x.outs, j->at[1][s], reach);
        t.k = reach[1] - reach[0];
        if (t.k == 0) t.pieces = 0;
        t.a += (reach[0] * j->x.step + j->at[1][s]) * conv_from(j->c);
        t.b += reach[0] * d->dy_step;
        t.c += (row * p->cols + s) * from * t.c_step;
        if (t.pieces > 0 || !t.acc) run_rows(&t, from, vecs);
    }
}

static void run_strip(const dw_strip *d)
{
    const conv_job *j = d->j;
    const conv_pieces p = conv_tap_pieces(j, 0, 0, d->f.pitch);
    const int64_t end = conv_whole(d->last) / VL, begin = d->first / VL;
    const even_cut cut = cut_evenly(end - begin, TILE_VECS);
    gemm_tile all = {.a_step = j->x.step * conv_from(j->c),
                     .b_step = d->dy_step,
                     .c_step = conv_whole(conv_to_group(j->c)),
                     .tail = VL,
                     .by_col = true,
                     .acc = d->acc};

    for (int64_t row = 0; row < (j->apart ? p.rows : 1); row++) {
        if (j->apart) list_reach(d, &all, row);
        else list_lines(d, &all);
        for (int64_t v = begin, vecs; v < end; v += vecs) {
            gemm_tile t = all;
            vecs = run_at(cut, v - begin);
            t.a = d->f.at + d->g * conv_from_group(j->c);
            t.b = d->dy + v * VL, t.c = d->sums + v * VL;
            if (j->apart) run_row(d, &t, &p, row, (int)vecs);
            else run_taps(&t, &p, (int)vecs);
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

/* ---- from the sums to dw ---- */

enum { PUT_DEEP = 64, PUT_WIDE = 64 };

/* Some rows and columns of the sums, in the order of dw's elements (channel, tap), all shares
 * added in order. */
typedef struct put_block {
    const float *sums; /* of the group */
    int64_t at, rows, o, cols;
    float sum[PUT_DEEP][PUT_WIDE];
} put_block;

static void add_shares(const conv *c, put_block *b)
{
    const int64_t area = conv_area(c), from = conv_from_group(c);
    const int64_t wide = conv_whole(conv_to_group(c)), share = c->v.groups * area * from * wide;

    for (int64_t r = 0; r < b->rows; r++) {
        const int64_t tap = (b->at + r) % area, channel = (b->at + r) / area;
        const float *at = b->sums + (tap * from + channel) * wide + b->o;
        for (int64_t q = 0; q < b->cols; q += VL) {
            const int64_t live = wide - b->o - q;
            vf sum = vf_zero();
            for (int64_t s = 0; s < c->shares; s++, at += share)
                sum += live < VL ? vf_load_n(at + q, (int)live) : vf_load(at + q);
            at -= c->shares * share;
            vf_store(&b->sum[r][q], sum);
        }
    }
}

/* A square of the block, turned round, to dw. */
static void put_square(const conv *c, const put_block *b, int64_t r, int64_t q, float *dw)
{
    const int64_t length = conv_area(c) * conv_from_group(c);
    const int64_t rows = b->rows - r < TURN ? b->rows - r : TURN;
    const int64_t cols = b->cols - q < TURN ? b->cols - q : TURN;
    const float *row[TURN];
    float square[TURN][TURN], *out[TURN];

    for (int i = 0; i < TURN; i++)
        row[i] = &b->sum[i < rows ? r + i : b->rows - 1][q], out[i] = square[i];
    turn(row, out);
    for (int64_t i = 0; i < cols; i++) {
        float *to = dw + (b->o + q + i) * length + b->at + r;
        for (int64_t k = 0; c->acc && k < rows; k++) square[i][k] += to[k];
        memcpy(to, square[i], (size_t)rows * sizeof *to);
    }
}

void conv_put(const conv *c, const void *sums, void *dw, int64_t first, int64_t last)
{
    const int64_t length = conv_area(c) * conv_from_group(c), to = conv_to_group(c);

    for (int64_t o = first, cols; o < last; o += cols) {
        const int64_t g = o / to, left = (g + 1) * to < last ? (g + 1) * to - o : last - o;
        put_block b = {.sums = (const float *)sums + g * length * conv_whole(to), .o = o % to};
        b.cols = cols = left < PUT_WIDE ? left : PUT_WIDE;
        for (; b.at < length; b.at += b.rows) {
            b.rows = length - b.at < PUT_DEEP ? length - b.at : PUT_DEEP;
            add_shares(c, &b);
            for (int64_t q = 0; q < cols; q += TURN)
                for (int64_t r = 0; r < b.rows; r += TURN)
                    put_square(c, &b, r, q, (float *)dw + g * to * length);
        }
    }
}
