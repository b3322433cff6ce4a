/* Shared by the morphs of this room. */
#ifndef MORPH_INSIDE_H
#define MORPH_INSIDE_H
#include "nn/morph.h"
#include "nn/nn_inside.h"

/* An empty new net. Gives *out. */
drmad_status morph_new(const nn_spec *net, morph **out);
/* Appends the layer to the new net; its tensors come from the old ones from number `from` on. */
drmad_status morph_add(morph *m, const nn_layer *l, int32_t from, bool identity);
#endif
