/* Between image.c and its two decoders. */
#ifndef IMAGE_INSIDE_H
#define IMAGE_INSIDE_H
#include "base/shared_library.h"
#include "data/image.h"
#include "data/resize.h"
#include <stdio.h> /* jpeglib.h needs it */
#include <jpeglib.h>
#include <spng.h>

#define JPEG_FUNCTIONS(F)                                                                          \
    F(jpeg_std_error)                                                                              \
    F(jpeg_CreateDecompress)                                                                       \
    F(jpeg_mem_src)                                                                                \
    F(jpeg_read_header)                                                                            \
    F(jpeg_start_decompress)                                                                       \
    F(jpeg_crop_scanline)                                                                          \
    F(jpeg_skip_scanlines)                                                                         \
    F(jpeg_read_scanlines)                                                                         \
    F(jpeg_abort_decompress)                                                                       \
    F(jpeg_destroy_decompress)

#define PNG_FUNCTIONS(F)                                                                           \
    F(spng_ctx_new)                                                                                \
    F(spng_ctx_free)                                                                               \
    F(spng_set_png_buffer)                                                                         \
    F(spng_set_image_limits)                                                                       \
    F(spng_set_chunk_limits)                                                                       \
    F(spng_set_crc_action)                                                                         \
    F(spng_get_ihdr)                                                                               \
    F(spng_decode_image)                                                                           \
    F(spng_strerror)

struct image_reader {
    JPEG_FUNCTIONS(LIBRARY_FIELD)
    PNG_FUNCTIONS(LIBRARY_FIELD)
};

typedef struct jpeg_run jpeg_run; /* libjpeg's state and the way back from its errors */

struct image_work {
    drmad_ctx *ctx;
    const image_reader *with;
    const blob *bytes; /* of the picture that is open */
    image_size size;
    bool png;
    jpeg_run *jpeg;
    spng_ctx *spng;
    uint8_t *pixels; /* what was decoded */
    size_t room;
    resize *resize;
};

/* At least `bytes` of w->pixels, and RESIZE_PAD behind them. */
drmad_status image_room(image_work *w, size_t bytes);
drmad_status image_check_size(image_work *w, int64_t width, int64_t height);

/* A decoder: the header into w->size, then the rows that hold the box into w->pixels; *part says
 * where in them it is. */
drmad_status jpeg_begin(image_work *w);
drmad_status jpeg_decode(image_work *w, const image_box *box, int32_t side, resize_from *part);
void jpeg_end(image_work *w);
void jpeg_free(image_work *w);
drmad_status png_begin(image_work *w);
drmad_status png_decode(image_work *w, const image_box *box, resize_from *part);
void png_end(image_work *w);
#endif
