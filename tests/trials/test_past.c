/* What samplers and pruners see of a study's trials, whoever ran them. */
#include "trials/past.h"
#include "test.h"
#include <unistd.h>

static const char x_dist[] = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, "
                             "\"low\": 0.0, \"high\": 1.0, \"log\": false}}";
static const char k_dist[] = "{\"name\": \"IntDistribution\", \"attributes\": {\"log\": false, "
                             "\"step\": 1, \"low\": 1, \"high\": 9}}";

typedef struct scene {
    drmad_ctx *ctx;
    store *s;
    int64_t study;
    past *p;
    search *space;
} scene;

static void add_param(scene *c, const char *name, const char *distribution)
{
    search_param *p = NULL;
    int32_t index;

    CHECK_OK(c->ctx, search_param_parse(c->ctx, name, distribution, &p));
    CHECK_OK(c->ctx, search_add(c->space, p, &index));
}

/* Over x and k, a maximised objective. */
static scene open_scene(double lease_s)
{
    scene c = {.ctx = test_ctx()};
    const store_options o = {.create = true, .lease_s = lease_s};
    const study_direction d = DIRECTION_MAXIMIZE;
    char url[400];
    bool made;

    snprintf(url, sizeof url, "sqlite:%s/past.db", test_scratch());
    CHECK_OK(c.ctx, store_open(c.ctx, url, &o, &c.s));
    CHECK_OK(c.ctx, store_study_create(c.s, "past", &d, 1, &c.study, &made));
    CHECK_OK(c.ctx, past_new(c.ctx, true, &c.p));
    CHECK_OK(c.ctx, search_new(c.ctx, &c.space));
    add_param(&c, "x", x_dist);
    add_param(&c, "k", k_dist);
    return c;
}

static void close_scene(scene *c)
{
    past_free(c->p);
    search_free(c->space);
    store_close(c->s);
}

/* A finished trial that nobody here ran. */
static int64_t observe(scene *c, store_trial t)
{
    int64_t id, number = -1;

    CHECK_OK(c->ctx, store_trial_add(c->s, c->study, &t, NULL, &id, &number));
    return number;
}

static store_lease begin(scene *c, double x)
{
    const store_param p[] = {{"x", x, x_dist}, {"k", 2, k_dist}};
    store_lease l = {0};

    CHECK_OK(c->ctx, store_trial_begin(c->s, c->study, -1, NULL, &l));
    CHECK_OK(c->ctx, store_trial_params(c->s, &l, p, 2, NULL));
    return l;
}

static const observation *row_of(const history *h, int64_t number)
{
    for (int32_t i = 0; i < h->n; i++)
        if (h->rows[i].number == number) return &h->rows[i];
    return NULL;
}

static history look(scene *c, int64_t but)
{
    history h = {0};

    CHECK_OK(c->ctx, past_read(c->p, c->s, c->study));
    CHECK_OK(c->ctx, past_history(c->p, c->space, but, &h));
    for (int32_t i = 1; i < h.n; i++) CHECK(h.rows[i - 1].number < h.rows[i].number);
    return h;
}

static void check_row(const history *h, int64_t number, observed state, double value)
{
    const observation *o = row_of(h, number);

    if (!o) {
        test_fail(__FILE__, __LINE__, "trial %lld is not there", (long long)number);
        return;
    }
    CHECK_INT(o->state, state);
    if (isnan(value)) CHECK(isnan(o->value));
    else CHECK_NEAR(o->value, value, 0);
}

TEST(past_turns_each_end_into_an_observation)
{
    scene c = open_scene(60);
    const store_param p[] = {{"k", 3, k_dist}, {"x", 0.25, x_dist}, {"other", 7, k_dist}};
    const store_report r[] = {{1, 4}, {5, 2}}, bad[] = {{1, 4}, {2, HUGE_VAL}};
    const double two = 2, inf = HUGE_VAL;
    const store_attr why = {"fail_reason", "\"exit status 1\"", false};
    const store_attr slope = {PAST_GRADIENT_KEY, "{\"x\": 1.5, \"other\": 3}", true};
    const store_trial all = {.state = TRIAL_COMPLETE, .n_params = 3, .params = p, .n_values = 1};
    store_trial t = all;

    t.values = &two, t.n_attrs = 1, t.attrs = &slope;
    const int64_t complete = observe(&c, t);
    t = all, t.values = &inf;
    const int64_t infinite = observe(&c, t);
    t = all, t.n_values = 0, t.state = TRIAL_PRUNED, t.n_reports = 2, t.reports = r;
    const int64_t pruned = observe(&c, t);
    t.reports = bad;
    const int64_t exploded = observe(&c, t);
    t.n_reports = 0;
    const int64_t silent = observe(&c, t);
    t = all, t.n_values = 0, t.state = TRIAL_FAIL, t.n_attrs = 1, t.attrs = &why;
    const int64_t failed = observe(&c, t);
    t.n_attrs = 0; /* Optuna's, or one whose worker was lost */
    const int64_t gone = observe(&c, t);
    const store_lease l = begin(&c, 0.5);
    const history h = look(&c, -1);

    CHECK_INT(h.n, 7);
    check_row(&h, complete, OBSERVED_COMPLETE, -2); /* maximised */
    check_row(&h, infinite, OBSERVED_FAILED, NAN);
    check_row(&h, pruned, OBSERVED_PRUNED, -2);
    check_row(&h, exploded, OBSERVED_FAILED, NAN);
    check_row(&h, silent, OBSERVED_PRUNED, NAN);
    check_row(&h, failed, OBSERVED_FAILED, NAN);
    check_row(&h, l.number, OBSERVED_PENDING, NAN);
    CHECK(!row_of(&h, gone));
    const observation *o = row_of(&h, complete);
    CHECK(o->x[0] == 0.25 && o->x[1] == 3);
    CHECK(o->gradient && o->gradient[0] == -1.5 && isnan(o->gradient[1]));
    CHECK_INT(row_of(&h, pruned)->step, 5);
    CHECK(!row_of(&h, infinite)->gradient);
    close_scene(&c);
}

TEST(past_leaves_out_what_is_no_point_of_the_space)
{
    scene c = open_scene(60);
    const store_param fine[] = {{"x", 1, x_dist}, {"k", 9, k_dist}};
    store_param wide[] = {{"x", 1.5, x_dist}, {"k", 9, k_dist}};
    const double v = 1;
    store_trial t = {.state = TRIAL_COMPLETE, .n_params = 1, .params = fine, .n_values = 1};

    t.values = &v;
    observe(&c, t); /* k is missing */
    t.n_params = 2, t.params = wide;
    observe(&c, t); /* x is beyond its range */
    wide[0].value = 0.5, wide[1].value = 2.5;
    observe(&c, t); /* k is off its grid */
    t.params = fine;
    const int64_t good = observe(&c, t);
    CHECK_OK(c.ctx, search_add_rule(c.space, "x * k <= 20"));
    history h = look(&c, -1);
    CHECK(h.n == 1 && h.rows[0].number == good);
    h = look(&c, good); /* a trial does not see itself */
    CHECK_INT(h.n, 0);
    close_scene(&c);
}

TEST(past_reads_the_unfinished_again)
{
    scene c = open_scene(60);
    store_lease l[5];
    const double v = 3;
    const store_report r = {1, 7};
    history h;

    for (int i = 0; i < 5; i++) l[i] = begin(&c, 0.1 * (i + 1));
    h = look(&c, -1);
    for (int i = 0; i < 5; i++) check_row(&h, l[i].number, OBSERVED_PENDING, NAN);
    CHECK_OK(c.ctx,
             store_trial_tell(
                 c.s, &l[3], &(store_trial){.state = TRIAL_COMPLETE, .n_values = 1, .values = &v}));
    CHECK_OK(c.ctx,
             store_trial_tell(
                 c.s, &l[0], &(store_trial){.state = TRIAL_PRUNED, .n_reports = 1, .reports = &r}));
    CHECK_OK(c.ctx, store_trial_release(c.s, &l[4]));
    const store_lease late = begin(&c, 0.9);
    h = look(&c, -1);
    CHECK_INT(h.n, 6);
    check_row(&h, l[0].number, OBSERVED_PRUNED, -7);
    check_row(&h, l[1].number, OBSERVED_PENDING, NAN);
    check_row(&h, l[3].number, OBSERVED_COMPLETE, -3);
    check_row(&h, l[4].number, OBSERVED_PENDING, NAN); /* waits, with its values */
    check_row(&h, late.number, OBSERVED_PENDING, NAN);
    close_scene(&c);
}

TEST(past_forgets_trials_whose_worker_was_lost)
{
    scene c = open_scene(0.05);
    const store_lease l = begin(&c, 0.4);
    int32_t n = 0;
    history h = look(&c, -1);

    CHECK_INT(h.n, 1);
    usleep(200000);
    CHECK_OK(c.ctx, store_trial_expire(c.s, c.study, 1, &n));
    CHECK_INT(n, 1);
    h = look(&c, -1);
    CHECK(h.n == 1 && !row_of(&h, l.number)); /* but its second try waits */
    CHECK_OK(c.ctx, past_history_all(c.p, c.space, &h));
    CHECK(h.n == 2 && row_of(&h, l.number)); /* an earlier suggestion may have seen it */
    close_scene(&c);
}

TEST(past_finds_what_complete_trials_share)
{
    scene c = open_scene(60);
    const store_param a[] = {{"x", 0.5, x_dist}, {"k", 3, k_dist}, {"b", 1, k_dist}};
    const store_param b[] = {{"b", 2, k_dist}, {"x", 0.25, x_dist}};
    const double v = 1;
    search *shared = NULL;
    store_trial t = {.state = TRIAL_COMPLETE, .n_params = 3, .params = a, .n_values = 1};

    t.values = &v;
    CHECK_OK(c.ctx, past_read(c.p, c.s, c.study));
    CHECK_OK(c.ctx, past_shared_space(c.p, &shared));
    CHECK_INT(shared->n, 0);
    search_free(shared);
    observe(&c, t);
    t.n_params = 2, t.params = b;
    observe(&c, t);
    t.n_params = 1, t.state = TRIAL_PRUNED, t.n_values = 0; /* ended before it declared all */
    observe(&c, t);
    CHECK_OK(c.ctx, past_read(c.p, c.s, c.study));
    CHECK_OK(c.ctx, past_shared_space(c.p, &shared));
    CHECK_INT(shared->n, 2);
    CHECK_STR(shared->params[0].name, "b"); /* by name */
    CHECK_STR(shared->params[1].name, "x");
    CHECK_STR(shared->params[1].distribution, x_dist);
    search_free(shared);
    close_scene(&c);
}
