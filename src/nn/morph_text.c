/* Morphs as text. */
#include "nn/morph.h"
#include <stdlib.h>
#include <string.h>

static drmad_status no_morph(const nn_spec *net, const char *text)
{
    return FAIL(net->ctx, DRMAD_E_CONFIG,
                "\"%.80s\": expected \"wider LAYER=OUTPUTS\" or \"deeper LAYER\"", text);
}

drmad_status morph_parse(const nn_spec *net, const char *text, uint64_t seed, morph **out)
{
    static const char wider[] = "wider ", deeper[] = "deeper ";
    char layer[NN_NAME_MAX] = "", *end;

    *out = NULL;
    if (strncmp(text, deeper, sizeof deeper - 1) == 0)
        return morph_deeper(net, text + sizeof deeper - 1, out);
    if (strncmp(text, wider, sizeof wider - 1) != 0) return no_morph(net, text);
    text += sizeof wider - 1;
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text || (size_t)(equals - text) >= sizeof layer)
        return no_morph(net, text - (sizeof wider - 1));
    memcpy(layer, text, (size_t)(equals - text));
    const long long outputs = strtoll(equals + 1, &end, 10);
    if (end == equals + 1 || *end || outputs < 1 || outputs > 1 << 24)
        return no_morph(net, text - (sizeof wider - 1));
    return morph_wider(net, layer, outputs, seed, out);
}
