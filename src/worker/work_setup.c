/* What a worker runs, and how many at once. */
#include "base/machine.h"
#include "exec/cuda/cuda.h"
#include "worker/work.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Between asking a trial to end and force; a worker that is told to go has 30 s. */
static const double grace_s = 15;

enum { JOBS_MAX = 4096 };

/* ---- commands ---- */

static drmad_status check_names(const work *w)
{
    const config *c = w->s->cfg;
    const search *declared = w->s->session->space;
    const char *name;

    for (int32_t i = 0; (name = template_name(w->words, i)); i++)
        if (search_find(declared, name) < 0)
            return config_refuse(c, "objective.cmd",
                                 "{%.64s} is none of the parameters; braces themselves are {{ }}",
                                 name);
    if (c->set.objective.pass == CFG_PASS_ARGS && !template_name(w->words, 0))
        return config_refuse(c, "objective.cmd",
                             "gets no parameter: write {%s} where its value belongs, or set "
                             "objective.pass",
                             declared->params[0].name);
    return DRMAD_OK;
}

static drmad_status setup_command(work *w)
{
    const config_objective *o = &w->s->cfg->set.objective;
    drmad_status st = DRMAD_OK;

    /* whoever can write to the database could run anything here */
    if (w->s->foreign)
        return FAIL(w->s->ctx, DRMAD_E_UNSAFE,
                    "study %s: its command comes from the store and is not run: name the study "
                    "file, or trust everybody who can write there with --trust-store. It is: %s",
                    w->s->session->name, o->cmd);
    st = template_new(w->s->ctx, o->cmd, &w->words);
    if (st == DRMAD_E_CONFIG)
        return config_refuse(w->s->cfg, "objective.cmd", "%s", drmad_errmsg(w->s->ctx));
    TRY(st);
    TRY(check_names(w));
    TRY(command_find_program(w->s->ctx, w->words));
    w->kind = &slot_command;
    w->command =
        (command_spec){w->words, o->pass == CFG_PASS_ENV, o->pass == CFG_PASS_STDIN, o->memory};
    w->rules.retries = o->retries;
done:
    return st;
}

/* ---- our own training ---- */

/* What trials may take of the GPU, before anything of ours lies there. */
static drmad_status measure_gpu(work *w)
{
    const int32_t number = config_gpu(w->s->cfg);
    const int64_t limit = w->s->cfg->set.worker.memory;
    drmad_status st = DRMAD_OK;

    if (number < 0) return DRMAD_OK;
    TRY(cuda_memory(w->s->ctx, number, &w->gpu));
    if (limit > 0 && (size_t)limit < w->gpu) w->gpu = (size_t)limit;
done:
    return st;
}

static drmad_status setup_training(work *w)
{
    const config_study *c = &w->s->cfg->set;
    const search *declared = w->s->session->space;
    drmad_status st = DRMAD_OK;
    char path[64], why[512], *value = NULL;

    if (w->s->model)
        TRY(FAIL(w->s->ctx, DRMAD_E_USAGE,
                 "a search over a model of the caller's needs drmad_study_set_objective"));
    for (int32_t i = 0; i < declared->n; i++) {
        st = config_get(w->s->cfg, declared->params[i].name, &value);
        mem_free(w->s->ctx, value);
        if (st == DRMAD_OK) continue;
        snprintf(path, sizeof path, "parameters.%d.name", (int)i);
        snprintf(why, sizeof why, "%s", drmad_errmsg(w->s->ctx));
        TRY(config_refuse(w->s->cfg, path,
                          "without objective.cmd a parameter is a key of the study: %s", why));
    }
    w->kind = &slot_training;
    w->training.study = w->s->base;
    w->training.gradients = c->search.gradients && !c->objective.metric[0];
    w->training.tune = c->objective.run == CFG_RUN_TUNE ||
                       (c->objective.run == CFG_RUN_AUTO && c->hyper.n > 0 && c->stages.n == 0);
    if (w->training.tune && c->objective.seeds > 1)
        TRY(config_refuse(w->s->cfg, "objective.seeds",
                          "is only for objective.run: train; a trial that tunes is judged by "
                          "retrain.seeds runs"));
    if (w->training.tune || w->training.gradients) TRY(config_need_f32(w->s->cfg));
    TRY(measure_gpu(w));
    if (setup_new(w->s->ctx, w->s->cfg, NULL, w->s->lender, &w->base) != DRMAD_OK ||
        setup_tie(w->base, 0, w->training.tune, NULL) != DRMAD_OK) {
        setup_free(w->base);
        w->base = NULL;
        if (c->budget.runs > 0)
            TRY(config_refuse(w->s->cfg, "budget.runs",
                              "the study as it stands is no run to count in"));
    } else {
        w->cost = setup_cost_of(w->base);
        setup_rest(w->base);
    }
    w->training.lender = w->base;
    w->training.wait = c->search.pruner.kind != CFG_PRUNER_NONE;
done:
    return st;
}

/* ---- side by side ---- */

/* How many that take `each` of it, at least one. */
static double that_fit(double memory, double each)
{
    return each > 0 ? fmax(1, floor(memory / each)) : JOBS_MAX;
}

static int choose_jobs(const work *w)
{
    const config_study *c = &w->s->cfg->set;
    const int cores = machine_cores();
    const bool all = c->worker.memory > 0 && w->gpu == 0; /* on a GPU: of that */
    const double memory = all ? (double)c->worker.memory : (double)machine_memory();
    double jobs = fmax(1, floor((double)cores / (double)(c->threads > 0 ? c->threads : 1)));

    if (w->kind == &slot_call) return 1; /* on this thread */
    if (c->worker.jobs > 0) return (int)c->worker.jobs;
    const double each =
        w->kind == &slot_command ? (double)c->objective.memory : (double)w->cost.bytes;
    jobs = fmin(jobs, that_fit(memory, each));
    jobs = fmin(jobs, that_fit((double)w->gpu, (double)w->cost.gpu));
    return (int)fmin(jobs, JOBS_MAX);
}

void work_take_jobs(work *w, int jobs)
{
    const int64_t threads = w->s->cfg->set.threads;
    const int cores = machine_cores();

    w->jobs = jobs;
    w->threads = threads > 0 ? (int)threads : cores > jobs ? cores / jobs : 1;
}

drmad_status work_setup(work *w)
{
    drmad_study *s = w->s;
    const config_objective *o = &s->cfg->set.objective;
    drmad_status st = DRMAD_OK;

    w->rules = (slot_rules){.metric = o->metric, .timeout_s = o->timeout, .grace_s = grace_s};
    if (s->session->objectives > 1)
        TRY(FAIL(s->ctx, DRMAD_E_USAGE,
                 "study %s has %d objectives: a worker's trials have one; ask and tell them",
                 s->session->name, (int)s->session->objectives));
    if (!s->objective && s->session->space->n == 0)
        TRY(config_refuse(s->cfg, "parameters", "there is nothing to search"));
    if (s->objective) w->kind = &slot_call;
    else if (o->cmd[0]) TRY(setup_command(w));
    else TRY(setup_training(w));
    work_take_jobs(w, choose_jobs(w));
    TRY(mem_alloc(s->ctx, (size_t)w->jobs, sizeof *w->runs, &w->runs));
    base_log(s->ctx, LOG_DETAIL, "study %s in %s: %d trials side by side, %d threads each",
             s->session->name, store_url(s->session->store), w->jobs, w->threads);
done:
    return st;
}

void work_close(work *w)
{
    while (w->n > 0) run_close(w, w->runs[--w->n]);
    mem_free(w->s->ctx, w->runs);
    setup_free(w->base);
    template_free(w->words);
}
