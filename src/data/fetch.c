/* MNIST from its mirrors by libcurl. A download lies in memory until its hash is right. */
#include "data/fetch.h"
#include "base/file.h"
#include "data/blob.h"
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    DOWNLOAD_MAX = 64 << 20,
    UNPACKED_MAX = 256 << 20,
    CONNECT_SECONDS = 15,
    TOTAL_SECONDS = 600,
    STALL_BYTES = 1024, /* a second, for STALL_SECONDS: given up */
    STALL_SECONDS = 30,
    REDIRECTS_MAX = 4,
};

static const struct {
    const char *name, *sha256; /* of the unpacked file */
} files[] = {
    {"train-images-idx3-ubyte.gz",
     "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
    {"train-labels-idx1-ubyte.gz",
     "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
    {"t10k-images-idx3-ubyte.gz",
     "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
    {"t10k-labels-idx1-ubyte.gz",
     "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
};

typedef struct download {
    drmad_ctx *ctx;
    char *bytes;
    size_t used, room;
} download;

static size_t receive(char *data, size_t size, size_t count, void *user)
{
    download *d = user;
    const size_t n = size * count;

    if (n > DOWNLOAD_MAX - d->used) return 0; /* curl takes it as a failure */
    if (n > d->room - d->used) {
        size_t room = d->room ? d->room : 1 << 16;
        while (room < d->used + n) room *= 2;
        if (mem_resize(d->ctx, &d->bytes, d->used, room, 1) != DRMAD_OK) return 0;
        d->room = room;
    }
    memcpy(d->bytes + d->used, data, n);
    d->used += n;
    return n;
}

static int stop_asked(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return base_stopped(user) != DRMAD_OK;
}

static void set_options(CURL *curl, const char *url, const char *protocols, download *d)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TOTAL_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "drmad");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, d);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, stop_asked);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, d->ctx);
}

static drmad_status get(drmad_ctx *ctx, const char *url, const char *protocols, download *d)
{
    char detail[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();

    if (!curl) return FAIL(ctx, DRMAD_E_NOMEM, "%s: libcurl cannot start", url);
    ctx->errmsg[0] = '\0';
    set_options(curl, url, protocols, d);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    drmad_status st = base_stopped(ctx);
    if (st != DRMAD_OK || code == CURLE_OK) return st;
    if (code == CURLE_WRITE_ERROR && ctx->errmsg[0]) return DRMAD_E_NOMEM; /* from mem_resize */
    if (code == CURLE_WRITE_ERROR)
        return FAIL(ctx, DRMAD_E_DATA, "%s: more than %d bytes", url, DOWNLOAD_MAX);
    return FAIL(ctx, DRMAD_E_AGAIN, "%s: %s", url, detail[0] ? detail : curl_easy_strerror(code));
}

/* Is this, unpacked, the file of that hash? DRMAD_E_DATA and DRMAD_E_UNSAFE say no. */
static drmad_status check_hash(drmad_ctx *ctx, const char *name, const void *bytes, size_t size,
                               const char *sha256)
{
    char got[SHA256_TEXT];
    blob b;

    drmad_status st = blob_unpack(ctx, name, bytes, size, UNPACKED_MAX, &b);
    if (st != DRMAD_OK) return st;
    TRY(blob_sha256(ctx, b.at, b.size, "", 0, got));
    if (strcmp(got, sha256) != 0)
        st = FAIL(ctx, DRMAD_E_DATA, "%s: SHA-256 of the content is %s, expected %s", name, got,
                  sha256);
done:
    blob_free(ctx, &b);
    return st;
}

static drmad_status from_mirror(drmad_ctx *ctx, const fetch_from *from, size_t mirror, size_t file,
                                const char *dir)
{
    char url[512], path[1024];
    download d = {.ctx = ctx};
    drmad_status st;

    snprintf(url, sizeof url, "%s%s", from->mirrors[mirror], files[file].name);
    snprintf(path, sizeof path, "%s/%s", dir, files[file].name);
    base_log(ctx, LOG_INFO, "getting %s", url);
    TRY(get(ctx, url, from->protocols, &d));
    TRY(check_hash(ctx, url, d.bytes, d.used, files[file].sha256));
    TRY(file_make_folder(ctx, dir));
    TRY(file_write_atomic(ctx, path, d.bytes, d.used));
done:
    mem_free(ctx, d.bytes);
    return st;
}

/* A mirror that fails gives way to the next one; our own troubles do not. */
static drmad_status fetch_file(drmad_ctx *ctx, const fetch_from *from, size_t file, const char *dir)
{
    char path[1024];
    char *bytes;
    size_t size;
    drmad_status st;

    snprintf(path, sizeof path, "%s/%s", dir, files[file].name);
    if (access(path, F_OK) == 0 &&
        file_read_all(ctx, path, DOWNLOAD_MAX, &bytes, &size) == DRMAD_OK) {
        st = check_hash(ctx, path, bytes, size, files[file].sha256);
        mem_free(ctx, bytes);
        if (st == DRMAD_OK) return st;
        base_log(ctx, LOG_WARN, "%s; getting it again", ctx->errmsg);
    }
    st = FAIL(ctx, DRMAD_E_AGAIN, "%s: no mirror to get it from", files[file].name);
    for (size_t m = 0; m < from->n; m++) {
        st = from_mirror(ctx, from, m, file, dir);
        if (st != DRMAD_E_AGAIN && st != DRMAD_E_DATA && st != DRMAD_E_UNSAFE) return st;
        if (m + 1 < from->n) base_log(ctx, LOG_WARN, "%s", ctx->errmsg);
    }
    return st;
}

drmad_status fetch_mnist(drmad_ctx *ctx, const fetch_from *from, const char *dir)
{
    if (strlen(dir) > 900) return FAIL(ctx, DRMAD_E_USAGE, "%.100s...: the path is too long", dir);
    if (access(dir, F_OK) == 0) {
        drmad_status st = file_check_folder(ctx, dir);
        if (st != DRMAD_OK) return st;
    }
    for (size_t i = 0; i < COUNT(files); i++) {
        drmad_status st = fetch_file(ctx, from, i, dir);
        if (st != DRMAD_OK) return st;
    }
    return DRMAD_OK;
}

drmad_status data_fetch(drmad_ctx *ctx, const char *name, const char *dir)
{
    static const char *const mirrors[] = {
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    };
    const fetch_from from = {mirrors, COUNT(mirrors), "https"};

    if (strcmp(name, "mnist") != 0)
        return FAIL(ctx, DRMAD_E_USAGE, "dataset \"%s\": expected mnist", name);
    return fetch_mnist(ctx, &from, dir);
}
