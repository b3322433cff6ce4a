/* Base learning rate schedules. */
#include "optim/schedule.h"
#include <math.h>

double schedule_at(const schedule *s, int64_t t)
{
    if (s->kind == SCHEDULE_TABLE) return s->rate * s->factor[t];
    if (t < s->warmup) return s->rate * (double)(t + 1) / (double)s->warmup;
    const double left = (double)(s->steps - s->warmup),
                 x = left > 0 ? (double)(t - s->warmup) / left : 0;

    switch (s->kind) {
    case SCHEDULE_COSINE:
        return s->rate * (s->final + (1 - s->final) * 0.5 * (1 + cos(3.14159265358979323846 * x)));
    case SCHEDULE_LINEAR: return s->rate * (1 + (s->final - 1) * x);
    case SCHEDULE_STEP: return s->rate * pow(s->gamma, (double)((t - s->warmup) / s->every));
    default: return s->rate;
    }
}
