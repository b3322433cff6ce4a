/* A tar shard: pictures that are found lie inside the file, with a class each. */
#include "data/shards.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    image_shard shard = {.name = "input", .bytes = {.name = "input", .at = data, .size = size}};
    image_bytes room = {.ctx = ctx};
    image_set *s = NULL;
    blob b;

    if (!ctx || image_set_new(ctx, &s) != DRMAD_OK) abort();
    if (size == 0) shard.bytes.at = (const uint8_t *)"";
    s->shard = &shard, s->shards = 1;
    if (shard_scan(s, 0, size % 2) == DRMAD_OK) {
        volatile uint8_t sum = 0;
        for (int32_t i = 0; i < s->n; i++) {
            if (image_set_load(s, i, &room, &b) != DRMAD_OK || s->at[i].label < 0) abort();
            for (size_t k = 0; k < b.size; k++) sum = (uint8_t)(sum + b.at[k]);
        }
    } else if (drmad_errmsg(ctx)[0] == '\0') {
        abort(); /* a failure without a message */
    }
    s->shard = NULL, s->shards = 0;
    image_bytes_free(&room);
    image_set_free(s);
    drmad_ctx_free(ctx);
    return 0;
}
