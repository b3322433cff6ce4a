/* The drawn digits: the same everywhere, balanced, learnable, not trivial. */
#include "bytes.h"
#include "data/digits.h"

TEST(digits_do_not_depend_on_threads_or_machine)
{
    drmad_ctx *ctx = test_ctx();
    dataset *a, *b, *longer;

    CHECK_OK(ctx, digits_make(ctx, 7, DIGITS_TRAIN, 1000, &a));
    CHECK_OK(ctx, drmad_ctx_set_threads(ctx, 3));
    CHECK_OK(ctx, digits_make(ctx, 7, DIGITS_TRAIN, 1000, &b));
    CHECK_OK(ctx, digits_make(ctx, 7, DIGITS_TRAIN, 1001, &longer));
    if (!a || !b || !longer) return;
    CHECK_STR(a->sha256, b->sha256);
    /* A golden value: a change of the drawing, or of the machine's arithmetic, shows here. */
    CHECK_STR(a->sha256, "11c2c1aa32c82720cf19eaef1dbf1040ea9a9effb21c01e9e0161fdb014164de");
    CHECK(memcmp(a->rows, longer->rows, 1000 * 784) == 0); /* image i is image i in any count */
    CHECK_STR(a->name, "synthetic-digits/train");
    CHECK(a->classes == 10 && a->row.rank == 2 && a->row.dim[0] == 28 && a->row.dim[1] == 28);
    dataset_free(a);
    dataset_free(b);
    dataset_free(longer);
}

TEST(seeds_and_parts_give_other_digits)
{
    drmad_ctx *ctx = test_ctx();
    dataset *d[3];

    CHECK_OK(ctx, digits_make(ctx, 7, DIGITS_TRAIN, 50, &d[0]));
    CHECK_OK(ctx, digits_make(ctx, 8, DIGITS_TRAIN, 50, &d[1]));
    CHECK_OK(ctx, digits_make(ctx, 7, DIGITS_TEST, 50, &d[2]));
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < i; k++)
            CHECK(d[i] && d[k] && memcmp(d[i]->rows, d[k]->rows, 50 * 784) != 0);
    for (int i = 0; i < 3; i++) dataset_free(d[i]);
    CHECK_FAILS(ctx, digits_make(ctx, 7, DIGITS_TRAIN, 0, &d[0]), DRMAD_E_CONFIG, "0 images");
}

static int distance(const uint8_t *a, const uint8_t *b)
{
    int sum = 0;

    for (int i = 0; i < 784; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

static int32_t nearest_row(const dataset *train, const uint8_t *x)
{
    int best = INT32_MAX;
    int32_t label = -1;

    for (int64_t i = 0; i < train->n; i++) {
        const int d = distance((const uint8_t *)train->rows + 784 * i, x);
        if (d < best) best = d, label = train->labels[i];
    }
    return label;
}

/* The class means, rounded. */
static void means(const dataset *train, uint8_t out[10][784])
{
    static int sum[10][784];
    int count[10] = {0};

    memset(sum, 0, sizeof sum);
    for (int64_t i = 0; i < train->n; i++) {
        const int32_t y = train->labels[i];
        count[y]++;
        for (int k = 0; k < 784; k++) sum[y][k] += ((const uint8_t *)train->rows)[784 * i + k];
    }
    for (int y = 0; y < 10; y++) {
        CHECK(count[y] > train->n / 10 * 8 / 10); /* balanced: 4 standard deviations at n = 4000 */
        for (int k = 0; k < 784; k++) out[y][k] = (uint8_t)(sum[y][k] / (count[y] ? count[y] : 1));
    }
}

/* A mean image per class must not do, or tuning on these digits would show nothing. */
TEST(digits_can_be_learned_but_not_by_a_mean_image)
{
    drmad_ctx *ctx = test_ctx();
    static uint8_t mean[10][784];
    int by_row = 0, by_mean = 0;
    dataset *train, *test;

    CHECK_OK(ctx, digits_make(ctx, 1, DIGITS_TRAIN, 4000, &train));
    CHECK_OK(ctx, digits_make(ctx, 1, DIGITS_TEST, 400, &test));
    if (!train || !test) return;
    means(train, mean);
    for (int64_t i = 0; i < test->n; i++) {
        const uint8_t *x = (const uint8_t *)test->rows + 784 * i;
        int best = 0;
        for (int y = 1; y < 10; y++)
            if (distance(mean[y], x) < distance(mean[best], x)) best = y;
        by_mean += best == test->labels[i];
        by_row += nearest_row(train, x) == test->labels[i];
    }
    CHECK(by_row >= 400 * 80 / 100);
    CHECK(by_mean >= 400 * 50 / 100 && by_mean <= 400 * 75 / 100);
    if (getenv("VERBOSE")) printf("  nearest row %d, nearest mean %d of 400\n", by_row, by_mean);
    dataset_free(train);
    dataset_free(test);
}

TEST(the_source_draws_as_many_as_asked)
{
    drmad_ctx *ctx = test_ctx();
    const source_spec spec = {.kind = "synthetic-digits", .seed = 3, .train_n = 30, .test_n = 20};
    dataset *train, *test;

    CHECK_OK(ctx, source_open(ctx, &spec, &train, &test));
    CHECK(train && train->n == 30 && test && test->n == 20);
    CHECK(test && strcmp(test->name, "synthetic-digits/test") == 0);
    dataset_free(train);
    dataset_free(test);
}
