/* A study at a glance, for a terminal that is drawn again and again: best so far, how it went, what
 * runs. */
#include "base/number.h"
#include "report/view.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SPARKS = 48, RUNNING_SHOWN = 12 };

/* The best so far at `SPARKS` moments, as blocks of eight heights: the better, the lower, whatever
 * the direction. */
static drmad_status put_sparks(buffer *b, const view *v)
{
    double best[SPARKS], low = HUGE_VAL, high = -HUGE_VAL, x = NAN;
    int32_t n = 0, seen = 0;

    for (int32_t i = 0; i < v->n_trials; i++) {
        const double y = view_value_of(&v->trials[i], 0);

        if (isnan(y)) continue;
        if (view_better(v, 0, y, x)) x = y;
        seen++;
        while (n < SPARKS && (int64_t)(n + 1) * v->n_complete <= (int64_t)seen * SPARKS)
            best[n++] = x;
    }
    for (int32_t i = 0; i < n; i++) {
        if (!isfinite(best[i])) continue;
        low = fmin(low, best[i]), high = fmax(high, best[i]);
    }
    buffer_say(b, "%-10s ", "history");
    for (int32_t i = 0; i < n; i++) {
        double share = high > low ? (best[i] - low) / (high - low) : 0;

        if (v->directions[0] == DIRECTION_MAXIMIZE) share = 1 - share;
        if (!isfinite(best[i])) share = 1;
        const char block[] = {'\xe2', '\x96', (char)(0x81 + (int)lround(7 * share)), 0};
        buffer_text(b, block);
    }
    return buffer_text(b, "\n");
}

static void put_params(buffer *b, const view *v, const view_trial *t)
{
    char buf[64];

    for (int32_t i = 0; i < t->n_params && i < 6; i++) {
        const view_param *p = &v->params[t->params[i].param];

        buffer_text(b, i ? ", " : "  ");
        buffer_name(b, p->name);
        buffer_text(b, " ");
        buffer_name(b, view_show(p, t->params[i].x, buf));
    }
}

static void put_best(buffer *b, const view *v)
{
    char number[NUMBER_SIZE];

    for (int32_t i = 0, shown = 0; i < v->n_trials && shown < 3; i++) {
        const view_trial *t = &v->trials[i];

        if (!t->best) continue;
        shown++;
        buffer_say(b, "%-10s ", shown == 1 ? "best" : "");
        for (int32_t k = 0; k < t->n_values; k++)
            buffer_say(b, "%s%s", k ? " " : "", number_print(t->values[k], number));
        buffer_say(b, "  trial %lld", (long long)t->number);
        put_params(b, v, t);
        buffer_text(b, "\n");
    }
}

static void put_running(buffer *b, const view *v, double now)
{
    char number[NUMBER_SIZE];
    int32_t shown = 0, all = 0;

    for (int32_t i = 0; i < v->n_trials; i++) {
        const view_trial *t = &v->trials[i];

        if (t->state != TRIAL_RUNNING || all++ >= RUNNING_SHOWN) continue;
        buffer_say(b, "%-10s trial %-5lld", shown++ ? "" : "running", (long long)t->number);
        if (!isnan(t->start)) buffer_say(b, " %6.0f s", fmax(0, now - t->start));
        if (t->n_reports) {
            const store_report *r = &t->reports[t->n_reports - 1];

            buffer_say(b, "  step %lld: %s", (long long)r->step, number_print(r->value, number));
        }
        put_params(b, v, t);
        buffer_text(b, "\n");
    }
    if (all > shown) buffer_say(b, "%-10s and %d more\n", "", all - shown);
}

drmad_status report_live(store *s, const char *study, buffer *b)
{
    drmad_status st = DRMAD_OK;
    int32_t count[TRIAL_STATE_COUNT] = {0};
    view *v = NULL;

    TRY(view_read(s, study, &v));
    for (int32_t i = 0; i < v->n_trials; i++) count[v->trials[i].state]++;
    buffer_say(b, "%-10s ", "study");
    buffer_name(b, v->name);
    buffer_say(b, "\n%-10s %d: %d complete, %d running, %d waiting, %d pruned, %d failed\n",
               "trials", v->n_trials, count[TRIAL_COMPLETE], count[TRIAL_RUNNING],
               count[TRIAL_WAITING], count[TRIAL_PRUNED], count[TRIAL_FAIL]);
    put_best(b, v);
    if (v->n_complete > 1 && v->n_objectives == 1) put_sparks(b, v);
    put_running(b, v, (double)time(NULL));
    st = b->st;
done:
    view_free(v);
    return st;
}
