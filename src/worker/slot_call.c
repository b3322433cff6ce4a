/* A function of the caller's, run to its end on the worker's thread. */
#include "worker/slot.h"
#include <math.h>

static drmad_status call_start(slot *s)
{
    call_spec *spec = s->own;

    spec->value = NAN;
    s->ctx->errmsg[0] = '\0'; /* what is said afterwards is the function's */
    s->failed = spec->fn(spec->user, spec->trial, &spec->value, 1);
    s->inside = s;
    return DRMAD_OK;
}

static void call_stop(slot *s, bool force)
{
    (void)s, (void)force;
}

static bool call_ended(slot *s)
{
    (void)s;
    return true;
}

static void call_judge(slot *s)
{
    const call_spec *spec = s->own;
    const drmad_status st = s->failed;

    if (st == DRMAD_OK) {
        s->verdict = (said_verdict){.state = TRIAL_COMPLETE, .value = spec->value};
        if (isnan(spec->value)) slot_fail(s, false, "the result is NaN");
        return;
    }
    const bool back = st == DRMAD_E_INTERRUPTED || st == DRMAD_E_TERMINATED || st == DRMAD_E_AGAIN;
    const char *why = drmad_errmsg(s->ctx);
    slot_fail(s, back, "%s", why[0] ? why : drmad_status_text(st));
}

static void call_close(slot *s)
{
    (void)s;
}

const slot_kind slot_call = {
    "function", call_start, call_stop, call_ended, call_judge, call_close, NULL,
};
