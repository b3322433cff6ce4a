/* The public calls that write pages and event files: src/report/ knows how. */
#include "base/file.h"
#include "base/settings.h"
#include "drmad/study.h"
#include "report/admin.h"
#include "report/html_run.h"
#include "report/html_study.h"
#include "report/tensorboard.h"
#include <string.h>

/* Reading thousands of trials takes a while: at most a tenth of the time goes into it. */
drmad_status drmad_store_glance(drmad_store *s, const char *study, double every_s,
                                drmad_trial_fn *fn, void *user)
{
    drmad_status st = DRMAD_OK;

    admin_forget(s);
    while (st == DRMAD_OK && !atomic_load(&s->ctx->stop)) {
        const double began = base_now();
        buffer text = {.ctx = s->ctx};

        st = report_live(s->store, study, &text);
        const double took = base_now() - began;
        if (st == DRMAD_OK) st = fn(user, NULL, text.text);
        text_free(&text);
        if (st == DRMAD_OK) admin_nap(s->ctx, every_s > 9 * took ? every_s : 9 * took);
    }
    if (base_stopped(s->ctx) != DRMAD_OK) atomic_store(&s->ctx->stop, 0);
    return st;
}

drmad_status drmad_store_report(drmad_store *s, const char *study, const char *const *settings,
                                int n)
{
    const char *file = NULL, *events = NULL;
    int64_t seed = 1;
    const setting known[] = {{"file", SETTING_TEXT, &file},
                             {"seed", SETTING_INT, &seed},
                             {"tensorboard", SETTING_TEXT, &events}};
    drmad_status st = DRMAD_OK;
    char *page = NULL;
    view *v = NULL;

    admin_forget(s);
    TRY(settings_read(s->ctx, "drmad_store_report", settings, n, known, COUNT(known)));
    TRY(html_study(s->store, study, (uint64_t)seed, &page));
    if (file) TRY(file_write_atomic(s->ctx, file, page, strlen(page)));
    else text_put(&s->text, page);
    TRY(s->text.st);
    if (events) {
        TRY(view_read(s->store, study, &v));
        TRY(tensorboard_study(v, events));
    }
done:
    view_free(v);
    mem_free(s->ctx, page);
    if (st != DRMAD_OK) admin_forget(s);
    return st;
}

drmad_status drmad_run_report(drmad_ctx *ctx, const char *folder, const char *const *settings,
                              int n)
{
    const char *file = NULL, *events = NULL;
    const setting known[] = {{"file", SETTING_TEXT, &file}, {"tensorboard", SETTING_TEXT, &events}};
    drmad_status st = DRMAD_OK;
    run_view *r = NULL;
    char *page = NULL;

    TRY(settings_read(ctx, "drmad_run_report", settings, n, known, COUNT(known)));
    if (!file) TRY(FAIL(ctx, DRMAD_E_USAGE, "drmad_run_report: file=PATH is needed"));
    TRY(html_run(ctx, folder, &page));
    TRY(file_write_atomic(ctx, file, page, strlen(page)));
    if (events) {
        TRY(run_read(ctx, folder, &r));
        TRY(tensorboard_run(r, events));
    }
done:
    run_free(r);
    mem_free(ctx, page);
    return st;
}
