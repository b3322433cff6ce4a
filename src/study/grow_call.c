/* drmad grow: morphs applied to a file of weights. */
#include "setup/grow.h"
#include "study/study.h"
#include <string.h>

/* The same study with more morphs. Gives *out. */
static drmad_status grown_study(drmad_study *s, const char *const *morphs, int n, drmad_study **out)
{
    text_out list = {.ctx = s->ctx};
    const config_model *m = &s->cfg->set.model;
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;
    char *text = NULL;

    TRY(config_print(s->cfg, &text));
    TRY(study_from_text(s->ctx, text, &sub));
    for (int32_t i = 0; i < m->grow.n + n; i++)
        text_say(&list, "%s\"%s\"", i ? ", " : "[",
                 i < m->grow.n ? m->grow.at[i] : morphs[i - m->grow.n]);
    text_put(&list, "]");
    TRY(list.st);
    TRY(config_set(sub->cfg, "model.grow", list.text));
    TRY(study_finish_load(sub));
    *out = sub, sub = NULL;
done:
    text_free(&list);
    mem_free(s->ctx, text);
    drmad_study_free(sub);
    return st;
}

/* The `model:` section of the study as YAML: text and result. */
static drmad_status put_model(drmad_study *s, const drmad_study *grown)
{
    drmad_status st = DRMAD_OK;
    char *text = NULL;

    TRY(config_print(grown->cfg, &text));
    char *from = strstr(text, "\nmodel:") + 1, *to = from;
    do to = strchr(to, '\n') + 1;
    while (*to == ' ');
    *to = '\0';
    TRY(study_put(s, "model", json_string(from)));
    text_put(&s->said, from);
    st = s->said.st;
done:
    mem_free(s->ctx, text);
    return st;
}

/* The file of the net of `now` becomes one of that of `next`. */
static drmad_status grow_file(const setup *now, const setup *next, const char *weights,
                              const char *file, double noise)
{
    drmad_status st = DRMAD_OK;
    start_state state = {0};
    st_file *f = NULL;

    TRY(safetensors_read(now->ctx, weights, &f));
    TRY(start_state_read(now, weights, f, &state));
    TRY(grow_state(now, next, noise, &state));
    TRY(start_save_state(file, next, &state));
done:
    start_state_free(now->ctx, &state);
    mem_free(now->ctx, f);
    return st;
}

drmad_status drmad_study_grow(drmad_study *s, const char *weights, const char *file,
                              const char *const *morphs, int n, double noise)
{
    setup *now = NULL, *next = NULL;
    drmad_study *grown = NULL;
    drmad_status st = DRMAD_OK;

    if (s->model)
        return FAIL(s->ctx, DRMAD_E_USAGE, "grow: the caller's model is not drmad's to change");
    if (s->cfg->set.model.import[0])
        return config_refuse(s->cfg, "model.import", "grow: only lists of layers are changed");
    if (n < 1 || !(noise >= 0))
        return FAIL(s->ctx, DRMAD_E_USAGE, "grow: %s", n < 1 ? "no morph is named" : "noise");
    TRY(study_begin_result(s, "grow"));
    TRY(grown_study(s, morphs, n, &grown));
    TRY(setup_new(s->ctx, s->cfg, NULL, NULL, &now));
    TRY(setup_new(s->ctx, grown->cfg, NULL, now, &next));
    TRY(grow_file(now, next, weights, file, noise));
    TRY(study_put(s, "weights", json_string(file)));
    TRY(study_put(s, "parameters", json_integer(next->params->weights)));
    TRY(put_model(s, grown));
    TRY(study_show(s));
done:
    setup_free(next);
    setup_free(now);
    drmad_study_free(grown);
    return study_end(s, st);
}
