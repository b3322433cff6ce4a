/* The list of layers: shapes, names as PyTorch has them, and refusals that name the layer. */
#include "nn/nn.h"
#include "test.h"

typedef struct refusal {
    shape input;
    nn_layer layer[3]; /* those before the first without a name are fine but the last */
    const char *text;
} refusal;

TEST(layers_that_do_not_fit_are_refused_by_name)
{
    const refusal cases[] = {
        {SHAPE(4, 4, 3),
         {{.kind = NN_LINEAR, .name = "fc", .out = 2}},
         "layer fc (linear): reads [4,4,3], expected [features]"},
        {SHAPE(5), {{.kind = NN_LINEAR, .name = "fc"}}, "layer fc (linear): needs `out`"},
        {SHAPE(5),
         {{.kind = NN_CONV, .name = "c", .out = 2, .window = {.kernel = {3, 3}}}},
         "layer c (conv): reads [5], expected images [h, w, c]"},
        {SHAPE(2, 2, 1),
         {{.kind = NN_CONV, .name = "c", .out = 2, .window = {.kernel = {3, 3}}}},
         "a window of 3 with padding 0 and dilation 1 does not fit into [2,2,1]"},
        {SHAPE(2, 2, 1), {{.kind = NN_CONV, .name = "c", .out = 2}}, "needs `kernel`"},
        {SHAPE(4, 4, 3),
         {{.kind = NN_CONV, .name = "c", .out = 4, .window = {.kernel = {3, 3}, .groups = 2}}},
         "2 groups divide 3 and 4 channels unevenly"},
        {SHAPE(4, 4, 3),
         {{.kind = NN_MAX_POOL, .name = "p", .window = {.kernel = {2, 2}, .pad = {2, 2}}}},
         "padding 2 is more than half of the window"},
        {SHAPE(4, 4, 3), {{.kind = NN_GROUP_NORM, .name = "g", .groups = 2}}, "2 groups divide 3"},
        {SHAPE(4),
         {{.kind = NN_TANH, .name = "a"},
          {.kind = NN_LINEAR, .name = "b", .out = 3},
          {.kind = NN_ADD, .name = "sum", .from = {0, 1}, .inputs = 2}},
         "layer sum (add): adds [4] and [3]"},
        {SHAPE(4), {{.kind = NN_ADD, .name = "sum"}}, "reads 1 layers, expected at least 2"},
        {SHAPE(4),
         {{.kind = NN_TANH, .name = "a", .from = {1}, .inputs = 1}},
         "reads layer 1, which is not before it"},
        {SHAPE(4),
         {{.kind = NN_TANH, .name = "a"}, {.kind = NN_RELU, .name = "a"}},
         "another layer has this name"},
        {SHAPE(4, 10),
         {{.kind = NN_ATTENTION, .name = "attn", .heads = 2}},
         "10 columns are not queries, keys and values of 2 heads"},
        {SHAPE(4), {{.kind = NN_DROPOUT, .name = "d", .rate = 1}}, "rate 1, expected 0 up to 1"},
        {SHAPE(4, 4, 3), {{.kind = NN_NORMALIZE, .name = "n"}}, "needs a mean and a std a channel"},
        {SHAPE(4), {{.kind = NN_LINEAR, .name = "x", .out = 1 << 25}}, "size 33554432"},
        {SHAPE(4),
         {{.kind = NN_LINEAR, .name = "x", .out = 3, .tied = 1}},
         "is tied to no embedding"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        nn_spec *s = NULL;
        int n = 0;

        CHECK_OK(test_ctx(), nn_new(test_ctx(), cases[i].input, &s));
        while (n < 2 && cases[i].layer[n + 1].name[0])
            CHECK_OK(test_ctx(), nn_add(s, &cases[i].layer[n++]));
        CHECK_FAILS(test_ctx(), nn_add(s, &cases[i].layer[n]), DRMAD_E_CONFIG, cases[i].text);
        CHECK_INT(s->n, n);
        nn_free(s);
    }
}

TEST(auxiliary_heads_stand_beside_the_output)
{
    const nn_preset lenet = {.kind = NN_LENET5, .input = SHAPE(28, 28, 1), .classes = 10};
    drmad_ctx *ctx = test_ctx();
    param_table *p = NULL;
    nn_spec *s = NULL;

    CHECK_OK(ctx, nn_from_preset(ctx, &lenet, &s));
    const int32_t output = s->output, n = s->n;
    const int64_t macs = nn_macs(s);
    CHECK_OK(ctx, nn_add_head(s, "relu2", "a", 0.3));
    CHECK_OK(ctx, nn_add_head(s, "fc1", "b", 0.2));
    CHECK_INT(s->n, n + 3); /* of the vector no pool */
    CHECK_INT(s->output, output);
    CHECK_INT(nn_macs(s), macs); /* an evaluation has none of it */
    CHECK_INT(s->at[nn_find(s, "a.pool")].kind, NN_GLOBAL_AVG_POOL);
    CHECK(shape_same(nn_shape(s, nn_find(s, "b")), &SHAPE(10)));
    CHECK_OK(ctx, params_new(ctx, &p));
    CHECK_OK(ctx, nn_params(s, p));
    CHECK_STR(p->at[p->n - 2].name, "b.weight");
    CHECK_INT(p->at[p->n - 2].shape.dim[1], 120);
    CHECK_INT(p->sites, 2);
    CHECK_STR(p->site[1].name, "b");
    CHECK(p->site[1].kind == HYPER_AUXILIARY);
    CHECK_FAILS(ctx, nn_add_head(s, "relu9", "c", 1), DRMAD_E_CONFIG, "is called \"relu9\"");
    CHECK_FAILS(ctx, nn_add_head(s, "a", "c", 1), DRMAD_E_CONFIG, "no layer of the net");
    CHECK_FAILS(ctx, nn_add_head(s, "relu1", "fc3", 1), DRMAD_E_CONFIG, "another layer has this");
    params_free(p);
    nn_free(s);
}

TEST(perceptrons_that_cannot_be_are_refused)
{
    nn_spec *s = NULL;

    CHECK_FAILS(test_ctx(), nn_mlp(test_ctx(), (const int64_t[]){5}, 0, NN_TANH, &s),
                DRMAD_E_CONFIG, "model.layers");
    CHECK_FAILS(test_ctx(), nn_mlp(test_ctx(), (const int64_t[]){5, 0}, 1, NN_TANH, &s),
                DRMAD_E_CONFIG, "layer layers.0 (linear): needs `out`");
    CHECK_FAILS(test_ctx(), nn_mlp(test_ctx(), (const int64_t[]){0, 5}, 1, NN_TANH, &s),
                DRMAD_E_CONFIG, "input of size 0");
    CHECK(s == NULL);
}

TEST(defaults_are_pytorchs_and_names_are_numbers)
{
    const nn_layer halve = {.kind = NN_AVG_POOL, .window = {.kernel = {2, 2}}};
    const nn_layer norm = {.kind = NN_BATCH_NORM};
    nn_spec *s = NULL;

    CHECK_OK(test_ctx(), nn_new(test_ctx(), SHAPE(7, 6, 3), &s));
    CHECK_OK(test_ctx(), nn_add(s, &halve));
    CHECK_OK(test_ctx(), nn_add(s, &norm));
    CHECK(shape_same(nn_shape(s, 0), &SHAPE(3, 3, 3)));
    CHECK_STR(s->at[1].name, "1");
    CHECK_INT(s->at[1].from[0], 0);
    CHECK(s->at[1].eps == 1e-5 && s->at[1].momentum == 0.1);
    CHECK_INT(nn_find(s, "1"), 1);
    CHECK_INT(nn_find(s, "input"), NN_INPUT);
    nn_free(s);
}

/* torchvision's resnet18() has 11,689,512 weights, resnet34() 21,797,672, resnet50() 25,557,032. */
TEST(resnets_have_torchvisions_names_and_counts)
{
    const struct {
        cfg_preset kind;
        int64_t weights;
        int32_t tensors; /* running statistics included */
    } cases[] = {
        {NN_RESNET18, 11689512, 102}, {NN_RESNET34, 21797672, 182}, {NN_RESNET50, 25557032, 267}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        const nn_preset preset = {
            .kind = cases[i].kind, .input = SHAPE(224, 224, 3), .classes = 1000};
        nn_spec *s = NULL;
        param_table *p = NULL;
        int found = 0;

        CHECK_OK(test_ctx(), nn_from_preset(test_ctx(), &preset, &s));
        CHECK_OK(test_ctx(), params_new(test_ctx(), &p));
        CHECK_OK(test_ctx(), nn_params(s, p));
        CHECK_INT(p->weights, cases[i].weights);
        CHECK_INT(p->n, cases[i].tensors);
        CHECK_STR(p->at[0].name, "conv1.weight");
        CHECK_STR(p->at[p->n - 1].name, "fc.bias");
        for (int32_t k = 0; k < p->n; k++) {
            const param *q = &p->at[k];
            found += strcmp(q->name, "layer2.0.downsample.0.weight") == 0;
            found += strcmp(q->name, "layer4.1.bn2.running_var") == 0 && q->role == PARAM_STAT;
        }
        CHECK_INT(found, 2);
        params_free(p);
        nn_free(s);
    }
}

static int32_t layers_of(const nn_spec *s, nn_kind kind)
{
    int32_t n = 0;

    for (int32_t i = 0; i < s->n; i++) n += s->at[i].kind == kind;
    return n;
}

TEST(another_activation_takes_the_place_of_relu_in_presets)
{
    const cfg_preset kinds[] = {NN_LENET5, NN_RESNET8, NN_WRN_16_1};
    const int32_t times[] = {4, 7, 13};

    for (size_t i = 0; i < COUNT(kinds); i++) {
        nn_preset p = {.kind = kinds[i], .input = SHAPE(32, 32, 3), .classes = 10};
        nn_spec *own = NULL, *other = NULL;

        CHECK_OK(test_ctx(), nn_from_preset(test_ctx(), &p, &own));
        p.activation = NN_SILU;
        CHECK_OK(test_ctx(), nn_from_preset(test_ctx(), &p, &other));
        CHECK_INT(layers_of(own, NN_RELU), times[i]);
        CHECK_INT(layers_of(own, NN_SILU), 0);
        CHECK_INT(layers_of(other, NN_SILU), times[i]);
        CHECK_INT(layers_of(other, NN_RELU), 0);
        nn_free(own);
        nn_free(other);
    }
}

/* He et al., Table 1: 1.8e9 for an image of 224 x 224. */
TEST(multiply_adds_are_those_of_the_paper)
{
    const nn_preset preset = {.kind = NN_RESNET18, .input = SHAPE(224, 224, 3), .classes = 1000};
    nn_spec *s = NULL;

    CHECK_OK(test_ctx(), nn_from_preset(test_ctx(), &preset, &s));
    CHECK_NEAR((double)nn_macs(s), 1.82e9, 0.02e9);
    nn_free(s);
}

static drmad_status make_net(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    nn_spec *s = NULL;
    param_table *p = NULL;

    TRY(nn_from_preset(ctx, arg, &s));
    TRY(params_new(ctx, &p));
    TRY(nn_params(s, p));
done:
    params_free(p);
    nn_free(s);
    return st;
}

TEST(running_out_of_memory_leaves_nothing)
{
    nn_preset p = {.kind = NN_LENET5, .input = SHAPE(28, 28, 1), .classes = 10};

    test_oom(make_net, &p);
}
