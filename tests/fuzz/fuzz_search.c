/* Points and distributions from outside: the input goes in as a point of a fixed space and as a
 * distribution. What is accepted must print, read back and print the same. */
#include "fuzz.h"
#include "space/search.h"
#include <math.h>

enum { PARAMS = 4 };

static search *space_of_all_types(drmad_ctx *ctx)
{
    static const char *const all[PARAMS] = {
        "{\"type\": \"float\", \"low\": 1e-5, \"high\": 1, \"log\": true}",
        "{\"type\": \"float\", \"low\": -1, \"high\": 1, \"step\": 0.3}",
        "{\"type\": \"int\", \"low\": 0, \"high\": 9}",
        "{\"type\": \"categorical\", \"choices\": [\"a\", null, 1, 0.5, true, \"1\"]}"};
    static const char *const names[PARAMS] = {"f", "s", "i", "c"};
    search *s = NULL;
    int32_t index;

    if (search_new(ctx, &s) != DRMAD_OK) abort();
    for (int i = 0; i < PARAMS; i++) {
        search_param *p = NULL;

        if (search_param_parse(ctx, names[i], all[i], &p) != DRMAD_OK) abort();
        if (search_add(s, p, &index) != DRMAD_OK) abort();
    }
    return s;
}

static void check_point(const search *s, const char *text)
{
    double x[PARAMS], y[PARAMS];
    char *json = NULL;

    if (search_parse(s, text, x) != DRMAD_OK) {
        if (drmad_errmsg(s->ctx)[0] == '\0') abort();
        return;
    }
    if (search_print(s, x, &json) != DRMAD_OK || search_parse(s, json, y) != DRMAD_OK) abort();
    for (int i = 0; i < PARAMS; i++)
        if (!(x[i] == y[i]) && !(isnan(x[i]) && isnan(y[i]))) abort();
    mem_free(s->ctx, json);
}

static void check_distribution(drmad_ctx *ctx, const char *text)
{
    search_param *p = NULL, *q = NULL;

    if (search_param_parse(ctx, "p", text, &p) != DRMAD_OK) {
        if (drmad_errmsg(ctx)[0] == '\0') abort();
        return;
    }
    if (search_param_parse(ctx, "p", p->distribution, &q) != DRMAD_OK) abort();
    if (strcmp(p->distribution, q->distribution) != 0) abort();
    for (double u = 0; u < 1; u += 0.24999) {
        double x = search_draw_one(p, u);

        if (p->type != SEARCH_CATEGORICAL && !(x >= p->low && x <= p->high)) abort();
        if (p->type == SEARCH_CATEGORICAL && !(x >= 0 && x < p->n_choices)) abort();
    }
    search_param_free(ctx, p);
    search_param_free(ctx, q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    char *text = malloc(size + 1);

    if (!ctx || !text) abort();
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    search *s = space_of_all_types(ctx);

    check_point(s, text);
    check_distribution(ctx, text);
    search_free(s);
    drmad_ctx_free(ctx);
    free(text);
    return 0;
}
