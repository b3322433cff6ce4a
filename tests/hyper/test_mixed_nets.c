/* Presets on a device whose memory C cannot touch: the CPU's weights and hypergradients, to the
 * bit. */
#include "mixed_device.h"
#include "net_scene.h"

/* The trained weights and the hypergradient. */
static void compare(const net_case *c, scene *here, scene *there)
{
    const char *type = dtype_name(here->spec.dtype);
    const size_t bytes = (size_t)here->params->total * dtype_size(here->spec.dtype);
    walk_report r, q;
    const void *w, *v;

    CHECK_OK(here->ctx, walker_gradient(here->w, here->values, 9, &here->valid, &r, here->grad));
    CHECK_OK(here->ctx,
             walker_gradient(there->w, there->values, 9, &there->valid, &q, there->grad));
    CHECK_OK(here->ctx, trainer_read_weights(here->t, &w));
    CHECK_OK(here->ctx, trainer_read_weights(there->t, &v));
    if (memcmp(w, v, bytes) != 0)
        test_fail(__FILE__, __LINE__, "%s, %s: other weights", c->name, type);
    for (int64_t i = 0; i < here->s->total; i++)
        if (here->grad[i] != there->grad[i]) {
            test_fail(__FILE__, __LINE__, "%s, %s: [%lld] %.17g, expected %.17g", c->name, type,
                      (long long)i, there->grad[i], here->grad[i]);
            break;
        }
    CHECK(q.value.loss == r.value.loss && q.value.error == r.value.error);
}

static void check_net(const net_case *c, dtype type)
{
    mixed_device *d = malloc(sizeof *d);
    scene here, there;

    mixed_open(d);
    const drmad_status st = scene_open(&here, c, type, NULL);
    CHECK_OK(test_ctx(), st);
    const drmad_status at = scene_open(&there, c, type, &d->on);
    CHECK_OK(test_ctx(), at);
    if (st == DRMAD_OK && at == DRMAD_OK) compare(c, &here, &there);
    scene_close(&here);
    scene_close(&there);
    mixed_close(d);
    free(d);
}

TEST(mixed_nets_are_as_on_the_cpu)
{
    const walk_spec full = {.trajectory = TRAJ_FULL, .stride = 1};
    const walk_spec replay = {.trajectory = TRAJ_REPLAY, .stride = 1};
    const int64_t some = test_count(6, 100);
    const net_case cases[] = {
        {.name = "lenet5",
         .preset =
             {.kind = NN_LENET5, .input = SHAPE(28, 28, 1), .classes = NET_CLASSES, .dropout = 0.3},
         .walk = replay,
         .steps = some},
        {.name = "resnet8",
         .preset =
             {.kind = NN_RESNET8, .input = SHAPE(8, 8, 3), .classes = NET_CLASSES, .width = 4},
         .walk = replay,
         .steps = some},
        {.name = "vit-tiny",
         .preset = {.kind = NN_VIT_TINY,
                    .input = SHAPE(8, 8, 3),
                    .classes = NET_CLASSES,
                    .width = 16,
                    .heads = 2,
                    .depth = 2,
                    .patch = 4,
                    .dropout = 0.2},
         .walk = full,
         .steps = some},
        {.name = "gpt-nano",
         .preset = {.kind = NN_GPT_NANO,
                    .input = SHAPE(8),
                    .classes = NET_CLASSES,
                    .width = 16,
                    .heads = 2,
                    .depth = 2,
                    .dropout = 0.2},
         .walk = full,
         .steps = some},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        check_net(&cases[i], F32);
        if (!test_sanitized()) check_net(&cases[i], F64);
    }
}
