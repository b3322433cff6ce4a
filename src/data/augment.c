#include "data/augment.h"
#include "base/rng.h"
#include <math.h>
#include <string.h>

enum {
    TRIES = 10, /* for a part that fits, as in torchvision */
    DRAWS_A_TRY = 4,
    DRAW_FLIP = TRIES * DRAWS_A_TRY,
    DRAW_COLOURS,
    DRAW_SHIFT = DRAW_COLOURS + 3,
    DRAWS = 64, /* places of one example */
    PIXEL = IMAGE_CHANNELS
};

bool augment_any(const augment *a)
{
    return a->crop != CROP_CENTER || a->flip || a->brightness > 0 || a->contrast > 0 ||
           a->saturation > 0;
}

image_box augment_center(const image_size *size, double share)
{
    const int32_t least = size->width < size->height ? size->width : size->height;
    const int32_t side = (int32_t)fmax(1, floor(least * share + .5));

    return (image_box){(size->width - side) / 2, (size->height - side) / 2, side, side};
}

typedef struct dice {
    rng_key key;
    uint64_t first;
} dice;

static double uniform(const dice *d, int k, double low, double high)
{
    return low + (high - low) * rng_uniform(d->key, d->first + (uint64_t)k);
}

static int32_t below(const dice *d, int k, int32_t n)
{
    return (int32_t)rng_below(d->key, d->first + (uint64_t)k, (uint64_t)n);
}

/* Area and aspect at random; where ten of them do not fit, the largest centred part of a legal
 * aspect. */
static image_box random_part(const augment *a, const dice *d, const image_size *s)
{
    const double area = (double)s->width * s->height, ratio = 4.0 / 3;
    image_box b;

    for (int t = 0; t < TRIES * DRAWS_A_TRY; t += DRAWS_A_TRY) {
        const double part = area * uniform(d, t, a->least, 1);
        const double aspect = exp(uniform(d, t + 1, -log(ratio), log(ratio)));
        b.width = (int32_t)floor(sqrt(part * aspect) + .5);
        b.height = (int32_t)floor(sqrt(part / aspect) + .5);
        if (b.width < 1 || b.height < 1 || b.width > s->width || b.height > s->height) continue;
        b.x = below(d, t + 2, s->width - b.width + 1);
        b.y = below(d, t + 3, s->height - b.height + 1);
        return b;
    }
    b.width = (int32_t)fmin(s->width, floor(s->height * ratio + .5));
    b.height = (int32_t)fmin(s->height, floor(s->width * ratio + .5));
    b.x = (s->width - b.width) / 2, b.y = (s->height - b.height) / 2;
    return b;
}

static double factor(const dice *d, int k, double strength)
{
    return strength > 0 ? uniform(d, DRAW_COLOURS + k, fmax(0, 1 - strength), 1 + strength) : 1;
}

augment_draw augment_draw_at(const augment *a, uint64_t seed, int64_t step, int64_t example,
                             const image_size *size)
{
    const dice d = {{seed, (uint32_t)(uint64_t)step, rng_site("data.augment")},
                    (uint64_t)example * DRAWS};
    augment_draw out = {.mirror = a->flip && below(&d, DRAW_FLIP, 2) == 1,
                        .brightness = factor(&d, 0, a->brightness),
                        .contrast = factor(&d, 1, a->contrast),
                        .saturation = factor(&d, 2, a->saturation)};

    if (a->crop == CROP_RANDOM_RESIZED) out.box = random_part(a, &d, size);
    if (a->crop == CROP_RANDOM) {
        out.dx = below(&d, DRAW_SHIFT, 2 * a->pad + 1) - a->pad;
        out.dy = below(&d, DRAW_SHIFT + 1, 2 * a->pad + 1) - a->pad;
    }
    return out;
}

void augment_shift(const uint8_t *in, int32_t side, const augment_draw *d, uint8_t *out)
{
    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++, out += PIXEL) {
            const int32_t column = d->mirror ? side - 1 - x : x;
            const int32_t from_x = column - d->dx, from_y = y - d->dy;
            const bool inside = from_x >= 0 && from_x < side && from_y >= 0 && from_y < side;

            if (inside)
                memcpy(out, in + ((size_t)from_y * (size_t)side + (size_t)from_x) * PIXEL, PIXEL);
            else memset(out, 0, PIXEL);
        }
}

static uint8_t byte_of(double x)
{
    return x <= 0 ? 0 : x >= 255 ? 255 : (uint8_t)(x + .5);
}

/* Luma of ITU-R BT.601, as in torchvision and Pillow. */
static double grey(const uint8_t *p)
{
    return .299 * p[0] + .587 * p[1] + .114 * p[2];
}

/* p = to + by (p - to) */
static void pull(uint8_t *p, double to, double by)
{
    for (int c = 0; c < PIXEL; c++) p[c] = byte_of(to + by * (p[c] - to));
}

void augment_colours(uint8_t *pixels, int32_t n, const augment_draw *d)
{
    const uint8_t *const end = pixels + (size_t)n * PIXEL;
    double mean = 0;

    if (d->brightness != 1)
        for (uint8_t *p = pixels; p < end; p += PIXEL) pull(p, 0, d->brightness);
    if (d->contrast != 1) {
        for (uint8_t *p = pixels; p < end; p += PIXEL) mean += grey(p);
        mean = floor(mean / n + .5);
        for (uint8_t *p = pixels; p < end; p += PIXEL) pull(p, mean, d->contrast);
    }
    if (d->saturation != 1)
        for (uint8_t *p = pixels; p < end; p += PIXEL) pull(p, grey(p), d->saturation);
}
