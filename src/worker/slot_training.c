/* drmad's own training: a thread with a context of its own, which shares nothing with ours. What it
 * says goes through a pipe, line by line, as a command's output does. */
#include "study/slope.h"
#include "worker/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct training {
    drmad_ctx *ctx; /* the thread's */
    const slot_job *job;
    const training_spec *spec;
    pthread_t thread;
    int to;       /* the pipe's end of the thread, which closes it last */
    char *warned; /* the last warning, from the thread's context */
    bool slopes;  /* the training is walked back */
    bool joined;
    drmad_status st;
    double macs; /* when it last reported */
    pthread_mutex_t lock;
    pthread_cond_t change;
    int32_t said, heard; /* reports; under the lock from here on */
    bool stop;           /* nobody will judge any more */
} training;

/* A reader that is gone makes this useless, not wrong. */
static void say(training *t, const char *line, size_t n)
{
    while (n > 0) {
        const ssize_t k = write(t->to, line, n);

        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return;
        line += k, n -= (size_t)k;
    }
}

static void say_line(training *t, const char *line)
{
    say(t, line, strlen(line));
    say(t, "\n", 1);
}

static void on_log(void *user, int level, const char *line)
{
    training *t = user;

    if (level > LOG_WARN) return;
    mem_free(t->ctx, t->warned);
    if (mem_strdup(t->ctx, line, &t->warned) != DRMAD_OK) t->warned = NULL;
}

/* Until the worker has judged all that was said. */
static void wait_for_judge(training *t)
{
    pthread_mutex_lock(&t->lock);
    while (t->heard < t->said && !t->stop) pthread_cond_wait(&t->change, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

/* From the worker's thread. */
static void wake(training *t, int32_t heard, bool stop)
{
    pthread_mutex_lock(&t->lock);
    if (heard > t->heard) t->heard = heard;
    t->stop = t->stop || stop;
    pthread_cond_signal(&t->change);
    pthread_mutex_unlock(&t->lock);
}

/* Intermediate values: the objective of a meta-step, or during a training run. */
static void on_event(void *user, const char *stage, double done, double total, const char *json)
{
    training *t = user;
    json_t *j = json_loads(json, 0, NULL);
    const char *event = json_string_value(json_object_get(j, "event"));
    const json_t *value = json_object_get(j, "objective");
    char line[128];

    (void)stage, (void)done, (void)total;
    if (event && (strcmp(event, "meta-step") == 0 || strcmp(event, "report") == 0)) {
        const long long step = json_integer_value(json_object_get(j, "step"));

        if (json_is_number(value))
            snprintf(line, sizeof line, "{\"step\": %lld, \"value\": %.17g}", step,
                     json_number_value(value));
        else snprintf(line, sizeof line, "{\"step\": %lld, \"value\": NaN}", step);
        t->macs = json_number_value(json_object_get(j, "macs"));
        t->said++;
        say_line(t, line);
        if (t->spec->wait) wait_for_judge(t);
    }
    json_decref(j);
}

/* The study with this trial's values, as if an override had set each. */
static drmad_status vary(training *t, drmad_study **out)
{
    drmad_status st = DRMAD_OK;
    const slot_job *job = t->job;
    drmad_study *s = NULL;
    char threads[32];

    *out = NULL;
    TRY(study_from_text(t->ctx, t->spec->study, &s));
    s->lender = t->spec->lender;
    for (int32_t i = 0; i < job->n; i++) TRY(config_set(s->cfg, job->names[i], job->values[i]));
    snprintf(threads, sizeof threads, "%d", job->threads);
    TRY(config_set(s->cfg, "threads", threads));
    TRY(config_set(s->cfg, "output.dir", job->dir));
    if (t->spec->gradients && !t->spec->tune)
        TRY(slope_declare(s->cfg, job->names, job->n, &t->slopes));
    TRY(config_finish(s->cfg));
    TRY(drmad_ctx_set_threads(t->ctx, job->threads));
    t->ctx->gpu_share = job->gpu_share, t->ctx->gpu_trials = job->gpu_trials;
    drmad_study_set_events(s, on_event, t);
    *out = s, s = NULL;
done:
    drmad_study_free(s);
    return st;
}

static void *body(void *arg)
{
    training *t = arg;
    drmad_study *s = NULL;

    t->st = vary(t, &s);
    if (t->st == DRMAD_OK)
        t->st = t->spec->tune ? study_tune(s, true)
                : t->slopes   ? slope_train(s)
                              : drmad_study_train(s, 0);
    if (s && drmad_study_result_json(s)[0]) say_line(t, drmad_study_result_json(s));
    drmad_study_free(s);
    close(t->to);
    return NULL;
}

static void training_free(drmad_ctx *ctx, training *t)
{
    if (!t) return;
    if (t->ctx) mem_free(t->ctx, t->warned);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->change);
    drmad_ctx_free(t->ctx);
    mem_free(ctx, t);
}

/* Signals stay with the worker's thread. */
static int start_thread(training *t)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int why = pthread_create(&t->thread, NULL, body, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return why;
}

static drmad_status training_start(slot *s)
{
    drmad_status st = DRMAD_OK;
    training *t = NULL;
    int ends[2] = {-1, -1};

    TRY(mem_alloc(s->ctx, 1, sizeof *t, &t));
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->change, NULL);
    t->job = s->job;
    t->spec = s->own;
    t->ctx = drmad_ctx_new(NULL, NULL);
    if (!t->ctx) TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for a trial"));
    drmad_ctx_set_log(t->ctx, on_log, t);
    if (pipe2(ends, O_CLOEXEC) != 0) TRY(FAIL(s->ctx, DRMAD_E_IO, "pipe: %s", strerror(errno)));
    t->to = ends[1];
    const int why = start_thread(t);
    if (why) {
        close(ends[0]);
        close(ends[1]);
        TRY(FAIL(s->ctx, DRMAD_E_IO, "a thread for a trial: %s", strerror(why)));
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    s->out = ends[0];
    s->inside = t, t = NULL;
done:
    if (t) training_free(s->ctx, t);
    return st;
}

/* There is no force: a training step ends when it ends. */
static void training_stop(slot *s, bool force)
{
    training *t = s->inside;

    (void)force;
    drmad_ctx_stop(t->ctx, SIGTERM);
    wake(t, 0, true);
}

static void training_heard(slot *s, int32_t n)
{
    wake(s->inside, n, false);
}

static void join(training *t)
{
    if (!t->joined) pthread_join(t->thread, NULL);
    t->joined = true;
}

static bool training_ended(slot *s)
{
    if (s->out >= 0) return false;
    join(s->inside);
    return true;
}

/* The number that speaks for a study: over fresh seeds where there were some. */
static bool value_of(const json_t *result, double *value)
{
    const json_t *tuned = json_object_get(json_object_get(result, "tuned"), "mean");
    const json_t *run = json_object_get(result, "run");
    const json_t *values[] = {json_object_get(tuned, "objective_loss"),
                              json_object_get(run, "objective_loss"),
                              json_object_get(result, "best_objective")};

    for (size_t i = 0; i < COUNT(values); i++)
        if (values[i]) return said_real(values[i], value);
    return false;
}

static void training_judge(slot *s)
{
    const training *t = s->inside;
    const char *message = drmad_errmsg(t->ctx);

    if (t->warned)
        base_log(s->ctx, LOG_WARN, "trial %lld: %s", (long long)s->job->number, t->warned);
    if (t->st == DRMAD_OK && !s->rules.metric[0]) {
        s->verdict = (said_verdict){.state = TRIAL_COMPLETE};
        if (!value_of(s->said.result, &s->verdict.value))
            slot_fail(s, false, "its result has no finite objective");
    }
    if (s->pruned && !s->said.result) s->said.result = json_pack("{s:f}", "macs", t->macs);
    if (t->st == DRMAD_OK) return;
    const bool cut = t->st == DRMAD_E_INTERRUPTED || t->st == DRMAD_E_TERMINATED;
    slot_fail(s, cut || t->st == DRMAD_E_AGAIN, "%s", message);
    s->failed = t->st;
}

static void training_close(slot *s)
{
    training *t = s->inside;

    drmad_ctx_stop(t->ctx, SIGTERM);
    wake(t, 0, true);
    if (!t->joined) {
        /* nobody reads any more: a full pipe must not hold it */
        close(s->out);
        s->out = -1;
    }
    join(t);
    training_free(s->ctx, t);
}

const slot_kind slot_training = {
    "training",     training_start, training_stop,  training_ended,
    training_judge, training_close, training_heard,
};
