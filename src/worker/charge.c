/* What a search has cost so far, from its store alone: so every worker sees the same, and one that
 * goes on after a cut too. */
#include "worker/charge.h"
#include "base/number.h"
#include "trials/session.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct span {
    double from, to;
} span;

typedef struct bill {
    drmad_ctx *ctx;
    double run, lease; /* a trial that says nothing; how long a lost worker may have been at it */
    double macs;
    span *spans;
    size_t n, room;
} bill;

/* "YYYY-MM-DD HH:MM:SS.ffffff", UTC, in seconds. */
static bool read_time(const char *text, double *out)
{
    struct tm at = {0};
    double seconds;

    if (!text || sscanf(text, "%d-%d-%d %d:%d:%lf", &at.tm_year, &at.tm_mon, &at.tm_mday,
                        &at.tm_hour, &at.tm_min, &seconds) != 6)
        return false;
    at.tm_year -= 1900;
    at.tm_mon--;
    *out = (double)timegm(&at) + seconds;
    return true;
}

static const store_attr *find(const store_trial *t, const char *key)
{
    for (int32_t i = 0; i < t->n_attrs; i++)
        if (!t->attrs[i].system && strcmp(t->attrs[i].key, key) == 0) return &t->attrs[i];
    return NULL;
}

static drmad_status add_span(bill *b, span s)
{
    drmad_status st = DRMAD_OK;

    if (b->n == b->room) {
        const size_t room = 2 * b->room + 64;

        TRY(mem_resize(b->ctx, &b->spans, b->room, room, sizeof *b->spans));
        b->room = room;
    }
    b->spans[b->n++] = s;
done:
    return st;
}

static drmad_status take_trial(void *user, const store_trial *t)
{
    bill *b = user;
    const store_attr *macs = find(t, "result:macs");
    /* a trial whose worker was lost is closed by the next one, maybe days later */
    const bool lost = t->state == TRIAL_FAIL && !find(t, "fail_reason");
    double x;
    span s;

    b->macs += macs && number_read(macs->json, &x) && isfinite(x) ? x : b->run;
    if (!read_time(t->start, &s.from) || !read_time(t->complete, &s.to)) return DRMAD_OK;
    if (lost) s.to = fmin(s.to, s.from + b->lease);
    return add_span(b, s);
}

static int by_start(const void *a, const void *b)
{
    const span *x = a, *y = b;

    return (x->from > y->from) - (x->from < y->from);
}

/* Seconds in at least one of them. */
static double length_of_union(span *s, size_t n)
{
    double sum = 0, until = -HUGE_VAL;

    if (n > 0) qsort(s, n, sizeof *s, by_start);
    for (size_t i = 0; i < n; i++) {
        sum += fmax(0, s[i].to - fmax(s[i].from, until));
        until = fmax(until, s[i].to);
    }
    return sum;
}

drmad_status search_charged(drmad_study *s, double run_macs, charged *out)
{
    const unsigned ended =
        STATE_BIT(TRIAL_COMPLETE) | STATE_BIT(TRIAL_PRUNED) | STATE_BIT(TRIAL_FAIL);
    bill b = {.ctx = s->ctx, .lease = s->cfg->set.worker.lease};
    drmad_status st = DRMAD_OK;

    b.run = run_macs * (double)s->cfg->set.objective.seeds;
    *out = (charged){0};
    TRY(store_trial_each(s->session->store, s->session->study, -1, ended, take_trial, &b));
    out->macs = b.macs;
    out->seconds = length_of_union(b.spans, b.n);
done:
    mem_free(s->ctx, b.spans);
    return st;
}

void search_limits(const config_study *c, double *runs, double *seconds)
{
    const double share = c->stages.n > 0 ? c->stages.at[0].share : 0;

    *runs = c->budget.runs * share;
    *seconds = 60 * c->budget.minutes * share;
}
