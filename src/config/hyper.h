/* The enums of hyperparameters and their words. Here and not in space/, because the study file
 * speaks them too. */
#ifndef HYPER_H
#define HYPER_H
#include <stdbool.h>
#include <stddef.h>

typedef enum hyper_kind {
#define HYPER_KIND(id, word, transform, low, high, start, least, most, text) HYPER_##id,
#include "config/hyper.def"
#undef HYPER_KIND
    HYPER_KIND_COUNT
} hyper_kind;

typedef enum hyper_per {
#define HYPER_PER(id, word, text) PER_##id,
#include "config/hyper.def"
#undef HYPER_PER
    HYPER_PER_COUNT
} hyper_per;

typedef enum hyper_transform {
#define HYPER_TRANSFORM(id, word, text) TRANSFORM_##id,
#include "config/hyper.def"
#undef HYPER_TRANSFORM
    HYPER_TRANSFORM_COUNT
} hyper_transform;

/* What a kind does when the study says nothing, and the values that make sense for it at all. */
typedef struct hyper_kind_info {
    const char *word, *text;
    hyper_transform transform;
    double low, high, start; /* defaults */
    double least, most;      /* no bound may lie beyond; most may be INFINITY */
} hyper_kind_info;

const hyper_kind_info *hyper_kind_of(hyper_kind k);
const char *hyper_per_word(hyper_per p);
const char *hyper_transform_word(hyper_transform t);
/* The bounds of a declaration that names none: as the kind says where the transform can reach them.
 */
double hyper_low(hyper_kind k, hyper_transform t);
double hyper_high(hyper_kind k, hyper_transform t);

/* Whether bounds and start make sense together: the key at fault ("low", "high" or "start") and in
 * `why` the reason, with the values; NULL when all is well. */
typedef struct hyper_bounds {
    hyper_kind kind;
    hyper_transform transform;
    double low, high, start;
    bool multiplier; /* a factor: of the kind only the sign matters */
} hyper_bounds;
const char *hyper_check_bounds(const hyper_bounds *b, char *why, size_t size);
#endif
