/* Data cleaning: how well tuned example weights tell wrong labels from right ones, where the study
 * itself made them wrong (data.label_noise), against ranking by the loss of a model trained on the
 * validation examples alone. */
#include "study/study_parts.h"
#include <math.h>
#include <stdlib.h>

typedef struct scored {
    double score; /* larger = more likely wrong */
    bool wrong;
} scored;

static int by_score(const void *a, const void *b)
{
    const double x = ((const scored *)a)->score, y = ((const scored *)b)->score;

    return (x > y) - (x < y);
}

/* The area under the ROC curve: the chance that a wrong label scores higher than a right one, ties
 * counting one half (Mann and Whitney's U over the number of pairs). */
static double area(scored *x, int64_t n)
{
    double ranks = 0, wrong = 0;

    qsort(x, (size_t)n, sizeof *x, by_score);
    for (int64_t i = 0, j; i < n; i = j) {
        for (j = i; j < n && x[j].score == x[i].score;) j++;
        const double rank = 0.5 * (double)(i + 1 + j);
        for (int64_t k = i; k < j; k++)
            if (x[k].wrong) ranks += rank, wrong += 1;
    }
    return (ranks - wrong * (wrong + 1) / 2) / (wrong * ((double)n - wrong));
}

/* Trains on the validation examples alone: losses of the training examples, and the result on the
 * test set. */
static drmad_status clean_only(drmad_study *s, double *loss, eval_result *test)
{
    setup *u = s->s;
    const space_facts facts = {.steps = u->spec.steps,
                               .examples = u->valid.count,
                               .classes = u->train_data->classes,
                               .inputs = u->train_data->width};
    drmad_status st = DRMAD_OK;
    train_spec spec = u->spec;
    space *none = NULL;
    trainer *t = NULL;
    train_report run;
    const double values[1] = {0};

    TRY(space_new(s->ctx, u->params, &facts, NULL, 0, &none));
    spec.train = u->valid;
    spec.space = none;
    spec.distil = false; /* the teacher was asked about the training examples */
    TRY(trainer_new(s->ctx, &spec, &t));
    TRY(trainer_run(t, values, setup_seed(u, "retrain", 0), NULL, &run));
    TRY(trainer_row_losses(t, &u->spec.train, values, loss));
    if (u->test.count > 0) TRY(trainer_eval(t, &u->test, values, test, NULL, NULL));
done:
    trainer_free(t);
    space_free(none);
    return st;
}

/* Whether there is something to find: tuned weights of examples, and labels of both kinds. */
static bool applies(const setup *u, const hyper_use *use)
{
    const int64_t n = u->spec.train.count;
    int64_t wrong = 0;

    if (!use || u->model || u->space->slices[use->slice].elements != n) return false;
    for (int64_t i = 0; i < n; i++) wrong += u->split->wrong[i];
    return wrong > 0 && wrong < n;
}

drmad_status study_clean_report(drmad_study *s, const double *values)
{
    const setup *u = s->s;
    const hyper_use *use = space_find(u->space, HYPER_EXAMPLE_WEIGHT, -1);
    const int64_t n = u->spec.train.count;
    double *loss = NULL, by_loss = NAN;
    eval_result test = {NAN, NAN};
    drmad_status st = DRMAD_OK;
    scored *x = NULL;

    if (!applies(u, use)) return DRMAD_OK;
    TRY(mem_alloc(s->ctx, (size_t)n, sizeof *x, &x));
    TRY(mem_alloc(s->ctx, (size_t)n, sizeof *loss, &loss));
    const double *weight = values + u->space->slices[use->slice].offset;
    for (int64_t i = 0; i < n; i++) x[i] = (scored){-weight[i], u->split->wrong[i] != 0};
    const double by_weight = area(x, n);
    const bool enough = u->valid.count >= u->spec.batch;
    if (enough) st = clean_only(s, loss, &test);
    const bool trained = enough && st == DRMAD_OK;
    if (st == DRMAD_E_DIVERGED) st = DRMAD_OK; /* then there is nothing to compare with */
    TRY(st);
    for (int64_t i = 0; i < n; i++) x[i] = (scored){loss[i], u->split->wrong[i] != 0};
    if (trained) by_loss = area(x, n);
    TRY(study_put(s, "cleaning",
                  json_pack("{s:f,s:o,s:o,s:o}", "auc_by_weight", by_weight, "auc_by_clean_loss",
                            study_real(by_loss), "clean_only_test_error", study_real(test.error),
                            "clean_only_test_loss", study_real(test.loss))));
    TRY(study_say(s, "\nwrong labels found: AUC %.4f by weight", by_weight));
    if (isfinite(by_loss))
        TRY(study_say(
            s,
            "%19s AUC %.4f by the loss of a model trained on the %lld clean examples alone"
            " (test error %.2f %%)",
            "", by_loss, (long long)u->valid.count, 100 * test.error));
done:
    mem_free(s->ctx, x);
    mem_free(s->ctx, loss);
    return st;
}
