/* The page of a run: head, comparison, health, path, values, how to do it again. */
#include "report/html_run.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const json_t *get(const run_view *r, const char *key)
{
    return json_object_get(r->result, key);
}

static double real_of(const json_t *o, const char *key)
{
    const json_t *x = json_object_get(o, key);

    return json_is_number(x) ? json_number_value(x) : NAN;
}

/* ---- head ---- */

/* The folder of a trial of a search: trials/NUMBER (docs/RUNS.md). */
static void put_trial(html *h, const run_view *r)
{
    const char *at = strstr(r->folder, "trials/");
    const size_t digits = at ? strspn(at + 7, "0123456789") : 0;

    if (digits && (!at[7 + digits] || at[7 + digits] == '/'))
        html_fact_say(h, "trial", "%.*s of the search %s", (int)digits, at + 7, r->name);
}

static void put_head(html *h, const run_view *r)
{
    static const char *const keys[] = {
        "call",       "status",          "message",    "seed",           "data",
        "parameters", "hyperparameters", "trajectory", "meta_steps",     "stopped_because",
        "spent_runs", "best_objective",  "objective",  "largest_growth", "seconds"};
    static const char *const words[] = {"made by",
                                        "ended",
                                        "message",
                                        "seed",
                                        "data",
                                        "weights",
                                        "hyperparameters",
                                        "trajectory",
                                        "meta-steps",
                                        "because",
                                        "cost in training runs",
                                        "best objective",
                                        "objective",
                                        "growth on the way back",
                                        "seconds"};

    html_facts(h);
    html_fact(h, "folder", r->folder);
    put_trial(h, r);
    for (size_t i = 0; i < COUNT(keys); i++) {
        const json_t *x = get(r, keys[i]);
        buffer b = {.ctx = r->ctx};

        if (!x || json_is_null(x)) continue;
        if (json_is_real(x)) html_fact_say(h, words[i], "%.5g", json_real_value(x));
        else if (buffer_value(&b, x) == DRMAD_OK) html_fact(h, words[i], b.text ? b.text : "");
        text_free(&b);
    }
    html_facts_end(h);
}

/* ---- comparison ---- */

/* 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom (R, qt(.975, 1:30)). */
static const double student[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060,
                                 2.2622,  2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199,
                                 2.1098,  2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639,
                                 2.0595,  2.0555, 2.0518, 2.0484, 2.0452, 2.0423};

typedef struct interval {
    double mean, half; /* half the 95 % interval; NaN for fewer than two */
} interval;

static interval interval_of(double sum, double square, int n)
{
    interval i = {n > 0 ? sum / n : NAN, NAN};

    if (n < 2) return i;
    const double sd = sqrt(fmax(0, square - n * i.mean * i.mean) / (n - 1));
    i.half = (n - 2 < (int)COUNT(student) ? student[n - 2] : 1.96) * sd / sqrt(n);
    return i;
}

/* Of `key` over the runs; less that of `other`'s runs, pair by pair, when there are. */
static interval over_runs(const json_t *runs, const json_t *other, const char *key, double factor)
{
    double sum = 0, square = 0;
    int n = 0;

    for (size_t i = 0; i < json_array_size(runs); i++) {
        double x = factor * real_of(json_array_get(runs, i), key);

        if (other) x -= factor * real_of(json_array_get(other, i), key);
        if (!isfinite(x)) continue;
        sum += x, square += x * x;
        n++;
    }
    return interval_of(sum, square, n);
}

static void put_interval(html *h, interval i)
{
    char buf[HTML_NUMBER];

    text_say(&h->t, "<td>%s", html_number(i.mean, 4, buf));
    if (isfinite(i.half)) text_say(&h->t, " \xc2\xb1 %s", html_number(i.half, 2, buf));
    text_put(&h->t, "</td>");
}

static void put_runs(html *h, const char *name, const json_t *runs)
{
    int finite = 0;

    for (size_t i = 0; i < json_array_size(runs); i++)
        finite += json_is_true(json_object_get(json_array_get(runs, i), "finite"));
    html_row(h);
    html_cell(h, name);
    put_interval(h, over_runs(runs, NULL, "objective_loss", 1));
    put_interval(h, over_runs(runs, NULL, "objective_error", 100));
    put_interval(h, over_runs(runs, NULL, "test_loss", 1));
    put_interval(h, over_runs(runs, NULL, "test_error", 100));
    text_say(&h->t, "<td>%d of %zu</td>", finite, json_array_size(runs));
    html_row_end(h);
}

static void put_gain(html *h, const run_view *r)
{
    const json_t *start = json_object_get(get(r, "start"), "runs");
    const json_t *tuned = json_object_get(get(r, "tuned"), "runs");
    const interval gain = over_runs(start, tuned, "test_loss", 1);
    const interval error = over_runs(start, tuned, "test_error", 100);

    if (!start || !tuned || isnan(gain.mean)) return;
    if (isnan(gain.half))
        html_note(h,
                  "Over the same seeds tuning lowers the test loss by %.4g and the test error by "
                  "%.3g points.",
                  gain.mean, error.mean);
    else
        html_note(h,
                  "Over the same seeds tuning lowers the test loss by %.4g \xc2\xb1 %.2g and the "
                  "test error by %.3g \xc2\xb1 %.2g points.",
                  gain.mean, gain.half, error.mean, error.half);
}

/* Of a study with stages: every candidate that was retrained; `by` names the search it is from. */
static void put_candidates(html *h, const json_t *result, const char *by)
{
    const json_t *stage, *candidate;
    char label[200];
    size_t i, k;

    json_array_foreach(json_object_get(result, "stages"), i, stage)
    {
        json_array_foreach(json_object_get(stage, "candidates"), k, candidate)
        {
            const char *name = json_string_value(json_object_get(candidate, "name"));

            snprintf(label, sizeof label, "%s%s%s", by, by[0] ? ": " : "", name ? name : "?");
            put_runs(h, label, json_object_get(candidate, "runs"));
        }
    }
}

/* The same budget spent otherwise. */
static void put_compared(html *h, const run_view *r)
{
    const json_t *one;
    size_t i;

    json_array_foreach((json_t *)get(r, "compared"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));

        put_candidates(h, one, name ? name : "?");
    }
}

static void put_comparison(html *h, const run_view *r)
{
    static const char *const keys[] = {"tuned", "start", "random_search"};
    static const char *const words[] = {"tuned", "start", "random search"};
    const json_t *run = get(r, "run");

    if (!get(r, "tuned") && !get(r, "stages") && !run) return;
    html_section(h, "comparison", "Trained from scratch");
    html_table(h, "comparison",
               "<hyperparameters|objective|its error %|test loss|test error %|finite runs", false);
    for (size_t i = 0; i < COUNT(keys); i++)
        if (get(r, keys[i])) put_runs(h, words[i], json_object_get(get(r, keys[i]), "runs"));
    put_candidates(h, r->result, "");
    put_compared(h, r);
    if (run) {
        json_t *one = json_pack("[O]", run);

        put_runs(h, "this run", one);
        json_decref(one);
    }
    html_table_end(h, false);
    html_note(h, "Means over seeds; \xc2\xb1 is half of a 95 %% interval (Student's t). Neither "
                 "training nor tuning has seen the test data.");
    put_gain(h, r);
}

/* ---- the stages of a rally ---- */

static void put_rally(html *h, const run_view *r)
{
    static const char *const keys[] = {"stage",       "examples", "steps",     "parameters",
                                       "meta_steps",  "start",    "objective", "largest_growth",
                                       "worst_audit", "runs"};
    const json_t *legs = get(r, "rally"), *leg;
    size_t i;

    if (!legs) return;
    html_section(h, "rally", "Stages");
    html_table(h, "rally",
               "stage|examples|steps|weights|meta-steps|objective at the start|at the best|growth|"
               "worst audit|cost in runs",
               false);
    json_array_foreach((json_t *)legs, i, leg)
    {
        html_row(h);
        for (size_t k = 0; k < COUNT(keys); k++) html_cell_number(h, real_of(leg, keys[k]));
        html_row_end(h);
    }
    html_table_end(h, false);
    html_note(h, "An audit is what the hypergradient said over what is exact: 1 is right. The "
                 "stages' own pages are made from their folders.");
}

/* ---- health ---- */

static void put_line(html *h, const char *text)
{
    text_put(&h->t, "<li>");
    html_text(&h->t, text);
    text_put(&h->t, "</li>\n");
}

static void put_audits(html *h, const json_t *steps)
{
    double worst = 0;
    char line[160];
    int n = 0;

    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *audit = json_object_get(json_array_get(steps, i), "audit");
        const double exact = real_of(audit, "exact"), said = real_of(audit, "hypergradient");

        if (!audit) continue;
        worst = fmax(worst, fabs(said - exact) / fabs(exact));
        n++;
    }
    if (n == 0) return;
    snprintf(line, sizeof line, "%d audits: the slope was %.2g %% off at worst", n, 100 * worst);
    put_line(h, line);
}

static void put_health(html *h, const run_view *r)
{
    const json_t *steps = get(r, "path"), *note;
    const double growth = real_of(r->result, "largest_growth");
    const double residual = real_of(r->result, "largest_residual");
    const char *kind = json_string_value(get(r, "trajectory"));
    char line[200];
    int back = 0;
    size_t i;

    if (!steps) return;
    html_section(h, "health", "Health");
    text_put(&h->t, "<ul>\n");
    if (isfinite(residual)) {
        snprintf(line, sizeof line, "implicit: the residual was at most %.2g of |dF/dw|", residual);
        put_line(h, line);
    } else if (isfinite(growth) && !(kind && strcmp(kind, "none") == 0)) {
        snprintf(line, sizeof line, "|dF/dw| grew at most %.3g-fold on the way back (%s)", growth,
                 kind ? kind : "?");
        put_line(h, line);
    }
    put_audits(h, steps);
    for (i = 0; i < json_array_size(steps); i++) {
        const char *v = json_string_value(json_object_get(json_array_get(steps, i), "verdict"));

        back += v && strcmp(v, "taken back") == 0;
    }
    snprintf(line, sizeof line, "%d of %zu meta-steps were taken back", back,
             json_array_size(steps));
    put_line(h, line);
    json_array_foreach((json_t *)r->notes, i, note) if (json_is_string(note))
        put_line(h, json_string_value(note));
    text_put(&h->t, "</ul>\n");
}

/* ---- the path ---- */

static drmad_status column(const run_view *r, const char *key, double **out)
{
    const json_t *steps = get(r, "path");
    const size_t n = json_array_size(steps);
    const drmad_status st = mem_alloc(r->ctx, n + 1, sizeof **out, out);

    for (size_t i = 0; i < n && st == DRMAD_OK; i++)
        (*out)[i] = real_of(json_array_get(steps, i), key);
    return st;
}

static const char *verdict_class(const json_t *step)
{
    const char *v = json_string_value(json_object_get(step, "verdict"));

    if (v && strcmp(v, "moved") == 0) return "c";
    return v && strcmp(v, "taken back") == 0 ? "p" : "f";
}

static void put_path_marks(chart *c, const run_view *r, const double *y, bool told)
{
    const json_t *steps = get(r, "path");

    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        const char *v = json_string_value(json_object_get(step, "verdict"));

        if (isnan(y[i])) continue;
        mark_dot(c, told ? verdict_class(step) : "c", (double)i + 1, y[i], -1);
        text_say(c->t, "meta-step %zu: %.6g\n", i + 1, y[i]);
        html_text(c->t, v ? v : "");
        mark_end(c);
    }
}

static drmad_status put_path(html *h, const run_view *r, const char *key, const char *name)
{
    const int64_t n = (int64_t)json_array_size(get(r, "path"));
    const bool main_one = strcmp(key, "objective") == 0;
    drmad_status st = DRMAD_OK;
    double *y = NULL, *best = NULL;
    chart c = {0};

    TRY(column(r, key, &y));
    TRY(column(r, "best", &best));
    c.x = scale_of((const double[]){1, (double)n}, 2, false);
    c.y = scale_of(y, n, true);
    if (main_one) TRY(scale_of_values(r->ctx, y, n, &c.y));
    html_figure(h, name);
    html_legend(h, main_one ? "c moved|p taken back|f stopped|best best so far" : "c meta-step");
    chart_open(&c, h, "meta-steps");
    chart_axes(&c, "meta-step", name);
    trace line = path_start(&c, main_one ? "ln best" : "ln");
    for (int64_t i = 0; i < n; i++) {
        if (main_one) path_step(&line, (double)i + 1, best[i]);
        else path_to(&line, (double)i + 1, y[i]);
    }
    path_title(&line);
    text_put(c.t, main_one ? "best so far" : name);
    path_end(&line);
    put_path_marks(&c, r, y, main_one);
    chart_close(&c);
    html_figure_end(h);
done:
    mem_free(r->ctx, y);
    mem_free(r->ctx, best);
    return st;
}

static void put_path_table(html *h, const run_view *r)
{
    static const char *const reals[] = {"objective", "best",   "gradient_norm",
                                        "growth",    "length", "spent_runs"};
    const json_t *step;
    size_t i;

    html_table(h, "path",
               "step|<verdict|objective|best|gradient norm|growth|length|spent runs|audit: exact|"
               "hypergradient",
               true);
    json_array_foreach((json_t *)get(r, "path"), i, step)
    {
        const json_t *audit = json_object_get(step, "audit");

        html_row(h);
        html_cell_number(h, (double)i + 1);
        html_cell_json(h, json_object_get(step, "verdict"));
        for (size_t k = 0; k < COUNT(reals); k++) html_cell_number(h, real_of(step, reals[k]));
        html_cell_number(h, real_of(audit, "exact"));
        html_cell_number(h, real_of(audit, "hypergradient"));
        html_row_end(h);
    }
    html_table_end(h, true);
}

static drmad_status put_paths(html *h, const run_view *r)
{
    drmad_status st = DRMAD_OK;

    if (json_array_size(get(r, "path")) == 0) return st;
    html_section(h, "path", "Meta-steps");
    html_figures(h, "");
    TRY(put_path(h, r, "objective", "objective"));
    TRY(put_path(h, r, "gradient_norm", "norm of the hypergradient"));
    html_figures_end(h);
    put_path_table(h, r);
done:
    return st;
}

/* ---- why ---- */

static void put_sensitivities(html *h, const run_view *r)
{
    static const char *const keys[] = {"slice",   "phase",           "values",
                                       "dF_dlog", "gain_10_percent", "audit_dF_dlog"};
    const json_t *list = get(r, "sensitivities"), *row;
    size_t i;

    if (!list) return;
    html_section(h, "sensitivities", "Sensitivities");
    html_table(h, "sensitivities", "<hyperparameter|phase|values|dF/dlog h|gain of 10 %|audited",
               false);
    json_array_foreach((json_t *)list, i, row)
    {
        if (i == 100) break;
        html_row(h);
        for (size_t k = 0; k < COUNT(keys); k++) html_cell_json(h, json_object_get(row, keys[k]));
        html_row_end(h);
    }
    html_table_end(h, false);
}

/* ---- to do it again ---- */

static void put_again(html *h, const run_view *r)
{
    const char *call = json_string_value(get(r, "call")), *key;
    json_t *value;

    html_section(h, "again", "To do it again");
    html_facts(h);
    html_fact(h, "SHA-256 of the data", json_string_value(get(r, "data_sha256")));
    html_fact(h, "SHA-256 of the study", json_string_value(get(r, "study_sha256")));
    json_object_foreach((json_t *)get(r, "versions"), key, value) if (json_is_string(value))
        html_fact(h, key, json_string_value(value));
    html_facts_end(h);
    if (!r->study) return;
    html_note(h, "The study as it was resolved, defaults included; with it as study.yaml:");
    text_put(&h->t, "<pre>drmad ");
    html_text(&h->t, call ? call : "tune");
    text_put(&h->t, " study.yaml</pre>\n<pre class=\"study\">");
    html_text(&h->t, r->study);
    text_put(&h->t, "</pre>\n");
}

drmad_status html_run(drmad_ctx *ctx, const char *folder, char **out)
{
    drmad_status st = DRMAD_OK;
    run_view *r = NULL;
    html h;

    *out = NULL;
    st = run_read(ctx, folder, &r);
    if (st != DRMAD_OK) return st;
    html_open(&h, ctx, r->name);
    put_head(&h, r);
    put_comparison(&h, r);
    put_rally(&h, r);
    put_health(&h, r);
    TRY(put_paths(&h, r));
    TRY(run_values(&h, r));
    put_sensitivities(&h, r);
    put_again(&h, r);
done:
    if (st == DRMAD_OK) st = html_close(&h, out);
    else html_drop(&h);
    run_free(r);
    return st;
}
