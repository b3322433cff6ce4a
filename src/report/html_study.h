/* The page of a study, section by section. Of thousands of trials each plot shows an even part and
 * says so.
 *
 * Every mark of a trial has its number as data-trial; a section without data says why. */
#ifndef HTML_STUDY_H
#define HTML_STUDY_H
#include "report/importance.h"
#include "report/svg.h"

enum {
    OBJECTIVES_SHOWN = 3,
    PARAMS_SHOWN = 12,
    DOTS_MAX = 1200,
    SLICE_DOTS_MAX = 500,
    LINES_MAX = 300,
    CURVES_MAX = 60,
    ROWS_MAX = 300,
    LANES_MAX = 24
};

typedef struct study_page {
    html *h;
    const view *v;
    store *s;
    int32_t **order;      /* trial indices by value, one list an objective */
    importance **weights; /* of the parameters, one an objective */
    int32_t shown;        /* objectives */
} study_page;

/* Gives *out, the whole page. `seed`: of the forests. */
drmad_status html_study(store *s, const char *study, uint64_t seed, char **out);

/* html_history.c */
drmad_status page_history(study_page *p);
drmad_status page_front(study_page *p); /* several objectives */
drmad_status page_curves(study_page *p);
drmad_status page_timeline(study_page *p);
/* html_params.c */
drmad_status page_importance(study_page *p);
drmad_status page_parallel(study_page *p);
drmad_status page_slices(study_page *p);
drmad_status page_contour(study_page *p);

/* The i-th of n is one of `most` picked evenly. */
bool page_picks(int64_t i, int64_t n, int64_t most);
/* "trial 7, COMPLETE", its values and some parameters, a line each, for a <title>. */
void page_trial_title(study_page *p, const view_trial *t);
const char *page_state_class(const view_trial *t);
/* Values of an objective, one a trial, NaN where there is none. */
drmad_status page_values(const study_page *p, int32_t objective, double **out);
#endif
