/* Studies that learn from their trials: which sampler, parameters declared while running, pruning,
 * gradients, several objectives, replay; through the public calls. */
#include "drmad/store.h"
#include "drmad/trial.h"
#include "test.h"
#include <jansson.h>
#include <unistd.h>

enum { SETTINGS = 16 };

typedef struct shop {
    char url[400], store[420];
} shop;

static shop open_shop(void)
{
    shop sh;

    snprintf(sh.url, sizeof sh.url, "sqlite:%s/t.db", test_scratch());
    snprintf(sh.store, sizeof sh.store, "store=%s", sh.url);
    return sh;
}

static drmad_study *open_study(const shop *sh, const char *const *more)
{
    const char *settings[SETTINGS] = {sh->store, "seed=4", "search.trials=none"};
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = NULL;
    int n = 3;

    while (*more && n < SETTINGS) settings[n++] = *more++;
    CHECK_OK(ctx, drmad_study_load(ctx, NULL, settings, n, &s));
    if (!s) abort();
    return s;
}
#define STUDY(...) open_study(&sh, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static drmad_trial *ask(drmad_study *s)
{
    drmad_trial *t = NULL;

    CHECK_OK(test_ctx(), drmad_study_ask(s, &t));
    if (!t) abort();
    return t;
}

static void tell(drmad_trial *t, double value)
{
    CHECK_OK(test_ctx(), drmad_trial_tell(t, "COMPLETE", &value, 1));
    drmad_trial_free(t);
}

/* The number of suggestions with this verdict when the study is replayed. */
static json_int_t replayed(drmad_study *s, const char *verdict)
{
    CHECK_OK(test_ctx(), drmad_study_replay(s));
    json_t *result = json_loads(drmad_study_result_json(s), 0, NULL);
    const json_t *count = json_object_get(result, "suggestions");
    const json_int_t n = json_integer_value(json_object_get(count, verdict));

    json_decref(result);
    return n;
}

/* ---- which sampler ---- */

static const char space[] = "parameters=[{name: x, low: -1, high: 1}, {name: k, type: int, low: 1, "
                            "high: 9}]";

/* The value of `key` in the last trial's note. */
static void note_word(const shop *sh, const char *study, const char *key, char *buf, size_t size)
{
    drmad_ctx *ctx = test_ctx();
    drmad_store *s = NULL;

    buf[0] = '\0';
    CHECK_OK(ctx, drmad_store_open(ctx, sh->url, NULL, 0, &s));
    CHECK_OK(ctx, drmad_store_trials(s, study, NULL, 0));
    json_t *result = json_loads(drmad_store_result_json(s), 0, NULL);
    const json_t *trials = json_object_get(result, "trials");
    const json_t *t = json_array_get(trials, json_array_size(trials) - 1);
    const json_t *note = json_object_get(json_object_get(t, "system_attrs"), "drmad:sampler");
    const char *word = json_string_value(json_object_get(note, key));

    snprintf(buf, size, "%s", word ? word : "");
    json_decref(result);
    drmad_store_close(s);
}

static void check_sampler(const shop *sh, drmad_study *s, const char *study, const char *want)
{
    char word[64];

    tell(ask(s), 1);
    drmad_study_free(s);
    note_word(sh, study, "sampler", word, sizeof word);
    CHECK_STR(word, want);
}

/* What `auto` means is kept with the study; one worker may still say otherwise. */
TEST(the_first_worker_decides_what_auto_means)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = NULL;
    char target[500];

    check_sampler(&sh, STUDY(space), "study", "gp");
    check_sampler(&sh, STUDY(space, "search.sampler=random"), "study", "random");
    check_sampler(&sh, STUDY(space), "study", "gp");
    check_sampler(&sh, STUDY(space, "name=old", "search.sampler=sobol"), "old", "sobol");
    check_sampler(&sh, STUDY(space, "name=old"), "old", "sobol");
    snprintf(target, sizeof target, "%s#old", sh.url);
    CHECK_OK(ctx, drmad_study_open(ctx, target, 0, NULL, 0, &s));
    check_sampler(&sh, s, "old", "sobol");
}

TEST(many_parameters_are_searched_by_tpe)
{
    const shop sh = open_shop();
    char many[2048] = "parameters=[";
    size_t n = strlen(many);

    for (int i = 0; i < 21; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "%s{name: p%d, low: 0, high: 1}",
                              i ? ", " : "", i);
    snprintf(many + n, sizeof many - n, "]");
    check_sampler(&sh, STUDY(many), "study", "tpe");
}

/* ---- parameters declared while the trial runs ---- */

static double declared_value(drmad_trial *t, double *x, double *y)
{
    static const char *const acts[] = {"\"a\"", "\"b\""};
    drmad_ctx *ctx = test_ctx();
    int64_t depth = 0;
    double wd = 0;
    int act = 0;

    CHECK_OK(ctx, drmad_trial_suggest_real(t, "y", 1e-3, 1e3, 0, 1, y));
    CHECK_OK(ctx, drmad_trial_suggest_real(t, "x", -5, 5, 0, 0, x));
    CHECK_OK(ctx, drmad_trial_suggest_choice(t, "act", acts, 2, &act));
    CHECK_OK(ctx, drmad_trial_suggest_int(t, "depth", 1, 3, 1, 0, &depth));
    if (act == 1) CHECK_OK(ctx, drmad_trial_suggest_real(t, "wd", 0, 1, 0, 0, &wd));
    return (*x - 1) * (*x - 1) + log10(*y) * log10(*y) + (double)depth + wd;
}

/* Both models find the valley that points drawn alone would seldom hit; every suggestion is made
 * again from its note, those of a branch that only some trials take too. */
static void declare_with(const char *sampler, double most)
{
    const shop sh = open_shop();
    const int n = 36;
    drmad_study *s = STUDY(sampler, "search.startup=8");
    double best = HUGE_VAL, x, y;

    for (int i = 0; i < n; i++) {
        drmad_trial *t = ask(s);
        const double value = declared_value(t, &x, &y);

        best = fmin(best, value);
        tell(t, value);
    }
    if (!(best < most)) test_fail(__FILE__, __LINE__, "%s: best %g", sampler, best);
    CHECK_INT(replayed(s, "same"), n);
    drmad_study_free(s);
}

TEST(declared_parameters_are_searched_by_gp)
{
    declare_with("search.sampler=gp", 1.3);
}

TEST(declared_parameters_are_searched_by_tpe)
{
    declare_with("search.sampler=tpe", 2.5);
}

TEST(declared_parameters_are_the_same_in_another_process)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY("search.startup=3"), *other;
    drmad_trial *t, *again = NULL;
    double x, y, x2, y2, early;
    char token[100];

    for (int i = 0; i < 8; i++) {
        t = ask(s);
        tell(t, declared_value(t, &x, &y));
    }
    t = ask(s);
    CHECK_OK(ctx, drmad_trial_suggest_real(t, "y", 1e-3, 1e3, 0, 1, &early));
    snprintf(token, sizeof token, "%s", drmad_trial_token(t));
    declared_value(t, &x, &y);
    drmad_trial_free(t);
    drmad_study_free(s);
    other = STUDY("search.startup=3");
    CHECK_OK(ctx, drmad_study_trial(other, token, 8, &again));
    tell(again, declared_value(again, &x2, &y2));
    CHECK(x == x2 && y == y2 && y == early);
    CHECK_INT(replayed(other, "same"), 9);
    drmad_study_free(other);
}

/* ---- replay ---- */

TEST(replay_names_what_was_not_suggested)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY(space, "search.startup=2");
    const double one = 1;
    int64_t number;

    CHECK_OK(ctx, drmad_study_enqueue(s, "x=0.5 k=3", &number)); /* whole */
    CHECK_OK(ctx, drmad_study_enqueue(s, "x=-0.5", &number));    /* in part */
    CHECK_OK(ctx, drmad_study_observe(s, "x=0.25 k=7", &one, 1, &number));
    for (int i = 0; i < 6; i++) tell(ask(s), i);
    drmad_trial_free(ask(s)); /* still runs */
    CHECK_INT(replayed(s, "same"), 6);
    CHECK_INT(replayed(s, "not suggested"), 2);
    CHECK_INT(replayed(s, "differs"), 0);
    CHECK(strstr(drmad_study_result_text(s), "trial 0"));
    CHECK(strstr(drmad_study_result_text(s), "enqueued"));
    CHECK(strstr(drmad_study_result_text(s), "trial 2"));
    drmad_study_free(s);
}

TEST(replay_needs_a_study_that_is_there)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY(space);

    CHECK(drmad_study_replay(s) != DRMAD_OK); /* and makes none */
    tell(ask(s), 1);
    CHECK_OK(ctx, drmad_study_replay(s));
    drmad_study_free(s);
    s = STUDY(space, "name=other");
    CHECK_FAILS(ctx, drmad_study_replay(s), DRMAD_E_USAGE, "other");
    drmad_study_free(s);
}

/* ---- pruning ---- */

/* Level curves at x; ended where the pruner says so. */
static drmad_status curve_of(void *user, drmad_trial *t, double *values, int n)
{
    drmad_status st = DRMAD_OK;
    int *steps = user, prune = 0;
    double x = 0;

    (void)n;
    TRY(drmad_trial_real(t, "x", &x));
    for (int i = 1; i <= 5; i++) {
        ++*steps;
        TRY(drmad_trial_report(t, i, x));
        TRY(drmad_trial_should_prune(t, &prune));
        if (prune) return drmad_trial_tell(t, "PRUNED", NULL, 0);
    }
    values[0] = x;
done:
    return st;
}

TEST(a_function_is_told_to_end_a_trial)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY(space, "search.sampler=sobol", "search.trials=20",
                           "search.pruner={kind: median, startup: 4}");
    int steps = 0;

    drmad_study_set_objective(s, curve_of, &steps);
    CHECK_OK(ctx, drmad_study_work(s));
    json_t *result = json_loads(drmad_study_result_json(s), 0, NULL);
    const json_t *trials = json_object_get(result, "trials");
    const json_int_t pruned = json_integer_value(json_object_get(trials, "PRUNED"));
    const json_int_t complete = json_integer_value(json_object_get(trials, "COMPLETE"));

    CHECK_INT(pruned + complete, 20);
    CHECK(pruned >= 5 && complete >= 5);
    CHECK_INT(steps, 5 * complete + pruned); /* level curves are judged at their first step */
    json_decref(result);
    drmad_study_free(s);
}

/* Two halve each other: of two running side by side the worse ends at the rung. */
TEST(trials_side_by_side_see_each_other)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    const char *const asha = "search.pruner={kind: asha, min_resource: 2, reduction: 2}";
    drmad_study *a = STUDY(space, asha, "search.direction=maximize"),
                *b = STUDY(space, asha, "search.direction=maximize");
    drmad_trial *ta = ask(a), *tb = ask(b);
    int prune = 1;

    CHECK_OK(ctx, drmad_trial_should_prune(tb, &prune)); /* nothing reported yet */
    CHECK_INT(prune, 0);
    CHECK_OK(ctx, drmad_trial_report(ta, 2, 8));
    CHECK_OK(ctx, drmad_trial_should_prune(ta, &prune));
    CHECK_INT(prune, 0);
    CHECK_OK(ctx, drmad_trial_report(tb, 1, 1));
    CHECK_OK(ctx, drmad_trial_should_prune(tb, &prune));
    CHECK_INT(prune, 0);
    CHECK_OK(ctx, drmad_trial_report(tb, 2, 7));
    usleep(200000); /* the others' values are read for a tenth of the time */
    CHECK_OK(ctx, drmad_trial_should_prune(tb, &prune));
    CHECK_INT(prune, 1);
    CHECK_OK(ctx, drmad_trial_tell(tb, "PRUNED", NULL, 0));
    CHECK_FAILS(ctx, drmad_trial_should_prune(tb, &prune), DRMAD_E_USAGE, "has ended");
    drmad_trial_free(tb);
    tell(ta, 8);
    drmad_study_free(a);
    drmad_study_free(b);
}

/* ---- gradients ---- */

TEST(a_gradient_names_numbers_of_the_trial)
{
    static const char *const bad[] = {"",
                                      "[]",
                                      "{\"y\": 1}",
                                      "{\"act\": 1}",
                                      "{\"x\": \"1\"}",
                                      "{\"x\": null}",
                                      "{\"x\": 1, \"x\": 2}"};
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY("parameters=[{name: x, low: 0, high: 1}, {name: act, choices: [a, b]}]");
    drmad_trial *t = ask(s);

    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK_FAILS(ctx, drmad_trial_set_gradient(t, bad[i]), DRMAD_E_USAGE, "");
    CHECK_OK(ctx, drmad_trial_set_gradient(t, "{\"x\": -2.5e-3}"));
    tell(t, 1);
    drmad_study_free(s);
}

/* ---- several objectives ---- */

TEST(several_objectives_are_asked_and_told)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    const double two[] = {1, 2}, nan[] = {1, (double)NAN};
    static const char *const create[] = {"create=true"};
    drmad_store *store = NULL;
    drmad_trial *t;
    drmad_study *s;
    char word[64];
    int made;

    CHECK_OK(ctx, drmad_store_open(ctx, sh.url, create, 1, &store));
    CHECK_OK(ctx, drmad_store_create(store, "both", "minimize,maximize", &made));
    drmad_store_close(store);
    s = STUDY(space, "name=both", "search.sampler=gp");
    CHECK_FAILS(ctx, drmad_study_ask(s, &t), DRMAD_E_CONFIG, "gp works on one objective");
    drmad_study_free(s);
    s = STUDY(space, "name=both");
    t = ask(s);
    CHECK_FAILS(ctx, drmad_trial_tell(t, "COMPLETE", two, 1), DRMAD_E_USAGE, "1 values, not 2");
    CHECK_OK(ctx, drmad_trial_tell(t, "COMPLETE", two, 2));
    drmad_trial_free(t);
    note_word(&sh, "both", "sampler", word, sizeof word);
    CHECK_STR(word, "sobol");
    t = ask(s);
    CHECK_OK(ctx, drmad_trial_tell(t, "COMPLETE", nan, 2)); /* which fails it */
    drmad_trial_free(t);
    CHECK_INT(replayed(s, "same"), 2);
    CHECK_FAILS(ctx, drmad_study_work(s), DRMAD_E_USAGE, "2 objectives");
    drmad_study_free(s);
}
