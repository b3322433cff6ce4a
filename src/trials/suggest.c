/* Where a trial's values come from: the study's sampler over the study's past.
 *
 * With declared parameters a point is suggested whole, when the trial is asked for. Parameters that
 * trials declare while they run are suggested together, at the first of them, over those that all
 * COMPLETE trials have in common, as Optuna does; what is left is drawn alone, by seed, number and
 * place in the trial's own order, so that another branch taken by another trial changes nothing. */
#include "trials/suggest.h"
#include <stdio.h>
#include <string.h>

enum { GP_MOST = 20 }; /* parameters up to which `auto` takes it */

/* ---- which sampler ---- */

static bool same_options(const sampler_options *a, const sampler_options *b)
{
    return a->kind == b->kind && a->seed == b->seed && a->startup == b->startup &&
           a->gradients == b->gradients;
}

static drmad_status sampler_of(struct session *ss, const sampler_options *o, const search *over,
                               sampler **out)
{
    drmad_status st = DRMAD_OK;

    if (!ss->sampler || ss->asked_space != over || !same_options(&ss->asked, o)) {
        sampler_free(ss->sampler);
        ss->sampler = NULL;
        TRY(sampler_new(ss->ctx, o, over, &ss->sampler));
        ss->asked = *o;
        ss->asked_space = over;
    }
    *out = ss->sampler;
done:
    return st;
}

/* gp where its libraries are and there are not too many parameters. */
static drmad_status choose(drmad_study *s)
{
    struct session *ss = s->session;
    drmad_status st = DRMAD_OK;
    sampler *any;

    ss->options.kind = ss->objectives > 1       ? SAMPLER_SOBOL
                       : ss->space->n > GP_MOST ? SAMPLER_TPE
                                                : SAMPLER_GP;
    if (ss->options.kind != SAMPLER_GP) return st;
    st = sampler_of(ss, &ss->options, ss->space, &any);
    if (st != DRMAD_E_MISSING) return st;
    base_log(ss->ctx, LOG_INFO, "search.sampler: tpe, for %s", drmad_errmsg(ss->ctx));
    ss->options.kind = SAMPLER_TPE;
    return DRMAD_OK;
}

static const int words[] = {
    [SAMPLER_RANDOM] = CFG_SAMPLER_RANDOM, [SAMPLER_SOBOL] = CFG_SAMPLER_SOBOL,
    [SAMPLER_TPE] = CFG_SAMPLER_TPE,       [SAMPLER_GP] = CFG_SAMPLER_GP,
    [SAMPLER_CMAES] = CFG_SAMPLER_CMAES,
};

int suggest_word(sampler_kind kind)
{
    return words[kind];
}

static sampler_kind kind_of(int word)
{
    int kind = COUNT(words) - 1;

    while (kind > 0 && words[kind] != word) kind--;
    return (sampler_kind)kind;
}

drmad_status suggest_setup(drmad_study *s, int kept)
{
    const config_search *c = &s->cfg->set.search;
    struct session *ss = s->session;
    const int word = c->sampler >= 0 ? c->sampler : kept;
    drmad_status st = DRMAD_OK;

    ss->options = (sampler_options){
        .seed = (uint64_t)s->cfg->set.seed,
        .startup = (int32_t)c->startup,
        .gradients = c->gradients,
    };
    if (word >= 0) ss->options.kind = kind_of(word);
    else TRY(choose(s));
    if (ss->objectives > 1 && sampler_looks(ss->options.kind))
        TRY(config_refuse(s->cfg, "search.sampler",
                          "%s works on one objective, and study %s has %d: random or sobol",
                          sampler_word(ss->options.kind), ss->name, (int)ss->objectives));
done:
    return st;
}

drmad_status suggest_ready(drmad_study *s)
{
    struct session *ss = s->session;
    sampler *any;

    return ss->sampler ? DRMAD_OK : sampler_of(ss, &ss->options, ss->space, &any);
}

/* ---- what there is to look at ---- */

drmad_status suggest_read_past(drmad_study *s)
{
    struct session *ss = s->session;
    const double from = base_now();
    drmad_status st = DRMAD_OK;

    if (!ss->past) TRY(past_new(ss->ctx, ss->maximise, &ss->past));
    TRY(past_read(ss->past, ss->store, ss->study));
    ss->read_at = base_now();
    ss->read_s = ss->read_at - from;
done:
    return st;
}

static bool same_space(const search *a, const search *b)
{
    bool same = a->n == b->n;

    for (int32_t i = 0; same && i < a->n; i++)
        same = strcmp(a->params[i].name, b->params[i].name) == 0 &&
               strcmp(a->params[i].distribution, b->params[i].distribution) == 0;
    return same;
}

/* Takes `fresh`; *out is it, or the session's that is alike. */
static drmad_status keep_space(struct session *ss, search *fresh, const search **out)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = ss->n_shared; i-- > 0;) {
        if (!same_space(ss->shared[i], fresh)) continue;
        *out = ss->shared[i];
        goto done;
    }
    TRY(mem_resize(ss->ctx, &ss->shared, (size_t)ss->n_shared, (size_t)ss->n_shared + 1,
                   sizeof *ss->shared));
    *out = ss->shared[ss->n_shared++] = fresh;
    fresh = NULL;
done:
    search_free(fresh);
    return st;
}

/* ---- declared parameters ---- */

static drmad_status with_name(const drmad_trial *t, drmad_status st)
{
    char why[1024], name[640];

    if (st != DRMAD_E_CONFIG) return st;
    snprintf(why, sizeof why, "%s", drmad_errmsg(t->study->ctx));
    trial_name(t, name, sizeof name);
    return FAIL(t->study->ctx, st, "%s: %s", name, why);
}

/* x in, x out: what is NaN is filled in. */
static drmad_status suggest_in(drmad_trial *t, const search *over, double *x, char **note)
{
    struct session *ss = t->study->session;
    drmad_status st = DRMAD_OK;
    history h = {0};
    sampler *with;

    TRY(sampler_of(ss, &ss->options, over, &with));
    if (sampler_looks(ss->options.kind)) TRY(past_history(ss->past, over, t->lease.number, &h));
    TRY(sampler_suggest(with, &h, t->lease.number, x, note));
done:
    return with_name(t, st);
}

drmad_status suggest_declared(drmad_trial *t, char **note)
{
    drmad_study *s = t->study;
    const search *declared = s->session->space;
    drmad_status st = DRMAD_OK;

    *note = NULL;
    if (search_check(declared, t->x) == DRMAD_OK) return st; /* whole */
    if (sampler_looks(s->session->options.kind)) TRY(suggest_read_past(s));
    TRY(suggest_in(t, declared, t->x, note));
done:
    return st;
}

/* ---- parameters of a trial's own ---- */

/* The point over the shared parameters that the note leads to: another process has asked. */
static drmad_status want_again(drmad_trial *t)
{
    drmad_study *s = t->study;
    drmad_status st = DRMAD_OK;
    suggestion g = {0};

    TRY(suggest_read_past(s));
    const past_trial *p = past_find(s->session->past, t->lease.number);
    if (!p || !p->note) goto done;
    st = suggest_again(s, p, &g);
    if (st == DRMAD_E_STORAGE) st = DRMAD_OK; /* then what is left is drawn alone */
    else if (st == DRMAD_OK) t->shared = g.space, t->shared_x = g.x, g.x = NULL;
done:
    suggestion_free(s->ctx, &g);
    return st;
}

static drmad_status want(drmad_trial *t, char **note)
{
    drmad_study *s = t->study;
    struct session *ss = s->session;
    const search *over = NULL;
    drmad_status st = DRMAD_OK;
    search *fresh = NULL;

    if (t->note) return want_again(t);
    if (ss->space->n > 0) return st; /* its note is that of the declared ones */
    if (sampler_looks(ss->options.kind)) {
        TRY(suggest_read_past(s));
        TRY(past_shared_space(ss->past, &fresh));
        TRY(keep_space(ss, fresh, &over));
    }
    if (!over || over->n == 0) return sampler_note_blind(ss->ctx, &ss->options, note);
    TRY(mem_alloc(ss->ctx, (size_t)over->n, sizeof *t->shared_x, &t->shared_x));
    TRY(trial_fixed(over, t->fixed, t->shared_x));
    TRY(suggest_in(t, over, t->shared_x, note));
    t->shared = over;
done:
    return st;
}

drmad_status suggest_alone(drmad_ctx *ctx, const sampler_options *o, int64_t number, int32_t i,
                           double *u)
{
    double *all = NULL;
    const drmad_status st = mem_alloc(ctx, (size_t)i + 1, sizeof *all, &all);

    if (st != DRMAD_OK) return st;
    if (o->kind == SAMPLER_RANDOM) sample_random(o->seed, number, 0, i + 1, all);
    else sample_sobol(o->seed, number, 0, i + 1, all);
    *u = all[i];
    mem_free(ctx, all);
    return st;
}

drmad_status suggest_own(drmad_trial *t, const search *one, double *x, char **note)
{
    const struct session *ss = t->study->session;
    const search_param *p = &one->params[0];
    drmad_status st = DRMAD_OK;
    double u;

    *note = NULL;
    if (!t->wanted) TRY(want(t, note));
    t->wanted = true;
    const int32_t k = t->shared ? search_find(t->shared, p->name) : -1;
    if (k >= 0 && strcmp(t->shared->params[k].distribution, p->distribution) == 0) {
        *x = t->shared_x[k];
        return st;
    }
    TRY(suggest_alone(ss->ctx, &ss->options, t->lease.number, ss->space->n + t->own->n, &u));
    *x = search_draw_one(p, u);
done:
    return st;
}

/* ---- once more ---- */

void suggestion_free(drmad_ctx *ctx, suggestion *g)
{
    mem_free(ctx, g->x);
    mem_free(ctx, g->note);
    *g = (suggestion){0};
}

/* The space of the note: declared, or that of the COMPLETE trials which it saw. NULL: none. */
static drmad_status space_of(struct session *ss, const char *note, const search **out)
{
    drmad_status st = DRMAD_OK;
    const past_trial *like = NULL;
    int64_t *seen = NULL;
    json_t *j = NULL;
    search *fresh = NULL;
    int32_t n;

    *out = ss->space;
    if (ss->space->n > 0) return st;
    *out = NULL;
    TRY(sampler_note_numbers(ss->ctx, note, ss->past->n, &seen, &n));
    for (int32_t i = 0; i < n && !like; i++) {
        const past_trial *t = past_find(ss->past, seen[i]);

        if (t && t->state == TRIAL_COMPLETE) like = t;
    }
    if (!like) goto done;
    j = json_loads(note, 0, NULL);
    TRY(past_named_space(ss->past, like, json_object_get(j, "parameters"), &fresh));
    TRY(keep_space(ss, fresh, out));
done:
    json_decref(j);
    mem_free(ss->ctx, seen);
    return st;
}

static drmad_status suggest_from(struct session *ss, const past_trial *t, suggestion *g)
{
    drmad_status st = DRMAD_OK;
    observation *rows = NULL;
    history all, h = {0};
    sampler *with;

    TRY(mem_alloc(ss->ctx, (size_t)g->space->n + 1, sizeof *g->x, &g->x));
    TRY(trial_fixed(g->space, t->fixed, g->x));
    TRY(sampler_of(ss, &g->options, g->space, &with));
    if (sampler_looks(g->options.kind)) {
        TRY(past_history_all(ss->past, g->space, &all));
        TRY(sampler_seen(with, t->note, &all, &rows, &h.n));
        h.rows = rows;
    }
    TRY(sampler_suggest(with, &h, t->number, g->x, &g->note));
done:
    mem_free(ss->ctx, rows);
    return st;
}

drmad_status suggest_again(drmad_study *s, const past_trial *t, suggestion *out)
{
    struct session *ss = s->session;
    drmad_status st = DRMAD_OK;

    *out = (suggestion){0};
    TRY(sampler_note_options(ss->ctx, t->note, &out->options));
    TRY(space_of(ss, t->note, &out->space));
    if (out->space) TRY(suggest_from(ss, t, out));
done:
    return st;
}
