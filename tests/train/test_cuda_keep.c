/* Activations that wait in bf16 on a GPU: gradients of the CPU's, in less memory. */
#include "gpu_driver.h"
#include "preset_fixture.h"

enum { LEAST = 1 << 10 }; /* bytes of what is kept in bf16: nets here are small */

static backend *open_backend(drmad_ctx *ctx)
{
    backend *on = NULL;

    CHECK_OK(ctx, cuda_backend_new(ctx, gpu_test_driver(), 0, &on));
    return on;
}

static scene *open_half(const nn_preset *p, int64_t batch, size_t least)
{
    scene *e = scene_open(p, F32, true, batch);

    CHECK_OK(e->ctx, scene_keep_bf16(e, least));
    return e;
}

/* |a - b| / |b| over all gradients. */
static double apart(const scene *e, void *const *a, void *const *b)
{
    double off = 0, size = 0;

    for (int i = 1; i <= scene_gradients(e); i++)
        for (int64_t k = 0; k < shape_count(graph_shape(e->g, e->out[i])); k++) {
            const double x = (double)((const float *)a[i])[k], y = (double)((const float *)b[i])[k];
            off += (x - y) * (x - y), size += y * y;
        }
    return sqrt(off / size);
}

/* Where the GPU's and the CPU's f32 lie on either side of a bf16's border the two keep neighbours:
 * of few values in a hundred thousand, each off by 2^-8. So they are far nearer to each other than
 * either is to f32. */
static void check(const char *name, const nn_preset *p, int64_t batch)
{
    scene *half = open_half(p, batch, LEAST), *whole = scene_open(p, F32, true, batch);
    void **there = scene_outputs(half), **here = scene_outputs(half), **full = scene_outputs(half);
    backend *on = open_backend(half->ctx);

    CHECK_OK(half->ctx, scene_run_on(half, on, on->target, there));
    CHECK_OK(half->ctx, scene_run(half, backend_cpu.target, here));
    CHECK_OK(half->ctx, scene_run(whole, backend_cpu.target, full));
    const double between = apart(half, there, here), rounding = apart(half, here, full);
    if (!(rounding > 0x1p-13 && between < rounding / 16))
        test_fail(__FILE__, __LINE__, "%s: %g from the CPU's, which are %g from f32's", name,
                  between, rounding);
    const float *a = there[0], *b = here[0];
    CHECK_NEAR((double)a[0], (double)b[0], 1e-5 * fabs((double)b[0]));
    cuda_backend_free(on);
    scene_outputs_free(half, there);
    scene_outputs_free(half, here);
    scene_outputs_free(half, full);
    scene_close(half);
    scene_close(whole);
}

TEST(bf16_kept_on_cuda_gives_the_gradients_of_the_cpu)
{
    check("lenet5",
          &(nn_preset){
              .kind = NN_LENET5, .input = SHAPE(28, 28, 1), .classes = CLASSES, .dropout = 0.3},
          3);
    check("resnet8", &(nn_preset){.kind = NN_RESNET8, .input = SHAPE(9, 9, 3), .classes = CLASSES},
          5);
    check("vit-tiny",
          &(nn_preset){.kind = NN_VIT_TINY,
                       .input = SHAPE(8, 8, 3),
                       .classes = CLASSES,
                       .depth = 2,
                       .patch = 4,
                       .dropout = 0.2},
          3);
}

TEST(bf16_kept_on_cuda_takes_less_memory)
{
    const nn_preset p = {.kind = NN_RESNET8, .input = SHAPE(32, 32, 3), .classes = CLASSES};
    drmad_ctx *ctx = test_ctx();
    backend *on = open_backend(ctx);
    scene *half = open_half(&p, 128, 1 << 16), *whole = scene_open(&p, F32, true, 128);
    const double share = (double)scene_bytes(half, on) / (double)scene_bytes(whole, on);

    CHECK(share < 0.7);
    scene_close(half);
    scene_close(whole);
    cuda_backend_free(on);
}
