/* Which parameters matter and where they are good: importances, parallel coordinates, slices, a
 * map of two. */
#include "report/base64.h"
#include "report/html_study.h"
#include "base/rng.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- scales ---- */

static scale scale_of_param(const view_param *p)
{
    const search_param *d = p->d;

    if (d->type == SEARCH_CATEGORICAL) return scale_of_names(d->texts, d->n_choices);
    return scale_of((const double[]){d->low, d->high}, 2, d->log);
}

/* Choices of one column are drawn side by side, always at the same place. */
static double spread(const view_param *p, double x, int64_t number)
{
    if (p->d->type != SEARCH_CATEGORICAL || isnan(x)) return x;
    return x + 0.5 * (rng_uniform((rng_key){1, 0, 0}, (uint64_t)number) - 0.5);
}

/* ---- importances ---- */

static void put_importance_bars(study_page *p, const importance *m, int32_t n)
{
    const view *v = p->v;
    chart c = {.height = 50 + 22 * n, .left = 150, .y_down = true};
    char *names[2 * PARAMS_SHOWN];

    for (int32_t k = 0; k < n; k++) names[k] = v->params[m->order[k]].name;
    c.x = (scale){.low = 0, .high = fmax(0.05, 1.05 * m->alone[m->order[0]])};
    c.y = scale_of_names(names, n);
    chart_open(&c, p->h, "importance");
    chart_axes(&c, "share of the variance", NULL);
    for (int32_t k = 0; k < n; k++) {
        const double share = m->alone[m->order[k]];

        mark_rect(&c, "bar", c.left, scale_at(&c.y, k) - 7,
                  fmax(0.5, scale_at(&c.x, share) - c.left), 14);
        html_text(c.t, names[k]);
        text_say(c.t, ": %.3f", share);
        mark_end(&c);
    }
    chart_close(&c);
}

static void put_importance_table(study_page *p, const importance *m, int32_t n)
{
    const view *v = p->v;
    html *h = p->h;
    const int32_t paired = m->d < IMPORTANCE_PAIRED ? m->d : IMPORTANCE_PAIRED;

    html_table(h, "importances", "<parameter|<with|share", true);
    for (int32_t k = 0; k < n; k++) {
        html_row(h);
        html_cell(h, v->params[m->order[k]].name);
        html_cell(h, "alone");
        html_cell_number(h, m->alone[m->order[k]]);
        html_row_end(h);
    }
    for (int32_t a = 0; a < paired; a++)
        for (int32_t b = a + 1; b < paired; b++) {
            html_row(h);
            html_cell(h, v->params[m->order[a]].name);
            html_cell(h, v->params[m->order[b]].name);
            html_cell_number(h, m->both[m->order[a] * m->d + m->order[b]]);
            html_row_end(h);
        }
    html_table_end(h, true);
}

static void put_importance(study_page *p, int32_t objective)
{
    const importance *m = p->weights[objective];
    const int32_t n = m->d < 2 * PARAMS_SHOWN ? m->d : 2 * PARAMS_SHOWN;
    text_out caption = {.ctx = p->v->ctx};

    if (p->v->n_objectives > 1) text_put(&caption, p->v->objectives[objective]);
    else text_put(&caption, "fANOVA: what a parameter explains alone");
    html_figure(p->h, caption.text ? caption.text : "");
    text_free(&caption);
    put_importance_bars(p, m, n);
    put_importance_table(p, m, n);
    html_figure_end(p->h);
}

drmad_status page_importance(study_page *p)
{
    if (p->v->n_params == 0) return DRMAD_OK;
    html_section(p->h, "importance", "Importances");
    if (p->weights[0]->rows == 0) {
        html_note(p->h, "Importances need %d complete trials whose values differ.",
                  IMPORTANCE_LEAST);
        return DRMAD_OK;
    }
    html_note(p->h,
              "The share of the variance of the objective over the whole space that each parameter "
              "explains alone, from a random forest of %d trees on %d trials (Hutter et al. 2014). "
              "Pairs under Numbers: what two explain together beyond that.",
              IMPORTANCE_TREES, p->weights[0]->rows);
    html_figures(p->h, "");
    for (int32_t k = 0; k < p->shown; k++)
        if (p->weights[k]->rows) put_importance(p, k);
    html_figures_end(p->h);
    return DRMAD_OK;
}

/* ---- parallel coordinates ---- */

enum { AXES_MAX = 10 };

typedef struct axis {
    scale s;
    int32_t param; /* -1: the objective */
    const char *name;
    double x;
} axis;

static void put_axis(chart *c, const axis *a, double width)
{
    const int most = (int)(width / 6.2);
    double at[TICKS_MAX];
    const int n = scale_ticks(&a->s, a->s.kind == SCALE_NAMES ? 14 : 5, at);
    char label[64];

    text_say(c->t,
             "<path class=\"ax\" d=\"M%.1f %.1fV%.1f\"/><text x=\"%.1f\" y=\"16\" "
             "text-anchor=\"middle\">",
             a->x, c->top, c->bottom, a->x);
    html_text_cut(c->t, a->name, most);
    text_put(c->t, "<title>");
    html_text(c->t, a->name);
    text_put(c->t, "</title></text>");
    for (int i = 0; i < n; i++) {
        const char *name = label;

        if (a->s.kind == SCALE_NAMES) name = a->s.names[(int)at[i]];
        else scale_label(&a->s, at[i], label, sizeof label);
        text_say(c->t, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\">", a->x + 4,
                 scale_at(&a->s, at[i]) + 4);
        html_text_cut(c->t, name, most - 1);
        text_put(c->t, "</text>");
    }
    text_put(c->t, "\n");
}

static double axis_value(const view_trial *t, const axis *a)
{
    return a->param < 0 ? view_value_of(t, -1 - a->param) : view_x(t, a->param);
}

/* A parameter that is not there breaks the line. */
static void put_thread(study_page *p, chart *c, const axis *axes, const int32_t *place)
{
    const view_trial *t = &p->v->trials[p->order[0][place[0]]];
    const double share = place[1] > 1 ? (double)place[0] / (place[1] - 1) : 0;
    bool open = false;

    text_say(c->t, "<path class=\"%s\" data-trial=\"%lld\" stroke-opacity=\"%.2f\" d=\"",
             place[0] == 0 ? "ln best" : "ln", (long long)t->number,
             place[0] == 0 ? 1.0 : 0.08 + 0.72 * pow(1 - share, 2));
    for (int32_t i = 0; i < place[2]; i++) {
        const double x = axis_value(t, &axes[i]);

        if (!isnan(x))
            text_say(c->t, "%c%.1f %.1f", open ? 'L' : 'M', axes[i].x, scale_at(&axes[i].s, x));
        open = !isnan(x);
    }
    text_put(c->t, "\"><title>");
    page_trial_title(p, t);
    text_put(c->t, "</title></path>\n");
}

static int32_t make_axes(study_page *p, const scale *scales, axis *axes, chart *c)
{
    const view *v = p->v;
    int32_t n = 0;

    for (int32_t k = 0; k < p->shown; k++)
        axes[n++] = (axis){.s = scales[k], .param = -1 - k, .name = v->objectives[k]};
    for (int32_t k = 0; k < v->n_params && n < AXES_MAX; k++) {
        const int32_t i = p->weights[0]->order[k];

        axes[n++] =
            (axis){.s = scale_of_param(&v->params[i]), .param = i, .name = v->params[i].name};
    }
    for (int32_t i = 0; i < n; i++) {
        axes[i].s.from = c->bottom, axes[i].s.to = c->top;
        axes[i].x = c->left + (c->right - c->left) * i / (n > 1 ? n - 1 : 1);
    }
    return n;
}

static void put_parallel(study_page *p, const scale *scales)
{
    chart c = {.width = CHART_WIDE,
               .height = 360,
               .left = 30,
               .right = CHART_WIDE - 70,
               .top = 28,
               .bottom = 344};
    axis axes[AXES_MAX + OBJECTIVES_SHOWN];
    int32_t drawn = 0;
    const int32_t all = p->v->n_complete;

    html_figure(p->h, "a line a trial; the darker, the better its value");
    html_legend(p->h, p->v->n_objectives > 1 ? "best best in the first objective|c complete"
                                             : "best best|c complete");
    chart_open(&c, p->h, "parallel");
    const int32_t n = make_axes(p, scales, axes, &c);
    for (int32_t k = all - 1; k >= 0; k--) {
        const bool good = k < LINES_MAX / 2;
        const int32_t rest = all - LINES_MAX / 2;

        if (!good && !page_picks(k - LINES_MAX / 2, rest, LINES_MAX / 2)) continue;
        if (isnan(view_value_of(&p->v->trials[p->order[0][k]], 0))) continue;
        put_thread(p, &c, axes, (const int32_t[]){k, all, n});
        drawn++;
    }
    for (int32_t i = 0; i < n; i++)
        put_axis(&c, &axes[i], (c.right - c.left) / (n > 1 ? n - 1 : 1));
    chart_close(&c);
    if (drawn < all) html_note(p->h, "%d of %d trials: the best, and others evenly.", drawn, all);
    html_figure_end(p->h);
}

drmad_status page_parallel(study_page *p)
{
    const view *v = p->v;
    drmad_status st = DRMAD_OK;
    scale scales[OBJECTIVES_SHOWN];
    double *values = NULL;

    if (v->n_complete == 0 || v->n_params == 0) return st;
    for (int32_t k = 0; k < p->shown; k++) {
        TRY(page_values(p, k, &values));
        TRY(scale_of_values(v->ctx, values, v->n_trials, &scales[k]));
        mem_free(v->ctx, values);
        values = NULL;
    }
    html_section(p->h, "parallel", "Parallel coordinates");
    html_figures(p->h, "wide");
    put_parallel(p, scales);
    html_figures_end(p->h);
done:
    mem_free(v->ctx, values);
    return st;
}

/* ---- slices ---- */

static void put_slice(study_page *p, int32_t objective, int32_t param, const scale *y)
{
    const view *v = p->v;
    const view_param *d = &v->params[param];
    chart c = {.width = CHART_SMALL, .height = 230, .left = 54, .x = scale_of_param(d), .y = *y};
    int32_t seen = 0;
    char buf[64];

    html_figure(p->h, d->name);
    chart_open(&c, p->h, "slice");
    chart_axes(&c, NULL, v->objectives[objective]);
    for (int pass = 0; pass < 2; pass++) /* the best above all */
        for (int32_t i = 0; i < v->n_trials; i++) {
            const view_trial *t = &v->trials[i];
            const double x = view_x(t, param), value = view_value_of(t, objective);

            if (isnan(x) || isnan(value) || t->best != (pass == 1)) continue;
            if (!t->best && !page_picks(seen++, d->complete, SLICE_DOTS_MAX)) continue;
            mark_dot(&c, t->best ? "best" : "c", spread(d, x, t->number), value, t->number);
            text_say(c.t, "trial %lld: %.5g\n", (long long)t->number, value);
            html_text(c.t, view_show(d, x, buf));
            mark_end(&c);
        }
    chart_close(&c);
    html_figure_end(p->h);
}

static void put_params_table(study_page *p)
{
    const view *v = p->v;
    html *h = p->h;
    const view_trial *best = v->n_complete ? &v->trials[p->order[0][0]] : NULL;
    char buf[64];

    html_table(h, "params", "<parameter|<type|low|high|<scale|in complete trials|<best", false);
    for (int32_t i = 0; i < v->n_params; i++) {
        const view_param *d = &v->params[i];
        const bool choice = d->d->type == SEARCH_CATEGORICAL;

        html_row(h);
        html_cell(h, d->name);
        html_cell(h, choice ? "choice" : d->d->type == SEARCH_INT ? "whole" : "real");
        html_cell_number(h, choice ? NAN : d->d->low);
        html_cell_number(h, choice ? NAN : d->d->high);
        html_cell(h, choice ? "" : d->d->log ? "log" : "linear");
        html_cell_number(h, d->complete);
        html_cell(h, best ? view_show(d, view_x(best, i), buf) : "");
        html_row_end(h);
    }
    html_table_end(h, false);
}

static drmad_status put_slices(study_page *p, int32_t objective)
{
    const view *v = p->v;
    drmad_status st = DRMAD_OK;
    double *values = NULL;
    scale y;

    TRY(page_values(p, objective, &values));
    TRY(scale_of_values(v->ctx, values, v->n_trials, &y));
    html_figures(p->h, "small");
    for (int32_t k = 0; k < v->n_params && k < PARAMS_SHOWN; k++)
        put_slice(p, objective, p->weights[objective]->order[k], &y);
    html_figures_end(p->h);
done:
    mem_free(v->ctx, values);
    return st;
}

drmad_status page_slices(study_page *p)
{
    drmad_status st = DRMAD_OK;
    const view *v = p->v;

    if (v->n_params == 0) return st;
    html_section(p->h, "slices", "Parameters");
    put_params_table(p);
    if (v->n_complete == 0) return st;
    if (v->n_params > PARAMS_SHOWN)
        html_note(p->h, "The %d most important are drawn.", PARAMS_SHOWN);
    html_legend(p->h, "c complete|best best");
    for (int32_t k = 0; k < p->shown; k++) TRY(put_slices(p, k));
done:
    return st;
}

/* ---- a map of two ---- */

enum { MAP_CELLS = 32, MAP_BANDS = 12 };
static const double map_width = 0.07; /* of the kernel, in shares of the range */

typedef struct map {
    const view *v;
    int32_t px, py, nx, ny;
    scale sx, sy, heat;    /* from 0 to 1 */
    double *x, *y, *heats; /* of the trials, as shares; NaN: left out */
} map;

static scale as_share(scale s)
{
    s.from = 0, s.to = 1;
    return s;
}

static int32_t cells_of(const view_param *p)
{
    return p->d->type == SEARCH_CATEGORICAL ? p->d->n_choices : MAP_CELLS;
}

/* How near a trial is to a cell along one parameter; choices are near to themselves alone. */
static double nearness(double at, double x, bool choice, int32_t cells)
{
    const double z = (at - x) / map_width;

    return choice ? (fabs(at - x) < 0.5 / cells) : exp(-0.5 * z * z);
}

/* The mean of the trials around a cell (Nadaraya-Watson); NaN where none is near. */
static double heat_at(const map *m, double at_x, double at_y)
{
    double sum = 0, weight = 0;

    for (int32_t i = 0; i < m->v->n_trials; i++) {
        if (isnan(m->heats[i])) continue;
        const double w = nearness(at_x, m->x[i], m->sx.kind == SCALE_NAMES, m->nx) *
                         nearness(at_y, m->y[i], m->sy.kind == SCALE_NAMES, m->ny);

        sum += w * m->heats[i], weight += w;
    }
    return weight > 0.25 ? sum / weight : NAN;
}

static void put_map_cells(const map *m, chart *c)
{
    const double w = (c->right - c->left) / m->nx, h = (c->bottom - c->top) / m->ny;

    for (int32_t j = 0; j < m->ny; j++)
        for (int32_t i = 0; i < m->nx; i++) {
            const double share = heat_at(m, (i + 0.5) / m->nx, (j + 0.5) / m->ny);

            if (isnan(share)) continue;
            mark_cell(c, c->left + i * w, c->bottom - (j + 1) * h, w + 0.4, h + 0.4,
                      (floor(share * MAP_BANDS) + 0.5) / MAP_BANDS);
            text_say(c->t, "about %.4g", scale_back(&m->heat, share));
            mark_end(c);
        }
}

static void put_map(study_page *p, const map *m)
{
    const view *v = m->v;
    const view_param *x = &v->params[m->px], *y = &v->params[m->py];
    chart c = {
        .width = 560, .height = 420, .left = 66, .x = scale_of_param(x), .y = scale_of_param(y)};
    int32_t seen = 0;

    html_figure(p->h, "value over the two most important; near trials averaged, blank where none "
                      "is near");
    html_legend(p->h, "on trial|best best");
    chart_open(&c, p->h, "contour");
    put_map_cells(m, &c);
    chart_axes(&c, x->name, y->name);
    for (int32_t i = 0; i < v->n_trials; i++) {
        const view_trial *t = &v->trials[i];

        if (isnan(m->heats[i])) continue;
        if (!t->best && !page_picks(seen++, v->n_complete, SLICE_DOTS_MAX)) continue;
        mark_dot(&c, t->best ? "best" : "on", spread(x, view_x(t, m->px), t->number),
                 spread(y, view_x(t, m->py), t->number + 1), t->number);
        page_trial_title(p, t);
        mark_end(&c);
    }
    chart_close(&c);
    heat_legend(p->h, &m->heat);
    html_figure_end(p->h);
}

static drmad_status fill_map(study_page *p, map *m, double *values)
{
    const view *v = p->v;
    drmad_status st = DRMAD_OK;
    const size_t n = (size_t)v->n_trials + 1;
    int32_t seen = 0;

    TRY(mem_alloc(v->ctx, n, sizeof *m->x, &m->x));
    TRY(mem_alloc(v->ctx, n, sizeof *m->y, &m->y));
    TRY(mem_alloc(v->ctx, n, sizeof *m->heats, &m->heats));
    for (int32_t i = 0; i < v->n_trials; i++) {
        const double x = view_x(&v->trials[i], m->px), y = view_x(&v->trials[i], m->py);
        const bool there = isfinite(values[i]) && !isnan(x) && !isnan(y);

        m->x[i] = there ? scale_at(&m->sx, x) : 0;
        m->y[i] = there ? scale_at(&m->sy, y) : 0;
        m->heats[i] =
            there && (v->trials[i].best || page_picks(seen++, v->n_complete, 2 * SLICE_DOTS_MAX))
                ? scale_at(&m->heat, values[i])
                : NAN;
    }
done:
    return st;
}

drmad_status page_contour(study_page *p)
{
    const view *v = p->v;
    drmad_status st = DRMAD_OK;
    double *values = NULL;
    map m = {.v = v};

    if (v->n_params < 2 || p->weights[0]->rows == 0) return st;
    m.px = p->weights[0]->order[0], m.py = p->weights[0]->order[1];
    TRY(page_values(p, 0, &values));
    m.sx = as_share(scale_of_param(&v->params[m.px]));
    m.sy = as_share(scale_of_param(&v->params[m.py]));
    TRY(scale_of_values(v->ctx, values, v->n_trials, &m.heat));
    m.heat = as_share(m.heat);
    m.nx = cells_of(&v->params[m.px]), m.ny = cells_of(&v->params[m.py]);
    TRY(fill_map(p, &m, values));
    html_section(p->h, "contour", "Map");
    html_figures(p->h, "");
    put_map(p, &m);
    html_figures_end(p->h);
done:
    mem_free(v->ctx, values);
    mem_free(v->ctx, m.x);
    mem_free(v->ctx, m.y);
    mem_free(v->ctx, m.heats);
    return st;
}
