/* The catalogue of problems and their instances. Formulas: functions.c.
 *
 * Continuous ones live on the unit cube. An instance turns the function about the optimum z* and
 * moves that to u*: z = z* + R (u - u*), R drawn uniformly from the rotations and reflections, u*
 * from the middle of the cube. z may leave the published box. Nothing lower lies out there: Branin,
 * Ackley, Levy, Rosenbrock and Rastrigin have their least values over all of R^d, and a point
 * outside Hartmann's box is farther from every bump than its projection onto the box. Michalewicz's
 * box is mirrored instead. */
#include "problems.h"
#include "base/rng.h"
#include "functions.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { DIMS = 11, CHOICES = 4, TURNED = 10 };

typedef struct turn {
    int32_t d;
    double from[TURNED], to[TURNED], r[TURNED][TURNED];
} turn;

typedef double value_fn(const problem *p, const double *x);

typedef struct definition {
    const char *name;
    int32_t n;
    const problem_param *params;
    double noise, least;
    const double *place; /* of the least value, on instance 0 */
    value_fn *value;
    function *f; /* of value_turned: over [low, low + width]^n */
    double low, width;
    bool mirror;
} definition;

struct problem {
    const definition *def;
    int32_t instance;
    double place[DIMS];             /* of the least value, choices as `meaning` has them */
    int32_t meaning[DIMS][CHOICES]; /* of each choice: which one it is on instance 0 */
    problem_param params[DIMS];     /* with conditions on the choices of this instance */
    turn turns[2];
};

/* ---- instances ---- */

static rng_key key_of(const problem *p, const char *what)
{
    return (rng_key){(uint64_t)p->instance, rng_site(p->def->name), rng_site(what)};
}

/* Rows of normal numbers, orthonormalised in turn: uniform over the orthogonal matrices. */
static void turn_draw(turn *t, rng_key key)
{
    for (int32_t i = 0; i < t->d; i++) {
        double *row = t->r[i], square = 0;
        for (int32_t j = 0; j < t->d; j++) row[j] = rng_normal(key, (uint64_t)(i * TURNED + j));
        for (int32_t k = 0; k < i; k++) {
            double dot = 0;
            for (int32_t j = 0; j < t->d; j++) dot += row[j] * t->r[k][j];
            for (int32_t j = 0; j < t->d; j++) row[j] -= dot * t->r[k][j];
        }
        for (int32_t j = 0; j < t->d; j++) square += row[j] * row[j];
        for (int32_t j = 0; j < t->d; j++) row[j] /= sqrt(square);
    }
}

/* Turns the function of parameters [first, first + d) about its place. */
static void turn_make(problem *p, int32_t which, int32_t first, int32_t d)
{
    turn *t = &p->turns[which];

    t->d = d;
    memcpy(t->from, p->def->place + first, (size_t)d * sizeof *t->from);
    memcpy(t->to, p->place + first, (size_t)d * sizeof *t->to);
    turn_draw(t, key_of(p, which ? "turn 1" : "turn 0"));
}

/* z of u; instance 0 keeps u's bits. */
static void turn_apply(const problem *p, int32_t which, const double *u, double *z)
{
    const turn *t = &p->turns[which];

    for (int32_t i = 0; i < t->d; i++) {
        z[i] = p->instance ? t->from[i] : u[i];
        for (int32_t j = 0; p->instance && j < t->d; j++) z[i] += t->r[i][j] * (u[j] - t->to[j]);
    }
}

static double scaled(const problem_param *q, double v)
{
    return q->log ? log(v / q->low) / log(q->high / q->low) : (v - q->low) / (q->high - q->low);
}

static double placed(const problem_param *q, double u)
{
    double v = q->log ? q->low * pow(q->high / q->low, u) : q->low + u * (q->high - q->low);

    return q->type == PROBLEM_INT ? floor(v + 0.5) : v;
}

/* The choices of parameter i in an order of their own. */
static void rename_choices(problem *p, int32_t i)
{
    const uint64_t n = (uint64_t)p->def->params[i].choices;
    rng_key key = key_of(p, "choices");

    key.step += (uint32_t)i;
    rng_perm order = rng_perm_make(key, n);
    for (uint64_t c = 0; c < n; c++)
        p->meaning[i][c] = (int32_t)(p->instance ? rng_perm_at(&order, c) : c);
}

static void draw_instance(problem *p)
{
    memcpy(p->place, p->def->place, (size_t)p->def->n * sizeof *p->place);
    for (int32_t i = 0; i < p->def->n; i++) {
        const problem_param *q = &p->def->params[i];
        if (q->type == PROBLEM_CHOICE) rename_choices(p, i);
        else if (p->instance > 0)
            p->place[i] = placed(q, 0.2 + 0.6 * rng_uniform(key_of(p, "place"), (uint64_t)i));
    }
}

/* The choice of parameter i that means `meant` on instance 0. */
static int32_t choice_of(const problem *p, int32_t i, int32_t meant)
{
    int32_t c = 0;

    while (p->meaning[i][c] != meant) c++;
    return c;
}

static int32_t choice(const problem *p, int32_t i, const double *x)
{
    return p->meaning[i][(int32_t)x[i]];
}

/* From the place of the optimum to x, in units of the parameter's range. */
static double off(const problem *p, int32_t i, const double *x)
{
    const problem_param *q = &p->def->params[i];

    return scaled(q, x[i]) - scaled(q, p->place[i]);
}

/* ---- values ---- */

static double mirrored(double z)
{
    const double m = fmod(fabs(z), 2);

    return m > 1 ? 2 - m : m;
}

static double value_turned(const problem *p, const double *x)
{
    const definition *def = p->def;
    double z[TURNED];

    turn_apply(p, 0, x, z);
    for (int32_t i = 0; i < def->n; i++)
        z[i] = def->low + def->width * (def->mirror ? mirrored(z[i]) : z[i]);
    return def->f(def->n, z);
}

static double branin_on_cube(int32_t d, const double *z)
{
    return function_branin(d, (const double[]){15 * z[0] - 5, 15 * z[1]});
}

/* Levy's function of two floats and two ints about a place that the first category moves; what a
 * pair of categories costs does not add up. */
static double value_mixed_levy(const problem *p, const double *x)
{
    static const double cost[4][3] = {
        {0, 0.4, 0.9}, {0.3, 0.7, 0.5}, {0.8, 0.6, 1.2}, {1, 0.2, 0.6}};
    static const double move[4][2] = {{0, 0}, {0.15, -0.1}, {-0.1, 0.2}, {0.05, 0.05}};
    const int32_t a = choice(p, 4, x), b = choice(p, 5, x);
    double w[4];

    for (int32_t i = 0; i < 4; i++) w[i] = 1 + 12 * (off(p, i, x) + (i < 2 ? move[a][i] : 0));
    return function_levy(4, w) + cost[a][b];
}

/* Ackley's function of three floats (one logarithmic) and two ints; with the wrong choice the first
 * axis is turned round, moved and dearer. */
static double value_mixed_ackley(const problem *p, const double *x)
{
    const bool wrong = choice(p, 5, x) != 0;
    double w[5];

    for (int32_t i = 0; i < 5; i++) w[i] = 20 * off(p, i, x);
    if (wrong) w[0] = -w[0] - 3;
    return function_ackley(5, w) + (wrong ? 1 : 0);
}

enum { BRANCH, SHARED, FIRST, SECOND = 4, SECOND_INT, THIRD, EXTRA = 9, DETAIL };

/* Three branches with parameters of their own, the third with a further condition inside, and one
 * parameter that all share; the optimum is in the third. */
static double value_conditional(const problem *p, const double *x)
{
    const double s = off(p, SHARED, x);
    double z[3], value;

    switch (choice(p, BRANCH, x)) {
    case 0:
        turn_apply(p, 0, x + FIRST, z);
        value = 0.25 + (branin_on_cube(2, z) - 0.397887357729739) / 60;
        break;
    case 1: {
        double t = off(p, SECOND, x), u = off(p, SECOND_INT, x), wave = sin(30 * t);
        value = 0.1 + 4 * t * t + 0.5 * u * u + 0.1 * wave * wave;
        break;
    }
    default:
        turn_apply(p, 1, x + THIRD, z);
        value = 3.86278214782076 + function_hartmann3(3, z);
        value += choice(p, EXTRA, x) ? 0.4 * fabs(off(p, DETAIL, x)) : 0.05;
        break;
    }
    return value + 0.5 * s * s;
}

/* ---- the catalogue ---- */

#define CUBE(name)                                                                                 \
    {                                                                                              \
        name, PROBLEM_FLOAT, 0, 0, 1, 0, -1, 0                                                     \
    }
static const problem_param cube[TURNED] = {CUBE("x0"), CUBE("x1"), CUBE("x2"), CUBE("x3"),
                                           CUBE("x4"), CUBE("x5"), CUBE("x6"), CUBE("x7"),
                                           CUBE("x8"), CUBE("x9")};

static const problem_param mixed_levy[] = {
    CUBE("x0"),
    CUBE("x1"),
    {"n0", PROBLEM_INT, 1, 1, 64, 0, -1, 0},
    {"n1", PROBLEM_INT, 0, 0, 12, 0, -1, 0},
    {"c0", PROBLEM_CHOICE, 0, 0, 3, 4, -1, 0},
    {"c1", PROBLEM_CHOICE, 0, 0, 2, 3, -1, 0},
};

static const problem_param mixed_ackley[] = {
    CUBE("x0"),
    CUBE("x1"),
    {"x2", PROBLEM_FLOAT, 1, 1e-4, 1, 0, -1, 0},
    {"n0", PROBLEM_INT, 0, 0, 20, 0, -1, 0},
    {"n1", PROBLEM_INT, 0, 0, 20, 0, -1, 0},
    {"c0", PROBLEM_CHOICE, 0, 0, 1, 2, -1, 0},
};

static const problem_param conditional[] = {
    {"branch", PROBLEM_CHOICE, 0, 0, 2, 3, -1, 0},
    CUBE("shared"),
    {"a0", PROBLEM_FLOAT, 0, 0, 1, 0, BRANCH, 0},
    {"a1", PROBLEM_FLOAT, 0, 0, 1, 0, BRANCH, 0},
    {"b0", PROBLEM_FLOAT, 0, 0, 1, 0, BRANCH, 1},
    {"b1", PROBLEM_INT, 1, 1, 32, 0, BRANCH, 1},
    {"c0", PROBLEM_FLOAT, 0, 0, 1, 0, BRANCH, 2},
    {"c1", PROBLEM_FLOAT, 0, 0, 1, 0, BRANCH, 2},
    {"c2", PROBLEM_FLOAT, 0, 0, 1, 0, BRANCH, 2},
    {"extra", PROBLEM_CHOICE, 0, 0, 1, 2, BRANCH, 2},
    {"detail", PROBLEM_FLOAT, 0, 0, 1, 0, EXTRA, 1},
};

#define SAME(v)                                                                                    \
    {                                                                                              \
        v, v, v, v, v, v, v, v, v, v                                                               \
    }
static const double branin_at[] = {0.542772844, 0.151666667};
static const double hartmann3_at[] = {0.114614339, 0.555648850, 0.852546954};
static const double hartmann6_at[] = {0.201689511, 0.150010692, 0.476873974,
                                      0.275332430, 0.311651617, 0.657300534};
static const double ackley_at[] = SAME(25.0 / 60), levy_at[] = SAME(11.0 / 20);
static const double rosenbrock_at[] = SAME(6.0 / 15), rastrigin_at[] = SAME(0.5);
static const double michalewicz_at[] = {0.7012066054, 0.5, 0.4090255194, 0.6121285228,
                                        0.5476425373};
static const double mixed_levy_at[] = {0.31, 0.64, 12, 8, 0, 0};
static const double mixed_ackley_at[] = {0.62, 0.27, 0.02, 13, 6, 0};
static const double conditional_at[] = {2,           0.35,        0.542772844, 0.151666667, 0.4, 6,
                                        0.114614339, 0.555648850, 0.852546954, 1,           0.7};

/* Noise: 1 % of the range over the cube, of mixed-levy .1 % (its slope is in the numbers). */
#define TURNED_CUBE(name, n, noise, least, at, f, low, width)                                      \
    {                                                                                              \
        name, n, cube, noise, least, at, value_turned, f, low, width, false                        \
    }
static const definition definitions[] = {
    TURNED_CUBE("branin", 2, 0, 0.397887357729739, branin_at, branin_on_cube, 0, 1),
    TURNED_CUBE("hartmann3", 3, 0, -3.86278214782076, hartmann3_at, function_hartmann3, 0, 1),
    TURNED_CUBE("hartmann6", 6, 0, -3.32236801141551, hartmann6_at, function_hartmann6, 0, 1),
    TURNED_CUBE("ackley5", 5, 0, 0, ackley_at, function_ackley, -25, 60),
    TURNED_CUBE("ackley10", 10, 0, 0, ackley_at, function_ackley, -25, 60),
    TURNED_CUBE("levy5", 5, 0, 0, levy_at, function_levy, -10, 20),
    TURNED_CUBE("rosenbrock5", 5, 0, 0, rosenbrock_at, function_rosenbrock, -5, 15),
    TURNED_CUBE("rastrigin4", 4, 0, 0, rastrigin_at, function_rastrigin, -5.12, 10.24),
    {"michalewicz5", 5, cube, 0, -4.687658179088095, michalewicz_at, value_turned,
     function_michalewicz, 0, 3.14159265358979323846, true},
    {"mixed-levy", 6, mixed_levy, 0, 0, mixed_levy_at, value_mixed_levy, NULL, 0, 0, false},
    {"mixed-ackley", 6, mixed_ackley, 0, 0, mixed_ackley_at, value_mixed_ackley, NULL, 0, 0, false},
    {"conditional", 11, conditional, 0, 0, conditional_at, value_conditional, NULL, 0, 0, false},
    TURNED_CUBE("branin-noisy", 2, 3.1, 0.397887357729739, branin_at, branin_on_cube, 0, 1),
    TURNED_CUBE("hartmann6-noisy", 6, 0.033, -3.32236801141551, hartmann6_at, function_hartmann6, 0,
                1),
    {"mixed-noisy", 6, mixed_levy, 0.1, 0, mixed_levy_at, value_mixed_levy, NULL, 0, 0, false},
};
enum { PROBLEMS = sizeof definitions / sizeof *definitions };

const char *problem_name(int32_t i)
{
    return i >= 0 && i < PROBLEMS ? definitions[i].name : NULL;
}

problem *problem_open(const char *name, int32_t instance)
{
    int32_t i = 0;

    while (i < PROBLEMS && strcmp(definitions[i].name, name) != 0) i++;
    problem *p = i < PROBLEMS && instance >= 0 ? calloc(1, sizeof *p) : NULL;
    if (!p) return NULL;
    p->def = &definitions[i];
    p->instance = instance;
    draw_instance(p);
    for (i = 0; i < p->def->n; i++) {
        problem_param *q = &p->params[i];
        *q = p->def->params[i];
        if (q->parent >= 0) q->parent_choice = choice_of(p, q->parent, q->parent_choice);
    }
    if (p->def->f) turn_make(p, 0, 0, p->def->n);
    if (p->def->value == value_conditional) {
        turn_make(p, 0, FIRST, 2);
        turn_make(p, 1, THIRD, 3);
    }
    return p;
}

void problem_close(problem *p)
{
    free(p);
}

int32_t problem_params(const problem *p, const problem_param **out)
{
    *out = p->params;
    return p->def->n;
}

double problem_value(const problem *p, const double *x)
{
    return p->def->value(p, x);
}

double problem_observe(const problem *p, const double *x, uint64_t seed, int64_t number)
{
    const rng_key key = {seed, rng_site(p->def->name), rng_site("noise")};
    const double value = problem_value(p, x);

    return p->def->noise > 0 ? value + p->def->noise * rng_normal(key, (uint64_t)number) : value;
}

double problem_noise(const problem *p)
{
    return p->def->noise;
}

double problem_least(const problem *p)
{
    return p->def->least;
}

void problem_solution(const problem *p, double *x)
{
    for (int32_t i = 0; i < p->def->n; i++)
        x[i] = p->params[i].type == PROBLEM_CHOICE ? choice_of(p, i, (int32_t)p->place[i])
                                                   : p->place[i];
}
