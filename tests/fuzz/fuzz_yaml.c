/* Study files: the input is a study, then, after a NUL, overrides, one a line. What is accepted
 * must print, read back
 * and print the same. */
#include "config/config.h"
#include "fuzz.h"

static void check_round_trip(drmad_ctx *ctx, const config *c)
{
    char *first = NULL, *second = NULL;
    config *d = NULL;

    if (config_print(c, &first) != DRMAD_OK || config_new(ctx, &d) != DRMAD_OK) abort();
    if (config_read(d, "printed", first, strlen(first)) != DRMAD_OK) abort();
    if (config_print(d, &second) != DRMAD_OK || strcmp(first, second) != 0) abort();
    mem_free(ctx, first);
    mem_free(ctx, second);
    config_free(d);
}

/* Sets the "key=value" lines of `text`, which it cuts up. */
static drmad_status set_lines(config *c, char *text)
{
    drmad_status st = DRMAD_OK;
    char *line, *value;

    while ((line = strsep(&text, "\n"))) {
        value = strchr(line, '=');
        if (!value) continue;
        *value++ = '\0';
        TRY(config_set(c, line, value));
    }
done:
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    char *text = malloc(size + 1);
    config *c = NULL;

    if (!ctx || !text || config_new(ctx, &c) != DRMAD_OK) abort();
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    size_t study = strlen(text);
    drmad_status st = config_read(c, "input", text, study);

    if (st == DRMAD_OK && study < size) st = set_lines(c, text + study + 1);
    if (st == DRMAD_OK) check_round_trip(ctx, c);
    if (st == DRMAD_OK) st = config_finish(c);
    if (st == DRMAD_OK) check_round_trip(ctx, c);
    else if (st != DRMAD_E_CONFIG || drmad_errmsg(ctx)[0] == '\0') abort();
    config_free(c);
    drmad_ctx_free(ctx);
    free(text);
    return 0;
}
