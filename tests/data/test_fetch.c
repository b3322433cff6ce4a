/* Downloads, from mirrors that are folders on this disk or not there at all. */
#include "base/file.h"
#include "bytes.h"
#include "data/fetch.h"
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
                                    "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"};
/* Nothing listens on port 9 of the loopback. */
static const char nowhere[] = "http://127.0.0.1:9/mnist/";

/* The URL of the real files; static. */
static const char *real_files(void)
{
    static char url[PATH_MAX + 16];
    char path[PATH_MAX];

    if (!realpath(test_data("mnist"), path)) path[0] = '\0';
    snprintf(url, sizeof url, "file://%s/", path);
    return url;
}

static drmad_status from(drmad_ctx *ctx, const char *a, const char *b, const char *dir)
{
    const char *const mirrors[] = {a, b};
    const fetch_from f = {mirrors, b ? 2 : 1, "file,http"};

    return fetch_mnist(ctx, &f, dir);
}

TEST(mnist_is_fetched_checked_and_not_fetched_again)
{
    drmad_ctx *ctx = test_ctx();
    char dir[400];
    struct stat info;

    snprintf(dir, sizeof dir, "%s/new/mnist", test_scratch());
    CHECK_OK(ctx, from(ctx, real_files(), NULL, dir));
    for (size_t i = 0; i < COUNT(names); i++) CHECK(stat(in(dir, names[i]), &info) == 0);
    CHECK_OK(ctx, from(ctx, nowhere, NULL, dir)); /* all there: no mirror is asked */

    CHECK_OK(ctx, file_write_atomic(ctx, in(dir, names[3]), "damaged", 7));
    drmad_ctx_set_log(ctx, NULL, NULL);
    CHECK_FAILS(ctx, from(ctx, nowhere, NULL, dir), DRMAD_E_AGAIN, names[3]);
    CHECK_OK(ctx, from(ctx, nowhere, real_files(), dir)); /* the second mirror serves */
    CHECK(stat(in(dir, names[3]), &info) == 0 && info.st_size > 4000);
}

TEST(an_unreachable_mirror_leaves_nothing)
{
    drmad_ctx *ctx = test_ctx();
    char dir[400];

    snprintf(dir, sizeof dir, "%s/mnist", test_scratch());
    CHECK_FAILS(ctx, from(ctx, nowhere, NULL, dir), DRMAD_E_AGAIN,
                "http://127.0.0.1:9/mnist/train");
    CHECK(access(dir, F_OK) != 0);
    CHECK_FAILS(ctx, from(ctx, "file:///no/such/folder/", NULL, dir), DRMAD_E_AGAIN, "file:///no");
    CHECK(access(dir, F_OK) != 0);
}

TEST(a_mirror_with_the_wrong_content_is_refused)
{
    drmad_ctx *ctx = test_ctx();
    const char *scratch = test_scratch();
    char mirror[400], url[500], dir[400];
    bytes b = small_idx();

    snprintf(mirror, sizeof mirror, "%s/mirror", scratch);
    snprintf(url, sizeof url, "file://%s/", mirror);
    snprintf(dir, sizeof dir, "%s/mnist", scratch);
    CHECK_OK(ctx, file_make_folder(ctx, mirror));
    CHECK_OK(ctx, file_write_atomic(ctx, in(mirror, names[0]), b.at, b.n));
    CHECK_FAILS(ctx, from(ctx, url, NULL, dir), DRMAD_E_DATA, "expected ba891046");
    CHECK_OK(ctx, file_write_atomic(ctx, in(mirror, names[0]), "\x1f\x8b\x08\0\0", 5));
    CHECK_FAILS(ctx, from(ctx, url, NULL, dir), DRMAD_E_DATA, "gzip");
    CHECK(access(dir, F_OK) != 0);
    free(b.at);
}

TEST(only_https_is_spoken_and_only_known_sets_are_fetched)
{
    drmad_ctx *ctx = test_ctx();
    const char *const mirrors[] = {real_files()};
    const fetch_from https = {mirrors, 1, "https"};
    char dir[400];

    snprintf(dir, sizeof dir, "%s/mnist", test_scratch());
    CHECK_FAILS(ctx, fetch_mnist(ctx, &https, dir), DRMAD_E_AGAIN, "file");
    CHECK_FAILS(ctx, data_fetch(ctx, "imagenet", dir), DRMAD_E_USAGE,
                "\"imagenet\": expected mnist");
    CHECK_OK(ctx, file_write_atomic(ctx, dir, "a file", 6));
    CHECK_FAILS(ctx, from(ctx, nowhere, NULL, dir), DRMAD_E_OUTPUT, "is a file, expected a folder");
}

TEST(a_signal_stops_a_download)
{
    drmad_ctx *ctx = test_ctx();
    char dir[400];

    snprintf(dir, sizeof dir, "%s/mnist", test_scratch());
    drmad_ctx_stop(ctx, SIGINT);
    CHECK_FAILS(ctx, from(ctx, real_files(), NULL, dir), DRMAD_E_INTERRUPTED, "interrupted");
    CHECK(access(dir, F_OK) != 0);
}
