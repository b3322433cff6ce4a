/* What all kinds of slots share: reading, time-outs, tries. */
#include "worker/slot.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { READS = 16 }; /* at most so many buffers a step: others want to be read too */

void slot_fail(slot *s, bool back, const char *fmt, ...)
{
    va_list ap;

    s->verdict = (said_verdict){.state = back ? TRIAL_WAITING : TRIAL_FAIL, .value = NAN};
    va_start(ap, fmt);
    vsnprintf(s->verdict.why, sizeof s->verdict.why, fmt, ap);
    va_end(ap);
}

static void shut(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static drmad_status start(slot *s)
{
    s->out = s->err = -1;
    s->phase = SLOT_RUNNING;
    s->timed_out = false;
    s->tail_used = 0;
    s->failed = DRMAD_OK;
    s->started = base_now();
    s->tries++;
    said_close(&s->said);
    said_open(&s->said, s->ctx, s->rules.metric);
    return s->kind->start(s);
}

/* Ends what runs. */
static void finish(slot *s)
{
    if (s->inside) s->kind->close(s);
    s->inside = NULL;
    shut(&s->out);
    shut(&s->err);
}

drmad_status slot_start(drmad_ctx *ctx, const slot_kind *kind, void *own, const slot_job *job,
                        const slot_rules *rules, slot **out)
{
    drmad_status st = DRMAD_OK;
    slot *s = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    *s = (slot){.ctx = ctx, .kind = kind, .own = own, .job = job, .rules = *rules};
    TRY(start(s));
    *out = s, s = NULL;
done:
    slot_free(s);
    return st;
}

void slot_free(slot *s)
{
    if (!s) return;
    finish(s);
    said_close(&s->said);
    mem_free(s->ctx, s);
}

int slot_fds(const slot *s, struct pollfd fds[SLOT_FDS])
{
    int n = 0;

    if (s->out >= 0) fds[n++] = (struct pollfd){.fd = s->out, .events = POLLIN};
    if (s->err >= 0) fds[n++] = (struct pollfd){.fd = s->err, .events = POLLIN};
    return n;
}

static void keep_tail(slot *s, const char *bytes, size_t n)
{
    const size_t most = SLOT_STDERR_MAX;

    if (n > most) bytes += n - most, n = most;
    if (s->tail_used + n > most) {
        const size_t drop = s->tail_used + n - most;

        memmove(s->tail, s->tail + drop, s->tail_used - drop);
        s->tail_used -= drop;
    }
    memcpy(s->tail + s->tail_used, bytes, n);
    s->tail_used += n;
}

/* What has come on *fd; closes it at the end of it. */
static drmad_status read_some(slot *s, int *fd)
{
    drmad_status st = DRMAD_OK;
    char buf[16384];

    for (int i = 0; i < READS && *fd >= 0; i++) {
        const ssize_t n = read(*fd, buf, sizeof buf);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) break;
        if (n <= 0) shut(fd);
        else if (fd == &s->err) keep_tail(s, buf, (size_t)n);
        else TRY(said_take(&s->said, buf, (size_t)n));
    }
done:
    return st;
}

static void force(slot *s)
{
    s->phase = SLOT_KILLED;
    s->kind->stop(s, true);
}

static void ask_to_end(slot *s)
{
    if (s->phase != SLOT_RUNNING) return;
    s->phase = SLOT_STOPPING;
    s->stopped = base_now();
    s->kind->stop(s, false);
}

void slot_stop(slot *s)
{
    s->rules.retries = 0;
    ask_to_end(s);
}

void slot_prune(slot *s)
{
    s->pruned = s->phase == SLOT_RUNNING;
    slot_stop(s);
}

static void heed_time(slot *s)
{
    const double now = base_now();

    if (s->phase == SLOT_RUNNING && s->rules.timeout_s > 0 &&
        now - s->started >= s->rules.timeout_s) {
        s->timed_out = true;
        ask_to_end(s);
    } else if (s->phase == SLOT_STOPPING && now - s->stopped >= s->rules.grace_s) {
        force(s);
    }
}

double slot_due(const slot *s)
{
    if (s->phase == SLOT_RUNNING && s->rules.timeout_s > 0) return s->started + s->rules.timeout_s;
    return s->phase == SLOT_STOPPING ? s->stopped + s->rules.grace_s : HUGE_VAL;
}

static bool try_again(const slot *s)
{
    return s->verdict.state == TRIAL_FAIL && s->tries <= s->rules.retries;
}

drmad_status slot_step(slot *s)
{
    drmad_status st = DRMAD_OK;

    if (s->phase == SLOT_ENDED) return st;
    TRY(read_some(s, &s->out));
    TRY(read_some(s, &s->err));
    if (!s->kind->ended(s)) {
        heed_time(s);
        return st;
    }
    TRY(read_some(s, &s->out)); /* what came between reading and ending */
    TRY(read_some(s, &s->err));
    TRY(said_end(&s->said));
    said_judge(&s->said, &s->verdict);
    s->kind->judge(s);
    if (s->timed_out)
        slot_fail(s, false, "took longer than objective.timeout, %g s", s->rules.timeout_s);
    if (s->pruned) s->verdict = (said_verdict){.state = TRIAL_PRUNED, .value = NAN};
    finish(s);
    if (try_again(s)) {
        base_log(s->ctx, LOG_INFO, "trial %lld: %s; once more", (long long)s->job->number,
                 s->verdict.why);
        TRY(start(s));
    } else {
        s->phase = SLOT_ENDED;
    }
done:
    return st;
}
