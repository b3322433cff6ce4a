/* From PyTorch's operations to the closed ones: every operation that graph.json may hold
 * (docs/GRAPH.md), lowered to the builders of ops/ and nn/. No derivative is written here.
 *
 * A value lies in memory as it suits: a permutation is only noted (images stay channels last, the
 * transpose of a weight becomes a flag of the product), and what PyTorch expands is kept at length
 * 1 until somebody needs it. The shape rule's result must be what the file states. */
#ifndef ATEN_H
#define ATEN_H
#include "import/graph_file.h"
#include "nn/module.h"

typedef struct value {
    node n;  /* the elements; NODE_NONE: no value */
    shape s; /* as PyTorch sees it */
    int32_t
        at[RANK_MAX]; /* dimension i is the node's dimension at[i], there as long, or 1 where all
                           * along it are equal */
    number_type type; /* truth values are 0 and 1 of the graph's dtype, whole numbers i32 */
    node logits;      /* of a log-softmax along the last dimension: what it is of, [n, k] */
    node side[2];     /* batch norm's next statistics, outputs 3 and 4 */
} value;

typedef struct lowering lowering;
struct lowering {
    drmad_ctx *ctx;
    graph *g;
    const graph_file *f;
    const graph_part *part;
    const graph_op *at; /* the node under way */
    int64_t batch;
    const nn_pass *pass;
    int32_t relus; /* on rows of one dimension, so far: numbers of the masks */
    int32_t drops; /* dropouts so far: numbers of the sites */
    value *v;      /* inputs, then nodes */
};

/* The number of operation `op`, -1: none. */
int32_t aten_find(const char *op);
const char *aten_name(int32_t def);  /* NULL behind the last one */
bool aten_kinked(int32_t def);       /* its derivative jumps */
bool aten_masked(const graph_op *n); /* a relu whose sign mask is kept */
bool aten_drops(int32_t def);        /* dropout */
/* What a dropout's draws are known by: its module, and its number among those of the module. */
enum { ATEN_SITE = GRAPH_NAME_MAX + 16 };
void aten_site(const graph_part *p, int32_t i, char *buf, size_t size);
/* Lowers all nodes of the part; l->v holds the inputs. */
drmad_status aten_lower(lowering *l);

/* ---- inside: values ---- */

/* Records the first error, with the node's name; gives no value. */
value aten_refuse(lowering *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
value no_value(void);
dtype real_type(const lowering *l);
value value_of(node n, shape s, number_type type); /* as it lies */
/* The operand, or no value where there is None; operand 0 to n_in - 1. */
const value *operand_of(const lowering *l, int i);
bool has_operand(const lowering *l, int i);
/* Its elements in the order of the dimensions, expanded, whole numbers and all. */
node plain(lowering *l, const value *v);
/* In memory as [at]: dimension i of `rank` at at[i], of length mem.dim[at[i]]. */
node laid_out(lowering *l, const value *v, const int32_t *at, shape mem);
/* With PyTorch's channel dimension 1 as the last: images [n, h, w, c]; expanded. And back: what
 * lies so, as a value of rank `rank`. */
node channels_last(lowering *l, const value *v);
value from_channels_last(lowering *l, node n);
/* With dimension `dim` as the last. And back. */
node dimension_last(lowering *l, const value *v, int32_t dim);
value from_dimension_last(lowering *l, node n, int32_t dim);
value view_as(lowering *l, const value *v, shape to);
shape stated(const lowering *l); /* of the node under way */
/* Real numbers: whole ones cast. */
value as_real(lowering *l, const value *v);
/* a and b brought to one layout: out takes the layout, *x and *y the nodes. */
bool together(lowering *l, const value *a, const value *b, node *x, node *y, value *out);
/* v's layout around other elements. */
value with_node(const value *v, node n);

/* ---- inside: attributes; what is missing takes the fallback ---- */

double attr_number(lowering *l, const char *key, double fallback);
bool attr_given(const lowering *l, const char *key); /* there, and not null */
int64_t attr_int(lowering *l, const char *key, int64_t fallback);
bool attr_flag(const lowering *l, const char *key, bool fallback);
const char *attr_text(const lowering *l, const char *key);
/* A number or a list of at most `most` into out; gives how many. */
int32_t attr_ints(lowering *l, const char *key, int64_t *out, int32_t most);
/* A dimension of `rank`, negative ones from the end; -1 after aten_refuse. */
int32_t attr_dim(lowering *l, const char *key, int32_t rank);
/* The set of dimensions under `dim`: all where it is missing, null or empty. */
uint32_t attr_dims(lowering *l, int32_t rank);

/* ---- inside: the operations, by file ---- */

/* nll_loss_forward's row losses [n, 1], times what their classes weigh: *weight [n, 1], NODE_NONE
 * where they weigh the same. */
node aten_nll_rows(lowering *l, node *weight);

typedef value aten_fn(lowering *l);

/* aten_pointwise.c */
aten_fn aten_add, aten_sub, aten_rsub, aten_mul, aten_div, aten_maximum, aten_minimum, aten_pow;
aten_fn aten_neg, aten_exp, aten_log, aten_log1p, aten_sqrt, aten_rsqrt, aten_reciprocal, aten_abs;
aten_fn aten_sign, aten_erf, aten_tanh, aten_sigmoid, aten_relu, aten_silu, aten_gelu;
aten_fn aten_softplus, aten_elu, aten_leaky_relu, aten_hardtanh, aten_clamp;
/* aten_choose.c */
aten_fn aten_eq, aten_ne, aten_lt, aten_le, aten_gt, aten_ge, aten_logical_not, aten_logical_and;
aten_fn aten_logical_or, aten_where, aten_gather, aten_embedding, aten_nll_loss;
/* aten_product.c */
aten_fn aten_mm, aten_bmm, aten_addmm, aten_convolution;
/* aten_norm.c */
aten_fn aten_batch_norm, aten_layer_norm, aten_group_norm, aten_dropout, aten_softmax;
aten_fn aten_log_softmax;
/* aten_reduce.c */
aten_fn aten_sum, aten_mean, aten_var, aten_logsumexp, aten_amax, aten_max_pool, aten_avg_pool;
aten_fn aten_adaptive_pool;
/* aten_move.c */
aten_fn aten_view, aten_permute, aten_expand, aten_slice, aten_select, aten_cat, aten_pad;
aten_fn aten_full, aten_to_copy;
#endif
