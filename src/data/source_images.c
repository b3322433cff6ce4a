/* Sources of pictures in files of their own: folders, shards. */
#include "data/pictures.h"
#include "data/shards.h"

/* ---- folders and shards ---- */

/* Takes both sets. */
static drmad_status open_sets(drmad_ctx *ctx, const source_spec *s, image_set *first,
                              image_set *second, dataset **out[2])
{
    drmad_status st = pictures_new(ctx, s->train_rows, s, first, out[0]);

    if (st != DRMAD_OK || !second) {
        image_set_free(second);
        return st;
    }
    st = pictures_new(ctx, s->test_rows, s, second, out[1]);
    return st == DRMAD_OK ? source_check_pair(ctx, *out[0], *out[1]) : st;
}

static drmad_status open_folder(drmad_ctx *ctx, const source_spec *s, dataset **train,
                                dataset **test)
{
    image_set *first = NULL, *second = NULL;
    drmad_status st;

    if (!s->train_rows)
        return FAIL(ctx, DRMAD_E_CONFIG, "data source folder: expected the folder of training");
    TRY(folder_list(ctx, s->train_rows, NULL, s->skip_bad, &first));
    if (s->classes > 0 && s->classes != first->class_count)
        TRY(FAIL(ctx, DRMAD_E_CONFIG, "data.classes: %d; %s has %d folders", s->classes,
                 s->train_rows, first->class_count));
    if (s->test_rows) TRY(folder_list(ctx, s->test_rows, first, s->skip_bad, &second));
    return open_sets(ctx, s, first, second, (dataset * *[]){train, test});
done:
    image_set_free(first);
    image_set_free(second);
    return st;
}

const source source_folder = {"folder", open_folder};

static drmad_status open_shards(drmad_ctx *ctx, const source_spec *s, dataset **train,
                                dataset **test)
{
    image_set *first = NULL, *second = NULL;
    shards_spec spec;
    drmad_status st;

    if (!s->train_rows)
        return FAIL(ctx, DRMAD_E_CONFIG, "data source shards: expected those of training");
    spec = (shards_spec){s->train_rows, s->dir, s->classes, s->memory, s->skip_bad};
    TRY(shards_list(ctx, &spec, &first));
    spec.names = s->test_rows, spec.classes = first->class_count;
    if (s->test_rows) TRY(shards_list(ctx, &spec, &second));
    return open_sets(ctx, s, first, second, (dataset * *[]){train, test});
done:
    image_set_free(first);
    image_set_free(second);
    return st;
}

const source source_shards = {"shards", open_shards};
