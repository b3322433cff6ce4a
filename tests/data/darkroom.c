#include "darkroom.h"
#include "base/file.h"
#include <jpeglib.h>
#include <spng.h>
#include <sys/stat.h>

photo photo_new(int32_t width, int32_t height, uint64_t seed)
{
    photo p = {width, height, malloc((size_t)width * (size_t)height * 3)};
    const double a = rng_uniform((rng_key){seed, 0, 0}, 0),
                 b = rng_uniform((rng_key){seed, 0, 0}, 1);

    if (!p.rgb) abort();
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                p.rgb[(y * width + x) * 3 + c] =
                    (uint8_t)(127 + 60 * sin(.05 * x * (1 + a) + c) + 60 * cos(.04 * y * (1 + b)));
    return p;
}

/* One pixel as its row needs it. */
static void put_pixel(const photo *p, int32_t i, const jpeg_kind *k, uint8_t *out)
{
    const uint8_t *rgb = p->rgb + 3 * i;

    if (k->grey) out[0] = rgb[0];
    else memcpy(out, rgb, 3);
    if (k->inks) out[3] = 255; /* Adobe's way: 255 is no ink */
}

/* Each coefficient of the luma in two scans of its own. */
static void many_scans(struct jpeg_compress_struct *c, jpeg_scan_info info[129])
{
    for (int i = 0; i < 3; i++) info[i] = (jpeg_scan_info){1, {i}, 0, 0, 0, 0};
    for (int i = 0; i < 126; i++) {
        const int at = 1 + i / 2, later = i % 2;
        info[3 + i] = (jpeg_scan_info){1, {0}, at, at, later, 1 - later};
    }
    c->scan_info = info, c->num_scans = 129;
}

bytes photo_jpeg(const photo *p, jpeg_kind k)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    const int parts = k.grey ? 1 : k.inks ? 4 : 3;
    uint8_t *row = malloc((size_t)p->width * 4), *out = NULL;
    unsigned long n = 0;
    jpeg_scan_info info[129];
    bytes b = {0};

    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, &n);
    c.image_width = (JDIMENSION)p->width, c.image_height = (JDIMENSION)p->height;
    c.input_components = parts;
    c.in_color_space = k.grey ? JCS_GRAYSCALE : k.inks ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, k.quality, TRUE);
    if (k.inks) c.write_Adobe_marker = TRUE;
    if (k.h) c.comp_info[0].h_samp_factor = k.h, c.comp_info[0].v_samp_factor = k.v;
    if (k.progressive) jpeg_simple_progression(&c);
    if (k.scans) many_scans(&c, info);
    jpeg_start_compress(&c, TRUE);
    for (int32_t y = 0; y < p->height; y++) {
        for (int32_t x = 0; x < p->width; x++)
            put_pixel(p, y * p->width + x, &k, row + (size_t)(x * parts));
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    put(&b, out, n);
    free(out);
    free(row);
    return b;
}

photo photo_from_jpeg(const bytes *b)
{
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr errors;
    photo p;

    c.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&c);
    jpeg_mem_src(&c, b->at, b->n);
    jpeg_read_header(&c, TRUE);
    c.out_color_space = JCS_RGB;
    jpeg_start_decompress(&c);
    p = (photo){(int32_t)c.output_width, (int32_t)c.output_height, NULL};
    p.rgb = malloc((size_t)p.width * (size_t)p.height * 3);
    if (!p.rgb) abort();
    for (int32_t y = 0; y < p.height; y++) {
        uint8_t *row = p.rgb + (size_t)y * (size_t)p.width * 3;
        jpeg_read_scanlines(&c, &row, 1);
    }
    jpeg_finish_decompress(&c);
    jpeg_destroy_decompress(&c);
    return p;
}

bytes photo_png(const photo *p, int type, int depth)
{
    struct spng_ihdr head = {.width = (uint32_t)p->width,
                             .height = (uint32_t)p->height,
                             .bit_depth = (uint8_t)depth,
                             .color_type = (uint8_t)type};
    const int parts = type == SPNG_COLOR_TYPE_TRUECOLOR         ? 3
                      : type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA ? 4
                                                                : 1;
    const size_t n = (size_t)p->width * (size_t)p->height, size = (size_t)(parts * depth / 8);
    uint8_t *raw = calloc(n, size);
    struct spng_plte palette = {.n_entries = 16};
    spng_ctx *c = spng_ctx_new(SPNG_CTX_ENCODER);
    bytes b = {0};
    size_t made;
    int code;

    if (!raw || !c) abort();
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < parts; k++) {
            const uint8_t v = k == 3                            ? 77
                              : type == SPNG_COLOR_TYPE_INDEXED ? p->rgb[3 * i] >> 4
                                                                : p->rgb[3 * i + (size_t)k];
            raw[i * size + (size_t)(k * depth / 8 + depth / 16)] = v; /* the high byte */
        }
    for (int i = 0; i < 16; i++)
        palette.entries[i].red = palette.entries[i].green = palette.entries[i].blue =
            (uint8_t)(16 * i);
    spng_set_option(c, SPNG_ENCODE_TO_BUFFER, 1);
    spng_set_ihdr(c, &head);
    if (type == SPNG_COLOR_TYPE_INDEXED) spng_set_plte(c, &palette);
    if (spng_encode_image(c, raw, n * size, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE)) abort();
    void *out = spng_get_png_buffer(c, &made, &code);
    put(&b, out, made);
    free(out);
    free(raw);
    spng_ctx_free(c);
    return b;
}

void file_save(const char *path, const bytes *b)
{
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(b->at, 1, b->n, f) != b->n || fclose(f) != 0) abort();
    free(b->at);
}

void folder_make(const char *dir, int classes, int each, int32_t side)
{
    char path[600];

    mkdir(dir, 0755);
    for (int c = 0; c < classes; c++) {
        snprintf(path, sizeof path, "%s/c%d", dir, c);
        mkdir(path, 0755);
        for (int i = 0; i < each; i++) {
            photo p = photo_new(side + i, side, (uint64_t)(100 * c + i));
            const bytes b = photo_jpeg(&p, (jpeg_kind){.quality = 90});
            snprintf(path, sizeof path, "%s/c%d/%02d.jpg", dir, c, i);
            file_save(path, &b);
            free(p.rgb);
        }
    }
}

void tar_unpack(const char *name, const char *to)
{
    char command[1200];

    snprintf(command, sizeof command, "tar -xf '%s' -C '%s'", test_data(name), to);
    if (system(command) != 0) test_fail(__FILE__, __LINE__, "%s", command);
}

source_spec spec_of(const char *kind, const char *train, const char *test, int32_t size)
{
    return (source_spec){.kind = kind,
                         .train_rows = train,
                         .test_rows = test,
                         .size = size,
                         .center = 1,
                         .memory = (size_t)1 << 30};
}
