/* The public calls that write pages and event files: src/report/ knows how. */
#include "base/file.h"
#include "drmad/study.h"
#include "report/html_run.h"
#include "report/html_study.h"
#include "study/admin.h"
#include <string.h>

drmad_status drmad_store_report(drmad_store *s, const char *study, const char *const *settings,
                                int n)
{
    const char *file = NULL;
    int64_t seed = 1;
    const setting known[] = {{"file", SETTING_TEXT, &file}, {"seed", SETTING_INT, &seed}};
    drmad_status st = DRMAD_OK;
    char *page = NULL;

    admin_forget(s);
    TRY(settings_read(s->ctx, "drmad_store_report", settings, n, known, COUNT(known)));
    TRY(html_study(s->store, study, (uint64_t)seed, &page));
    if (file) TRY(file_write_atomic(s->ctx, file, page, strlen(page)));
    else text_put(&s->text, page);
    st = s->text.st;
done:
    mem_free(s->ctx, page);
    if (st != DRMAD_OK) admin_forget(s);
    return st;
}

drmad_status drmad_run_report(drmad_ctx *ctx, const char *folder, const char *const *settings,
                              int n)
{
    const char *file = NULL;
    const setting known[] = {{"file", SETTING_TEXT, &file}};
    drmad_status st = DRMAD_OK;
    char *page = NULL;

    TRY(settings_read(ctx, "drmad_run_report", settings, n, known, COUNT(known)));
    if (!file) TRY(FAIL(ctx, DRMAD_E_USAGE, "drmad_run_report: file=PATH is needed"));
    TRY(html_run(ctx, folder, &page));
    TRY(file_write_atomic(ctx, file, page, strlen(page)));
done:
    mem_free(ctx, page);
    return st;
}
