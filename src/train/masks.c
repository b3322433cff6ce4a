/* Sign masks of dense ReLUs: memory for those of a step, a bit an element where they are kept. */
#include "train/trainer.h"
#include <string.h>

drmad_status trainer_masks_new(trainer *t)
{
    const train_spec *s = &t->spec;
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(t->ctx, (size_t)t->masks, sizeof *t->mask_size, &t->mask_size));
    for (int32_t i = 0; i < t->masks; i++) {
        const size_t n = (size_t)(s->batch * s->model.mask_size(&s->model, i));
        t->mask_size[i] = (int64_t)n;
        TRY(mem_alloc(t->ctx, n, t->size, &t->slot[trainer_mask_ref(t, i).slot]));
        t->mask_bytes += (n + 7) / 8;
    }
    TRY(mem_alloc(t->ctx, t->mask_bytes, 1, &t->mask_bits));
done:
    return st;
}

void trainer_masks_pack(trainer *t)
{
    unsigned char *bits = t->mask_bits;

    for (int32_t l = 0; l < t->masks; l++) {
        const void *mask = t->slot[trainer_mask_ref(t, l).slot];
        const int64_t n = t->mask_size[l];
        memset(bits, 0, (size_t)(n + 7) / 8);
        for (int64_t i = 0; i < n; i++)
            bits[i >> 3] |= (unsigned char)((trainer_get(t, mask, i) != 0) << (i & 7));
        bits += (n + 7) / 8;
    }
}

void trainer_masks_unpack(trainer *t, const unsigned char *bits)
{
    for (int32_t l = 0; l < t->masks; l++) {
        void *mask = t->slot[trainer_mask_ref(t, l).slot];
        const int64_t n = t->mask_size[l];
        for (int64_t i = 0; i < n; i++) trainer_put(t, mask, i, bits[i >> 3] >> (i & 7) & 1);
        bits += (n + 7) / 8;
    }
}
