/* Base learning rate schedules. Each is rate times a factor, and each factor either a mean of its
 * ends with weights that depend on the step alone, or a power of gamma:
 *
 *   factor = a(t) + final (1 - a(t))     or     gamma^n(t)
 *
 * so the derivatives are a line each. Sources: torch.optim.lr_scheduler, version 2.13:
 * CosineAnnealingLR, LinearLR, StepLR, MultiStepLR, PolynomialLR, OneCycleLR (two phases, cosine),
 * CosineAnnealingWarmRestarts. Checked: tests/optim/test_schedule.c, tests/torch/test_sgd.py. */
#include "optim/schedule.h"
#include <math.h>

/* From 1 at x = 0 to 0 at x = 1. */
static double falling_cosine(double x)
{
    return 0.5 * (1 + cos(3.14159265358979323846 * x));
}

/* How far step t is in its cycle. */
static double in_cycle(const schedule *s, int64_t t)
{
    int64_t length = s->every;

    while (t >= length) {
        t -= length;
        if (length <= INT64_MAX / s->stretch / 2) length *= s->stretch;
    }
    return (double)t / (double)length;
}

static int64_t passed(const schedule *s, int64_t t)
{
    int64_t n = 0;

    while (n < s->milestones && s->milestone[n] <= (double)t) n++;
    return n;
}

/* One-cycle on its way up: how much of the initial factor is left, in *initial, and the peak's
 * weight; on its way down the final factor's weight is 1 - a. */
static double one_cycle(const schedule *s, double t, double *initial)
{
    const double top = s->rise * (double)s->steps - 1, last = (double)s->steps - 1;

    *initial = t <= top && top > 0 ? falling_cosine(t / top) : 0;
    if (*initial > 0) return 1 - *initial;
    return last > top ? falling_cosine((t - top) / (last - top)) : 1;
}

/* A factor as a + i initial + (1 - a - i) final where n < 0, else as gamma^n. */
typedef struct parts {
    double a, initial;
    int64_t n;
} parts;

static parts parts_at(const schedule *s, int64_t t)
{
    const double left = (double)(s->steps - s->warmup);
    const int64_t since = t - s->warmup;
    const double x = left > 0 ? (double)since / left : 0;
    parts p = {.n = -1};

    switch (s->kind) {
    case SCHEDULE_COSINE: p.a = falling_cosine(x); break;
    case SCHEDULE_LINEAR: p.a = 1 - x; break;
    case SCHEDULE_POLYNOMIAL: p.a = pow(1 - x, s->power); break;
    case SCHEDULE_RESTARTS: p.a = falling_cosine(in_cycle(s, since)); break;
    case SCHEDULE_ONE_CYCLE: p.a = one_cycle(s, (double)t, &p.initial); break;
    case SCHEDULE_STEP: p.n = since / s->every; break;
    case SCHEDULE_MULTI_STEP: p.n = passed(s, since); break;
    default: p.n = 0;
    }
    return p;
}

static double factor_of(const schedule *s, const parts *p)
{
    if (p->n >= 0) return pow(s->gamma, (double)p->n);
    if (s->kind == SCHEDULE_LINEAR) return 1 + (s->final - 1) * (1 - p->a); /* 1 at the start */
    return s->final + (1 - s->final) * p->a + p->initial * (s->initial - s->final);
}

double schedule_at(const schedule *s, int64_t t)
{
    if (s->kind == SCHEDULE_TABLE) return s->rate * s->factor[t];
    if (t < s->warmup) return s->rate * (double)(t + 1) / (double)s->warmup;
    const parts p = parts_at(s, t);

    return s->rate * factor_of(s, &p);
}

schedule_slope schedule_slope_at(const schedule *s, int64_t t)
{
    if (s->kind == SCHEDULE_TABLE) return (schedule_slope){.rate = s->factor[t]};
    if (t < s->warmup) return (schedule_slope){.rate = (double)(t + 1) / (double)s->warmup};
    const parts p = parts_at(s, t);
    schedule_slope d = {.rate = factor_of(s, &p)};

    if (p.n > 0) d.gamma = s->rate * (double)p.n * pow(s->gamma, (double)(p.n - 1));
    if (p.n < 0) d.final = s->rate * (1 - p.a - p.initial);
    return d;
}
