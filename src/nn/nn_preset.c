/* Nets that are known by a name, with the names and the initial draws of the code that people have
 * them from:
 *   lenet5      LeCun et al., 1998, as it is written today: ReLU and max pooling
 *   resnet18, 34, 50    He et al., CVPR 2016; names of torchvision.models.resnet
 *   resnet8, 20         the same paper's nets for CIFAR, with 1x1 convolutions as short cuts
 *   wrn-16-1    Zagoruyko and Komodakis, BMVC 2016; names of the authors' PyTorch port by xternalz
 *   vit-tiny    Dosovitskiy et al., ICLR 2021; names of timm's VisionTransformer
 *   gpt-nano    names of Karpathy's nanoGPT, sizes of minGPT's gpt-nano */
#include "nn/nn_inside.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* A net under construction; the first failure sticks. */
typedef struct maker {
    nn_spec *s;
    nn_kind activation; /* in place of ReLU */
    drmad_status st;
} maker;

/* Adds the record under a name in printf form; gives its number. */
__attribute__((format(printf, 3, 4))) static int32_t put(maker *m, nn_layer l, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(l.name, sizeof l.name, fmt, ap);
    va_end(ap);
    if (l.kind == NN_RELU) l.kind = m->activation;
    if (m->st == DRMAD_OK) m->st = nn_add(m->s, &l);
    return m->s->n - 1;
}

static nn_layer from(nn_layer l, int32_t a)
{
    l.from[0] = a, l.inputs = 1;
    return l;
}

static nn_layer sum_of(int32_t a, int32_t b)
{
    return (nn_layer){.kind = NN_ADD, .from = {a, b}, .inputs = 2};
}

static nn_layer square(nn_kind kind, int64_t out, int32_t kernel, int32_t stride, int32_t pad)
{
    return (nn_layer){
        .kind = kind,
        .out = out,
        .window = {.kernel = {kernel, kernel}, .stride = {stride, stride}, .pad = {pad, pad}}};
}

/* Without bias, drawn as torchvision draws it: normal, sqrt(2 / (outputs times pixels)). */
static nn_layer conv(int64_t out, int32_t kernel, int32_t stride, int32_t pad)
{
    nn_layer l = square(NN_CONV, out, kernel, stride, pad);

    l.no_bias = true;
    l.std = sqrt(2.0 / ((double)out * kernel * kernel));
    return l;
}

static const nn_layer norm = {.kind = NN_BATCH_NORM}, relu = {.kind = NN_RELU};

static nn_layer linear(int64_t out)
{
    return (nn_layer){.kind = NN_LINEAR, .out = out};
}

/* ---- LeNet-5 ---- */

static void lenet5(maker *m, const nn_preset *p)
{
    const int64_t width = p->width ? p->width : 6;
    const nn_layer drop = {.kind = NN_DROPOUT, .rate = p->dropout};

    put(m, square(NN_CONV, width, 5, 1, p->input.dim[0] <= 28 ? 2 : 0), "conv1");
    put(m, relu, "relu1");
    put(m, square(NN_MAX_POOL, 0, 2, 2, 0), "pool1");
    put(m, square(NN_CONV, width * 16 / 6, 5, 1, 0), "conv2");
    put(m, relu, "relu2");
    put(m, square(NN_MAX_POOL, 0, 2, 2, 0), "pool2");
    put(m, (nn_layer){.kind = NN_FLATTEN}, "flatten");
    put(m, linear(width * 20), "fc1");
    put(m, relu, "relu3");
    if (p->dropout > 0) put(m, drop, "dropout1");
    put(m, linear(width * 14), "fc2");
    put(m, relu, "relu4");
    if (p->dropout > 0) put(m, drop, "dropout2");
    put(m, linear(p->classes), "fc3");
}

/* ---- residual nets ---- */

/* One block of a residual net: `out` channels, four times as many with a bottleneck. */
typedef struct residual {
    int stage, number;
    int64_t out;
    int32_t stride;
    bool bottleneck;
} residual;

static void residual_block(maker *m, const residual *b)
{
    const int32_t start = m->s->n - 1, wide = b->bottleneck ? 4 : 1;
    const int64_t out = b->out * wide, in = m->st == DRMAD_OK ? nn_output(m->s)->dim[2] : out;
    char name[32];
    int32_t short_cut = start;

    snprintf(name, sizeof name, "layer%d.%d", b->stage, b->number);
    put(m, b->bottleneck ? conv(b->out, 1, 1, 0) : conv(b->out, 3, b->stride, 1), "%s.conv1", name);
    put(m, norm, "%s.bn1", name);
    put(m, relu, "%s.relu1", name);
    put(m, conv(b->out, 3, b->bottleneck ? b->stride : 1, 1), "%s.conv2", name);
    int32_t end = put(m, norm, "%s.bn2", name);
    if (b->bottleneck) {
        put(m, relu, "%s.relu2", name);
        put(m, conv(out, 1, 1, 0), "%s.conv3", name);
        end = put(m, norm, "%s.bn3", name);
    }
    if (b->stride > 1 || in != out) {
        put(m, from(conv(out, 1, b->stride, 0), start), "%s.downsample.0", name);
        short_cut = put(m, norm, "%s.downsample.1", name);
    }
    put(m, sum_of(end, short_cut), "%s.add", name);
    put(m, relu, "%s.relu", name);
}

static void resnet_stem(maker *m, int64_t width, bool small)
{
    put(m, small ? conv(width, 3, 1, 1) : conv(width, 7, 2, 3), "conv1");
    put(m, norm, "bn1");
    put(m, relu, "relu");
    if (!small) put(m, square(NN_MAX_POOL, 0, 3, 2, 1), "maxpool");
}

/* stages: the number of blocks in each, ended by 0; each after the first halves the image and
 * doubles the channels. */
static void resnet(maker *m, const nn_preset *p, const int *stages, int64_t width)
{
    const bool imagenet = stages[3] > 0, bottleneck = p->kind == NN_RESNET50;

    width = p->width ? p->width : width;
    resnet_stem(m, width, !imagenet || p->small_stem);
    for (int s = 0; stages[s]; s++)
        for (int i = 0; i < stages[s]; i++)
            residual_block(m, &(residual){.stage = s + 1,
                                          .number = i,
                                          .out = width << s,
                                          .stride = s > 0 && i == 0 ? 2 : 1,
                                          .bottleneck = bottleneck});
    put(m, (nn_layer){.kind = NN_GLOBAL_AVG_POOL}, "avgpool");
    put(m, linear(p->classes), "fc");
}

/* Norm and ReLU before each convolution; where the channels change, the short cut starts behind
 * the first ReLU. */
static void wide_block(maker *m, int stage, int number, int64_t out)
{
    const int32_t start = m->s->n - 1, stride = stage > 1 && number == 0 ? 2 : 1;
    const bool same = m->st == DRMAD_OK && nn_output(m->s)->dim[2] == out;
    char name[32];

    snprintf(name, sizeof name, "block%d.layer.%d", stage, number);
    put(m, norm, "%s.bn1", name);
    const int32_t bent = put(m, relu, "%s.relu1", name);
    put(m, conv(out, 3, stride, 1), "%s.conv1", name);
    put(m, norm, "%s.bn2", name);
    put(m, relu, "%s.relu2", name);
    const int32_t end = put(m, conv(out, 3, 1, 1), "%s.conv2", name);
    const int32_t other =
        same ? start : put(m, from(conv(out, 1, stride, 0), bent), "%s.convShortcut", name);
    put(m, sum_of(other, end), "%s.add", name);
}

static void wide_resnet(maker *m, const nn_preset *p)
{
    const int64_t width = p->width ? p->width : 16;

    put(m, conv(16, 3, 1, 1), "conv1");
    for (int s = 0; s < 3; s++)
        for (int i = 0; i < 2; i++) wide_block(m, s + 1, i, width << s);
    put(m, norm, "bn1");
    put(m, relu, "relu");
    put(m, (nn_layer){.kind = NN_GLOBAL_AVG_POOL}, "avgpool");
    put(m, linear(p->classes), "fc");
}

/* ---- transformers ---- */

static nn_layer drawn(nn_layer l, double std)
{
    l.std = std;
    return l;
}

/* What the two transformers call their parts. */
typedef struct part_names {
    const char *block; /* with %d */
    const char *norm1, *qkv, *attention, *proj, *norm2, *fc1, *act, *fc2;
} part_names;

typedef struct transformer {
    part_names at;
    int64_t width, heads;
    bool causal;
    double eps, dropout, out_std; /* of the layers that end in a sum */
} transformer;

static void drop(maker *m, double rate, const char *at, const char *name)
{
    if (rate > 0) put(m, (nn_layer){.kind = NN_DROPOUT, .rate = rate}, "%s.%s.dropout", at, name);
}

/* x += proj(attention(norm x)); x += fc2(gelu(fc1(norm x))) */
static void transformer_block(maker *m, const transformer *t, int number)
{
    const part_names *n = &t->at;
    const nn_layer layer_norm = {.kind = NN_LAYER_NORM, .eps = t->eps};
    const nn_layer attention = {
        .kind = NN_ATTENTION, .heads = (int32_t)t->heads, .causal = t->causal};
    const int32_t start = m->s->n - 1;
    char block[48];

    snprintf(block, sizeof block, "%s%d", n->block, number);
    put(m, layer_norm, "%s.%s", block, n->norm1);
    put(m, drawn(linear(3 * t->width), 0.02), "%s.%s", block, n->qkv);
    put(m, attention, "%s.%s", block, n->attention);
    put(m, drawn(linear(t->width), t->out_std), "%s.%s", block, n->proj);
    drop(m, t->dropout, block, n->attention);
    const int32_t middle = put(m, sum_of(start, m->s->n - 1), "%s.add1", block);
    put(m, layer_norm, "%s.%s", block, n->norm2);
    put(m, drawn(linear(4 * t->width), 0.02), "%s.%s", block, n->fc1);
    put(m, (nn_layer){.kind = NN_GELU}, "%s.%s", block, n->act);
    put(m, drawn(linear(t->width), t->out_std), "%s.%s", block, n->fc2);
    drop(m, t->dropout, block, "mlp");
    put(m, sum_of(middle, m->s->n - 1), "%s.add2", block);
}

static void vit(maker *m, const nn_preset *p)
{
    const int32_t patch = (int32_t)(p->patch ? p->patch : p->input.dim[0] > 64 ? 16 : 4);
    const transformer t = {
        .at = {"blocks.", "norm1", "attn.qkv", "attn", "attn.proj", "norm2", "mlp.fc1", "mlp.act",
               "mlp.fc2"},
        .width = p->width ? p->width : 192,
        .heads = p->heads ? p->heads : 3,
        .eps = 1e-6,
        .dropout = p->dropout,
        .out_std = 0.02,
    };
    nn_layer patches = square(NN_CONV, t.width, patch, patch, 0);

    put(m, patches, "patch_embed.proj");
    put(m, (nn_layer){.kind = NN_TOKENS}, "patch_embed.flatten");
    put(m, (nn_layer){.kind = NN_CLASS_TOKEN, .std = 1e-6}, "cls_token");
    put(m, (nn_layer){.kind = NN_POSITION}, "pos_embed");
    drop(m, t.dropout, "pos_drop", "embed");
    for (int64_t i = 0; i < (p->depth ? p->depth : 12); i++) transformer_block(m, &t, (int)i);
    put(m, (nn_layer){.kind = NN_LAYER_NORM, .eps = t.eps}, "norm");
    put(m, (nn_layer){.kind = NN_FIRST_TOKEN}, "pool");
    put(m, drawn(linear(p->classes), 0.02), "head");
}

static void gpt(maker *m, const nn_preset *p)
{
    const int64_t depth = p->depth ? p->depth : 3;
    const transformer t = {
        .at = {"transformer.h.", "ln_1", "attn.c_attn", "attn", "attn.c_proj", "ln_2", "mlp.c_fc",
               "mlp.gelu", "mlp.c_proj"},
        .width = p->width ? p->width : 48,
        .heads = p->heads ? p->heads : 3,
        .causal = true,
        .dropout = p->dropout,
        .out_std = 0.02 / sqrt(2.0 * (double)depth),
    };
    nn_layer head = linear(p->classes);

    put(m, (nn_layer){.kind = NN_EMBEDDING, .vocabulary = p->classes, .out = t.width, .std = 0.02},
        "transformer.wte");
    head.no_bias = true, head.tied = m->s->n;
    put(m, (nn_layer){.kind = NN_POSITION_EMBEDDING, .std = 0.02}, "transformer.wpe");
    drop(m, t.dropout, "transformer", "drop");
    for (int64_t i = 0; i < depth; i++) transformer_block(m, &t, (int)i);
    put(m, (nn_layer){.kind = NN_LAYER_NORM}, "transformer.ln_f");
    put(m, head, "lm_head");
}

drmad_status nn_from_preset(drmad_ctx *ctx, const nn_preset *p, nn_spec **out)
{
    static const int stages18[] = {2, 2, 2, 2, 0}, stages34[] = {3, 4, 6, 3, 0};
    static const int stages8[] = {1, 1, 1, 0}, stages20[] = {3, 3, 3, 0};
    drmad_status st = DRMAD_OK;
    maker m = {.activation = p->activation == NN_LINEAR ? NN_RELU : p->activation};

    *out = NULL;
    TRY(nn_new(ctx, p->input, &m.s));
    switch (p->kind) {
    case NN_LENET5: lenet5(&m, p); break;
    case NN_RESNET8: resnet(&m, p, stages8, 16); break;
    case NN_RESNET20: resnet(&m, p, stages20, 16); break;
    case NN_RESNET18: resnet(&m, p, stages18, 64); break;
    case NN_RESNET34:
    case NN_RESNET50: resnet(&m, p, stages34, 64); break;
    case NN_WRN_16_1: wide_resnet(&m, p); break;
    case NN_VIT_TINY: vit(&m, p); break;
    case NN_GPT_NANO: gpt(&m, p); break;
    default: TRY(FAIL(ctx, DRMAD_E_CONFIG, "model.preset: not a net by itself"));
    }
    TRY(m.st);
    *out = m.s, m.s = NULL;
done:
    nn_free(m.s);
    return st;
}
