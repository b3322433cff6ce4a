/* What a study has come to: its best trial, and how many ended how. */
#include "worker/work.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct counter {
    int64_t *count;
} counter;

static drmad_status take_count(void *user, const store_study *study)
{
    const counter *c = user;

    memcpy(c->count, study->count, sizeof study->count);
    return DRMAD_OK;
}

drmad_status work_count(work *w, int64_t count[TRIAL_STATE_COUNT])
{
    counter c = {count};

    memset(count, 0, TRIAL_STATE_COUNT * sizeof *count);
    return store_study_each(w->s->session->store, w->s->session->name, take_count, &c);
}

/* ---- the best trial ---- */

typedef struct best {
    drmad_study *s;
    json_t *json;
} best;

/* A parameter as its own trial declared it: that may have been Optuna. */
static drmad_status put_param(best *b, json_t *params, const store_param *p)
{
    drmad_ctx *ctx = b->s->ctx;
    drmad_status st = DRMAD_OK;
    search_param *declared = NULL;
    char *text = NULL;

    TRY(search_param_parse(ctx, p->name, p->distribution, &declared));
    TRY(search_print_one(ctx, declared, p->value, &text));
    TRY(study_say(b->s, "  %-28s %s", p->name, text));
    if (json_object_set_new(params, p->name, json_loads(text, JSON_DECODE_ANY, NULL)) != 0)
        TRY(FAIL(ctx, DRMAD_E_NOMEM, "out of memory for the best trial"));
done:
    search_param_free(ctx, declared);
    mem_free(ctx, text);
    return st;
}

static drmad_status take_best(void *user, const store_trial *t)
{
    best *b = user;
    json_t *params = json_object();
    drmad_status st = DRMAD_OK;

    TRY(study_say(b->s, "best       trial %lld: %.6g", (long long)t->number, t->values[0]));
    for (int32_t i = 0; i < t->n_params; i++) TRY(put_param(b, params, &t->params[i]));
    b->json = json_pack("{s:I,s:o,s:O}", "number", (json_int_t)t->number, "value",
                        study_real(t->values[0]), "params", params);
done:
    json_decref(params);
    return st;
}

static drmad_status put_counts(work *w, int64_t count[TRIAL_STATE_COUNT])
{
    json_t *j = json_object();
    char line[256] = "";
    size_t n = 0;

    for (int i = 0; i < TRIAL_STATE_COUNT; i++) {
        const char *word = trial_state_word((trial_state)i);

        json_object_set_new(j, word, json_integer((json_int_t)count[i]));
        if (count[i] > 0)
            n += (size_t)snprintf(line + n, sizeof line - n, "%s%lld %s", n ? ", " : "",
                                  (long long)count[i], word);
    }
    const drmad_status st = study_say(w->s, "trials     %s", n ? line : "none");
    return st == DRMAD_OK ? study_put(w->s, "trials", j) : st;
}

drmad_status work_result(work *w)
{
    drmad_study *s = w->s;
    const struct session *ss = s->session;
    int64_t count[TRIAL_STATE_COUNT], id = -1;
    best b = {.s = s};
    drmad_status st = DRMAD_OK;

    TRY(study_put(s, "name", json_string(ss->name)));
    TRY(study_put(s, "store", json_string(store_url(ss->store))));
    TRY(study_say(s, "study      %s in %s", ss->name, store_url(ss->store)));
    TRY(work_count(w, count));
    TRY(put_counts(w, count));
    TRY(store_trial_best(ss->store, ss->study, &id));
    if (id >= 0) TRY(store_trial_read(ss->store, ss->study, id, take_best, &b));
    TRY(study_put(s, "best", b.json ? json_incref(b.json) : json_null()));
    const json_t *value = json_object_get(b.json, "value");
    const bool finite = json_is_number(value);
    TRY(study_put(s, "status", json_string(finite ? "done" : "diverged")));
    TRY(study_finish(s, NULL));
    if (!finite && w->stop == DRMAD_OK)
        st = FAIL(s->ctx, DRMAD_E_DIVERGED,
                  "study %s: none of its %lld trials has a finite value; see fail_reason of the "
                  "failed ones",
                  ss->name, (long long)(count[TRIAL_COMPLETE] + count[TRIAL_FAIL]));
done:
    json_decref(b.json);
    return st;
}
