/* Builders: what they fold, what they refuse and with which words, and how a graph prints. */
#include "ops/ops.h"
#include "test.h"

static graph *open_graph(void)
{
    graph *g;

    CHECK_OK(test_ctx(), graph_new(test_ctx(), &g));
    return g;
}

static node matrix(graph *g, const char *name)
{
    return graph_add_leaf(g, name, F64, SHAPE(2, 3));
}

static node fill(graph *g, double v)
{
    return g_fill(g, F64, SHAPE(2, 3), v);
}

TEST(arithmetic_with_constants_makes_no_nodes)
{
    graph *g = open_graph();
    node x = matrix(g, "x"), zero = fill(g, 0.0);

    CHECK_INT(g_scale(g, x, 1.0), x);
    CHECK_INT(g_scale(g, x, 0.0), zero);
    CHECK_INT(g_scale(g, g_scale(g, x, 2.0), 3.0), g_scale(g, x, 6.0));
    CHECK_INT(g_neg(g, g_neg(g, x)), x);
    CHECK_INT(g_scale(g, fill(g, 2.0), 3.0), fill(g, 6.0));
    CHECK_INT(g_mul(g, x, fill(g, 1.0)), x);
    CHECK_INT(g_mul(g, fill(g, 0.0), x), zero);
    CHECK_INT(g_mul(g, x, fill(g, 2.5)), g_scale(g, x, 2.5));
    CHECK_INT(g_mul(g, fill(g, 2.0), fill(g, 3.0)), fill(g, 6.0));
    CHECK_INT(g_add(g, x, zero), x);
    CHECK_INT(g_add(g, zero, x), x);
    CHECK_INT(g_sub(g, x, zero), x);
    CHECK_INT(g_sub(g, zero, x), g_neg(g, x));
    CHECK_INT(g_add(g, fill(g, 1.0), fill(g, 2.0)), fill(g, 3.0));
    CHECK_INT(g_sub(g, fill(g, 1.0), fill(g, 2.0)), fill(g, -1.0));
    CHECK_INT(g_add(g, x, x), g_scale(g, x, 2.0));
    CHECK_OK(test_ctx(), graph_status(g));
    graph_free(g);
}

TEST(one_value_is_one_node)
{
    graph *g = open_graph();
    node x = matrix(g, "x"), y = matrix(g, "y");

    CHECK_INT(g_add(g, x, y), g_add(g, y, x));
    CHECK_INT(g_mul(g, x, y), g_mul(g, y, x));
    CHECK(g_sub(g, x, y) != g_sub(g, y, x));
    CHECK_INT(g_add(g, x, g_neg(g, y)), g_sub(g, x, y));
    CHECK_INT(g_add(g, g_neg(g, y), x), g_sub(g, x, y));
    CHECK_INT(g_sub(g, x, g_neg(g, y)), g_add(g, x, y));
    CHECK(g_scale(g, x, 2.0) != g_scale(g, x, 3.0));
    graph_free(g);
}

TEST(moves_of_nothing_make_no_nodes)
{
    graph *g = open_graph();
    node x = matrix(g, "x"), row = graph_add_leaf(g, "row", F64, SHAPE(1, 3));
    node cube = graph_add_leaf(g, "cube", F64, SHAPE(2, 3, 4));
    const int32_t same[] = {0, 1, 2}, turn[] = {1, 2, 0}, back[] = {2, 0, 1};
    const int32_t swap[] = {1, 0, 2}, swapped[] = {0, 2, 1};

    CHECK_INT(g_bcast(g, x, SHAPE(2, 3)), x);
    CHECK_INT(g_bcast(g, fill(g, 2.0), SHAPE(2, 3)), fill(g, 2.0));
    CHECK_INT(g_bcast(g, g_fill(g, F64, SHAPE(1, 3), 2.0), SHAPE(2, 3)), fill(g, 2.0));
    CHECK_INT(g_reshape(g, x, SHAPE(2, 3)), x);
    CHECK_INT(g_reshape(g, g_reshape(g, x, SHAPE(6)), SHAPE(2, 3)), x);
    CHECK_INT(g_permute(g, cube, same), cube);
    CHECK_INT(g_permute(g, g_permute(g, cube, turn), back), cube);
    CHECK_INT(g_permute(g, g_permute(g, cube, turn), turn), g_permute(g, cube, back));
    CHECK_INT(g_permute(g, g_permute(g, cube, swap), turn), g_permute(g, cube, swapped));
    CHECK_INT(g_slice(g, x, 1, 0, 3), x);
    CHECK_INT(g_pad(g, x, 1, 0, 3), x);
    CHECK_INT(g_cast(g, x, F64), x);
    CHECK_INT(g_sum(g, row, 1), row);
    CHECK_INT(g_sum(g, row, 3), g_sum(g, row, 2));
    CHECK_INT(g_sum(g, g_sum(g, x, 1), 2), g_sum(g, x, 3));
    CHECK_INT(g_sum(g, fill(g, 2.0), 3), g_fill(g, F64, SHAPE(1, 1), 12.0));
    CHECK_INT(g_sum_to(g, x, SHAPE(1, 3)), g_sum(g, x, 1));
    CHECK_INT(g_matmul(g, fill(g, 0.0), x, false, true), g_fill(g, F64, SHAPE(2, 2), 0.0));
    CHECK_OK(test_ctx(), graph_status(g));
    graph_free(g);
}

/* sum(a v) and sum(a - b) over images are put together from the sums that there are; matrices are
 * left alone. */
TEST(sums_are_taken_apart_where_that_saves_one)
{
    graph *g = open_graph();
    const shape s = SHAPE(2, 5, 3);
    node a = graph_add_leaf(g, "a", F64, s), b = graph_add_leaf(g, "b", F64, s);
    node v = graph_add_leaf(g, "v", F64, SHAPE(1, 1, 3)), spread = g_bcast(g, v, s);
    node both = g_sub(g, g_mul(g, a, spread), g_scale(g, b, 0.5));
    node matrix_sum = g_sum(
        g,
        g_mul(g, matrix(g, "x"), g_bcast(g, graph_add_leaf(g, "r", F64, SHAPE(1, 3)), SHAPE(2, 3))),
        1);

    CHECK_INT(graph_rec(g, g_sum(g, both, 3))->op, OP_sum); /* neither sum is there */
    CHECK_INT(graph_rec(g, matrix_sum)->op, OP_sum);
    node of_a = g_sum(g, a, 3);
    CHECK_INT(g_sum(g, g_mul(g, a, spread), 3), g_mul(g, of_a, v));
    node of_b = g_sum(g, b, 3), again = g_sub(g, g_mul(g, b, spread), g_scale(g, a, 0.5));
    CHECK_INT(g_sum(g, again, 3), g_sub(g, g_mul(g, of_b, v), g_scale(g, of_a, 0.5)));
    CHECK_INT(graph_rec(g, g_sum(g, g_mul(g, a, spread), 4))->op, OP_sum); /* v changes along it */
    CHECK_OK(test_ctx(), graph_status(g));
    graph_free(g);
}

TEST(matmul_takes_transposes_as_flags)
{
    graph *g = open_graph();
    node x = matrix(g, "x"), y = matrix(g, "y"), xt = g_transpose(g, x), yt = g_transpose(g, y);

    CHECK_INT(g_matmul(g, x, yt, false, false), g_matmul(g, x, y, false, true));
    CHECK_INT(g_matmul(g, xt, y, false, false), g_matmul(g, x, y, true, false));
    CHECK_INT(g_matmul(g, xt, y, true, true), g_matmul(g, x, y, false, true));
    CHECK_INT(graph_shape(g, g_matmul(g, x, y, true, false))->dim[1], 3);
    CHECK_INT(g_transpose(g, xt), x);
    graph_free(g);
}

TEST(a_missing_operand_is_passed_on_without_an_error)
{
    graph *g = open_graph();
    node x = matrix(g, "x"), none = NODE_NONE;
    const int32_t turn[] = {1, 0};
    const node all[] = {
        g_exp(g, none),
        g_add(g, x, none),
        g_sub(g, none, x),
        g_mul(g, none, none),
        g_scale(g, none, 2.0),
        g_sum(g, none, 1),
        g_sum_to(g, none, SHAPE(1)),
        g_sum_all(g, none),
        g_bcast(g, none, SHAPE(2)),
        g_reshape(g, none, SHAPE(2)),
        g_permute(g, none, turn),
        g_transpose(g, none),
        g_slice(g, none, 0, 0, 1),
        g_pad(g, none, 0, 0, 1),
        g_gather(g, none, x),
        g_scatter_add(g, x, none, 2),
        g_cast(g, none, F32),
        g_matmul(g, none, x, false, false),
        g_conv(g, none, x, (window){0}),
        g_conv_dw(g, x, none, (window){0}),
        g_maxpool_arg(g, none, (window){0}),
        g_take(g, x, none),
        g_uniform(g, none, 1, F32, SHAPE(2)),
        g_logsumexp(g, none),
        g_argmax(g, none),
        g_onehot(g, none, 3, F32),
        g_zeros_like(g, none),
        g_ones_like(g, none),
        g_dot(g, x, none),
        g_relu(g, none),
        g_abs(g, none),
        g_gelu(g, none),
        g_softmax(g, none),
    };

    for (size_t i = 0; i < COUNT(all); i++) CHECK_INT(all[i], NODE_NONE);
    CHECK_OK(test_ctx(), graph_status(g));
    graph_free(g);
}

/* -- refusals: each on a graph of its own, for the first error sticks */

typedef struct given {
    graph *g;
    node x, y, single, index, bytes; /* f64 [2,3], f64 [3,2], f32 [2,3], i32 [4], u8 [4,3] */
} given;

#define REFUSAL(name, call)                                                                        \
    static node name(const given *v)                                                               \
    {                                                                                              \
        return call;                                                                               \
    }
REFUSAL(add_shapes, g_add(v->g, v->x, v->y))
REFUSAL(add_dtypes, g_add(v->g, v->x, v->single))
REFUSAL(exp_of_bytes, g_exp(v->g, v->bytes))
REFUSAL(fill_integer, g_fill(v->g, I32, SHAPE(2), 1.0))
REFUSAL(fill_empty, g_fill(v->g, F32, SHAPE(2, 0), 1.0))
REFUSAL(sum_axis, g_sum(v->g, v->x, 4))
REFUSAL(sum_to_shape, g_sum_to(v->g, v->x, SHAPE(2, 2)))
REFUSAL(bcast_rank, g_bcast(v->g, v->x, SHAPE(4, 2, 3)))
REFUSAL(bcast_shape, g_bcast(v->g, v->x, SHAPE(4, 3)))
REFUSAL(reshape_count, g_reshape(v->g, v->x, SHAPE(5)))
REFUSAL(permute_twice, g_permute(v->g, v->x, (int32_t[]){1, 1}))
REFUSAL(permute_axis, g_permute(v->g, v->x, (int32_t[]){0, 2}))
REFUSAL(transpose_rank, g_transpose(v->g, v->index))
REFUSAL(slice_axis, g_slice(v->g, v->x, 2, 0, 1))
REFUSAL(slice_end, g_slice(v->g, v->x, 1, 2, 2))
REFUSAL(slice_start, g_slice(v->g, v->x, 1, -1, 2))
REFUSAL(slice_empty, g_slice(v->g, v->x, 1, 1, 0))
REFUSAL(pad_short, g_pad(v->g, v->x, 0, 1, 2))
REFUSAL(gather_index, g_gather(v->g, v->x, v->y))
REFUSAL(scatter_rows, g_scatter_add(v->g, v->x, v->index, 5))
REFUSAL(scatter_none, g_scatter_add(v->g, g_cast(v->g, v->bytes, F64), v->index, 0))
REFUSAL(cast_down, g_cast(v->g, v->x, I32))
REFUSAL(matmul_inner, g_matmul(v->g, v->x, v->y, true, false))
REFUSAL(matmul_rank, g_matmul(v->g, v->x, g_reshape(v->g, v->y, SHAPE(6)), false, false))
REFUSAL(lse_scalar, g_logsumexp(v->g, g_fill(v->g, F64, shape_ones(0), 2.0)))
REFUSAL(argmax_rank, g_argmax(v->g, g_reshape(v->g, v->x, SHAPE(6))))
REFUSAL(onehot_real, g_onehot(v->g, v->x, 3, F64))
REFUSAL(onehot_classes, g_onehot(v->g, v->index, 0, F64))
REFUSAL(onehot_dtype, g_onehot(v->g, v->index, 3, I32))

static node image(graph *g)
{
    return g_fill(g, F64, SHAPE(2, 5, 4, 6), 1.0);
}

/* A convolution of the image above with a weight of that shape, but for what `v` says. */
static node convolve(graph *g, shape weight, window v)
{
    return g_conv(g, image(g), g_fill(g, F64, weight, 1.0), v);
}

#define ONES                                                                                       \
    {                                                                                              \
        1, 1                                                                                       \
    }
REFUSAL(conv_channels,
        convolve(v->g, SHAPE(4, 3, 2, 2), (window){.stride = ONES, .dilation = ONES, .groups = 1}))
REFUSAL(conv_groups,
        convolve(v->g, SHAPE(3, 3, 2, 2), (window){.stride = ONES, .dilation = ONES, .groups = 2}))
REFUSAL(conv_large,
        convolve(v->g, SHAPE(4, 6, 6, 2), (window){.stride = ONES, .dilation = ONES, .groups = 1}))
REFUSAL(conv_stride, convolve(v->g, SHAPE(4, 6, 2, 2), (window){.dilation = ONES, .groups = 1}))
REFUSAL(conv_rank, g_conv(v->g, v->x, image(v->g), (window){.stride = ONES, .groups = 1}))
REFUSAL(conv_dx_pixels,
        g_conv_dx(v->g, image(v->g), g_fill(v->g, F64, SHAPE(6, 1, 2, 2), 1.0),
                  (window){.size = {9, 9}, .stride = ONES, .dilation = ONES, .groups = 1}))
REFUSAL(pool_empty,
        g_maxpool_arg(
            v->g, image(v->g),
            (window){.kernel = ONES, .stride = ONES, .pad = ONES, .dilation = ONES, .groups = 1}))
REFUSAL(pool_groups,
        g_sumpool(v->g, image(v->g),
                  (window){.kernel = ONES, .stride = ONES, .dilation = ONES, .groups = 2}))
REFUSAL(
    spread_pixels,
    g_spread(v->g, image(v->g),
             (window){
                 .size = {9, 9}, .kernel = ONES, .stride = ONES, .dilation = ONES, .groups = 1}))
REFUSAL(take_index, g_take(v->g, v->x, v->y))
REFUSAL(put_count, g_put(v->g, v->x, v->index, SHAPE(9)))
REFUSAL(draw_key, g_uniform(v->g, v->x, 1, F32, SHAPE(3)))
REFUSAL(draw_dtype, g_normal(v->g, v->index, 1, I32, SHAPE(3)))
REFUSAL(iota_axis, g_iota(v->g, F32, SHAPE(3), 1))
REFUSAL(batch_size, g_matmul(v->g, g_reshape(v->g, v->x, SHAPE(2, 1, 3)),
                             g_reshape(v->g, v->x, SHAPE(1, 3, 2)), false, false))

static const struct {
    node (*call)(const given *v);
    const char *text;
} refusals[] = {
    {add_shapes, "add(f64[2,3], f64[3,2]): expected operands of one shape and dtype"},
    {add_dtypes, "add(f64[2,3], f32[2,3]): expected operands of one shape and dtype"},
    {exp_of_bytes, "exp(u8[4,3]): expected f32 or f64"},
    {fill_integer, "fill(): dtype i32, expected f32 or f64"},
    {fill_empty, "shape [2,0]: expected dimensions of at least 1"},
    {sum_axis, "sum(f64[2,3]): axes 0x4, expected axes below 2"},
    {sum_to_shape, "sum [2,3] to [2,2]: expected the same rank"},
    {bcast_rank, "bcast(f64[2,3]): to [4,2,3]: expected the same rank"},
    {bcast_shape, "bcast(f64[2,3]): to [4,3]: expected the same rank, and each dimension"},
    {reshape_count, "reshape(f64[2,3]): to [5]: expected as many elements"},
    {permute_twice, "permute(f64[2,3]): axis 1 at place 1, expected each axis once"},
    {permute_axis, "permute(f64[2,3]): axis 2 at place 1, expected each axis once"},
    {transpose_rank, "transpose: rank 1, expected 2"},
    {slice_axis, "slice(f64[2,3]): to [2,3] along axis 2 from 0: expected a part"},
    {slice_end, "slice(f64[2,3]): to [2,2] along axis 1 from 2: expected a part"},
    {slice_start, "slice(f64[2,3]): to [2,2] along axis 1 from -1: expected a part"},
    {slice_empty, "shape [2,0]: expected dimensions of at least 1"},
    {pad_short, "pad(f64[2,3]): to [2,3] along axis 0 from 1: expected a part"},
    {gather_index, "gather(f64[2,3], f64[3,2]): expected rows and an i32 index of rank 1"},
    {scatter_rows, "scatter_add(f64[2,3], i32[4]): expected one index for each row"},
    {scatter_none, "scatter_add(f64[4,3], i32[4]): 0 rows, expected 1 at least"},
    {cast_down, "cast(f64[2,3]): to i32: expected f32 or f64"},
    {matmul_inner, "matmul(f64[2,3], f64[3,2]): A transposed, B as it is: inner dimensions "
                   "2 and 3, expected the same"},
    {matmul_rank, "matmul(f64[2,3], f64[6]): expected two matrices of one dtype"},
    {lse_scalar, "logsumexp(f64[]): expected rank 1 at least"},
    {argmax_rank, "argmax(f64[6]): expected a matrix"},
    {onehot_real, "onehot(f64[2,3]): expected an i32 index of rank 1"},
    {onehot_classes, "shape [4,0]: expected dimensions of at least 1"},
    {onehot_dtype, "onehot(i32[4]): to i32: expected f32 or f64"},
    {conv_channels, "conv(f64[2,5,4,6], f64[4,3,2,2]): in 1 groups: expected image"},
    {conv_groups, "conv(f64[2,5,4,6], f64[3,3,2,2]): in 2 groups: expected image"},
    {conv_large, "conv(f64[2,5,4,6], f64[4,6,6,2]): kernel 6x2, stride 1,1, padding 0,0, "
                 "dilation 1,1, 1 groups do not fit 5x4 pixels"},
    {conv_stride, "kernel 2x2, stride 0,0"},
    {conv_rank, "conv(f64[2,3], f64[2,5,4,6]): "},
    {conv_dx_pixels, "conv_dx(f64[2,5,4,6], f64[6,1,2,2]): in 1 groups: expected image"},
    {pool_empty, "maxpool_arg(f64[2,5,4,6]): padding so wide that a window sees nothing"},
    {pool_groups, "sumpool(f64[2,5,4,6]): expected images [n,h,w,c] in one group"},
    {spread_pixels, "spread(f64[2,5,4,6]): expected 9x9 pixels"},
    {take_index, "take(f64[2,3], f64[3,2]): expected an i32 index"},
    {put_count, "put(f64[2,3], i32[4]): expected one i32 index for each element"},
    {draw_key, "uniform(f64[2,3]): expected an i32[4] key"},
    {draw_dtype, "normal(i32[4]): to i32: expected f32 or f64"},
    {iota_axis, "iota(): along axis 1 of 1"},
    {batch_size, "matmul(f64[2,1,3], f64[1,3,2]): expected two matrices of one dtype"},
};

TEST(malformed_calls_are_refused_by_name)
{
    for (size_t i = 0; i < COUNT(refusals); i++) {
        given v = {.g = open_graph()};
        v.x = matrix(v.g, "x");
        v.y = graph_add_leaf(v.g, "y", F64, SHAPE(3, 2));
        v.single = graph_add_leaf(v.g, "single", F32, SHAPE(2, 3));
        v.index = graph_add_leaf(v.g, "index", I32, SHAPE(4));
        v.bytes = graph_add_leaf(v.g, "bytes", U8, SHAPE(4, 3));
        CHECK_OK(test_ctx(), graph_status(v.g));
        CHECK_INT(refusals[i].call(&v), NODE_NONE);
        CHECK_FAILS(test_ctx(), graph_status(v.g), DRMAD_E_MODEL, refusals[i].text);
        CHECK_INT(g_exp(v.g, v.x), NODE_NONE); /* the error sticks */
        graph_free(v.g);
    }
}

/* -- printing */

TEST(printing_shows_what_the_roots_need)
{
    graph *g = open_graph();
    text_out t = {.ctx = test_ctx()};
    node x = graph_add_leaf(g, "x", U8, SHAPE(4, 3)), w = graph_add_leaf(g, "w", F32, SHAPE(2, 3));
    node dead = g_tanh(g, w), y = g_matmul(g, g_cast(g, x, F32), w, false, true);
    node z = g_sum(g, g_scale(g, y, 0.5), 3);

    CHECK_OK(test_ctx(), graph_print(g, &z, 1, &t));
    CHECK_STR(t.text, "0 leaf u8 4,3 - leaf=0\n"
                      "1 leaf f32 2,3 - leaf=1\n"
                      "3 cast f32 4,3 0\n"
                      "4 matmul f32 4,2 3,1 tb\n"
                      "5 scale f32 4,2 4 f=3fe0000000000000\n"
                      "6 sum f32 1,1 5 axes=0,1\n");
    text_free(&t);
    CHECK_INT(dead, 2);
    graph_free(g);
}

TEST(printing_shows_every_attribute)
{
    graph *g = open_graph();
    text_out t = {.ctx = test_ctx()};
    node all[10];
    node x = graph_add_leaf(g, "x", F64, SHAPE(2, 3, 4));

    g_permute(g, x, (int32_t[]){2, 0, 1});
    g_slice(g, x, 2, 1, 2);
    g_pad(g, x, 0, 3, 6);
    g_fill(g, F32, SHAPE(5), 1e-3);
    g_iota(g, I32, SHAPE(5, 2), 1);
    g_sumpool(
        g, graph_add_leaf(g, "image", F32, SHAPE(1, 5, 6, 2)),
        (window){
            .kernel = {2, 3}, .stride = {1, 2}, .pad = {0, 1}, .dilation = {1, 1}, .groups = 1});
    g_uniform(g, graph_add_leaf(g, "key", I32, SHAPE(4)), 77, F32, SHAPE(3));
    CHECK_INT(graph_size(g), COUNT(all));
    for (node v = 0; v < (node)COUNT(all); v++) all[v] = v;
    CHECK_OK(test_ctx(), graph_print(g, all, COUNT(all), &t));
    CHECK_STR(t.text, "0 leaf f64 2,3,4 - leaf=0\n"
                      "1 permute f64 4,2,3 0 perm=2,0,1\n"
                      "2 slice f64 2,3,2 0 axis=2 from=1\n"
                      "3 pad f64 6,3,4 0 axis=0 from=3\n"
                      "4 fill f32 5 - f=3f50624dd2f1a9fc\n"
                      "5 iota i32 5,2 - axis=1\n"
                      "6 leaf f32 1,5,6,2 - leaf=1\n"
                      "7 sumpool f32 1,4,3,2 6 size=5,6 kernel=2,3 stride=1,2 pad=0,1 "
                      "dilation=1,1 groups=1\n"
                      "8 leaf i32 4 - leaf=2\n"
                      "9 uniform f32 3 8 site=77\n");
    text_free(&t);
    graph_free(g);
}

static drmad_status build_and_print(drmad_ctx *ctx, void *arg)
{
    graph *g = NULL;
    text_out t = {.ctx = ctx};
    drmad_status st = graph_new(ctx, &g);

    (void)arg;
    if (st != DRMAD_OK) return st;
    node x = matrix(g, "x"), y = g_softmax(g, g_gelu(g, g_matmul(g, x, x, true, false)));
    TRY(graph_status(g));
    TRY(graph_print(g, &y, 1, &t));
done:
    text_free(&t);
    graph_free(g);
    return st;
}

TEST(running_out_of_memory_leaves_nothing)
{
    test_oom(build_and_print, NULL);
}
