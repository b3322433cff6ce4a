/* Which tiles the products of the nets that matter get, and how the model comes to it. */
#include "exec/cuda/lower/tile_choice.h"
#include "test.h"

enum { ALL = (1 << GPU_TILES) - 1 };

typedef struct case_of {
    const char *what;
    gpu_product p;
} case_of;

/* m, n, k: forward, and the weight's derivative, whose k is the batch or the pixels. */
static const case_of cases[] = {
    {"784-50 batch 50", {1, 50, 50, 784}},  {"784-50 batch 128", {1, 128, 50, 784}},
    {"784-50 weight", {1, 784, 50, 128}},   {"800-800", {1, 128, 800, 800}},
    {"800-10", {1, 128, 10, 800}},          {"800-800 weight", {1, 800, 800, 128}},
    {"lenet 1-32", {1, 100352, 32, 25}},    {"lenet 1-32 weight", {1, 32, 25, 100352}},
    {"lenet 32-64", {1, 25088, 64, 800}},   {"lenet 32-64 weight", {1, 64, 800, 25088}},
    {"resnet20 16", {1, 131072, 16, 144}},  {"resnet20 64 weight", {1, 64, 576, 8192}},
    {"resnet18 7x7", {1, 401408, 64, 147}}, {"resnet18 64 weight", {1, 64, 576, 100352}},
    {"resnet18 512", {1, 1568, 512, 4608}}, {"resnet18 512 weight", {1, 512, 4608, 1568}},
    {"square", {1, 4096, 4096, 4096}},      {"square, few", {1, 256, 256, 256}},
};

static int64_t up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t blocks_of(const gpu_product *p, const gpu_choice *c)
{
    const gpu_tile_info *t = &gpu_tiles[c->tile];

    return p->batch * up(p->m, t->m) * up(p->n, t->n) * up(p->k, c->run);
}

/* Of what the tiles cover, is most there? Their step, is it used? */
static double filled(const gpu_product *p, const gpu_choice *c)
{
    const gpu_tile_info *t = &gpu_tiles[c->tile];

    return (double)(p->m * p->n) / (double)(up(p->m, t->m) * t->m * up(p->n, t->n) * t->n);
}

TEST(tiles_of_the_nets_keep_the_processors_busy)
{
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int t = F32; t <= F64; t++) {
            const gpu_product *p = &cases[i].p;
            const gpu_choice c = gpu_choose(p, (dtype)t, ALL);
            const int64_t covered = up(p->k, c.run) * c.run;
            CHECK(gpu_tiles[c.tile].shared[t == F64] > 0);
            CHECK(c.run >= 16 && c.run % 16 == 0 && covered - p->k < c.run);
            if (filled(p, &c) < .3) test_fail(__FILE__, __LINE__, "%s: empty tiles", cases[i].what);
            /* work for all of them: then half have some at least */
            if ((double)(p->m * p->n) * (double)p->k > 1e7 && blocks_of(p, &c) < 54)
                test_fail(__FILE__, __LINE__, "%s: %lld blocks", cases[i].what,
                          (long long)blocks_of(p, &c));
        }
}

/* What was tried is what was chosen from: no tile by itself does better. */
TEST(tiles_are_the_best_of_those_there_are)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        const gpu_choice best = gpu_choose(&cases[i].p, F32, ALL);
        for (int t = 0; t < GPU_TILES; t++) {
            const gpu_choice one = gpu_choose(&cases[i].p, F32, 1u << t);
            CHECK((int)one.tile == t && one.clocks >= best.clocks);
        }
    }
}

TEST(tiles_of_plain_cases)
{
    const gpu_product square = {1, 4096, 4096, 4096}, slim = {1, 131072, 16, 144};
    const gpu_product tall = {1, 100352, 64, 576}, latency = {1, 50, 50, 784};
    const gpu_product none = {1, 5, 3, 0}, empty = {0, 0, 0, 7};

    CHECK_INT(gpu_choose(&square, F32, ALL).tile, TILE_LARGE);
    CHECK_INT(gpu_choose(&square, F32, ALL).run, 4096);
    CHECK_INT(gpu_choose(&square, F64, ALL).tile, TILE_MIDDLE);
    CHECK_INT(gpu_choose(&slim, F32, ALL).tile, TILE_NARROW);
    CHECK_INT(gpu_choose(&tall, F32, ALL).tile, TILE_TALL);
    CHECK_INT(gpu_choose(&latency, F32, ALL).tile, TILE_SMALL);
    CHECK(gpu_choose(&latency, F32, ALL).run <= 256); /* shares: few blocks wait for memory */
    CHECK_INT(gpu_choose(&none, F32, ALL).run, 16);
    CHECK_INT(gpu_choose(&empty, F32, ALL).run, 16);
}
