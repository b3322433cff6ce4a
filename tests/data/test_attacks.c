/* Every file of tests/attacks gives the status and message that expect.tsv has for it. Run from
 * the project's root. */
#include "base/file.h"
#include "bytes.h"
#include "data/safetensors.h"

static drmad_status open_attack(drmad_ctx *ctx, const char *path, bool tensors)
{
    st_file *f = NULL;
    array a = {0};
    drmad_status st = tensors ? safetensors_read(ctx, path, &f) : array_read(ctx, path, &a);

    CHECK(f == NULL && a.data == NULL);
    mem_free(ctx, f);
    array_free(ctx, &a);
    return st;
}

TEST(every_attack_is_refused_as_expected)
{
    drmad_ctx *ctx = test_ctx();
    char *text = NULL, *rest;
    size_t size;
    int n = 0;

    CHECK_OK(ctx, file_read_all(ctx, "tests/attacks/expect.tsv", 1 << 20, &text, &size));
    if (!text) return;
    rest = text;
    for (char *line; (line = strsep(&rest, "\n")) && *line; n++) {
        const char *name = strsep(&line, "\t"), *status = strsep(&line, "\t");
        const bool unsafe = status && strcmp(status, "unsafe") == 0;
        CHECK_FAILS(ctx, open_attack(ctx, in("tests/attacks", name), strncmp(name, "safe", 4) == 0),
                    unsafe ? DRMAD_E_UNSAFE : DRMAD_E_DATA, line ? line : "a tab");
        CHECK(strstr(drmad_errmsg(ctx), name) != NULL); /* the message names the file */
    }
    CHECK(n >= 35);
    mem_free(ctx, text);
}
