/* Ten digits as pen strokes, each image with its own jitter of the points, size, slant, turn,
 * place, pen width, ink, a stray stroke now and then, and noise. Only + - * / and square roots of
 * doubles: the same bits on every machine. */
#include "data/digits.h"
#include "base/pool.h"
#include "base/rng.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE, POINTS_MAX = 15, TILE = 256 };

/* How far an image strays from the plain digit. Chosen by trial to be about as hard as MNIST:
 * 784-50-50-50-10 tanh, batch 50, has 4.3 % test errors after 2000 steps on 10,000 images (the
 * nearest mean 37 %), 2.2 % after 6000 steps on 60,000. */
#define JITTER 1.05 /* of each point, in units of the strokes (the digit is 10 x 16) */
#define SLANT 0.45  /* shear, either way */
#define TURN 0.16   /* half the tangent of the angle, either way */
#define SHIFT 2.75  /* pixels, either way */
#define STRAY 0.4   /* chance of a stray stroke */
#define NOISE 0.12  /* of the pixel range: (sum of 4 bytes - 510) / 148 has variance 1 */

typedef struct stroke {
    int n;
    int8_t xy[2 * POINTS_MAX]; /* a box of 10 x 16, y downwards */
} stroke;

static const stroke digits[10] = {
    {11, {5, 0, 8, 1, 10, 5, 10, 11, 8, 15, 5, 16, 2, 15, 0, 11, 0, 5, 2, 1, 5, 0}},
    {3, {2, 4, 6, 0, 6, 16}},
    {8, {0, 4, 2, 1, 5, 0, 8, 1, 10, 4, 9, 7, 0, 16, 10, 16}},
    {11, {0, 2, 3, 0, 7, 0, 10, 3, 9, 6, 5, 8, 9, 9, 10, 12, 8, 15, 4, 16, 0, 14}},
    {4, {8, 16, 8, 0, 0, 11, 10, 11}},
    {9, {9, 0, 1, 0, 1, 7, 5, 6, 9, 8, 10, 11, 8, 15, 4, 16, 0, 14}},
    {12, {8, 0, 4, 2, 1, 7, 0, 11, 2, 15, 5, 16, 8, 15, 10, 12, 8, 9, 5, 8, 2, 9, 0, 11}},
    {3, {0, 0, 10, 0, 4, 16}},
    {15, {5, 8, 2,  6, 1,  3, 3,  0, 7,  0,  9,  3, 8,  6, 5,
          8, 2, 10, 0, 13, 2, 16, 8, 16, 10, 13, 8, 10, 5, 8}},
    {11, {10, 5, 8, 1, 5, 0, 2, 1, 0, 4, 2, 7, 5, 8, 8, 7, 10, 5, 9, 11, 6, 16}},
};

typedef struct painter {
    rng_key key;
    uint64_t drawn; /* random numbers used so far, of this image */
    double ink[PIXELS];
} painter;

/* Uniform in [low, high). */
static double draw(painter *p, double low, double high)
{
    return low + (high - low) * rng_uniform(p->key, p->drawn++);
}

typedef struct point {
    double x, y;
} point;

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* A line from a to b: full ink within `radius` of it, fading over one pixel. */
static void line(painter *p, point a, point b, double radius, double ink)
{
    const double reach = radius + 1, dx = b.x - a.x, dy = b.y - a.y, len2 = dx * dx + dy * dy;
    const int x0 = (int)clamp(fmin(a.x, b.x) - reach, 0, SIDE);
    const int x1 = (int)clamp(fmax(a.x, b.x) + reach + 1, 0, SIDE);
    const int y0 = (int)clamp(fmin(a.y, b.y) - reach, 0, SIDE);
    const int y1 = (int)clamp(fmax(a.y, b.y) + reach + 1, 0, SIDE);

    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++) {
            const double px = x - a.x, py = y - a.y;
            const double t = len2 > 0 ? clamp((px * dx + py * dy) / len2, 0, 1) : 0;
            const double ex = px - t * dx, ey = py - t * dy;
            const double v = ink * clamp(radius + 0.5 - sqrt(ex * ex + ey * ey), 0, 1);
            if (v > p->ink[y * SIDE + x]) p->ink[y * SIDE + x] = v;
        }
}

/* The strokes of one digit, all bent and moved alike, each point a little off besides. */
static void paint_digit(painter *p, const stroke *s)
{
    const double sx = draw(p, 0.85, 1.3), sy = draw(p, 0.95, 1.25), slant = draw(p, -SLANT, SLANT);
    const double turn = draw(p, -TURN, TURN), norm = 1 / (1 + turn * turn);
    const double cosine = (1 - turn * turn) * norm, sine = 2 * turn * norm;
    const double cx = 13.5 + draw(p, -SHIFT, SHIFT), cy = 13.5 + draw(p, -SHIFT, SHIFT);
    const double radius = draw(p, 0.6, 1.6), ink = draw(p, 0.6, 1);
    point last = {0, 0};

    for (int i = 0; i < s->n; i++) {
        const double x = (s->xy[2 * i] - 5 + draw(p, -JITTER, JITTER)) * sx;
        const double y = (s->xy[2 * i + 1] - 8 + draw(p, -JITTER, JITTER)) * sy;
        const double u = x - slant * y;
        const point at = {cx + cosine * u - sine * y, cy + sine * u + cosine * y};
        if (i > 0) line(p, last, at, radius, ink);
        last = at;
    }
}

/* C leaves the order of initialisers and arguments open: every draw is a statement of its own. */
static void paint_stray(painter *p)
{
    if (draw(p, 0, 1) >= STRAY) return;
    const double x = draw(p, 2, SIDE - 2), y = draw(p, 2, SIDE - 2);
    const double dx = draw(p, -8, 8), dy = draw(p, -8, 8);
    const double radius = draw(p, 0.4, 1.4), ink = draw(p, 0.4, 1);

    line(p, (point){x, y}, (point){x + dx, y + dy}, radius, ink);
}

static void paint(painter *p, uint8_t out[PIXELS])
{
    const rng_key key = p->key;
    uint64_t bits = 0;

    for (int i = 0; i < PIXELS; i++) {
        if (i % 2 == 0) bits = rng_u64(key, UINT64_C(1) << 32 | (unsigned)i);
        int sum = -510;
        for (int k = 0; k < 4; k++, bits >>= 8) sum += (int)(bits & 255);
        const double v = p->ink[i] + NOISE / 148 * sum;
        out[i] = (uint8_t)(255 * clamp(v, 0, 1) + 0.5);
    }
}

typedef struct job {
    uint64_t seed;
    uint32_t site;
    int64_t n;
    uint8_t *rows;
    int32_t *labels;
} job;

static void make_tile(void *arg, int64_t tile)
{
    const job *j = arg;
    const int64_t end = (tile + 1) * TILE < j->n ? (tile + 1) * TILE : j->n;

    for (int64_t i = tile * TILE; i < end; i++) {
        painter p = {.key = {j->seed, (uint32_t)i, j->site}};
        j->labels[i] = (int32_t)rng_below(p.key, p.drawn++, 10);
        paint_digit(&p, &digits[j->labels[i]]);
        paint_stray(&p);
        paint(&p, j->rows + i * PIXELS);
    }
}

drmad_status digits_make(drmad_ctx *ctx, uint64_t seed, int part, int64_t n, dataset **out)
{
    const char *name = part == DIGITS_TRAIN ? "synthetic-digits/train" : "synthetic-digits/test";
    array rows = {.dtype = U8, .shape = SHAPE(n, SIDE, SIDE)};
    array labels = {.dtype = I32, .shape = SHAPE(n)};
    drmad_status st;

    *out = NULL;
    if (n < 1 || n > INT32_MAX)
        return FAIL(ctx, DRMAD_E_CONFIG, "%s: %lld images, expected 1 to 2^31-1", name,
                    (long long)n);
    TRY(mem_alloc(ctx, (size_t)n, PIXELS, &rows.data));
    TRY(mem_alloc(ctx, (size_t)n, sizeof(int32_t), &labels.data));
    job j = {seed, rng_site(name), n, rows.data, labels.data};
    pool_run(ctx, (n + TILE - 1) / TILE, make_tile, &j);
    TRY(dataset_new(ctx, name, &rows, &labels, 10, out));
done:
    array_free(ctx, &rows);
    array_free(ctx, &labels);
    return st;
}

static drmad_status open_digits(drmad_ctx *ctx, const source_spec *s, dataset **train,
                                dataset **test)
{
    drmad_status st;

    TRY(digits_make(ctx, s->seed, DIGITS_TRAIN, s->train_n ? s->train_n : 60000, train));
    TRY(digits_make(ctx, s->seed, DIGITS_TEST, s->test_n ? s->test_n : 10000, test));
done:
    return st;
}

const source source_digits = {"synthetic-digits", open_digits};
