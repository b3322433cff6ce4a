/* Splits are disjoint, batches are replayable, wrong labels are wrong (fault F13). */
#include "bytes.h"
#include "data/split.h"
#include <limits.h>

/* n rows of one pixel pair: row i holds i, so that rows differ; label i % classes. */
static dataset *numbered(drmad_ctx *ctx, int64_t n, int32_t first, int32_t classes)
{
    array rows = {.dtype = F32, .shape = SHAPE(n, 2)}, labels = {.dtype = I32, .shape = SHAPE(n)};
    dataset *d = NULL;

    CHECK_OK(ctx, mem_alloc(ctx, (size_t)n, 8, &rows.data));
    CHECK_OK(ctx, mem_alloc(ctx, (size_t)n, 4, &labels.data));
    for (int32_t i = 0; i < n; i++) {
        ((float *)rows.data)[2 * i] = (float)(first + i);
        ((int32_t *)labels.data)[i] = i % classes;
    }
    CHECK_OK(ctx, dataset_new(ctx, first ? "test" : "train", &rows, &labels, classes, &d));
    return d;
}

TEST(parts_are_disjoint_and_cover_what_was_asked)
{
    drmad_ctx *ctx = test_ctx();
    dataset *d = numbered(ctx, 1000, 0, 10), *t = numbered(ctx, 100, 5000, 10);
    split_spec spec = {.count = {600, SPLIT_REST, SPLIT_REST}, .seed = 4};
    int seen[1000] = {0}, moved = 0;
    split *s = NULL;

    CHECK_OK(ctx, split_new(ctx, d, t, &spec, &s));
    if (!s) return;
    CHECK(s->part[PART_TRAIN].n == 600 && s->part[PART_VALID].n == 400 &&
          s->part[PART_TEST].n == 100);
    for (int p = PART_TRAIN; p <= PART_VALID; p++)
        for (int32_t i = 0; i < s->part[p].n; i++) {
            seen[s->part[p].index[i]]++;
            CHECK_INT(s->part[p].labels[i], s->part[p].index[i] % 10);
            moved += s->part[p].index[i] != i;
        }
    for (int i = 0; i < 1000; i++) CHECK_INT(seen[i], 1);
    CHECK(moved > 900);
    CHECK(s->part[PART_TEST].data == t && s->shared == 0);
    split_free(s);

    spec = (split_spec){.count = {600, 300, SPLIT_REST}, .sequential = true};
    CHECK_OK(ctx, split_new(ctx, d, NULL, &spec, &s));
    if (!s) return;
    CHECK(s->part[PART_TEST].n == 100 && s->part[PART_TEST].data == d);
    for (int32_t i = 0; i < 100; i++) CHECK_INT(s->part[PART_TEST].index[i], 900 + i);
    for (int32_t i = 0; i < 300; i++) CHECK_INT(s->part[PART_VALID].index[i], 600 + i);
    split_free(s);
    dataset_free(d);
    dataset_free(t);
}

TEST(a_split_follows_its_seed)
{
    drmad_ctx *ctx = test_ctx();
    dataset *d = numbered(ctx, 500, 0, 10);
    split *s[3];

    for (uint64_t i = 0; i < 3; i++) {
        const split_spec spec = {.count = {300, 100, 0}, .seed = i == 2};
        CHECK_OK(ctx, split_new(ctx, d, NULL, &spec, &s[i]));
        if (!s[i]) return;
    }
    CHECK(memcmp(s[0]->part[0].index, s[1]->part[0].index, 300 * sizeof(int32_t)) == 0);
    CHECK(memcmp(s[0]->part[0].index, s[2]->part[0].index, 300 * sizeof(int32_t)) != 0);
    CHECK_INT(s[0]->part[PART_TEST].n, 0);
    for (int i = 0; i < 3; i++) split_free(s[i]);
    dataset_free(d);
}

TEST(counts_that_do_not_fit_are_refused)
{
    drmad_ctx *ctx = test_ctx();
    dataset *d = numbered(ctx, 100, 0, 10), *t = numbered(ctx, 10, 5000, 10);
    const int64_t counts[][PART_COUNT] = {
        {0, 50, 10},           {90, 11, 10},      {101, 0, 0},  {-2, 50, 10},
        {100, SPLIT_REST, 10}, {INT64_MAX, 1, 1}, {50, 50, 11}, {SPLIT_REST, SPLIT_REST, 10},
    };
    split *s;

    for (size_t i = 0; i < COUNT(counts); i++) {
        split_spec spec = {0};
        memcpy(spec.count, counts[i], sizeof spec.count);
        CHECK_FAILS(ctx, split_new(ctx, d, t, &spec, &s), DRMAD_E_DATA,
                    i == 6 ? "test: " : "train: ");
        CHECK(s == NULL);
    }
    CHECK_FAILS(ctx, split_new(ctx, d, NULL, &(split_spec){.count = {60, 30, 11}}, &s),
                DRMAD_E_DATA, "has 100 rows, too few");
    CHECK_FAILS(ctx,
                split_new(ctx, d, NULL, &(split_spec){.count = {60, 0, 0}, .corrupt = NAN}, &s),
                DRMAD_E_CONFIG, "corrupt");
    dataset_free(d);
    dataset_free(t);
}

TEST(rows_in_two_parts_are_said_or_refused)
{
    drmad_ctx *ctx = test_ctx();
    dataset *d = numbered(ctx, 100, 0, 10), *t = numbered(ctx, 50, 90, 10); /* 90 to 99 in both */
    split_spec spec = {.count = {SPLIT_REST, 0, SPLIT_REST}, .sequential = true};
    split *s = NULL;

    drmad_ctx_set_log(ctx, NULL, NULL);
    CHECK_OK(ctx, split_new(ctx, d, t, &spec, &s));
    CHECK(s && s->shared == 10);
    split_free(s);
    spec.strict = true;
    CHECK_FAILS(ctx, split_new(ctx, d, t, &spec, &s), DRMAD_E_DATA, "10 rows are in two parts");
    spec.count[PART_TRAIN] = 90;
    CHECK_OK(ctx, split_new(ctx, d, t, &spec, &s));
    split_free(s);
    dataset_free(d);
    dataset_free(t);
}

TEST(corrupted_labels_are_as_many_as_asked_and_all_wrong)
{
    drmad_ctx *ctx = test_ctx();
    dataset *d = numbered(ctx, 1000, 0, 3);
    const split_spec spec = {.count = {501, 300, 0}, .seed = 5, .corrupt = 0.5};
    int wrong = 0, by[3] = {0};
    split *s = NULL;

    CHECK_OK(ctx, split_new(ctx, d, NULL, &spec, &s));
    if (!s) return;
    for (int32_t i = 0; i < 501; i++) {
        const int32_t truth = d->labels[s->part[PART_TRAIN].index[i]];
        const int32_t label = s->part[PART_TRAIN].labels[i];
        CHECK_INT(label != truth, s->wrong[i]);
        CHECK(label >= 0 && label < 3);
        wrong += s->wrong[i];
        by[(label - truth + 3) % 3]++;
    }
    CHECK_INT(wrong, 251);                     /* 250.5, rounded */
    CHECK(by[1] > 251 / 3 && by[2] > 251 / 3); /* both wrong classes are used */
    for (int32_t i = 0; i < 300; i++)
        CHECK_INT(s->part[PART_VALID].labels[i], d->labels[s->part[PART_VALID].index[i]]);
    split_free(s);
    dataset_free(d);
}

TEST(an_epoch_of_shuffled_batches_meets_every_row_at_most_once)
{
    enum { N = 103, BATCH = 10, PER = N / BATCH };
    int32_t out[BATCH], first[BATCH];
    int total[N] = {0};

    for (int64_t epoch = 0; epoch < 50; epoch++) {
        int seen[N] = {0};
        for (int64_t b = 0; b < PER; b++) {
            batch_indices(BATCH_SHUFFLE, 3, epoch * PER + b, BATCH, N, out);
            for (int j = 0; j < BATCH; j++) {
                CHECK(out[j] >= 0 && out[j] < N);
                if (out[j] < 0 || out[j] >= N) return;
                CHECK_INT(seen[out[j]]++, 0);
                total[out[j]]++;
            }
        }
    }
    for (int i = 0; i < N; i++) CHECK(total[i] >= 40); /* the 3 rows left out change by the epoch */
    batch_indices(BATCH_SHUFFLE, 3, 0, BATCH, N, first);
    batch_indices(BATCH_SHUFFLE, 3, PER, BATCH, N, out);
    CHECK(memcmp(first, out, sizeof out) != 0); /* another epoch, another order */
    batch_indices(BATCH_SHUFFLE, 4, 0, BATCH, N, out);
    CHECK(memcmp(first, out, sizeof out) != 0);
    batch_indices(BATCH_SHUFFLE, 3, 0, BATCH, N, out);
    CHECK(memcmp(first, out, sizeof out) == 0); /* pure: asked again out of order */
}

/* Where the first two rows of an epoch come from, over all pairs: 1559 degrees of freedom, so chi2
 * over them strays from 1 by 0.036; 1.2 is five of that. */
TEST(shuffled_pairs_are_even)
{
    enum { N = 40, EACH = 100, EPOCHS = N * (N - 1) * EACH };
    static int count[N][N];
    double chi2 = 0;
    int32_t out[2];

    memset(count, 0, sizeof count);
    for (int64_t e = 0; e < EPOCHS; e++) {
        batch_indices(BATCH_SHUFFLE, 2, e * (N / 2), 2, N, out);
        count[out[0]][out[1]]++;
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            if (i != j) chi2 += pow(count[i][j] - EACH, 2) / EACH;
    CHECK(chi2 / (N * (N - 1) - 1) < 1.2);
}

TEST(batches_with_replacement_are_uniform)
{
    enum { N = 20, STEPS = 4000, BATCH = 5 };
    int32_t out[BATCH], repeats = 0;
    double chi2 = 0;
    int total[N] = {0};

    for (int64_t t = 0; t < STEPS; t++) {
        batch_indices(BATCH_REPLACEMENT, 11, t, BATCH, N, out);
        for (int j = 0; j < BATCH; j++) total[out[j]]++;
        repeats += out[0] == out[1];
    }
    for (int i = 0; i < N; i++)
        chi2 += pow(total[i] - STEPS * BATCH / (double)N, 2) * N / (STEPS * BATCH);
    CHECK(chi2 < 43.8); /* 19 degrees of freedom, one in a thousand; the seed is fixed */
    CHECK_NEAR(repeats, STEPS / (double)N, 5 * sqrt(STEPS / (double)N));
}

TEST(sequential_batches_go_through_the_rows_in_order)
{
    int32_t out[4];

    for (int64_t t = 0; t < 6; t++) {
        batch_indices(BATCH_SEQUENTIAL, 0, t, 4, 11, out);
        for (int j = 0; j < 4; j++)
            CHECK_INT(out[j], t % 2 * 4 + j); /* 8 to 10 never fill a batch */
    }
}

static drmad_status split_body(drmad_ctx *ctx, void *arg)
{
    const split_spec spec = {.count = {60, 30, 10}, .corrupt = 0.1};
    split *s;
    drmad_status st = split_new(ctx, arg, NULL, &spec, &s);

    split_free(s);
    return st;
}

TEST(splits_survive_every_failing_allocation)
{
    dataset *d = numbered(test_ctx(), 100, 0, 10);

    test_oom(split_body, d);
    dataset_free(d);
}
