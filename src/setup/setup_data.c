/* The data keys of a study -> data sets. */
#include "base/machine.h"
#include "data/pictures.h"
#include "setup/setup_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool dir_has(const char *dir, const char *file)
{
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (access(path, R_OK) == 0) return true;
    snprintf(path, sizeof path, "%s/%s.gz", dir, file);
    return access(path, R_OK) == 0;
}

/* Where MNIST is: data.dir, else DRMAD_DATA or its mnist folder, else where `drmad data get` puts
 * it. */
static drmad_status mnist_folder(drmad_ctx *ctx, const char *dir, char *out, size_t size)
{
    static const char first[] = "train-images-idx3-ubyte";
    const char *env = getenv("DRMAD_DATA"), *home = getenv("HOME"), *xdg = getenv("XDG_DATA_HOME");

    snprintf(out, size, "%s", dir);
    if (dir[0]) return DRMAD_OK;
    if (env) {
        snprintf(out, size, "%s/mnist", env);
        if (dir_has(out, first)) return DRMAD_OK;
        snprintf(out, size, "%s", env);
        if (dir_has(out, first)) return DRMAD_OK;
    }
    if (xdg) snprintf(out, size, "%s/drmad/mnist", xdg);
    else snprintf(out, size, "%s/.local/share/drmad/mnist", home ? home : "");
    if (dir_has(out, first)) return DRMAD_OK;
    return FAIL(ctx, DRMAD_E_DATA,
                "no MNIST in data.dir, in DRMAD_DATA or in %s; get it with `drmad data get mnist`, "
                "or draw digits with "
                "data.kind=synthetic-digits",
                out);
}

/* Whether both name the same examples before they are shared out. */
static bool same_source(const config_study *a, const config_study *b)
{
    const config_data *x = &a->data, *y = &b->data;
    const char *const of_x[] = {x->dir,    x->file,        x->images,
                                x->labels, x->test_images, x->test_labels};
    const char *const of_y[] = {y->dir,    y->file,        y->images,
                                y->labels, y->test_images, y->test_labels};
    bool same = x->kind == y->kind && x->classes == y->classes && x->size == y->size &&
                x->center == y->center && x->bad_images == y->bad_images &&
                x->memory == y->memory &&
                (x->crop == CFG_CROP_RANDOM_RESIZED) == (y->crop == CFG_CROP_RANDOM_RESIZED);

    for (size_t i = 0; i < COUNT(of_x); i++) same = same && strcmp(of_x[i], of_y[i]) == 0;
    if (x->kind != CFG_DATA_SYNTHETIC_DIGITS) return same;
    return same && x->split_seed == y->split_seed && x->train == y->train && x->valid == y->valid &&
           x->test == y->test;
}

bool setup_borrow_data(setup *s)
{
    const setup *lender = s->lender;

    if (!lender || lender->model || !same_source(&s->cfg->set, &lender->cfg->set)) return false;
    s->train_data = lender->train_data;
    s->test_data = lender->test_data;
    s->data_name = lender->data_name;
    s->data_sha256 = lender->data_sha256;
    s->lent = true;
    return true;
}

enum { PATH_SIZE = 4096 };

/* What a study names, as paths. */
typedef struct places {
    char dir[PATH_SIZE], at[5][PATH_SIZE]; /* images, labels, those of the test set, file */
} places;

static void join(const char *dir, const char *name, char *out)
{
    const bool below = dir[0] && name[0] && name[0] != '/';

    snprintf(out, PATH_SIZE, "%s%s%s", below ? dir : "", below ? "/" : "", name);
}

static bool is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* The training folder and that of the test set, "" for none, where the study does not name them. */
static void find_folders(const config_data *d, places *p)
{
    static const char *const tests[] = {"val", "test"};

    if (!d->images[0]) {
        join(d->dir, "train", p->at[0]);
        if (!is_folder(p->at[0])) {
            snprintf(p->at[0], PATH_SIZE, "%s", d->dir);
            return;
        }
    }
    for (size_t i = 0; i < COUNT(tests) && !p->at[2][0] && !d->images[0]; i++) {
        join(d->dir, tests[i], p->at[2]);
        if (!is_folder(p->at[2])) p->at[2][0] = '\0';
    }
}

static const char *const source_names[] = {[CFG_DATA_MNIST] = "mnist",
                                           [CFG_DATA_IDX] = "files",
                                           [CFG_DATA_NPY] = "files",
                                           [CFG_DATA_SYNTHETIC_DIGITS] = "synthetic-digits",
                                           [CFG_DATA_CIFAR] = "cifar",
                                           [CFG_DATA_FOLDER] = "folder",
                                           [CFG_DATA_SHARDS] = "shards",
                                           [CFG_DATA_NPZ] = "npz",
                                           [CFG_DATA_SAFETENSORS] = "safetensors"};

static drmad_status find_places(const setup *s, places *p)
{
    const config_data *d = &s->cfg->set.data;
    const char *name[] = {d->images, d->labels, d->test_images, d->test_labels, d->file};
    const bool inside = d->kind == CFG_DATA_NPZ || d->kind == CFG_DATA_SAFETENSORS ||
                        d->kind == CFG_DATA_SHARDS; /* names in a file, or a list */

    snprintf(p->dir, PATH_SIZE, "%s", d->dir);
    for (int i = 0; i < 5; i++) join(inside && i < 4 ? "" : d->dir, name[i], p->at[i]);
    if (d->kind == CFG_DATA_FOLDER) find_folders(d, p);
    return d->kind == CFG_DATA_MNIST ? mnist_folder(s->ctx, d->dir, p->dir, PATH_SIZE) : DRMAD_OK;
}

static const char *given(const char *text)
{
    return text[0] ? text : NULL;
}

drmad_status setup_open_data(setup *s, bool survey)
{
    const config_data *d = &s->cfg->set.data;
    const int64_t memory = d->memory > 0 ? d->memory : machine_memory() / 4;
    source_spec spec = {.kind = source_names[d->kind],
                        .seed = (uint64_t)d->split_seed,
                        .train_n = d->train + d->valid,
                        .test_n = d->test,
                        .classes = (int32_t)d->classes,
                        .size = (int32_t)d->size,
                        .center = d->center,
                        .memory = (size_t)memory,
                        .originals = survey || d->crop == CFG_CROP_RANDOM_RESIZED,
                        .skip_bad = survey || d->bad_images == CFG_BAD_SKIP};
    places *p = NULL;
    drmad_status st;

    TRY(mem_alloc(s->ctx, 1, sizeof *p, &p));
    TRY(find_places(s, p));
    spec.dir = given(p->dir), spec.file = given(p->at[4]);
    spec.train_rows = given(p->at[0]), spec.train_labels = given(p->at[1]);
    spec.test_rows = given(p->at[2]), spec.test_labels = given(p->at[3]);
    TRY(source_open(s->ctx, &spec, &s->train_data, &s->test_data));
    s->data_name = s->train_data->name;
    s->data_sha256 = s->train_data->sha256;
done:
    mem_free(s->ctx, p);
    return st;
}

/* Augmentation works on squares of three bytes a pixel. */
static bool is_picture(const dataset *d)
{
    return d->dtype == U8 && d->row.rank == 3 && d->row.dim[0] == d->row.dim[1] &&
           d->row.dim[2] == IMAGE_CHANNELS;
}

static drmad_status read_augment(setup *s)
{
    static const image_crop crops[] = {[CFG_CROP_CENTER] = CROP_CENTER,
                                       [CFG_CROP_RANDOM] = CROP_RANDOM,
                                       [CFG_CROP_RANDOM_RESIZED] = CROP_RANDOM_RESIZED};
    const config_data *d = &s->cfg->set.data;
    const bool jitter = d->jitter.n == 3;
    char text[96];

    s->augment = (augment){.crop = crops[d->crop],
                           .pad = (int32_t)d->pad,
                           .least = d->crop_area,
                           .flip = d->flip,
                           .brightness = jitter ? d->jitter.at[0] : 0,
                           .contrast = jitter ? d->jitter.at[1] : 0,
                           .saturation = jitter ? d->jitter.at[2] : 0};
    s->spec.augment = augment_any(&s->augment) ? &s->augment : NULL;
    if (!s->spec.augment || is_picture(s->train_data)) return DRMAD_OK;
    return config_refuse(s->cfg, "data.crop",
                         "crop, flip and jitter are for u8 [side,side,3]; a row of %s is %s %s",
                         s->train_data->name, dtype_name(s->train_data->dtype),
                         shape_print(&s->train_data->row, text, sizeof text));
}

/* Mean and deviation a channel; one number is for all of them. */
drmad_status setup_channels(setup *s)
{
    const config_data *d = &s->cfg->set.data;
    const shape *row = &s->train_data->row;
    const int64_t last = row->rank == 3 ? row->dim[2] : 1;
    const int32_t n = d->mean.n > d->std.n ? d->mean.n : d->std.n;

    if (n == 0) return DRMAD_OK;
    s->channels = n > 1 || last <= NN_CHANNELS_MAX ? (int32_t)last : 1;
    if (n > 1 && n != last)
        return config_refuse(s->cfg, d->mean.n > 1 ? "data.mean" : "data.std",
                             "%d numbers; %s has %lld channels", (int)n, s->train_data->name,
                             (long long)last);
    for (int32_t i = 0; i < s->channels; i++) {
        s->mean[i] = d->mean.n == 0 ? 0 : d->mean.at[d->mean.n == 1 ? 0 : i];
        s->deviation[i] = d->std.n == 0 ? 1 : d->std.at[d->std.n == 1 ? 0 : i];
    }
    return DRMAD_OK;
}

drmad_status setup_feed(setup *s)
{
    const config_data *d = &s->cfg->set.data;
    const int threads = drmad_ctx_threads(s->ctx);
    const feed_spec spec = {.workers = d->workers < 0 ? threads : (int32_t)d->workers,
                            .ahead = (int32_t)d->ahead,
                            .skip_bad = d->bad_images == CFG_BAD_SKIP};
    drmad_status st;

    TRY(read_augment(s));
    TRY(setup_channels(s));
    if (s->spec.augment || !s->train_data->rows || (s->test_data && !s->test_data->rows))
        st = feed_new(s->ctx, &spec, &s->feed);
done:
    return st;
}

examples setup_examples(const setup *s, int part)
{
    const split_part *p = &s->split->part[part];
    const dataset *d = p->data ? p->data : s->train_data;
    examples e = {.rows = d->rows,
                  .type = d->dtype,
                  .n = d->n,
                  .width = d->width,
                  .scale = s->cfg->set.data.scale,
                  .channels = s->channels,
                  .feed = s->feed,
                  .data = d,
                  .list = p->index,
                  .labels = p->labels,
                  .count = p->n};

    memcpy(e.mean, s->mean, sizeof e.mean);
    memcpy(e.deviation, s->deviation, sizeof e.deviation);
    return e;
}

size_t setup_data_bytes(const setup *s)
{
    const dataset *const of[] = {s->train_data, s->test_data};
    const feed_stream batch = {.data = s->train_data, .batch = (int32_t)s->spec.batch};
    size_t n = s->feed ? feed_bytes(s->feed, &batch) : 0;

    for (int i = 0; i < 2; i++) {
        if (!of[i]) continue;
        if (of[i]->rows) n += (size_t)(of[i]->n * of[i]->width) * dtype_size(of[i]->dtype);
        else n += image_set_bytes(of[i]->pictures->set);
    }
    return n;
}

drmad_status setup_survey(drmad_ctx *ctx, const config *cfg, setup **out)
{
    drmad_status st;
    setup *s = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    s->ctx = ctx;
    s->cfg = cfg;
    TRY(drmad_ctx_set_threads(ctx, (int)cfg->set.threads));
    TRY(setup_open_data(s, true));
    TRY(read_augment(s));
    *out = s, s = NULL;
done:
    setup_free(s);
    return st;
}
