/* What a declaration may ask for: every combination that makes no sense is refused here, by name
 * and with the reason. What can only be seen with the tensors at hand (overlaps, sizes) is refused
 * in space.c. */
#include "space/space_inside.h"
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum { STEPS_MAX = INT32_MAX };

#define BIT(per) (1u << (per))
#define TENSOR_PERS                                                                                \
    (BIT(PER_GLOBAL) | BIT(PER_LAYER) | BIT(PER_TENSOR) | BIT(PER_UNIT_IN) | BIT(PER_UNIT_OUT) |   \
     BIT(PER_WEIGHT))

/* Which granularities a kind has, why no others; what has one; whether it may change in time and
 * multiply a base. */
typedef enum about { ABOUT_DATA, ABOUT_TENSORS, ABOUT_LAYERS } about;

static const struct {
    unsigned pers;
    const char *why_per;
    about about;
    bool in_time, has_base;
} kinds[HYPER_KIND_COUNT] = {
    [HYPER_L2] = {TENSOR_PERS, "it is about weights", ABOUT_TENSORS, true, true},
    [HYPER_L1] = {TENSOR_PERS, "it is about weights", ABOUT_TENSORS, true, true},
    [HYPER_WEIGHT_DECAY] = {TENSOR_PERS, "it is about weights", ABOUT_TENSORS, true, true},
    [HYPER_LR] = {TENSOR_PERS, "it is about weights", ABOUT_TENSORS, true, true},
    [HYPER_MOMENTUM] = {TENSOR_PERS, "it is about weights", ABOUT_TENSORS, true, true},
    [HYPER_BETA1] = {TENSOR_PERS, "it is about weights", ABOUT_TENSORS, true, false},
    [HYPER_BETA2] = {TENSOR_PERS, "it is about weights", ABOUT_TENSORS, true, false},
    [HYPER_EPS] = {TENSOR_PERS, "it is about weights", ABOUT_TENSORS, true, true},
    [HYPER_INIT_SCALE] = {TENSOR_PERS, "it is about weights", ABOUT_TENSORS, false, false},
    [HYPER_LABEL_SMOOTHING] = {BIT(PER_GLOBAL), "it is one number for the loss", ABOUT_DATA, true,
                               true},
    [HYPER_GCE_Q] = {BIT(PER_GLOBAL), "it is one number for the loss", ABOUT_DATA, true, true},
    [HYPER_LABEL_FLIP] = {BIT(PER_GLOBAL) | BIT(PER_CLASS) | BIT(PER_CLASS_PAIR),
                          "it is about classes", ABOUT_DATA, true, true},
    [HYPER_DISTILL_WEIGHT] = {BIT(PER_GLOBAL) | BIT(PER_EXAMPLE) | BIT(PER_CLASS),
                              "it is about examples", ABOUT_DATA, true, false},
    [HYPER_DISTILL_TEMPERATURE] = {BIT(PER_GLOBAL), "it is one number for the loss", ABOUT_DATA,
                                   true, false},
    [HYPER_DROPOUT] = {BIT(PER_GLOBAL) | BIT(PER_LAYER), "it is about dropout layers", ABOUT_LAYERS,
                       true, false},
    [HYPER_AUXILIARY] = {BIT(PER_GLOBAL) | BIT(PER_LAYER), "it is about auxiliary heads",
                         ABOUT_LAYERS, true, false},
    [HYPER_BRIGHTNESS] = {BIT(PER_GLOBAL), "it is one strength for all inputs", ABOUT_DATA, true,
                          true},
    [HYPER_CONTRAST] = {BIT(PER_GLOBAL), "it is one strength for all inputs", ABOUT_DATA, true,
                        true},
    [HYPER_ERASING] = {BIT(PER_GLOBAL), "it is one strength for all inputs", ABOUT_DATA, true,
                       true},
    [HYPER_NOISE] = {BIT(PER_GLOBAL), "it is one strength for all inputs", ABOUT_DATA, true, true},
    [HYPER_MIXUP] = {BIT(PER_GLOBAL), "it is one strength for all inputs", ABOUT_DATA, true, true},
    [HYPER_INPUT_SCALE] = {BIT(PER_GLOBAL) | BIT(PER_UNIT_IN),
                           "it is about the columns of the input", ABOUT_DATA, false, false},
    [HYPER_EXAMPLE_WEIGHT] = {BIT(PER_GLOBAL) | BIT(PER_EXAMPLE) | BIT(PER_CLASS),
                              "it is about examples", ABOUT_DATA, true, false},
    [HYPER_LOSS_WEIGHT] = {BIT(PER_GLOBAL) | BIT(PER_CLASS), "it is about the loss", ABOUT_DATA,
                           true, false},
    [HYPER_REGRESS] = {BIT(PER_GLOBAL) | BIT(PER_LAYER) | BIT(PER_TENSOR), "it is about layers",
                       ABOUT_TENSORS, true, true},
    [HYPER_CLIP] = {BIT(PER_GLOBAL), "it is one number for all gradients", ABOUT_DATA, true, true},
    [HYPER_LR_PEAK] = {BIT(PER_GLOBAL), "there is one schedule", ABOUT_DATA, false, false},
    [HYPER_LR_FINAL] = {BIT(PER_GLOBAL), "there is one schedule", ABOUT_DATA, false, false},
    [HYPER_LR_GAMMA] = {BIT(PER_GLOBAL), "there is one schedule", ABOUT_DATA, false, false},
};

bool hyper_is_about_tensors(hyper_kind k)
{
    return kinds[k].about == ABOUT_TENSORS;
}

bool hyper_is_about_layers(hyper_kind k)
{
    return kinds[k].about == ABOUT_LAYERS;
}

bool hyper_is_about_schedule(hyper_kind k)
{
    return k == HYPER_LR_PEAK || k == HYPER_LR_FINAL || k == HYPER_LR_GAMMA;
}

/* Whether one of the globs in `list`, which commas separate, fits `name`. */
static bool matches(const char *list, const char *name)
{
    char glob[1024];

    for (const char *at = list;; at++) {
        const size_t n = strcspn(at, ",");
        if (n < sizeof glob) {
            memcpy(glob, at, n), glob[n] = '\0';
            if (fnmatch(glob, name, 0) == 0) return true;
        }
        at += n;
        if (*at == '\0') return false;
    }
}

bool space_reaches(const hyper_decl *d, const param *p)
{
    bool weights_only = d->kind == HYPER_L2 || d->kind == HYPER_L1 ||
                        d->kind == HYPER_WEIGHT_DECAY || d->kind == HYPER_REGRESS;

    if (p->role == PARAM_STAT) return false;
    if (d->match) return matches(d->match, p->name);
    return !weights_only || p->role == PARAM_WEIGHT;
}

bool space_reaches_site(const hyper_decl *d, const param_site *site)
{
    return site->kind == d->kind && (!d->match || matches(d->match, site->name));
}

drmad_status space_check_facts(drmad_ctx *ctx, const space_facts *f)
{
    if (f->steps < 1 || f->steps > STEPS_MAX)
        return FAIL(ctx, DRMAD_E_CONFIG, "hyper: %lld training steps; 1 to %d is possible",
                    (long long)f->steps, STEPS_MAX);
    if (f->examples < 0 || f->classes < 0 || f->inputs < 0 || f->meta_step < 0)
        return FAIL(ctx, DRMAD_E_INTERNAL, "hyper: a negative count among the facts");
    return DRMAD_OK;
}

/* `who` starts every message: "hyper.2 (lr)". */
static drmad_status check_bounds(drmad_ctx *ctx, const hyper_decl *d, const char *who)
{
    hyper_bounds b = {d->kind, d->transform, d->low, d->high, d->start, d->multiplier};
    char why[256];

    if (hyper_check_bounds(&b, why, sizeof why))
        return FAIL(ctx, DRMAD_E_CONFIG, "%s: %s", who, why);
    return DRMAD_OK;
}

static drmad_status check_time(drmad_ctx *ctx, const space_facts *f, const hyper_decl *d,
                               const char *who)
{
    if (d->phases < 0)
        return FAIL(ctx, DRMAD_E_CONFIG, "%s: %lld phases; 1 or more, or every-step", who,
                    (long long)d->phases);
    if (d->phases > f->steps)
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "%s: %lld phases for %lld training steps; a phase needs a "
                    "step at least",
                    who, (long long)d->phases, (long long)f->steps);
    if (d->phases != 1 && hyper_is_about_schedule(d->kind))
        return FAIL(ctx, DRMAD_E_CONFIG, "%s: the schedule has no phases; use phases: constant",
                    who);
    if (d->phases != 1 && d->kind == HYPER_INIT_SCALE)
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "%s: the start of training has no phases; use phases: "
                    "constant",
                    who);
    if (d->phases != 1 && !kinds[d->kind].in_time)
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "%s: the evaluation uses it too and has no steps; use "
                    "phases: constant",
                    who);
    return DRMAD_OK;
}

static drmad_status check_per(drmad_ctx *ctx, const space_facts *f, const hyper_decl *d,
                              hyper_per per, const char *who)
{
    const bool classes = per == PER_CLASS || per == PER_CLASS_PAIR;
    int64_t count = per == PER_EXAMPLE ? f->examples : classes ? f->classes : 1;

    if (d->kind == HYPER_INPUT_SCALE && per == PER_UNIT_IN) count = f->inputs;
    if (!(kinds[d->kind].pers & BIT(per)))
        return FAIL(ctx, DRMAD_E_CONFIG, "%s: no value per %s: %s", who, hyper_per_word(per),
                    kinds[d->kind].why_per);
    if (count < 1)
        return FAIL(ctx, DRMAD_E_CONFIG, "%s: no value per %s: the task has none", who,
                    hyper_per_word(per));
    return DRMAD_OK;
}

/* A finer granularity splits every group of the coarser one. */
static bool refines(hyper_per coarse, hyper_per fine)
{
    static const int level[HYPER_PER_COUNT] = {
        [PER_GLOBAL] = 0,  [PER_LAYER] = 1,    [PER_TENSOR] = 2,
        [PER_UNIT_IN] = 3, [PER_UNIT_OUT] = 3, [PER_WEIGHT] = 4,
        [PER_EXAMPLE] = 3, [PER_CLASS] = 3,    [PER_CLASS_PAIR] = 4};

    return level[coarse] < level[fine];
}

static drmad_status check_ties(drmad_ctx *ctx, const space_facts *f, const hyper_decl *d,
                               const char *who)
{
    drmad_status st = DRMAD_OK;
    int64_t last = 0;

    for (int32_t i = 0; i < d->n_ties; i++) {
        const hyper_tie *tie = &d->ties[i];
        hyper_per next = i + 1 < d->n_ties ? d->ties[i + 1].per : d->per;

        TRY(check_per(ctx, f, d, tie->per, who));
        if (tie->until <= last)
            return FAIL(ctx, DRMAD_E_CONFIG,
                        "%s: ties.%d ends at meta-step %lld; it must end after "
                        "%lld",
                        who, (int)i, (long long)tie->until, (long long)last);
        if (!refines(tie->per, next))
            return FAIL(ctx, DRMAD_E_CONFIG,
                        "%s: ties.%d is loosened from %s to %s; ties go global "
                        "-> layer -> tensor -> unit -> weight",
                        who, (int)i, hyper_per_word(tie->per), hyper_per_word(next));
        last = tie->until;
    }
done:
    return st;
}

drmad_status space_check_decl(drmad_ctx *ctx, const space_facts *f, const hyper_decl *decl,
                              int32_t d)
{
    drmad_status st = DRMAD_OK;
    char who[64];

    snprintf(who, sizeof who, "hyper.%d (%s)", (int)d, hyper_kind_of(decl->kind)->word);
    if (decl->match && kinds[decl->kind].about == ABOUT_DATA)
        return FAIL(ctx, DRMAD_E_CONFIG, "%s: match \"%s\" cannot be used: it is not about tensors",
                    who, decl->match);
    if (decl->multiplier && !kinds[decl->kind].has_base)
        return FAIL(ctx, DRMAD_E_CONFIG, "%s: has no base value that a multiplier could multiply",
                    who);
    TRY(check_per(ctx, f, decl, decl->per, who));
    TRY(check_ties(ctx, f, decl, who));
    TRY(check_time(ctx, f, decl, who));
    TRY(check_bounds(ctx, decl, who));
done:
    return st;
}

drmad_status space_check_trajectory(const space *s, const char *kind, bool exact)
{
    const char *noisy = NULL; /* the first of `count` slices */
    int32_t count = 0;

    for (int32_t i = 0; i < s->n_slices && !exact; i++) {
        const hyper_slice *sl = &s->slices[i];

        if (sl->kind == HYPER_BETA1 || sl->kind == HYPER_BETA2)
            return FAIL(s->ctx, DRMAD_E_CONFIG,
                        "%s: needs the optimiser's averages, which trajectory: %s keeps in part "
                        "only; use trajectory: full or replay",
                        sl->name, kind);
        if (sl->phases < s->facts.steps || sl->phases == 1) continue; /* changes at every step */
        if (sl->kind == HYPER_MOMENTUM)
            return FAIL(s->ctx, DRMAD_E_CONFIG,
                        "%s: momentum at every step needs the momentum "
                        "buffer, which trajectory: %s does not keep; use phases, or trajectory: "
                        "full or replay",
                        sl->name, kind);
        if (sl->kind == HYPER_LR && count++ == 0) noisy = sl->name;
    }
    if (count == 0) return DRMAD_OK;
    char more[32] = "";

    if (count > 1) snprintf(more, sizeof more, " and %d more", (int)count - 1);
    base_log(s->ctx, LOG_WARN,
             "%s%s: learning rates at every step are noisy on trajectory: %s; phases are not",
             noisy, more, kind);
    return DRMAD_OK;
}
