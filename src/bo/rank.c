/* Trials in the order in which they are good. */
#include "bo/sampler_inside.h"
#include <math.h>
#include <stdlib.h>

static int compare(double a, double b)
{
    return a < b ? -1 : a > b;
}

static double value_of(const observation *o)
{
    return o->state == OBSERVED_FAILED || isnan(o->value) ? INFINITY : o->value;
}

/* How far a pruned trial got; one that has reported nothing comes last. */
static double lived(const observation *o)
{
    if (o->state != OBSERVED_PRUNED) return 0;
    return isnan(o->value) ? -1 : (double)o->step;
}

static int by_rank(const void *a, const void *b)
{
    const observation *p = *(const observation *const *)a, *q = *(const observation *const *)b;
    int order = (int)p->state - (int)q->state;

    if (order == 0) order = compare(lived(q), lived(p));
    if (order == 0) order = compare(value_of(p), value_of(q));
    return order ? order : compare((double)p->number, (double)q->number);
}

void rank_rows(const observation **rows, int32_t n)
{
    qsort(rows, (size_t)n, sizeof *rows, by_rank);
}
