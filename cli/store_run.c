/* What the commands on a store share: the store found, opened, used, its result printed. */
#include "cli.h"
#include "drmad/store.h"
#include <string.h>

static const char *const open_as[] = {"read_only=true", "read_only=false", "create=true"};

static drmad_status work(drmad_ctx *ctx, const place *p, int how, const args *a, store_call *call)
{
    const char *const settings[] = {open_as[how], "patience=15"};
    drmad_store *s;
    drmad_status st = drmad_store_open(ctx, p->url, settings, 2, &s);

    if (st == DRMAD_OK) st = call(s, p->name, a);
    if (st == DRMAD_OK) {
        const char *json = drmad_store_result_json(s);
        const char *result = a->json && json[0] ? json : drmad_store_result_text(s);

        print_clean(result);
        if (result[0] && result[strlen(result) - 1] != '\n') putchar('\n');
    }
    drmad_store_close(s);
    return st;
}

int run_store(const args *a, const char *who, int how, bool study, store_call *call)
{
    term t;
    place p = {.url = a->store};
    int status = study ? place_of(a, who, &p) : 0;

    if (status == 0) {
        drmad_ctx *ctx = run_open(&t, a);

        status = ctx ? run_close(ctx, &t, work(ctx, &p, how, a, call))
                     : drmad_status_exit(DRMAD_E_NOMEM);
    }
    place_free(&p);
    return status;
}
