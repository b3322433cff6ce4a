/* The words and defaults of hyperparameters, from hyper.def. */
#include "config/hyper.h"
#include <math.h>

static const hyper_kind_info kinds[HYPER_KIND_COUNT] = {
#define HYPER_KIND(id, word, transform, low, high, start, least, most, text)                       \
    {word, text, TRANSFORM_##transform, low, high, start, least, most},
#include "config/hyper.def"
#undef HYPER_KIND
};

static const char *const per_words[HYPER_PER_COUNT] = {
#define HYPER_PER(id, word, text) word,
#include "config/hyper.def"
#undef HYPER_PER
};

static const char *const transform_words[HYPER_TRANSFORM_COUNT] = {
#define HYPER_TRANSFORM(id, word, text) word,
#include "config/hyper.def"
#undef HYPER_TRANSFORM
};

const hyper_kind_info *hyper_kind_of(hyper_kind k)
{
    return &kinds[k];
}

const char *hyper_per_word(hyper_per p)
{
    return per_words[p];
}

const char *hyper_transform_word(hyper_transform t)
{
    return transform_words[t];
}

double hyper_low(hyper_kind k, hyper_transform t)
{
    if (t == TRANSFORM_IDENTITY) return kinds[k].least;
    return t == TRANSFORM_LOG && kinds[k].low <= 0 ? 1e-10 : kinds[k].low;
}

double hyper_high(hyper_kind k, hyper_transform t)
{
    return t == TRANSFORM_IDENTITY ? kinds[k].most : kinds[k].high;
}
