/* drmad import: what an exported folder holds, and how near it is to PyTorch. */
#include "cli.h"
#include "drmad/graph.h"

static const opt import_opts[] = {
    FLAG(0, "json", json, "one JSON object on standard output"),
    OPT_QUIET,
    OPT_HELP,
    OPTS_END,
};

static int import_run(const args *a)
{
    term t;
    drmad_model *m = NULL;
    drmad_ctx *ctx = run_open(&t, a);

    if (!ctx) return drmad_status_exit(DRMAD_E_NOMEM);
    const drmad_status st = drmad_model_import(ctx, a->words[0], &m);
    if (st == DRMAD_OK && a->json) printf("%s\n", drmad_model_json(m));
    if (st == DRMAD_OK && !a->json) printf("%s", drmad_model_text(m));
    drmad_model_free(m);
    return run_close(ctx, &t, st);
}

const command cmd_import = {
    "import",
    "DIR",
    1,
    1,
    "check a model from PyTorch",
    "DIR: what `python -m drmad.export` wrote (docs/GRAPH.md). Its operations, tensors and "
    "parity:\n"
    "loss, gradient and Hessian-vector product of one batch against PyTorch's. A study trains it\n"
    "with model.import=DIR.",
    import_opts,
    import_run,
};
