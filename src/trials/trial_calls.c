/* A trial at work: its values, those declared while it runs, and what it is told. */
#include "base/number.h"
#include "trials/suggest.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

const search_param *trial_param(const drmad_trial *t, int32_t i, double *x)
{
    const search *declared = t->study->session->space;

    for (int32_t k = 0; k < declared->n; k++) {
        if (isnan(t->x[k]) || i-- > 0) continue;
        *x = t->x[k];
        return &declared->params[k];
    }
    if (i >= t->own->n) return NULL;
    *x = t->own_x[i];
    return &t->own->params[i];
}

static const search_param *find(const drmad_trial *t, const char *name, double *x)
{
    const search_param *p;

    for (int32_t i = 0; (p = trial_param(t, i, x)); i++)
        if (strcmp(p->name, name) == 0) return p;
    return NULL;
}

static drmad_status no_value(const drmad_trial *t, const char *name, const char *what)
{
    char who[640];

    trial_name(t, who, sizeof who);
    return FAIL(t->study->ctx, DRMAD_E_USAGE, "%s: parameter %s: %s", who, name, what);
}

drmad_status trial_text(drmad_ctx *ctx, const search_param *p, double x, char **out)
{
    if (p->type == SEARCH_CATEGORICAL) return mem_strdup(ctx, p->texts[(int32_t)x], out);
    return search_print_one(ctx, p, x, out);
}

int64_t drmad_trial_number(const drmad_trial *t)
{
    return t->lease.number;
}

drmad_status drmad_trial_real(drmad_trial *t, const char *name, double *out)
{
    double x;
    const search_param *p = find(t, name, &x);

    if (!p) return no_value(t, name, "the trial has none of that name");
    *out = x;
    if (p->type != SEARCH_CATEGORICAL) return DRMAD_OK;
    const char *choice = p->choices[(int32_t)x];
    if (choice[0] == '"' || !number_read(choice, out))
        return no_value(t, name, "its value is no number; drmad_trial_text gives it");
    return DRMAD_OK;
}

drmad_status drmad_trial_text(drmad_trial *t, const char *name, const char **out)
{
    double x;
    const search_param *p = find(t, name, &x);
    char *text;

    if (!p) return no_value(t, name, "the trial has none of that name");
    const drmad_status st = trial_text(t->study->ctx, p, x, &text);
    if (st != DRMAD_OK) return st;
    mem_free(t->study->ctx, t->text);
    *out = t->text = text;
    return st;
}

/* Gives *out: two objects as one. */
static drmad_status join(drmad_ctx *ctx, const char *a, const char *b, char **out)
{
    const size_t n = strlen(a), size = n + strlen(b) + 3;
    const bool both = n > 2 && strlen(b) > 2;
    const drmad_status st = mem_alloc(ctx, size, 1, out);

    if (st == DRMAD_OK) snprintf(*out, size, "%.*s%s%s", (int)n - 1, a, both ? ", " : "", b + 1);
    return st;
}

const char *drmad_trial_params_json(drmad_trial *t)
{
    drmad_ctx *ctx = t->study->ctx;
    char *declared = NULL, *own = NULL, *both = NULL;
    drmad_status st = DRMAD_OK;

    TRY(search_print(t->study->session->space, t->x, &declared));
    TRY(search_print(t->own, t->own_x, &own));
    TRY(join(ctx, declared, own, &both));
    mem_free(ctx, t->params);
    t->params = both;
done:
    mem_free(ctx, declared);
    mem_free(ctx, own);
    return st == DRMAD_OK ? t->params : "";
}

/* ---- parameters declared while the trial runs ---- */

/* Takes `p`: checks it in a space of its own, where it gets its distribution. */
static drmad_status check_one(drmad_ctx *ctx, search_param *p, search **one)
{
    int32_t index;
    drmad_status st = search_new(ctx, one);

    if (st != DRMAD_OK) {
        search_param_free(ctx, p);
        return st;
    }
    return search_add(*one, p, &index);
}

/* A declaration of the study's own, or one that this trial has made before: its value, where it is
 * of the same type. */
static drmad_status known(const drmad_trial *t, const search_param *p, double *x, bool *found)
{
    const search *declared = t->study->session->space;
    const int32_t i = search_find(declared, p->name), k = search_find(t->own, p->name);
    const search_param *q = i >= 0 ? &declared->params[i] : k >= 0 ? &t->own->params[k] : NULL;

    *found = q != NULL;
    if (!q) return DRMAD_OK;
    *x = i >= 0 ? t->x[i] : t->own_x[k];
    if (q->type != p->type || q->n_choices != p->n_choices)
        return no_value(t, p->name, "declared before as another type");
    for (int32_t c = 0; c < q->n_choices; c++)
        if (strcmp(q->choices[c], p->choices[c]) != 0)
            return no_value(t, p->name, "declared before with other choices");
    if (isnan(*x)) return no_value(t, p->name, "its condition leaves it out of this trial");
    return DRMAD_OK;
}

/* Takes `p`. */
static drmad_status suggest(drmad_trial *t, search_param *p, double *x)
{
    drmad_ctx *ctx = t->study->ctx;
    drmad_status st = DRMAD_OK;
    search *one = NULL;
    search_param *copy;
    char *note = NULL;
    int32_t index;
    bool found;

    TRY(check_one(ctx, p, &one));
    const search_param *q = &one->params[0];
    TRY(known(t, q, x, &found));
    if (found) goto done;
    TRY(trial_fixed(one, t->fixed, x));
    if (isnan(*x)) TRY(suggest_own(t, one, x, &note));
    const store_param stored = {q->name, *x, q->distribution};
    const store_attr a = {PAST_NOTE_KEY, note, .system = true};
    TRY(store_trial_params(t->study->session->store, &t->lease, &stored, 1, note ? &a : NULL));
    TRY(search_param_parse(ctx, q->name, q->distribution, &copy));
    TRY(trial_add_own(t, copy, *x, &index));
done:
    mem_free(ctx, note);
    search_free(one);
    return st;
}

static drmad_status new_param(const drmad_trial *t, const char *name, search_type type,
                              search_param **out)
{
    drmad_ctx *ctx = t->study->ctx;
    drmad_status st = mem_alloc(ctx, 1, sizeof **out, out);

    if (st != DRMAD_OK) return st;
    (*out)->type = type;
    (*out)->mean = (*out)->sd = NAN;
    st = mem_strdup(ctx, name, &(*out)->name);
    if (st != DRMAD_OK) search_param_free(ctx, *out);
    return st;
}

drmad_status drmad_trial_suggest_real(drmad_trial *t, const char *name, double low, double high,
                                      double step, int log, double *out)
{
    search_param *p;
    const drmad_status st = new_param(t, name, SEARCH_FLOAT, &p);

    if (st != DRMAD_OK) return st;
    p->low = low, p->high = high, p->step = step, p->log = log != 0;
    return suggest(t, p, out);
}

drmad_status drmad_trial_suggest_int(drmad_trial *t, const char *name, int64_t low, int64_t high,
                                     int64_t step, int log, int64_t *out)
{
    search_param *p;
    drmad_status st = new_param(t, name, SEARCH_INT, &p);
    double x;

    if (st != DRMAD_OK) return st;
    p->low = (double)low, p->high = (double)high, p->log = log != 0;
    p->step = step == 0 ? 1 : (double)step;
    st = suggest(t, p, &x);
    if (st == DRMAD_OK) *out = (int64_t)x;
    return st;
}

drmad_status drmad_trial_suggest_choice(drmad_trial *t, const char *name,
                                        const char *const *choices, int n, int *index)
{
    drmad_ctx *ctx = t->study->ctx;
    search_param *p = NULL;
    drmad_status st = DRMAD_OK;
    double x;

    if (n < 1) return no_value(t, name, "no choices");
    TRY(new_param(t, name, SEARCH_CATEGORICAL, &p));
    st = mem_alloc(ctx, (size_t)n, sizeof *p->choices, &p->choices);
    for (; st == DRMAD_OK && p->n_choices < n; p->n_choices += st == DRMAD_OK)
        st = mem_strdup(ctx, choices[p->n_choices], &p->choices[p->n_choices]);
    if (st != DRMAD_OK) {
        search_param_free(ctx, p);
        goto done;
    }
    TRY(suggest(t, p, &x));
    *index = (int)x;
done:
    return st;
}

/* ---- writing ---- */

drmad_status trial_check_open(const drmad_trial *t)
{
    char who[640];

    if (!t->ended) return DRMAD_OK;
    trial_name(t, who, sizeof who);
    return FAIL(t->study->ctx, DRMAD_E_USAGE, "%s has ended: it was told or given back", who);
}

drmad_status drmad_trial_report(drmad_trial *t, int64_t step, double value)
{
    drmad_status st = trial_check_open(t);
    const store_report r = {step, value};

    if (st == DRMAD_OK) st = store_trial_reports(t->study->session->store, &t->lease, &r, 1);
    return st == DRMAD_OK ? trial_keep_report(t, step, value) : st;
}

/* Every name one of the trial's numbers, every value finite. */
drmad_status trial_check_gradient(const drmad_trial *t, const json_t *gradient)
{
    const char *name;
    json_t *value;
    double x;

    if (!json_is_object(gradient))
        return no_value(t, "gradient", "expected {\"name\": derivative, ...}");
    json_object_foreach((json_t *)gradient, name, value)
    {
        const search_param *p = find(t, name, &x);

        if (!p) return no_value(t, name, "the trial has none of that name");
        if (p->type == SEARCH_CATEGORICAL) return no_value(t, name, "a choice has no derivative");
        if (!json_is_number(value)) return no_value(t, name, "its derivative is no number");
    }
    return DRMAD_OK;
}

drmad_status drmad_trial_set_gradient(drmad_trial *t, const char *json)
{
    drmad_status st = trial_check_open(t);
    json_t *gradient = st == DRMAD_OK ? json_loads(json, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const store_attr a = {PAST_GRADIENT_KEY, json, .system = true};

    if (st == DRMAD_OK) st = trial_check_gradient(t, gradient);
    if (st == DRMAD_OK) st = store_trial_attrs(t->study->session->store, &t->lease, &a, 1);
    json_decref(gradient);
    return st;
}

drmad_status drmad_trial_set_attr(drmad_trial *t, const char *key, const char *json)
{
    drmad_status st = trial_check_open(t);
    const store_attr a = {key, json, .system = false};

    if (st == DRMAD_OK) st = store_trial_attrs(t->study->session->store, &t->lease, &a, 1);
    return st;
}

drmad_status drmad_trial_beat(drmad_trial *t)
{
    drmad_status st = trial_check_open(t);
    char who[640];
    bool held = true;

    if (st == DRMAD_OK) st = store_beat(t->study->session->store, &t->lease, 1, &held);
    if (st != DRMAD_OK || held) return st;
    trial_name(t, who, sizeof who);
    return FAIL(t->study->ctx, DRMAD_E_LEASE,
                "%s: the lease is over or the trial was ended by others", who);
}

drmad_status trial_tell(drmad_trial *t, const store_trial *end)
{
    const drmad_status st = store_trial_tell(t->study->session->store, &t->lease, end);

    if (st == DRMAD_OK || st == DRMAD_E_LEASE) t->ended = true;
    return st;
}

drmad_status drmad_trial_tell(drmad_trial *t, const char *state, const double *values, int n)
{
    drmad_status st = trial_check_open(t);
    trial_state s;

    if (st != DRMAD_OK) return st;
    if (!trial_state_of(state, &s) || s == TRIAL_RUNNING || s == TRIAL_WAITING)
        return FAIL(t->study->ctx, DRMAD_E_USAGE,
                    "state \"%.20s\": COMPLETE, PRUNED or FAIL can be told", state);
    const int want = s == TRIAL_COMPLETE ? (int)t->study->session->objectives : 0;
    const store_attr failed = {PAST_FAILED_KEY, "true", .system = true};
    if (n != want)
        return FAIL(t->study->ctx, DRMAD_E_USAGE, "%s is told with %d values, not %d", state, n,
                    want);
    for (int i = 0; i < n; i++)
        if (isnan(values[i])) s = TRIAL_FAIL;
    return trial_tell(t, &(store_trial){.state = s,
                                        .n_values = s == TRIAL_COMPLETE ? n : 0,
                                        .values = values,
                                        .n_attrs = s == TRIAL_FAIL,
                                        .attrs = &failed});
}

drmad_status drmad_trial_release(drmad_trial *t)
{
    drmad_status st = trial_check_open(t);

    if (st == DRMAD_OK) st = store_trial_release(t->study->session->store, &t->lease);
    if (st == DRMAD_OK || st == DRMAD_E_LEASE) t->ended = true;
    return st;
}

/* ---- trials that nobody runs here ---- */

/* Gives *x: the point, NaN where the text says nothing. */
static drmad_status parse_point(drmad_study *s, const char *text, double **x)
{
    drmad_status st = DRMAD_OK;

    *x = NULL;
    TRY(session_open(s, -1));
    TRY(mem_alloc(s->ctx, (size_t)s->session->space->n + 1, sizeof **x, x));
    TRY(search_parse(s->session->space, text, *x));
done:
    return st;
}

drmad_status drmad_study_enqueue(drmad_study *s, const char *params_json, int64_t *number)
{
    drmad_status st = DRMAD_OK;
    char key[STORE_REQUEST_SIZE], *json = NULL;
    double *x = NULL;
    int64_t id;

    TRY(parse_point(s, params_json, &x));
    TRY(search_print(s->session->space, x, &json));
    const store_attr fixed = {PAST_FIXED_KEY, json, .system = true};
    const store_trial t = {.state = TRIAL_WAITING, .n_attrs = 1, .attrs = &fixed};
    store_request(s->session->store, key);
    TRY(store_trial_add(s->session->store, s->session->study, &t, key, &id, number));
done:
    mem_free(s->ctx, json);
    mem_free(s->ctx, x);
    return st;
}

drmad_status drmad_study_observe(drmad_study *s, const char *params_json, const double *values,
                                 int n, int64_t *number)
{
    drmad_status st = DRMAD_OK;
    char key[STORE_REQUEST_SIZE];
    store_param *p = NULL;
    double *x = NULL;
    int32_t k = 0;
    int64_t id;

    TRY(parse_point(s, params_json, &x));
    if (n != s->session->objectives)
        TRY(FAIL(s->ctx, DRMAD_E_USAGE, "observe: %d values, not %d", n,
                 (int)s->session->objectives));
    const search *declared = s->session->space;
    TRY(search_check(declared, x));
    TRY(mem_alloc(s->ctx, (size_t)declared->n + 1, sizeof *p, &p));
    for (int32_t i = 0; i < declared->n; i++)
        if (!isnan(x[i]))
            p[k++] =
                (store_param){declared->params[i].name, x[i], declared->params[i].distribution};
    bool fine = true;
    for (int i = 0; i < n; i++) fine &= !isnan(values[i]);
    const store_attr failed = {PAST_FAILED_KEY, "true", .system = true};
    const store_trial t = {
        .state = fine ? TRIAL_COMPLETE : TRIAL_FAIL,
        .n_params = k,
        .params = p,
        .n_values = fine ? n : 0,
        .values = values,
        .n_attrs = !fine,
        .attrs = &failed,
    };
    store_request(s->session->store, key);
    TRY(store_trial_add(s->session->store, s->session->study, &t, key, &id, number));
done:
    mem_free(s->ctx, p);
    mem_free(s->ctx, x);
    return st;
}

void drmad_study_set_objective(drmad_study *s, drmad_objective_fn *fn, void *user)
{
    s->objective = fn;
    s->objective_user = user;
}

/* ---- texts ---- */

/* Bytes of the UTF-8 character at `at`, 0 when it is none. */
static size_t utf8_bytes(const unsigned char *at, size_t n)
{
    const size_t k = at[0] < 0x80                     ? 1
                     : at[0] >= 0xc2 && at[0] <= 0xdf ? 2
                     : at[0] >= 0xe0 && at[0] <= 0xef ? 3
                     : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4
                                                      : 0;

    if (k == 0 || k > n || at[0] == 0) return 0;
    for (size_t i = 1; i < k; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f)) return 0;
    if ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f)) return 0;
    return k;
}

drmad_status trial_json_text(drmad_ctx *ctx, const char *text, size_t n, char **out)
{
    drmad_status st = DRMAD_OK;
    char *clean = NULL, *dumped = NULL;
    json_t *j = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, n + 1, 1, &clean));
    for (size_t i = 0; i < n;) {
        const size_t k = utf8_bytes((const unsigned char *)text + i, n - i);

        if (k > 0) memcpy(clean + i, text + i, k);
        else clean[i] = '?';
        i += k > 0 ? k : 1;
    }
    j = json_string(clean);
    dumped = j ? json_dumps(j, JSON_ENCODE_ANY) : NULL;
    if (!dumped) TRY(FAIL(ctx, DRMAD_E_NOMEM, "out of memory for a text"));
    TRY(mem_strdup(ctx, dumped, out));
done:
    json_decref(j);
    free(dumped);
    mem_free(ctx, clean);
    return st;
}
