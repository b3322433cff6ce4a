/* How a picture becomes a square of pixels: the crop, and what is varied at random from step to
 * step. Every draw is a function of (seed, step, example), so that the walk back meets the very
 * pixels of the way forward. */
#ifndef AUGMENT_H
#define AUGMENT_H
#include "data/image.h"

typedef enum image_crop {
    CROP_CENTER,        /* the square in the middle */
    CROP_RANDOM,        /* that, with a black border of `pad` pixels, cut back at a random place */
    CROP_RANDOM_RESIZED /* a random part of the picture: torchvision's RandomResizedCrop */
} image_crop;

typedef struct augment {
    image_crop crop;
    int32_t pad;
    double least; /* random part: area, 0 to 1 of the picture's; aspect 3/4 to 4/3 */
    bool flip;    /* left and right swapped, every other time */
    /* Each by a factor drawn from [max(0, 1 - x), 1 + x], in this order; 0: left alone. */
    double brightness, contrast, saturation;
} augment;

typedef struct augment_draw {
    image_box box;  /* CROP_RANDOM_RESIZED */
    int32_t dx, dy; /* CROP_RANDOM: -pad to pad */
    bool mirror;
    double brightness, contrast, saturation;
} augment_draw;

bool augment_any(const augment *a); /* whether anything is drawn */
augment_draw augment_draw_at(const augment *a, uint64_t seed, int64_t step, int64_t example,
                             const image_size *size);
/* The centred square whose side is `share` of the shorter side, at least 1. */
image_box augment_center(const image_size *size, double share);

/* u8 [side,side,3] into another, moved by (dx, dy), black where nothing comes from, then mirrored.
 * The two do not overlap. */
void augment_shift(const uint8_t *in, int32_t side, const augment_draw *d, uint8_t *out);
/* The colours of u8 [n,3] in place. */
void augment_colours(uint8_t *pixels, int32_t n, const augment_draw *d);
#endif
