/* Every file of tests/attacks gives the status and message that expect.tsv has for it. Run from
 * the project's root. */
#include "base/file.h"
#include "bytes.h"
#include "data/cifar.h"
#include "data/npz.h"
#include "data/safetensors.h"
#include "data/shards.h"

typedef drmad_status attack_fn(drmad_ctx *ctx, const char *path);

static drmad_status open_array(drmad_ctx *ctx, const char *path)
{
    array a = {0};
    const drmad_status st = array_read(ctx, path, &a);

    CHECK(a.data == NULL);
    array_free(ctx, &a);
    return st;
}

static drmad_status open_tensors(drmad_ctx *ctx, const char *path)
{
    st_file *f = NULL;
    const drmad_status st = safetensors_read(ctx, path, &f);

    CHECK(f == NULL);
    mem_free(ctx, f);
    return st;
}

static drmad_status open_npz(drmad_ctx *ctx, const char *path)
{
    static const char *const names[] = {"images", "labels"};
    array a[2];
    const drmad_status st = npz_read(ctx, path, 1 << 20, names, 2, a);

    CHECK(a[0].data == NULL && a[1].data == NULL);
    return st;
}

static drmad_status open_shard(drmad_ctx *ctx, const char *path)
{
    const shards_spec spec = {.names = path, .memory = 1 << 20};
    image_set *s = NULL;
    const drmad_status st = shards_list(ctx, &spec, &s);

    CHECK(s == NULL);
    image_set_free(s);
    return st;
}

static drmad_status open_image(drmad_ctx *ctx, const char *path)
{
    image_reader *r = NULL;
    image_work *w = NULL;
    uint8_t out[8 * 8 * IMAGE_CHANNELS];
    drmad_status st;
    image_size s;
    blob b = {0};

    TRY(image_reader_new(ctx, &r));
    TRY(image_work_new(ctx, r, &w));
    TRY(blob_load(ctx, path, IMAGE_BYTES_MAX, &b));
    TRY(image_begin(w, &b, &s));
    TRY(image_finish(w, &(image_box){0, 0, s.width, s.height}, false, 8, out));
done:
    blob_free(ctx, &b);
    image_work_free(w);
    image_reader_free(ctx, r);
    return st;
}

static drmad_status open_cifar(drmad_ctx *ctx, const char *path)
{
    array rows, labels;
    drmad_status st;
    blob b;

    cifar_empty(&rows, &labels);
    TRY(blob_load(ctx, path, 1 << 20, &b));
    st = cifar_parse(ctx, &b, false, &rows, &labels);
    blob_free(ctx, &b);
done:
    array_free(ctx, &rows);
    array_free(ctx, &labels);
    return st;
}

/* By the folder. */
static drmad_status open_attack(drmad_ctx *ctx, const char *path, const char *name)
{
    static const struct {
        const char *folder;
        attack_fn *open;
    } readers[] = {{"idx/", open_array},  {"npy/", open_array},   {"safetensors/", open_tensors},
                   {"npz/", open_npz},    {"shard/", open_shard}, {"image/", open_image},
                   {"cifar/", open_cifar}};

    for (size_t i = 0; i < COUNT(readers); i++)
        if (strncmp(name, readers[i].folder, strlen(readers[i].folder)) == 0)
            return readers[i].open(ctx, path);
    return DRMAD_OK;
}

TEST(every_attack_is_refused_as_expected)
{
    drmad_ctx *ctx = test_ctx();
    char *text = NULL, *rest;
    size_t size;
    int n = 0;

    CHECK_OK(ctx, file_read_all(ctx, "tests/attacks/expect.tsv", 1 << 20, &text, &size));
    if (!text) return;
    rest = text;
    for (char *line; (line = strsep(&rest, "\n")) && *line; n++) {
        const char *name = strsep(&line, "\t"), *status = strsep(&line, "\t");
        const bool unsafe = status && strcmp(status, "unsafe") == 0;
        CHECK_FAILS(ctx, open_attack(ctx, in("tests/attacks", name), name),
                    unsafe ? DRMAD_E_UNSAFE : DRMAD_E_DATA, line ? line : "a tab");
        CHECK(strstr(drmad_errmsg(ctx), name) != NULL); /* the message names the file */
    }
    CHECK(n >= 80);
    mem_free(ctx, text);
}
