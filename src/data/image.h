/* One picture, from a file's bytes in memory to RGB pixels of a wanted size. JPEG and PNG, told
 * apart by their first bytes, whatever the file is called.
 *
 *   TRY(image_begin(w, &bytes, &size));                    the header: how large the picture is
 *   TRY(image_finish(w, &box, mirror, 224, pixels));       u8 [224,224,3] of the part `box`
 *
 * Only the part in the box is decoded, JPEG at 1/1, 1/2, 1/4 or 1/8 of its size (by its cosine
 * transform), the smallest that still has a pixel for each one wanted. Grey becomes RGB, CMYK too;
 * alpha is left out; the orientation that Exif may state is not applied.
 *
 * What cannot be decoded without guessing a pixel (cut, damaged) is DRMAD_E_DATA; what is not
 * JPEG or PNG likewise; pickles and their kin are DRMAD_E_UNSAFE. Messages name the bytes' name and
 * the remedy. Threads: one image_work, one thread; the reader is shared. */
#ifndef IMAGE_H
#define IMAGE_H
#include "data/blob.h"

enum {
    IMAGE_CHANNELS = 3,
    IMAGE_SIDE_MAX = 4096,           /* of what is made */
    IMAGE_PIXELS_MAX = 1 << 26,      /* of a picture; refused by its header */
    IMAGE_BYTES_MAX = 64 << 20,      /* of a file */
    IMAGE_SCANS_MAX = 100,           /* of a progressive JPEG: each costs a pass over the picture */
    IMAGE_DECODER_MEMORY = 256 << 20 /* what libjpeg may keep of a progressive one */
};

/* The libraries, loaded. */
typedef struct image_reader image_reader;
/* Gives *out. DRMAD_E_MISSING names the package that is not installed. */
drmad_status image_reader_new(drmad_ctx *ctx, image_reader **out);
void image_reader_free(drmad_ctx *ctx, image_reader *r); /* NULL is fine */

typedef struct image_size {
    int32_t width, height;
} image_size;

/* Pixels of the picture; inside it, at least 1 by 1. */
typedef struct image_box {
    int32_t x, y, width, height;
} image_box;

/* A thread's memory, kept from picture to picture. */
typedef struct image_work image_work;
/* Gives *out; borrows both. */
drmad_status image_work_new(drmad_ctx *ctx, const image_reader *r, image_work **out);
void image_work_free(image_work *w); /* NULL is fine */

/* The bytes are borrowed until image_finish. */
drmad_status image_begin(image_work *w, const blob *b, image_size *out);
drmad_status image_finish(image_work *w, const image_box *box, bool mirror, int32_t side,
                          uint8_t *out);
#endif
