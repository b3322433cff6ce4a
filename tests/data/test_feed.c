/* The feed: the same batches whoever decodes, whichever way they are asked for. */
#include "darkroom.h"
#include "data/feed.h"
#include "data/pictures.h"
#include <unistd.h>

enum { SIDE = 12, WIDTH = SIDE * SIDE * 3, BATCH = 5, STEPS = 9, ROWS = 24 };

static const augment varied = {.crop = CROP_RANDOM_RESIZED,
                               .least = .2,
                               .flip = true,
                               .brightness = .4,
                               .contrast = .4,
                               .saturation = .4};

typedef struct scene {
    drmad_ctx *ctx;
    char dir[300];
    dataset *data;
    int32_t list[ROWS];
    feed_stream train, eval;
} scene;

/* Two classes of 12 pictures in files, decoded when they are needed, in a list of its own order. */
static void scene_open(scene *s, drmad_ctx *ctx, bool skip)
{
    dataset *none;
    source_spec spec;

    s->ctx = ctx;
    snprintf(s->dir, sizeof s->dir, "%s", test_scratch());
    folder_make(s->dir, 2, ROWS / 2, 20);
    spec = spec_of("folder", s->dir, NULL, SIDE);
    spec.originals = true, spec.skip_bad = skip;
    CHECK_OK(ctx, source_open(ctx, &spec, &s->data, &none));
    for (int32_t i = 0; i < ROWS; i++) s->list[i] = (7 * i) % ROWS;
    s->train = (feed_stream){.data = s->data,
                             .list = s->list,
                             .count = ROWS,
                             .batch = BATCH,
                             .how = &varied,
                             .order = BATCH_SHUFFLE,
                             .steps = STEPS};
    s->eval = (feed_stream){.data = s->data,
                            .list = s->list,
                            .count = ROWS,
                            .batch = BATCH,
                            .all = true,
                            .steps = (ROWS + BATCH - 1) / BATCH};
}

static void spoil(const scene *s, const char *name)
{
    FILE *f = fopen(in(s->dir, name), "wb");

    if (!f || fputs("no picture", f) < 0 || fclose(f) != 0) abort();
}

/* All batches, asked for in the order of `steps`, to out by step. */
static drmad_status collect(scene *s, feed *f, const feed_stream *of, const int64_t *steps, int n,
                            uint8_t *out)
{
    drmad_status st = DRMAD_OK;
    feed_batch b;

    for (int i = 0; i < n; i++) {
        TRY(feed_take(f, of, 3, steps[i], &b));
        memcpy(out + steps[i] * BATCH * WIDTH, b.rows, BATCH * WIDTH);
    }
done:
    (void)s;
    return st;
}

TEST(batches_do_not_depend_on_threads_or_on_the_way_through_them)
{
    static const int64_t there[] = {0, 1, 2, 3, 4, 5, 6, 7, 8},
                         back[] = {8, 7, 6, 5, 4, 3, 2, 1, 0}, hops[] = {4, 0, 8, 1, 7, 5, 2, 6, 3};
    static const int64_t *const ways[] = {there, back, hops};
    static uint8_t first[STEPS * BATCH * WIDTH], out[STEPS * BATCH * WIDTH];
    scene s;
    feed *f;

    scene_open(&s, test_ctx(), false);
    for (int workers = 0; workers <= 4; workers += 2)
        for (int ahead = 1; ahead <= 6; ahead += 5)
            for (int w = 0; w < 3; w++) {
                const feed_spec spec = {.workers = workers, .ahead = ahead};
                CHECK_OK(s.ctx, feed_new(s.ctx, &spec, &f));
                memset(out, 1, sizeof out);
                CHECK_OK(s.ctx, collect(&s, f, &s.train, ways[w], STEPS, out));
                if (workers == 0 && ahead == 1 && w == 0) memcpy(first, out, sizeof out);
                CHECK(memcmp(first, out, sizeof out) == 0);
                CHECK_OK(s.ctx, collect(&s, f, &s.train, back, STEPS, out)); /* the walk back */
                CHECK(memcmp(first, out, sizeof out) == 0);
                feed_free(f);
            }
    dataset_free(s.data);
}

TEST(a_batch_is_what_its_examples_draw_alone)
{
    feed *f;
    feed_batch b;
    picture_work *w;
    uint8_t row[WIDTH];
    int32_t position[BATCH], differ = 0;
    scene s;

    scene_open(&s, test_ctx(), false);
    CHECK_OK(s.ctx, feed_new(s.ctx, &(feed_spec){.workers = 1, .ahead = 2}, &f));
    CHECK_OK(s.ctx, picture_work_new(s.ctx, s.data, &w));
    for (int64_t step = 0; step < 4; step++) {
        CHECK_OK(s.ctx, feed_take(f, &s.train, 3, step, &b));
        batch_indices(BATCH_SHUFFLE, 3, step, BATCH, ROWS, position);
        for (int j = 0; j < BATCH; j++) {
            const picture_ask ask = {&varied, 3, step, s.list[position[j]]};
            CHECK_INT(b.position[j], position[j]);
            CHECK_OK(s.ctx, picture_row(w, &ask, row));
            CHECK(memcmp(row, b.rows + j * WIDTH, WIDTH) == 0 && b.good[j]);
            CHECK_OK(s.ctx, picture_row(w, &(picture_ask){.row = ask.row}, row));
            differ += memcmp(row, b.rows + j * WIDTH, WIDTH) != 0;
        }
    }
    CHECK_INT(differ, 4 * BATCH); /* something is varied in each */
    picture_work_free(w);
    feed_free(f);
    dataset_free(s.data);
}

TEST(evaluation_visits_each_example_once_and_pads_the_last_batch)
{
    feed *f;
    feed_batch b;
    int32_t seen = 0;
    scene s;

    scene_open(&s, test_ctx(), false);
    CHECK_OK(s.ctx, feed_new(s.ctx, &(feed_spec){.workers = 2, .ahead = 3}, &f));
    for (int64_t k = 0; k < s.eval.steps; k++) {
        CHECK_OK(s.ctx, feed_take(f, &s.eval, 0, k, &b));
        for (int j = 0; j < BATCH; j++) {
            CHECK_INT(b.good[j], k * BATCH + j < ROWS);
            if (b.good[j]) CHECK_INT(b.position[j], seen++);
        }
    }
    CHECK_INT(seen, ROWS);
    feed_free(f);
    dataset_free(s.data);
}

TEST(a_bad_picture_is_a_typed_error_with_its_name)
{
    feed *f;
    feed_batch b;
    scene s;

    scene_open(&s, test_ctx(), false);
    spoil(&s, "c0/05.jpg");                     /* row 5 is place 11 of the list: 7 * 11 mod 24 */
    CHECK(unlink(in(s.dir, "c1/00.jpg")) == 0); /* row 12, place 12 */
    for (int workers = 0; workers <= 2; workers += 2) {
        CHECK_OK(s.ctx, feed_new(s.ctx, &(feed_spec){.workers = workers, .ahead = 3}, &f));
        CHECK_OK(s.ctx, feed_take(f, &s.eval, 0, 0, &b));
        CHECK_OK(s.ctx, feed_take(f, &s.eval, 0, 1, &b));
        for (int again = 0; again < 2; again++)
            CHECK_FAILS(s.ctx, feed_take(f, &s.eval, 0, 2, &b), DRMAD_E_DATA,
                        "c0/05.jpg: no picture that is known here"); /* the first one of the two */
        CHECK_OK(s.ctx, feed_take(f, &s.eval, 0, 3, &b));
        feed_free(f);
    }
    dataset_free(s.data);
}

TEST(bad_pictures_are_replaced_in_training_and_left_out_of_evaluation)
{
    static uint8_t first[2][STEPS * BATCH * WIDTH], out[STEPS * BATCH * WIDTH];
    static const int64_t there[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    feed *f;
    feed_batch b;
    scene s;

    scene_open(&s, test_ctx(), true);
    spoil(&s, "c0/05.jpg");                     /* place 11 */
    CHECK(unlink(in(s.dir, "c1/00.jpg")) == 0); /* place 12: row 12 */
    for (int workers = 0; workers <= 2; workers++) {
        int32_t good = 0;
        CHECK_OK(s.ctx, feed_new(s.ctx, &(feed_spec){workers, 2, true}, &f));
        CHECK_OK(s.ctx, collect(&s, f, &s.train, there, STEPS, out));
        if (workers == 0) memcpy(first[0], out, sizeof out);
        CHECK(memcmp(first[0], out, sizeof out) == 0);
        for (int64_t step = 0; step < STEPS; step++) {
            CHECK_OK(s.ctx, feed_take(f, &s.train, 3, step, &b));
            for (int j = 0; j < BATCH; j++) CHECK(b.position[j] != 11 && b.position[j] != 12);
        }
        for (int64_t k = 0; k < s.eval.steps; k++) {
            CHECK_OK(s.ctx, feed_take(f, &s.eval, 0, k, &b));
            for (int j = 0; j < BATCH; j++) good += b.good[j];
        }
        CHECK_INT(good, ROWS - 2);
        CHECK_INT(feed_bad(f), 2);
        feed_free(f);
    }
    for (int i = 0; i < ROWS; i++) {
        char name[32];
        snprintf(name, sizeof name, "c%d/%02d.jpg", i / 12, i % 12);
        spoil(&s, name);
    }
    CHECK_OK(s.ctx, feed_new(s.ctx, &(feed_spec){2, 2, true}, &f));
    CHECK_FAILS(s.ctx, feed_take(f, &s.train, 3, 0, &b), DRMAD_E_DATA, "no picture that is known");
    feed_free(f);
    dataset_free(s.data);
}

TEST(a_feed_heeds_the_stop_and_forgets_what_was_lent)
{
    feed *f;
    feed_batch b;
    scene s;

    scene_open(&s, test_ctx(), false);
    CHECK_OK(s.ctx, feed_new(s.ctx, &(feed_spec){.workers = 2, .ahead = 4}, &f));
    CHECK_OK(s.ctx, feed_take(f, &s.train, 3, 0, &b));
    feed_forget(f); /* workers are in the middle of the next four */
    memset(s.list, 0x7f, sizeof s.list);
    for (int32_t i = 0; i < ROWS; i++) s.list[i] = i;
    CHECK_OK(s.ctx, feed_take(f, &s.train, 3, 1, &b));
    drmad_ctx_stop(s.ctx, 15);
    CHECK_INT(feed_take(f, &s.train, 3, 7, &b), DRMAD_E_TERMINATED);
    feed_free(f);
    dataset_free(s.data);
}

TEST(rows_in_memory_are_varied_too)
{
    static const augment shifts = {.crop = CROP_RANDOM, .pad = 2, .flip = true};
    const augment ways[] = {shifts, varied};
    drmad_ctx *ctx = test_ctx();
    array rows = {.dtype = U8, .shape = SHAPE(6, SIDE, SIDE, 3)},
          labels = {.dtype = I32, .shape = SHAPE(6)};
    const int32_t list[] = {0, 1, 2, 3, 4, 5};
    dataset *d;
    feed *f;
    feed_batch b;

    CHECK_OK(ctx, mem_alloc(ctx, 6, WIDTH, &rows.data));
    CHECK_OK(ctx, mem_alloc(ctx, 6, 4, &labels.data));
    for (int i = 0; i < 6 * WIDTH; i++)
        ((uint8_t *)rows.data)[i] = (uint8_t)(1 + rng_below((rng_key){1, 0, 0}, (uint64_t)i, 255));
    CHECK_OK(ctx, dataset_new(ctx, "x", &rows, &labels, 0, &d));
    CHECK_OK(ctx, feed_new(ctx, &(feed_spec){.workers = 1, .ahead = 1}, &f));
    for (int w = 0; w < 2; w++) {
        const feed_stream of = {.data = d,
                                .list = list,
                                .count = 6,
                                .batch = 3,
                                .how = &ways[w],
                                .order = BATCH_SEQUENTIAL,
                                .steps = 4};
        CHECK_OK(ctx, feed_take(f, &of, 9, 1, &b));
        for (int j = 0; w == 0 && j < 3; j++) { /* pixel by pixel, from the draw */
            const augment_draw a = augment_draw_at(&shifts, 9, 1, 3 + j, &(image_size){SIDE, SIDE});
            for (int y = 0; y < SIDE; y++)
                for (int x = 0; x < SIDE; x++) {
                    const int fx = (a.mirror ? SIDE - 1 - x : x) - a.dx, fy = y - a.dy;
                    const bool is = fx >= 0 && fx < SIDE && fy >= 0 && fy < SIDE;
                    CHECK_INT(b.rows[j * WIDTH + 3 * (SIDE * y + x) + 1],
                              is ? ((uint8_t *)d->rows)[(3 + j) * WIDTH + 3 * (SIDE * fy + fx) + 1]
                                 : 0);
                }
        }
    }
    feed_free(f);
    dataset_free(d);
}

TEST(draws_have_their_ranges_and_means)
{
    const augment a = {.crop = CROP_RANDOM_RESIZED, .least = .08, .flip = true, .brightness = .4};
    const image_size size = {500, 375}, strip = {1000, 10};
    double area = 0, mirror = 0, bright = 0;
    const int n = 4000;

    for (int i = 0; i < n; i++) {
        const augment_draw d = augment_draw_at(&a, 1, i / 100, i % 100, &size);
        const double w = d.box.width, h = d.box.height;
        CHECK(d.box.x >= 0 && d.box.y >= 0 && w >= 1 && h >= 1);
        CHECK(d.box.x + d.box.width <= 500 && d.box.y + d.box.height <= 375);
        CHECK(w * h > .075 * 187500 && w / h > .74 && w / h < 1.35);
        area += w * h / 187500 / n;
        mirror += d.mirror / (double)n;
        bright += d.brightness / n;
        CHECK(d.brightness >= .6 && d.brightness <= 1.4 && d.contrast == 1);
        const image_box b = augment_draw_at(&a, 1, 0, i, &strip).box; /* ten tries fail here */
        CHECK(b.height >= 1 && b.height <= 10 && b.x + b.width <= 1000);
    }
    CHECK_NEAR(mirror, .5, .03);
    CHECK_NEAR(bright, 1, .02);
    CHECK(area > .4 && area < .56); /* .54, less what does not fit */
}

TEST(colours_follow_their_definition)
{
    uint8_t p[] = {10, 20, 30, 200, 100, 250};
    const augment_draw bright = {.brightness = 1.5, .contrast = 1, .saturation = 1},
                       flat = {.brightness = 1, .contrast = 0, .saturation = 1},
                       grey = {.brightness = 1, .contrast = 1, .saturation = 0};

    augment_colours(p, 2, &bright);
    CHECK(p[0] == 15 && p[2] == 45 && p[3] == 255 && p[4] == 150 && p[5] == 255);
    augment_colours(p, 2, &grey); /* .299 15 + .587 30 + .114 45 = 27.2 */
    CHECK(p[0] == 27 && p[1] == 27 && p[2] == 27);
    CHECK_INT(p[3], 193); /* .299 255 + .587 150 + .114 255 = 193.4 */
    augment_colours(p, 2, &flat);
    for (int i = 0; i < 6; i++) CHECK_INT(p[i], 110);
}

static drmad_status feed_body(drmad_ctx *ctx, void *arg)
{
    scene *s = arg;
    drmad_status st;
    feed_batch b;
    feed *f = NULL;

    TRY(feed_new(ctx, &(feed_spec){0, 1, false}, &f));
    TRY(feed_take(f, &s->train, 3, 0, &b));
    TRY(feed_take(f, &s->eval, 3, 4, &b));
done:
    feed_free(f);
    return st;
}

TEST(a_feed_survives_every_failing_allocation)
{
    scene s;

    scene_open(&s, test_ctx(), false);
    test_oom(feed_body, &s);
    dataset_free(s.data);
}
