/* Asking and telling through the public calls, as a program of a user's would. */
#include "drmad/trial.h"
#include "test.h"
#include <jansson.h>
#include <signal.h>
#include <unistd.h>

enum { SETTINGS = 16 };

static const char space[] = "parameters=[{name: lr, low: 1e-4, high: 1, log: true}, "
                            "{name: depth, type: int, low: 1, high: 4}, "
                            "{name: act, choices: [relu, tanh, 3, true]}, "
                            "{name: wd, low: 0, high: 1, when: act == relu}]";

/* A store of the test's own, as a setting. */
typedef struct shop {
    char store[400];
} shop;

static shop open_shop(void)
{
    shop sh;

    snprintf(sh.store, sizeof sh.store, "store=sqlite:%s/t.db", test_scratch());
    return sh;
}

static drmad_status load_study(drmad_ctx *ctx, const shop *sh, const char *const *more,
                               drmad_study **out)
{
    const char *settings[SETTINGS] = {space, "seed=4", sh->store};
    int n = 3;

    while (*more && n < SETTINGS) settings[n++] = *more++;
    return drmad_study_load(ctx, NULL, settings, n, out);
}

static drmad_study *open_study(const shop *sh, const char *const *more)
{
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = NULL;

    CHECK_OK(ctx, load_study(ctx, sh, more, &s));
    if (!s) abort();
    return s;
}
#define STUDY(...) open_study(&sh, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static drmad_trial *ask(drmad_study *s)
{
    drmad_trial *t = NULL;

    CHECK_OK(test_ctx(), drmad_study_ask(s, &t));
    return t;
}

static void tell(drmad_trial *t, double value)
{
    CHECK_OK(test_ctx(), drmad_trial_tell(t, "COMPLETE", &value, 1));
    drmad_trial_free(t);
}

TEST(ask_gives_new_trials_until_there_are_enough)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY("search.trials=3");

    for (int i = 0; i < 3; i++) {
        drmad_trial *t = ask(s);
        double lr = 0, depth = 0;

        CHECK(t != NULL);
        CHECK_INT(drmad_trial_number(t), i);
        CHECK_OK(ctx, drmad_trial_real(t, "lr", &lr));
        CHECK(lr >= 1e-4 && lr <= 1);
        CHECK_OK(ctx, drmad_trial_real(t, "depth", &depth));
        CHECK(depth == floor(depth) && depth >= 1 && depth <= 4);
        tell(t, lr);
    }
    CHECK(ask(s) == NULL);
    drmad_study_free(s);
}

TEST(a_failed_trial_makes_room_for_another)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY("search.trials=1");
    drmad_trial *t = ask(s);

    CHECK(ask(s) == NULL);
    CHECK_OK(ctx, drmad_trial_tell(t, "FAIL", NULL, 0));
    drmad_trial_free(t);
    t = ask(s);
    CHECK(t && drmad_trial_number(t) == 1);
    tell(t, 0);
    CHECK(ask(s) == NULL);
    drmad_study_free(s);
}

/* A point follows from seed and number: another process, another order, the same values. */
TEST(ask_suggests_by_seed_and_number)
{
    const shop sh = open_shop();
    char first[8][300];
    drmad_study *s = STUDY("name=a");
    drmad_trial *t;

    for (int i = 0; i < 8; i++) {
        t = ask(s);
        snprintf(first[i], sizeof first[i], "%s", drmad_trial_params_json(t));
        for (int k = 0; k < i; k++) CHECK(strcmp(first[i], first[k]) != 0);
        tell(t, 1);
    }
    drmad_study_free(s);
    for (int i = 0; i < 8; i++) {
        s = STUDY("name=b");
        t = ask(s);
        CHECK_STR(drmad_trial_params_json(t), first[i]);
        drmad_trial_free(t); /* its lease goes on */
        drmad_study_free(s);
    }
    s = STUDY("name=c", "seed=5");
    t = ask(s);
    CHECK(strcmp(drmad_trial_params_json(t), first[0]) != 0);
    drmad_trial_free(t);
    drmad_study_free(s);
}

TEST(trial_gives_values_by_name_and_type)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY("search.enqueue=[\"lr=0.1 depth=2 act=tanh\", \"act=3\", \"act=true\"]");
    drmad_trial *t = ask(s);
    const char *text = "";
    double x = 0;

    CHECK_STR(drmad_trial_params_json(t), "{\"lr\": 0.1, \"depth\": 2, \"act\": \"tanh\"}");
    CHECK_OK(ctx, drmad_trial_text(t, "act", &text));
    CHECK_STR(text, "tanh");
    CHECK_OK(ctx, drmad_trial_text(t, "lr", &text));
    CHECK_STR(text, "0.1");
    CHECK_FAILS(ctx, drmad_trial_real(t, "act", &x), DRMAD_E_USAGE, "is no number");
    CHECK_FAILS(ctx, drmad_trial_real(t, "no", &x), DRMAD_E_USAGE, "none of that name");
    CHECK_FAILS(ctx, drmad_trial_real(t, "wd", &x), DRMAD_E_USAGE, "none of that name");
    tell(t, 1);
    t = ask(s);
    CHECK_OK(ctx, drmad_trial_real(t, "act", &x));
    CHECK_NEAR(x, 3, 0);
    tell(t, 1);
    t = ask(s);
    CHECK_OK(ctx, drmad_trial_text(t, "act", &text));
    CHECK_STR(text, "true");
    CHECK_FAILS(ctx, drmad_trial_real(t, "act", &x), DRMAD_E_USAGE, "is no number");
    tell(t, 1);
    drmad_study_free(s);
}

TEST(conditions_decide_what_a_trial_has)
{
    const shop sh = open_shop();
    drmad_study *s = STUDY();
    int with = 0;

    for (int i = 0; i < 40; i++) {
        drmad_trial *t = ask(s);
        const char *text = "";
        double wd;

        CHECK_OK(test_ctx(), drmad_trial_text(t, "act", &text));
        const bool has = drmad_trial_real(t, "wd", &wd) == DRMAD_OK;
        CHECK_INT(has, strcmp(text, "relu") == 0);
        CHECK_INT(has, strstr(drmad_trial_params_json(t), "\"wd\"") != NULL);
        with += has;
        tell(t, 1);
    }
    CHECK(with > 2 && with < 38);
    drmad_study_free(s);
}

TEST(enqueued_points_come_first_and_once)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    int64_t number = -1;
    drmad_study *s = STUDY("search.enqueue=[lr=0.5, lr=0.5]");
    drmad_trial *t = ask(s);
    double lr = 0;

    drmad_study_free(STUDY("search.enqueue=[lr=0.5, lr=0.5]"));
    CHECK_INT(drmad_trial_number(t), 0);
    tell(t, 1);
    drmad_study *other = STUDY("search.enqueue=[lr=0.5, lr=0.5, lr=0.25]");
    CHECK_OK(ctx, drmad_study_enqueue(other, "{\"lr\": 0.125, \"act\": \"relu\"}", &number));
    CHECK_INT(number, 3);
    drmad_study_free(other);
    const double want[] = {0.5, 0.25, 0.125};
    for (int i = 0; i < 3; i++) {
        t = ask(s);
        CHECK_INT(drmad_trial_number(t), i + 1);
        CHECK_OK(ctx, drmad_trial_real(t, "lr", &lr));
        CHECK_NEAR(lr, want[i], 0);
        tell(t, 1);
    }
    CHECK_FAILS(ctx, drmad_study_enqueue(s, "lr=2", &number), DRMAD_E_CONFIG, "lr");
    CHECK_FAILS(ctx, drmad_study_enqueue(s, "{\"no\": 2}", &number), DRMAD_E_CONFIG, "no");
    drmad_study_free(s);
}

TEST(observed_trials_are_finished_ones)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY("search.trials=2");
    const double value = 0.5, nan = NAN;
    int64_t number = -1;

    CHECK_OK(ctx, drmad_study_observe(s, "{\"lr\": 0.1, \"depth\": 1, \"act\": \"tanh\"}", &value,
                                      1, &number));
    CHECK_INT(number, 0);
    CHECK_OK(ctx, drmad_study_observe(s, "lr=0.2 depth=1 act=tanh", &nan, 1, &number));
    CHECK_INT(number, 1);
    CHECK_FAILS(ctx, drmad_study_observe(s, "lr=0.1 act=tanh", &value, 1, &number), DRMAD_E_CONFIG,
                "depth");
    CHECK_FAILS(ctx, drmad_study_observe(s, "lr=0.1", &value, 2, &number), DRMAD_E_USAGE, "2");
    drmad_trial *t = ask(s); /* the one with NaN has failed */
    CHECK(t && drmad_trial_number(t) == 2);
    tell(t, 1);
    CHECK(ask(s) == NULL);
    drmad_study_free(s);
}

/* ---- declared while the trial runs ---- */

typedef struct declared {
    double wide, narrow;
    int64_t whole;
    int choice;
} declared;

static declared declare(drmad_trial *t, bool branch)
{
    static const char *const choices[] = {"\"a\"", "null", "2.5"};
    drmad_ctx *ctx = test_ctx();
    declared d = {0};

    CHECK_OK(ctx, drmad_trial_suggest_real(t, "wide", 1e-3, 1e3, 0, 1, &d.wide));
    if (branch) CHECK_OK(ctx, drmad_trial_suggest_int(t, "whole", -3, 9, 3, 0, &d.whole));
    CHECK_OK(ctx, drmad_trial_suggest_real(t, "narrow", 0, 1, 0.25, 0, &d.narrow));
    CHECK_OK(ctx, drmad_trial_suggest_choice(t, "choice", choices, 3, &d.choice));
    return d;
}

TEST(suggestions_follow_the_order_of_declaration)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *a = STUDY("name=a"), *b = STUDY("name=b");
    int choices = 0;

    for (int i = 0; i < 12; i++) {
        drmad_trial *ta = ask(a), *tb = ask(b);
        const declared first = declare(ta, i % 2), again = declare(ta, i % 2);
        const declared other = declare(tb, i % 2);
        double lr;

        CHECK(memcmp(&first, &again, sizeof first) == 0);
        CHECK(memcmp(&first, &other, sizeof first) == 0);
        CHECK(first.wide >= 1e-3 && first.wide <= 1e3);
        CHECK_NEAR(first.narrow * 4, round(first.narrow * 4), 0);
        CHECK_INT(i % 2 ? (first.whole + 3) % 3 : first.whole, 0);
        choices |= 1 << first.choice;
        CHECK_OK(ctx, drmad_trial_real(ta, "lr", &lr));
        CHECK_OK(ctx, drmad_trial_suggest_real(ta, "lr", 1e-4, 1, 0, 1, &lr)); /* the study's */
        CHECK(strstr(drmad_trial_params_json(ta), "\"narrow\": "));
        tell(ta, 1);
        tell(tb, 1);
    }
    CHECK_INT(choices, 7);
    drmad_study_free(a);
    drmad_study_free(b);
}

TEST(suggestions_refuse_another_type)
{
    const shop sh = open_shop();
    static const char *const two[] = {"1", "2"}, *const three[] = {"1", "2", "3"},
                             *const bad[] = {"x"};
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY();
    drmad_trial *t = ask(s);
    int64_t whole;
    double x;
    int k;

    CHECK_OK(ctx, drmad_trial_suggest_real(t, "a", 0, 1, 0, 0, &x));
    CHECK_FAILS(ctx, drmad_trial_suggest_int(t, "a", 0, 1, 1, 0, &whole), DRMAD_E_USAGE, "type");
    CHECK_OK(ctx, drmad_trial_suggest_choice(t, "c", two, 2, &k));
    CHECK_FAILS(ctx, drmad_trial_suggest_choice(t, "c", three, 3, &k), DRMAD_E_USAGE, "c");
    CHECK_FAILS(ctx, drmad_trial_suggest_choice(t, "d", bad, 1, &k), DRMAD_E_CONFIG,
                "neither null");
    CHECK_FAILS(ctx, drmad_trial_suggest_choice(t, "d", two, 0, &k), DRMAD_E_USAGE, "no choices");
    CHECK_FAILS(ctx, drmad_trial_suggest_real(t, "b", 1, 0, 0, 0, &x), DRMAD_E_CONFIG, "b");
    CHECK_FAILS(ctx, drmad_trial_suggest_real(t, "b", 0, 1, 0, 1, &x), DRMAD_E_CONFIG, "b");
    tell(t, 1);
    drmad_study_free(s);
}

/* ---- the life of a trial ---- */

TEST(a_trial_ends_once)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY();
    drmad_trial *t = ask(s);
    const double one = 1;

    CHECK_OK(ctx, drmad_trial_report(t, 0, NAN));
    CHECK_OK(ctx, drmad_trial_set_attr(t, "note", "{\"a\": [1]}"));
    CHECK_OK(ctx, drmad_trial_beat(t));
    CHECK_FAILS(ctx, drmad_trial_set_attr(t, "note", "{"), DRMAD_E_USAGE, "note");
    CHECK_FAILS(ctx, drmad_trial_tell(t, "RUNNING", NULL, 0), DRMAD_E_USAGE, "RUNNING");
    CHECK_FAILS(ctx, drmad_trial_tell(t, "COMPLETE", NULL, 0), DRMAD_E_USAGE, "0 values, not 1");
    CHECK_FAILS(ctx, drmad_trial_tell(t, "FAIL", &one, 1), DRMAD_E_USAGE, "1 values, not 0");
    CHECK_OK(ctx, drmad_trial_tell(t, "PRUNED", NULL, 0));
    CHECK_FAILS(ctx, drmad_trial_tell(t, "FAIL", NULL, 0), DRMAD_E_USAGE, "trial 0 has ended");
    CHECK_FAILS(ctx, drmad_trial_report(t, 1, 0), DRMAD_E_USAGE, "trial 0 has ended");
    CHECK_FAILS(ctx, drmad_trial_release(t), DRMAD_E_USAGE, "trial 0 has ended");
    drmad_trial_free(t);
    drmad_study_free(s);
}

TEST(a_released_trial_is_the_next_with_its_values)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY();
    drmad_trial *t = ask(s);
    const declared first = declare(t, true);
    char params[400];

    snprintf(params, sizeof params, "%s", drmad_trial_params_json(t));
    CHECK_OK(ctx, drmad_trial_release(t));
    drmad_trial_free(t);
    drmad_study_free(s);
    s = STUDY("seed=99"); /* what it has it keeps */
    t = ask(s);
    CHECK_INT(drmad_trial_number(t), 0);
    CHECK_STR(drmad_trial_params_json(t), params);
    const declared again = declare(t, true);
    CHECK(memcmp(&first, &again, sizeof first) == 0);
    tell(t, 1);
    drmad_study_free(s);
}

TEST(a_token_carries_a_trial_to_another_process)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY();
    drmad_trial *t = ask(s), *again = NULL;
    char token[100], params[300];

    snprintf(token, sizeof token, "%s", drmad_trial_token(t));
    snprintf(params, sizeof params, "%s", drmad_trial_params_json(t));
    drmad_trial_free(t);
    drmad_study_free(s);
    s = STUDY();
    CHECK_OK(ctx, drmad_study_trial(s, token, 0, &again));
    CHECK_STR(drmad_trial_params_json(again), params);
    tell(again, 2);
    CHECK_FAILS(ctx, drmad_study_trial(s, "1.2", -1, &again), DRMAD_E_USAGE, "token");
    CHECK_FAILS(ctx, drmad_study_trial(s, "999.0.1.2", -1, &again), DRMAD_E_USAGE, "another study");
    CHECK_FAILS(ctx, drmad_study_trial(s, token, 3, &again), DRMAD_E_USAGE, "that of trial 0");
    drmad_study_free(s);
}

TEST(a_trial_that_is_not_renewed_is_lost)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY("worker.lease=1", "objective.retries=1");
    drmad_trial *t = ask(s);
    const double one = 1;

    sleep(2);
    drmad_study *other = STUDY("worker.lease=30", "objective.retries=1");
    drmad_trial *again = ask(other);
    CHECK(again && drmad_trial_number(again) == 1); /* a retry of trial 0 */
    char params[300];
    snprintf(params, sizeof params, "%s", drmad_trial_params_json(again));
    CHECK_STR(drmad_trial_params_json(t), params);
    CHECK_FAILS(ctx, drmad_trial_beat(t), DRMAD_E_LEASE, "trial 0");
    CHECK_FAILS(ctx, drmad_trial_tell(t, "COMPLETE", &one, 1), DRMAD_E_LEASE, "trial 0");
    drmad_trial_free(t);
    tell(again, 1);
    drmad_study_free(s);
    drmad_study_free(other);
}

/* ---- what cannot be ---- */

TEST(studies_are_refused_by_name)
{
    const shop sh = open_shop();
    drmad_ctx *ctx = test_ctx();
    drmad_study *s = STUDY("store=postgresql://me:secret@nowhere/x");
    drmad_trial *t;

    CHECK_FAILS(ctx, drmad_study_ask(s, &t), DRMAD_E_UNSAFE, "PGPASSFILE");
    CHECK(strstr(drmad_errmsg(ctx), "secret") == NULL);
    drmad_study_free(s);
    s = STUDY("search.enqueue=[lr=7]");
    CHECK_FAILS(ctx, drmad_study_ask(s, &t), DRMAD_E_CONFIG, "search.enqueue.0");
    drmad_study_free(s);
    s = STUDY("search.constraints=[lr > 2]", "search.direction=maximize");
    CHECK_FAILS(ctx, drmad_study_ask(s, &t), DRMAD_E_CONFIG, "lr > 2");
    drmad_study_free(s);
    s = STUDY();
    CHECK(drmad_study_ask(s, &t) != DRMAD_OK); /* that study maximizes */
    CHECK(strstr(drmad_errmsg(ctx), "study") != NULL);
    drmad_study_free(s);
}

typedef struct attempt {
    shop shop;
    int n;
} attempt;

/* Asks twice and declares once: the second time there is a past to look at. */
static drmad_status whole(drmad_ctx *ctx, void *arg)
{
    attempt *a = arg;
    char name[32];
    const char *const more[] = {"search.enqueue=[lr=0.5]", "search.startup=1", name, NULL};
    drmad_status st = DRMAD_OK;
    drmad_study *s = NULL;
    drmad_trial *t = NULL;
    const double value = 1;
    int64_t number;
    double x;
    int prune;

    snprintf(name, sizeof name, "name=s%d", a->n++); /* a failed run leaves its trials */
    TRY(load_study(ctx, &a->shop, more, &s));
    for (int i = 0; i < 2; i++) {
        TRY(drmad_study_ask(s, &t));
        TRY(drmad_trial_suggest_real(t, "own", 0, 1, 0, 0, &x));
        if (!drmad_trial_params_json(t)[0] || !drmad_trial_token(t)[0]) TRY(DRMAD_E_NOMEM);
        TRY(drmad_trial_report(t, 1, x));
        TRY(drmad_trial_should_prune(t, &prune));
        TRY(drmad_trial_set_gradient(t, "{\"lr\": 1.5}"));
        TRY(drmad_trial_tell(t, "COMPLETE", &value, 1));
        drmad_trial_free(t);
        t = NULL;
    }
    TRY(drmad_study_enqueue(s, "lr=0.5", &number));
    TRY(drmad_study_replay(s));
done:
    drmad_trial_free(t);
    drmad_study_free(s);
    return st;
}

TEST(trials_survive_every_failed_allocation)
{
    attempt a = {.shop = open_shop()};

    test_oom(whole, &a);
}
