/* optuna_drive URL VERB STUDY [N]: a store from the command line, for the tests with real Optuna.
 * Results are JSON lines on stdout, a failure is a message and the status that drmad would end
 * with. */
#include "store/json_text.h"
#include "store/local.h"
#include "store/store.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLOAT_X                                                                                    \
    "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, \"low\": 0.0, "            \
    "\"high\": 1000.0, \"log\": false}}"
#define FLOAT_LR                                                                                   \
    "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, \"low\": 1e-05, "          \
    "\"high\": 0.1, \"log\": true}}"
#define INT_N                                                                                      \
    "{\"name\": \"IntDistribution\", \"attributes\": {\"log\": false, \"step\": 2, \"low\": 1, "   \
    "\"high\": 9}}"
#define CHOICE                                                                                     \
    "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [null, true, 3, 0.5, "  \
    "\"relu\"]}}"

typedef struct drive {
    drmad_ctx *ctx;
    store *s;
    int64_t study;
    long n;
    text_out out;
} drive;

static void say(drive *d)
{
    if (d->out.text && d->out.st == DRMAD_OK) puts(d->out.text);
    fflush(stdout);
    text_free(&d->out);
}

static void say_int(drive *d, int64_t x)
{
    json_put_int(&d->out, x);
    say(d);
}

/* ---- verbs that write ---- */

static drmad_status create(drive *d, const char *name)
{
    const study_direction both[] = {DIRECTION_MINIMIZE, DIRECTION_MAXIMIZE};
    bool made;

    return store_study_create(d->s, name, both, (int32_t)d->n, &d->study, &made);
}

static drmad_status enqueue(drive *d)
{
    char json[64];
    const store_attr fixed = {.key = "fixed_params", .json = json, .system = true};
    const store_trial t = {.state = TRIAL_WAITING, .n_attrs = 1, .attrs = &fixed};
    drmad_status st = DRMAD_OK;
    int64_t id, number;

    for (long i = 0; i < d->n; i++) {
        snprintf(json, sizeof json, "{\"x\": %ld.0}", i);
        TRY(store_trial_add(d->s, d->study, &t, NULL, &id, &number));
    }
done:
    return st;
}

static drmad_status tell(drive *d, const store_lease *l, trial_state state, double value)
{
    const store_trial end = {.state = state, .n_values = state == TRIAL_COMPLETE, .values = &value};
    return store_trial_tell(d->s, l, &end);
}

/* Says so, and waits until the file GATE is there. */
static void wait_for_gate(void)
{
    const char *gate = getenv("GATE");

    if (!gate) return;
    puts("\"ready\"");
    fflush(stdout);
    while (access(gate, F_OK) != 0) usleep(10000);
}

/* Runs queued trials until none is left: x is the trial's number, and so is its value. */
static drmad_status work(drive *d)
{
    store_param x = {.name = "x", .distribution = FLOAT_X};
    drmad_status st = DRMAD_OK;
    store_lease l;

    wait_for_gate();
    for (;;) {
        TRY(store_trial_claim(d->s, d->study, NULL, &l));
        if (l.trial < 0) break;
        say_int(d, l.number);
        x.value = (double)l.number;
        TRY(store_trial_params(d->s, &l, &x, 1, NULL));
        usleep((useconds_t)d->n * 1000);
        TRY(tell(d, &l, TRIAL_COMPLETE, x.value));
    }
done:
    return st;
}

/* n new trials with a parameter of each type. */
static drmad_status add(drive *d)
{
    drmad_status st = DRMAD_OK;
    store_lease l;

    for (long i = 0; i < d->n; i++) {
        TRY(store_trial_begin(d->s, d->study, -1, NULL, &l));
        const double k = (double)l.number;
        const store_param p[] = {
            {"x", 7 * k + 0.1, FLOAT_X},
            {"lr", 1e-5 * pow(1.5, fmod(k, 20)), FLOAT_LR},
            {"n", 1 + 2 * fmod(k, 5), INT_N},
            {"choice", fmod(k, 5), CHOICE},
        };
        const store_report r[] = {{0, k}, {1, INFINITY}, {2, -INFINITY}, {3, NAN}, {10, k / 3}};
        const store_attr a[] = {{"note", "{\"a\": [1, null, \"\\u00e9\"]}", false},
                                {"sys", "0.1", true}};
        TRY(store_trial_params(d->s, &l, p, (int32_t)COUNT(p), NULL));
        TRY(store_trial_reports(d->s, &l, r, (int32_t)COUNT(r)));
        TRY(store_trial_attrs(d->s, &l, a, (int32_t)COUNT(a)));
        TRY(tell(d, &l, TRIAL_COMPLETE, (k - 3) * (k - 3) + 0.1));
        say_int(d, l.number);
    }
done:
    return st;
}

/* One trial for each way to end, and what does not end. */
static drmad_status ends(drive *d)
{
    static const struct {
        trial_state state;
        double value;
    } rows[] = {{TRIAL_COMPLETE, INFINITY},
                {TRIAL_COMPLETE, -INFINITY},
                {TRIAL_COMPLETE, NAN},
                {TRIAL_PRUNED, 0},
                {TRIAL_FAIL, 0}};
    const store_report r = {4, 0.75};
    drmad_status st = DRMAD_OK;
    store_lease l;

    for (size_t i = 0; i < COUNT(rows); i++) {
        TRY(store_trial_begin(d->s, d->study, -1, NULL, &l));
        TRY(store_trial_reports(d->s, &l, &r, 1));
        TRY(tell(d, &l, rows[i].state, rows[i].value));
    }
    TRY(store_trial_begin(d->s, d->study, -1, NULL, &l)); /* runs for ever */
    d->n = 1;
    st = enqueue(d);
done:
    return st;
}

/* Holds a trial, with a beat each 0.2 s, until stdin ends; then tells it. */
static drmad_status hold(drive *d)
{
    drmad_status st = DRMAD_OK;
    store_lease l;
    bool held = true;

    TRY(store_trial_begin(d->s, d->study, -1, NULL, &l));
    say_int(d, l.number);
    while (held && getchar() != EOF) {
        TRY(store_beat(d->s, &l, 1, &held));
        say_int(d, held);
    }
    st = tell(d, &l, TRIAL_COMPLETE, 1);
done:
    return st;
}

static drmad_status artefact(drive *d)
{
    drmad_status st = DRMAD_OK;
    store_lease l;

    TRY(store_trial_begin(d->s, d->study, -1, NULL, &l));
    TRY(store_artefact_put(d->s, &l, "weights", "abc", 3));
    st = tell(d, &l, TRIAL_COMPLETE, 1);
done:
    return st;
}

static drmad_status expire(drive *d)
{
    int32_t n;
    const drmad_status st = store_trial_expire(d->s, d->study, (int32_t)d->n, &n);

    if (st == DRMAD_OK) say_int(d, n);
    return st;
}

/* ---- reading ---- */

static void member(text_out *o, const char *key, const char *text)
{
    text_put(o, ",\"");
    text_put(o, key);
    text_put(o, "\":");
    if (text) json_put_string(o, text);
    else text_put(o, "null");
}

static void put_attrs(text_out *o, const char *key, const store_attr *a, int32_t n, bool is_system)
{
    bool first = true;

    text_put(o, ",\"");
    text_put(o, key);
    text_put(o, "\":{");
    for (int32_t i = 0; i < n; i++) {
        if (a[i].system != is_system) continue;
        if (!first) text_put(o, ",");
        json_put_string(o, a[i].key);
        text_put(o, ":");
        json_put_json(o, a[i].json, a[i].key);
        first = false;
    }
    text_put(o, "}");
}

static void put_params(text_out *o, const store_trial *t)
{
    text_put(o, ",\"params\":{");
    for (int32_t i = 0; i < t->n_params; i++) {
        if (i) text_put(o, ",");
        json_put_string(o, t->params[i].name);
        text_put(o, ":[");
        json_put_real(o, t->params[i].value);
        text_put(o, ",");
        json_put_string(o, t->params[i].distribution);
        text_put(o, "]");
    }
    text_put(o, "}");
}

static drmad_status say_trial(void *user, const store_trial *t)
{
    drive *d = user;
    text_out *o = &d->out;

    text_put(o, "{\"number\":");
    json_put_int(o, t->number);
    member(o, "state", trial_state_word(t->state));
    member(o, "start", t->start);
    member(o, "complete", t->complete);
    member(o, "worker", t->worker);
    put_params(o, t);
    text_put(o, ",\"values\":[");
    for (int32_t i = 0; i < t->n_values; i++) {
        if (i) text_put(o, ",");
        json_put_real(o, t->values[i]);
    }
    text_put(o, "],\"reports\":[");
    for (int32_t i = 0; i < t->n_reports; i++) {
        text_put(o, i ? ",[" : "[");
        json_put_int(o, t->reports[i].step);
        text_put(o, ",");
        json_put_real(o, t->reports[i].value);
        text_put(o, "]");
    }
    text_put(o, "]");
    put_attrs(o, "user_attrs", t->attrs, t->n_attrs, false);
    put_attrs(o, "system_attrs", t->attrs, t->n_attrs, true);
    text_put(o, "}");
    const drmad_status st = o->st;
    say(d);
    return st;
}

static drmad_status dump(drive *d)
{
    return store_trial_each(d->s, d->study, -1, STATES_ALL, say_trial, d);
}

static drmad_status best(drive *d)
{
    int64_t trial;
    drmad_status st = store_trial_best(d->s, d->study, &trial);

    if (st == DRMAD_OK && trial >= 0) st = store_trial_read(d->s, d->study, trial, say_trial, d);
    return st;
}

static void say_finding(void *user, int level, const char *text)
{
    (void)user;
    printf("%d %s\n", level, text);
}

static drmad_status now(drive *d)
{
    char text[STORE_TIME_SIZE];
    const drmad_status st = store_now(d->s, text);

    if (st == DRMAD_OK) puts(text);
    return st;
}

static drmad_status delete_study(drive *d)
{
    return store_study_delete(d->s, d->study);
}

static const struct {
    const char *verb;
    drmad_status (*run)(drive *d);
} verbs[] = {
    {"enqueue", enqueue}, {"work", work},           {"add", add},           {"ends", ends},
    {"hold", hold},       {"dump", dump},           {"best", best},         {"expire", expire},
    {"now", now},         {"delete", delete_study}, {"artefact", artefact},
};

static drmad_status run_verb(drive *d, const char *verb, const char *study)
{
    drmad_status st = DRMAD_OK;

    if (strcmp(verb, "open") == 0) return st;
    if (strcmp(verb, "create") == 0) return create(d, study);
    TRY(store_study_find(d->s, study, &d->study));
    for (size_t i = 0; i < COUNT(verbs); i++)
        if (strcmp(verbs[i].verb, verb) == 0) return verbs[i].run(d);
    st = FAIL(d->ctx, DRMAD_E_USAGE, "no verb %s", verb);
done:
    return st;
}

/* A PostgreSQL server for the tests, in FOLDER: prints its URL. */
static drmad_status server(drmad_ctx *ctx, const char *folder, const char *verb)
{
    const local_options o = {.folder = folder, .max_connections = 100, .fragile = true};
    char *url = NULL;
    drmad_status st = DRMAD_OK;

    if (strcmp(verb, "stop-server") == 0) return local_stop(ctx, folder, true);
    st = local_start(ctx, &o, &url);
    if (st == DRMAD_OK) puts(url);
    mem_free(ctx, url);
    return st;
}

static void log_line(void *user, int level, const char *line)
{
    (void)user, (void)level;
    fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv)
{
    const char *lease = getenv("DRIVE_LEASE_S");
    drive d = {.ctx = drmad_ctx_new(NULL, NULL)};
    const store_options o = {.create = true, .patience_s = 60, .lease_s = lease ? atof(lease) : 60};
    drmad_status st;

    if (argc < 4 || !d.ctx) return 2;
    d.n = argc > 4 ? atol(argv[4]) : 1;
    d.out.ctx = d.ctx;
    drmad_ctx_set_log(d.ctx, log_line, NULL);
    if (strcmp(argv[2], "check") == 0) {
        st = store_check(d.ctx, argv[1], say_finding, NULL);
    } else if (strstr(argv[2], "-server")) {
        st = server(d.ctx, argv[1], argv[2]);
    } else {
        st = store_open(d.ctx, argv[1], &o, &d.s);
        if (st == DRMAD_OK) st = run_verb(&d, argv[2], argv[3]);
        store_close(d.s);
    }
    if (st != DRMAD_OK) fprintf(stderr, "%s\n", drmad_errmsg(d.ctx));
    drmad_ctx_free(d.ctx);
    return drmad_status_exit(st);
}
