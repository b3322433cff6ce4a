/* Leaves with data, and derivatives checked by differences and by the adjoint identity. */
#include "ad_fixture.h"

/* A difference of fourth order: error step^4 y^(5)/30 plus rounding 1e-16/step, about 1e-12 each
 * for values near 1; 1e-9 leaves room for high derivatives of compositions. A product in double is
 * right to its terms times 1e-16 times a few dozen operations. */
const tolerance fx_smooth = {.step = 1e-3, .difference = 1e-9, .rounding = 1e-13};

void fx_open(fx *f, uint64_t seed)
{
    *f = (fx){.seed = seed};
    CHECK_OK(test_ctx(), graph_new(test_ctx(), &f->g));
}

void fx_close(fx *f)
{
    for (int i = 0; i < FX_LEAVES; i++) free(f->data[i]);
    graph_free(f->g);
}

double fx_draw(fx *f, double lo, double hi)
{
    return lo + (hi - lo) * rng_uniform((rng_key){.seed = f->seed}, f->drawn++);
}

int64_t fx_dim(fx *f)
{
    return fx_draw(f, 0.0, 3.0) < 1.0 ? 1 : 2 + (int64_t)fx_draw(f, 0.0, 3.0);
}

shape fx_shape(fx *f, int32_t rank)
{
    shape s = shape_ones(rank);

    for (int32_t i = 0; i < rank; i++) s.dim[i] = fx_dim(f);
    return s;
}

/* Binds room for a new leaf's elements. */
static void *bind(fx *f, node leaf, size_t size)
{
    int64_t number = graph_rec(f->g, leaf)->attr.n;

    if (leaf == NODE_NONE || number >= FX_LEAVES) abort();
    f->data[number] = calloc((size_t)shape_count(graph_shape(f->g, leaf)), size);
    if (!f->data[number]) abort();
    return f->data[number];
}

node fx_uniform(fx *f, shape s, double lo, double hi)
{
    node x = graph_add_leaf(f->g, "real", F64, s);
    double *v = bind(f, x, sizeof *v);

    for (int64_t i = 0; i < shape_count(&s); i++) v[i] = fx_draw(f, lo, hi);
    return x;
}

node fx_away(fx *f, shape s)
{
    node x = fx_uniform(f, s, 0.3, 2.0);
    double *v = f->data[graph_rec(f->g, x)->attr.n];

    for (int64_t i = 0; i < shape_count(&s); i++)
        if (fx_draw(f, 0.0, 1.0) < 0.5) v[i] = -v[i];
    return x;
}

node fx_like(fx *f, node x)
{
    return fx_uniform(f, *graph_shape(f->g, x), -1.0, 1.0);
}

node fx_index(fx *f, int64_t count, int64_t below)
{
    node x = graph_add_leaf(f->g, "index", I32, SHAPE(count));
    int32_t *v = bind(f, x, sizeof *v);

    for (int64_t i = 0; i < count; i++) v[i] = (int32_t)fx_draw(f, 0.0, (double)below);
    return x;
}

nodes fx_like_all(fx *f, const nodes *x)
{
    nodes list = {0};

    for (int i = 0; i < x->n; i++) nodes_add(&list, fx_like(f, x->at[i]));
    return list;
}

void nodes_add(nodes *list, node n)
{
    if (list->n == FX_NODES) abort();
    list->at[list->n++] = n;
}

void nodes_append(nodes *list, const nodes *more)
{
    for (int i = 0; i < more->n; i++)
        if (more->at[i] != NODE_NONE) nodes_add(list, more->at[i]);
}

double *fx_value(fx *f, node n)
{
    return eval_one(f->g, (const void *const *)f->data, n);
}

double fx_dot(fx *f, const nodes *a, const nodes *b, double *size)
{
    double sum = 0.0, terms = 0.0;

    for (int i = 0; i < a->n; i++) {
        if (a->at[i] == NODE_NONE || b->at[i] == NODE_NONE) continue;
        double *x = fx_value(f, a->at[i]), *y = fx_value(f, b->at[i]);
        for (int64_t k = 0; k < shape_count(graph_shape(f->g, a->at[i])); k++) {
            sum += x[k] * y[k];
            terms += fabs(x[k] * y[k]);
        }
        free(x);
        free(y);
    }
    if (size) *size = terms;
    return sum;
}

double fx_distance(fx *f, const nodes *a, const nodes *b)
{
    double apart = 0.0, largest = 0.0;

    for (int i = 0; i < a->n; i++) {
        node some = a->at[i] != NODE_NONE ? a->at[i] : b->at[i];
        if (some == NODE_NONE) continue;
        double *x = a->at[i] == NODE_NONE ? NULL : fx_value(f, a->at[i]);
        double *y = b->at[i] == NODE_NONE ? NULL : fx_value(f, b->at[i]);
        for (int64_t k = 0; k < shape_count(graph_shape(f->g, some)); k++) {
            apart = fmax(apart, fabs((x ? x[k] : 0.0) - (y ? y[k] : 0.0)));
            largest = fmax(largest, y ? fabs(y[k]) : 0.0);
        }
        free(x);
        free(y);
    }
    return largest > 0.0 ? apart / largest : apart;
}

nodes fx_vjp(fx *f, const nodes *y, const nodes *c, const nodes *x)
{
    nodes out = {.n = x->n};

    CHECK_OK(test_ctx(), ad_vjp(f->g, y->n, y->at, c->at, x->n, x->at, out.at));
    return out;
}

nodes fx_jvp(fx *f, const nodes *x, const nodes *t, const nodes *y)
{
    nodes out = {.n = y->n};

    CHECK_OK(test_ctx(), ad_jvp(f->g, x->n, x->at, t->at, y->n, y->at, out.at));
    return out;
}

/* -- differences */

/* The data of x_i, while it is moved: x_i + a t_i. */
typedef struct shift {
    double *at, *home, *t;
    int64_t n;
} shift;

static void shift_all(shift *s, int n, double a)
{
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < s[i].n; k++) s[i].at[k] = s[i].home[k] + a * s[i].t[k];
}

/* (8 (y(h) - y(-h)) - (y(2h) - y(-2h))) / 12h, added up in `d`. */
static void differences(fx *f, shift *s, int nx, node y, double step, double *d)
{
    static const double at[] = {1.0, -1.0, 2.0, -2.0}, weight[] = {8.0, -8.0, -1.0, 1.0};

    for (int k = 0; k < 4; k++) {
        shift_all(s, nx, at[k] * step);
        double *v = fx_value(f, y);
        for (int64_t i = 0; i < shape_count(graph_shape(f->g, y)); i++)
            d[i] += weight[k] * v[i] / (12.0 * step);
        free(v);
    }
    shift_all(s, nx, 0.0);
}

static void check_one(fx *f, shift *s, int nx, node y, node dy, const tolerance *tol)
{
    int64_t n = shape_count(graph_shape(f->g, y));
    double *d = calloc((size_t)n, sizeof *d), *have = dy == NODE_NONE ? NULL : fx_value(f, dy);
    double size = 1.0;

    if (!d) abort();
    differences(f, s, nx, y, tol->step, d);
    for (int64_t i = 0; i < n; i++) size = fmax(size, fabs(d[i]));
    for (int64_t i = 0; i < n; i++) CHECK_NEAR(have ? have[i] : 0.0, d[i], tol->difference * size);
    free(have);
    free(d);
}

static void check_jvp(fx *f, const nodes *y, const nodes *dy, const nodes *x, const nodes *t,
                      const tolerance *tol)
{
    shift s[FX_NODES] = {{0}};

    for (int i = 0; i < x->n; i++) {
        s[i].at = f->data[graph_rec(f->g, x->at[i])->attr.n];
        s[i].home = fx_value(f, x->at[i]);
        s[i].t = fx_value(f, t->at[i]);
        s[i].n = shape_count(graph_shape(f->g, x->at[i]));
    }
    for (int i = 0; i < y->n; i++) check_one(f, s, x->n, y->at[i], dy->at[i], tol);
    for (int i = 0; i < x->n; i++) {
        free(s[i].home);
        free(s[i].t);
    }
}

void fx_check_derivs(fx *f, const nodes *y, const nodes *x, int order, const tolerance *tol)
{
    nodes t = fx_like_all(f, x), c = fx_like_all(f, y);
    nodes dy = fx_jvp(f, x, &t, y), dx = fx_vjp(f, y, &c, x), next = {0}, of = *x;
    double forward, backward, size;

    check_jvp(f, y, &dy, x, &t, tol);
    forward = fx_dot(f, &c, &dy, &size);
    backward = fx_dot(f, &dx, &t, NULL);
    CHECK_NEAR(backward, forward, tol->rounding * (1.0 + size));

    nodes_append(&next, &dx);
    nodes_append(&of, &c);
    if (order > 1 && next.n > 0) fx_check_derivs(f, &next, &of, order - 1, tol);
}
