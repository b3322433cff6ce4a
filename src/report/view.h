/* A study as its page wants it: all trials and parameters in numbers.
 *
 * Ownership: view_read gives, view_free takes; all texts live as long as the view.
 * Threads:   read-only once made. */
#ifndef VIEW_H
#define VIEW_H
#include "report/report.h"
#include "space/search.h"

typedef struct view_param {
    char *name;
    search_param *d;  /* of its first trial; low and high are those of all */
    int32_t complete; /* trials of that state that have it */
} view_param;

typedef struct view_value {
    int32_t param;
    double x; /* internal form */
} view_value;

typedef struct view_trial {
    int64_t id, number;
    trial_state state;
    int32_t worker; /* in view->workers; -1: not known */
    bool best;      /* the best, or on the front */
    int32_t n_values, n_params, n_reports;
    double *values;
    view_value *params;
    store_report *reports;
    double start, complete; /* seconds since 1970; NaN */
    char *version, *why;    /* of the code; of a failure; NULL */
} view_trial;

typedef struct view {
    drmad_ctx *ctx;
    char *name, *url;
    int32_t n_objectives, n_params, n_trials, n_workers, n_complete;
    study_direction *directions;
    char **objectives; /* their names: "value", or as the study has them */
    view_param *params;
    view_trial *trials; /* by number */
    char **workers;
    json_t *study; /* as report_study gives it: attributes, counts, best trials */
    int32_t room_params, room_trials, room_workers;
} view;

/* DRMAD_E_USAGE: no such study. */
drmad_status view_read(store *s, const char *study, view **out);
void view_free(view *v); /* NULL is fine */

double view_x(const view_trial *t, int32_t param);            /* NaN: not there */
double view_value_of(const view_trial *t, int32_t objective); /* COMPLETE ones; else NaN */
/* Whether a is better than b in an objective; NaN is worse than all. */
bool view_better(const view *v, int32_t objective, double a, double b);
/* Trial indices, best first; those without a value behind. From the context's memory. */
drmad_status view_order(const view *v, int32_t objective, int32_t **out);
/* A parameter's value for people: a choice's text, or a number. */
const char *view_show(const view_param *p, double x, char buf[64]);
#endif
