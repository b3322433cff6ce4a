/* Studies on pictures: what the feed hands to a run, its walk back and its evaluations. */
#include "desk.h"
#include <unistd.h>

/* Ten pictures a class of the real folder, 8 x 8: a study of 16 steps on them. */
static void pictures_open(desk *d)
{
    char command[1400];

    desk_open(d);
    snprintf(command, sizeof command, "tar -xf '%s' -C '%s' --wildcards '*/000[0-9].jpg'",
             test_data("cifar10-imagefolder.tar"), d->folder);
    if (system(command) != 0) test_fail(__FILE__, __LINE__, "%s", command);
}

#define PICTURES                                                                                   \
    "data.kind=folder", dir, "data.size=8", "data.train=60", "data.valid=40", "data.test=rest",    \
        "train.steps=16"
#define VARIED                                                                                     \
    "data.crop=random-resized", "data.crop_area=0.3", "data.flip=true", "data.jitter=[.3, .3, .3]"

static const char *dir_of(const desk *d, char dir[400])
{
    snprintf(dir, 400, "data.dir=%s/c10", d->folder);
    return dir;
}

static drmad_status call_check(drmad_study *s)
{
    return drmad_study_check(s);
}

static drmad_status call_dry_run(drmad_study *s)
{
    return drmad_study_dry_run(s);
}

TEST(a_walk_back_meets_the_pictures_of_the_run)
{
    char dir[400];
    desk d;

    pictures_open(&d);
    dir_of(&d, dir);
    /* in double, against forward mode and differences */
    CHECK_OK(d.ctx, DESK_RUN(&d, "c", call_check, PICTURES, VARIED));
    CHECK_NEAR(desk_number(&d, "wrong"), 0, 0);
    CHECK_OK(d.ctx, DESK_RUN(&d, "full", desk_tune, PICTURES, VARIED));
    CHECK_OK(d.ctx, DESK_RUN(&d, "replay", desk_tune, PICTURES, VARIED, "trajectory.kind=replay"));
    size_t a, b;
    char *x = desk_read(&d, "full", "hyperparameters.safetensors", &a);
    char *y = desk_read(&d, "replay", "hyperparameters.safetensors", &b);
    CHECK(x && y && a == b && memcmp(x, y, a) == 0);
    free(x), free(y);
    desk_close(&d);
}

TEST(a_study_on_pictures_has_the_same_bits_whoever_decodes_and_however_much_is_kept)
{
    char dir[400];
    desk d;

    pictures_open(&d);
    dir_of(&d, dir);
    CHECK_OK(d.ctx, DESK_RUN(&d, "a", desk_tune, PICTURES, VARIED, "threads=1"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "b", desk_tune, PICTURES, VARIED, "threads=3", "data.ahead=7"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "c", desk_tune, PICTURES, VARIED, "data.workers=0"));
    desk_same(&d, "a", "b");
    desk_same(&d, "a", "c");
    /* moved and mirrored squares: from rows in memory, or decoded each time */
    CHECK_OK(d.ctx, DESK_RUN(&d, "kept", desk_tune, PICTURES, "data.crop=random", "data.pad=2",
                             "data.flip=true", "data.size=64"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "files", desk_tune, PICTURES, "data.crop=random", "data.pad=2",
                             "data.flip=true", "data.size=64", "data.memory=1MiB"));
    desk_same(&d, "kept", "files");
    /* nothing varied */
    CHECK_OK(d.ctx, DESK_RUN(&d, "plain", desk_tune, PICTURES, "data.size=64"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "fed", desk_tune, PICTURES, "data.size=64", "data.memory=1MiB"));
    desk_same(&d, "plain", "fed");
    desk_close(&d);
}

TEST(a_cut_study_on_pictures_goes_on_with_the_same_pictures)
{
    char dir[400];
    desk d;

    pictures_open(&d);
    dir_of(&d, dir);
    CHECK_OK(d.ctx, DESK_RUN(&d, "whole", desk_tune, PICTURES, VARIED));
    d.at = d.events - 5, d.events = 0, d.signal = 15;
    CHECK_INT(DESK_RUN(&d, "cut", desk_tune, PICTURES, VARIED), DRMAD_E_TERMINATED);
    d.at = 0;
    CHECK_OK(d.ctx, DESK_RUN(&d, "cut", desk_resume, PICTURES, VARIED));
    desk_same(&d, "whole", "cut");
    desk_close(&d);
}

TEST(inputs_are_standardised_by_channel)
{
    char dir[400];
    desk d;

    pictures_open(&d);
    dir_of(&d, dir);
    /* (x / 255 - m) / s with s = 1/2 is 2 x / 255 - 2 m: scale and bias, so at m = 0 a scale */
    CHECK_OK(d.ctx, DESK_RUN(&d, "a", desk_train, PICTURES, "data.std=[0.5]"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "b", desk_train, PICTURES, "data.scale=0.0078431372549019607"));
    size_t n[2];
    float *x = (float *)desk_read(&d, "a", "weights.safetensors", &n[0]);
    float *y = (float *)desk_read(&d, "b", "weights.safetensors", &n[1]);
    CHECK(x && y && n[0] == n[1] && memcmp(x, y, 8) == 0);
    for (size_t i = n[0] / 8; x && y && i < n[0] / 4; i++) CHECK_NEAR(x[i], y[i], 1e-5);
    free(x), free(y);
    CHECK_FAILS(d.ctx,
                DESK_RUN(&d, "e", desk_train, PICTURES, "data.mean=[1, 2, 3]", "data.size=8",
                         "data.kind=synthetic-digits", "data.dir=", "data.size=auto",
                         "data.test=10"),
                DRMAD_E_CONFIG, "data.mean: 3 numbers");
    desk_close(&d);
}

TEST(bad_pictures_end_a_study_by_name_or_are_counted)
{
    char dir[400], path[500];
    desk d;

    pictures_open(&d);
    dir_of(&d, dir);
    snprintf(path, sizeof path, "%s/c10/train/dog/0003.jpg", d.folder);
    CHECK(truncate(path, 300) == 0);
    CHECK_FAILS(d.ctx, DESK_RUN(&d, "a", desk_tune, PICTURES, VARIED), DRMAD_E_DATA,
                "train/dog/0003.jpg: damaged JPEG");
    CHECK_OK(d.ctx, DESK_RUN(&d, "b", desk_tune, PICTURES, VARIED, "data.bad_images=skip"));
    CHECK_NEAR(desk_number(&d, "bad_pictures"), 1, 0);
    CHECK(strstr(d.log, "dog/0003.jpg") && strstr(d.text, "1 picture"));
    CHECK_OK(d.ctx,
             DESK_RUN(&d, "c", desk_tune, PICTURES, "data.bad_images=skip", "data.train=59"));
    CHECK_NEAR(desk_number(&d, "bad_pictures"), 1, 0);
    desk_close(&d);
}

TEST(a_dry_run_looks_at_the_pictures_and_counts_the_feed)
{
    char dir[400];
    desk d;

    pictures_open(&d);
    dir_of(&d, dir);
    CHECK_OK(d.ctx, DESK_RUN(&d, "a", call_dry_run, PICTURES, VARIED));
    CHECK(desk_number(&d, "step_seconds") > 0 && strstr(d.text, "pictures"));
    const double bytes = desk_number(&d, "peak_bytes");
    CHECK_OK(d.ctx, DESK_RUN(&d, "b", call_dry_run, PICTURES, VARIED, "data.ahead=60"));
    CHECK(desk_number(&d, "peak_bytes") - bytes > 50 * 5 * 192);
    CHECK_FAILS(d.ctx, DESK_RUN(&d, "c", call_dry_run, PICTURES, "data.dir=/nowhere"), DRMAD_E_DATA,
                "/nowhere");
    desk_close(&d);
}
