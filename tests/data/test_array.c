/* IDX and npy: every type is read right, everything malformed is refused with its place (faults
 * F01 to F03, F05, F06, F08 of the reliability matrix). */
#include "bytes.h"
#include <zlib.h>

static bytes gzipped(const bytes *b)
{
    z_stream z = {0};
    bytes out = {0};
    uint8_t piece[4096];

    if (deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK) abort();
    z.next_in = b->at, z.avail_in = (uInt)b->n;
    do {
        z.next_out = piece, z.avail_out = sizeof piece;
        deflate(&z, Z_FINISH);
        put(&out, piece, sizeof piece - z.avail_out);
    } while (z.avail_out == 0);
    deflateEnd(&z);
    return out;
}

TEST(idx_types_come_out_in_our_order)
{
    const struct {
        unsigned type;
        dtype to;
        uint8_t byte[8]; /* big-endian */
        size_t size;
        double value;
    } rows[] = {
        {0x08, U8, {200}, 1, 200},
        {0x09, I32, {0xfe}, 1, -2},
        {0x0B, I32, {0xff, 0x01}, 2, -255},
        {0x0C, I32, {0x80, 0, 0, 1}, 4, -2147483647},
        {0x0D, F32, {0x3f, 0xc0, 0, 0}, 4, 1.5},
        {0x0E, F64, {0xbf, 0xd0, 0, 0, 0, 0, 0, 0}, 8, -0.25},
    };
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(rows); i++) {
        bytes b = {0};
        array a;
        put_idx_head(&b, rows[i].type, 2, (uint32_t[]){1, 1});
        put(&b, rows[i].byte, rows[i].size);
        CHECK_OK(ctx, parse_bytes(ctx, &b, &a));
        CHECK_INT(a.dtype, rows[i].to);
        CHECK(a.shape.rank == 2 && a.shape.dim[0] == 1 && a.shape.dim[1] == 1);
        if (a.dtype == U8) CHECK_INT(*(uint8_t *)a.data, rows[i].value);
        if (a.dtype == I32) CHECK_INT(*(int32_t *)a.data, rows[i].value);
        if (a.dtype == F32) CHECK(*(float *)a.data == (float)rows[i].value);
        if (a.dtype == F64) CHECK(*(double *)a.data == rows[i].value);
        array_free(ctx, &a);
        free(b.at);
    }
}

TEST(npy_types_and_byte_orders_come_out_right)
{
    const struct {
        const char *descr;
        dtype to;
        uint8_t byte[16]; /* two elements */
        size_t size;
        double value[2];
    } rows[] = {
        {"'|u1'", U8, {7, 255}, 1, {7, 255}},
        {"'|b1'", U8, {1, 0}, 1, {1, 0}},
        {"'|i1'", I32, {0xff, 3}, 1, {-1, 3}},
        {"'<i2'", I32, {0, 0x80, 1, 0}, 2, {-32768, 1}},
        {"'>i2'", I32, {0x80, 0, 0, 1}, 2, {-32768, 1}},
        {"'<i4'", I32, {4, 3, 2, 1, 255, 255, 255, 255}, 4, {0x01020304, -1}},
        {"'>i4'", I32, {1, 2, 3, 4, 255, 255, 255, 255}, 4, {0x01020304, -1}},
        {"'<i8'",
         I32,
         {5, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255},
         8,
         {5, -1}},
        {"'<f4'", F32, {0, 0, 0xc0, 0x3f, 0, 0, 0, 0x80}, 4, {1.5, -0.0}},
        {"'=f4'", F32, {0, 0, 0xc0, 0x3f, 0, 0, 0, 0x80}, 4, {1.5, -0.0}},
        {"\">f4\"", F32, {0x3f, 0xc0, 0, 0, 0x80, 0, 0, 0}, 4, {1.5, -0.0}},
        {"'<f8'", F64, {0, 0, 0, 0, 0, 0, 0xd0, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0x40}, 8, {-.25, 2}},
        {"'>f8'", F64, {0xbf, 0xd0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0}, 8, {-.25, 2}},
    };
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(rows); i++) {
        bytes b = npy(rows[i].descr, "False", "(2,)", rows[i].byte, 2 * rows[i].size);
        array a;
        CHECK_OK(ctx, parse_bytes(ctx, &b, &a));
        CHECK_INT(a.dtype, rows[i].to);
        for (int k = 0; k < 2 && a.data; k++) {
            const double got = a.dtype == U8    ? ((uint8_t *)a.data)[k]
                               : a.dtype == I32 ? ((int32_t *)a.data)[k]
                               : a.dtype == F32 ? (double)((float *)a.data)[k]
                                                : ((double *)a.data)[k];
            CHECK(got == rows[i].value[k]);
        }
        array_free(ctx, &a);
        free(b.at);
    }
}

TEST(column_major_npy_is_transposed)
{
    drmad_ctx *ctx = test_ctx();
    uint8_t raw[24];
    array a;

    for (int i = 0; i < 2; i++) /* element (i, j, k) = 100 i + 10 j + k, first index fastest */
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 4; k++) raw[i + 2 * (j + 3 * k)] = (uint8_t)(100 * i + 10 * j + k);
    bytes b = npy("'|u1'", "True", "(2, 3, 4)", raw, sizeof raw);
    CHECK_OK(ctx, parse_bytes(ctx, &b, &a));
    for (int i = 0; i < 24 && a.data; i++)
        CHECK_INT(((uint8_t *)a.data)[i], 100 * (i / 12) + 10 * (i / 4 % 3) + i % 4);
    array_free(ctx, &a);
    free(b.at);
}

TEST(npy_headers_in_every_legal_spelling_are_read)
{
    const char *const headers[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }",
        "{'shape':(1,2),'fortran_order':False,'descr':'<f4'}",
        "  {\"shape\" : ( 1 , 2 , ) , \"descr\" : \"<f4\" , \"fortran_order\" : True , }   \n",
    };
    drmad_ctx *ctx = test_ctx();

    for (unsigned version = 1; version <= 3; version++)
        for (size_t i = 0; i < COUNT(headers); i++) {
            bytes b = {0};
            array a;
            put_npy_head(&b, version, headers[i]);
            put_random(&b, 8, 3);
            CHECK_OK(ctx, parse_bytes(ctx, &b, &a));
            CHECK(a.shape.rank == 2 && a.shape.dim[0] == 1 && a.shape.dim[1] == 2);
            array_free(ctx, &a);
            free(b.at);
        }
}

/* F05: rank 0 and sizes of 0 are legal in npy; what makes a dataset of them refuses. */
TEST(npy_of_rank_0_and_of_size_0_are_read)
{
    drmad_ctx *ctx = test_ctx();
    bytes one = npy("'|u1'", "False", "()", "\x2a", 1);
    bytes none = npy("'<f8'", "True", "(3, 0)", "", 0);
    array a;

    CHECK_OK(ctx, parse_bytes(ctx, &one, &a));
    CHECK(a.shape.rank == 0 && *(uint8_t *)a.data == 42);
    array_free(ctx, &a);
    CHECK_OK(ctx, parse_bytes(ctx, &none, &a));
    CHECK(a.shape.rank == 2 && shape_count(&a.shape) == 0);
    array_free(ctx, &a);
    free(one.at);
    free(none.at);
}

TEST(npy_headers_that_lie_or_carry_objects_are_refused)
{
#define REST ", 'fortran_order': False, 'shape': (2,), }"
    const struct {
        const char *header;
        drmad_status want;
        const char *text;
    } rows[] = {
        {"{'descr': '|O'" REST, DRMAD_E_UNSAFE, "allow_pickle=False"},
        {"{'descr': '|V2'" REST, DRMAD_E_UNSAFE, "raw records"},
        {"{'descr': [('a', '|u1')]" REST, DRMAD_E_UNSAFE, "structured"},
        {"{'descr': '<u2'" REST, DRMAD_E_DATA, "type '<u2', expected"},
        {"{'descr': '<c8'" REST, DRMAD_E_DATA, "type '<c8', expected"},
        {"{'descr': '<U1'" REST, DRMAD_E_DATA, "type '<U1', expected"},
        {"{'descr': 'u1'" REST, DRMAD_E_DATA, "type 'u1', expected"},
        {"{'descr': ''" REST, DRMAD_E_DATA, "type '', expected"},
        {"{'descr': 1" REST, DRMAD_E_DATA, "a quoted string"},
        {"{'descr': '|u\\x311'" REST, DRMAD_E_DATA, "plain string"},
        {"{'descr': '|u1" REST, DRMAD_E_DATA, "type '|u1, ', expected"},
        {"{'descr': '|u1'", DRMAD_E_DATA, "a comma or }"},
        {"{'descr': '|u1', 'descr': '|u1'" REST, DRMAD_E_DATA, "once each"},
        {"{'extra': '|u1', 'descr': '|u1'" REST, DRMAD_E_DATA, "once each"},
        {"{'descr': '|u1', 'shape': (2,)}", DRMAD_E_DATA, "lacks 'fortran_order'"},
        {"{'descr': '|u1', 'fortran_order': 0, 'shape': (2,)}", DRMAD_E_DATA, "True or False"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': 2}", DRMAD_E_DATA, "a tuple"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2)}", DRMAD_E_DATA, "a comma behind"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (-2,)}", DRMAD_E_DATA, "a dimension"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2 1)}", DRMAD_E_DATA, "a comma or"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2.,)}", DRMAD_E_DATA, "a comma or"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (,)}", DRMAD_E_DATA, "a dimension"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,1,1,1,2)}", DRMAD_E_DATA,
         "more than 6"},
        {"{'descr': '|u1'" REST " + os.system('x')", DRMAD_E_DATA, "only blanks"},
        {"__import__('os').system('x')", DRMAD_E_DATA, "expected {"},
        {"", DRMAD_E_DATA, "expected {"},
    };
    drmad_ctx *ctx = test_ctx();
    array a;

    for (size_t i = 0; i < COUNT(rows); i++) {
        bytes b = {0};
        put_npy_head(&b, 1, rows[i].header);
        put(&b, "ab", 2);
        CHECK_FAILS(ctx, parse_bytes(ctx, &b, &a), rows[i].want, rows[i].text);
        CHECK(a.data == NULL);
        free(b.at);
    }
}

TEST(npy_versions_and_header_lengths_are_checked)
{
    drmad_ctx *ctx = test_ctx();
    bytes b = npy("'|u1'", "False", "(2,)", "ab", 2);
    array a;

    b.at[6] = 4;
    CHECK_FAILS(ctx, parse_bytes(ctx, &b, &a), DRMAD_E_DATA, "version 4.0");
    b.at[6] = 1, b.at[7] = 1;
    CHECK_FAILS(ctx, parse_bytes(ctx, &b, &a), DRMAD_E_DATA, "version 1.1");
    b.at[7] = 0, b.at[8] = 0x11, b.at[9] = 0x27; /* 10,001 */
    put_random(&b, 20000, 1);
    CHECK_FAILS(ctx, parse_bytes(ctx, &b, &a), DRMAD_E_DATA,
                "a header of 10001 bytes, at most 10000");
    free(b.at);
}

TEST(values_that_we_cannot_keep_are_refused_with_their_place)
{
    drmad_ctx *ctx = test_ctx();
    bytes wide = npy("'<i8'", "False", "(2,)", "\1\0\0\0\0\0\0\0\0\0\0\x80\0\0\0\0", 16);
    bytes truth = npy("'|b1'", "False", "(3,)", "\1\0\2", 3);
    array a;

    CHECK_FAILS(ctx, parse_bytes(ctx, &wide, &a), DRMAD_E_DATA, "element 1 is no i64");
    CHECK_FAILS(ctx, parse_bytes(ctx, &truth, &a), DRMAD_E_DATA, "element 2 is no bool");
    free(wide.at);
    free(truth.at);
}

/* F01. Every cut fails, and the message says at which byte the file ends. */
static void check_cut(drmad_ctx *ctx, const bytes *b, size_t n, bool packed)
{
    char place[64];
    array a;

    snprintf(place, sizeof place, packed && n > 1 ? "byte %zu inside the gzip" : "ends at byte %zu",
             n);
    CHECK_FAILS(ctx, parse_cut(ctx, b, n, &a), DRMAD_E_DATA, place);
    CHECK(a.data == NULL);
    array_free(ctx, &a);
}

TEST(a_file_cut_anywhere_is_refused_and_says_where)
{
    drmad_ctx *ctx = test_ctx();
    bytes files[4] = {small_idx(), {0}, {0}, {0}};
    array a;

    files[1] = npy("'<f8'", "True", "(1, 2)", "0123456789abcdef", 16);
    put_idx_head(&files[2], 8, 2, (uint32_t[]){1000, 60});
    put_random(&files[2], 60000, 2);
    files[3] = gzipped(&files[2]);
    for (size_t f = 0; f < COUNT(files); f++) {
        const size_t n = files[f].n;
        CHECK_OK(ctx, parse_bytes(ctx, &files[f], &a));
        array_free(ctx, &a);
        for (size_t cut = 0; cut < n && cut <= 4096; cut++) check_cut(ctx, &files[f], cut, f == 3);
        for (uint64_t k = 0; k < 200 && n > 4096; k++)
            check_cut(ctx, &files[f], (size_t)rng_below((rng_key){9, 0, 0}, k, n), f == 3);
        free(files[f].at);
    }
}

/* F02 */
TEST(extra_bytes_are_refused)
{
    drmad_ctx *ctx = test_ctx();
    bytes files[3] = {small_idx(), npy("'|u1'", "False", "(2,)", "ab", 2), {0}};
    const size_t extra[] = {1, 1 << 20};
    array a;

    files[2] = gzipped(&files[0]);
    for (size_t f = 0; f < COUNT(files); f++)
        for (size_t e = 0; e < COUNT(extra); e++) {
            bytes b = {0};
            char place[64];
            put(&b, files[f].at, files[f].n);
            put_zeros(&b, extra[e]);
            snprintf(place, sizeof place, "%zu extra bytes from byte %zu", extra[e], files[f].n);
            CHECK_FAILS(ctx, parse_bytes(ctx, &b, &a), DRMAD_E_DATA, f == 2 ? "gzip" : place);
            free(b.at);
        }
    for (size_t f = 0; f < COUNT(files); f++) free(files[f].at);
}

/* F03: refused before anything of the declared size is allocated. */
TEST(huge_declared_sizes_are_refused_without_allocating)
{
    const uint32_t dims[][3] = {{0x80000000u, 1, 1},
                                {0xffffffffu, 0xffffffffu, 0xffffffffu},
                                {0x10000, 0x10000, 0x10000},
                                {0x80000000u, 0x80000000u, 4},
                                {60000, 28, 28}};
    const char *const shapes[] = {
        "(9223372036854775807,)",
        "(4294967296, 4294967296)",
        "(9223372036854775807, 2, 0)",
        "(2147483648, 2147483648, 2)",
    };
    meter m = {0};
    drmad_ctx *ctx = drmad_ctx_new(meter_alloc, &m);
    array a;

    m.peak = m.live;
    const size_t before = m.live;
    for (size_t i = 0; i < COUNT(dims); i++) {
        bytes b = {0};
        put_idx_head(&b, 0x0E, 3, dims[i]);
        put_random(&b, 100, 1);
        CHECK_FAILS(ctx, parse_bytes(ctx, &b, &a), DRMAD_E_DATA, "x: ");
        free(b.at);
    }
    for (size_t i = 0; i < COUNT(shapes); i++) {
        bytes b = npy("'<f8'", "False", shapes[i], "01234567", 8);
        CHECK_FAILS(ctx, parse_bytes(ctx, &b, &a), DRMAD_E_DATA, "declares f64");
        free(b.at);
    }
    bytes b = npy("'<f8'", "False", "(9223372036854775808,)", "01234567", 8);
    CHECK_FAILS(ctx, parse_bytes(ctx, &b, &a), DRMAD_E_DATA, "below 2^63");
    free(b.at);
    CHECK_INT(m.peak, before);
    drmad_ctx_free(ctx);
}

TEST(idx_headers_that_make_no_sense_are_refused)
{
    const struct {
        uint8_t head[8];
        const char *text;
    } rows[] = {
        {{0, 0, 7, 1, 0, 0, 0, 0}, "IDX type 07"},
        {{0, 0, 10, 1, 0, 0, 0, 0}, "IDX type 0a"},
        {{0, 0, 8, 0, 0, 0, 0, 0}, "0 dimensions"},
        {{0, 0, 8, 7, 0, 0, 0, 0}, "7 dimensions"},
        {{0, 1, 8, 1, 0, 0, 0, 0}, "00 01 08 01"},
        {{'G', 'I', 'F', '8', '9', 'a', 0, 0}, "47 49 46 38"},
    };
    drmad_ctx *ctx = test_ctx();
    array a;

    for (size_t i = 0; i < COUNT(rows); i++) {
        bytes b = {0};
        put(&b, rows[i].head, 8);
        CHECK_FAILS(ctx, parse_bytes(ctx, &b, &a), DRMAD_E_DATA, rows[i].text);
        free(b.at);
    }
}

/* F06 */
TEST(pickles_and_torch_archives_are_refused_as_unsafe)
{
    drmad_ctx *ctx = test_ctx();
    bytes zip = {0}, pickle = {0};
    array a;

    put(&zip, "PK\3\4\0\0\0\0archive/data.pkl", 24);
    put(&pickle, "\x80\4\x95\x1c\0\0\0\0\0\0\0\x8c\5posix", 18);
    CHECK_FAILS(ctx, parse_bytes(ctx, &zip, &a), DRMAD_E_UNSAFE, "numpy.save(");
    CHECK_FAILS(ctx, parse_bytes(ctx, &pickle, &a), DRMAD_E_UNSAFE, "numpy.save(");
    free(zip.at);
    free(pickle.at);
}

TEST(gzip_of_several_members_is_read_and_damage_is_seen)
{
    drmad_ctx *ctx = test_ctx();
    bytes whole = small_idx(), head = {whole.at, 10}, tail = {whole.at + 10, whole.n - 10};
    bytes a = gzipped(&head), b = gzipped(&tail);
    array got;

    put(&a, b.at, b.n);
    CHECK_OK(ctx, parse_bytes(ctx, &a, &got));
    CHECK(got.data && memcmp(got.data, whole.at + 16, 24) == 0);
    array_free(ctx, &got);
    a.at[a.n - 5] ^= 1; /* in the CRC */
    CHECK_FAILS(ctx, parse_bytes(ctx, &a, &got), DRMAD_E_DATA, "damaged gzip");
    a.at[a.n - 5] ^= 1;
    a.at[12] ^= 255;
    CHECK_FAILS(ctx, parse_bytes(ctx, &a, &got), DRMAD_E_DATA, "gzip");
    free(whole.at);
    free(a.at);
    free(b.at);
}

/* F08: memory stays near the cap, whatever the stream would unpack to. */
TEST(a_gzip_bomb_stops_at_the_cap)
{
    enum { CAP = 1 << 20 };
    meter m = {0};
    drmad_ctx *ctx = drmad_ctx_new(meter_alloc, &m);
    bytes zeros = {calloc(1, 64 << 20), 64 << 20}, b = gzipped(&zeros);
    blob out;

    CHECK(b.n < 100000);
    CHECK_FAILS(ctx, blob_unpack(ctx, "bomb.gz", b.at, b.n, CAP, &out), DRMAD_E_UNSAFE,
                "bomb.gz: unpacks to more than 1048576 bytes");
    CHECK(m.peak < 2 * CAP + (64 << 10)); /* the old half and the new one, and zlib's window */
    CHECK_OK(ctx, blob_unpack(ctx, "bomb.gz", b.at, b.n, 64 << 20, &out));
    CHECK_INT(out.size, 64 << 20);
    blob_free(ctx, &out);
    drmad_ctx_free(ctx);
    free(zeros.at);
    free(b.at);
}

static drmad_status parse_body(drmad_ctx *ctx, void *arg)
{
    array a;
    drmad_status st = parse_bytes(ctx, arg, &a);

    array_free(ctx, &a);
    return st;
}

TEST(arrays_survive_every_failing_allocation)
{
    bytes plain = small_idx(), packed = gzipped(&plain);

    test_oom(parse_body, &plain);
    test_oom(parse_body, &packed);
    free(plain.at);
    free(packed.at);
}
