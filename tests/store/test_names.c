/* F38: names and texts that were made to break something are stored and read back byte for byte, or
 * refused; the tables stay as they are. */
#include "backends.h"
#include <unistd.h>

static const study_direction down = DIRECTION_MINIMIZE;
static const char *const lr_dist = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": "
                                   "null, \"low\": 0.0, \"high\": 1.0, \"log\": false}}";

static const char *const hostile[] = {
    "x'); DROP TABLE trials;--",
    "\"; DROP TABLE studies; --",
    "$1",
    "?1",
    ":name @name $name",
    "%s%s%s%n",
    "\\'; SELECT 1; \\",
    "E'\\047'",
    "a\tb\nc\rd\001\033[31m\177",
    "\xF0\x9F\x94\xA5 \xE7\x83\xAD \xC3\xA9 e\xCC\x81", /* emoji, Han, one accent in two ways */
    "\xE2\x80\xAEkcab",                                 /* right to left */
    "\xEF\xBF\xBF \xF4\x8F\xBF\xBF",                    /* the last of planes 0 and 16 */
    " leading and trailing ",
    "'",
    "\"",
    "\\",
    "%",
    "_",
    "/",
    ".",
    "NULL",
    "null",
    "NaN",
    "{\"json\": [1, \"]\"]}",
};

static const char *const not_utf8[] = {
    "\xFF", "a\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "cut \xE2\x82", "\x80",
};

typedef struct echo {
    const char *want; /* name of study, attribute, parameter, worker */
    int found;
} echo;

static drmad_status echo_study(void *user, const store_study *s)
{
    echo *e = user;

    CHECK_STR(s->name, e->want);
    CHECK_INT(s->n_attrs, 1);
    if (s->n_attrs == 1) CHECK_STR(s->attrs[0].key, e->want);
    e->found++;
    return DRMAD_OK;
}

static drmad_status echo_trial(void *user, const store_trial *t)
{
    echo *e = user;

    CHECK_INT(t->n_params, 1);
    if (t->n_params == 1) CHECK_STR(t->params[0].name, e->want);
    CHECK_INT(t->n_attrs, 1);
    if (t->n_attrs == 1) CHECK_STR(t->attrs[0].key, e->want);
    CHECK(t->worker && strcmp(t->worker, e->want) == 0);
    CHECK(t->version && strcmp(t->version, e->want) == 0);
    e->found++;
    return DRMAD_OK;
}

static drmad_status echo_artefact(void *user, const char *name, int64_t size, const char *sha256)
{
    echo *e = user;

    CHECK_STR(name, e->want);
    CHECK_INT(size, 3);
    CHECK_INT((int)strlen(sha256), 64);
    e->found++;
    return DRMAD_OK;
}

/* `text` in every place that takes one; worker and version come with the store. */
static void store_everywhere(const char *url, const char *text)
{
    drmad_ctx *ctx = test_ctx();
    store *s = NULL;
    store_lease l = {0};
    int64_t study = -1;
    bool made = false;
    char key[STORE_REQUEST_SIZE], spool[512];
    store_attr a = {text, "\"value\"", false};
    store_param p = {text, 0.5, lr_dist};
    store_options o = {
        .create = true, .patience_s = 10, .lease_s = 60, .worker = text, .version = text};
    echo e = {text, 0};

    snprintf(spool, sizeof spool, "%s/spool", backend_scratch());
    o.spool = spool;
    CHECK_OK(ctx, store_open(ctx, url, &o, &s));
    if (!s) return;
    CHECK_OK(ctx, store_study_create(s, text, &down, 1, &study, &made));
    CHECK(made);
    CHECK_OK(ctx, store_study_set_attr(s, study, &a));
    store_request(s, key);
    CHECK_OK(ctx, store_trial_begin(s, study, -1, key, &l));
    CHECK_OK(ctx, store_trial_params(s, &l, &p, 1, NULL));
    CHECK_OK(ctx, store_trial_attrs(s, &l, &a, 1));
    CHECK_OK(ctx, store_artefact_put(s, &l, text, "abc", 3));
    CHECK_OK(ctx, store_study_each(s, text, echo_study, &e));
    CHECK_OK(ctx, store_trial_each(s, study, -1, STATES_ALL, echo_trial, &e));
    CHECK_OK(ctx, store_artefact_each(s, l.trial, echo_artefact, &e));
    CHECK_INT(e.found, 3);
    store_close(s);
}

static drmad_status count_study(void *user, const store_study *s)
{
    (void)s;
    ++*(int *)user;
    return DRMAD_OK;
}

TEST_BACKENDS(names_are_kept_byte_for_byte)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];
    store *s = NULL;
    int n = 0;

    backend_url(b, url);
    for (size_t i = 0; i < COUNT(hostile); i++) store_everywhere(url, hostile[i]);
    CHECK_OK(ctx, backend_open(ctx, url, 10, 60, &s));
    CHECK_OK(ctx, store_study_each(s, NULL, count_study, &n));
    CHECK_INT(n, (int)COUNT(hostile));
    store_close(s);
    CHECK_OK(ctx, store_check(ctx, url, NULL, NULL));
}

/* Every call that takes `text` refuses it with DRMAD_E_USAGE; nothing of it is stored. */
static void refused_everywhere(store *s, int64_t study, const store_lease *l, const char *text)
{
    drmad_ctx *ctx = store_ctx(s);
    int64_t other;
    bool made;
    store_attr a = {text, "1", false};
    store_param p = {text, 0.5, lr_dist};

    CHECK_FAILS(ctx, store_study_create(s, text, &down, 1, &other, &made), DRMAD_E_USAGE, "");
    CHECK_FAILS(ctx, store_study_find(s, text, &other), DRMAD_E_USAGE, "");
    CHECK_FAILS(ctx, store_study_set_attr(s, study, &a), DRMAD_E_USAGE, "");
    CHECK_FAILS(ctx, store_trial_params(s, l, &p, 1, NULL), DRMAD_E_USAGE, "");
    CHECK_FAILS(ctx, store_trial_attrs(s, l, &a, 1), DRMAD_E_USAGE, "");
    CHECK_FAILS(ctx, store_artefact_put(s, l, text, "abc", 3), DRMAD_E_USAGE, "");
}

TEST_BACKENDS(names_that_cannot_be_stored_are_refused)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], key[STORE_REQUEST_SIZE];
    store *s = NULL;
    store_lease l;
    int64_t study;
    bool made;
    char *large = malloc(10241);

    if (!large) abort();
    backend_url(b, url);
    memset(large, 'x', 10240);
    large[10240] = '\0';
    CHECK_OK(ctx, backend_open(ctx, url, 10, 60, &s));
    CHECK_OK(ctx, store_study_create(s, "study", &down, 1, &study, &made));
    store_request(s, key);
    CHECK_OK(ctx, store_trial_begin(s, study, -1, key, &l));
    for (size_t i = 0; i < COUNT(not_utf8); i++) refused_everywhere(s, study, &l, not_utf8[i]);
    refused_everywhere(s, study, &l, large);
    refused_everywhere(s, study, &l, "");
    store_attr bad[] = {{"k", "not json", false},
                        {"k", "{\"a\": NaN}", false},
                        {"k", "\"\xFF\"", false},
                        {"k", "", false}};
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK_FAILS(ctx, store_trial_attrs(s, &l, &bad[i], 1), DRMAD_E_USAGE, "");
    large[STORE_NAME_MAX] = '\0'; /* the longest one */
    CHECK_OK(ctx, store_study_create(s, large, &down, 1, &study, &made));
    CHECK_OK(ctx, store_study_find(s, large, &study));
    store_close(s);
    free(large);
}

/* 512 characters, not bytes: Optuna's column counts so. */
TEST_BACKENDS(names_are_measured_in_characters)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], wide[4 * (STORE_NAME_MAX + 1) + 1];
    store *s = NULL;
    int64_t study, found;
    bool made;

    backend_url(b, url);
    for (int i = 0; i <= STORE_NAME_MAX; i++) memcpy(wide + 4 * i, "\xF0\x9F\x94\xA5", 4);
    wide[4 * (STORE_NAME_MAX + 1)] = '\0';
    CHECK_OK(ctx, backend_open(ctx, url, 10, 60, &s));
    CHECK_FAILS(ctx, store_study_create(s, wide, &down, 1, &study, &made), DRMAD_E_USAGE, "512");
    wide[4 * STORE_NAME_MAX] = '\0';
    CHECK_OK(ctx, store_study_create(s, wide, &down, 1, &study, &made));
    CHECK_OK(ctx, store_study_find(s, wide, &found));
    CHECK_INT(found, study);
    store_close(s);
}
