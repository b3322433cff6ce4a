/* Every call of store.h on every kind of store, alone: what it does, what it does when it is said
 * twice, what it refuses. */
#include "backends.h"

static const study_direction down = DIRECTION_MINIMIZE, up = DIRECTION_MAXIMIZE;
static const char *const lr_dist = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": "
                                   "null, \"low\": 0.0001, \"high\": 1.0, \"log\": true}}";
static const char *const wide_dist = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": "
                                     "null, \"low\": 0.0001, \"high\": 9.0, \"log\": true}}";
static const char *const plain_dist = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\":"
                                      " null, \"low\": 0.0001, \"high\": 1.0, \"log\": false}}";
static const char *const int_dist =
    "{\"name\": \"IntDistribution\", \"attributes\": {\"log\": true,"
    " \"step\": 1, \"low\": 1, \"high\": 8}}";
static const char *const act_dist = "{\"name\": \"CategoricalDistribution\", \"attributes\": "
                                    "{\"choices\": [\"relu\", \"tanh\", null]}}";
static const char *const act2_dist = "{\"name\": \"CategoricalDistribution\", \"attributes\": "
                                     "{\"choices\": [\"relu\", \"gelu\", null]}}";

typedef struct scene {
    drmad_ctx *ctx;
    store *s;
    int64_t study;
    char url[BACKEND_URL_SIZE];
} scene;

static scene scene_open(backend b, study_direction d)
{
    scene c = {.ctx = test_ctx()};
    bool made = false;

    backend_url(b, c.url);
    CHECK_OK(c.ctx, backend_open(c.ctx, c.url, 5, 60, &c.s));
    if (!c.s) abort();
    CHECK_OK(c.ctx, store_study_create(c.s, "study", &d, 1, &c.study, &made));
    CHECK(made);
    return c;
}

static void scene_close(scene *c)
{
    store_close(c->s);
    CHECK_OK(c->ctx, store_check(c->ctx, c->url, NULL, NULL));
}

static store_lease begin(scene *c)
{
    char key[STORE_REQUEST_SIZE];
    store_lease l;

    store_request(c->s, key);
    CHECK_OK(c->ctx, store_trial_begin(c->s, c->study, -1, key, &l));
    return l;
}

static store_trial with_value(const double *value)
{
    return (store_trial){.state = TRIAL_COMPLETE, .n_values = 1, .values = value};
}

static int64_t tell_value(scene *c, double value)
{
    const store_lease l = begin(c);
    const store_trial end = with_value(&value);

    CHECK_OK(c->ctx, store_trial_tell(c->s, &l, &end));
    return l.trial;
}

/* ---- studies ---- */

typedef struct listed {
    int n, attrs;
    int64_t id, waiting, complete;
    char first[32];
    study_direction direction;
} listed;

static drmad_status list_study(void *user, const store_study *s)
{
    listed *x = user;

    if (x->n++ == 0) snprintf(x->first, sizeof x->first, "%s", s->name);
    x->id = s->id, x->attrs = s->n_attrs;
    x->direction = s->n_directions ? s->directions[s->n_directions - 1] : 0;
    x->waiting = s->count[TRIAL_WAITING], x->complete = s->count[TRIAL_COMPLETE];
    return DRMAD_OK;
}

TEST_BACKENDS(calls_make_and_list_studies)
{
    scene c = scene_open(b, down);
    const study_direction two[] = {DIRECTION_MAXIMIZE, DIRECTION_MINIMIZE};
    int64_t again = 0, both = 0, id, number;
    bool made = true;
    listed x = {0};

    CHECK_OK(c.ctx, store_study_create(c.s, "study", &down, 1, &again, &made));
    CHECK(!made && again == c.study);
    CHECK_FAILS(c.ctx, store_study_create(c.s, "study", &up, 1, &again, &made), DRMAD_E_USAGE,
                "direction");
    CHECK_FAILS(c.ctx, store_study_create(c.s, "study", two, 2, &again, &made), DRMAD_E_USAGE,
                "direction");
    CHECK_FAILS(c.ctx, store_study_create(c.s, "none", &down, 0, &again, &made), DRMAD_E_USAGE,
                "direction");
    CHECK_OK(c.ctx, store_study_create(c.s, "both", two, 2, &both, &made));
    CHECK_OK(c.ctx, store_study_set_attr(c.s, both, &(store_attr){"k", "1", false}));
    CHECK_OK(c.ctx, store_study_set_attr(c.s, both, &(store_attr){"k", "2", true}));
    CHECK_OK(c.ctx, store_study_set_attr(c.s, both, &(store_attr){"k", "[3]", false}));
    CHECK_OK(c.ctx, store_trial_add(c.s, both, &(store_trial){.state = TRIAL_WAITING}, NULL, &id,
                                    &number));
    CHECK_OK(c.ctx, store_study_each(c.s, NULL, list_study, &x));
    CHECK_INT(x.n, 2);
    CHECK_STR(x.first, "study");
    CHECK_INT(x.attrs, 2);
    CHECK_INT(x.waiting, 1);
    CHECK_INT(x.direction, DIRECTION_MINIMIZE);
    CHECK_FAILS(c.ctx, store_study_each(c.s, "nobody", list_study, &x), DRMAD_E_USAGE, "nobody");
    CHECK_FAILS(c.ctx, store_study_find(c.s, "nobody", &again), DRMAD_E_USAGE, "nobody");

    CHECK_OK(c.ctx, store_study_delete(c.s, both));
    CHECK_FAILS(c.ctx, store_study_delete(c.s, both), DRMAD_E_USAGE, "");
    CHECK_FAILS(c.ctx, store_study_find(c.s, "both", &again), DRMAD_E_USAGE, "both");
    CHECK_FAILS(c.ctx, store_study_set_attr(c.s, both, &(store_attr){"k", "1", false}),
                DRMAD_E_USAGE, "");
    scene_close(&c);
}

/* ---- adding ---- */

static drmad_status check_full(void *user, const store_trial *t)
{
    ++*(int *)user;
    CHECK_INT(t->state, TRIAL_COMPLETE);
    CHECK_STR(t->start, "2026-01-02 03:04:05.000000");
    CHECK_STR(t->complete, "2026-01-02 03:04:06.500000");
    CHECK_INT(t->n_params, 2);
    CHECK_STR(t->params[0].name, "lr");
    CHECK(t->params[0].value == 0.1);
    CHECK_STR(t->params[0].distribution, lr_dist);
    CHECK_STR(t->params[1].name, "act");
    CHECK(t->params[1].value == 2);
    CHECK(t->n_values == 1 && isinf(t->values[0]) && t->values[0] < 0);
    CHECK_INT(t->n_reports, 3);
    CHECK(t->reports[0].step == -1 && t->reports[0].value == 0.1);
    CHECK(t->reports[1].step == 5 && isnan(t->reports[1].value));
    CHECK(t->reports[2].step == 1000000 && t->reports[2].value == (double)INFINITY);
    CHECK_INT(t->n_attrs, 2);
    CHECK_STR(t->attrs[0].json, "\"\\u00e9 \xC3\xA9\"");
    CHECK(t->version && strcmp(t->version, "v2") == 0);
    if (t->worker) CHECK_STR(t->worker, "elsewhere"); /* a journal keeps those of leases alone */
    return DRMAD_OK;
}

TEST_BACKENDS(calls_add_and_read_back)
{
    scene c = scene_open(b, down);
    const store_param p[] = {{"lr", 0.1, lr_dist}, {"act", 2, act_dist}};
    const store_report r[] = {{-1, 0.1}, {5, (double)NAN}, {1000000, (double)INFINITY}};
    const store_attr a[] = {{"note", "\"\\u00e9 \xC3\xA9\"", false}, {"sys", "null", true}};
    const double low = -(double)INFINITY;
    store_trial t = {.state = TRIAL_COMPLETE,
                     .start = "2026-01-02 03:04:05.000000",
                     .complete = "2026-01-02 03:04:06.500000",
                     .n_params = 2,
                     .params = p,
                     .n_values = 1,
                     .values = &low,
                     .n_reports = 3,
                     .reports = r,
                     .n_attrs = 2,
                     .attrs = a,
                     .version = "v2",
                     .worker = "elsewhere"};
    char key[STORE_REQUEST_SIZE];
    int64_t id, number, id2, number2;
    int n = 0;

    store_request(c.s, key);
    CHECK_OK(c.ctx, store_trial_add(c.s, c.study, &t, key, &id, &number));
    CHECK_INT(number, 0);
    CHECK_OK(c.ctx, store_trial_add(c.s, c.study, &t, key, &id2, &number2)); /* said twice */
    CHECK(id2 == id && number2 == 0);
    CHECK_OK(c.ctx, store_trial_each(c.s, c.study, -1, STATES_ALL, check_full, &n));
    CHECK_INT(n, 1);
    CHECK_OK(c.ctx, store_trial_add(c.s, c.study, &t, NULL, &id2, &number2));
    CHECK_INT(number2, 1);

    t.state = TRIAL_RUNNING;
    CHECK_FAILS(c.ctx, store_trial_add(c.s, c.study, &t, NULL, &id, &number), DRMAD_E_USAGE,
                "RUNNING");
    t.state = TRIAL_COMPLETE, t.n_values = 0;
    CHECK_FAILS(c.ctx, store_trial_add(c.s, c.study, &t, NULL, &id, &number), DRMAD_E_USAGE, "");
    t.n_values = 1, t.values = &(double){(double)NAN};
    CHECK_FAILS(c.ctx, store_trial_add(c.s, c.study, &t, NULL, &id, &number), DRMAD_E_USAGE, "NaN");
    t.values = &low, t.start = "2026-01-02 03:04:05.5";
    CHECK_FAILS(c.ctx, store_trial_add(c.s, c.study, &t, NULL, &id, &number), DRMAD_E_USAGE,
                "2026-01-02 03:04:05.5");
    scene_close(&c);
}

/* ---- beginning, writing, telling ---- */

static drmad_status check_told(void *user, const store_trial *t)
{
    ++*(int *)user;
    CHECK_INT(t->state, TRIAL_COMPLETE);
    CHECK(t->start && strlen(t->start) == 26 && t->complete && strlen(t->complete) == 26);
    CHECK(t->n_params == 2 && t->params[0].value == 0.5 && t->params[1].value == 4);
    CHECK(t->n_values == 1 && t->values[0] == 0.25);
    CHECK_INT(t->n_reports, 2);
    CHECK(t->reports[0].step == 1 && t->reports[0].value == 8); /* of one step the last holds */
    CHECK(t->reports[1].step == 2 && isnan(t->reports[1].value));
    CHECK_INT(t->n_attrs, 3);
    int user_attrs = 0;
    for (int32_t i = 0; i < t->n_attrs; i++) {
        const store_attr *a = &t->attrs[i];

        if (a->system) CHECK_STR(a->key, "note");
        else if (user_attrs++ == 0) CHECK_STR(a->json, "2");
        else CHECK_STR(a->key, "end");
    }
    CHECK_INT(user_attrs, 2);
    return DRMAD_OK;
}

TEST_BACKENDS(calls_write_under_a_lease)
{
    scene c = scene_open(b, down);
    store_lease l = begin(&c), other = l;
    const store_param p[] = {{"lr", 0.5, lr_dist}, {"depth", 4, int_dist}};
    const store_report r[] = {{1, 7}, {1, 8}};
    const store_report last = {2, (double)NAN};
    const store_attr a[] = {{"k", "1", false}, {"k", "2", false}}, e = {"end", "true", false};
    const store_attr note = {"note", "{\"seen\": \"0-6\"}", true};
    const double value = 0.25;
    store_trial end = with_value(&value);
    bool held[2];
    int n = 0;

    CHECK_OK(c.ctx, store_trial_params(c.s, &l, p, 2, NULL));
    CHECK_OK(c.ctx, store_trial_params(c.s, &l, p, 2, &note)); /* said twice, with a note */
    CHECK_OK(c.ctx, store_trial_reports(c.s, &l, r, 2));
    CHECK_OK(c.ctx, store_trial_attrs(c.s, &l, a, 2));
    other.token++;
    CHECK_OK(c.ctx, store_beat(c.s, (store_lease[]){other, l}, 2, held));
    CHECK(!held[0] && held[1]);
    CHECK_FAILS(c.ctx, store_trial_attrs(c.s, &other, a, 1), DRMAD_E_LEASE, "study");
    CHECK_FAILS(c.ctx, store_trial_tell(c.s, &other, &end), DRMAD_E_LEASE, "study");
    end.n_reports = 1, end.reports = &last, end.n_attrs = 1, end.attrs = &e;
    CHECK_OK(c.ctx, store_trial_tell(c.s, &l, &end));
    CHECK_OK(c.ctx, store_trial_tell(c.s, &l, &end)); /* said twice */
    CHECK_OK(c.ctx, store_trial_read(c.s, c.study, l.trial, check_told, &n));
    CHECK_INT(n, 1);
    CHECK_FAILS(c.ctx, store_trial_params(c.s, &l, p, 1, NULL), DRMAD_E_LEASE, "trial 0");
    CHECK_FAILS(c.ctx, store_trial_reports(c.s, &l, r, 1), DRMAD_E_LEASE, "trial 0");
    CHECK_FAILS(c.ctx, store_trial_attrs(c.s, &l, a, 1), DRMAD_E_LEASE, "trial 0");
    CHECK_OK(c.ctx, store_trial_read(c.s, c.study, l.trial, check_told, &n)); /* as it was */
    CHECK_FAILS(c.ctx, store_trial_read(c.s, c.study, 12345, check_told, &n), DRMAD_E_USAGE, "");
    scene_close(&c);
}

TEST_BACKENDS(calls_refuse_what_does_not_fit)
{
    scene c = scene_open(b, down);
    store_lease l = begin(&c);
    const store_param good[] = {{"lr", 0.5, lr_dist}, {"act", 0, act_dist}};
    const store_param bad[] = {{"lr", 0.5, plain_dist}, /* log */
                               {"lr", 4, int_dist},     /* class */
                               {"act", 1, act2_dist},   /* choices */
                               {"new", 1, "{\"name\": \"NoDistribution\", \"attributes\": {}}"},
                               {"new", 1, "[]"},
                               {"new", 1, "{"},
                               {"new", (double)NAN, lr_dist}};
    const double values[] = {1, 2};
    store_trial end = {.state = TRIAL_COMPLETE, .n_values = 2, .values = values};

    CHECK_OK(c.ctx, store_trial_params(c.s, &l, good, 2, NULL));
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_FAILS(c.ctx, store_trial_params(c.s, &l, &bad[i], 1, NULL), DRMAD_E_USAGE,
                    bad[i].name);
        CHECK_FAILS(c.ctx,
                    store_trial_add(
                        c.s, c.study,
                        &(store_trial){.state = TRIAL_WAITING, .n_params = 1, .params = &bad[i]},
                        NULL, &l.study, &l.study),
                    DRMAD_E_USAGE, bad[i].name);
        l.study = c.study;
    }
    store_close(c.s); /* another worker knows the study's parameters from the store alone */
    CHECK_OK(c.ctx, backend_open(c.ctx, c.url, 5, 60, &c.s));
    for (size_t i = 0; i < 3; i++)
        CHECK_FAILS(c.ctx, store_trial_params(c.s, &l, &bad[i], 1, NULL), DRMAD_E_USAGE,
                    bad[i].name);
    CHECK_OK(c.ctx, store_trial_params(c.s, &l, &(store_param){"lr", 5, wide_dist}, 1, NULL));
    CHECK_FAILS(c.ctx, store_trial_tell(c.s, &l, &end), DRMAD_E_USAGE, "2 values");
    end.state = TRIAL_RUNNING;
    CHECK_FAILS(c.ctx, store_trial_tell(c.s, &l, &end), DRMAD_E_USAGE, "RUNNING");
    end.state = TRIAL_FAIL;
    CHECK_OK(c.ctx, store_trial_tell(c.s, &l, &end));
    scene_close(&c);
}

TEST_BACKENDS(calls_begin_up_to_a_limit)
{
    scene c = scene_open(b, down);
    char key[STORE_REQUEST_SIZE];
    store_lease l, again;
    store_trial fail = {.state = TRIAL_FAIL};

    for (int i = 0; i < 3; i++) {
        store_request(c.s, key);
        CHECK_OK(c.ctx, store_trial_begin(c.s, c.study, 3, key, &l));
        CHECK_INT(l.number, i);
    }
    CHECK_OK(c.ctx, store_trial_begin(c.s, c.study, 3, key, &again)); /* said twice */
    CHECK(again.trial == l.trial && again.number == 2 && again.token == l.token);
    store_request(c.s, key);
    CHECK_OK(c.ctx, store_trial_begin(c.s, c.study, 3, key, &again));
    CHECK_INT(again.trial, -1);
    store_close(c.s); /* the first call of a connection */
    CHECK_OK(c.ctx, backend_open(c.ctx, c.url, 5, 60, &c.s));
    CHECK_OK(c.ctx, store_trial_begin(c.s, c.study, 3, key, &again));
    CHECK_INT(again.trial, -1);
    CHECK_OK(c.ctx, store_trial_tell(c.s, &l, &fail)); /* one that failed does not count */
    CHECK_OK(c.ctx, store_trial_begin(c.s, c.study, 3, key, &again));
    CHECK_INT(again.number, 3);
    scene_close(&c);
}

/* ---- claiming, giving back ---- */

static drmad_status check_waiting(void *user, const store_trial *t)
{
    ++*(int *)user;
    CHECK_INT(t->state, TRIAL_WAITING);
    CHECK(t->start == NULL);
    CHECK_INT(t->n_params, 1);
    return DRMAD_OK;
}

TEST_BACKENDS(calls_claim_and_release)
{
    scene c = scene_open(b, down);
    char key[STORE_REQUEST_SIZE], key2[STORE_REQUEST_SIZE];
    const store_param p = {"lr", 0.5, lr_dist};
    store_lease l, again;
    int64_t id, number;
    int n = 0;

    for (int i = 0; i < 2; i++)
        CHECK_OK(c.ctx, store_trial_add(c.s, c.study, &(store_trial){.state = TRIAL_WAITING}, NULL,
                                        &id, &number));
    store_request(c.s, key);
    CHECK_OK(c.ctx, store_trial_claim(c.s, c.study, key, &l));
    CHECK_INT(l.number, 0);
    CHECK_OK(c.ctx, store_trial_claim(c.s, c.study, key, &again)); /* said twice */
    CHECK(again.trial == l.trial && again.token == l.token);
    CHECK_OK(c.ctx, store_trial_params(c.s, &l, &p, 1, NULL));
    CHECK_OK(c.ctx, store_trial_release(c.s, &l));
    CHECK_OK(c.ctx, store_trial_release(c.s, &l)); /* said twice */
    CHECK_OK(c.ctx, store_trial_read(c.s, c.study, l.trial, check_waiting, &n));
    CHECK_INT(n, 1);
    CHECK_FAILS(c.ctx, store_trial_params(c.s, &l, &p, 1, NULL), DRMAD_E_LEASE, "");

    store_request(c.s, key2);
    CHECK_OK(c.ctx, store_trial_claim(c.s, c.study, key2, &again));
    CHECK(again.number == 0 && again.token != l.token);
    CHECK_FAILS(c.ctx, store_trial_params(c.s, &l, &p, 1, NULL), DRMAD_E_LEASE, "");
    CHECK_OK(c.ctx, store_trial_params(c.s, &again, &p, 1, NULL));
    store_request(c.s, key);
    CHECK_OK(c.ctx, store_trial_claim(c.s, c.study, key, &l));
    CHECK_INT(l.number, 1);
    store_request(c.s, key);
    CHECK_OK(c.ctx, store_trial_claim(c.s, c.study, key, &l));
    CHECK_INT(l.trial, -1);
    CHECK_OK(c.ctx, store_trial_claim(c.s, c.study, key2, &l)); /* known, though none waits */
    CHECK(l.trial == again.trial && l.token == again.token);
    scene_close(&c);
}

/* ---- ends of every kind ---- */

static drmad_status keep_end(void *user, const store_trial *t)
{
    double *x = user;

    x[0] = t->state, x[1] = t->n_values, x[2] = t->n_values ? t->values[0] : 0;
    return DRMAD_OK;
}

TEST_BACKENDS(calls_end_as_optuna_ends)
{
    scene c = scene_open(b, down);
    const store_report r[][2] = {
        {{1, 0.5}, {3, 0.75}}, {{1, 0.5}, {3, (double)NAN}}, {{1, 0.5}, {3, (double)INFINITY}}};
    const double want[][3] = {
        {TRIAL_PRUNED, 1, 0.75}, {TRIAL_PRUNED, 0, 0}, {TRIAL_PRUNED, 1, (double)INFINITY}};
    const double not_a_number = (double)NAN;
    double got[3];
    store_trial end = {.state = TRIAL_PRUNED};

    for (size_t i = 0; i < COUNT(r); i++) {
        store_lease l = begin(&c);
        CHECK_OK(c.ctx, store_trial_reports(c.s, &l, r[i], 1));
        end.n_reports = 1, end.reports = &r[i][1];
        CHECK_OK(c.ctx, store_trial_tell(c.s, &l, &end));
        CHECK_OK(c.ctx, store_trial_read(c.s, c.study, l.trial, keep_end, got));
        CHECK(got[0] == want[i][0] && got[1] == want[i][1] && got[2] == want[i][2]);
    }
    store_lease l = begin(&c);
    CHECK_OK(c.ctx, store_trial_tell(c.s, &l, &(store_trial){.state = TRIAL_PRUNED}));
    l = begin(&c);
    end = with_value(&not_a_number);
    CHECK_OK(c.ctx, store_trial_tell(c.s, &l, &end));
    CHECK_OK(c.ctx, store_trial_read(c.s, c.study, l.trial, keep_end, got));
    CHECK(got[0] == TRIAL_FAIL && got[1] == 0);
    scene_close(&c);
}

TEST_BACKENDS(calls_find_the_best)
{
    scene c = scene_open(b, down);
    bool made;
    int64_t best, lowest = c.study;

    CHECK_OK(c.ctx, store_trial_best(c.s, c.study, &best));
    CHECK_INT(best, -1);
    for (int round = 0; round < 2; round++) {
        tell_value(&c, (double)INFINITY);
        const int64_t first = tell_value(&c, round ? 3 : 1);
        tell_value(&c, round ? 3 : 1); /* the earliest of equals */
        tell_value(&c, 2);
        begin(&c);
        store_lease l = begin(&c);
        CHECK_OK(c.ctx, store_trial_tell(c.s, &l, &(store_trial){.state = TRIAL_FAIL}));
        CHECK_OK(c.ctx, store_trial_best(c.s, c.study, &best));
        if (round == 0) CHECK_INT(best, first);
        const int64_t extreme = tell_value(&c, -(double)INFINITY);
        CHECK_OK(c.ctx, store_trial_best(c.s, c.study, &best));
        if (round == 0) CHECK_INT(best, extreme);
        else CHECK_INT(best, first - 1); /* +inf is best when maximized */
        CHECK_OK(c.ctx, store_study_create(c.s, "up", &up, 1, &c.study, &made));
    }
    c.study = lowest;
    scene_close(&c);
}

/* ---- artefacts ---- */

typedef struct files {
    int n;
    int64_t size;
    char last[16], sha256[65];
} files;

static drmad_status list_file(void *user, const char *name, int64_t size, const char *sha256)
{
    files *f = user;

    f->n++, f->size = size;
    snprintf(f->last, sizeof f->last, "%s", name);
    snprintf(f->sha256, sizeof f->sha256, "%s", sha256);
    return DRMAD_OK;
}

TEST_BACKENDS(calls_keep_artefacts)
{
    scene c = scene_open(b, down);
    store_lease l = begin(&c);
    const size_t large = 3u << 20;
    unsigned char *bytes = malloc(large);
    void *data = NULL;
    size_t size = 1;
    files f = {0};

    if (!bytes) abort();
    for (size_t i = 0; i < large; i++) bytes[i] = (unsigned char)(i * 7 + i / 256);
    CHECK_OK(c.ctx, store_artefact_put(c.s, &l, "net", "first", 5));
    CHECK_OK(c.ctx, store_artefact_put(c.s, &l, "net", bytes, large));
    CHECK_OK(c.ctx, store_artefact_put(c.s, &l, "empty", "", 0));
    CHECK_OK(c.ctx, store_artefact_put(c.s, &l, "abc", "abc", 3));
    CHECK_OK(c.ctx, store_artefact_get(c.s, l.trial, "net", &data, &size));
    CHECK(data && size == large && memcmp(data, bytes, large) == 0);
    mem_free(c.ctx, data);
    CHECK_OK(c.ctx, store_artefact_get(c.s, l.trial, "empty", &data, &size));
    CHECK(data && size == 0);
    mem_free(c.ctx, data);
    CHECK_FAILS(c.ctx, store_artefact_get(c.s, l.trial, "none", &data, &size), DRMAD_E_USAGE,
                "none");
    CHECK_OK(c.ctx, store_artefact_each(c.s, l.trial, list_file, &f));
    CHECK_INT(f.n, 3);
    CHECK_STR(f.last, "abc");
    CHECK_INT(f.size, 3);
    CHECK_STR(f.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    free(bytes);
    scene_close(&c);
}

/* ---- reading ---- */

typedef struct walk {
    int64_t n, last, stop_at;
} walk;

static drmad_status walk_on(void *user, const store_trial *t)
{
    walk *w = user;

    CHECK(t->id > w->last);
    CHECK(t->n_attrs == 1 && strtoll(t->attrs[0].json, NULL, 10) == t->number);
    w->last = t->id;
    return ++w->n == w->stop_at ? DRMAD_E_AGAIN : DRMAD_OK;
}

/* More than a page, by states, from an id on; what the callback returns comes out as it is. */
TEST_BACKENDS(calls_read_in_order)
{
    scene c = scene_open(b, down);
    enum { TRIALS = 600 };
    int64_t id = 0, number, middle = 0;
    char json[16];
    walk w = {.last = -1};

    for (int i = 0; i < TRIALS; i++) {
        snprintf(json, sizeof json, "%d", i);
        const store_attr a = {"n", json, i % 2 == 0};
        const store_trial t = {
            .state = i % 3 ? TRIAL_WAITING : TRIAL_FAIL, .n_attrs = 1, .attrs = &a};
        CHECK_OK(c.ctx, store_trial_add(c.s, c.study, &t, NULL, &id, &number));
        if (i == 299) middle = id;
    }
    CHECK_OK(c.ctx, store_trial_each(c.s, c.study, -1, STATES_ALL, walk_on, &w));
    CHECK_INT(w.n, TRIALS);
    w = (walk){.last = -1};
    CHECK_OK(c.ctx, store_trial_each(c.s, c.study, -1, STATE_BIT(TRIAL_FAIL), walk_on, &w));
    CHECK_INT(w.n, TRIALS / 3);
    w = (walk){.last = middle};
    CHECK_OK(c.ctx, store_trial_each(c.s, c.study, middle, STATES_ALL, walk_on, &w));
    CHECK_INT(w.n, TRIALS / 2);
    w = (walk){.last = -1, .stop_at = 400};
    const double start = base_now();
    CHECK_INT(store_trial_each(c.s, c.study, -1, STATES_ALL, walk_on, &w), DRMAD_E_AGAIN);
    CHECK_INT(w.n, 400);
    CHECK(base_now() - start < 4); /* the callback's own status is not tried again */
    scene_close(&c);
}

TEST_BACKENDS(calls_tell_the_time)
{
    scene c = scene_open(b, down);
    char now[STORE_TIME_SIZE];

    CHECK_OK(c.ctx, store_now(c.s, now));
    CHECK_INT((int)strlen(now), 26);
    CHECK(now[4] == '-' && now[10] == ' ' && now[19] == '.');
    scene_close(&c);
}
