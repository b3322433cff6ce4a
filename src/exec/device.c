/* Plans as text, and calls of the caller's functions. */
#include "exec/device.h"
#include "base/text.h"

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

/* The text of what the plan's outputs need; gives *out. */
static drmad_status write_plan(drmad_ctx *ctx, const plan *p, char **out)
{
    text_out t = {.ctx = ctx};
    drmad_status st = DRMAD_OK;
    node *y = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, (size_t)p->outs + 1, sizeof *y, &y));
    for (int32_t i = 0; i < p->outs; i++) y[i] = p->out[i].y;
    TRY(graph_print(p->g, y, p->outs, &t));
    for (int32_t i = 0; i < p->outs; i++) text_say(&t, "out %d\n", y[i]);
    TRY(text_give(&t, out));
done:
    text_free(&t);
    mem_free(ctx, y);
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
