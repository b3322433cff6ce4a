/* drmad study replay: every past suggestion of a study, made again from its note. */
#include "trials/suggest.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum verdict {
    REPLAY_SAME,
    REPLAY_OTHER,     /* it comes out differently, or what it saw is not there any more */
    REPLAY_ELSEWHERE, /* the same, but it was another build or processor */
    REPLAY_NOT_OURS   /* nothing was suggested, or by others */
} verdict;

static const char *const verdict_words[] = {"same", "differs", "other build", "not suggested"};

typedef struct replay {
    drmad_study *s;
    int64_t count[COUNT(verdict_words)];
    json_t *others; /* each trial that is not the same */
} replay;

/* Why there is nothing to make again; NULL: there is. */
static const char *not_suggested(const past_trial *t)
{
    if (t->again) return "queued again after its worker was lost: a copy of that trial";
    if (t->note) return NULL;
    if (t->fixed) return "enqueued with all its values";
    if (t->n_params == 0) return "has no parameters yet";
    if (t->ours) return "no note: observed, imported, or run by an older drmad";
    return "no note: run by others, as Optuna";
}

static bool same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* The coordinate of the trial's i-th parameter where it was drawn alone: those of its own count
 * behind the declared ones. */
static int32_t place_of(const struct session *ss, const past_trial *t, int32_t i)
{
    int32_t at = ss->space->n;

    for (int32_t k = 0; k < i; k++)
        at += search_find(ss->space, ss->past->params[t->which[k]].name) < 0;
    return at;
}

/* The value that the suggestion has for the trial's i-th parameter. */
static drmad_status value_of(const replay *r, const past_trial *t, int32_t i, const suggestion *g,
                             double *x)
{
    const struct session *ss = r->s->session;
    const past_param *q = &ss->past->params[t->which[i]];
    const int32_t k = g->space ? search_find(g->space, q->name) : -1;
    drmad_status st = DRMAD_OK;
    search_param *declared = NULL;
    search *one = NULL;
    int32_t index;
    double u;

    if (k >= 0 && strcmp(g->space->params[k].distribution, q->distribution) == 0) {
        *x = g->x[k];
        return st;
    }
    TRY(search_new(ss->ctx, &one));
    TRY(search_param_parse(ss->ctx, q->name, q->distribution, &declared));
    TRY(search_add(one, declared, &index));
    TRY(trial_fixed(one, t->fixed, x));
    if (!isnan(*x)) goto done;
    TRY(suggest_alone(ss->ctx, &g->options, t->number, place_of(ss, t, i), &u));
    *x = search_draw_one(&one->params[0], u);
done:
    search_free(one);
    return st;
}

static drmad_status compare_values(const replay *r, const past_trial *t, const suggestion *g,
                                   char *why, size_t size)
{
    const past *p = r->s->session->past;
    drmad_status st = DRMAD_OK;
    double x = NAN;

    for (int32_t i = 0; i < t->n_params && !why[0]; i++) {
        TRY(value_of(r, t, i, g, &x));
        if (same_bits(x, t->values[i])) continue;
        snprintf(why, size, "%.64s is %.17g, suggested again it is %.17g",
                 p->params[t->which[i]].name, t->values[i], x);
    }
done:
    return st;
}

/* What the note says of the model and of where it was made. */
static void compare_notes(const past_trial *t, const suggestion *g, bool *same_model, bool *here)
{
    json_t *then = json_loads(t->note, 0, NULL),
           *now = g->note ? json_loads(g->note, 0, NULL) : NULL;
    static const char *const places[] = {"build", "cpu"};

    *here = *same_model = true;
    if (now) {
        const json_t *a = json_object_get(then, "model"), *b = json_object_get(now, "model");

        *same_model = a == b || json_equal(a, b);
    }
    for (size_t i = 0; now && i < COUNT(places); i++) {
        const json_t *a = json_object_get(then, places[i]), *b = json_object_get(now, places[i]);

        *here &= a == b || json_equal(a, b);
    }
    json_decref(then);
    json_decref(now);
}

static drmad_status judge(replay *r, const past_trial *t, verdict *v, char *why, size_t size)
{
    drmad_ctx *ctx = r->s->ctx;
    const char *none = not_suggested(t);
    suggestion g = {0};
    bool model = true, here = true;

    *v = REPLAY_NOT_OURS;
    snprintf(why, size, "%s", none ? none : "");
    if (none) return DRMAD_OK;
    drmad_status st = suggest_again(r->s, t, &g);
    if (st == DRMAD_OK) st = compare_values(r, t, &g, why, size);
    if (st == DRMAD_OK) compare_notes(t, &g, &model, &here);
    if (st == DRMAD_E_STORAGE || st == DRMAD_E_CONFIG || st == DRMAD_E_MISSING) {
        snprintf(why, size, "%s", drmad_errmsg(ctx));
        st = DRMAD_OK;
    }
    if (!why[0] && !model) snprintf(why, size, "the same point by another model");
    *v = !why[0] ? REPLAY_SAME : here ? REPLAY_OTHER : REPLAY_ELSEWHERE;
    suggestion_free(ctx, &g);
    return st;
}

static drmad_status put_trial(replay *r, const past_trial *t, verdict v, const char *why)
{
    drmad_status st = DRMAD_OK;

    r->count[v]++;
    if (v == REPLAY_SAME) return st;
    json_t *j = json_pack("{s:I,s:s,s:s}", "number", (json_int_t)t->number, "verdict",
                          verdict_words[v], "why", why);
    if (!j || json_array_append_new(r->others, j) != 0)
        TRY(FAIL(r->s->ctx, DRMAD_E_NOMEM, "out of memory for a replay"));
    TRY(study_say(r->s, "trial %-6lld %s: %s", (long long)t->number, verdict_words[v], why));
done:
    return st;
}

static drmad_status put_result(replay *r)
{
    drmad_study *s = r->s;
    const struct session *ss = s->session;
    json_t *count = json_object();
    drmad_status st = DRMAD_OK;

    for (size_t i = 0; i < COUNT(verdict_words); i++)
        json_object_set_new(count, verdict_words[i], json_integer((json_int_t)r->count[i]));
    TRY(study_put(s, "name", json_string(ss->name)));
    TRY(study_put(s, "store", json_string(store_url(ss->store))));
    TRY(study_put(s, "suggestions", count));
    TRY(study_put(s, "others", json_incref(r->others)));
    TRY(study_say(s,
                  "study %s in %s: %lld suggestions came out the same, bit for bit; %lld differ, "
                  "%lld were made elsewhere, %lld trials were not suggested",
                  ss->name, store_url(ss->store), (long long)r->count[REPLAY_SAME],
                  (long long)r->count[REPLAY_OTHER], (long long)r->count[REPLAY_ELSEWHERE],
                  (long long)r->count[REPLAY_NOT_OURS]));
    TRY(study_finish(s, NULL));
    if (r->count[REPLAY_OTHER] > 0)
        st = FAIL(s->ctx, DRMAD_E_STORAGE,
                  "study %s: %lld of its suggestions are not what they were", ss->name,
                  (long long)r->count[REPLAY_OTHER]);
done:
    return st;
}

static drmad_status replay_all(replay *r)
{
    const past *p = r->s->session->past;
    drmad_status st = DRMAD_OK;
    char why[1024];
    verdict v;

    for (int32_t i = 0; i < p->n; i++) {
        TRY(base_stopped(r->s->ctx));
        TRY(judge(r, &p->trials[i], &v, why, sizeof why));
        TRY(put_trial(r, &p->trials[i], v, why));
        TRY(study_event(r->s, "replayed", (double)i + 1, p->n,
                        json_pack("{s:s,s:I,s:s}", "event", "replay", "number",
                                  (json_int_t)p->trials[i].number, "verdict", verdict_words[v])));
    }
    TRY(put_result(r));
done:
    return st;
}

drmad_status drmad_study_replay(drmad_study *s)
{
    drmad_status st = DRMAD_OK;
    replay r = {.s = s};

    TRY(study_begin_result(s, "replay"));
    TRY(session_open_reading(s));
    TRY(suggest_read_past(s));
    r.others = json_array();
    st = replay_all(&r);
done:
    json_decref(r.others);
    session_close(s);
    return study_end(s, st);
}
