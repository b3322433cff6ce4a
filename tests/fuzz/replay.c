/* A fuzzer as a test: every file of the folders named on the command line goes through it once,
 * and once cut short at each of up to 256 places. A crash is the failure; an empty corpus is one
 * too. */
#include "base/file.h"
#include "fuzz.h"
#include <dirent.h>
#include <stdio.h>

static void feed(const char *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1); /* of exactly this size: a read beyond it is seen */

    if (!exact) abort();
    if (size) memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void feed_file(const char *path)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    char *bytes;
    size_t size;

    if (!ctx || file_read_all(ctx, path, 1 << 24, &bytes, &size) != DRMAD_OK) abort();
    feed(bytes, size);
    for (size_t cut = 0; cut < size; cut += 1 + size / 256) feed(bytes, cut);
    mem_free(ctx, bytes);
    drmad_ctx_free(ctx);
}

static int feed_folder(const char *folder)
{
    char path[1024];
    int files = 0;
    DIR *d = opendir(folder);

    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        feed_file(path);
        files++;
    }
    if (d) closedir(d);
    return files;
}

int main(int argc, char **argv)
{
    int files = 0;

    for (int i = 1; i < argc; i++) files += feed_folder(argv[i]);
    if (argc == 1)
        for (const char *at = REPLAY_FOLDERS; *at; at += strlen(at) + 1) files += feed_folder(at);
    printf("%s replay_%s (%d files)\n", files ? "PASS" : "FAIL", REPLAY_NAME, files);
    return files == 0;
}
