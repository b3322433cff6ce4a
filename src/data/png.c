/* PNG by libspng: any type and depth to 8 bit RGB. Checksums of all chunks must be right. */
#include "data/image_inside.h"

static drmad_status damaged(image_work *w, int code)
{
    if (code == SPNG_EMEM)
        return FAIL(w->ctx, DRMAD_E_NOMEM, "%s: out of memory for the PNG", w->bytes->name);
    return FAIL(w->ctx, DRMAD_E_DATA, "%s: damaged PNG: %s", w->bytes->name,
                w->with->spng_strerror(code));
}

drmad_status png_begin(image_work *w)
{
    const image_reader *r = w->with;
    struct spng_ihdr head;
    int code;

    w->spng = r->spng_ctx_new(0);
    if (!w->spng) return damaged(w, SPNG_EMEM);
    r->spng_set_image_limits(w->spng, INT32_MAX, INT32_MAX);
    r->spng_set_chunk_limits(w->spng, IMAGE_BYTES_MAX, IMAGE_BYTES_MAX);
    r->spng_set_crc_action(w->spng, SPNG_CRC_ERROR, SPNG_CRC_ERROR);
    code = r->spng_set_png_buffer(w->spng, w->bytes->at, w->bytes->size);
    if (code == 0) code = r->spng_get_ihdr(w->spng, &head);
    return code ? damaged(w, code) : image_check_size(w, head.width, head.height);
}

drmad_status png_decode(image_work *w, const image_box *box, resize_from *part)
{
    const size_t stride = (size_t)w->size.width * IMAGE_CHANNELS;
    const size_t bytes = stride * (size_t)w->size.height;
    const drmad_status st = image_room(w, bytes);

    if (st != DRMAD_OK) return st;
    const int code = w->with->spng_decode_image(w->spng, w->pixels, bytes, SPNG_FMT_RGB8, 0);
    if (code) return damaged(w, code);
    *part = (resize_from){.at = w->pixels,
                          .width = w->size.width,
                          .height = w->size.height,
                          .stride = stride,
                          .x = box->x,
                          .y = box->y,
                          .w = box->width,
                          .h = box->height};
    return DRMAD_OK;
}

void png_end(image_work *w)
{
    if (w->spng) w->with->spng_ctx_free(w->spng);
    w->spng = NULL;
}
