/* Tuned hyperparameters: schedules as lines, values per unit as heat maps. Values of the inputs of
 * an image are drawn as the image lies. */
#include "report/html_run.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERIES = 8, MAPS_MAX = 12, COLUMNS = 128, ROWS = 64, POINTS = 400, CELLS_MAX = 14000 };

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* ---- schedules ---- */

/* The median over the elements of each phase. */
static drmad_status medians(drmad_ctx *ctx, const run_slice *s, double **out)
{
    const size_t n = (size_t)s->elements;
    drmad_status st = DRMAD_OK;
    double *x = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, n, sizeof *x, &x));
    TRY(mem_alloc(ctx, (size_t)s->phases, sizeof **out, out));
    for (int64_t k = 0; k < s->phases; k++) {
        memcpy(x, s->values + (size_t)k * n, n * sizeof *x);
        qsort(x, n, sizeof *x, rising);
        (*out)[k] = x[n / 2];
    }
done:
    mem_free(ctx, x);
    return st;
}

static drmad_status put_track(chart *c, const run_view *r, int32_t slice, int colour)
{
    const run_slice *s = &r->slices[slice];
    const int64_t every = s->phases / POINTS + 1;
    drmad_status st = DRMAD_OK;
    double *y = NULL;
    char class[16];

    TRY(medians(r->ctx, s, &y));
    snprintf(class, sizeof class, "ks k%d", colour);
    trace line = path_start(c, class);
    for (int64_t k = 0; k < s->phases; k += every) path_step(&line, (double)k, y[k]);
    path_step(&line, (double)s->phases, y[s->phases - 1]);
    path_title(&line);
    html_text(c->t, s->name);
    path_end(&line);
done:
    mem_free(r->ctx, y);
    return st;
}

static void put_series_legend(html *h, const run_view *r, const int32_t *slices, int n)
{
    text_put(&h->t, "<p class=\"legend\">");
    for (int i = 0; i < n; i++) {
        const char *of = strchr(r->slices[slices[i]].name, '/');

        text_say(&h->t, "<span><i class=\"k%d\"></i>", i);
        html_text(&h->t, of ? of + 1 : r->slices[slices[i]].name);
        text_put(&h->t, "</span> ");
    }
    text_put(&h->t, "</p>\n");
}

/* Up to SERIES slices of one kind in one chart. */
static drmad_status put_schedule(html *h, const run_view *r, const int32_t *slices, int n)
{
    drmad_status st = DRMAD_OK;
    int64_t phases = 1, values = 0;
    double *all = NULL;
    chart c = {0};
    size_t used = 0;

    for (int i = 0; i < n; i++) {
        const run_slice *s = &r->slices[slices[i]];

        phases = s->phases > phases ? s->phases : phases;
        values += s->phases * s->elements;
    }
    TRY(mem_alloc(r->ctx, (size_t)values, sizeof *all, &all));
    for (int i = 0; i < n; i++) {
        const run_slice *s = &r->slices[slices[i]];

        for (int64_t k = 0; k < s->phases * s->elements; k++) all[used++] = s->values[k];
    }
    c.x = scale_of((const double[]){0, (double)phases}, 2, false);
    c.y = scale_of(all, values, true);
    html_figure(h, "by phase of training; of values per unit the median");
    put_series_legend(h, r, slices, n);
    chart_open(&c, h, "schedule");
    chart_axes(&c, "phase", r->slices[slices[0]].kind);
    for (int i = 0; i < n; i++) TRY(put_track(&c, r, slices[i], i));
    chart_close(&c);
    html_figure_end(h);
done:
    mem_free(r->ctx, all);
    return st;
}

static drmad_status put_schedules(html *h, const run_view *r, int32_t from, int32_t to)
{
    drmad_status st = DRMAD_OK;
    int32_t list[SERIES];
    int n = 0;

    for (int32_t i = from; i < to; i++) {
        if (r->slices[i].phases > 1) list[n++] = i;
        if (n == SERIES || (n > 0 && i + 1 == to)) {
            TRY(put_schedule(h, r, list, n));
            n = 0;
        }
    }
done:
    return st;
}

/* ---- heat maps ---- */

/* How the cells of a map lie: `images` pictures of `columns` side by side in `rows`. */
typedef struct layout {
    int64_t rows, columns, images;
    bool picture;
} layout;

static int64_t root_of(int64_t n)
{
    const int64_t k = (int64_t)llround(sqrt((double)n));

    return k * k == n ? k : 0;
}

/* A square number of units from 14 x 14 on, or three such (colours), lies as a picture does; so do
 * the 784 inputs of MNIST. */
static layout layout_of(const run_slice *s)
{
    const int64_t side = root_of(s->elements),
                  third = s->elements % 3 ? 0 : root_of(s->elements / 3);

    if (s->phases <= 4 && side >= 14 && side <= 64) return (layout){side, side, s->phases, true};
    if (s->phases == 1 && third >= 14 && third <= 64) return (layout){third, third, 3, true};
    return (layout){s->phases < ROWS ? s->phases : ROWS,
                    s->elements < COLUMNS ? s->elements : COLUMNS, 1, false};
}

/* The mean of the values that fall into a cell; *first names the first of them. */
static double cell_value(const run_slice *s, const layout *l, int64_t row, int64_t column,
                         int64_t *first)
{
    const int64_t k0 = row * s->phases / l->rows, k1 = (row + 1) * s->phases / l->rows;
    const int64_t e0 = column * s->elements / l->columns;
    const int64_t e1 = (column + 1) * s->elements / l->columns;
    double sum = 0;

    *first = k0 * s->elements + e0;
    for (int64_t k = k0; k < k1; k++)
        for (int64_t e = e0; e < e1; e++) sum += s->values[k * s->elements + e];
    return sum / (double)((k1 - k0) * (e1 - e0));
}

static void put_cell(chart *c, const run_slice *s, const scale *heat, const double *at,
                     int64_t index, double value)
{
    mark_cell(c, at[0], at[1], at[2] + 0.3, at[2] + 0.3, scale_at(heat, value));
    if (s->phases > 1) text_say(c->t, "phase %lld, ", (long long)(index / s->elements));
    text_say(c->t, "unit %lld: %.4g", (long long)(index % s->elements), value);
    mark_end(c);
}

static void put_pictures(chart *c, const run_slice *s, const layout *l, const scale *heat)
{
    const int64_t n = l->rows * l->columns;
    const double side = (c->width - 10 * (double)(l->images - 1)) / (double)l->images;
    const double size = side / (double)l->columns;

    for (int64_t i = 0; i < n * l->images; i++) {
        const int64_t of = i / n, in = i % n;
        const double at[3] = {(double)of * (side + 10) + (double)(in % l->columns) * size,
                              (double)(in / l->columns) * size, size};

        put_cell(c, s, heat, at, i, s->values[i]);
    }
}

static void put_rows(chart *c, const run_slice *s, const layout *l, const scale *heat)
{
    const double w = c->width / (double)l->columns, hgt = c->height / (double)l->rows;

    for (int64_t row = 0; row < l->rows; row++)
        for (int64_t column = 0; column < l->columns; column++) {
            int64_t first;
            const double x = cell_value(s, l, row, column, &first);

            mark_cell(c, (double)column * w, (double)row * hgt, w + 0.2, hgt + 0.2,
                      scale_at(heat, x));
            if (s->phases > 1) text_say(c->t, "phase %lld, ", (long long)(first / s->elements));
            text_say(c->t, "unit %lld: %.4g", (long long)(first % s->elements), x);
            mark_end(c);
        }
}

static void put_heat(html *h, const run_slice *s)
{
    const layout l = layout_of(s);
    scale heat = scale_of(s->values, s->phases * s->elements, true);
    chart c = {.width = l.picture ? CHART_SMALL : CHART_WIDTH};

    heat.from = 0, heat.to = 1;
    c.height = l.picture     ? (c.width - 10 * (double)(l.images - 1)) / (double)l.images
               : l.rows == 1 ? 30
                             : fmin(260, 14.0 * (double)l.rows);
    html_figure(h, s->name);
    chart_open(&c, h, l.picture ? "heat picture" : "heat");
    if (l.picture) put_pictures(&c, s, &l, &heat);
    else put_rows(&c, s, &l, &heat);
    chart_close(&c);
    heat_legend(h, &heat);
    text_say(&h->t, "<p class=\"note\">%lld units", (long long)s->elements);
    if (s->phases > 1) text_say(&h->t, " in %lld phases, a row each", (long long)s->phases);
    if (l.picture)
        text_say(&h->t, ", as they lie in a picture of %lld by %lld", (long long)l.rows,
                 (long long)l.columns);
    else if (s->elements > l.columns || s->phases > l.rows)
        text_put(&h->t, ", means of neighbours");
    text_put(&h->t, "</p>\n");
    html_figure_end(h);
}

static void put_heats(html *h, const run_view *r, int32_t from, int32_t to)
{
    int64_t cells = 0;
    int32_t shown = 0, left_out = 0;

    html_figures(h, "small");
    for (int32_t i = from; i < to; i++) {
        const layout l = layout_of(&r->slices[i]);
        const int64_t more = l.rows * l.columns * l.images;

        if (r->slices[i].elements < 2) continue;
        if (shown == MAPS_MAX || cells + more > CELLS_MAX) {
            left_out++;
            continue;
        }
        put_heat(h, &r->slices[i]);
        cells += more;
        shown++;
    }
    html_figures_end(h);
    if (left_out) html_note(h, "%d more are not drawn; the file has all.", left_out);
}

/* ---- the table ---- */

static drmad_status put_summary(html *h, const run_view *r, int32_t from, int32_t to)
{
    drmad_status st = DRMAD_OK;

    html_table(h, "values", "<hyperparameter|phases|units|smallest|median|largest", true);
    for (int32_t i = from; i < to; i++) {
        const run_slice *s = &r->slices[i];
        const size_t n = (size_t)(s->phases * s->elements);
        double *x = NULL;

        TRY(mem_alloc(r->ctx, n, sizeof *x, &x));
        memcpy(x, s->values, n * sizeof *x);
        qsort(x, n, sizeof *x, rising);
        html_row(h);
        html_cell(h, s->name);
        html_cell_number(h, (double)s->phases);
        html_cell_number(h, (double)s->elements);
        html_cell_number(h, x[0]);
        html_cell_number(h, x[n / 2]);
        html_cell_number(h, x[n - 1]);
        html_row_end(h);
        mem_free(r->ctx, x);
    }
    html_table_end(h, true);
done:
    return st;
}

drmad_status run_values(html *h, const run_view *r)
{
    drmad_status st = DRMAD_OK;

    if (r->n == 0) return st;
    html_section(h, "values", "Tuned hyperparameters");
    for (int32_t from = 0, to; from < r->n; from = to) {
        for (to = from; to < r->n && strcmp(r->slices[to].kind, r->slices[from].kind) == 0;) to++;
        text_put(&h->t, "<h3>");
        html_text(&h->t, r->slices[from].kind);
        text_put(&h->t, "</h3>\n");
        html_figures(h, "");
        TRY(put_schedules(h, r, from, to));
        html_figures_end(h);
        put_heats(h, r, from, to);
        TRY(put_summary(h, r, from, to));
    }
done:
    return st;
}
