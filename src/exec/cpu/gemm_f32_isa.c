/* Blocks and packing of the F32 product (micro-kernels: gemm_tile_isa.c and gemm_dot_isa.c).
 *
 * m is cut so that a block of A stays in the second-level cache, k so that one panel of op(B), 2
 * or 3 vectors wide,
 * stays in the first. For each panel: pack it, then run down the block of A while it is hot.
 * Packing costs a fixed
 * share of the work, about 1.5 cycles a vector against rows / 2. A is read in place, and packed
 * only when it is
 * transposed and large, where its columns would touch a cache line for each p. */
#include "exec/cpu/gemm_f32.h"
#include "exec/cpu/turn.h"

#if defined(ISA_IS_avx512)
enum { K_BLOCK = 224 }; /* 224 x 32 floats: 28 KiB; 104 to 224 are alike on Zen 4 (32 KiB) */
#else
enum { K_BLOCK = 208 }; /* 208 x 24 floats: 20 of 32 KiB */
#endif
enum {
    A_BLOCK = 32 * 1024,
    K_IN_PLACE = 64,
    M_IN_PLACE = 16,
    N_IN_PLACE = 128,
    LDA_IN_PLACE = 64,
    K_DOTS = 128,
    CHUNK = 8,
    GROUP = 4 * TILE_VECS * VL,
    BATCH = 8
};

static int64_t k_block(const gemm_shape *s)
{
    int64_t run = run_at(cut_evenly(s->k, K_BLOCK), 0);

    return (run + CHUNK - 1) / CHUNK * CHUNK;
}

static int64_t m_block(const gemm_shape *s)
{
    return run_at(cut_evenly(s->m, A_BLOCK / k_block(s)), 0);
}

/* A transposed A that fits the first-level cache beside a panel is read as it lies. */
static bool pack_a(const gemm_shape *s)
{
    return s->ta ? s->k > K_IN_PLACE || s->lda > LDA_IN_PLACE : s->n > N_IN_PLACE;
}

static bool b_in_place(const gemm_shape *s)
{
    return !s->tb && (s->k <= K_IN_PLACE || s->m <= M_IN_PLACE);
}

static bool by_dots(const gemm_shape *s)
{
    return s->tb && !s->ta && s->k >= K_DOTS && s->n <= N_IN_PLACE;
}

size_t GEMM_ISA(gemm_f32_work)(const gemm_shape *s)
{
    if (s->m <= 0 || s->n <= 0 || s->k <= 0 || by_dots(s)) return 0;
    size_t b = GROUP * (size_t)k_block(s);
    size_t a = pack_a(s) ? (size_t)(k_block(s) * m_block(s)) : 0;
    return (a + b) * sizeof(float);
}

/* out(p, j) = row[j][p + from], TURN values of p and of j. */
INLINE void transpose(const float *const row[TURN], int64_t from, float *out, int64_t out_step)
{
    const float *at[TURN];
    float *to[TURN];

    UNROLL for (int q = 0; q < TURN; q++) at[q] = row[q] + from, to[q] = out + q * out_step;
    turn(at, to);
}

/* out(p, i) = a[i * step + p] for four i. */
static void turn_four(const float *a, int64_t step, int64_t k, float *out, int64_t out_step)
{
    typedef float v4 __attribute__((vector_size(16)));
    int64_t p = 0;

    for (; p + 4 <= k; p += 4) {
        v4 r[4], t[4];
        for (int i = 0; i < 4; i++) memcpy(&r[i], a + i * step + p, sizeof r[i]);
        t[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5),
        t[1] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
        t[2] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7),
        t[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
        r[0] = __builtin_shufflevector(t[0], t[1], 0, 1, 4, 5),
        r[1] = __builtin_shufflevector(t[0], t[1], 2, 3, 6, 7);
        r[2] = __builtin_shufflevector(t[2], t[3], 0, 1, 4, 5),
        r[3] = __builtin_shufflevector(t[2], t[3], 2, 3, 6, 7);
        for (int i = 0; i < 4; i++) memcpy(out + (p + i) * out_step, &r[i], sizeof r[i]);
    }
    for (; p < k; p++)
        for (int i = 0; i < 4; i++) out[p * out_step + i] = a[i * step + p];
}

/* One row of a panel: `wide` columns, zeros up to a whole vector. */
INLINE void copy_row(const float *b, int wide, float *out)
{
    int j = 0;

    for (; j + VL <= wide; j += VL) vf_store(out + j, vf_load(b + j));
    if (j < wide) vf_store(out + j, vf_load_n(b + j, wide - j));
}

/* A panel of B^T, k x wide columns, to out(p, j) = out[p * out_step + j], up to out_step columns.
 * Those beyond the last repeat it, and the last chunk of p overlaps the one before: dead columns
 * and a second writing cost less than going element by element. */
static void pack_turned(const float *b, int64_t step, int64_t k, int wide, float *out, int out_step)
{
    for (int j = 0; j < out_step; j += TURN) {
        const float *row[TURN];
        for (int q = 0; q < TURN; q++) row[q] = b + (j + q < wide ? j + q : wide - 1) * step;
        int64_t p = 0;
        for (; p + TURN <= k; p += TURN) transpose(row, p, out + p * out_step + j, out_step);
        if (p < k && k > TURN) {
            p = k - TURN;
            transpose(row, p, out + p * out_step + j, out_step);
            p = k;
        }
        for (; p < k; p++)
            for (int q = 0; q < TURN; q++) out[p * out_step + j + q] = row[q][p];
    }
}

/* `rows` rows of op(A) to out[p * rows + i]. */
static void pack_tile(const gemm_shape *s, const float *a, int64_t k, int64_t rows, float *out)
{
    int64_t step = s->lda;

    if (s->ta && rows == 4) { /* the usual case with AVX2 */
        for (int64_t p = 0; p < k; p++) memcpy(out + 4 * p, a + p * step, 4 * sizeof *out);
    } else if (s->ta && rows < VL) {
        for (int64_t p = 0; p < k; p++)
            vf_store_n(out + p * rows, vf_load_n(a + p * step, (int)rows), (int)rows);
    } else if (s->ta) {
        for (int64_t p = 0; p < k; p++)
            for (int64_t i = 0; i < rows; i++) out[p * rows + i] = a[p * step + i];
    } else {
        int64_t i = 0;
        for (; i + 4 <= rows; i += 4) turn_four(a + i * step, step, k, out + i, rows);
        for (; i < rows; i++)
            for (int64_t p = 0; p < k; p++) out[p * rows + i] = a[i * step + p];
    }
}

/* Tiles of A's block one after another, each k x its rows. */
static void pack_tiles(const gemm_shape *s, const float *a, int64_t k, int64_t m, float *out)
{
    even_cut cut = cut_evenly(m, TILE_ROWS);

    for (int64_t i = 0, rows; i < m; i += rows, out += rows * k) {
        rows = run_at(cut, i);
        pack_tile(s, a + i * (s->ta ? 1 : s->lda), k, rows, out);
    }
}

/* Rows of B that the next group of panels will want: fetched a few at a time while this group
 * computes. */
typedef struct ahead {
    const float *at;
    int64_t rows, length, step, pace;
} ahead;

static void look_ahead(ahead *h, int tiles)
{
    enum { LINE = 16 };

    for (int64_t i = 0; i < h->pace * tiles && h->rows > 0; i++, h->rows--, h->at += h->step)
        for (int64_t l = 0; l < h->length; l += LINE) __builtin_prefetch(h->at + l, 0, 2);
}

/* One block of A against one panel of B. */
typedef struct panel {
    const float *a, *b;
    float *c;
    int64_t m, k, b_step;
    int wide;
    bool acc, packed;
    ahead next;
} panel;

static void run_panel(const gemm_shape *s, panel *w)
{
    static const int rows_most[VECS_MAX] = {TILE_ROWS_1, TILE_ROWS_2, TILE_ROWS_3};
    int vecs = (w->wide + VL - 1) / VL, rows = 0;
    even_cut cut = cut_evenly(w->m, w->packed ? TILE_ROWS : rows_most[vecs - 1]);
    const gemm_piece whole = {0, 0};
    gemm_tile t = {.b = w->b,
                   .piece = &whole,
                   .pieces = 1,
                   .k = w->k,
                   .b_step = w->b_step,
                   .c_step = s->ldc,
                   .tail = w->wide - (vecs - 1) * VL,
                   .by_col = w->packed || s->ta,
                   .acc = w->acc};

    for (int64_t i = 0, done = 0; done < cut.runs; done += t.tiles, i += t.tiles * rows) {
        bool large = done < cut.large;
        int64_t same = (large ? cut.large : cut.runs) - done;
        t.tiles = same < BATCH ? (int)same : BATCH;
        rows = (int)(large ? cut.small + 1 : cut.small);
        t.a_step = w->packed ? rows : s->lda;
        t.a_tile = w->packed ? rows * w->k : s->ta ? rows : rows * s->lda;
        t.a = w->a + i * (w->packed ? w->k : s->ta ? 1 : s->lda);
        t.c = w->c + i * s->ldc;
        look_ahead(&w->next, t.tiles);
        gemm_tile_run(&t, rows, vecs);
    }
}

/* TILE_VECS vectors a panel, but no single vector at the end where that can be helped: its tiles
 * have few sums. */
static int panel_wide(int64_t left, bool packed)
{
    int64_t vecs = (left + VL - 1) / VL, most = packed ? TILE_VECS : VECS_MAX;
    int64_t take = vecs <= most ? vecs : vecs == TILE_VECS + 1 ? (vecs + 1) / 2 : TILE_VECS;

    return (int)(left < take * VL ? left : take * VL);
}

static int whole_vectors(int wide)
{
    return (wide + VL - 1) / VL * VL;
}

/* Packs the panels of `wide` columns one after another, each k x its columns in whole vectors. B
 * is read along its
 * rows: narrower strips would miss the cache for each p. */
static void pack_straight(const gemm_shape *s, const panel *w, const float *b, int64_t wide,
                          float *out)
{
    for (int64_t p = 0; p < w->k; p++, b += s->ldb) {
        for (int64_t j = 0, take; j < wide; j += take) {
            take = panel_wide(wide - j, w->packed);
            copy_row(b + j, (int)take, out + w->k * j + p * whole_vectors((int)take));
        }
    }
}

static void pack_group(const gemm_shape *s, const panel *w, const float *b, int64_t wide,
                       float *out)
{
    if (!s->tb) {
        pack_straight(s, w, b, wide, out);
        return;
    }
    for (int64_t j = 0, take; j < wide; j += take) {
        take = panel_wide(wide - j, w->packed);
        pack_turned(b + j * s->ldb, s->ldb, w->k, (int)take, out + w->k * j,
                    whole_vectors((int)take));
    }
}

static ahead after(const gemm_shape *s, const panel *w, const float *b, int64_t from)
{
    int64_t wide = s->n - from < GROUP ? s->n - from : GROUP,
            tiles = (w->m + TILE_ROWS - 1) / TILE_ROWS;
    ahead h = {.at = b + (s->tb ? from * s->ldb : from),
               .rows = s->tb ? wide : w->k,
               .length = s->tb ? w->k : wide,
               .step = s->ldb};

    if (wide <= 0) h.rows = 0;
    h.pace = 1 + h.rows / (tiles * (GROUP / (TILE_VECS * VL)));
    return h;
}

static void run_block(const gemm_shape *s, panel w, const float *b, float *c, float *work)
{
    bool loose = b_in_place(s);

    for (int64_t from = 0, wide; from < s->n; from += wide) {
        wide = s->n - from < GROUP ? s->n - from : GROUP;
        if (!loose) pack_group(s, &w, b + (s->tb ? from * s->ldb : from), wide, work);
        if (!loose) w.next = after(s, &w, b, from + wide);
        for (int64_t j = 0; j < wide; j += w.wide) {
            w.wide = panel_wide(wide - j, w.packed);
            w.b = work + w.k * j, w.b_step = whole_vectors(w.wide), w.c = c + from + j;
            if (loose && w.wide == w.b_step) w.b = b + from + j, w.b_step = s->ldb;
            else if (loose) pack_straight(s, &w, b + from + j, w.wide, work + w.k * j);
            run_panel(s, &w);
        }
    }
}

static void run_blocks(const gemm_shape *s, const float *a, const float *b, float *c, float *work)
{
    int64_t deep = k_block(s), high = m_block(s);
    float *a_work = work + GROUP * deep;

    for (int64_t i = 0; i < s->m; i += high) {
        for (int64_t p = 0; p < s->k; p += deep) {
            const float *from = a + (s->ta ? p * s->lda + i : i * s->lda + p);
            panel w = {.a = from,
                       .m = s->m - i < high ? s->m - i : high,
                       .k = s->k - p < deep ? s->k - p : deep,
                       .acc = s->acc || p > 0,
                       .packed = pack_a(s)};
            if (w.packed) {
                pack_tiles(s, from, w.k, w.m, a_work);
                w.a = a_work;
            }
            run_block(s, w, b + (s->tb ? p : p * s->ldb), c + i * s->ldc, work);
        }
    }
}

void GEMM_ISA(gemm_f32)(const gemm_shape *s, const float *a, const float *b, float *c, void *work)
{
    if (s->k <= 0) {
        for (int64_t i = 0; i < s->m && !s->acc; i++)
            memset(c + i * s->ldc, 0, (size_t)s->n * sizeof *c);
    } else if (by_dots(s)) {
        gemm_dot(s, a, b, c);
    } else {
        run_blocks(s, a, b, c, work);
    }
}
