/* Sets of pictures: folders, CIFAR's files, what is left out and what is refused. */
#include "base/file.h"
#include "darkroom.h"
#include "data/pictures.h"
#include <spng.h>
#include <sys/stat.h>
#include <unistd.h>

static char *root_of(char dir[300])
{
    snprintf(dir, 300, "%s", test_scratch());
    return dir;
}

static void text_save(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");

    if (!f || fputs(text, f) < 0 || fclose(f) != 0) abort();
}

static drmad_status open_one(drmad_ctx *ctx, const source_spec *s, dataset **out)
{
    dataset *test;
    const drmad_status st = source_open(ctx, s, out, &test);

    dataset_free(test);
    return st;
}

TEST(a_folder_of_classes_becomes_rows)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300];
    source_spec spec = spec_of("folder", root_of(dir), NULL, 16);
    dataset *d;

    folder_make(dir, 3, 4, 24);
    text_save(in(dir, "README"), "files beside the classes are passed over");
    text_save(in(dir, "c1/.hidden"), "too");
    CHECK_OK(ctx, open_one(ctx, &spec, &d));
    if (!d) return;
    CHECK(d->n == 12 && d->classes == 3 && d->width == 16 * 16 * 3 && d->dtype == U8);
    CHECK(d->row.rank == 3 && d->row.dim[0] == 16 && d->row.dim[2] == 3 && d->rows != NULL);
    for (int32_t i = 0; i < 12; i++) CHECK_INT(d->labels[i], i / 4);
    /* row 5 is c1/01.jpg: its middle square, at two thirds */
    photo p = photo_new(25, 24, 101);
    const uint8_t *row = (const uint8_t *)d->rows + 5 * d->width;
    double sum = 0;
    for (int y = 0; y < 16; y++)
        for (int x = 0; x < 16; x++)
            sum += abs(row[(16 * y + x) * 3] - p.rgb[((y * 3 + 1) / 2 * 25 + (x * 3 + 1) / 2) * 3]);
    CHECK(sum / 256 < 6);
    free(p.rgb);
    dataset_free(d);
}

TEST(a_set_decoded_when_it_is_needed_has_the_same_rows)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300];
    source_spec spec = spec_of("folder", root_of(dir), NULL, 16);
    dataset *all, *lazy;
    picture_work *w = NULL;
    uint8_t row[16 * 16 * 3];

    folder_make(dir, 2, 5, 30);
    spec.center = .875;
    CHECK_OK(ctx, open_one(ctx, &spec, &all));
    spec.memory = 10 * 768 - 1;
    CHECK_OK(ctx, open_one(ctx, &spec, &lazy));
    if (!all || !lazy) return;
    CHECK(all->rows != NULL && lazy->rows == NULL && lazy->n == 10);
    CHECK_STR(all->sha256, lazy->sha256);
    CHECK_OK(ctx, picture_work_new(ctx, lazy, &w));
    for (int32_t i = 0; i < 10; i++) {
        CHECK_OK(ctx, picture_row(w, &(picture_ask){.row = i}, row));
        CHECK(memcmp(row, (const uint8_t *)all->rows + i * 768, 768) == 0);
    }
    picture_work_free(w);
    dataset_free(all);
    dataset_free(lazy);
}

TEST(a_test_folder_has_the_classes_of_the_training_folder)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300], a[400], b[400];
    source_spec spec = spec_of("folder", a, b, 8);
    dataset *train, *test;

    snprintf(a, sizeof a, "%s/train", root_of(dir));
    snprintf(b, sizeof b, "%s/val", dir);
    folder_make(a, 3, 2, 9);
    folder_make(b, 3, 1, 9);
    CHECK(unlink(in(b, "c0/00.jpg")) == 0 && rmdir(in(b, "c0")) == 0);
    CHECK_OK(ctx, source_open(ctx, &spec, &train, &test));
    if (!train || !test) return;
    CHECK(test->n == 2 && test->classes == 3 && test->labels[0] == 1 && test->labels[1] == 2);
    dataset_free(train);
    dataset_free(test);

    CHECK(rename(in(b, "c1"), "/dev/null/x") != 0);
    CHECK(mkdir(in(b, "c9"), 0755) == 0);
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_DATA,
                "val/c9: a class that the training folder");
    CHECK(train == NULL && test == NULL);
}

TEST(bad_folders_are_refused_by_name)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300];
    source_spec spec = spec_of("folder", root_of(dir), NULL, 8);
    dataset *d;

    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_DATA, "no folders with pictures");
    folder_make(dir, 2, 2, 9);
    spec.size = -1;
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_CONFIG, "data.size");
    spec.size = 8;
    CHECK(mkdir(in(dir, "empty"), 0755) == 0);
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_DATA, "empty: a class without pictures");
    CHECK(rmdir(in(dir, "empty")) == 0);
    text_save(in(dir, "c1/notes.txt"), "x");
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_DATA, "c1/notes.txt: is not called .jpg");
    CHECK(unlink(in(dir, "c1/notes.txt")) == 0);
    text_save(in(dir, "c1/none.png"), "");
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_DATA, "c1/none.png: is empty");
    CHECK(unlink(in(dir, "c1/none.png")) == 0);
    CHECK(mkfifo(in(dir, "c1/pipe.jpg"), 0600) == 0);
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_DATA, "pipe.jpg: neither");
    CHECK(unlink(in(dir, "c1/pipe.jpg")) == 0);
    CHECK(symlink("/etc/passwd", in(dir, "c1/out.jpg")) == 0);
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_UNSAFE, "out.jpg: a symbolic link to /etc");
    CHECK(unlink(in(dir, "c1/out.jpg")) == 0);
    CHECK(symlink("..", in(dir, "c1/up")) == 0);
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_DATA, "folders deep");
    CHECK(unlink(in(dir, "c1/up")) == 0);
    CHECK(symlink("00.jpg", in(dir, "c1/again.jpg")) == 0);
    CHECK_OK(ctx, open_one(ctx, &spec, &d));
    CHECK(d && d->n == 5);
    dataset_free(d);
    spec.train_rows = in(dir, "absent");
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_DATA, "absent: No such file");
}

static void photo_save(const char *path, int32_t width, int32_t height)
{
    photo p = photo_new(width, height, 5);
    const bytes b = photo_jpeg(&p, (jpeg_kind){.quality = 90});

    file_save(path, &b);
    free(p.rgb);
}

TEST(pictures_of_one_size_need_no_size)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300], test_dir[400];
    source_spec spec = spec_of("folder", root_of(dir), NULL, 0), lazy;
    dataset *d, *test;

    CHECK(mkdir(in(dir, "a"), 0755) == 0 && mkdir(in(dir, "b"), 0755) == 0);
    photo_save(in(dir, "a/0.jpg"), 12, 12);
    photo_save(in(dir, "b/0.jpg"), 12, 12);
    CHECK_OK(ctx, open_one(ctx, &spec, &d));
    CHECK(d && d->n == 2 && d->row.dim[0] == 12 && d->width == 12 * 12 * 3);
    dataset_free(d);

    text_save(in(dir, "a/-.jpg"), "no picture"); /* before the good ones */
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_DATA, "a/-.jpg: no picture");
    spec.skip_bad = true;
    CHECK_OK(ctx, open_one(ctx, &spec, &d));
    CHECK(d && d->n == 2 && d->row.dim[0] == 12);
    dataset_free(d);

    snprintf(test_dir, sizeof test_dir, "%s-test", dir);
    CHECK(mkdir(test_dir, 0755) == 0 && mkdir(in(test_dir, "a"), 0755) == 0);
    photo_save(in(test_dir, "a/0.jpg"), 13, 13);
    spec.test_rows = test_dir;
    CHECK_FAILS(ctx, source_open(ctx, &spec, &d, &test), DRMAD_E_DATA, "expected u8 [12,12,3]");
    spec.test_rows = NULL;

    photo_save(in(dir, "b/1.jpg"), 14, 12); /* not a bad picture: it is not left out */
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_CONFIG,
                "b/1.jpg: 14x12 pixels where others have 12x12; set data.size");
    lazy = spec;
    lazy.originals = true;
    CHECK_OK(ctx, open_one(ctx, &lazy, &d));
    dataset_free(d);
    photo_save(in(dir, "a/-.jpg"), 14, 12);
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_CONFIG, "a/-.jpg: 14x12 pixels; set data");
}

TEST(bad_pictures_are_an_error_or_are_left_out_and_counted)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300];
    source_spec spec = spec_of("folder", root_of(dir), NULL, 8);
    dataset *d;

    folder_make(dir, 2, 80, 9); /* more than one tile */
    text_save(in(dir, "c0/07.jpg"), "no picture");
    text_save(in(dir, "c1/71.jpg"), "\xff\xd8\xff\xe0 cut");
    text_save(in(dir, "c1/notes.txt"), "by its name");
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_DATA, "c1/notes.txt");
    CHECK(unlink(in(dir, "c1/notes.txt")) == 0);
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_DATA, "c0/07.jpg: no picture that is known");
    text_save(in(dir, "c1/notes.txt"), "by its name");
    spec.skip_bad = true;
    CHECK_OK(ctx, open_one(ctx, &spec, &d));
    if (!d) return;
    CHECK(d->n == 158 && d->bad == 3 && d->labels[78] == 0 && d->labels[79] == 1);
    dataset_free(d);
    for (int i = 0; i < 160; i++) {
        char name[32];
        snprintf(name, sizeof name, "c%d/%02d.jpg", i / 80, i % 80);
        text_save(in(dir, name), "no picture");
    }
    CHECK_FAILS(ctx, open_one(ctx, &spec, &d), DRMAD_E_DATA, "no picture is left");
}

TEST(a_png_under_a_jpegs_name_is_read)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300];
    source_spec spec = spec_of("folder", root_of(dir), NULL, 8);
    photo p = photo_new(8, 8, 1);
    const bytes b = photo_png(&p, SPNG_COLOR_TYPE_TRUECOLOR, 8);
    dataset *d;

    folder_make(dir, 2, 1, 9);
    file_save(in(dir, "c0/00.jpg"), &b);
    CHECK_OK(ctx, open_one(ctx, &spec, &d));
    CHECK(d && memcmp(d->rows, p.rgb, 8 * 8 * 3) == 0);
    dataset_free(d);
    free(p.rgb);
}

/* n records with labels 0, 1, ...; kind 10 or 100. */
static void cifar_file(const char *path, int kind, int n, int label)
{
    bytes b = {0};

    for (int i = 0; i < n; i++) {
        if (kind == 100) put_byte(&b, 3);
        put_byte(&b, label >= 0 ? (unsigned)label : (unsigned)(i % kind));
        put_random(&b, 3072, (uint64_t)i);
    }
    file_save(path, &b);
}

TEST(cifar_is_read_from_its_binary_files)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300], name[32];
    source_spec spec = {.kind = "cifar", .dir = root_of(dir)};
    dataset *train, *test;

    for (int i = 1; i <= 5; i++) {
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        cifar_file(in(dir, name), 10, 7, -1);
    }
    CHECK_OK(ctx, source_open(ctx, &spec, &train, &test));
    CHECK(train && train->n == 35 && train->classes == 10 && test == NULL);
    if (!train) return;
    CHECK_STR(train->name, "cifar10/train");
    CHECK(train->row.rank == 3 && train->row.dim[0] == 32 && train->labels[8] == 1);
    const uint8_t *p = train->rows;
    for (uint64_t c = 0; c < 3; c++) /* red, green, blue of the second pixel */
        CHECK_INT(p[3 + c], (uint8_t)rng_u64((rng_key){0, 0, 0}, 1024 * c + 1));
    dataset_free(train);
    cifar_file(in(dir, "test_batch.bin"), 10, 3, -1);
    CHECK_OK(ctx, source_open(ctx, &spec, &train, &test));
    CHECK(test && test->n == 3);
    dataset_free(train), dataset_free(test);

    cifar_file(in(dir, "data_batch_4.bin"), 10, 2, 10);
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_DATA,
                "data_batch_4.bin: byte 0: label 10, expected 0 to 9");
    text_save(in(dir, "data_batch_4.bin"), "cut");
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_DATA,
                "data_batch_4.bin: 3 bytes, expected a multiple of 3073");
    CHECK(unlink(in(dir, "data_batch_4.bin")) == 0);
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_IO, "data_batch_4.bin");
    CHECK(train == NULL && test == NULL);
}

TEST(cifar_100_and_its_python_version)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300];
    source_spec spec = {.kind = "cifar", .dir = root_of(dir)};
    dataset *train, *test;

    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_DATA, "data_batch_1.bin");
    text_save(in(dir, "data_batch_1"), "\x80\2");
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_UNSAFE,
                "get the binary version");
    cifar_file(in(dir, "train.bin"), 100, 120, -1);
    cifar_file(in(dir, "test.bin"), 100, 5, -1);
    CHECK_OK(ctx, source_open(ctx, &spec, &train, &test));
    if (!train || !test) return;
    CHECK(train->n == 120 && train->classes == 100 && train->labels[101] == 1 && test->n == 5);
    dataset_free(train), dataset_free(test);
    spec.size = 64;
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_CONFIG, "32 x 32");
}

TEST(the_real_image_folder_is_read_and_the_real_photographs)
{
    drmad_ctx *ctx = test_ctx();
    char dir[300], a[400], b[400];
    source_spec spec = spec_of("folder", a, b, 32);
    dataset *train, *test;
    double sum = 0;

    drmad_ctx_set_threads(ctx, 2);
    tar_unpack("cifar10-imagefolder.tar", root_of(dir));
    snprintf(a, sizeof a, "%s/c10/train", dir);
    snprintf(b, sizeof b, "%s/c10/val", dir);
    CHECK_OK(ctx, source_open(ctx, &spec, &train, &test));
    if (!train || !test) return;
    CHECK(train->n == 5000 && test->n == 1000 && train->classes == 10 && train->bad == 0);
    for (int64_t i = 0; i < train->n * train->width; i++) sum += ((uint8_t *)train->rows)[i];
    CHECK_NEAR(sum / 255 / (double)(train->n * train->width), .4734, .005); /* CIFAR-10's mean */
    dataset_free(train), dataset_free(test);

    tar_unpack("imagenet-samples.tar", dir);
    snprintf(a, sizeof a, "%s/imagenet-samples/val", dir);
    spec.test_rows = NULL, spec.size = 64;
    CHECK_OK(ctx, source_open(ctx, &spec, &train, &test));
    CHECK(train && train->n == 100 && train->classes == 100);
    dataset_free(train);
}

static drmad_status folder_body(drmad_ctx *ctx, void *arg)
{
    dataset *d, *test;
    const drmad_status st = source_open(ctx, arg, &d, &test);

    dataset_free(d);
    dataset_free(test);
    return st;
}

TEST(folders_and_cifar_survive_every_failing_allocation)
{
    char dir[300];
    source_spec spec = spec_of("folder", root_of(dir), dir, 8);
    source_spec cifar = {.kind = "cifar", .dir = dir};

    folder_make(dir, 2, 2, 9);
    test_oom(folder_body, &spec);
    spec.memory = 1;
    test_oom(folder_body, &spec);
    cifar_file(in(dir, "train.bin"), 100, 2, -1);
    test_oom(folder_body, &cifar);
}
