/* Memory. A result lives from the step that makes it to the last one that reads it; results that
 * do not live at the same time share memory. Placed by size, largest first, each in the smallest
 * gap that holds it. A result takes over an operand's memory where the operand dies in that step
 * and is read only at the element that is written. */
#include "plan/plan_inside.h"

typedef struct block {
    int32_t from, to; /* steps */
    size_t bytes, offset;
} block;

typedef struct room {
    plan_work *w;
    plan *p;
    block *block;
    int32_t blocks;
    int32_t *of; /* by node: its block, -1 */
} room;

/* Tiles of a product: small enough to stay in the cache until the elementwise work, and of a
 * size that threads can share. By shape alone, so results do not depend on the threads. */
static void cut(const plan *p, plan_step *s)
{
    enum { ROWS = 84, COLS = 16 }; /* whole tiles and vectors of the kernels (gemm_f32.h) */
    const int64_t m = s->cols > 0 ? s->count / s->cols : 0, n = s->cols;
    const size_t bytes = (size_t)s->count * dtype_size(s->type) * (size_t)s->matmuls;
    const int64_t unit = s->line ? s->line : ROWS;
    bool rows_only = s->line > 0;

    s->tile_rows = m, s->tile_cols = n;
    for (int32_t i = 0; i < s->n; i++) {
        const plan_node *v = &p->node[p->order[s->first + i]];
        rows_only |= v->cls == PN_SUM && v->sum == AT_ROW;
    }
    const int64_t by_bytes = (int64_t)((bytes + p->target.tile_bytes - 1) / p->target.tile_bytes);
    const int64_t by_macs = (s->macs + p->target.tile_macs - 1) / p->target.tile_macs;
    const int64_t pieces = by_bytes > by_macs ? by_bytes : by_macs;
    if (pieces <= 1) return;
    if (m >= n || rows_only) {
        s->tile_rows = (m / pieces + unit - 1) / unit * unit;
        if (s->tile_rows < unit) s->tile_rows = unit;
        if (s->tile_rows > m) s->tile_rows = m;
    } else {
        s->tile_cols = (n / pieces + COLS - 1) / COLS * COLS;
        if (s->tile_cols < COLS) s->tile_cols = COLS;
        if (s->tile_cols > n) s->tile_cols = n;
    }
}

static void find_last(plan *p)
{
    for (int32_t i = 0; i < p->steps; i++)
        for (int32_t j = 0; j < p->step[i].n; j++) {
            const plan_node *r = &p->node[p->order[p->step[i].first + j]];
            for (int k = 0; k < 2 * r->n_in; k++) {
                const node u = k % 2 ? r->in[k / 2].index : r->in[k / 2].src;
                if (u != NODE_NONE) p->node[u].last = i;
            }
        }
}

/* Products that only their own step reads, tile by tile. */
static void place_tiles(plan *p, plan_step *s, int32_t step)
{
    if (s->matmuls == 0) return;
    cut(p, s);
    if (s->tile_rows * s->tile_cols >= s->count) return;
    for (int32_t i = 0; i < s->n; i++) {
        plan_node *v = &p->node[p->order[s->first + i]];
        const bool product = v->cls == PN_MATMUL || v->summed;
        if (!product || !v->kept || v->at.kind != PLACE_NONE || v->last > step) continue;
        v->at = (place){.kind = PLACE_TILE, .number = s->tiles++};
    }
}

/* Does the step read u only at the element it is writing? */
static bool read_in_place(const plan *p, const plan_step *s, node u)
{
    for (int32_t i = 0; i < s->n; i++) {
        const plan_node *r = &p->node[p->order[s->first + i]];
        for (int k = 0; k < r->n_in; k++) {
            if (r->in[k].index == u) return false;
            if (r->in[k].src == u && (r->cls != PN_POINT || !plan_same(r, &r->in[k]))) return false;
        }
    }
    return true;
}

/* Does an instruction behind number `at` of the step still read u, itself or through what a backend
 * may compute only where it is read: factors and products? Sums are taken when all else is done. */
static bool read_later(plan_work *w, const plan_step *s, int32_t at, node u)
{
    const plan *p = w->p;

    w->mark[u] = ++w->stamp;
    for (int32_t i = 0; i < s->n; i++) {
        const node v = p->order[s->first + i];
        const plan_node *r = &p->node[v];
        bool hit = false;
        for (int k = 0; k < r->n_in; k++)
            hit |= r->in[k].src != NODE_NONE && w->mark[r->in[k].src] == w->stamp;
        if (hit && (i > at || r->cls == PN_SUM)) return true;
        if (hit && (r->op == OP_scale || r->op == OP_mul || r->op == OP_sub)) w->mark[v] = w->stamp;
    }
    return false;
}

/* A value that dies in step i and whose memory v, its instruction number `at`, can take over. */
static int32_t find_donor(const room *m, int32_t i, int32_t at)
{
    const plan_step *s = &m->p->step[i];
    const plan_node *v = &m->p->node[m->p->order[s->first + at]];
    const plan *p = m->p;

    if (v->cls != PN_POINT || v->summed) return -1;
    for (int32_t j = 0; j < s->n; j++) {
        const plan_node *r = &p->node[p->order[s->first + j]];
        for (int k = 0; k < r->n_in && r->cls == PN_POINT; k++) {
            const node u = r->in[k].src;
            if (u == NODE_NONE || m->of[u] < 0 || p->node[u].last != i) continue;
            if (p->node[u].bytes != v->bytes || p->node[u].step == i) continue;
            if (m->block[m->of[u]].to != i || !read_in_place(p, s, u)) continue;
            if (read_later(m->w, s, at, u)) continue;
            return m->of[u];
        }
    }
    return -1;
}

static void make_blocks(room *m)
{
    plan *p = m->p;

    for (int32_t i = 0; i < p->steps; i++) {
        const plan_step *s = &p->step[i];
        for (int32_t j = 0; j < s->n; j++) {
            const node n = p->order[s->first + j];
            const plan_node *v = &p->node[n];
            if (!v->kept || v->at.kind != PLACE_NONE) continue;
            const int32_t end = v->last > i ? v->last : i, donor = find_donor(m, i, j);
            m->of[n] = donor >= 0 ? donor : m->blocks++;
            if (donor >= 0) m->block[donor].to = end; /* later than i, so nobody else takes it */
            else m->block[m->of[n]] = (block){i, end, v->bytes, 0};
        }
    }
}

static size_t align_up(size_t n, size_t align)
{
    return (n + align - 1) / align * align;
}

/* The smallest gap between the blocks placed so far that live at the same time as b. `low` lists
 * the placed ones by offset. */
static size_t best_gap(const room *m, const int32_t *low, int32_t placed, const block *b)
{
    size_t end = 0, best = SIZE_MAX, gap = SIZE_MAX;
    const size_t bytes = align_up(b->bytes, m->p->target.align);

    for (int32_t i = 0; i < placed; i++) {
        const block *o = &m->block[low[i]];
        if (o->to < b->from || o->from > b->to) continue;
        if (o->offset >= end + bytes && o->offset - end < gap) best = end, gap = o->offset - end;
        if (o->offset + align_up(o->bytes, m->p->target.align) > end)
            end = o->offset + align_up(o->bytes, m->p->target.align);
    }
    return best == SIZE_MAX ? end : best;
}

/* Largest first; equal sizes in order of time. */
static void place_blocks(room *m, int32_t *low, int32_t *by_size)
{
    plan *p = m->p;

    for (int32_t i = 0; i < m->blocks; i++) {
        int32_t j = i;
        for (; j > 0 && m->block[by_size[j - 1]].bytes < m->block[i].bytes; j--)
            by_size[j] = by_size[j - 1];
        by_size[j] = i;
    }
    for (int32_t i = 0; i < m->blocks; i++) {
        block *b = &m->block[by_size[i]];
        b->offset = best_gap(m, low, i, b);
        const size_t end = b->offset + align_up(b->bytes, p->target.align);
        if (end > p->counts.arena) p->counts.arena = end;
        int32_t j = i;
        for (; j > 0 && m->block[low[j - 1]].offset > b->offset; j--) low[j] = low[j - 1];
        low[j] = by_size[i];
    }
}

drmad_status plan_place(plan_work *w)
{
    drmad_status st = DRMAD_OK;
    plan *p = w->p;
    room m = {.w = w, .p = p};
    const size_t n = (size_t)p->nodes + 1;
    int32_t *low = NULL, *by_size = NULL;

    TRY(mem_alloc(p->ctx, n, sizeof *m.block, &m.block));
    TRY(mem_alloc(p->ctx, n, sizeof *m.of, &m.of));
    TRY(mem_alloc(p->ctx, n, sizeof *low, &low));
    TRY(mem_alloc(p->ctx, n, sizeof *by_size, &by_size));
    for (size_t v = 0; v < n; v++) m.of[v] = -1;
    find_last(p);
    for (int32_t i = 0; i < p->steps; i++) place_tiles(p, &p->step[i], i);
    make_blocks(&m);
    place_blocks(&m, low, by_size);
    for (node v = 0; v < p->nodes; v++)
        if (m.of[v] >= 0)
            p->node[v].at = (place){.kind = PLACE_ARENA, .offset = m.block[m.of[v]].offset};
done:
    mem_free(p->ctx, m.block);
    mem_free(p->ctx, m.of);
    mem_free(p->ctx, low);
    mem_free(p->ctx, by_size);
    return st;
}
