/* drmad grow: Net2Net morphs of saved weights. */
#include "cli.h"
#include "drmad/study.h"
#include <stdlib.h>
#include <string.h>

static const opt grow_opts[] = {
    SETTING('w', "wider", "wider", "LAYER=N", "so many outputs for this layer"),
    SETTING('d', "deeper", "deeper", "LAYER", "one more layer behind this one and its ReLU"),
    TEXT('o', "out", folder, "FILE", "the new weights"),
    TEXT(0, "noise", noise, "X",
         "parts copied units, in root mean squares of their weights [0.01]"),
    OPT_JSON,
    OPT_QUIET,
    OPT_HELP,
    OPTS_END,
};

/* "wider=conv1=64" -> "wider conv1=64", as model.grow says it. */
static void as_morph(char *setting)
{
    *strchr(setting, '=') = ' ';
}

static double noise_of(const args *a)
{
    char *end;
    const double x = a->noise ? strtod(a->noise, &end) : 0.01;

    return a->noise && (end == a->noise || *end) ? -1 : x;
}

static drmad_status call(drmad_study *s, const args *a)
{
    const char *const *morphs = (const char *const *)a->settings;
    drmad_status st =
        drmad_study_grow(s, a->words[1], a->folder, morphs, a->setting_count, noise_of(a));

    if (st != DRMAD_OK) return st;
    if (a->json) printf("%s\n", drmad_study_result_json(s));
    else print_clean(drmad_study_result_text(s));
    return st;
}

static int grow_run(const args *a)
{
    drmad_study *s = NULL;
    term t;

    if (!a->folder || noise_of(a) < 0) {
        fprintf(stderr, "error: grow: %s\n",
                a->folder ? "--noise needs a number from 0 up" : "-o FILE is needed");
        return EXIT_USAGE;
    }
    drmad_ctx *ctx = run_open(&t, a);
    if (!ctx) return drmad_status_exit(DRMAD_E_NOMEM);
    for (int i = 0; i < a->setting_count; i++) as_morph(a->settings[i]);
    const char *const *more = (const char *const *)a->words + 2;
    drmad_status st = drmad_study_load(ctx, a->words[0], more, a->word_count - 2, &s);
    if (st == DRMAD_OK) st = call(s, a);
    drmad_study_free(s);
    return run_close(ctx, &t, st);
}

const command cmd_grow = {
    "grow",
    "STUDY WEIGHTS [KEY=VALUE]...",
    2,
    WORDS_MAX,
    "make a trained net wider or deeper without a change of what it computes",
    "Net2Net: --wider and --deeper, in the order given, change the study's net and the\n"
    "weights in the safetensors file WEIGHTS; what is printed is the study's new `model:`.",
    grow_opts,
    grow_run,
};
