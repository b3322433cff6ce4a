/* A journal file, which anyone may have written: replayed line by line as far as it goes. */
#include "store/journal_inside.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    journal_state state = {.n_studies = 0};
    const char *at = (const char *)data, *end = at + size, *stop;
    drmad_status st = DRMAD_OK;

    if (!ctx) return 0;
    for (; st == DRMAD_OK && (stop = memchr(at, '\n', (size_t)(end - at))); at = stop + 1)
        st = journal_apply(ctx, &state, at, (size_t)(stop - at));
    if (st != DRMAD_OK && drmad_errmsg(ctx)[0] == '\0') abort(); /* a failure without a message */
    for (int64_t i = 0; i < state.n_trials; i++) {
        const journal_trial *t = state.trials + i;
        if (t->study < 0 || t->study >= state.n_studies) abort();
        if (state.studies[t->study].trials[t->number] != i) abort();
        for (int32_t k = 1; k < t->n_reports; k++)
            if (t->reports[k].step <= t->reports[k - 1].step) abort();
    }
    journal_state_free(ctx, &state);
    drmad_ctx_free(ctx);
    return 0;
}
