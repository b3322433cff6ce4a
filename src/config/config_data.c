/* Keys of `data` that must agree. What the files hold is the business of data/. */
#include "config/config_inside.h"

/* What a kind of data takes: y must be given, m may be, n must not. */
typedef struct data_needs {
    int kind;
    char dir, file, images, labels, size;
    bool pictures; /* crop, flip and jitter make sense */
    bool own_test;
} data_needs;

static const data_needs needs[] = {
    {CFG_DATA_MNIST, 'm', 'n', 'n', 'n', 'n', false, true},
    {CFG_DATA_IDX, 'm', 'n', 'y', 'y', 'n', true, false},
    {CFG_DATA_NPY, 'm', 'n', 'y', 'y', 'n', true, false},
    {CFG_DATA_SYNTHETIC_DIGITS, 'm', 'n', 'n', 'n', 'n', false, false},
    {CFG_DATA_CIFAR, 'y', 'n', 'n', 'n', 'm', true, true},
    {CFG_DATA_FOLDER, 'y', 'n', 'm', 'n', 'm', true, true},
    {CFG_DATA_SHARDS, 'm', 'n', 'y', 'n', 'm', true, false},
    {CFG_DATA_NPZ, 'm', 'y', 'y', 'y', 'n', true, false},
    {CFG_DATA_SAFETENSORS, 'm', 'y', 'y', 'y', 'n', true, false},
};

static const data_needs *needs_of(int kind)
{
    size_t i = 0;

    while (i + 1 < COUNT(needs) && needs[i].kind != kind) i++;
    return &needs[i];
}

bool config_own_test(int kind)
{
    return needs_of(kind)->own_test;
}

static drmad_status check_key(const config *c, const char *key, char need, bool given)
{
    drmad_status st;
    char *kind = NULL;

    if ((need != 'y' || given) && (need != 'n' || !given)) return DRMAD_OK;
    TRY(config_get(c, "data.kind", &kind));
    st = config_refuse(
        c, key, need == 'y' ? "must be given for data.kind %s" : "is not for data.kind %s", kind);
done:
    mem_free(c->ctx, kind);
    return st;
}

static drmad_status check_files(const config *c, const data_needs *n)
{
    const config_data *d = &c->set.data;
    const bool tests = d->test_images[0], labels = d->test_labels[0];
    drmad_status st = DRMAD_OK;

    TRY(check_key(c, "data.dir", n->dir, d->dir[0]));
    TRY(check_key(c, "data.file", n->file, d->file[0]));
    TRY(check_key(c, "data.images", n->images, d->images[0]));
    TRY(check_key(c, "data.labels", n->labels, d->labels[0]));
    if (n->images == 'n') TRY(check_key(c, "data.test_images", 'n', tests));
    if (n->labels == 'n') TRY(check_key(c, "data.test_labels", 'n', labels));
    if (n->labels == 'y' && tests != labels)
        st = config_refuse(c, tests ? "data.test_labels" : "data.test_images",
                           "test_images and test_labels must be given together");
done:
    return st;
}

/* Whether a training picture is varied at all. */
static const char *varied(const config_data *d)
{
    return d->crop != CFG_CROP_CENTER ? "data.crop"
           : d->flip                  ? "data.flip"
           : d->jitter.n > 0          ? "data.jitter"
                                      : NULL;
}

static drmad_status check_pictures(const config *c, const data_needs *n)
{
    const config_data *d = &c->set.data;
    const char *key = varied(d);
    drmad_status st = DRMAD_OK;

    TRY(check_key(c, "data.size", n->size, d->size > 0));
    if (!n->pictures && key) TRY(check_key(c, key, 'n', true));
    if (d->jitter.n != 0 && d->jitter.n != 3)
        TRY(config_refuse(c, "data.jitter",
                          "%d numbers; expected three: brightness, contrast and saturation",
                          (int)d->jitter.n));
    if (d->mean.n == 2)
        TRY(config_refuse(c, "data.mean", "2 numbers; expected one, or one a channel"));
    if (d->std.n == 2)
        TRY(config_refuse(c, "data.std", "2 numbers; expected one, or one a channel"));
    if (d->crop == CFG_CROP_RANDOM_RESIZED && d->crop_area == 0)
        st = config_refuse(c, "data.crop_area", "must be above 0");
done:
    return st;
}

drmad_status config_check_data(const config *c)
{
    const data_needs *n = needs_of(c->set.data.kind);
    drmad_status st = DRMAD_OK;

    TRY(check_files(c, n));
    TRY(check_pictures(c, n));
done:
    return st;
}
