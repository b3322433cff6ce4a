/* The space of a search: a few global parameters, of which a trial has one value each.
 *
 *   declarations --search_new--> search
 *   a point u of the unit cube --search_draw--> x, a value each, priors and conditions heeded
 *   x <--search_parse-- JSON --search_print--> x       what people write and read
 *   x, search_distribution                             what the store keeps
 *
 * x has one double a parameter, in Optuna's internal form: the number itself for float and int
 * (logarithms are not taken), the index of its choice for a categorical, NaN where a condition
 * leaves the parameter out.
 *
 * Parameters are ordered so that a condition names only earlier ones. Where a value that is left
 * out leaves a condition open (expr.h) it does not hold, and a rule is kept.
 * Ownership: search_new gives, search_free takes; declarations are copied.
 * Threads:   read-only once made. */
#ifndef SEARCH_H
#define SEARCH_H
#include "config/config.h"
#include "space/expr.h"

typedef enum search_type { SEARCH_FLOAT, SEARCH_INT, SEARCH_CATEGORICAL } search_type;

typedef enum search_prior {
    PRIOR_UNIFORM,   /* over the range; of its logarithm with log */
    PRIOR_NORMAL,    /* mean and sd, cut to the range */
    PRIOR_LOG_NORMAL /* of the logarithm, natural: mean and sd of ln x, cut to the range */
} search_prior;

typedef struct search_param {
    char *name;
    search_type type;
    bool log, ordered; /* ordered: a categorical whose choices are in order */
    double low, high;  /* inclusive; a grid's high lies on the grid */
    double step;       /* int: at least 1; float: 0 = none */
    int32_t n_choices;
    char **choices;  /* JSON scalars as Python writes them: null, true, 3, 0.5, "relu" */
    char **texts;    /* the same as plain text: null, true, 3, 0.5, relu */
    double *weights; /* of the choices, sum 1; NULL: all alike */
    search_prior prior;
    double mean, sd; /* NaN: the middle of the range, a quarter of it */
    expr *when;      /* the parameter is there only when this is true; NULL: always */
    bool fixed;
    double fixed_value; /* internal form */
    char *distribution; /* Optuna's JSON: the very bytes that Optuna 4.9 writes */
} search_param;

typedef struct search {
    drmad_ctx *ctx;
    int32_t n, n_rules;
    search_param *params;
    expr **rules; /* none false of a point that is suggested */
} search;

/* From the study's `parameters` and `search.constraints`. Refuses by key (DRMAD_E_CONFIG). *out has
 * n = 0 when the study declares none. */
drmad_status search_from_config(const config *c, search **out);
/* An empty space that grows: for parameters declared one by one while a trial runs. */
drmad_status search_new(drmad_ctx *ctx, search **out);
/* Takes `p` and all that it points to (from the context's memory; also on failure), checks it and
 * fills in texts, distribution and what was left open. *index: its place. One of that name that is
 * there already is replaced and must have the same type, log and choices. DRMAD_E_CONFIG names
 * parameter and remedy. */
drmad_status search_add(search *s, search_param *p, int32_t *index);
/* A rule like "lr * batch <= 6.4" on the parameters that are there. */
drmad_status search_add_rule(search *s, const char *rule);
void search_free(search *s);                            /* NULL is fine */
int32_t search_find(const search *s, const char *name); /* -1: none */

/* x from u in [0, 1)^n: inverse of each prior's distribution function, then the grid; values that
 * are left out become NaN. *broken: the first rule that does not hold, -1 when all do. */
drmad_status search_draw(const search *s, const double *u, double *x, int32_t *broken);
/* The same where x is NaN; values that are there already stay, unless their condition does not
 * hold. */
drmad_status search_complete(const search *s, const double *u, double *x, int32_t *broken);
/* One parameter alone, conditions aside; of a fixed one its value. u in [0, 1). */
double search_draw_one(const search_param *p, double u);
/* The other way: the stretch of u in [0, 1] that is drawn to x, which lies in the range and on the
 * grid; one point when x is continuous. */
void search_place_one(const search_param *p, double x, double *from, double *to);
/* The quantile at u of the standard normal cut to [a, b], which may be infinite. */
double search_cut_normal(double u, double a, double b);
/* Fails (DRMAD_E_CONFIG, naming parameter and remedy) when a value is outside its range, off its
 * grid, missing or there against its condition, or a rule does not hold. */
drmad_status search_check(const search *s, const double *x);

/* x as one JSON object {"name": value, ...}, parameters left out not in it; gives *out. Reals are
 * the shortest decimals that read back the same. Values need not lie in the range, only be of the
 * type. */
drmad_status search_print(const search *s, const double *x, char **out);
/* The other way; also "lr=0.1 act=relu". Names that the text lacks become NaN in x
 * (search_complete fills them in). Unknown names and values outside their range are refused
 * (DRMAD_E_CONFIG). */
drmad_status search_parse(const search *s, const char *json, double *x);
/* One value as JSON: 0.001, 32, "relu"; gives *out. */
drmad_status search_print_one(drmad_ctx *ctx, const search_param *p, double x, char **out);

/* Reads Optuna's distribution JSON, also its short form and those of versions before 3.0; gives
 * *out, to be freed by search_param_free or taken by search_add. DRMAD_E_STORAGE: it is none. */
drmad_status search_param_parse(drmad_ctx *ctx, const char *name, const char *distribution,
                                search_param **out);
void search_param_free(drmad_ctx *ctx, search_param *p);
#endif
