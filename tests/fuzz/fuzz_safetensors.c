/* safetensors: what is accepted must tile its data and have unique names. */
#include "data/safetensors.h"
#include "fuzz.h"

static void check(const st_file *f, size_t size)
{
    volatile uint8_t sum = 0;
    size_t total = 0, bytes;

    for (int32_t i = 0; i < f->n; i++) {
        if (!shape_bytes(&f->at[i].shape, f->at[i].dtype, &bytes)) abort();
        if (shape_count(&f->at[i].shape) < 0) abort();
        for (size_t k = 0; k < bytes; k++)
            sum = (uint8_t)(sum + ((const uint8_t *)f->at[i].data)[k]);
        if (safetensors_find(f, f->at[i].name) != &f->at[i]) abort(); /* names are unique */
        total += bytes;
    }
    for (int32_t i = 0; i < f->texts; i++)
        total += strlen(f->text[i].key) + strlen(f->text[i].value);
    if (total > size) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    const blob b = {.name = "input", .at = data, .size = size};
    st_file *f = NULL;

    if (!ctx) return 0;
    if (safetensors_parse(ctx, &b, &f) == DRMAD_OK) check(f, size);
    else if (drmad_errmsg(ctx)[0] == '\0') abort();
    mem_free(ctx, f);
    drmad_ctx_free(ctx);
    return 0;
}
