/* How a group lies over blocks, by its shape and its sums alone, and what that means for the sums:
 * one that a single block sees whole is a result; others become parts, which a call of `sum`, one
 * for all of the group, adds up in a fixed order. */
#include "exec/cuda/lower/group_build.h"

enum {
    FLAT = GROUP_THREADS * GROUP_LANES,
    ALONE = 16384,    /* elements that one block sums by itself: less than a second call takes */
    BLOCKS = 512,     /* of a large sum: some for each multiprocessor */
    ROW_THREADS = 32, /* of a row that is summed */
    COL_THREADS = 8,  /* side by side where columns are summed: rows for the others */
    COL_LINES = 16    /* rows of a thread that are worth no second call */
};

static int64_t up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static bool has_rows(const group_build *b)
{
    const plan *p = b->l->plan;

    for (int32_t i = 0; i < b->s->n; i++) {
        const node n = p->order[b->s->first + i];
        const plan_node *v = &p->node[n];
        if ((v->cls == PN_SUM && v->sum != AT_ONE) || gpu_is_dot(b->l, n)) return true;
        for (int k = 0; k < v->n_in && v->cls != PN_MATMUL; k++) {
            const access_mode m = v->in[k].mode;
            if (m == AT_COL || m == AT_ROW || m == AT_GATHER || m == AT_ONEHOT) return true;
        }
    }
    return false;
}

void group_shape(group_build *b)
{
    const bool rows = b->s->cols > 0 && has_rows(b);

    b->args.cols = rows ? b->s->cols : b->s->count;
    b->args.rows = rows ? b->s->count / b->s->cols : 1;
}

/* ---- tiles ---- */

static bool sums_to(const group_build *b, int32_t to)
{
    for (int32_t i = 0; i < b->sums; i++)
        if (b->sum[i].to == to) return true;
    return false;
}

/* Elements that a thread does at once. */
static int32_t lanes(const group_build *b)
{
    return b->dots ? 1 : GROUP_LANES;
}

/* Threads side by side: enough for a row, a power of two. */
static int32_t threads_across(const group_build *b)
{
    const int64_t cols = b->args.cols;
    int32_t most = GROUP_THREADS, tx = 1;

    if (sums_to(b, SUM_ROWS)) most = ROW_THREADS;
    else if (sums_to(b, SUM_COLS)) most = COL_THREADS;
    while (tx < most && (int64_t)tx * lanes(b) < cols) tx *= 2;
    return tx;
}

/* Columns of a tile: what threads do at once, more where the block then sums rows or all. */
static int64_t columns(const group_build *b)
{
    const group_args *a = &b->args;
    const int64_t once = (int64_t)a->tx * lanes(b), lines = up(a->rows, GROUP_THREADS / a->tx);

    if (sums_to(b, SUM_COLS)) return once;
    if (sums_to(b, SUM_ROWS)) return lines * up(a->cols, ALONE) < BLOCKS ? ALONE : a->cols;
    if (!sums_to(b, SUM_ALL)) return once;
    if (a->rows * a->cols <= ALONE) return a->cols;
    if (a->rows == 1) return up(up(a->cols, BLOCKS), once) * once;
    return once;
}

/* Rows of a tile. */
static int64_t lines(const group_build *b, int64_t across)
{
    const group_args *a = &b->args;
    const int64_t once = GROUP_THREADS / a->tx, all = up(a->rows, once);
    int64_t n = 1;

    if (sums_to(b, SUM_COLS) && all <= COL_LINES) return a->rows;
    if (sums_to(b, SUM_ALL) && a->rows * a->cols <= ALONE && across == 1) return a->rows;
    if (sums_to(b, SUM_COLS) || sums_to(b, SUM_ALL)) n = up(all * across, BLOCKS);
    if (sums_to(b, SUM_COLS) && n < COL_LINES / 2) n = COL_LINES / 2;
    return n * once;
}

static void choose_tiles(group_build *b)
{
    group_args *a = &b->args;

    a->tx = threads_across(b), a->lanes = lanes(b);
    a->tile_cols = columns(b);
    a->across = (int32_t)up(a->cols, a->tile_cols);
    a->tile_rows = lines(b, a->across);
    a->down = (int32_t)up(a->rows, a->tile_rows);
}

/* ---- sums ---- */

void group_add_item(group_build *b, sum_item item)
{
    b->item[b->items++] = item;
}

/* What a second call must add up for sum s. */
static sum_item parts_of(const group_build *b, const group_sum *s)
{
    const group_args *a = &b->args;
    sum_item item = {.y = s->y, .scale = s->scale, .to = s->to, .partial = 1};

    item.rows = s->to == SUM_ROWS ? a->rows : a->down;
    item.cols = s->to == SUM_COLS ? a->cols : a->across;
    return item;
}

/* Does one block see all of it? */
static bool whole(const group_args *a, int32_t to)
{
    return (to == SUM_COLS || a->across == 1) && (to == SUM_ROWS || a->down == 1);
}

void group_place_sums(group_build *b)
{
    choose_tiles(b);
    for (int32_t i = 0; i < b->sums; i++) {
        group_sum *s = &b->sum[i];
        b->args.row_sums += s->to == SUM_ROWS;
        if (whole(&b->args, s->to)) continue;
        sum_item item = parts_of(b, s);
        s->partial = 1;
        s->y = gpu_scratch(b->l, (size_t)(item.rows * item.cols) * sizeof(double));
        item.a = s->y;
        group_add_item(b, item);
    }
}

static int64_t item_blocks(const sum_item *s)
{
    return s->to == SUM_ALL ? 1 : s->to == SUM_ROWS ? s->rows : up(s->cols, SUM_COLS_WIDE);
}

drmad_status group_finish(group_build *b)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < b->items; i += SUM_ITEMS) {
        sum_args a = {.items = 0};
        int64_t first = 0;
        for (int32_t k = i; k < b->items && k < i + SUM_ITEMS; k++) {
            a.item[a.items] = b->item[k];
            a.item[a.items++].first = (int32_t)first;
            first += item_blocks(&b->item[k]);
        }
        TRY(gpu_emit(b->l, GPU_sum, b->type, &a, sizeof a));
    }
done:
    return st;
}

/* ---- geometry ---- */

void gpu_group_geometry(gpu_call *c)
{
    const size_t parts = GROUP_THREADS * sizeof(double);

    c->threads = GROUP_THREADS;
    if (c->kernel == GPU_group) {
        const group_args *a = (const void *)c->args;
        const size_t rows = 2 * (size_t)a->row_sums * parts;
        c->blocks = a->down * a->across;
        c->shared = rows > GROUP_LANES * parts ? rows : GROUP_LANES * parts;
        if (a->sums == 0) c->shared = 0;
    } else {
        const sum_args *a = (const void *)c->args;
        const sum_item *last = &a->item[a->items - 1];
        c->blocks = last->first + (int32_t)item_blocks(last);
        c->shared = 2 * parts;
    }
}
