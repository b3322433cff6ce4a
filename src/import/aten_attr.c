/* Attributes of a node. */
#include "import/aten.h"
#include <math.h>
#include <string.h>

/* In place of infinities, so that 0 times it is 0: exp of it is 0 in f32 and f64. */
#define HUGE_NUMBER 1e30

static const json_t *attr(const lowering *l, const char *key)
{
    return json_object_get(l->at->attr, key);
}

bool attr_given(const lowering *l, const char *key)
{
    const json_t *v = attr(l, key);

    return v && !json_is_null(v);
}

double attr_number(lowering *l, const char *key, double fallback)
{
    const json_t *v = attr(l, key);
    const char *word = json_string_value(v);

    if (!attr_given(l, key)) return fallback;
    if (json_is_boolean(v)) return json_is_true(v);
    if (json_is_number(v)) return fmax(-HUGE_NUMBER, fmin(HUGE_NUMBER, json_number_value(v)));
    if (word && strcmp(word, "inf") == 0) return HUGE_NUMBER;
    if (word && strcmp(word, "-inf") == 0) return -HUGE_NUMBER;
    aten_refuse(l, "%s is no number", key);
    return fallback;
}

int64_t attr_int(lowering *l, const char *key, int64_t fallback)
{
    int64_t x = fallback;

    attr_ints(l, key, &x, 1);
    return x;
}

bool attr_flag(const lowering *l, const char *key, bool fallback)
{
    return attr_given(l, key) ? json_is_true(attr(l, key)) : fallback;
}

const char *attr_text(const lowering *l, const char *key)
{
    return json_string_value(attr(l, key));
}

int32_t attr_ints(lowering *l, const char *key, int64_t *out, int32_t most)
{
    const json_t *v = attr(l, key);
    const int32_t n = json_is_array(v) ? (int32_t)json_array_size(v) : 1;

    if (!attr_given(l, key)) return 0;
    for (int32_t i = 0; i < n; i++) {
        const json_t *x = json_is_array(v) ? json_array_get(v, (size_t)i) : v;
        if (i >= most || !json_is_integer(x)) {
            aten_refuse(l, "%s is no list of at most %d whole numbers", key, (int)most);
            return 0;
        }
        out[i] = json_integer_value(x);
    }
    return n;
}

static int32_t dimension(lowering *l, int64_t d, int32_t rank)
{
    if (d >= -rank && d < rank) return (int32_t)(d < 0 ? d + rank : d);
    aten_refuse(l, "dimension %lld of %d", (long long)d, (int)rank);
    return -1;
}

int32_t attr_dim(lowering *l, const char *key, int32_t rank)
{
    return dimension(l, attr_int(l, key, 0), rank);
}

uint32_t attr_dims(lowering *l, int32_t rank)
{
    int64_t d[RANK_MAX];
    const int32_t n = attr_ints(l, "dim", d, RANK_MAX);
    uint32_t set = 0;

    for (int32_t i = 0; i < n; i++) {
        const int32_t k = dimension(l, d[i], rank);
        if (k < 0) return 0;
        set |= 1u << k;
    }
    return set ? set : (1u << rank) - 1;
}
