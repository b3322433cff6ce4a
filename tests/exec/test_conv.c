/* Convolutions and their two gradients against a naive loop. Operands are small integers, so every
 * order of summation gives the same exact value: what fails is a wrong element, not rounding. */
#include "base/rng.h"
#include "exec/cpu/conv.h"
#include "test.h"
#include <sys/mman.h>
#include <unistd.h>

enum { LIMIT = 3, OPERANDS = 3 };

/* Memory whose end is the end of what may be touched: the page after it is locked. */
typedef struct fenced {
    void *map, *at;
    size_t bytes;
    int64_t count;
} fenced;

typedef struct problem {
    conv c;
    fenced x, w, y; /* y: also dy; x: also dx; w: also dw */
    void *packed, *sums, *work;
} problem;

static size_t size_of(const conv *c)
{
    return c->type == F64 ? sizeof(double) : sizeof(float);
}

static double get(const conv *c, const fenced *x, int64_t i)
{
    return c->type == F64 ? ((const double *)x->at)[i] : (double)((const float *)x->at)[i];
}

static void put(const conv *c, fenced *x, int64_t i, double v)
{
    if (c->type == F64) ((double *)x->at)[i] = v;
    else ((float *)x->at)[i] = (float)v;
}

static fenced fenced_open(const conv *c, int64_t count)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (size_t)count * size_of(c);
    const size_t whole = (bytes + page - 1) / page * page;
    fenced f = {.bytes = whole + page, .count = count};

    f.map = mmap(NULL, f.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f.map == MAP_FAILED || mprotect((char *)f.map + whole, page, PROT_NONE) != 0) abort();
    f.at = (char *)f.map + whole - bytes;
    return f;
}

static void fill_integers(const conv *c, fenced *f, uint32_t site)
{
    for (int64_t i = 0; i < f->count; i++)
        put(c, f, i,
            (double)(rng_u64((rng_key){5, site, 0}, (uint64_t)i) % (2 * LIMIT + 1)) - LIMIT);
}

static void fill_reals(const conv *c, fenced *f, uint32_t site)
{
    for (int64_t i = 0; i < f->count; i++)
        put(c, f, i, 2 * rng_uniform((rng_key){5, site, 0}, (uint64_t)i) - 1);
}

static void *scratch(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);

    if (!p) abort();
    memset(p, 0xff, bytes); /* NaN: scratch must be written before it is read */
    return p;
}

static problem problem_open(conv c)
{
    problem p = {.c = c};
    const int64_t out = window_out(&c.v, 0) * window_out(&c.v, 1);

    conv_prepare(&p.c);
    p.x = fenced_open(&c, c.n * c.v.size[0] * c.v.size[1] * c.ci);
    p.w = fenced_open(&c, c.co * c.ci / c.v.groups * c.v.kernel[0] * c.v.kernel[1]);
    p.y = fenced_open(&c, c.n * out * c.co);
    fill_integers(&c, &p.x, 1), fill_integers(&c, &p.w, 2), fill_integers(&c, &p.y, 3);
    p.packed = scratch(p.c.packed), p.sums = scratch(p.c.sums), p.work = scratch(p.c.work);
    return p;
}

static void problem_close(problem *p)
{
    fenced *const all[OPERANDS] = {&p->x, &p->w, &p->y};

    for (int i = 0; i < OPERANDS; i++) munmap(all[i]->map, all[i]->bytes);
    free(p->packed), free(p->sums), free(p->work);
}

static fenced *result(problem *p)
{
    return p->c.op == CONV_Y ? &p->y : p->c.op == CONV_DX ? &p->x : &p->w;
}

/* All that pixel (at[1], at[2]) of image at[0] and output channel at[3] take part in. */
static void each_tap(const problem *p, double *sum, const int64_t at[4])
{
    const conv *c = &p->c;
    const window *v = &c->v;
    const int64_t ci = c->ci / v->groups, g = at[3] / (c->co / v->groups);
    const int64_t y =
        ((at[0] * window_out(v, 0) + at[1]) * window_out(v, 1) + at[2]) * c->co + at[3];
    const double *px = p->x.at, *pw = p->w.at, *py = p->y.at;

    for (int64_t n = 0; n < (int64_t)v->kernel[0] * v->kernel[1]; n++) {
        const int64_t i = n / v->kernel[1], k = n % v->kernel[1];
        const int64_t r = at[1] * v->stride[0] + i * v->dilation[0] - v->pad[0];
        const int64_t s = at[2] * v->stride[1] + k * v->dilation[1] - v->pad[1];
        if (r < 0 || s < 0 || r >= v->size[0] || s >= v->size[1]) continue;
        for (int64_t q = 0; q < ci; q++) {
            const int64_t x = ((at[0] * v->size[0] + r) * v->size[1] + s) * c->ci + g * ci + q;
            const int64_t w = ((at[3] * ci + q) * v->kernel[0] + i) * v->kernel[1] + k;
            if (c->op == CONV_Y) sum[y] += px[x] * pw[w];
            if (c->op == CONV_DX) sum[x] += py[y] * pw[w];
            if (c->op == CONV_DW) sum[w] += px[x] * py[y];
        }
    }
}

/* Of the same integers for every type. */
static double *naive(conv c)
{
    c.type = F64;
    problem p = problem_open(c);
    const fenced *out = result(&p);
    double *sum = calloc((size_t)out->count + 1, sizeof *sum);
    int64_t at[4];

    if (!sum) abort();
    for (int64_t i = 0; c.acc && i < out->count; i++) sum[i] = get(&c, out, i);
    for (at[0] = 0; at[0] < c.n; at[0]++)
        for (at[1] = 0; at[1] < window_out(&c.v, 0); at[1]++)
            for (at[2] = 0; at[2] < window_out(&c.v, 1); at[2]++)
                for (at[3] = 0; at[3] < c.co; at[3]++) each_tap(&p, sum, at);
    problem_close(&p);
    return sum;
}

/* In ranges of `step` lines; 0: all at once. DW: tiles from the last to the first. */
static void compute(problem *p, int64_t step)
{
    const conv *c = &p->c;
    const int64_t line = c->lines ? result(p)->count / c->lines : 0, by = step ? step : c->lines;

    if (c->op == CONV_DW) {
        const conv_memory m = {p->x.at, p->y.at, p->sums};
        for (int64_t t = c->tiles - 1; t >= 0; t--) conv_dw_tile(c, &m, t, p->work);
        for (int64_t o = 0; o < c->co; o += step ? step : c->co)
            conv_put(c, p->sums, p->w.at, o, !step || o + step > c->co ? c->co : o + step);
        return;
    }
    conv_pack(c, p->w.at, p->packed, p->work);
    for (int64_t n = 0; n < c->lines; n += by) {
        const conv_memory m = {c->op == CONV_Y ? p->x.at : p->y.at, p->packed,
                               (char *)result(p)->at + (size_t)(n * line) * size_of(c)};
        conv_run(c, &m, n, n + by < c->lines ? n + by : c->lines, p->work);
    }
}

static const char *name(const conv *c)
{
    static const char *const names[] = {"y", "dx", "dw"};

    return names[c->op];
}

static void check(conv c, int64_t step, const double *want)
{
    problem p = problem_open(c);
    int64_t wrong = 0;

    if (!c.acc) /* nothing that was there may enter */
        for (int64_t i = 0; i < result(&p)->count; i++) put(&c, result(&p), i, NAN);
    compute(&p, step);
    for (int64_t i = 0; i < result(&p)->count; i++) wrong += !(get(&c, result(&p), i) == want[i]);
    if (wrong)
        test_fail(__FILE__, __LINE__,
                  "%s %s %s: n %lld, %lld -> %lld, %lldx%lld, kernel %dx%d stride %d,%d pad %d,%d "
                  "dilation %d,%d groups %d acc %d step %lld: %lld of %lld wrong",
                  cpu_isa_name(c.isa), c.type == F64 ? "f64" : "f32", name(&c), (long long)c.n,
                  (long long)c.ci, (long long)c.co, (long long)c.v.size[0], (long long)c.v.size[1],
                  c.v.kernel[0], c.v.kernel[1], c.v.stride[0], c.v.stride[1], c.v.pad[0],
                  c.v.pad[1], c.v.dilation[0], c.v.dilation[1], c.v.groups, c.acc, (long long)step,
                  (long long)wrong, (long long)result(&p)->count);
    problem_close(&p);
}

/* All three, in all types and instruction sets. */
static void check_all(conv c, int64_t step)
{
    for (int op = CONV_Y; op <= CONV_DW; op++) {
        c.op = (conv_op)op;
        double *want = naive(c);
        for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++) {
            c.isa = isa;
            c.type = F32;
            check(c, step, want);
        }
        c.type = F64;
        check(c, step, want);
        free(want);
    }
}

static conv shaped(int64_t n, int64_t size, int64_t ci, int64_t co, int32_t kernel)
{
    return (conv){.n = n,
                  .ci = ci,
                  .co = co,
                  .v = {.size = {size, size},
                        .kernel = {kernel, kernel},
                        .stride = {1, 1},
                        .dilation = {1, 1},
                        .groups = 1}};
}

static uint64_t draw(uint64_t *i, uint64_t below)
{
    return rng_below((rng_key){77, 0, 0}, (*i)++, below);
}

static conv drawn(uint64_t *i)
{
    static const int64_t channels[] = {1, 2, 3, 4, 6, 8, 15, 16, 17, 24, 33, 48};
    const int32_t groups = draw(i, 3) ? 1 : (int32_t)(1 + draw(i, 4));
    conv c = {.n = 1 + (int64_t)draw(i, 4),
              .ci = groups * channels[draw(i, groups > 1 ? 6 : COUNT(channels))],
              .co = groups * channels[draw(i, groups > 1 ? 6 : COUNT(channels))],
              .acc = draw(i, 2),
              .v.groups = groups};

    for (int k = 0; k < 2; k++) {
        c.v.size[k] = 1 + (int64_t)draw(i, 19);
        c.v.kernel[k] = 1 + (int32_t)draw(i, 5);
        c.v.stride[k] = draw(i, 2) ? 1 : 1 + (int32_t)draw(i, 3);
        c.v.dilation[k] = draw(i, 2) ? 1 : 1 + (int32_t)draw(i, 3);
        c.v.pad[k] = (int32_t)draw(i, 4);
    }
    return c;
}

TEST(a_convolution_of_any_geometry_is_exact_on_integers)
{
    uint64_t i = 0;

    for (int k = 0; k < test_count(150, 2000); k++) check_all(drawn(&i), (int64_t)draw(&i, 6));
}

TEST(every_count_of_channels_and_pixels_is_exact)
{
    for (int64_t co = 1; co <= 70; co += 1 + co / 16) {
        for (int64_t size = 3; size <= 34; size += co % 3 + 5) {
            conv c = shaped(1, size, 1 + co % 5, co, 3);
            c.v.pad[0] = c.v.pad[1] = (int32_t)(size % 2);
            check_all(c, 0);
        }
    }
}

TEST(layers_of_the_models_are_exact)
{
    static const struct {
        int64_t n, size, ci, co;
        int32_t kernel, stride, pad;
    } layers[] = {
        {3, 28, 1, 6, 5, 1, 2},   {3, 14, 6, 16, 5, 1, 0},  {2, 28, 1, 32, 5, 1, 0},
        {2, 12, 32, 64, 5, 1, 0}, {2, 32, 3, 16, 3, 1, 1},  {2, 32, 16, 32, 3, 2, 1},
        {2, 32, 16, 32, 1, 2, 0}, {3, 8, 64, 64, 3, 1, 1},  {1, 56, 40, 32, 3, 1, 1},
        {1, 74, 3, 64, 7, 2, 3},  {2, 7, 200, 70, 3, 1, 1}, {5, 7, 96, 160, 1, 1, 0},
    };

    for (size_t i = 0; i < COUNT(layers); i++) {
        conv c = shaped(layers[i].n, layers[i].size, layers[i].ci, layers[i].co, layers[i].kernel);
        for (int k = 0; k < 2; k++) c.v.stride[k] = layers[i].stride, c.v.pad[k] = layers[i].pad;
        check_all(c, 0);
    }
}

TEST(windows_that_hardly_meet_the_image_are_exact)
{
    conv c = shaped(2, 3, 3, 5, 7); /* larger than the image */

    check_all(c, 0);
    c.v.pad[0] = c.v.pad[1] = 2; /* fits once */
    check_all(c, 0);
    c.v.pad[0] = c.v.pad[1] = 9; /* outer pixels see nothing but the border */
    check_all(c, 1);
    c = shaped(1, 2, 2, 2, 1); /* pixels that no window sees */
    c.v.stride[0] = c.v.stride[1] = 5;
    check_all(c, 0);
    c = shaped(3, 1, 2, 2, 1); /* a step that is never made */
    c.v.stride[0] = 2;
    check_all(c, 0);
    c.v.stride[0] = 1, c.v.stride[1] = 2;
    check_all(c, 2);
    c = shaped(0, 4, 2, 2, 3);
    check_all(c, 0);
    c = shaped(1, 9, 4, 4, 3); /* taps far apart */
    c.v.dilation[0] = 6, c.v.pad[0] = 8, c.v.pad[1] = 5;
    check_all(c, 2);
}

TEST(each_channel_by_itself_is_exact)
{
    for (int32_t channels = 1; channels <= 40; channels += 3) {
        conv c = shaped(2, 9, channels, channels, 3);
        c.v.groups = channels, c.v.pad[0] = c.v.pad[1] = 1;
        check_all(c, 0);
        c.co = 2 * channels, c.v.stride[0] = c.v.stride[1] = 2;
        check_all(c, 3);
    }
}

/* The bits of a line do not depend on the range that it is computed in, nor on the batch. */
static void check_bits(conv c, int64_t step)
{
    problem p = problem_open(c);
    fenced *out = result(&p);
    const size_t bytes = (size_t)out->count * size_of(&c);
    void *whole = malloc(bytes + 1);

    if (!whole) abort();
    fill_reals(&c, &p.x, 1), fill_reals(&c, &p.w, 2), fill_reals(&c, &p.y, 3);
    compute(&p, 0);
    memcpy(whole, out->at, bytes);
    fill_reals(&c, out, 4);
    compute(&p, step);
    if (memcmp(whole, out->at, bytes) != 0)
        test_fail(__FILE__, __LINE__, "%s %s: other bits in steps of %lld", cpu_isa_name(c.isa),
                  name(&c), (long long)step);
    free(whole);
    problem_close(&p);
}

TEST(bits_do_not_depend_on_the_range_of_lines)
{
    conv shapes[] = {shaped(6, 9, 5, 20, 3), shaped(2, 60, 70, 33, 3), shaped(9, 7, 40, 48, 1)};

    shapes[0].v.stride[0] = 2, shapes[0].v.pad[0] = shapes[1].v.pad[1] = 1;
    for (size_t i = 0; i < COUNT(shapes); i++) {
        conv c = shapes[i];
        for (int op = CONV_Y; op <= CONV_DW; op++) {
            for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++) {
                c.op = (conv_op)op, c.isa = isa, c.type = F32;
                check_bits(c, 1), check_bits(c, 5), check_bits(c, 16);
            }
            c.type = F64;
            check_bits(c, 4);
        }
    }
}

static double dot(const conv *c, const fenced *a, const double *b)
{
    double sum = 0;

    for (int64_t i = 0; i < a->count; i++) sum += get(c, a, i) * b[i];
    return sum;
}

/* <dy, conv(x, w)> = <x, dx(dy, w)> = <w, dw(x, dy)>, each result by our kernels. */
TEST(the_three_are_adjoint_to_one_another)
{
    uint64_t draws = 1000;

    for (int k = 0; k < test_count(60, 600); k++) {
        conv c = drawn(&draws);
        double sums[OPERANDS] = {0}, scale = 1;
        c.isa = (cpu_isa)draw(&draws, (uint64_t)cpu_isa_best() + 1);
        c.type = draw(&draws, 2) ? F64 : F32, c.acc = false;
        for (int op = CONV_Y; op <= CONV_DW; op++) {
            c.op = (conv_op)op;
            problem p = problem_open(c);
            fenced *out = result(&p);
            double *kept = malloc((size_t)(out->count + 1) * sizeof *kept);
            if (!kept) abort();
            fill_reals(&c, &p.x, 1), fill_reals(&c, &p.w, 2), fill_reals(&c, &p.y, 3);
            for (int64_t i = 0; i < out->count; i++) kept[i] = get(&c, out, i);
            compute(&p, 0);
            sums[op] = dot(&c, out, kept);
            if (op == CONV_DW) scale += (double)p.w.count * sqrt((double)p.y.count);
            free(kept);
            problem_close(&p);
        }
        const double tol = scale * (c.type == F64 ? 1e-15 : 1e-6);
        CHECK_NEAR(sums[CONV_DX], sums[CONV_Y], tol);
        CHECK_NEAR(sums[CONV_DW], sums[CONV_Y], tol);
    }
}
