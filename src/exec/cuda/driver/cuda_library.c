/* What cuBLASLt and cuDNN have in common here: finding them, a plan for each size of call, operands
 * that lie askew, the run before the recording. */
#include "exec/cuda/driver/cuda_library.h"
#include "exec/cuda/kernel/product_operands.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 256, PATH_SIZE = 4096 };

static const library_kind *const kinds[LIBRARIES] = {
    [LIBRARY_CUBLASLT] = &library_cublaslt,
    [LIBRARY_CUDNN] = &library_cudnn,
};

static int kind_of(gpu_kernel k)
{
    return k == GPU_matmul ? LIBRARY_CUBLASLT : LIBRARY_CUDNN;
}

/* ---- finding them ---- */

static const char *folders(void)
{
    const char *list = secure_getenv("DRMAD_CUDA_LIBRARIES");

    return list ? list : "";
}

/* The first of its files that is in a folder of DRMAD_CUDA_LIBRARIES, or where the loader looks. */
static drmad_status find(drmad_ctx *ctx, const library_kind *k, void *table)
{
    char path[PATH_SIZE];
    library_source s = k->source;

    s.file = path;
    for (const char *at = folders(); *at; at += *at == ':') {
        const int length = (int)strcspn(at, ":");
        for (int32_t i = 0; i < k->n && length > 0; i++) {
            snprintf(path, sizeof path, "%.*s/%s", length, at, k->files[i].name);
            if (library_open(ctx, &s, table) == DRMAD_OK) return DRMAD_OK;
        }
        at += length;
    }
    return library_open_any(ctx, k->source, k->files, k->n, table);
}

static drmad_status open_library(drmad_ctx *ctx, const library_kind *k, void **out)
{
    drmad_status st = DRMAD_OK;
    void *it = NULL;

    TRY(mem_alloc(ctx, 1, k->bytes, &it));
    TRY(find(ctx, k, it));
    *out = it, it = NULL;
done:
    mem_free(ctx, it);
    return st;
}

void cuda_library_look(cuda_library *l, drmad_ctx *ctx)
{
    if (l->looked) return;
    l->looked = true;
    if (strcmp(folders(), "off") == 0) return;
    for (int k = 0; k < LIBRARIES; k++)
        if (open_library(ctx, kinds[k], &l->of[k].it) != DRMAD_OK)
            base_log(ctx, LOG_DETAIL, "without %s: %s", kinds[k]->source.what, drmad_errmsg(ctx));
}

void cuda_library_name(const cuda_library *l, char *buf, size_t size)
{
    size_t n = 0;

    snprintf(buf, size, "none");
    for (int k = 0; k < LIBRARIES; k++) {
        if (!l->of[k].it || n >= size) continue;
        const size_t v = kinds[k]->version(l->of[k].it);
        n += (size_t)snprintf(buf + n, size - n, "%s%s %zu.%zu.%zu", n > 0 ? ", " : "",
                              kinds[k]->source.what, v / 10000, v / 100 % 100, v % 100);
    }
}

/* ---- plans ---- */

static void key_of(const gpu_call *c, int64_t *key)
{
    const matmul_args *m = matmul_of(c);
    const window_args *v = &conv_of(c)->v;
    const int64_t product[] = {m->m,   m->n,     m->k,         m->lda,    m->ldb,
                               m->ldc, m->batch, m->a_step,    m->b_step, m->c_step,
                               m->ta,  m->tb,    m->accumulate};
    const int64_t conv[] = {v->n,
                            v->h,
                            v->w,
                            v->c,
                            v->oh,
                            v->ow,
                            v->o,
                            v->kh,
                            v->kw,
                            v->stride_h,
                            v->stride_w,
                            v->pad_h,
                            v->pad_w,
                            v->dilation_h,
                            v->dilation_w,
                            v->groups,
                            conv_of(c)->accumulate};

    memset(key, 0, LIBRARY_KEY * sizeof *key);
    key[0] = c->kernel, key[1] = c->type;
    if (is_matmul(c)) memcpy(key + 2, product, sizeof product);
    else memcpy(key + 2, conv, sizeof conv);
}

static library_plan *find_plan(const cuda_library *l, const gpu_call *c)
{
    int64_t key[LIBRARY_KEY];
    library_plan *p = l->first;

    key_of(c, key);
    while (p && memcmp(p->key, key, sizeof key) != 0) p = p->next;
    return p;
}

/* Before the first plan of a library. */
static drmad_status start(cuda_library *l, drmad_ctx *ctx, int k)
{
    opened_library *o = &l->of[k];
    drmad_status st = DRMAD_OK;

    if (o->workspace) return DRMAD_OK;
    TRY(kinds[k]->start(l, ctx, o->it));
    const cudaError_t e = cudaMalloc(&o->workspace, kinds[k]->workspace);
    TRY(e == cudaErrorMemoryAllocation
            ? cuda_no_memory(l->g, ctx, "a library's workspace", kinds[k]->workspace)
            : cuda_answered(l->g, ctx, e, "taking a library's workspace"));
done:
    return st;
}

static drmad_status new_plan(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, library_plan **out)
{
    const int k = kind_of(c->kernel);
    drmad_status st = DRMAD_OK;
    library_plan *p = NULL;

    *out = NULL;
    TRY(start(l, ctx, k));
    TRY(mem_alloc(l->ctx, 1, sizeof *p, &p));
    key_of(c, p->key);
    TRY(kinds[k]->make(l, ctx, l->of[k].it, c, p));
    p->next = l->first;
    *out = l->first = p, p = NULL;
done:
    mem_free(l->ctx, p);
    return st;
}

drmad_status cuda_library_takes(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, bool *out)
{
    drmad_status st = DRMAD_OK;
    library_plan *p;

    *out = false;
    cuda_library_look(l, ctx);
    if (!l->of[kind_of(c->kernel)].it || (c->type != F32 && !is_matmul(c))) return DRMAD_OK;
    p = find_plan(l, c);
    if (!p) TRY(new_plan(l, ctx, c, &p));
    *out = !p->refused;
done:
    return st;
}

/* ---- running ---- */

static size_t bytes_of(const gpu_call *c, const product_operands *o, int k)
{
    return (size_t)o->count[k] * (c->type == F64 ? sizeof(double) : sizeof(float));
}

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* Vectorized kernels cannot read it. */
static bool is_askew(const void *at)
{
    return (uintptr_t)at % LIBRARY_ALIGN != 0;
}

size_t cuda_library_room(const gpu_call *c)
{
    const product_operands o = operands_of(c);
    size_t room = 0;

    for (int k = 0; k < 3; k++)
        if (is_askew(o.at[k])) room += round_up(bytes_of(c, &o, k));
    return room;
}

static drmad_status copy(cuda_library *l, drmad_ctx *ctx, void *to, const void *from, size_t bytes)
{
    return cuda_answered(l->g, ctx,
                         cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, l->stream),
                         "moving an operand");
}

/* Tensors that lie askew go through `room`, whatever the addresses of this run are: so the
 * library's choice does not depend on them. */
static drmad_status run_at(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, product_operands o,
                           char *room)
{
    const library_kind *kind = kinds[kind_of(c->kernel)];
    library_plan *p = find_plan(l, c);
    drmad_status st = DRMAD_OK;
    void *at[3];

    for (int k = 0; k < 3; k++) {
        at[k] = o.at[k];
        if (!is_askew(at[k])) continue;
        at[k] = room, room += round_up(bytes_of(c, &o, k));
        if (k < 2 || o.accumulate) TRY(copy(l, ctx, at[k], o.at[k], bytes_of(c, &o, k)));
    }
    TRY(kind->run(l, ctx, c, p, at));
    if (!p->refused && at[2] != o.at[2]) TRY(copy(l, ctx, o.at[2], at[2], bytes_of(c, &o, 2)));
done:
    return st;
}

drmad_status cuda_library_run(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, void *room,
                              bool *done)
{
    const library_plan *p = find_plan(l, c);
    drmad_status st = DRMAD_OK;

    if (!p->refused) TRY(run_at(l, ctx, c, operands_of(c), room));
    *done = !p->refused;
done:
    return st;
}

/* Where there is no memory for a result that nobody wants, the recording is the first run. */
static drmad_status warm_up(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, void *room)
{
    product_operands o = operands_of(c);
    drmad_status st = DRMAD_OK;

    const cudaError_t e = cudaMalloc(&o.at[2], bytes_of(c, &o, 2));
    if (e == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* it is told */
        return DRMAD_OK;
    }
    TRY(cuda_answered(l->g, ctx, e, "taking memory for a trial run"));
    st = run_at(l, ctx, c, o, room);
    cudaFree(o.at[2]); /* waits for what uses it */
done:
    return st;
}

drmad_status cuda_library_warm(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, void *room,
                               bool *taken)
{
    library_plan *p = find_plan(l, c);
    drmad_status st = DRMAD_OK;

    if (!p->warm) TRY(warm_up(l, ctx, c, room));
    p->warm = true;
    *taken = !p->refused;
done:
    return st;
}

size_t cuda_library_workspaces(const cuda_library *l)
{
    size_t bytes = 0;

    for (int k = 0; k < LIBRARIES; k++)
        if (l->of[k].workspace) bytes += kinds[k]->workspace;
    return bytes;
}

void cuda_library_close(cuda_library *l)
{
    for (library_plan *p = l->first, *next; p; p = next) {
        const int k = kind_of((gpu_kernel)p->key[0]);
        next = p->next;
        kinds[k]->drop(l, l->of[k].it, p->made);
        mem_free(l->ctx, p);
    }
    for (int k = 0; k < LIBRARIES; k++) {
        if (l->of[k].workspace) cudaFree(l->of[k].workspace);
        if (l->of[k].it) kinds[k]->end(l->of[k].it);
        mem_free(l->ctx, l->of[k].it);
    }
}
