/* The node store: records and leaves in growing arrays, and a hash table that finds a record's
 * equal. What a record means is left to ops/. */
#include "graph/graph.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NODES_FIRST = 256, LEAVES_FIRST = 16, NODES_LIMIT = INT32_MAX / 4 };
enum { LEAF = 0 }; /* the op of a leaf; ops/table.c asserts it */

typedef struct leaf {
    node at;
    char *name;
} leaf;

struct graph {
    drmad_ctx *ctx;
    drmad_status status;
    node_rec *recs;
    node *slots; /* open addressing, 0 = empty, else node + 1; twice as many as `room` */
    int32_t size, room;
    leaf *leaves;
    int32_t leaf_count, leaf_room;
};

static const node_rec no_rec = {.in = {NODE_NONE, NODE_NONE, NODE_NONE}};

drmad_status graph_new(drmad_ctx *ctx, graph **out)
{
    drmad_status st = mem_alloc(ctx, 1, sizeof **out, out);

    if (st == DRMAD_OK) (*out)->ctx = ctx;
    return st;
}

void graph_free(graph *g)
{
    if (!g) return;
    for (int32_t i = 0; i < g->leaf_count; i++) mem_free(g->ctx, g->leaves[i].name);
    mem_free(g->ctx, g->leaves);
    mem_free(g->ctx, g->slots);
    mem_free(g->ctx, g->recs);
    mem_free(g->ctx, g);
}

drmad_status graph_status(const graph *g)
{
    return g->status;
}

drmad_ctx *graph_ctx(const graph *g)
{
    return g->ctx;
}

node graph_fail(graph *g, const char *fmt, ...)
{
    char text[sizeof g->ctx->errmsg];
    va_list ap;

    if (g->status != DRMAD_OK) return NODE_NONE;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    g->status = FAIL(g->ctx, DRMAD_E_MODEL, "%s", text);
    return NODE_NONE;
}

node graph_stop(graph *g, drmad_status st)
{
    if (g->status == DRMAD_OK) g->status = st;
    return NODE_NONE;
}

/* FNV-1a over 32-bit words. Records are hashed and compared by member: the struct has padding. */
static uint64_t hash_words(uint64_t h, const void *data, size_t bytes)
{
    const char *p = data;

    for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) {
        uint32_t word;
        memcpy(&word, p + i, sizeof word);
        h = (h ^ word) * 0x100000001b3u;
    }
    return h;
}

static uint64_t rec_hash(const node_rec *r)
{
    uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)(r->op * DTYPE_COUNT + r->dtype);

    h = hash_words(h, r->in, sizeof r->in);
    h = hash_words(h, r->shape.dim, (size_t)r->shape.rank * sizeof r->shape.dim[0]);
    h = hash_words(h, &r->attr, sizeof r->attr);
    return h ^ (h >> 32);
}

static bool rec_same(const node_rec *a, const node_rec *b)
{
    return a->op == b->op && a->dtype == b->dtype && memcmp(a->in, b->in, sizeof a->in) == 0 &&
           shape_same(&a->shape, &b->shape) && memcmp(&a->attr, &b->attr, sizeof a->attr) == 0;
}

/* The slot that holds the equal of `r`, or the empty one where it belongs. */
static node *find_slot(const graph *g, const node_rec *r)
{
    size_t mask = 2 * (size_t)g->room - 1, i = rec_hash(r) & mask;

    while (g->slots[i] && !rec_same(&g->recs[g->slots[i] - 1], r)) i = (i + 1) & mask;
    return &g->slots[i];
}

static drmad_status grow(graph *g)
{
    drmad_status st = DRMAD_OK;
    int32_t room = g->room ? 2 * g->room : NODES_FIRST;
    node *slots = NULL;

    if (room > NODES_LIMIT)
        return FAIL(g->ctx, DRMAD_E_NOMEM, "graph: more than %d nodes", g->room);
    TRY(mem_alloc(g->ctx, 2 * (size_t)room, sizeof *slots, &slots));
    TRY(mem_resize(g->ctx, &g->recs, (size_t)g->room, (size_t)room, sizeof *g->recs));
    mem_free(g->ctx, g->slots);
    g->slots = slots, slots = NULL;
    g->room = room;
    for (node n = 0; n < g->size; n++) *find_slot(g, &g->recs[n]) = n + 1;
done:
    mem_free(g->ctx, slots);
    return st;
}

/* Every dimension at least 1, unused ones 0, and the bytes countable. */
static bool shape_sound(graph *g, const node_rec *r)
{
    char text[128];
    size_t bytes;
    bool ok = r->shape.rank >= 0 && r->shape.rank <= RANK_MAX;

    for (int32_t i = 0; ok && i < r->shape.rank; i++) ok = r->shape.dim[i] >= 1;
    if (ok && shape_bytes(&r->shape, (dtype)r->dtype, &bytes)) return true;
    if (r->shape.rank < 0 || r->shape.rank > RANK_MAX)
        graph_fail(g, "shape of rank %d, expected 0 to %d", (int)r->shape.rank, RANK_MAX);
    else
        graph_fail(g, "shape %s: expected dimensions of at least 1 and a size that can be counted",
                   shape_print(&r->shape, text, sizeof text));
    return false;
}

node graph_add(graph *g, const node_rec *rec)
{
    node_rec r = *rec; /* `rec` may lie in the array that grows */

    if (g->status != DRMAD_OK || !shape_sound(g, &r)) return NODE_NONE;
    for (int i = 0; i < OPERANDS_MAX; i++) assert(r.in[i] >= NODE_NONE && r.in[i] < g->size);
    if (g->size == g->room && (g->status = grow(g)) != DRMAD_OK) return NODE_NONE;

    node *slot = find_slot(g, &r);
    if (!*slot) {
        g->recs[g->size++] = r;
        *slot = g->size;
    }
    return *slot - 1;
}

node graph_find(const graph *g, const node_rec *rec)
{
    return g->size > 0 ? *find_slot(g, rec) - 1 : NODE_NONE;
}

int32_t graph_size(const graph *g)
{
    return g->size;
}

const node_rec *graph_rec(const graph *g, node n)
{
    assert(n >= NODE_NONE && n < g->size);
    return n == NODE_NONE ? &no_rec : &g->recs[n];
}

const shape *graph_shape(const graph *g, node n)
{
    return &graph_rec(g, n)->shape;
}

dtype graph_dtype(const graph *g, node n)
{
    return (dtype)graph_rec(g, n)->dtype;
}

int32_t graph_leaves(const graph *g)
{
    return g->leaf_count;
}

node graph_leaf(const graph *g, int32_t number)
{
    assert(number >= 0 && number < g->leaf_count);
    return g->leaves[number].at;
}

const char *graph_leaf_name(const graph *g, int32_t number)
{
    assert(number >= 0 && number < g->leaf_count);
    return g->leaves[number].name;
}

/* The number in the attributes is what keeps two leaves apart. */
node graph_add_leaf(graph *g, const char *name, dtype t, shape s)
{
    node_rec r = {
        .op = LEAF, .dtype = (int32_t)t, .in = {NODE_NONE, NODE_NONE, NODE_NONE}, .shape = s};
    char *copy = NULL;

    if (g->status != DRMAD_OK) return NODE_NONE;
    if (g->leaf_count == g->leaf_room) {
        int32_t room = g->leaf_room ? 2 * g->leaf_room : LEAVES_FIRST;
        g->status =
            mem_resize(g->ctx, &g->leaves, (size_t)g->leaf_room, (size_t)room, sizeof *g->leaves);
        if (g->status != DRMAD_OK) return NODE_NONE;
        g->leaf_room = room;
    }
    r.attr.n = g->leaf_count;
    node n = graph_add(g, &r);
    if (n == NODE_NONE) return n;
    if ((g->status = mem_strdup(g->ctx, name, &copy)) != DRMAD_OK) return NODE_NONE;
    g->leaves[g->leaf_count++] = (leaf){.at = n, .name = copy};
    return n;
}
