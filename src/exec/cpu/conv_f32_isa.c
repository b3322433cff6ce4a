/* y and dx in F32. A tile is some pixels of a line x a panel of channels, 1 to 3 vectors; its sums
 * stay in registers while the kernel runs down the taps and channels of the operand. Weights are
 * packed for that: for each group and pair of phases, panel after panel, each taps x channels x
 * the panel's channels in whole vectors. Nothing is gathered: pixels of a line lie evenly apart. */
#include "exec/cpu/conv_f32.h"
#include "exec/cpu/turn.h"

enum { DEEP_MAX = 1536, PACK_BLOCK = 64 }; /* DEEP_MAX x 2 vectors: 192 KiB */

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

/* Where the taps of one panel go: channel 0 of tap t at piece[t].b. */
static void place_taps(const conv_job *j, int64_t g, int64_t first, int64_t wide)
{
    const int64_t from = conv_from_group(j->c), whole = conv_whole(conv_to_group(j->c));
    int64_t start = g * conv_area(j->c) * from * whole;

    for (int64_t n = 0; n < j->y.phases * j->x.phases; n++) {
        const int64_t rows = conv_taps(j->c, 0, n / j->x.phases, j->k[0], j->at[0]);
        const int64_t cols = conv_taps(j->c, 1, n % j->x.phases, j->k[1], j->at[1]);
        for (int64_t i = 0; i < rows * cols; i++)
            j->piece[j->k[0][i / cols] * j->c->v.kernel[1] + j->k[1][i % cols]].b =
                start + (first * rows * cols + i * wide) * from;
        start += rows * cols * from * whole;
    }
}

/* A stretch of w: `length` neighbours, tap and channel running on (y) or taps alone (dx), for
 * `live` output channels `step` apart. */
typedef struct stretch {
    const float *w;
    int64_t length, live, step, channel, wide;
} stretch;

/* A square of it: neighbours from `at`, output channels from `o`. Beyond the last either repeats:
 * a dead column or a second writing. */
static void pack_square(const conv_job *j, const stretch *p, int64_t at, int64_t o, float *packed)
{
    const int64_t area = conv_area(j->c);
    const float *row[TURN];
    float *out[TURN];
    int64_t tap = at % area, channel = p->channel + at / area;

    for (int q = 0; q < TURN; q++) {
        row[q] = p->w + (o + q < p->live ? o + q : p->live - 1) * p->step + at;
        out[q] = packed + j->piece[tap].b + channel * p->wide + o;
        if (++tap == area) tap = 0, channel++;
    }
    turn(row, out);
}

static void pack_few(const conv_job *j, const stretch *p, float *packed)
{
    const int64_t area = conv_area(j->c);

    for (int64_t i = 0; i < p->length; i++)
        for (int64_t o = 0; o < p->live; o++)
            packed[j->piece[i % area].b + (p->channel + i / area) * p->wide + o] =
                p->w[o * p->step + i];
}

static void pack_stretch(const conv_job *j, const stretch *p, float *packed)
{
    if (p->length < TURN) {
        pack_few(j, p, packed);
        return;
    }
    for (int64_t block = 0; block < p->length; block += PACK_BLOCK) {
        const int64_t end = block + PACK_BLOCK < p->length ? block + PACK_BLOCK : p->length;
        for (int64_t o = 0; o < p->live; o += TURN)
            for (int64_t i = block; i < end; i += TURN)
                pack_square(j, p, i + TURN < p->length ? i : p->length - TURN, o, packed);
    }
}

static void pack_panel(const conv_job *j, int64_t g, int64_t first, int64_t wide, const float *w,
                       float *packed)
{
    const conv *c = j->c;
    const int64_t from = conv_from_group(c), to = conv_to_group(c), area = conv_area(c);
    const bool back = c->op == CONV_DX; /* w[from][to][area] there, w[to][from][area] else */
    stretch p = {.length = back ? area : from * area,
                 .live = to - first < wide ? to - first : wide,
                 .step = back ? area : from * area,
                 .wide = wide};

    w += g * from * to * area + first * p.step;
    place_taps(j, g, first, wide);
    if (p.live < wide)
        for (int64_t t = 0; t < area; t++)
            memset(packed + j->piece[t].b, 0, (size_t)(from * wide) * sizeof *packed);
    for (int64_t i = 0; i < (back ? from : 1); i++) {
        p.w = w + i * to * area, p.channel = i;
        pack_stretch(j, &p, packed);
    }
}

void conv_pack(const conv *c, const void *w, void *packed, void *work)
{
    const int64_t to = conv_to_group(c);
    const even_cut cut = conv_panels(to);
    conv_job j;

    conv_job_open(&j, c, work);
    for (int64_t g = 0; g < c->v.groups; g++)
        for (int64_t v = 0; v * VL < to; v += run_at(cut, v))
            pack_panel(&j, g, v * VL, run_at(cut, v) * VL, w, packed);
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
    if (outs == 0) return;
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

/* The lines of the phase for one panel. */
static void run_lines(const lines_of *l, const gemm_tile *of, int vecs)
{
    const conv_job *j = l->j;
    const int64_t from = conv_from(j->c), row = j->x.outs * conv_to(j->c);
    const int64_t skip = (l->row_phase - l->s.line % j->y.phases + j->y.phases) % j->y.phases;

    for (int64_t i = 0; i < l->s.images; i++) {
        for (int64_t r = skip; r < l->s.lines; r += j->y.phases) {
            const int64_t down = (l->s.line + r) / j->y.phases * j->y.step + j->y.low - l->f.row;
            gemm_tile t = *of;
            t.a += i * l->f.image + (down * l->f.pitch + j->x.low - l->f.col) * from;
            t.c += (i * l->s.lines + r) * row;
            run_line(&t, j->flat ? l->s.images * l->s.lines * l->outs : l->outs, vecs);
            if (j->flat) return;
        }
    }
}

/* One panel, all its taps together. */
static void run_taps(const lines_of *l, const gemm_tile *of, const conv_pieces *p, int vecs)
{
    const int64_t deep = p->run < DEEP_MAX ? DEEP_MAX / p->run : 1;
    gemm_tile t = *of;

    t.k = p->run;
    for (int64_t i = 0; i < p->count; i++) p->piece[i].b = i * p->run * t.b_step;
    for (int64_t i = 0; i == 0 || i < p->count; i += deep, t.acc = true) {
        t.piece = p->piece + i;
        t.pieces = p->count - i < deep ? p->count - i : deep;
        run_lines(l, &t, vecs);
    }
}

/* ---- lines, column by column of the window ---- */

/* What a column's taps add to a line: to the pixels that they reach. The others are zeroed where
 * nothing is there yet. */
static void add_column(const gemm_tile *of, const int64_t reach[2], int64_t outs, int vecs)
{
    gemm_tile t = *of, none = *of;

    none.pieces = 0;
    if (!t.acc) run_line(&none, reach[0], vecs);
    none.c = t.c + reach[1] * t.c_step;
    if (!t.acc) run_line(&none, outs - reach[1], vecs);
    t.c += reach[0] * t.c_step;
    if (!t.acc || t.pieces > 0) run_line(&t, reach[1] - reach[0], vecs);
}

/* One column of `rows` taps, all lines of the phase. */
static void run_column(const lines_of *l, const gemm_tile *of, int64_t rows, int64_t at, int vecs)
{
    const conv_job *j = l->j;
    const int64_t skip = (l->row_phase - l->s.line % j->y.phases + j->y.phases) % j->y.phases;
    int64_t reach[2];

    conv_reach(&j->x, l->outs, at, reach);
    for (int64_t n = 0; n < l->s.images * l->s.lines; n++) {
        const int64_t down = (l->s.line + n % l->s.lines) / j->y.phases * j->y.step;
        gemm_tile t = *of;
        if (n % l->s.lines % j->y.phases != skip) continue;
        for (int64_t k = 0; k < rows; k++) {
            const int64_t y = down + j->at[0][k];
            if (y < 0 || y >= j->y.ins) continue;
            if (t.pieces++ == 0) t.piece += k;
        }
        t.a += n / l->s.lines * l->f.image +
               (down * l->f.pitch + reach[0] * j->x.step + at) * conv_from(j->c);
        t.c += n * j->x.outs * conv_to(j->c);
        add_column(&t, reach, l->outs, vecs);
    }
}

/* One panel: first the column that reaches most pixels, then the others. */
static void run_columns(const lines_of *l, const gemm_tile *of, const conv_pieces *p, int vecs)
{
    const conv_job *j = l->j;
    const int64_t from = conv_from_group(j->c);
    int64_t most = 0, widest = -1, reach[2];
    gemm_tile t = *of;

    for (int64_t s = 0; s < p->cols; s++) {
        conv_reach(&j->x, l->outs, j->at[1][s], reach);
        if (reach[1] - reach[0] > widest) most = s, widest = reach[1] - reach[0];
    }
    t.k = from;
    for (int64_t n = 0; n == 0 || n < p->cols; n++, t.acc = true) {
        const int64_t s = n == 0 ? most : n <= most ? n - 1 : n;
        for (int64_t r = 0; r < p->rows; r++)
            p->piece[r] = (gemm_piece){.a = j->at[0][r] * l->f.pitch * conv_from(j->c),
                                       .b = (r * p->cols + s) * from * t.b_step};
        t.piece = p->piece;
        run_column(l, &t, p->cols > 0 ? p->rows : 0, p->cols > 0 ? j->at[1][s] : 0, vecs);
    }
}

/* ---- lines, each pixel by the taps that reach the image ---- */

/* The lines of a phase for one panel and some rows of its taps. */
typedef struct reach_pass {
    const lines_of *l;
    const conv_pieces *p;
    gemm_tile tile;
    int64_t first, last; /* rows of taps */
    int vecs;
} reach_pass;

/* The taps that reach the operand from pixel `number` of an axis. */
static void taps_from(const conv_axis *x, const int64_t *at, int64_t taps, int64_t number,
                      int64_t reach[2])
{
    int64_t k = 0;

    while (k < taps && number * x->step + at[k] < 0) k++;
    reach[0] = k;
    while (k < taps && number * x->step + at[k] < x->ins) k++;
    reach[1] = k;
}

/* The same for line r of an image, of this pass's rows. */
static void rows_from(const reach_pass *x, int64_t r, int64_t rows[2])
{
    const conv_job *j = x->l->j;

    taps_from(&j->y, j->at[0], x->p->rows, (x->l->s.line + r) / j->y.phases, rows);
    if (rows[0] < x->first) rows[0] = x->first;
    if (rows[1] > x->last) rows[1] = x->last;
    if (rows[1] < rows[0]) rows[1] = rows[0];
}

/* Taps beside each other are one piece. */
static void list_pieces(const reach_pass *x, gemm_tile *t, const int64_t rows[2],
                        const int64_t cols[2])
{
    const conv_job *j = x->l->j;
    const int64_t from = conv_from_group(j->c), wide = cols[1] - cols[0];
    const int64_t step = x->p->count == x->p->rows && wide > 0 ? wide : 1;

    t->piece = x->p->piece, t->pieces = 0, t->k = step * from;
    for (int64_t r = rows[0]; r < rows[1]; r++)
        for (int64_t s = cols[0]; s < cols[1]; s += step)
            x->p->piece[t->pieces++] =
                (gemm_piece){.a = (j->at[0][r] * x->l->f.pitch + j->at[1][s]) * conv_from(j->c),
                             .b = (r * x->p->cols + s) * from * t->b_step};
}

/* `count` pixels that the same taps reach: from pixel `at` of line r on, along it or down. */
static void run_alike(const reach_pass *x, int64_t image, int64_t r, int64_t at, int64_t count,
                      bool down)
{
    const lines_of *l = x->l;
    const conv_job *j = l->j;
    const int64_t row = j->x.outs * conv_to(j->c), from = conv_from(j->c);
    const int64_t line = (l->s.line + r) / j->y.phases * j->y.step * l->f.pitch;
    gemm_tile t = x->tile;
    int64_t rows[2], cols[2];

    rows_from(x, r, rows);
    taps_from(&j->x, j->at[1], x->p->cols, at, cols);
    list_pieces(x, &t, rows, cols);
    t.a += image * l->f.image + (line + at * j->x.step) * from;
    t.c += (image * l->s.lines + r) * row + at * t.c_step;
    if (down) t.a_step = j->y.step * l->f.pitch * from, t.c_step = j->y.phases * row;
    if (!t.acc || t.pieces > 0) run_line(&t, count, x->vecs);
}

/* Lines from r on whose pixels the same rows of taps reach. */
static int64_t lines_alike(const reach_pass *x, int64_t r)
{
    const int64_t phases = x->l->j->y.phases;
    int64_t rows[2], next[2], count = 1;

    rows_from(x, r, rows);
    for (r += phases; r < x->l->s.lines; r += phases, count++) {
        rows_from(x, r, next);
        if (next[0] != rows[0] || next[1] != rows[1]) break;
    }
    return count;
}

/* Pixels of a line that all columns of taps reach: whole[0] .. whole[1]. */
static void whole_pixels(const lines_of *l, int64_t cols, int64_t whole[2])
{
    const conv_job *j = l->j;
    int64_t last[2];

    whole[0] = 0, whole[1] = l->outs;
    if (cols == 0) return;
    conv_reach(&j->x, l->outs, j->at[1][0], whole);
    conv_reach(&j->x, l->outs, j->at[1][cols - 1], last);
    whole[1] = last[1] > whole[0] ? last[1] : whole[0];
}

/* Those go line by line, the few others column by column. */
static void run_pass(const reach_pass *x)
{
    const lines_of *l = x->l;
    const conv_job *j = l->j;
    const int64_t phases = j->y.phases;
    const int64_t skip = (l->row_phase - l->s.line % phases + phases) % phases;
    int64_t whole[2];

    whole_pixels(l, x->p->cols, whole);
    for (int64_t i = 0; i < l->s.images; i++)
        for (int64_t r = skip; r < l->s.lines; r += phases)
            run_alike(x, i, r, whole[0], whole[1] - whole[0], false);
    for (int64_t at = 0; at < l->outs; at++) {
        if (at == whole[0]) at = whole[1];
        if (at == l->outs) break;
        for (int64_t i = 0; i < l->s.images; i++)
            for (int64_t r = skip, n; r < l->s.lines; r += n * phases) {
                n = lines_alike(x, r);
                run_alike(x, i, r, at, n, true);
            }
    }
}

/* One panel, as many rows of taps at a time as their weights stay in the cache. */
static void run_reached(const lines_of *l, const gemm_tile *of, const conv_pieces *p, int vecs)
{
    const int64_t row = p->cols * conv_from_group(l->j->c);
    const int64_t deep = row > 0 && row < DEEP_MAX ? DEEP_MAX / row : 1;
    reach_pass x = {.l = l, .p = p, .tile = *of, .vecs = vecs};

    do {
        x.last = x.first + deep < p->rows ? x.first + deep : p->rows;
        run_pass(&x);
        x.first = x.last, x.tile.acc = true;
    } while (x.first < p->rows);
}

/* Pixels of the border run few together: that pays while they are fewer than the others. */
static bool mostly_whole(const lines_of *l, int64_t cols)
{
    int64_t whole[2];

    whole_pixels(l, cols, whole);
    return 2 * (whole[1] - whole[0]) >= l->outs;
}

/* The panels of one group and pair of phases; gives the end of their weights. */
static const float *run_panels(const lines_of *l, const float *w)
{
    const conv_job *j = l->j;
    const int64_t to = conv_to_group(j->c), from = conv_from_group(j->c);
    const even_cut cut = conv_panels(to);
    const conv_pieces p = conv_tap_pieces(j, l->row_phase, l->col_phase, l->f.pitch);

    for (int64_t v = 0, vecs; v * VL < to; v += vecs) {
        vecs = run_at(cut, v);
        const int64_t wide = vecs * VL, live = to - v * VL < wide ? to - v * VL : wide;
        gemm_tile t = {.a = l->f.at + l->g * from,
                       .b = w,
                       .c = l->out + l->col_phase * conv_to(j->c) + l->g * to + v * VL,
                       .a_step = j->x.step * conv_from(j->c),
                       .b_step = wide,
                       .c_step = j->x.phases * conv_to(j->c),
                       .tail = (int)(live - wide + VL),
                       .acc = j->c->acc};
        if (l->outs > 0 && j->apart && mostly_whole(l, p.cols)) run_reached(l, &t, &p, (int)vecs);
        else if (l->outs > 0 && j->apart) run_columns(l, &t, &p, (int)vecs);
        else if (l->outs > 0) run_taps(l, &t, &p, (int)vecs);
        w += p.rows * p.cols * from * wide;
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
