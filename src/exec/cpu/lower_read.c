/* Slots, and how operands get there: dense as they lie, as scalars, or spread into registers by
 * loads. */
#include "exec/cpu/lower.h"
#include <string.h>

/* ---- slots ---- */

static int32_t add_slot(lower *l, cpu_slot slot)
{
    cpu_group *g = l->g;

    for (int32_t i = 0; i < g->slots; i++) {
        const cpu_slot *o = &g->slot[i];
        if (o->kind == slot.kind && o->number == slot.number && o->offset == slot.offset &&
            o->row == slot.row && o->col == slot.col)
            return i;
    }
    g->slot[g->slots] = slot;
    return g->slots++;
}

int32_t lower_reg(lower *l)
{
    return add_slot(l, (cpu_slot){.kind = SLOT_REG, .number = l->regs++});
}

cpu_slot cpu_memory(const plan *p, node n, int64_t offset)
{
    const plan_node *v = &p->node[n];
    cpu_slot s = {.offset = (size_t)offset * dtype_size(v->type)};

    if (v->cls == PN_LEAF) {
        s.kind = SLOT_LEAF;
        s.number = (int32_t)graph_rec(p->g, n)->attr.n;
    } else if (v->at.kind == PLACE_OUTPUT) {
        s.kind = SLOT_OUT;
        s.number = v->at.number;
    } else if (v->at.kind == PLACE_TILE) {
        s.kind = SLOT_TILE;
        s.number = v->at.number;
    } else {
        s.kind = SLOT_ARENA;
        s.offset += v->at.offset;
    }
    return s;
}

int32_t lower_slot(lower *l, node n, int64_t offset, int64_t row, int64_t col)
{
    cpu_slot s = cpu_memory(l->p, n, offset);

    s.row = row, s.col = col;
    return add_slot(l, s);
}

int32_t lower_dense(lower *l, node n, int64_t offset)
{
    const int64_t size = (int64_t)dtype_size(lower_at(l, n)->type);
    const int64_t width = lower_at(l, n)->at.kind == PLACE_TILE ? l->s->tile_cols : l->g->cols;

    return lower_slot(l, n, offset, width * size, size);
}

/* ---- operands ---- */

static int32_t add_load(cpu_load *list, int32_t *n, cpu_load load, lower *l)
{
    for (int32_t i = 0; i < *n; i++) {
        const cpu_load *o = &list[i];
        if (o->kind == load.kind && o->mode == load.mode && o->type == load.type &&
            o->a == load.a && o->index == load.index)
            return o->y;
    }
    load.y = lower_reg(l);
    load.scale = 1;
    list[(*n)++] = load;
    return load.y;
}

static int32_t load_once(lower *l, cpu_load load)
{
    return add_load(l->g->once, &l->g->onces, load, l);
}

static int32_t load_each(lower *l, cpu_load load)
{
    return add_load(l->g->each, &l->g->eachs, load, l);
}

static operand vector(int32_t slot)
{
    return (operand){.slot = slot, .factor = 1};
}

/* Rows of memory with `row` and `col` elements from one to the next, in the type they have
 * there. */
static operand broadcast(lower *l, const plan_access *a, bool row, bool col)
{
    const int64_t size = (int64_t)dtype_size(a->type);
    const int32_t slot = lower_slot(l, a->src, a->offset, row ? size : 0, col ? size : 0);
    const bool flat = l->g->sub_rows == 1;
    const cpu_load load = {.mode = a->mode, .type = a->type, .a = slot, .index = -1};
    cpu_load spread = load;

    if (a->type != l->s->type) {
        spread.kind = LOAD_ANY;
        return vector(load_each(l, spread));
    }
    if (!row && !col) return (operand){.slot = slot, .scalar = true, .factor = 1};
    if (flat) return (operand){.slot = slot, .scalar = row, .factor = 1};
    spread.kind = row ? LOAD_ROWS : LOAD_COLS;
    return vector(row ? load_each(l, spread) : load_once(l, spread));
}

static operand gathered(lower *l, const plan_access *a)
{
    const int64_t size = (int64_t)dtype_size(a->type);
    cpu_load load = {.type = a->type, .a = -1, .rows = a->rows};

    load.index = lower_slot(l, a->index, a->index_offset, (int64_t)sizeof(int32_t), 0);
    load.kind = a->mode == AT_ONEHOT ? LOAD_ONEHOT : LOAD_GATHER;
    if (a->mode == AT_GATHER) load.a = lower_slot(l, a->src, a->offset, 0, size);
    return vector(load_each(l, load));
}

operand lower_get(lower *l, const plan_access *a)
{
    cpu_load load = {.kind = LOAD_CAST, .mode = a->mode, .type = a->type, .index = -1};

    switch (a->mode) {
    case AT_CONST: return (operand){-1, true, true, 1, a->value};
    case AT_ONE: return broadcast(l, a, false, false);
    case AT_COL: return broadcast(l, a, false, true);
    case AT_ROW: return broadcast(l, a, true, false);
    case AT_GATHER:
    case AT_ONEHOT: return gathered(l, a);
    default: break;
    }
    if (lower_is_point(l, a->src) && a->offset == 0) return l->value[a->src];
    const int32_t slot = lower_dense(l, a->src, a->offset);
    if (a->type == l->s->type) return vector(slot);
    load.a = slot;
    return vector(load_each(l, load));
}

/* Room for the constants of a step is made before it is lowered. */
int32_t lower_scalar(lower *l, operand o)
{
    int32_t number = 0;

    if (!o.constant) return o.slot;
    for (; number < l->code->constants; number++)
        if (memcmp(&l->code->constant[number], &o.value, sizeof o.value) == 0) break;
    if (number == l->code->constants) {
        l->code->constant[number] = o.value;
        l->code->constant_f32[number] = (float)o.value;
        l->code->constants++;
    }
    return add_slot(l, (cpu_slot){.kind = SLOT_CONST, .number = number});
}

int32_t lower_vector(lower *l, operand o)
{
    if (!o.scalar) return o.slot;
    const int32_t slot = lower_scalar(l, o);
    const cpu_load load = {.kind = LOAD_SPLAT, .type = l->s->type, .a = slot, .index = -1};
    return l->g->slot[slot].row ? load_each(l, load) : load_once(l, load);
}
