/* Tar shards and arrays in archives: what is read, what is refused, in bounded memory. */
#include "base/file.h"
#include "darkroom.h"
#include "data/npz.h"
#include "data/pictures.h"
#include "data/safetensors.h"
#include "data/shards.h"
#include <archive.h>
#include <archive_entry.h>
#include <spng.h>
#include <sys/stat.h>

/* ---- writing archives ---- */

typedef struct tar {
    struct archive *a;
    uint8_t *at;
    size_t *used; /* libarchive writes it as long as the archive is open */
} tar;

enum { TAR_ROOM = 1 << 22 };

/* pax: a tar of that kind; a zip that is not compressed. */
static tar archive_open(bool zip, bool pax)
{
    tar t = {archive_write_new(), malloc(TAR_ROOM), calloc(1, sizeof(size_t))};

    if (!t.a || !t.at || !t.used) abort();
    if (zip) archive_write_set_format_zip(t.a);
    else if (pax) archive_write_set_format_pax(t.a);
    else archive_write_set_format_ustar(t.a);
    if (zip && pax) archive_write_zip_set_compression_store(t.a);
    archive_write_set_bytes_per_block(t.a, 512);
    archive_write_open_memory(t.a, t.at, TAR_ROOM, t.used);
    return t;
}

static void member(tar *t, unsigned type, const char *name, const char *link, const void *data,
                   size_t n)
{
    struct archive_entry *e = archive_entry_new();

    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, type);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, type == AE_IFREG ? (la_int64_t)n : 0);
    if (link && type == AE_IFLNK) archive_entry_set_symlink(e, link);
    else if (link) archive_entry_set_hardlink(e, link), archive_entry_set_size(e, 0);
    if (archive_write_header(t->a, e) != ARCHIVE_OK) abort();
    if (type == AE_IFREG && n && !link) archive_write_data(t->a, data, n);
    archive_entry_free(e);
}

static bytes archive_end(tar *t)
{
    bytes b = {0};

    archive_write_close(t->a);
    archive_write_free(t->a);
    put(&b, t->at, *t->used);
    free(t->at), free(t->used);
    return b;
}

/* One sample: NAME.jpg of 12 x 10 and NAME.cls. */
static void sample(tar *t, const char *name, int label)
{
    photo p = photo_new(12, 10, (uint64_t)label);
    bytes b = photo_jpeg(&p, (jpeg_kind){.quality = 90});
    char path[300], text[16];

    snprintf(path, sizeof path, "%s.cls", name);
    snprintf(text, sizeof text, "%d\n", label);
    member(t, AE_IFREG, path, NULL, text, strlen(text));
    snprintf(path, sizeof path, "%s.jpg", name);
    member(t, AE_IFREG, path, NULL, b.at, b.n);
    snprintf(path, sizeof path, "%s.json", name);
    member(t, AE_IFREG, path, NULL, "{}", 2);
    free(b.at), free(p.rgb);
}

static bytes good_shard(int first, int n, bool pax)
{
    tar t = archive_open(false, pax);

    member(&t, AE_IFDIR, "set", NULL, NULL, 0);
    for (int i = first; i < first + n; i++) {
        char name[220];
        if (pax) snprintf(name, sizeof name, "set/%0200d", i); /* needs an extended header */
        else snprintf(name, sizeof name, "set/%04d", i);
        sample(&t, name, i % 3);
    }
    return archive_end(&t);
}

static drmad_status open_kind(drmad_ctx *ctx, const source_spec *s, dataset **train)
{
    dataset *test;
    const drmad_status st = source_open(ctx, s, train, &test);

    dataset_free(test);
    return st;
}

/* ---- shards ---- */

TEST(samples_of_shards_are_read_in_order)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300];
    source_spec spec = spec_of("shards", "a-{00..02}.tar,b.tar", "b.tar", 8);
    dataset *all, *lazy, *test;
    picture_work *w = NULL;
    uint8_t row[8 * 8 * 3];

    snprintf(dir, sizeof dir, "%s", test_scratch());
    spec.dir = dir;
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "a-%02d.tar", i);
        bytes b = good_shard(4 * i, 4, i == 1);
        file_save(in(dir, name), &b);
    }
    bytes b = good_shard(12, 2, false);
    file_save(in(dir, "b.tar"), &b);
    CHECK_OK(ctx, source_open(ctx, &spec, &all, &test));
    if (!all || !test) return;
    CHECK(all->n == 14 && all->classes == 3 && test->n == 2 && all->rows);
    for (int32_t i = 0; i < 14; i++) CHECK_INT(all->labels[i], i % 3);
    dataset_free(test);
    spec.memory = 100, spec.test_rows = NULL;
    CHECK_OK(ctx, open_kind(ctx, &spec, &lazy));
    if (!lazy) return;
    CHECK(!lazy->rows);
    CHECK_STR(lazy->sha256, all->sha256);
    CHECK_OK(ctx, picture_work_new(ctx, lazy, &w));
    for (int32_t i = 13; i >= 0; i--) {
        CHECK_OK(ctx, picture_row(w, &(picture_ask){.row = i}, row));
        CHECK(memcmp(row, (const uint8_t *)all->rows + i * 192, 192) == 0);
    }
    picture_work_free(w);
    dataset_free(lazy);
    dataset_free(all);
}

TEST(packed_shards_are_unpacked_into_memory_and_no_further)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300], command[700];
    source_spec spec = spec_of("shards", "a.tar.gz", NULL, 8);
    bytes b = good_shard(0, 4, false);
    dataset *d;

    snprintf(dir, sizeof dir, "%s", test_scratch());
    spec.dir = dir;
    file_save(in(dir, "a.tar"), &b);
    snprintf(command, sizeof command, "gzip -9 '%s'", in(dir, "a.tar"));
    CHECK(system(command) == 0);
    CHECK_OK(ctx, open_kind(ctx, &spec, &d));
    CHECK(d && d->n == 4);
    dataset_free(d);
    /* a bomb: 64 MiB of zeros in 64 KiB */
    snprintf(command, sizeof command, "head -c 67108864 /dev/zero | gzip -9 >'%s'",
             in(dir, "bomb.tar.gz"));
    CHECK(system(command) == 0);
    spec.train_rows = "bomb.tar.gz", spec.memory = 1 << 20;
    meter m = {0};
    drmad_ctx *metered = drmad_ctx_new(meter_alloc, &m);
    CHECK_FAILS(metered, open_kind(metered, &spec, &d), DRMAD_E_UNSAFE,
                "unpacks to more than 1048576 bytes");
    CHECK(m.peak < (size_t)4 << 20);
    drmad_ctx_free(metered);
}

static drmad_status scan_bytes(drmad_ctx *ctx, const bytes *b, size_t n, bool skip)
{
    image_shard shard = {.name = "s.tar"};
    image_set *s = NULL;
    uint8_t *exact = malloc(n ? n : 1);
    drmad_status st;

    if (!exact) abort();
    if (n) memcpy(exact, b->at, n);
    TRY(image_set_new(ctx, &s));
    shard.bytes = (blob){.name = "s.tar", .at = exact, .size = n};
    s->shard = &shard, s->shards = 1;
    st = shard_scan(s, 0, skip);
    for (int32_t i = 0; st == DRMAD_OK && i < s->n; i++) /* each is a JPEG where it is said to be */
        CHECK(exact[s->at[i].offset] == 0xff && exact[s->at[i].offset + 1] == 0xd8 &&
              s->at[i].offset + (uint64_t)s->at[i].bytes <= n);
    s->shard = NULL, s->shards = 0;
done:
    image_set_free(s);
    free(exact);
    return st;
}

TEST(a_shard_that_is_cut_is_refused_wherever_it_is_cut)
{
    drmad_ctx *ctx = test_ctx();
    bytes b = good_shard(0, 3, false);
    size_t end = b.n;

    while (end > 0 && b.at[end - 1] == 0) end--;
    end = (end + 511) / 512 * 512; /* the end blocks are padding from here on; one must be left */
    for (size_t n = 0; n < end + 512; n += n < 3000 ? 7 : 61)
        if (scan_bytes(ctx, &b, n, false) != DRMAD_E_DATA)
            test_fail(__FILE__, __LINE__, "%zu of %zu bytes are enough", n, b.n);
    CHECK_OK(ctx, scan_bytes(ctx, &b, end + 512, false));
    CHECK_OK(ctx, scan_bytes(ctx, &b, b.n, false));
    free(b.at);
}

TEST(hostile_members_are_refused)
{
    static const struct {
        unsigned type;
        const char *name, *link, *text;
        drmad_status st;
    } cases[] = {
        {AE_IFREG, "../../etc/x.jpg", NULL, "leads out", DRMAD_E_UNSAFE},
        {AE_IFREG, "a/../../x.cls", NULL, "leads out", DRMAD_E_UNSAFE},
        {AE_IFREG, "/etc/passwd", NULL, "leads out", DRMAD_E_UNSAFE},
        {AE_IFREG, "..", NULL, "leads out", DRMAD_E_UNSAFE},
        {AE_IFLNK, "x.jpg", "/etc/passwd", "a link", DRMAD_E_UNSAFE},
        {AE_IFREG, "x.jpg", "/etc/passwd", "a link", DRMAD_E_UNSAFE},
        {AE_IFIFO, "x.jpg", NULL, "neither a file nor a folder", DRMAD_E_UNSAFE},
        {AE_IFCHR, "x.jpg", NULL, "neither a file nor a folder", DRMAD_E_UNSAFE},
        {AE_IFREG, "x.pkl", NULL, "can run code", DRMAD_E_UNSAFE},
        {AE_IFREG, "x.pyd", NULL, "can run code", DRMAD_E_UNSAFE},
        {AE_IFREG, "x.pth", NULL, "can run code", DRMAD_E_UNSAFE},
        {AE_IFREG, "x.jpg", NULL, "\"x\": no class", DRMAD_E_DATA},
        {AE_IFREG, "x.cls", NULL, "its class is no whole number", DRMAD_E_DATA},
    };
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(cases); i++) {
        tar t = archive_open(false, true);
        sample(&t, "good", 1);
        member(&t, cases[i].type, cases[i].name, cases[i].link, "none", 4);
        bytes b = archive_end(&t);
        CHECK_FAILS(ctx, scan_bytes(ctx, &b, b.n, false), cases[i].st, cases[i].text);
        free(b.at);
    }
}

TEST(samples_that_make_no_sense_are_refused)
{
    static const struct {
        const char *name[3], *data[3], *text;
    } cases[] = {{{"a.cls"}, {"1"}, "\"a\": no picture"},
                 {{"a.cls", "a.jpg", "a.png"}, {"1", "x", "y"}, "two pictures"},
                 {{"a.cls", "a.cls"}, {"1", "2"}, "two classes"},
                 {{"a.jpg", "a.cls"}, {"x", "-1"}, "no whole number"},
                 {{"a.jpg", "a.cls"}, {"x", "1.5"}, "no whole number"},
                 {{"a.jpg", "a.cls"}, {"x", "99999999999"}, "no whole number"},
                 {{"a.jpg", "a.cls"}, {"", "1"}, "its picture is empty"}};
    drmad_ctx *ctx = test_ctx();
    bytes random = {0};

    for (size_t i = 0; i < COUNT(cases); i++) {
        tar t = archive_open(false, false);
        for (int k = 0; k < 3 && cases[i].name[k]; k++)
            member(&t, AE_IFREG, cases[i].name[k], NULL, cases[i].data[k],
                   strlen(cases[i].data[k]));
        bytes b = archive_end(&t);
        CHECK_FAILS(ctx, scan_bytes(ctx, &b, b.n, false), DRMAD_E_DATA, cases[i].text);
        if (i + 1 == COUNT(cases)) CHECK_OK(ctx, scan_bytes(ctx, &b, b.n, true));
        free(b.at);
    }
    put_random(&random, 4096, 1);
    CHECK_FAILS(ctx, scan_bytes(ctx, &random, 4096, false), DRMAD_E_DATA,
                "Unrecognized archive format");
    free(random.at);
}

TEST(a_class_outside_the_classes_and_names_that_are_no_files_are_refused)
{
    static const struct {
        const char *names;
        drmad_status st;
        const char *text;
    } cases[] = {{"pipe:curl http://x | cat", DRMAD_E_UNSAFE, "a URL or command"},
                 {"https://x/a-{0..3}.tar", DRMAD_E_UNSAFE, "download them"},
                 {"file:/etc/passwd", DRMAD_E_UNSAFE, "a URL or command"},
                 {"a-{3..1}.tar", DRMAD_E_CONFIG, "one range in braces"},
                 {"a-{0..3.tar", DRMAD_E_CONFIG, "one range in braces"},
                 {"a-{0..1}-{0..1}.tar", DRMAD_E_CONFIG, "one range in braces"},
                 {"a-{0..99999999}.tar", DRMAD_E_CONFIG, "more than 65536"},
                 {"a.tar,,b.tar", DRMAD_E_CONFIG, "an empty name"},
                 {"$(id).tar", DRMAD_E_IO, "$(id).tar: No such file"},
                 {"absent\n.tar", DRMAD_E_IO, "No such file"}};
    drmad_ctx *ctx = test_ctx();
    char dir[300];
    source_spec spec = spec_of("shards", "a.tar", NULL, 8);
    bytes b = good_shard(0, 4, false);
    dataset *d;

    snprintf(dir, sizeof dir, "%s", test_scratch());
    spec.dir = dir, spec.classes = 2;
    file_save(in(dir, "a.tar"), &b);
    CHECK_FAILS(ctx, open_kind(ctx, &spec, &d), DRMAD_E_DATA,
                "a.tar: set/0002.cls: class 2, expected 0 to 1");
    for (size_t i = 0; i < COUNT(cases); i++) {
        spec.train_rows = cases[i].names;
        CHECK_FAILS(ctx, open_kind(ctx, &spec, &d), cases[i].st, cases[i].text);
    }
}

/* ---- arrays in archives ---- */

static bytes small_npy(const char *descr, const char *dims, const void *data, size_t n)
{
    return npy(descr, "False", dims, data, n);
}

/* images u8 [3,2,2,3], labels, as a.npz and in the zip's two ways. */
static bytes good_npz(bool stored)
{
    static const uint8_t pixels[36] = {1, 2, 3};
    tar t = archive_open(true, stored);
    bytes x = small_npy("'|u1'", "(3, 2, 2, 3)", pixels, 36);
    bytes y = small_npy("'<i8'", "(3,)", (int64_t[]){0, 2, 1}, 24);

    member(&t, AE_IFREG, "images.npy", NULL, x.at, x.n);
    member(&t, AE_IFREG, "labels.npy", NULL, y.at, y.n);
    member(&t, AE_IFREG, "notes.txt", NULL, "x", 1);
    free(x.at), free(y.at);
    return archive_end(&t);
}

TEST(npz_and_safetensors_are_read_as_data)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300], path[400];
    source_spec spec = spec_of("npz", "images", NULL, 0);
    dataset *d, *test;

    snprintf(dir, sizeof dir, "%s", test_scratch());
    spec.file = path, spec.train_labels = "labels";
    for (int stored = 0; stored < 2; stored++) {
        bytes b = good_npz(stored);
        snprintf(path, sizeof path, "%s/%d.npz", dir, stored);
        file_save(path, &b);
        CHECK_OK(ctx, open_kind(ctx, &spec, &d));
        CHECK(d && d->n == 3 && d->classes == 3 && d->row.rank == 3 && d->labels[1] == 2);
        CHECK(d && ((uint8_t *)d->rows)[2] == 3);
        dataset_free(d);
    }
    spec.test_rows = "images", spec.test_labels = "labels";
    CHECK_OK(ctx, source_open(ctx, &spec, &d, &test));
    CHECK(test && test->n == 3);
    dataset_free(d), dataset_free(test);
    spec.test_rows = spec.test_labels = NULL;
    spec.train_rows = "x_train";
    CHECK_FAILS(ctx, open_kind(ctx, &spec, &d), DRMAD_E_DATA,
                "no array \"x_train\"; it holds images, labels");
    spec.train_rows = "images", spec.train_labels = "images";
    CHECK_FAILS(ctx, open_kind(ctx, &spec, &d), DRMAD_E_DATA,
                "npz: images: labels are u8 [3,2,2,3], expected one integer a row");

    const float rows[4] = {1, 2, 3, 4};
    const int32_t labels[2] = {1, 0};
    const st_tensor tensors[] = {{"x", F32, SHAPE(2, 2), rows}, {"y", I32, SHAPE(2), labels}};
    const st_file f = {.n = 2, .at = tensors};
    snprintf(path, sizeof path, "%s/a.safetensors", dir);
    CHECK_OK(ctx, safetensors_write(ctx, path, &f));
    spec.kind = "safetensors", spec.train_rows = "x", spec.train_labels = "y";
    CHECK_OK(ctx, open_kind(ctx, &spec, &d));
    CHECK(d && d->n == 2 && d->dtype == F32 && d->classes == 2 && ((float *)d->rows)[3] == 4);
    dataset_free(d);
    spec.train_rows = "z";
    CHECK_FAILS(ctx, open_kind(ctx, &spec, &d), DRMAD_E_DATA, "no tensor \"z\"");
}

static drmad_status parse_npz(drmad_ctx *ctx, const bytes *b, size_t n, size_t cap)
{
    static const char *const names[] = {"images", "labels"};
    array out[2];
    uint8_t *exact = malloc(n ? n : 1);
    const blob all = {.name = "x.npz", .at = exact, .size = n};

    if (!exact) abort();
    if (n) memcpy(exact, b->at, n);
    const drmad_status st = npz_parse(ctx, &all, cap, names, 2, out);
    for (int i = 0; i < 2; i++) array_free(ctx, &out[i]);
    free(exact);
    return st;
}

TEST(npz_files_that_are_cut_or_hostile_are_refused)
{
    static const struct {
        const char *name, *data;
        drmad_status st;
        const char *text;
    } cases[] = {{"archive/data.pkl", "x", DRMAD_E_UNSAFE, "can run code"},
                 {"../images.npy", "x", DRMAD_E_UNSAFE, "leads out"},
                 {"/images.npy", "x", DRMAD_E_UNSAFE, "leads out"},
                 {"images.npy", "x", DRMAD_E_DATA, "x.npz: images.npy: ends at byte 1"}};
    drmad_ctx *ctx = test_ctx();
    bytes b = good_npz(false);

    for (size_t n = 0; n < b.n; n += 3)
        if (parse_npz(ctx, &b, n, 1 << 20) != DRMAD_E_DATA)
            test_fail(__FILE__, __LINE__, "%zu of %zu bytes are enough", n, b.n);
    CHECK_OK(ctx, parse_npz(ctx, &b, b.n, 1 << 20));
    free(b.at);
    for (size_t i = 0; i < COUNT(cases); i++) {
        tar t = archive_open(true, false);
        member(&t, AE_IFREG, cases[i].name, NULL, cases[i].data, strlen(cases[i].data));
        b = archive_end(&t);
        CHECK_FAILS(ctx, parse_npz(ctx, &b, b.n, 1 << 20), cases[i].st, cases[i].text);
        free(b.at);
    }
}

TEST(a_zip_bomb_is_refused_at_the_cap)
{
    meter m = {0};
    drmad_ctx *ctx = drmad_ctx_new(meter_alloc, &m);
    tar t = archive_open(true, false);
    struct archive_entry *e = archive_entry_new();
    static const char zeros[1 << 16];

    archive_entry_set_pathname(e, "images.npy");
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_size(e, (la_int64_t)1 << 30);
    CHECK(archive_write_header(t.a, e) == ARCHIVE_OK);
    for (int i = 0; i < 1 << 14; i++) archive_write_data(t.a, zeros, sizeof zeros);
    archive_entry_free(e);
    bytes b = archive_end(&t);
    CHECK(b.n < (size_t)2 << 20);
    CHECK_FAILS(ctx, parse_npz(ctx, &b, b.n, 1 << 20), DRMAD_E_UNSAFE,
                "images.npy unpacks to more than the 1048576 bytes");
    CHECK(m.peak < (size_t)5 << 20);
    free(b.at);
    drmad_ctx_free(ctx);
    CHECK_INT(m.live, 0);
}

static drmad_status kind_body(drmad_ctx *ctx, void *arg)
{
    dataset *d;
    const drmad_status st = open_kind(ctx, arg, &d);

    dataset_free(d);
    return st;
}

TEST(shards_and_npz_survive_every_failing_allocation)
{
    char dir[300], path[400];
    source_spec spec = spec_of("shards", "a.tar", NULL, 8);
    bytes b = good_shard(0, 3, false), z = good_npz(false);

    snprintf(dir, sizeof dir, "%s", test_scratch());
    spec.dir = dir;
    file_save(in(dir, "a.tar"), &b);
    test_oom(kind_body, &spec);
    snprintf(path, sizeof path, "%s/a.npz", dir);
    file_save(path, &z);
    spec = spec_of("npz", "images", NULL, 0);
    spec.file = path, spec.train_labels = "labels";
    test_oom(kind_body, &spec);
}
