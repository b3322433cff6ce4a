/* Presets through the engine: loss, gradient, Hessian-vector product and next running statistics in
 * training, and gradient in evaluation, planned, fused and run, against the naive evaluator on the
 * same graph; and in F32, as they are trained, against F64. That the graph is right is the business
 * of tests/nn and tests/torch. */
#include "eval.h"
#include "preset_fixture.h"

enum { BATCH = 3 };

static void check(scene *e, const char *name, bool train)
{
    plan_target unfused = *backend_cpu.target;
    double **want = calloc((size_t)e->outs, sizeof *want);
    void **y = scene_outputs(e);

    unfused.fuse = false;
    for (int i = 0; i < e->outs; i++) {
        const size_t n = (size_t)shape_count(graph_shape(e->g, e->out[i]));
        want[i] = calloc(n, sizeof **want);
    }
    eval(e->g, (const void *const *)e->data, e->outs, e->out, want);
    for (int fuse = 0; fuse < 2; fuse++) {
        CHECK_OK(e->ctx, scene_run(e, fuse ? backend_cpu.target : &unfused, y));
        for (int i = 0; i < e->outs; i++) {
            double most = 1e-3, apart = 0;
            for (int64_t k = 0; k < shape_count(graph_shape(e->g, e->out[i])); k++) {
                apart = fmax(apart, fabs(dtype_get(F64, y[i], k) - want[i][k]));
                most = fmax(most, fabs(want[i][k]));
            }
            if (!(apart <= 1e-9 * most)) /* thousands of roundings of 1e-16, through 100 layers */
                test_fail(__FILE__, __LINE__, "%s, %s, %s: output %d of %d is off by %g of %g",
                          name, train ? "training" : "evaluation", fuse ? "fused" : "not fused", i,
                          e->outs, apart, most);
        }
    }
    for (int i = 0; i < e->outs; i++) free(want[i]);
    free(want);
    scene_outputs_free(e, y);
}

TEST(every_preset_runs_as_the_naive_evaluator_says)
{
    const shape image = SHAPE(8, 8, 3);
    const nn_preset all[] = {
        {.kind = NN_LENET5, .input = SHAPE(16, 16, 1), .width = 3, .dropout = 0.3},
        {.kind = NN_RESNET8, .input = image, .width = 2},
        {.kind = NN_RESNET20, .input = image, .width = 2},
        {.kind = NN_RESNET18, .input = image, .width = 2, .small_stem = true},
        {.kind = NN_RESNET18, .input = SHAPE(33, 33, 3), .width = 2},
        {.kind = NN_RESNET50, .input = image, .width = 1, .small_stem = true},
        {.kind = NN_WRN_16_1, .input = image, .width = 2},
        {.kind = NN_VIT_TINY, .input = image, .width = 6, .depth = 2, .patch = 4, .dropout = 0.2},
        {.kind = NN_GPT_NANO, .input = SHAPE(5), .width = 6, .depth = 2, .dropout = 0.2},
    };

    for (size_t i = 0; i < COUNT(all); i++) {
        nn_preset p = all[i];
        char name[32];
        p.classes = CLASSES;
        snprintf(name, sizeof name, "preset %d", (int)p.kind);
        for (int train = 0; train < 2; train++) {
            scene *e = scene_open_products(&p, F64, train, BATCH);
            check(e, name, train);
            scene_close(e);
        }
    }
}

/* ---- single precision ---- */

/* |a - b|/|b| of output i, over all its elements. */
static double distance(const scene *e, int i, const void *a, const void *b)
{
    double apart = 0, size = 0;

    for (int64_t k = 0; k < shape_count(graph_shape(e->g, e->out[i])); k++) {
        apart += pow(dtype_get(F32, a, k) - dtype_get(F64, b, k), 2);
        size += pow(dtype_get(F64, b, k), 2);
    }
    return size > 0 ? sqrt(apart / size) : sqrt(apart);
}

static void check_single(const char *name, const nn_preset *p)
{
    scene *single = scene_open_products(p, F32, true, BATCH),
          *both = scene_open_products(p, F64, true, BATCH);
    void **y = scene_outputs(single), **want = scene_outputs(both);
    double worst = 0;

    CHECK_OK(single->ctx, scene_run(single, backend_cpu.target, y));
    CHECK_OK(both->ctx, scene_run(both, backend_cpu.target, want));
    CHECK_INT(single->outs, both->outs);
    for (int i = 0; i < single->outs; i++) {
        const double d = distance(both, i, y[i], want[i]);
        if (!(d <= 1e-4))
            test_fail(__FILE__, __LINE__, "%s: output %d of %d is off by %g", name, i, single->outs,
                      d);
        worst = fmax(worst, d);
    }
    CHECK(worst > 1e-9); /* of F32, not of F64 */
    scene_outputs_free(single, y);
    scene_outputs_free(both, want);
    scene_close(single);
    scene_close(both);
}

/* At the width that is trained, so with the kernels and tiles of training. Some hundred roundings
 * of 6e-8 one after the other; a mask of ReLU that flips in between is one of thousands. */
TEST(presets_in_single_are_those_in_double)
{
    check_single("lenet5", &(nn_preset){.kind = NN_LENET5,
                                        .input = SHAPE(28, 28, 1),
                                        .classes = CLASSES,
                                        .dropout = 0.3});
    check_single("resnet8",
                 &(nn_preset){.kind = NN_RESNET8, .input = SHAPE(16, 16, 3), .classes = CLASSES});
    check_single("vit-tiny", &(nn_preset){.kind = NN_VIT_TINY,
                                          .input = SHAPE(16, 16, 3),
                                          .classes = CLASSES,
                                          .depth = 2,
                                          .patch = 4,
                                          .dropout = 0.2});
    check_single(
        "gpt-nano",
        &(nn_preset){.kind = NN_GPT_NANO, .input = SHAPE(24), .classes = CLASSES, .dropout = 0.2});
}
