/* Checkpoints of a tuning run: the outer state and what else the next meta-step follows from. A run
 * that goes on from one gives the same bits as one that was never cut. */
#include "study/tuning.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char checkpoint_name[] = "checkpoint.safetensors";

void tuning_free(drmad_study *s, tuning *t)
{
    outer_free(t->o);
    mem_free(s->ctx, t->values);
    mem_free(s->ctx, t->before);
    json_decref(t->path);
}

drmad_status tuning_fit(drmad_study *s, tuning *t)
{
    drmad_status st = DRMAD_OK;
    size_t n;

    outer_state(t->o, &n);
    mem_free(s->ctx, t->values);
    mem_free(s->ctx, t->before);
    t->values = t->before = NULL;
    TRY(mem_alloc(s->ctx, (size_t)s->s->space->total + 1, sizeof(double), &t->values));
    TRY(mem_alloc(s->ctx, n, sizeof(double), &t->before));
done:
    return st;
}

/* Cuts the section `name` ("\noutput:") out of a printed study. */
static void cut_section(char *text, const char *name)
{
    char *from = strstr(text, name), *to = from;

    if (!from) return;
    do to = strchr(to + 1, '\n');
    while (to && to[1] == ' ');
    if (to) memmove(from, to, strlen(to) + 1);
    else *from = '\0';
}

/* The same for the first line that starts so. */
static void cut_line(char *text, const char *name)
{
    char *from = strstr(text, name), *to = from ? strchr(from + 1, '\n') : NULL;

    if (to) memmove(from, to, strlen(to) + 1);
}

/* "device: cuda:1" becomes "device: cuda": its results are those of every GPU. */
static void cut_number(char *text)
{
    char *from = strstr(text, "\ndevice: cuda:");

    if (from) from += strlen("\ndevice: cuda");
    if (from) memmove(from, from + strcspn(from, "\n"), strlen(from + strcspn(from, "\n")) + 1);
}

drmad_status study_fingerprint(drmad_study *s, char out[SHA256_TEXT])
{
    static const char *const ignored[] = {
        "\noutput:", "\nbudget:", "\nthreads:", "\nstore:", "\nworker:"};
    static const char *const of_data[] = {"\n  memory:", "\n  workers:", "\n  ahead:"};
    drmad_status st = DRMAD_OK;
    char *text = NULL;
    const void *more = s->s->data_sha256;
    size_t bytes = strlen(s->s->data_sha256) + 1;

    if (s->model && s->model->factor) { /* then the data are the caller's */
        more = s->model->factor;
        bytes = (size_t)s->model->factors * sizeof *s->model->factor;
    }
    TRY(config_print(s->cfg, &text));
    for (size_t i = 0; i < COUNT(ignored); i++) cut_section(text, ignored[i]);
    for (size_t i = 0; i < COUNT(of_data); i++) cut_line(text, of_data[i]); /* comes first */
    cut_number(text);
    TRY(blob_sha256(s->ctx, text, strlen(text), more, bytes, out));
done:
    mem_free(s->ctx, text);
    return st;
}

drmad_status tuning_save(drmad_study *s, tuning *t)
{
    drmad_status st = DRMAD_OK;
    char print[SHA256_TEXT], bytes[40], tied[40];
    char *path = json_dumps(t->path, JSON_COMPACT | JSON_REAL_PRECISION(17));
    size_t n;
    const double *state = outer_state(t->o, &n);

    if (!path) TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for a checkpoint"));
    TRY(study_fingerprint(s, print));
    snprintf(bytes, sizeof bytes, "%lld", (long long)folder_log_bytes(s->f));
    snprintf(tied, sizeof tied, "%lld", (long long)t->tied);
    const double charged[] = {t->spent, base_now() - s->started};
    const st_tensor at[] = {{"outer", F64, SHAPE((int64_t)n), state},
                            {"charged", F64, SHAPE((int64_t)COUNT(charged)), charged},
                            {"pull", F64, SHAPE(s->s->params->total), s->s->pull}};
    const st_text text[] = {{"study_sha256", print},
                            {"log_bytes", bytes},
                            {"tied", tied},
                            {"stopped", t->stopped},
                            {"unstable", t->unstable ? "1" : "0"},
                            {"path", path}};
    const st_file file = {(int32_t)COUNT(at) - !s->s->pull, (int32_t)COUNT(text), at, text};
    TRY(folder_tensors(s->f, checkpoint_name, &file));
    t->saved = base_now();
    base_log(s->ctx, LOG_DETAIL, "checkpoint after meta-step %lld", (long long)outer_steps(t->o));
done:
    free(path);
    return st;
}

static const char *text_of(const st_file *f, const char *key)
{
    for (int32_t i = 0; i < f->texts; i++)
        if (strcmp(f->text[i].key, key) == 0) return f->text[i].value;
    return "";
}

static drmad_status other_study(drmad_study *s, const char *file)
{
    return FAIL(s->ctx, DRMAD_E_CONFIG,
                "%s/%s: of another study, other data or another device; leave --resume out to "
                "start anew",
                folder_path(s->f), file);
}

/* The F64 tensor `name` of `n` numbers. */
static drmad_status numbers(drmad_study *s, const st_file *f, const char *name, size_t n,
                            double *to)
{
    const st_tensor *t = safetensors_find(f, name);

    if (!t || t->dtype != F64 || shape_count(&t->shape) != (int64_t)n)
        return FAIL(s->ctx, DRMAD_E_STORAGE, "%s/%s: no \"%s\" of %zu numbers", folder_path(s->f),
                    checkpoint_name, name, n);
    memcpy(to, t->data, n * sizeof *to);
    return DRMAD_OK;
}

static drmad_status restore_pull(drmad_study *s, const st_file *f)
{
    const size_t n = (size_t)s->s->params->total;
    drmad_status st = DRMAD_OK;
    double *flat = NULL;

    TRY(mem_alloc(s->ctx, n, sizeof *flat, &flat));
    TRY(numbers(s, f, "pull", n, flat));
    TRY(setup_pull_to(s->s, flat));
done:
    mem_free(s->ctx, flat);
    return st;
}

/* The outer state, in the space of the ties that held. */
static drmad_status restore_outer(drmad_study *s, const st_file *f, tuning *t)
{
    drmad_status st = DRMAD_OK;
    size_t n;

    t->tied = strtoll(text_of(f, "tied"), NULL, 10);
    if (t->tied != 0) {
        outer_free(t->o);
        t->o = NULL;
        TRY(setup_tie(s->s, t->tied, true, NULL));
        TRY(outer_new(s->ctx, &s->s->outer, s->s->space, &t->o));
    }
    double *to = outer_state(t->o, &n);
    TRY(numbers(s, f, "outer", n, to));
    if (safetensors_find(f, "pull")) TRY(restore_pull(s, f));
done:
    return st;
}

static drmad_status restore(drmad_study *s, const st_file *f, tuning *t)
{
    drmad_status st = DRMAD_OK;
    char print[SHA256_TEXT];
    double charged[2];

    TRY(study_fingerprint(s, print));
    if (strcmp(text_of(f, "study_sha256"), print) != 0) TRY(other_study(s, checkpoint_name));
    TRY(restore_outer(s, f, t));
    TRY(numbers(s, f, "charged", COUNT(charged), charged));
    t->spent = charged[0];
    s->started = base_now() - charged[1]; /* the seconds before the cut count too */
    snprintf(t->stopped, sizeof t->stopped, "%s", text_of(f, "stopped"));
    t->unstable = strcmp(text_of(f, "unstable"), "1") == 0;
    json_decref(t->path);
    t->path = json_loads(text_of(f, "path"), JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_array(t->path))
        TRY(FAIL(s->ctx, DRMAD_E_STORAGE, "%s/%s: damaged path", folder_path(s->f),
                 checkpoint_name));
    TRY(folder_log_open(s->f, strtoll(text_of(f, "log_bytes"), NULL, 10)));
    t->resumed = true;
done:
    return st;
}

/* Nothing of an older run may pass for this one's, not even when this one is cut at once. */
static drmad_status start_anew(drmad_study *s)
{
    static const char *const old[] = {"result.json", checkpoint_name, "hyperparameters.safetensors",
                                      "weights.safetensors", "state.safetensors"};
    drmad_status st = DRMAD_OK;

    if (folder_has(s->f, checkpoint_name))
        base_log(s->ctx, LOG_WARN,
                 "%s held an unfinished run; this one starts anew (--resume goes on)",
                 folder_path(s->f));
    for (size_t i = 0; i < COUNT(old); i++) TRY(folder_remove(s->f, old[i]));
    TRY(study_files(s));
done:
    return st;
}

/* No checkpoint: the result of this very study, if it is there. */
static drmad_status read_finished(drmad_study *s, tuning *t)
{
    drmad_status st = DRMAD_OK;
    char *text = NULL, print[SHA256_TEXT];

    TRY(folder_read_text(s->f, "result.json", &text));
    if (!text) goto done;
    json_t *old = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!old) TRY(FAIL(s->ctx, DRMAD_E_STORAGE, "%s/result.json: damaged", folder_path(s->f)));
    json_decref(s->result);
    s->result = old;
    TRY(study_fingerprint(s, print));
    const char *whose = json_string_value(json_object_get(old, "study_sha256"));
    if (!whose || strcmp(whose, print) != 0) TRY(other_study(s, "result.json"));
    t->finished = true;
done:
    mem_free(s->ctx, text);
    return st;
}

drmad_status tuning_open(drmad_study *s, bool resume, tuning *t)
{
    drmad_status st = DRMAD_OK;
    st_file *f = NULL;

    *t = (tuning){.path = json_array(), .saved = base_now()};
    TRY(outer_new(s->ctx, &s->s->outer, s->s->space, &t->o));
    if (resume) TRY(folder_read_tensors(s->f, checkpoint_name, &f));
    if (f) TRY(restore(s, f, t));
    else if (resume) TRY(read_finished(s, t));
    if (!t->resumed && !t->finished) TRY(start_anew(s));
    TRY(tuning_fit(s, t));
done:
    mem_free(s->ctx, f);
    return st;
}

drmad_status tuning_close(drmad_study *s)
{
    return folder_remove(s->f, checkpoint_name);
}
