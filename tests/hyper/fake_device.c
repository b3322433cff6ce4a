#include "fake_device.h"
#include "eval.h"
#include <sys/mman.h>

static void touch(fake_device *f, bool on)
{
    if (mprotect(f->memory, FAKE_BYTES, on ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) abort();
}

static bool inside(const fake_device *f, const void *p)
{
    return (const char *)p >= f->memory && (const char *)p < f->memory + FAKE_BYTES;
}

/* ---- memory ---- */

static int lend(void *user, size_t bytes, void **out)
{
    fake_device *f = user;

    if (f->used + bytes + 64 > FAKE_BYTES) return DRMAD_E_NOMEM;
    *out = f->memory + f->used; /* fresh, so zero */
    f->used += (bytes + 127) / 64 * 64;
    f->live++;
    return DRMAD_OK;
}

static void give_back(void *user, void *memory)
{
    fake_device *f = user;

    CHECK(inside(f, memory));
    f->live--;
}

static int copy(void *user, void *to, const void *from, size_t bytes, int way)
{
    fake_device *f = user;

    if (f->copies++ == f->fail_copy_at) return DRMAD_E_NOMEM;
    CHECK(inside(f, to) == (way != COPY_DOWN));
    CHECK(!from || inside(f, from) == (way != COPY_UP));
    if (way != COPY_WITHIN && bytes > sizeof(double)) f->vectors++;
    else if (way != COPY_WITHIN) f->numbers++;
    touch(f, true);
    if (from) memcpy(to, from, bytes);
    else memset(to, 0, bytes);
    touch(f, false);
    return DRMAD_OK;
}

/* ---- programs ---- */

static int list_of(const char *s, int64_t *out)
{
    int n = 0;

    for (const char *at = s; *at && strcmp(s, "-") != 0; at++, n++) {
        char *end;
        out[n] = strtoll(at, &end, 10);
        at = end;
        if (!*at) return n + 1;
    }
    return n;
}

static int32_t op_of(const char *name)
{
    for (int32_t i = 0; i < OP_COUNT; i++)
        if (strcmp(op_get(i)->name, name) == 0) return i;
    return -1;
}

static void read_attribute(node_rec *r, const char *word)
{
    const char *value = strchr(word, '=') ? strchr(word, '=') + 1 : "";
    int64_t list[RANK_MAX] = {0};
    const int n = word[0] == 'f' && word[1] == '=' ? 0 : list_of(value, list);
    uint64_t bits = strtoull(value, NULL, 16);

    if (strncmp(word, "f=", 2) == 0) memcpy(&r->attr.f, &bits, sizeof bits);
    else if (strncmp(word, "axis=", 5) == 0) r->attr.axis = (int32_t)list[0];
    else if (strncmp(word, "from=", 5) == 0 || strncmp(word, "leaf=", 5) == 0) r->attr.n = list[0];
    else if (strcmp(word, "ta") == 0) r->attr.ta = 1;
    else if (strcmp(word, "tb") == 0) r->attr.tb = 1;
    else if (strncmp(word, "axes=", 5) == 0)
        for (int i = 0; i < n; i++) r->attr.axes |= 1u << list[i];
    else if (strncmp(word, "perm=", 5) == 0)
        for (int i = 0; i < n; i++) r->attr.perm[i] = (int32_t)list[i];
    else test_fail(__FILE__, __LINE__, "attribute %s", word);
}

/* One line "NUMBER OPERATION TYPE SHAPE OPERANDS ATTRIBUTES..."; *number is the text's. */
static node read_line(fake_program *p, char *line, const node *known, int *number)
{
    char *rest, *word[5];
    node_rec r = {.in = {NODE_NONE, NODE_NONE, NODE_NONE}};
    int64_t in[RANK_MAX];

    word[0] = strtok_r(line, " ", &rest);
    for (int i = 1; i < 5; i++) word[i] = strtok_r(NULL, " ", &rest);
    *number = atoi(word[0]);
    r.op = op_of(word[1]);
    while (strcmp(dtype_name((dtype)r.dtype), word[2]) != 0) r.dtype++;
    r.shape.rank = list_of(word[3], r.shape.dim);
    for (int i = 0, n = list_of(word[4], in); i < n; i++) r.in[i] = known[in[i]];
    for (char *w; (w = strtok_r(NULL, " ", &rest));) read_attribute(&r, w);
    if (r.op != OP_leaf) return op_make(p->g, &r);
    p->leaf[graph_leaves(p->g)] = (int32_t)r.attr.n;
    return graph_add_leaf(p->g, "", (dtype)r.dtype, r.shape);
}

static void release(void *user, int64_t number)
{
    fake_device *f = user;

    graph_free(f->program[number].g);
    f->program[number].g = NULL;
    f->live--;
}

static int compile(void *user, const char *text, int64_t *number_of)
{
    fake_device *f = user;
    node known[2048];
    int64_t k = 0;
    int number;

    while (k < FAKE_PROGRAMS && f->program[k].g) k++;
    CHECK(k < FAKE_PROGRAMS);
    fake_program *p = &f->program[k];
    *p = (fake_program){0};
    if (graph_new(f->ctx, &p->g) != DRMAD_OK) return DRMAD_E_NOMEM;
    char *lines = strdup(text), *rest;
    for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "out ", 4) == 0) {
            p->out[p->outs++] = known[atoi(line + 4)];
            continue;
        }
        const node y = read_line(p, line, known, &number);
        known[number] = y;
    }
    free(lines);
    f->live++;
    *number_of = k;
    const int st = (int)graph_status(p->g);
    if (st != DRMAD_OK) release(f, k);
    return st;
}

static void store(const fake_program *p, int32_t i, const double *from, void *to)
{
    const int64_t n = shape_count(graph_shape(p->g, p->out[i]));

    for (int64_t e = 0; e < n; e++)
        if (graph_dtype(p->g, p->out[i]) == F64) ((double *)to)[e] = from[e];
        else ((float *)to)[e] = (float)from[e];
}

static int run(void *user, int64_t number, const void *const *leaf, void *const *out)
{
    fake_device *f = user;
    const fake_program *p = &f->program[number];
    const void *at[256];
    double *value[256];

    f->runs++;
    for (int32_t i = 0; i < graph_leaves(p->g); i++) {
        at[i] = leaf[p->leaf[i]];
        CHECK(inside(f, at[i]) || shape_count(graph_shape(p->g, graph_leaf(p->g, i))) == 1);
    }
    for (int32_t i = 0; i < p->outs; i++) {
        CHECK(inside(f, out[i]));
        value[i] = malloc((size_t)shape_count(graph_shape(p->g, p->out[i])) * sizeof(double));
    }
    touch(f, true);
    eval(p->g, at, p->outs, p->out, value);
    for (int32_t i = 0; i < p->outs; i++) store(p, i, value[i], out[i]);
    touch(f, false);
    for (int32_t i = 0; i < p->outs; i++) free(value[i]);
    return DRMAD_OK;
}

/* ---- the oracle on it ---- */

static int start_on(void *user, uint64_t seed, void *w)
{
    fake_device *f = user;

    touch(f, true);
    const int st = f->inner.start(f->inner.user, seed, w);
    touch(f, false);
    return st;
}

static int gradient_on(void *user, uint64_t seed, int64_t step, const void *w, const void *weights,
                       void *g, double *loss)
{
    fake_device *f = user;

    CHECK(inside(f, w) && inside(f, g) && !inside(f, weights));
    touch(f, true);
    const int st = f->inner.gradient(f->inner.user, seed, step, w, weights, g, loss);
    touch(f, false);
    return st;
}

static int product_on(void *user, uint64_t seed, int64_t step, const void *w, const void *u,
                      const void *weights, int way, void *g, void *hu, void *rows)
{
    fake_device *f = user;

    CHECK(inside(f, w) && inside(f, u) && inside(f, hu) && !inside(f, rows));
    touch(f, true);
    const int st = f->inner.product(f->inner.user, seed, step, w, u, weights, way, g, hu, rows);
    touch(f, false);
    return st;
}

static int evaluate_on(void *user, int part, int64_t count, const void *w, const void *u, void *dw,
                       double *loss, double *error, double *slope)
{
    fake_device *f = user;

    touch(f, true);
    const int st = f->inner.evaluate(f->inner.user, part, count, w, u, dw, loss, error, slope);
    touch(f, false);
    return st;
}

static int batch_on(void *user, uint64_t seed, int64_t step, int32_t *numbers)
{
    fake_device *f = user;

    return f->inner.batch(f->inner.user, seed, step, numbers);
}

void fake_wrap(fake_device *f, bench *b)
{
    f->inner = b->o;
    b->o = (oracle){start_on, gradient_on, product_on, evaluate_on, batch_on, f, false, b->o.on};
}

void fake_open(fake_device *f, drmad_ctx *ctx)
{
    memset(f, 0, sizeof *f);
    f->ctx = ctx;
    f->fail_copy_at = -1;
    f->memory = mmap(NULL, FAKE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->memory == MAP_FAILED) abort();
    device_init(&f->d);
    f->d.alloc = lend, f->d.free = give_back, f->d.copy = copy;
    f->d.compile = compile, f->d.run = run, f->d.release = release;
    f->d.memory_user = f->d.program_user = f;
}

void fake_close(fake_device *f)
{
    CHECK_INT(f->live, 0);
    munmap(f->memory, FAKE_BYTES);
}
