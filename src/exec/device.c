/* Plans as text, and calls of the caller's functions. */
#include "exec/device.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct device_code {
    drmad_ctx *ctx;
    const device *d;
    int64_t program;
} device_code;

static const device *device_of(const backend *b)
{
    return (const device *)b;
}

static drmad_status answered(drmad_ctx *ctx, int status, const char *what)
{
    if (status == DRMAD_OK) return DRMAD_OK;
    if (status < 0 || status >= DRMAD_STATUS_COUNT) status = DRMAD_E_MODEL;
    return FAIL(ctx, (drmad_status)status, "device, %s: the caller's function ended with: %s", what,
                drmad_status_text((drmad_status)status));
}

/* ---- a plan as text ---- */

typedef struct text {
    drmad_ctx *ctx;
    drmad_status st;
    char *at;
    size_t used, size;
} text;

static void put(text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(text *t, const char *fmt, ...)
{
    char part[160];
    va_list ap;

    va_start(ap, fmt);
    const size_t n = (size_t)vsnprintf(part, sizeof part, fmt, ap);
    va_end(ap);
    if (t->used + n + 1 > t->size && t->st == DRMAD_OK) {
        t->st = mem_resize(t->ctx, &t->at, t->size, 2 * t->size + sizeof part, 1);
        t->size = t->st == DRMAD_OK ? 2 * t->size + sizeof part : t->size;
    }
    if (t->st != DRMAD_OK) return;
    memcpy(t->at + t->used, part, n + 1);
    t->used += n;
}

static void put_axes(text *t, const node_rec *r)
{
    const char *sep = " axes=";

    for (int i = 0; i < RANK_MAX; i++)
        if (r->attr.axes >> i & 1) put(t, "%s%d", sep, i), sep = ",";
}

static void put_pair(text *t, const char *name, const int32_t pair[2])
{
    put(t, " %s=%d,%d", name, pair[0], pair[1]);
}

static void put_window(text *t, const window *v)
{
    put(t, " size=%" PRId64 ",%" PRId64, v->size[0], v->size[1]);
    put_pair(t, "kernel", v->kernel);
    put_pair(t, "stride", v->stride);
    put_pair(t, "pad", v->pad);
    put_pair(t, "dilation", v->dilation);
    put(t, " groups=%d", v->groups);
}

static void put_attributes(text *t, const node_rec *r)
{
    uint64_t bits;

    memcpy(&bits, &r->attr.f, sizeof bits);
    switch (r->op) {
    case OP_leaf: put(t, " leaf=%" PRId64, r->attr.n); break;
    case OP_fill:
    case OP_scale: put(t, " f=%016" PRIx64, bits); break;
    case OP_slice:
    case OP_pad: put(t, " axis=%d from=%" PRId64, r->attr.axis, r->attr.n); break;
    case OP_matmul: put(t, "%s%s", r->attr.ta ? " ta" : "", r->attr.tb ? " tb" : ""); break;
    case OP_conv:
    case OP_conv_dx:
    case OP_conv_dw:
    case OP_sumpool:
    case OP_spread:
    case OP_maxpool_arg: put_window(t, &r->attr.window); break;
    case OP_uniform:
    case OP_normal: put(t, " site=%" PRId64, r->attr.n); break;
    case OP_iota: put(t, " axis=%d", r->attr.axis); break;
    case OP_sum: put_axes(t, r); break;
    case OP_permute:
        for (int i = 0; i < r->shape.rank; i++) put(t, "%s%d", i ? "," : " perm=", r->attr.perm[i]);
        break;
    default: break;
    }
}

static void put_node(text *t, const graph *g, node v)
{
    const node_rec *r = graph_rec(g, v);
    const op_def *def = op_get(r->op);

    put(t, "%d %s %s ", v, def->name, dtype_name((dtype)r->dtype));
    for (int i = 0; i < r->shape.rank; i++) put(t, "%s%" PRId64, i ? "," : "", r->shape.dim[i]);
    put(t, "%s", r->shape.rank ? " " : "- ");
    for (int i = 0; i < def->arity; i++) put(t, "%s%d", i ? "," : "", r->in[i]);
    if (def->arity == 0) put(t, "-");
    put_attributes(t, r);
    put(t, "\n");
}

/* The text of what the plan's outputs need; gives *out. */
static drmad_status write_plan(drmad_ctx *ctx, const plan *p, char **out)
{
    text t = {.ctx = ctx};
    drmad_status st = DRMAD_OK;
    bool *need = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, (size_t)graph_size(p->g) + 1, sizeof *need, &need));
    for (int32_t i = 0; i < p->outs; i++) need[p->out[i].y] = true;
    for (node v = graph_size(p->g) - 1; v >= 0; v--)
        for (int i = 0; need[v] && i < op_get(graph_rec(p->g, v)->op)->arity; i++)
            need[graph_rec(p->g, v)->in[i]] = true;
    for (node v = 0; v < graph_size(p->g); v++)
        if (need[v]) put_node(&t, p->g, v);
    for (int32_t i = 0; i < p->outs; i++) put(&t, "out %d\n", p->out[i].y);
    TRY(t.st);
    *out = t.at, t.at = NULL;
done:
    mem_free(ctx, t.at);
    mem_free(ctx, need);
    return st;
}

/* ---- programs ---- */

static void release(void *p)
{
    device_code *code = p;

    if (!code) return;
    code->d->release(code->d->program_user, code->program);
    mem_free(code->ctx, code);
}

static drmad_status bind(const backend *b, drmad_ctx *ctx, const plan *p, void **out)
{
    drmad_status st = DRMAD_OK;
    device_code *code = NULL;
    char *lines = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *code, &code));
    *code = (device_code){.ctx = ctx, .d = device_of(b)};
    TRY(write_plan(ctx, p, &lines));
    TRY(answered(ctx, code->d->compile(code->d->program_user, lines, &code->program), "compile"));
    *out = code, code = NULL;
done:
    mem_free(ctx, code);
    mem_free(ctx, lines);
    return st;
}

static drmad_status run(void *p, const bound_memory *m)
{
    const device_code *code = p;
    const device *d = code->d;

    return answered(code->ctx, d->run(d->program_user, code->program, m->leaf, m->out), "run");
}

static size_t bytes(const void *code)
{
    (void)code; /* the caller's business */
    return 0;
}

/* ---- memory ---- */

static drmad_status lend(const backend *b, drmad_ctx *ctx, size_t size, void **out)
{
    const device *d = device_of(b);
    const drmad_status st = answered(ctx, d->alloc(d->memory_user, size, out), "memory");

    if (st == DRMAD_OK && !*out) return FAIL(ctx, DRMAD_E_NOMEM, "device: no memory, no status");
    if (st != DRMAD_OK) *out = NULL;
    return st;
}

static void give_back(const backend *b, drmad_ctx *ctx, void *ptr)
{
    const device *d = device_of(b);

    (void)ctx;
    if (ptr) d->free(d->memory_user, ptr);
}

static drmad_status copy(const backend *b, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                         size_t size)
{
    const device *d = device_of(b);

    return answered(ctx, d->copy(d->memory_user, to, from, size, (int)way), "copy");
}

/* ---- */

static bool supports(int32_t op, dtype t)
{
    (void)t;
    return op >= 0 && op < OP_COUNT; /* compile may refuse */
}

static const plan_target target = {
    .name = "device",
    .align = 64,
    .fuse = false, /* its groups are not looked at */
    .tile_bytes = 512 << 10,
    .tile_macs = 24 << 20,
    .supports = supports,
};

void device_init(device *d)
{
    d->on = (backend){
        .version = BACKEND_VERSION,
        .name = "device",
        .target = &target,
        .bind = bind,
        .run = run,
        .release = release,
        .bytes = bytes,
        .alloc = lend,
        .free = give_back,
        .copy = copy,
    };
}
