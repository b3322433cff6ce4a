/* drmad store check: what is wrong with a store, and what to do. */
#include "cli.h"
#include "drmad/store.h"
#include <stdio.h>

static const opt store_check_opts[] = {
    OPTS_STORE,
    OPTS_END,
};

typedef struct findings {
    bool json;
    int n;
} findings;

static void on_finding(void *user, int level, const char *text)
{
    static const char *const words[] = {"damaged", "warning", "ok"};
    findings *f = user;
    const char *word = words[level < 0 ? 0 : level > 2 ? 2 : level];

    f->n++;
    if (f->json) {
        printf("{\"finding\": \"%s\", \"text\": ", word);
        print_json_string(stdout, text);
        printf("}\n");
    } else {
        printf("%-8s ", word);
        print_clean(text);
        putchar('\n');
    }
}

static int store_check_run(const args *a)
{
    term t;
    const char *url = a->word_count ? a->words[0] : a->store;
    findings f = {.json = a->json};
    drmad_ctx *ctx = run_open(&t, a);

    if (!ctx) return drmad_status_exit(DRMAD_E_NOMEM);
    const drmad_status st = drmad_store_check(ctx, url, on_finding, &f);
    if (st == DRMAD_OK && f.n == 0) on_finding(&f, 2, "nothing is wrong");
    return run_close(ctx, &t, st);
}

const command cmd_store_check = {
    "store check",
    "[URL]",
    0,
    1,
    "read a whole store, say what is wrong and what to do",
    "Changes nothing. Status 4 when something is damaged.",
    store_check_opts,
    store_check_run,
};
