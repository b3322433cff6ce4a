/* safetensors: what we write is the reference's bytes, what we read is checked to the last byte
 * (faults F01 to F05). */
#include "base/file.h"
#include "bytes.h"
#include "data/safetensors.h"
#include <unistd.h>

static bytes file_of(const char *header, size_t data)
{
    bytes b = {0};
    const uint64_t n = strlen(header);

    put(&b, &n, 8);
    put(&b, header, n);
    for (size_t i = 0; i < data; i++) put_byte(&b, (unsigned)i);
    return b;
}

static drmad_status parse_n(drmad_ctx *ctx, const bytes *b, size_t n, st_file **out)
{
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact) abort();
    if (n) memcpy(exact, b->at, n);
    const blob all = {.name = "x", .at = exact, .size = n};
    drmad_status st = safetensors_parse(ctx, &all, out);

    free(exact);
    return st;
}

static const char good[] = "{\"__metadata__\":{\"k\":\"v\"},"
                           "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
                           "\"a\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},"
                           "\"z\":{\"dtype\":\"U8\",\"shape\":[3,0],\"data_offsets\":[16,16]},"
                           "\"c\":{\"dtype\":\"I32\",\"shape\":[1,1],\"data_offsets\":[16,20]}}";

TEST(a_file_in_any_order_is_read)
{
    drmad_ctx *ctx = test_ctx();
    bytes b = file_of(good, 20);
    st_file *f = NULL;

    CHECK_OK(ctx, parse_n(ctx, &b, b.n, &f));
    free(b.at);
    if (!f) return;
    CHECK(f->n == 4 && f->texts == 1);
    CHECK_STR(f->text[0].key, "k");
    CHECK_STR(f->text[0].value, "v");
    const st_tensor *t = safetensors_find(f, "b");
    CHECK(t && t->dtype == F32 && t->shape.rank == 1 && ((const uint8_t *)t->data)[0] == 8);
    CHECK(t && (uintptr_t)t->data % 64 == 0);
    t = safetensors_find(f, "a");
    CHECK(t && t->dtype == F64 && t->shape.rank == 0 && ((const uint8_t *)t->data)[7] == 7);
    t = safetensors_find(f, "z");
    CHECK(t && t->dtype == U8 && shape_count(&t->shape) == 0);
    CHECK(safetensors_find(f, "c") && !safetensors_find(f, "d"));
    mem_free(ctx, f);
}

/* The bytes of safetensors.numpy.save() of safetensors 0.8.0 for the same content. */
TEST(what_is_written_is_the_references_bytes)
{
    drmad_ctx *ctx = test_ctx();
    const char *path = in(test_scratch(), "w.safetensors");
    const float w[] = {1, 2, 3, 4, 5, 6};
    const double d[] = {0.5};
    const uint8_t u[] = {9, 8, 7};
    const st_tensor at[] = {{"layers.0.weight", F32, SHAPE(2, 3), w},
                            {"mask", U8, SHAPE(3), u},
                            {"layers.0.bias", F32, SHAPE(1), w},
                            {"z", F64, SHAPE(1), d}};
    const st_text text[] = {{"format", "pt"}};
    const st_file f = {COUNT(at), COUNT(text), at, text};
    const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"z\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},"
        "\"layers.0.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]},"
        "\"layers.0.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[12,36]},"
        "\"mask\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[36,39]}}";
    bytes want = {0};
    char *got = NULL;
    size_t size;

    const uint64_t n = (sizeof header - 1 + 7) / 8 * 8;
    put(&want, &n, 8);
    put(&want, header, sizeof header - 1);
    put(&want, "       ", n - (sizeof header - 1));
    put(&want, d, 8), put(&want, w, 4), put(&want, w, 24), put(&want, u, 3);
    CHECK_OK(ctx, safetensors_write(ctx, path, &f));
    CHECK_OK(ctx, file_read_all(ctx, path, 4096, &got, &size));
    CHECK(got && size == want.n && memcmp(got, want.at, size) == 0);
    mem_free(ctx, got);
    free(want.at);
}

TEST(what_is_written_is_read_back)
{
    drmad_ctx *ctx = test_ctx();
    const char *path = in(test_scratch(), "w.safetensors");
    const double d[] = {0.1, -0.0, INFINITY};
    const st_tensor at[] = {{"quo\"te \xc3\xa9\n", F64, SHAPE(3), d}, {"", I32, {.rank = 0}, d}};
    const st_text text[] = {{"a", ""}, {"b", "{\"x\":1}"}};
    const st_file f = {2, 2, at, text}, empty = {0};
    st_file *got = NULL;

    CHECK_OK(ctx, safetensors_write(ctx, path, &f));
    CHECK_OK(ctx, safetensors_read(ctx, path, &got));
    const st_tensor *t = got ? safetensors_find(got, at[0].name) : NULL;
    CHECK(t && memcmp(t->data, d, sizeof d) == 0);
    CHECK(got && safetensors_find(got, ""));
    CHECK(got && got->texts == 2 && strcmp(got->text[1].value, text[1].value) == 0);
    mem_free(ctx, got);
    CHECK_OK(ctx, safetensors_write(ctx, path, &empty));
    CHECK_OK(ctx, safetensors_read(ctx, path, &got));
    CHECK(got && got->n == 0 && got->texts == 0);
    mem_free(ctx, got);
}

TEST(names_that_cannot_be_written_are_refused)
{
    drmad_ctx *ctx = test_ctx();
    const char *path = in(test_scratch(), "w.safetensors");
    const float w[2] = {0};
    st_tensor at[] = {{"a", F32, SHAPE(1), w}, {"a", U8, SHAPE(1), w}};
    const st_file f = {2, 0, at, NULL};

    CHECK_FAILS(ctx, safetensors_write(ctx, path, &f), DRMAD_E_USAGE, "\"a\" is used twice");
    at[1].name = "__metadata__";
    CHECK_FAILS(ctx, safetensors_write(ctx, path, &f), DRMAD_E_USAGE, "__metadata__");
    at[1].name = "\xff";
    CHECK_FAILS(ctx, safetensors_write(ctx, path, &f), DRMAD_E_USAGE, "is no UTF-8");
    CHECK(access(path, F_OK) != 0);
}

/* F03, F04, F05: each header with 8 bytes of data. */
TEST(headers_that_lie_are_refused)
{
#define T(name, type, shape, offsets)                                                              \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
    const struct {
        const char *header, *text;
    } rows[] = {
        {"", "bad header"},
        {"[]", "expected a JSON object"},
        {"{", "bad header"},
        {"{}x", "bad header"},
        {"{}", "8 extra bytes from byte 10"},
        {"{\"a\":\"\xff\"}", "bad header"},
        {"{" T("a", "F32", "[1]", "[0,4]") "," T("a", "F32", "[1]", "[4,8]") "}", "duplicate"},
        {"{" T("a", "F32", "[2]", "[0,8]") ",\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}",
         "duplicate"},
        {"{" T("a", "F32", "[2]", "[0,8]") ",\"__metadata__\":{\"k\":1}}",
         "\"k\": expected a string"},
        {"{" T("a", "F32", "[2]", "[0,8]") ",\"__metadata__\":[]}",
         "__metadata__: expected an object"},
        {"{\"a\":1}", "an object of dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "an object of dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"offsets\":[0,8]}}", "data_offsets [begin"},
        {"{\"a\":{\"dtype\":1,\"shape\":[2],\"data_offsets\":[0,8]}}", "expected a dtype"},
        {"{" T("a", "BF16", "[4]", "[0,8]") "}", "dtype BF16, expected F32"},
        {"{" T("a", "F4", "[16]", "[0,8]") "}", "dtype F4, expected F32"},
        {"{" T("a", "F32", "2", "[0,8]") "}", "at most 6 dimensions"},
        {"{" T("a", "U8", "[1,1,1,1,1,1,8]", "[0,8]") "}", "at most 6 dimensions"},
        {"{" T("a", "F32", "[-2]", "[0,8]") "}", "dimensions of 0 or more"},
        {"{" T("a", "F32", "[2.0]", "[0,8]") "}", "dimensions of 0 or more"},
        {"{" T("a", "F32", "[9223372036854775808]", "[0,8]") "}", "bad header"},
        {"{" T("a", "F64", "[9223372036854775807]", "[0,8]") "}", "its dtype and shape do not"},
        {"{" T("a", "U8", "[4294967296,4294967296,0]", "[0,8]") "}", "product is below 2^63"},
        {"{" T("a", "U8", "[4611686018427387904,2,0]", "[0,8]") "}", "product is below 2^63"},
        {"{" T("a", "F32", "[3]", "[0,8]") "}", "its dtype and shape do not"},
        {"{" T("a", "F32", "[2]", "[0,8,8]") "}", "data_offsets [begin"},
        {"{" T("a", "F32", "[2]", "[8,0]") "}", "data_offsets [begin"},
        {"{" T("a", "F32", "[2]", "[-8,0]") "}", "data_offsets [begin"},
        {"{" T("a", "F32", "[2]", "[0.0,8]") "}", "data_offsets [begin"},
        {"{" T("a", "F32", "[4]", "[0,16]") "}", "ends at byte 16 of the data, has 8"},
        {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[0,4]") "}",
         "begins at byte 0 of"},
        {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "U8", "[5]", "[3,8]") "}",
         "expected 4 (no holes"},
        {"{" T("a", "U8", "[3]", "[0,3]") "," T("b", "U8", "[4]", "[4,8]") "}",
         "expected 3 (no holes"},
        {"{" T("b", "U8", "[4]", "[4,8]") "}", "begins at byte 4 of the data, expected 0"},
        {"{" T("a", "U8", "[7]", "[0,7]") "}", "1 extra bytes from byte"},
        {"{" T("a", "U8", "[8]", "[0,8]") "," T("b", "U8", "[0]", "[4,4]") "}", "(no holes"},
    };
    drmad_ctx *ctx = test_ctx();
    st_file *f;

    for (size_t i = 0; i < COUNT(rows); i++) {
        bytes b = file_of(rows[i].header, 8);
        CHECK_FAILS(ctx, parse_n(ctx, &b, b.n, &f), DRMAD_E_DATA, rows[i].text);
        CHECK(f == NULL);
        free(b.at);
    }
}

TEST(a_header_size_that_lies_is_refused_without_allocating)
{
    const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 7, INT64_MAX, 100000000, 16777217, 1000};
    meter m = {0};
    drmad_ctx *ctx = drmad_ctx_new(meter_alloc, &m);
    const size_t before = m.live;
    st_file *f;

    for (size_t i = 0; i < COUNT(sizes); i++) {
        bytes b = file_of("{}", 100);
        memcpy(b.at, &sizes[i], 8);
        CHECK_FAILS(ctx, parse_n(ctx, &b, b.n, &f), DRMAD_E_DATA, "header");
        free(b.at);
    }
    CHECK_INT(m.peak, before);
    drmad_ctx_free(ctx);
}

TEST(a_deep_header_is_refused)
{
    drmad_ctx *ctx = test_ctx();
    char *deep = calloc(1, 200001);
    st_file *f;

    if (!deep) abort();
    memset(deep, '[', 200000);
    bytes b = file_of(deep, 0);
    CHECK_FAILS(ctx, parse_n(ctx, &b, b.n, &f), DRMAD_E_DATA, "bad header");
    free(deep);
    free(b.at);
}

/* F01, F02. A cut header no longer parses as JSON or falls short of its size; cut data no longer
 * fits its tensors. */
TEST(a_file_cut_or_grown_anywhere_is_refused)
{
    drmad_ctx *ctx = test_ctx();
    bytes b = file_of(good, 20);
    char place[64];
    st_file *f;

    for (size_t cut = 0; cut < b.n; cut++) {
        const bool head = cut < 8 + sizeof good - 1;
        snprintf(place, sizeof place, head ? "ends at byte %zu" : "of the data, has %zu",
                 head ? cut : cut - 8 - (sizeof good - 1));
        CHECK_FAILS(ctx, parse_n(ctx, &b, cut, &f), DRMAD_E_DATA, place);
    }
    const size_t n = b.n;
    for (int i = 0; i < 2; i++) {
        put_zeros(&b, i == 0 ? 1 : (1 << 20) - 1);
        snprintf(place, sizeof place, "%zu extra bytes from byte %zu on", b.n - n, n);
        CHECK_FAILS(ctx, parse_n(ctx, &b, b.n, &f), DRMAD_E_DATA, place);
    }
    free(b.at);
}

static drmad_status round_trip(drmad_ctx *ctx, void *path)
{
    const float w[] = {1, 2};
    const st_tensor at[] = {{"a", F32, SHAPE(2), w}};
    const st_text text[] = {{"k", "v"}};
    const st_file f = {1, 1, at, text};
    st_file *got = NULL;
    drmad_status st;

    TRY(safetensors_write(ctx, path, &f));
    TRY(safetensors_read(ctx, path, &got));
done:
    mem_free(ctx, got);
    return st;
}

TEST(safetensors_survive_every_failing_allocation)
{
    char path[600];

    snprintf(path, sizeof path, "%s", in(test_scratch(), "w.safetensors"));
    test_oom(round_trip, path);
}
