/* What people read of a result: the study in a few lines, the tuned values, the table of runs. */
#include "study/study_parts.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLICES_SHOWN = 12 };

drmad_status study_say(drmad_study *st, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    text_put(&st->said, line);
    text_put(&st->said, "\n");
    return st->said.st;
}

/* ---- the study ---- */

static drmad_status say_model(drmad_study *s)
{
    const config_model *m = &s->cfg->set.model;
    const nn_spec *net = s->s->net;
    char sizes[256] = "", *word = NULL;
    drmad_status st = DRMAD_OK;
    size_t n = 0;

    if (s->model)
        return study_say(s, "model      %s, %lld weights; %lld steps of %lld examples",
                         s->model->name, (long long)s->s->params->weights,
                         (long long)s->s->spec.steps, (long long)s->s->spec.batch);
    if (m->import[0]) {
        snprintf(sizes, sizeof sizes, "imported from %s", m->import);
    } else if (m->net.n > 0) {
        snprintf(sizes, sizeof sizes, "%d layers%s", (int)net->n, m->grow.n ? ", grown" : "");
    } else if (m->preset != NN_MLP) {
        TRY(config_get(s->cfg, "model.preset", &word));
        snprintf(sizes, sizeof sizes, "%s%s", word, m->grow.n ? ", grown" : "");
    } else {
        n = (size_t)snprintf(sizes, sizeof sizes, "%lld", (long long)net->input.dim[0]);
        for (int32_t i = 0; i <= net->output && n < sizeof sizes; i += 2)
            n += (size_t)snprintf(sizes + n, sizeof sizes - n, "-%lld",
                                  (long long)net->at[i].shape.dim[0]);
        TRY(config_get(s->cfg, "model.activation", &word));
        if (n < sizeof sizes)
            snprintf(sizes + n, sizeof sizes - n, " %s", net->output > 0 ? word : "linear");
    }
    TRY(study_say(s, "model      %s, %lld weights; %lld steps of %lld examples", sizes,
                  (long long)s->s->params->weights, (long long)s->s->spec.steps,
                  (long long)s->s->spec.batch));
done:
    mem_free(s->ctx, word);
    return st;
}

/* "lr per layer in 5 phases" */
static size_t put_declaration(const hyper_decl *d, char *to, size_t size)
{
    char phases[48] = "";

    if (d->phases > 1) snprintf(phases, sizeof phases, " in %lld phases", (long long)d->phases);
    if (d->phases == 0) snprintf(phases, sizeof phases, " at every step");
    const int n = snprintf(to, size, "%s%s %s%s", hyper_kind_of(d->kind)->word,
                           d->per == PER_GLOBAL ? "," : " per", hyper_per_word(d->per), phases);
    return n > 0 ? (size_t)n : 0;
}

drmad_status study_say_study(drmad_study *s)
{
    const setup *u = s->s;
    char list[512] = "";
    drmad_status st = DRMAD_OK;
    size_t n = 0;

    TRY(study_say(s, "study      %s on %s: %lld training, %lld validation, %lld test examples",
                  s->cfg->set.name, u->data_name, (long long)u->spec.train.count,
                  (long long)u->valid.count, (long long)u->test.count));
    TRY(say_model(s));
    for (int32_t i = 0; i < u->decls && n < sizeof list; i++) {
        n += (size_t)snprintf(list + n, sizeof list - n, "%s", i ? "; " : "");
        if (n < sizeof list) n += put_declaration(&u->decl[i], list + n, sizeof list - n);
    }
    if (u->decls > 0) TRY(study_say(s, "knobs      %lld: %s", (long long)u->space->total, list));
done:
    return st;
}

/* ---- values ---- */

json_t *study_ranges(const drmad_study *s, const double *values, char *text, size_t size)
{
    const space *h = s->s->space;
    json_t *all = json_object();
    size_t n = 0;

    text[0] = '\0';
    for (int32_t d = 0; d < s->s->decls; d++) {
        const char *word = hyper_kind_of(s->s->decl[d].kind)->word;
        double low = HUGE_VAL, high = -HUGE_VAL;
        for (int64_t i = 0; i < h->total; i++) {
            if (space_slice_of(h, i)->decl != d) continue;
            low = fmin(low, values[i]), high = fmax(high, values[i]);
        }
        if (n < size)
            n +=
                (size_t)snprintf(text + n, size - n, low < high ? "%s%s %.4g to %.4g" : "%s%s %.4g",
                                 d ? ", " : "", word, low, high);
        json_object_set_new(all, word, json_pack("[f,f]", low, high));
    }
    return all;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

drmad_status study_say_values(drmad_study *s, const double *values)
{
    const space *h = s->s->space;
    drmad_status st = DRMAD_OK;
    double *x = NULL;

    TRY(mem_alloc(s->ctx, (size_t)h->total + 1, sizeof *x, &x));
    TRY(study_say(s, "\n%-30s %8s %10s %10s %10s %10s", "knob", "values", "start", "smallest",
                  "median", "largest"));
    for (int32_t i = 0; i < h->n_slices && i < SLICES_SHOWN; i++) {
        const hyper_slice *c = &h->slices[i];
        const int64_t n = c->elements * c->phases;
        memcpy(x, values + c->offset, (size_t)n * sizeof *x);
        qsort(x, (size_t)n, sizeof *x, by_value);
        TRY(study_say(s, "%-30s %8lld %10.4g %10.4g %10.4g %10.4g", c->name, (long long)n, c->start,
                      x[0], x[n / 2], x[n - 1]));
    }
    if (h->n_slices > SLICES_SHOWN)
        TRY(study_say(s, "... and %d more in hyperparameters.safetensors",
                      (int)(h->n_slices - SLICES_SHOWN)));
done:
    mem_free(s->ctx, x);
    return st;
}

/* ---- runs ---- */

drmad_status study_say_header(drmad_study *s)
{
    if (s->cfg->set.retrain.seeds == 0) return DRMAD_OK;
    return study_say(s, "\n%-30s %10s %8s   %10s %8s %8s %8s", "retrained", "objective", "error %",
                     "test loss", "error %", "sd", "finite");
}

drmad_status study_say_runs(drmad_study *s, const char *name, const summary *m)
{
    const outcome *o = &m->mean;
    char number[5][24] = {"-", "-", "-", "-", "-"};
    const double x[] = {o->valid.loss, 100 * o->valid.error, o->test.loss, 100 * o->test.error,
                        100 * m->test_error_sd};

    for (int i = 0; i < 5; i++)
        if (isfinite(x[i]))
            snprintf(number[i], sizeof number[i], i % 2 || i == 4 ? "%.2f" : "%.4f", x[i]);
    return study_say(s, "%-30s %10s %8s   %10s %8s %8s   %d of %d", name, number[0], number[1],
                     number[2], number[3], number[4], m->finite, m->runs);
}
