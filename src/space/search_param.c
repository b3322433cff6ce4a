/* One parameter: what makes sense, and what is filled in. */
#include "base/number.h"
#include "space/search_inside.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Beyond so many standard deviations the normal distribution has no numbers left. */
#define SD_MAX 37.0

static const char *check_range(const search_param *p, char why[SEARCH_WHY_BYTES])
{
    double least = p->type == SEARCH_INT ? 1 : 0;

    if (!isfinite(p->low) || !isfinite(p->high)) {
        snprintf(why, SEARCH_WHY_BYTES, "a finite low and high must be given");
        return isfinite(p->low) ? "high" : "low";
    }
    if (p->low > p->high) {
        snprintf(why, SEARCH_WHY_BYTES, "low %g must not lie above high %g", p->low, p->high);
        return "low";
    }
    if (p->log && (p->low < least || p->low == 0)) {
        snprintf(why, SEARCH_WHY_BYTES, "low %g; under log it must be %s", p->low,
                 p->type == SEARCH_INT ? "at least 1" : "above 0");
        return "low";
    }
    return NULL;
}

static const char *check_whole(const search_param *p, char why[SEARCH_WHY_BYTES])
{
    const struct {
        const char *key;
        double x;
    } all[] = {{"low", p->low}, {"high", p->high}, {"step", p->step}};

    for (size_t i = 0; i < COUNT(all); i++)
        if (all[i].x != floor(all[i].x) || fabs(all[i].x) > SEARCH_WHOLE_MAX) {
            snprintf(why, SEARCH_WHY_BYTES, "%.17g is not a whole number within 2^53", all[i].x);
            return all[i].key;
        }
    return NULL;
}

/* `high` moves down to the grid. */
static const char *check_step(search_param *p, char why[SEARCH_WHY_BYTES])
{
    /* an int's bounds limit it already */
    double most = p->type == SEARCH_INT ? INFINITY : SEARCH_WHOLE_MAX, count, last;

    if (p->type == SEARCH_INT && p->step == 0) p->step = 1;
    if (!(p->step >= 0) || isinf(p->step)) {
        snprintf(why, SEARCH_WHY_BYTES, "%g is no step", p->step);
        return "step";
    }
    if (p->log && p->step != (p->type == SEARCH_INT ? 1 : 0)) {
        snprintf(why, SEARCH_WHY_BYTES, "%g; step and log exclude each other", p->step);
        return "step";
    }
    if (p->type == SEARCH_INT && check_whole(p, why)) return check_whole(p, why);
    if (p->step == 0) return NULL;
    if (!search_grid_last(p->low, p->high, p->step, &last, &count) || count > most) {
        snprintf(why, SEARCH_WHY_BYTES, "%g makes too many values between %g and %g", p->step,
                 p->low, p->high);
        return "step";
    }
    p->high = last;
    return NULL;
}

static const char *check_prior(search_param *p, char why[SEARCH_WHY_BYTES])
{
    bool logarithm = p->prior == PRIOR_LOG_NORMAL;
    double from = logarithm ? (p->low > 0 ? log(p->low) : -INFINITY) : p->low;
    double to = logarithm ? (p->high > 0 ? log(p->high) : -INFINITY) : p->high;

    if (p->prior == PRIOR_UNIFORM) return NULL;
    if (logarithm && (p->low < 0 || p->high == 0)) {
        snprintf(why, SEARCH_WHY_BYTES, "log-normal values are above 0, so low must not be below");
        return "prior";
    }
    if (isnan(p->mean)) p->mean = 0.5 * from + 0.5 * to;
    if (isnan(p->sd)) p->sd = from < to ? 0.25 * to - 0.25 * from : 1;
    if (!isfinite(p->mean) || !isfinite(p->sd) || p->sd <= 0) {
        snprintf(why, SEARCH_WHY_BYTES, "mean %g and sd %g must be finite, sd above 0", p->mean,
                 p->sd);
        return isfinite(p->mean) ? "sd" : "mean";
    }
    if ((p->mean - to) / p->sd > SD_MAX || (from - p->mean) / p->sd > SD_MAX) {
        snprintf(why, SEARCH_WHY_BYTES, "mean %g lies more than %g times sd %g outside the range%s",
                 p->mean, SD_MAX, p->sd, logarithm ? "; both are of the natural logarithm" : "");
        return "mean";
    }
    return NULL;
}

static const char *check_weights(search_param *p, char why[SEARCH_WHY_BYTES])
{
    double greatest = 0, sum = 0;

    for (int32_t i = 0; i < p->n_choices; i++) {
        if (!(p->weights[i] >= 0) || isinf(p->weights[i])) {
            snprintf(why, SEARCH_WHY_BYTES, "%g is no weight", p->weights[i]);
            return "weights";
        }
        greatest = fmax(greatest, p->weights[i]);
    }
    if (greatest == 0) {
        snprintf(why, SEARCH_WHY_BYTES, "all are 0; one at least must be above");
        return "weights";
    }
    for (int32_t i = 0; i < p->n_choices; i++) sum += p->weights[i] / greatest;
    for (int32_t i = 0; i < p->n_choices; i++) p->weights[i] = p->weights[i] / greatest / sum;
    return NULL;
}

static const char *check_choices(search_param *p, char why[SEARCH_WHY_BYTES])
{
    char buf[EXPR_SHOWN_BYTES];

    if (p->n_choices < 1) {
        snprintf(why, SEARCH_WHY_BYTES, "a categorical needs at least one");
        return "choices";
    }
    for (int32_t i = 0; i < p->n_choices; i++)
        for (int32_t k = 0; k < i; k++) {
            if (strcmp(p->choices[i], p->choices[k]) != 0) continue;
            snprintf(why, SEARCH_WHY_BYTES, "%s is there twice; weights can make it likelier",
                     expr_shown(p->choices[i], buf));
            return "choices";
        }
    return p->weights ? check_weights(p, why) : NULL;
}

const char *search_param_fault(search_param *p, char why[SEARCH_WHY_BYTES])
{
    const char *key;

    if (p->type == SEARCH_CATEGORICAL) return check_choices(p, why);
    key = check_range(p, why);
    if (!key) key = check_step(p, why);
    return key ? key : check_prior(p, why);
}

const char *search_value_fault(const search_param *p, double x, char why[SEARCH_WHY_BYTES])
{
    char number[NUMBER_SIZE], low[NUMBER_SIZE], high[NUMBER_SIZE];

    number_print(x, number);
    if (p->type == SEARCH_CATEGORICAL) {
        if (x >= 0 && x < p->n_choices && x == floor(x)) return NULL;
        snprintf(why, SEARCH_WHY_BYTES, "%s is the index of none of its %d choices", number,
                 (int)p->n_choices);
        return why;
    }
    if (!(x >= p->low && x <= p->high)) {
        snprintf(why, SEARCH_WHY_BYTES, "%s lies outside its range, %s to %s", number,
                 number_print(p->low, low), number_print(p->high, high));
        return why;
    }
    double k = p->step > 0 ? (x - p->low) / p->step : 0;

    /* Optuna's own tolerance for reals */
    if (p->type == SEARCH_INT ? k != floor(k) : fabs(k - nearbyint(k)) >= 1e-8) {
        snprintf(why, SEARCH_WHY_BYTES, "%s is none of its values, %s and on by %s", number,
                 number_print(p->low, low), number_print(p->step, high));
        return why;
    }
    return NULL;
}

void search_param_clear(drmad_ctx *ctx, search_param *p)
{
    for (int32_t i = 0; i < p->n_choices; i++) {
        if (p->choices) mem_free(ctx, p->choices[i]);
        if (p->texts) mem_free(ctx, p->texts[i]);
    }
    mem_free(ctx, p->name);
    mem_free(ctx, p->choices);
    mem_free(ctx, p->texts);
    mem_free(ctx, p->weights);
    mem_free(ctx, p->distribution);
    expr_free(ctx, p->when);
    *p = (search_param){0};
}

void search_param_free(drmad_ctx *ctx, search_param *p)
{
    if (p) search_param_clear(ctx, p);
    mem_free(ctx, p);
}
