/* What happened when: values by trial, the front, learning curves, workers. */
#include "report/html_study.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- history ---- */

/* What a trial is drawn at: its value, of a pruned one its last report. */
static double height_of(const view_trial *t, int32_t objective, bool alone)
{
    if (t->state == TRIAL_COMPLETE) return view_value_of(t, objective);
    if (t->state == TRIAL_PRUNED && alone && t->n_reports)
        return t->reports[t->n_reports - 1].value;
    return NAN;
}

static drmad_status heights(const study_page *p, int32_t objective, double **out)
{
    const view *v = p->v;
    const drmad_status st = mem_alloc(v->ctx, (size_t)v->n_trials + 1, sizeof **out, out);

    for (int32_t i = 0; i < v->n_trials && st == DRMAD_OK; i++)
        (*out)[i] = height_of(&v->trials[i], objective, v->n_objectives == 1);
    return st;
}

/* A trial that has no value: a stroke at the foot. */
static void put_rug(study_page *p, chart *c, const view_trial *t)
{
    char class[64];

    snprintf(class, sizeof class, "rug %s\" data-trial=\"%lld", page_state_class(t),
             (long long)t->number);
    mark_rect(c, class, scale_at(&c->x, (double)t->number) - 1, c->bottom - 9, 2, 8);
    page_trial_title(p, t);
    mark_end(c);
}

static void put_running_best(study_page *p, chart *c, int32_t objective)
{
    const view *v = p->v;
    trace line = path_start(c, "ln best");
    double best = NAN;

    for (int32_t i = 0; i < v->n_trials; i++) {
        const double x = view_value_of(&v->trials[i], objective);

        if (!view_better(v, objective, x, best)) continue;
        best = x;
        path_step(&line, (double)v->trials[i].number, best);
    }
    if (line.drawn) path_step(&line, (double)v->trials[v->n_trials - 1].number, best);
    path_title(&line);
    text_put(c->t, "best so far");
    path_end(&line);
}

static void put_history_marks(study_page *p, chart *c, int32_t objective, const double *y)
{
    const view *v = p->v;

    for (int32_t i = 0; i < v->n_trials; i++) {
        const view_trial *t = &v->trials[i];
        const bool best = t->best && t->state == TRIAL_COMPLETE;

        if (!best && !page_picks(i, v->n_trials, DOTS_MAX)) continue;
        if (isnan(y[i])) {
            put_rug(p, c, t);
            continue;
        }
        mark_dot(c, best ? "best" : page_state_class(t), (double)t->number, y[i], t->number);
        page_trial_title(p, t);
        mark_end(c);
    }
    if (v->n_objectives == 1) put_running_best(p, c, objective);
}

static void put_improvements(study_page *p, int32_t objective)
{
    const view *v = p->v;
    html *h = p->h;
    double best = NAN;

    html_table(h, "improvements", "trial|value|<worker", true);
    for (int32_t i = 0; i < v->n_trials; i++) {
        const view_trial *t = &v->trials[i];
        const double x = view_value_of(t, objective);

        if (!view_better(v, objective, x, best)) continue;
        best = x;
        html_row(h);
        html_cell_number(h, (double)t->number);
        html_cell_number(h, x);
        html_cell(h, t->worker >= 0 ? v->workers[t->worker] : "");
        html_row_end(h);
    }
    html_table_end(h, true);
}

static drmad_status put_history(study_page *p, int32_t objective)
{
    const view *v = p->v;
    drmad_status st = DRMAD_OK;
    chart c = {0};
    double *y = NULL, *complete = NULL, ends[2] = {0, 1};

    TRY(heights(p, objective, &y));
    ends[0] = (double)v->trials[0].number;
    ends[1] = (double)v->trials[v->n_trials - 1].number;
    c.x = scale_of(ends, 2, false);
    TRY(page_values(p, objective, &complete));
    /* the last report of a pruned trial may lie far above what whole trials come to */
    TRY(scale_of_values(v->ctx, v->n_complete > 4 ? complete : y, v->n_trials, &c.y));
    c.width = CHART_WIDE, c.height = 320;
    html_figure(p->h, v->n_objectives > 1 ? "one objective, by trial" : "value by trial");
    html_legend(p->h, v->n_objectives > 1
                          ? "c complete|best on the front|p pruned|f failed|r running|w waiting"
                          : "c complete|best best so far|p pruned|f failed|r running|w waiting");
    chart_open(&c, p->h, "history");
    chart_axes(&c, "trial", v->objectives[objective]);
    put_history_marks(p, &c, objective, y);
    chart_close(&c);
    if (v->n_objectives == 1) put_improvements(p, objective);
    html_figure_end(p->h);
done:
    mem_free(v->ctx, y);
    mem_free(v->ctx, complete);
    return st;
}

drmad_status page_history(study_page *p)
{
    drmad_status st = DRMAD_OK;
    const view *v = p->v;

    html_section(p->h, "history", "History");
    if (v->n_trials == 0) {
        html_note(p->h, "The study has no trial yet.");
        return st;
    }
    if (v->n_trials > DOTS_MAX)
        html_note(p->h, "About %d of %d trials are drawn, evenly; the line is that of all.",
                  DOTS_MAX, v->n_trials);
    html_figures(p->h, "wide");
    for (int32_t k = 0; k < p->shown; k++) TRY(put_history(p, k));
    html_figures_end(p->h);
done:
    return st;
}

/* ---- the front ---- */

static drmad_status put_front(study_page *p, int32_t a, int32_t b)
{
    const view *v = p->v;
    drmad_status st = DRMAD_OK;
    chart c = {0};
    double *x = NULL, *y = NULL;

    TRY(page_values(p, a, &x));
    TRY(page_values(p, b, &y));
    TRY(scale_of_values(v->ctx, x, v->n_trials, &c.x));
    TRY(scale_of_values(v->ctx, y, v->n_trials, &c.y));
    c.height = 320;
    html_figure(p->h, "two objectives against each other");
    html_legend(p->h, "best on the front|c complete");
    chart_open(&c, p->h, "front");
    chart_axes(&c, v->objectives[a], v->objectives[b]);
    for (int32_t i = 0; i < v->n_trials; i++) {
        const view_trial *t = &v->trials[i];

        if (isnan(x[i]) || isnan(y[i])) continue;
        if (!t->best && !page_picks(i, v->n_trials, DOTS_MAX)) continue;
        mark_dot(&c, t->best ? "best" : "c", x[i], y[i], t->number);
        page_trial_title(p, t);
        mark_end(&c);
    }
    chart_close(&c);
    html_figure_end(p->h);
done:
    mem_free(v->ctx, x);
    mem_free(v->ctx, y);
    return st;
}

drmad_status page_front(study_page *p)
{
    drmad_status st = DRMAD_OK;

    if (p->v->n_objectives < 2 || p->v->n_complete == 0) return st;
    html_section(p->h, "front", "Pareto front");
    html_note(p->h, "On the front no other trial is better in one objective without being worse in "
                    "another.");
    html_figures(p->h, "");
    for (int32_t b = 1; b < p->shown; b++)
        for (int32_t a = 0; a < b; a++) TRY(put_front(p, a, b));
    html_figures_end(p->h);
done:
    return st;
}

/* ---- learning curves ---- */

/* Which trials have a curve that is drawn: the best and, evenly, others. Gives how many have. */
static int32_t pick_curves(const study_page *p, bool *drawn)
{
    const view *v = p->v;
    int32_t have = 0, seen = 0, best = 0;

    for (int32_t i = 0; i < v->n_trials; i++) have += v->trials[i].n_reports > 0;
    for (int32_t k = 0; k < v->n_trials && best < CURVES_MAX / 2; k++) {
        const int32_t i = p->order[0][k];

        if (v->trials[i].n_reports == 0) continue;
        drawn[i] = true;
        best++;
    }
    for (int32_t i = 0; i < v->n_trials; i++)
        if (v->trials[i].n_reports && page_picks(seen++, have, CURVES_MAX / 2)) drawn[i] = true;
    return have;
}

static drmad_status curve_scales(const study_page *p, const bool *drawn, chart *c)
{
    const view *v = p->v;
    drmad_status st = DRMAD_OK;
    double *x = NULL, *y = NULL;
    size_t n = 0, k = 0;

    for (int32_t i = 0; i < v->n_trials; i++) n += drawn[i] ? (size_t)v->trials[i].n_reports : 0;
    TRY(mem_alloc(v->ctx, n + 1, sizeof *x, &x));
    TRY(mem_alloc(v->ctx, n + 1, sizeof *y, &y));
    for (int32_t i = 0; i < v->n_trials; i++) {
        for (int32_t j = 0; drawn[i] && j < v->trials[i].n_reports; j++) {
            x[k] = (double)v->trials[i].reports[j].step;
            y[k++] = v->trials[i].reports[j].value;
        }
    }
    c->x = scale_of(x, (int64_t)n, false);
    TRY(scale_of_values(v->ctx, y, (int64_t)n, &c->y));
done:
    mem_free(v->ctx, x);
    mem_free(v->ctx, y);
    return st;
}

static void put_curve(study_page *p, chart *c, const view_trial *t)
{
    static const char *const classes[] = {"ln r", "ln", "ln p", "ln f", "ln"};
    char class[64];
    const int32_t every = t->n_reports / 150 + 1;

    snprintf(class, sizeof class, "%s\" data-trial=\"%lld\" stroke-opacity=\"%s",
             t->best ? "ln best" : classes[t->state], (long long)t->number, t->best ? "1" : "0.5");
    trace line = path_start(c, class);
    for (int32_t j = 0; j < t->n_reports; j++) {
        if (j % every && j + 1 < t->n_reports) continue;
        path_to(&line, (double)t->reports[j].step, t->reports[j].value);
    }
    if (t->n_reports == 1) path_to(&line, (double)t->reports[0].step, t->reports[0].value);
    path_title(&line);
    page_trial_title(p, t);
    path_end(&line);
}

static void put_last_reports(study_page *p, const bool *drawn)
{
    const view *v = p->v;
    html *h = p->h;

    html_table(h, "curves", "trial|<state|reports|last step|last value", true);
    for (int32_t i = 0; i < v->n_trials; i++) {
        const view_trial *t = &v->trials[i];

        if (!drawn[i]) continue;
        html_row(h);
        html_cell_number(h, (double)t->number);
        html_cell(h, trial_state_word(t->state));
        html_cell_number(h, t->n_reports);
        html_cell_number(h, (double)t->reports[t->n_reports - 1].step);
        html_cell_number(h, t->reports[t->n_reports - 1].value);
        html_row_end(h);
    }
    html_table_end(h, true);
}

drmad_status page_curves(study_page *p)
{
    const view *v = p->v;
    drmad_status st = DRMAD_OK;
    chart c = {.width = CHART_WIDE, .height = 340};
    bool *drawn = NULL;

    TRY(mem_alloc(v->ctx, (size_t)v->n_trials + 1, sizeof *drawn, &drawn));
    const int32_t have = pick_curves(p, drawn);
    if (have == 0) goto done;
    html_section(p->h, "curves", "Learning curves");
    if (have > CURVES_MAX)
        html_note(p->h, "Of %d curves the best %d are drawn, and others evenly.", have,
                  CURVES_MAX / 2);
    TRY(curve_scales(p, drawn, &c));
    html_figures(p->h, "wide");
    html_figure(p->h, "intermediate values by step");
    html_legend(p->h, "c complete|best best|p pruned|f failed|r running");
    chart_open(&c, p->h, "curves");
    chart_axes(&c, "step", "intermediate value");
    for (int pass = 0; pass < 2; pass++) /* the best above all */
        for (int32_t i = 0; i < v->n_trials; i++)
            if (drawn[i] && v->trials[i].best == (pass == 1)) put_curve(p, &c, &v->trials[i]);
    chart_close(&c);
    put_last_reports(p, drawn);
    html_figure_end(p->h);
    html_figures_end(p->h);
done:
    mem_free(v->ctx, drawn);
    return st;
}

/* ---- workers ---- */

typedef struct bar {
    const view_trial *t;
    double start, end;
    int32_t lane;
} bar;

typedef struct lanes {
    double end[LANES_MAX];
    char *names[LANES_MAX]; /* borrowed */
    int32_t worker[LANES_MAX], n, left_out;
} lanes;

static int by_worker(const void *a, const void *b)
{
    const bar *x = a, *y = b;

    if (x->t->worker != y->t->worker) return x->t->worker < y->t->worker ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* The first lane of its worker that is free, else a new one. */
static void put_in_lane(const view *v, lanes *l, bar *b)
{
    static char unknown[] = "unknown", same[] = "";
    const int32_t w = b->t->worker;
    int32_t i = 0;
    bool known = false;

    for (; i < l->n; i++) {
        known = known || l->worker[i] == w;
        if (l->worker[i] == w && l->end[i] <= b->start) break;
    }
    b->lane = i < LANES_MAX ? i : -1;
    if (b->lane < 0) {
        l->left_out++;
        return;
    }
    if (i == l->n) {
        l->worker[i] = w;
        l->names[i] = known ? same : w < 0 ? unknown : v->workers[w];
        l->n++;
    }
    l->end[i] = b->end;
}

static drmad_status make_bars(const view *v, lanes *l, bar **out, int32_t *n)
{
    drmad_status st = DRMAD_OK;
    double last = -HUGE_VAL;

    *n = 0;
    TRY(mem_alloc(v->ctx, (size_t)v->n_trials + 1, sizeof **out, out));
    for (int32_t i = 0; i < v->n_trials; i++) {
        last = fmax(last, v->trials[i].start); /* fmax leaves NaN out */
        last = fmax(last, v->trials[i].complete);
    }
    for (int32_t i = 0; i < v->n_trials; i++) {
        const view_trial *t = &v->trials[i];

        if (isnan(t->start)) continue;
        (*out)[(*n)++] =
            (bar){t, t->start, isnan(t->complete) ? last : fmax(t->start, t->complete), -1};
    }
    qsort(*out, (size_t)*n, sizeof **out, by_worker);
    for (int32_t i = 0; i < *n; i++) put_in_lane(v, l, &(*out)[i]);
done:
    return st;
}

typedef struct time_unit {
    const char *word;
    double seconds;
} time_unit;

static time_unit unit_for(double span)
{
    static const time_unit units[] = {
        {"seconds", 1}, {"minutes", 60}, {"hours", 3600}, {"days", 86400}};
    size_t i = 0;

    while (i + 1 < COUNT(units) && span > 3 * units[i + 1].seconds) i++;
    return units[i];
}

static void put_bar(study_page *p, chart *c, const bar *b, const double *from_unit)
{
    const double x0 = scale_at(&c->x, (b->start - from_unit[0]) / from_unit[1]);
    const double x1 = scale_at(&c->x, (b->end - from_unit[0]) / from_unit[1]);
    char class[64], buf[HTML_NUMBER];

    snprintf(class, sizeof class, "span %s\" data-trial=\"%lld", page_state_class(b->t),
             (long long)b->t->number);
    mark_rect(c, class, x0, scale_at(&c->y, b->lane) - 6, fmax(1.2, x1 - x0 - 0.4), 12);
    text_say(c->t, "%s\n", html_duration(b->end - b->start, buf));
    page_trial_title(p, b->t);
    mark_end(c);
}

static void put_timeline(study_page *p, const lanes *l, const bar *bars, int32_t n)
{
    double first = HUGE_VAL, last = -HUGE_VAL, ends[2] = {0, 0};
    chart c = {.width = CHART_WIDE, .height = 54 + 20 * l->n, .left = 170, .y_down = true};

    for (int32_t i = 0; i < n; i++)
        first = fmin(first, bars[i].start), last = fmax(last, bars[i].end);
    const time_unit unit = unit_for(last - first);
    const double from_unit[2] = {first, unit.seconds};
    char name[64];

    ends[1] = (last - first) / unit.seconds;
    snprintf(name, sizeof name, "%s since the first start", unit.word);
    c.x = scale_of(ends, 2, false);
    c.y = scale_of_names(l->names, l->n);
    html_figure(p->h, "when each trial ran, a row or more a worker");
    html_legend(p->h, "c complete|p pruned|f failed|r running");
    chart_open(&c, p->h, "timeline");
    chart_axes(&c, name, NULL);
    for (int32_t i = 0; i < n; i++)
        if (bars[i].lane >= 0 && page_picks(i, n, DOTS_MAX)) put_bar(p, &c, &bars[i], from_unit);
    chart_close(&c);
}

static void put_workers(study_page *p, const bar *bars, int32_t n)
{
    const view *v = p->v;
    html *h = p->h;
    char buf[HTML_NUMBER];

    html_table(h, "workers", "<worker|trials|complete|<busy", true);
    for (int32_t i = 0, k; i < n; i = k) {
        const int32_t w = bars[i].t->worker;
        int32_t complete = 0;
        double busy = 0;

        for (k = i; k < n && bars[k].t->worker == w; k++) {
            complete += bars[k].t->state == TRIAL_COMPLETE;
            busy += bars[k].end - bars[k].start;
        }
        html_row(h);
        html_cell(h, w < 0 ? "unknown" : v->workers[w]);
        html_cell_number(h, k - i);
        html_cell_number(h, complete);
        html_cell(h, html_duration(busy, buf));
        html_row_end(h);
    }
    html_table_end(h, true);
}

drmad_status page_timeline(study_page *p)
{
    const view *v = p->v;
    drmad_status st = DRMAD_OK;
    lanes l = {.n = 0};
    bar *bars = NULL;
    int32_t n = 0;

    TRY(make_bars(v, &l, &bars, &n));
    if (n == 0) goto done;
    html_section(p->h, "timeline", "Workers");
    if (l.left_out) html_note(p->h, "%d trials of more workers are not drawn.", l.left_out);
    if (n > DOTS_MAX) html_note(p->h, "About %d of %d trials are drawn, evenly.", DOTS_MAX, n);
    html_figures(p->h, "wide");
    put_timeline(p, &l, bars, n);
    put_workers(p, bars, n);
    html_figure_end(p->h);
    html_figures_end(p->h);
done:
    mem_free(v->ctx, bars);
    return st;
}
