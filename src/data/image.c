/* What both decoders share: loading the libraries, telling formats apart, limits, resampling. */
#include "data/image_inside.h"
#include <string.h>

typedef image_reader library_table;

static drmad_status load_jpeg(drmad_ctx *ctx, image_reader *r)
{
    static const library_symbol symbols[] = {JPEG_FUNCTIONS(LIBRARY_SYMBOL)};
    static const library_file files[] = {{"libdrmad_jpeg.so", NULL, true},
                                         {"libjpeg.so.62", NULL, false}};
    static const library_source source = {.what = "libjpeg-turbo",
                                          .package = "libjpeg62-turbo",
                                          .oldest = "libjpeg-turbo 2",
                                          .symbols = symbols,
                                          .n = COUNT(symbols)};

    return library_open_any(ctx, source, files, COUNT(files), r);
}

static drmad_status load_png(drmad_ctx *ctx, image_reader *r)
{
    static const library_symbol symbols[] = {PNG_FUNCTIONS(LIBRARY_SYMBOL)};
    static const library_source source = {.file = "libspng.so.0",
                                          .what = "libspng",
                                          .package = "libspng0",
                                          .oldest = "libspng 0.7",
                                          .symbols = symbols,
                                          .n = COUNT(symbols)};

    return library_open(ctx, &source, r);
}

drmad_status image_reader_new(drmad_ctx *ctx, image_reader **out)
{
    image_reader *r = NULL;
    drmad_status st;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *r, &r));
    TRY(load_jpeg(ctx, r));
    TRY(load_png(ctx, r));
    *out = r, r = NULL;
done:
    mem_free(ctx, r);
    return st;
}

void image_reader_free(drmad_ctx *ctx, image_reader *r)
{
    mem_free(ctx, r);
}

drmad_status image_work_new(drmad_ctx *ctx, const image_reader *r, image_work **out)
{
    image_work *w = NULL;
    drmad_status st;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *w, &w));
    w->ctx = ctx;
    w->with = r;
    TRY(resize_new(ctx, &w->resize));
    *out = w, w = NULL;
done:
    image_work_free(w);
    return st;
}

void image_work_free(image_work *w)
{
    if (!w) return;
    jpeg_free(w);
    png_end(w);
    resize_free(w->resize);
    mem_free(w->ctx, w->pixels);
    mem_free(w->ctx, w);
}

drmad_status image_room(image_work *w, size_t bytes)
{
    if (bytes + RESIZE_PAD <= w->room) return DRMAD_OK;
    mem_free(w->ctx, w->pixels);
    w->pixels = NULL, w->room = 0;
    const drmad_status st = mem_alloc(w->ctx, bytes + RESIZE_PAD, 1, &w->pixels);
    if (st == DRMAD_OK) w->room = bytes + RESIZE_PAD;
    return st;
}

drmad_status image_check_size(image_work *w, int64_t width, int64_t height)
{
    if (width < 1 || height < 1 || width > IMAGE_PIXELS_MAX / height)
        return FAIL(w->ctx, DRMAD_E_DATA,
                    "%s: declares %lld x %lld pixels, at most %d are decoded; make it smaller or "
                    "leave it out (data.bad_images: skip)",
                    w->bytes->name, (long long)width, (long long)height, IMAGE_PIXELS_MAX);
    w->size = (image_size){(int32_t)width, (int32_t)height};
    return DRMAD_OK;
}

static bool starts(const blob *b, const void *magic, size_t n)
{
    return b->size >= n && memcmp(b->at, magic, n) == 0;
}

/* Formats that are met in image folders, and what may hide there. */
static drmad_status refuse(image_work *w)
{
    const blob *b = w->bytes;
    const char *is = "no picture that is known here";

    if (starts(b, "PK\3\4", 4) || (b->size >= 2 && b->at[0] == 0x80 && b->at[1] <= 5))
        return FAIL(w->ctx, DRMAD_E_UNSAFE,
                    "%s: a zip archive or a Python pickle, which can run code, in place of a "
                    "picture; remove it",
                    b->name);
    if (b->size == 0) is = "empty";
    else if (starts(b, "GIF8", 4)) is = "a GIF";
    else if (starts(b, "BM", 2)) is = "a BMP";
    else if (starts(b, "II*", 4) || starts(b, "MM\0*", 4)) is = "a TIFF";
    else if (b->size >= 12 && starts(b, "RIFF", 4) && memcmp(b->at + 8, "WEBP", 4) == 0)
        is = "a WebP";
    return FAIL(w->ctx, DRMAD_E_DATA,
                "%s: %s, expected a JPEG or PNG; convert it, remove it, or leave such files out "
                "(data.bad_images: skip)",
                b->name, is);
}

drmad_status image_begin(image_work *w, const blob *b, image_size *out)
{
    drmad_status st;

    w->bytes = b;
    png_end(w);
    w->png = starts(b, "\x89PNG\r\n\x1a\n", 8);
    if (w->png) TRY(png_begin(w));
    else if (starts(b, "\xff\xd8\xff", 3)) TRY(jpeg_begin(w));
    else TRY(refuse(w));
    *out = w->size;
done:
    return st;
}

drmad_status image_finish(image_work *w, const image_box *box, bool mirror, int32_t side,
                          uint8_t *out)
{
    resize_from part = {0};
    drmad_status st;

    TRY(w->png ? png_decode(w, box, &part) : jpeg_decode(w, box, side, &part));
    TRY(resize_run(w->resize, &part, side, mirror, out));
done:
    w->png ? png_end(w) : jpeg_end(w);
    return st;
}
