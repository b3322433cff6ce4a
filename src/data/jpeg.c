/* JPEG by libjpeg-turbo, of which only the box is decoded: rows above it are skipped without the
 * transform, those below are never read, columns beside it are left out; and all of it at a half,
 * a quarter or an eighth where the box has pixels to spare.
 *
 * libjpeg calls back on an error and must not be returned to: setjmp here, longjmp there. What it
 * calls a warning is an error to us wherever it would go on with invented pixels. */
#include "data/image_inside.h"
#include <jerror.h>
#include <setjmp.h>
#include <string.h>

/* Columns at the side of what is decoded lack the chroma of their neighbours: one block more. */
enum { MARGIN = 2 };

struct jpeg_run {
    struct jpeg_error_mgr errors; /* first: libjpeg hands this back to us */
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct c;
    jmp_buf back;
    bool made, memory;
    char why[JMSG_LENGTH_MAX];
    JDIMENSION left, across, top, rows; /* of what is decoded, in its own pixels */
    unsigned divisor;
    int components;
};

static void leave(j_common_ptr c)
{
    jpeg_run *r = (jpeg_run *)c->err;
    const int code = c->err->msg_code;

    c->err->format_message(c, r->why);
    r->memory = code == JERR_OUT_OF_MEMORY;
    longjmp(r->back, 1);
}

/* Odd bytes between markers, and header data of no consequence, change no pixel. */
static bool harmless(int code)
{
    return code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM ||
           code == JWRN_BOGUS_ICC;
}

static void warn(j_common_ptr c, int level)
{
    if (level < 0 && !harmless(c->err->msg_code)) leave(c);
}

/* Called on the way through the passes of a progressive picture. */
static void look_at_scans(j_common_ptr c)
{
    jpeg_run *r = (jpeg_run *)c->err;

    if (r->c.input_scan_number <= IMAGE_SCANS_MAX) return;
    snprintf(r->why, sizeof r->why, "more than %d scans", IMAGE_SCANS_MAX);
    longjmp(r->back, 1);
}

static drmad_status failed(image_work *w)
{
    const jpeg_run *r = w->jpeg;

    if (r->memory)
        return FAIL(w->ctx, DRMAD_E_NOMEM, "%s: out of memory for the JPEG", w->bytes->name);
    return FAIL(w->ctx, DRMAD_E_DATA, "%s: damaged JPEG: %s", w->bytes->name, r->why);
}

static drmad_status make(image_work *w)
{
    const drmad_status st = mem_alloc(w->ctx, 1, sizeof *w->jpeg, &w->jpeg);

    if (st != DRMAD_OK) return st;
    jpeg_run *r = w->jpeg;
    r->c.err = w->with->jpeg_std_error(&r->errors);
    r->errors.error_exit = leave;
    r->errors.emit_message = warn;
    r->progress.progress_monitor = look_at_scans;
    if (setjmp(r->back)) return failed(w);
    w->with->jpeg_CreateDecompress(&r->c, JPEG_LIB_VERSION, sizeof r->c);
    r->made = true;
    r->c.progress = &r->progress;
    r->c.mem->max_memory_to_use = IMAGE_DECODER_MEMORY;
    return DRMAD_OK;
}

drmad_status jpeg_begin(image_work *w)
{
    const drmad_status st = w->jpeg ? DRMAD_OK : make(w);

    if (st != DRMAD_OK) return st;
    jpeg_run *r = w->jpeg;
    if (setjmp(r->back)) return failed(w);
    w->with->jpeg_abort_decompress(&r->c); /* whatever was open before */
    w->with->jpeg_mem_src(&r->c, w->bytes->at, w->bytes->size);
    w->with->jpeg_read_header(&r->c, TRUE);
    return image_check_size(w, r->c.image_width, r->c.image_height);
}

/* The most that both sides can be divided by while each pixel wanted still has one of its own. */
static unsigned reduction(const image_box *box, int32_t side)
{
    const int32_t least = box->width < box->height ? box->width : box->height;
    unsigned d = 1;

    while (d < 8 && least / (int32_t)(2 * d) >= side) d *= 2;
    return d;
}

/* [from, from + length) of the picture in pixels of the reduced one, whole ones, with a margin. */
static void reduced(int32_t from, int32_t length, unsigned d, JDIMENSION all, JDIMENSION out[2])
{
    const JDIMENSION a = (JDIMENSION)from / d, b = ((JDIMENSION)(from + length) + d - 1) / d;
    const JDIMENSION end = b + MARGIN < all ? b + MARGIN : all;

    out[0] = a > MARGIN ? a - MARGIN : 0;
    out[1] = end - out[0];
}

/* Sets up the reader and finds what it will give. Under setjmp. */
static void start(image_work *w, const image_box *box)
{
    jpeg_run *r = w->jpeg;
    const unsigned d = r->divisor;
    struct jpeg_decompress_struct *c = &r->c;
    const bool inks = c->jpeg_color_space == JCS_CMYK || c->jpeg_color_space == JCS_YCCK;
    JDIMENSION x[2], y[2];

    c->scale_num = 1, c->scale_denom = d;
    c->out_color_space = inks ? JCS_CMYK : JCS_RGB;
    r->components = inks ? 4 : IMAGE_CHANNELS;
    w->with->jpeg_start_decompress(c);
    reduced(box->x, box->width, d, c->output_width, x);
    reduced(box->y, box->height, d, c->output_height, y);
    if (x[1] < c->output_width) w->with->jpeg_crop_scanline(c, &x[0], &x[1]);
    r->left = x[0], r->across = x[1], r->top = y[0], r->rows = y[1];
}

/* Adobe's programs store inks inverted, as amounts of light. */
static void inks_to_rgb(const uint8_t *from, uint8_t *to, size_t n, bool inverted)
{
    for (size_t i = 0; i < n; i++, from += 4, to += IMAGE_CHANNELS)
        for (int k = 0; k < IMAGE_CHANNELS; k++) {
            const unsigned a = inverted ? from[k] : 255u - from[k];
            const unsigned b = inverted ? from[3] : 255u - from[3];
            to[k] = (uint8_t)((a * b + 127) / 255);
        }
}

/* Under setjmp. */
static void read_rows(image_work *w)
{
    jpeg_run *r = w->jpeg;
    const size_t stride = (size_t)r->across * IMAGE_CHANNELS;
    uint8_t *spare = w->pixels + stride * r->rows; /* a row of inks */

    if (r->top > 0) w->with->jpeg_skip_scanlines(&r->c, r->top);
    for (JDIMENSION y = 0; y < r->rows;) {
        uint8_t *to = w->pixels + stride * y;
        JSAMPROW row = r->components == 4 ? spare : to;
        if (w->with->jpeg_read_scanlines(&r->c, &row, 1) != 1) continue;
        if (r->components == 4) inks_to_rgb(spare, to, r->across, r->c.saw_Adobe_marker);
        y++;
    }
}

drmad_status jpeg_decode(image_work *w, const image_box *box, int32_t side, resize_from *part)
{
    jpeg_run *r = w->jpeg;

    r->divisor = reduction(box, side);
    if (setjmp(r->back)) return failed(w);
    start(w, box);
    const drmad_status st = image_room(w, ((size_t)r->rows * IMAGE_CHANNELS + 4) * r->across);
    if (st != DRMAD_OK) return st;
    read_rows(w);
    const double d = r->divisor;
    *part = (resize_from){.at = w->pixels,
                          .width = (int32_t)r->across,
                          .height = (int32_t)r->rows,
                          .stride = (size_t)r->across * IMAGE_CHANNELS,
                          .x = box->x / d - r->left,
                          .y = box->y / d - r->top,
                          .w = box->width / d,
                          .h = box->height / d};
    return DRMAD_OK;
}

void jpeg_end(image_work *w)
{
    jpeg_run *r = w->jpeg;

    if (r && r->made && !setjmp(r->back)) w->with->jpeg_abort_decompress(&r->c);
}

void jpeg_free(image_work *w)
{
    if (w->jpeg && w->jpeg->made) w->with->jpeg_destroy_decompress(&w->jpeg->c);
    mem_free(w->ctx, w->jpeg);
    w->jpeg = NULL;
}
