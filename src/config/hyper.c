/* The words and defaults of hyperparameters, from hyper.def. */
#include "config/hyper.h"
#include <math.h>
#include <stdio.h>

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

/* The transform's side of it; the bounds are in order and hold the start. */
static const char *check_transform(const hyper_bounds *b, char *why, size_t size)
{
    if (b->transform == TRANSFORM_LOG && b->low <= 0) {
        snprintf(why, size, "low %g has no logarithm; a low above 0 is needed under transform: log",
                 b->low);
        return "low";
    }
    if (b->transform == TRANSFORM_LOGIT && (isinf(b->low) || isinf(b->high))) {
        snprintf(why, size, "transform: logit needs finite bounds, not [%g, %g]", b->low, b->high);
        return isinf(b->low) ? "low" : "high";
    }
    if (b->transform == TRANSFORM_LOGIT && (b->start == b->low || b->start == b->high)) {
        snprintf(why, size, "start %g must lie strictly inside (%g, %g) under transform: logit",
                 b->start, b->low, b->high);
        return "start";
    }
    return NULL;
}

const char *hyper_check_bounds(const hyper_bounds *b, char *why, size_t size)
{
    const hyper_kind_info *k = &kinds[b->kind];

    if (isnan(b->low) || isnan(b->high) || isnan(b->start)) {
        snprintf(why, size, "low, high and start must be numbers, not NaN");
        return isnan(b->low) ? "low" : isnan(b->high) ? "high" : "start";
    }
    if (!(b->low < b->high)) {
        snprintf(why, size, "low %g must lie below high %g", b->low, b->high);
        return "low";
    }
    if (b->low < k->least || (b->high > k->most && !b->multiplier)) {
        snprintf(why, size, "bounds [%g, %g]; %s makes sense in [%g, %g] only", b->low, b->high,
                 k->word, k->least, k->most);
        return b->low < k->least ? "low" : "high";
    }
    if (b->transform == TRANSFORM_LOG && b->start <= 0) {
        snprintf(why, size, "start %g has no logarithm; start above 0 or use transform: identity",
                 b->start);
        return "start";
    }
    if (isinf(b->start) || b->start < b->low || b->start > b->high) {
        snprintf(why, size, "start %g lies outside [low, high] = [%g, %g], or is not finite",
                 b->start, b->low, b->high);
        return "start";
    }
    return check_transform(b, why, size);
}
