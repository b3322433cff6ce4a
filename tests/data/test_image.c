/* One picture: parts, sizes, formats, and what must be refused. */
#include "darkroom.h"
#include "data/image.h"
#include "data/resize.h"
#include "data/resize_loops.h"
#include <spng.h>

typedef struct lens {
    drmad_ctx *ctx;
    image_reader *reader;
    image_work *work;
} lens;

static lens lens_open(drmad_ctx *ctx)
{
    lens l = {.ctx = ctx};

    CHECK_OK(ctx, image_reader_new(ctx, &l.reader));
    CHECK_OK(ctx, image_work_new(ctx, l.reader, &l.work));
    return l;
}

static void lens_close(lens *l)
{
    image_work_free(l->work);
    image_reader_free(l->ctx, l->reader);
}

/* The box, or all of it where its width is 0, at `side`; in memory of exactly n bytes. */
static drmad_status take(lens *l, const bytes *b, size_t n, image_box box, int32_t side,
                         uint8_t *out)
{
    uint8_t *exact = malloc(n ? n : 1);
    const blob all = {.name = "x.jpg", .at = exact, .size = n};
    image_size size;

    if (!exact) abort();
    if (n) memcpy(exact, b->at, n);
    drmad_status st = image_begin(l->work, &all, &size);
    if (st == DRMAD_OK && box.width == 0) box = (image_box){0, 0, size.width, size.height};
    if (st == DRMAD_OK) st = image_finish(l->work, &box, false, side, out);
    free(exact);
    return st;
}

static int32_t between(rng_key k, uint64_t i, int32_t low, int32_t high)
{
    return low + (int32_t)rng_below(k, i, (uint64_t)(high - low + 1));
}

TEST(a_part_of_a_jpeg_has_the_pixels_of_the_whole)
{
    static const jpeg_kind kinds[] = {{.quality = 85},
                                      {.quality = 85, .h = 1, .v = 1},
                                      {.quality = 85, .h = 2, .v = 1},
                                      {.quality = 85, .progressive = true},
                                      {.quality = 85, .grey = true}};
    drmad_ctx *ctx = test_ctx();
    lens l = lens_open(ctx);
    uint8_t out[200 * 200 * 3];

    for (size_t k = 0; k < COUNT(kinds); k++) {
        photo p = photo_new(201, 157, k);
        bytes b = photo_jpeg(&p, kinds[k]);
        photo whole = photo_from_jpeg(&b);
        for (uint64_t i = 0; i < 60; i++) {
            const rng_key key = {k, 0, 1};
            const int32_t side = between(key, 3 * i, 1, 157);
            const image_box box = {between(key, 3 * i + 1, 0, 201 - side),
                                   between(key, 3 * i + 2, 0, 157 - side), side, side};
            CHECK_OK(ctx, take(&l, &b, b.n, box, side, out));
            int differ = 0;
            for (int32_t y = 0; y < side; y++)
                differ |= memcmp(out + y * side * 3, whole.rgb + ((box.y + y) * 201 + box.x) * 3,
                                 (size_t)side * 3);
            if (differ)
                test_fail(__FILE__, __LINE__, "kind %zu: %d,%d of side %d differs", k, box.x, box.y,
                          side);
        }
        free(whole.rgb);
        free(b.at);
        free(p.rgb);
    }
    lens_close(&l);
}

/* The formula of resize.h in doubles, rounded once an axis as there. */
static void naive(const resize_from *f, int32_t side, double *out)
{
    const double length[2] = {f->h, f->w}, from[2] = {f->y, f->x};
    const int32_t low[2] = {(int32_t)floor(f->y), (int32_t)floor(f->x)};
    const int32_t high[2] = {(int32_t)ceil(f->y + f->h), (int32_t)ceil(f->x + f->w)};

    for (int32_t i = 0; i < side * side; i++) {
        const int32_t at[2] = {i / side, i % side};
        double sum = 0, value[3] = {0};
        for (int32_t y = low[0]; y < high[0]; y++)
            for (int32_t x = low[1]; x < high[1]; x++) {
                const int32_t p[2] = {y, x};
                double w = 1;
                for (int a = 0; a < 2; a++) {
                    const double s = length[a] / side;
                    const double c = from[a] + (at[a] + .5) * s;
                    w *= fmax(0, 1 - fabs(p[a] + .5 - c) / fmax(1, s));
                }
                sum += w;
                for (int c = 0; c < 3; c++)
                    value[c] += w * f->at[(size_t)y * f->stride + (size_t)(3 * x + c)];
            }
        for (int c = 0; c < 3; c++) out[3 * i + c] = value[c] / sum;
    }
}

TEST(resampling_follows_its_formula)
{
    drmad_ctx *ctx = test_ctx();
    bytes b = {0};
    resize *r;
    uint8_t out[40 * 40 * 3], turned[40 * 40 * 3];
    static double want[40 * 40 * 3];

    put_random(&b, 60 * 50 * 3 + RESIZE_PAD, 3);
    CHECK_OK(ctx, resize_new(ctx, &r));
    for (uint64_t i = 0; i < 60; i++) {
        const rng_key key = {i, 0, 2};
        const int32_t side = between(key, 0, 1, 40);
        resize_from f = {.at = b.at, .width = 60, .height = 50, .stride = 180};
        f.w = 1 + 59 * rng_uniform(key, 1), f.h = 1 + 49 * rng_uniform(key, 2);
        f.x = (60 - f.w) * rng_uniform(key, 3), f.y = (50 - f.h) * rng_uniform(key, 4);
        CHECK_OK(ctx, resize_run(r, &f, side, false, out));
        CHECK_OK(ctx, resize_run(r, &f, side, true, turned));
        naive(&f, side, want);
        for (int32_t k = 0; k < side * side * 3; k++) {
            const int32_t x = k / 3 % side;
            CHECK_NEAR(out[k], want[k], 1.1); /* rounded twice, and weights of 14 bits */
            CHECK_INT(turned[k + 3 * (side - 1 - 2 * x)], out[k]);
        }
    }
    resize_free(r);
    free(b.at);
}

TEST(resampling_has_the_same_bits_on_every_instruction_set)
{
    static const resize_loops *const all[] = {&resize_loops_portable, &resize_loops_avx2,
                                              &resize_loops_avx512};
    const bool has[] = {true, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512dq")};
    uint8_t out[3][2][320];
    bytes b = {0};
    const int16_t w[] = {100, 9000, 7284, 16384, 0};
    const resize_tap taps[] = {{0, 3, 0}, {7, 1, 3}, {50, 2, 3}};

    put_random(&b, 4 * 300 + 64, 4);
    for (int i = 0; i < 3; i++) {
        memset(out[i], 0, sizeof out[i]);
        if (!has[i]) continue;
        all[i]->rows(b.at, 300, w, 3, 300, out[i][0]);
        memset(out[i][0] + 300, 0, 20);
        all[i]->columns(b.at, taps, w, 3, out[i][1]);
        CHECK(memcmp(out[i], out[0], sizeof out[0]) == 0);
    }
    CHECK_INT(out[0][0][5], (100 * b.at[5] + 9000 * b.at[305] + 7284 * b.at[605] + 8192) >> 14);
    CHECK_INT(out[0][1][4], b.at[22]);
    free(b.at);
}

TEST(a_jpeg_is_read_at_half_or_less_where_that_is_enough)
{
    drmad_ctx *ctx = test_ctx();
    lens l = lens_open(ctx);
    photo p = photo_new(640, 480, 1);
    bytes b = photo_jpeg(&p, (jpeg_kind){.quality = 95});
    const image_box box = {101, 37, 333, 401};
    photo whole = photo_from_jpeg(&b);
    resize *r;

    CHECK_OK(ctx, resize_new(ctx, &r));
    whole.rgb = realloc(whole.rgb, 640 * 480 * 3 + RESIZE_PAD);
    if (!whole.rgb) abort();
    const resize_from f = {whole.rgb, 640, 480, 1920, box.x, box.y, box.width, box.height};
    for (int32_t side = 20; side <= 340; side += 80) { /* eighths, thirds of halves, ... */
        static uint8_t out[340 * 340 * 3], want[340 * 340 * 3];
        double sum = 0;
        CHECK_OK(ctx, take(&l, &b, b.n, box, side, out));
        CHECK_OK(ctx, resize_run(r, &f, side, false, want));
        for (int32_t k = 0; k < side * side * 3; k++) sum += abs(out[k] - want[k]);
        CHECK(sum / (side * side * 3) < 2); /* two good filters, smooth colours */
    }
    resize_free(r);
    free(whole.rgb);
    free(p.rgb);
    free(b.at);
    lens_close(&l);
}

TEST(every_kind_of_png_becomes_rgb)
{
    static const struct {
        int type, depth, loss;
        bool grey;
    } kinds[] = {{SPNG_COLOR_TYPE_TRUECOLOR, 8, 0, false},
                 {SPNG_COLOR_TYPE_TRUECOLOR, 16, 1, false},
                 {SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, 8, 0, false},
                 {SPNG_COLOR_TYPE_GRAYSCALE, 8, 0, true},
                 {SPNG_COLOR_TYPE_INDEXED, 8, 15, true}};
    drmad_ctx *ctx = test_ctx();
    lens l = lens_open(ctx);
    photo p = photo_new(50, 40, 5);
    const image_box box = {7, 3, 30, 30};
    uint8_t out[30 * 30 * 3];

    for (size_t k = 0; k < COUNT(kinds); k++) {
        bytes b = photo_png(&p, kinds[k].type, kinds[k].depth);
        CHECK_OK(ctx, take(&l, &b, b.n, box, 30, out));
        for (int32_t i = 0; i < 30 * 30 * 3; i++) {
            const int32_t y = box.y + i / 90, x = box.x + i / 3 % 30;
            const uint8_t *rgb = p.rgb + (y * 50 + x) * 3;
            CHECK_NEAR(out[i], kinds[k].grey ? rgb[0] : rgb[i % 3], kinds[k].loss);
        }
        free(b.at);
    }
    free(p.rgb);
    lens_close(&l);
}

TEST(inks_become_light)
{
    drmad_ctx *ctx = test_ctx();
    lens l = lens_open(ctx);
    photo p = photo_new(64, 48, 6);
    bytes b = photo_jpeg(&p, (jpeg_kind){.quality = 100, .inks = true});
    uint8_t out[48 * 48 * 3];
    double sum = 0;

    CHECK_OK(ctx, take(&l, &b, b.n, (image_box){0, 0, 48, 48}, 48, out));
    for (int32_t i = 0; i < 48 * 48 * 3; i++)
        sum += abs(out[i] - p.rgb[(i / 144 * 64 + i / 3 % 48) * 3 + i % 3]);
    CHECK(sum / (48 * 48 * 3) < 3);
    free(b.at);
    free(p.rgb);
    lens_close(&l);
}

TEST(a_cut_picture_is_refused_wherever_it_is_cut)
{
    drmad_ctx *ctx = test_ctx();
    lens l = lens_open(ctx);
    photo p = photo_new(70, 60, 7);
    bytes all[] = {photo_jpeg(&p, (jpeg_kind){.quality = 80}),
                   photo_jpeg(&p, (jpeg_kind){.quality = 80, .progressive = true}),
                   photo_png(&p, SPNG_COLOR_TYPE_TRUECOLOR, 8)};
    uint8_t out[60 * 60 * 3];

    for (size_t k = 0; k < COUNT(all); k++) {
        const size_t marker = k < 2 ? 4 : 16; /* the last bytes only say that this is the end */
        for (size_t n = 0; n + marker < all[k].n; n += n < 700 ? 1 : 37)
            if (take(&l, &all[k], n, (image_box){0}, 60, out) != DRMAD_E_DATA)
                test_fail(__FILE__, __LINE__, "kind %zu: %zu of %zu bytes are enough", k, n,
                          all[k].n);
        CHECK_OK(ctx, take(&l, &all[k], all[k].n, (image_box){0}, 60, out));
        free(all[k].at);
    }
    free(p.rgb);
    lens_close(&l);
}

/* The header of a picture of 65,500 x 65,500. */
static void enlarge(bytes *b)
{
    for (size_t i = 0; i + 9 < b->n; i++)
        if (b->at[i] == 0xff && b->at[i + 1] >= 0xc0 && b->at[i + 1] <= 0xc2) {
            const uint8_t huge[] = {65500 >> 8, 65500 & 255, 65500 >> 8, 65500 & 255};
            memcpy(b->at + i + 5, huge, sizeof huge);
            return;
        }
}

TEST(hostile_pictures_are_refused_within_bounded_memory)
{
    meter m = {0};
    drmad_ctx *ctx = drmad_ctx_new(meter_alloc, &m);
    lens l = lens_open(ctx);
    photo p = photo_new(70, 60, 8);
    bytes huge = photo_jpeg(&p, (jpeg_kind){.quality = 80});
    bytes huge_scans = photo_jpeg(&p, (jpeg_kind){.quality = 80, .progressive = true});
    bytes scans = photo_jpeg(&p, (jpeg_kind){.quality = 80, .scans = true});
    bytes wide = photo_png(&p, SPNG_COLOR_TYPE_TRUECOLOR, 8);
    const uint8_t sides[] = {0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 60};
    uint8_t out[60 * 60 * 3];

    enlarge(&huge), enlarge(&huge_scans);
    CHECK_FAILS(ctx, take(&l, &huge, huge.n, (image_box){0}, 60, out), DRMAD_E_DATA,
                "x.jpg: declares 65500 x 65500 pixels, at most 67108864");
    CHECK_FAILS(ctx, take(&l, &huge_scans, huge_scans.n, (image_box){0}, 60, out), DRMAD_E_DATA,
                "65500 x 65500");
    CHECK_FAILS(ctx, take(&l, &scans, scans.n, (image_box){0}, 60, out), DRMAD_E_DATA,
                "more than 100 scans");
    memcpy(wide.at + 16, sides, sizeof sides);
    CHECK_FAILS(ctx, take(&l, &wide, wide.n, (image_box){0}, 60, out), DRMAD_E_DATA, "PNG");
    CHECK(m.peak < (size_t)1 << 20);
    free(huge.at), free(huge_scans.at), free(scans.at), free(wide.at), free(p.rgb);
    lens_close(&l);
    CHECK(m.live == sizeof(drmad_ctx) || m.live > 0);
    drmad_ctx_free(ctx);
    CHECK_INT(m.live, 0);
}

TEST(what_is_no_picture_is_named)
{
    static const struct {
        const char *bytes;
        size_t n;
        drmad_status st;
        const char *text;
    } cases[] = {{"", 0, DRMAD_E_DATA, "empty"},
                 {"GIF89a.........", 15, DRMAD_E_DATA, "a GIF, expected a JPEG or PNG"},
                 {"BM..............", 15, DRMAD_E_DATA, "a BMP"},
                 {"RIFF....WEBPVP8 ", 16, DRMAD_E_DATA, "a WebP"},
                 {"II*\0............", 15, DRMAD_E_DATA, "a TIFF"},
                 {"hello, world....", 16, DRMAD_E_DATA, "data.bad_images: skip"},
                 {"PK\3\4............", 16, DRMAD_E_UNSAFE, "can run code"},
                 {"\x80\4\x95...........", 14, DRMAD_E_UNSAFE, "pickle"},
                 {"\xff\xd8\xff\xe0", 4, DRMAD_E_DATA, "damaged JPEG"},
                 {"\x89PNG\r\n\x1a\n", 8, DRMAD_E_DATA, "damaged PNG"}};
    drmad_ctx *ctx = test_ctx();
    lens l = lens_open(ctx);
    uint8_t out[3];

    for (size_t i = 0; i < COUNT(cases); i++) {
        const bytes b = {(uint8_t *)(uintptr_t)cases[i].bytes, cases[i].n};
        CHECK_FAILS(ctx, take(&l, &b, b.n, (image_box){0}, 1, out), cases[i].st, cases[i].text);
    }
    lens_close(&l);
}

static drmad_status read_body(drmad_ctx *ctx, void *arg)
{
    lens l = {.ctx = ctx};
    uint8_t out[20 * 20 * 3];
    drmad_status st;

    TRY(image_reader_new(ctx, &l.reader));
    TRY(image_work_new(ctx, l.reader, &l.work));
    for (int i = 0; i < 2; i++)
        TRY(take(&l, (bytes *)arg + i, ((bytes *)arg + i)->n, (image_box){0}, 20, out));
done:
    lens_close(&l);
    return st;
}

TEST(reading_survives_every_failing_allocation)
{
    photo p = photo_new(33, 30, 9);
    bytes b[] = {photo_jpeg(&p, (jpeg_kind){.quality = 80}),
                 photo_png(&p, SPNG_COLOR_TYPE_TRUECOLOR, 8)};

    test_oom(read_body, b);
    free(b[0].at), free(b[1].at), free(p.rgb);
}
