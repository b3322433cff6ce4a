/* Draws: from u in [0, 1) to a value, by the inverse of the prior's distribution function. On a
 * grid each point stands for the stretch of half a step around it, so that the ends are as likely
 * as the rest. */
#include "space/search_inside.h"
#include <math.h>

static double below(double z)
{
    return 0.5 * erfc(-z / M_SQRT2);
}

/* Bisection: the distribution function is exact to the last bits where z is negative, and the other
 * half is mirrored; no table of coefficients is as good in the tails. */
double search_cut_normal(double u, double a, double b)
{
    const double far = 40; /* below(-far) is 0 */

    if (a > 0) return -search_cut_normal(1 - u, -b, -a);
    double from = fmax(a, -far), to = fmin(b, far);
    double pa = below(from), pb = below(to), target = pa + u * (pb - pa);

    if (!(pb > pa)) return from + u * (to - from);
    for (int i = 0; i < 100; i++) {
        double middle = from + 0.5 * (to - from);

        if (middle <= from || middle >= to) break;
        if (below(middle) < target) from = middle;
        else to = middle;
    }
    return to;
}

static double draw_choice(const search_param *p, double u)
{
    int32_t last = 0;
    double sum = 0;

    if (!p->weights) return fmin(floor(u * p->n_choices), p->n_choices - 1);
    for (int32_t i = 0; i < p->n_choices; i++) {
        if (p->weights[i] == 0) continue;
        last = i;
        sum += p->weights[i];
        if (u < sum) return i;
    }
    return last; /* the weights' sum was rounded down */
}

/* Where a uniform or normal draw happens: on the value or on its natural logarithm. */
static double scaled(double x, bool logarithm)
{
    return !logarithm ? x : x > 0 ? log(x) : -INFINITY;
}

static double onto_grid(const search_param *p, double x)
{
    if (p->step > 0) x = nearbyint((x - p->low) / p->step) * p->step + p->low;
    return fmin(fmax(x, p->low), p->high);
}

double search_draw_one(const search_param *p, double u)
{
    const double half = 0.5 * p->step;
    bool logarithm = p->prior == PRIOR_LOG_NORMAL || (p->prior == PRIOR_UNIFORM && p->log);

    if (p->fixed) return p->fixed_value;
    if (p->type == SEARCH_CATEGORICAL) return draw_choice(p, u);
    if (p->low == p->high) return p->low;
    if (p->prior == PRIOR_UNIFORM && !p->log && p->step > 0) {
        double count = nearbyint((p->high - p->low) / p->step) + 1;

        return onto_grid(p, floor(u * count) * p->step + p->low);
    }
    double from = scaled(p->low - half, logarithm), to = scaled(p->high + half, logarithm);
    double x = from * (1 - u) + to * u;

    if (p->prior != PRIOR_UNIFORM)
        x = p->mean +
            p->sd * search_cut_normal(u, (from - p->mean) / p->sd, (to - p->mean) / p->sd);
    return onto_grid(p, logarithm ? exp(x) : x);
}

/* ---- back ---- */

static void place_choice(const search_param *p, int32_t choice, double *from, double *to)
{
    *from = (double)choice / p->n_choices;
    *to = (choice + 1.0) / p->n_choices;
    if (!p->weights) return;
    *from = 0;
    for (int32_t i = 0; i < choice; i++) *from += p->weights[i];
    *to = fmin(*from + p->weights[choice], 1);
}

/* The share of a normal cut to [a, b] that lies below z, from whichever tail is the thinner. */
static double cut_below(double z, double a, double b)
{
    if (a > 0) return (below(-a) - below(-z)) / (below(-a) - below(-b));
    return (below(z) - below(a)) / (below(b) - below(a));
}

static double place_number(const search_param *p, double x)
{
    const double half = 0.5 * p->step;
    bool logarithm = p->prior == PRIOR_LOG_NORMAL || (p->prior == PRIOR_UNIFORM && p->log);
    double from = scaled(p->low - half, logarithm), to = scaled(p->high + half, logarithm);
    double at = scaled(fmin(fmax(x, p->low - half), p->high + half), logarithm), u;

    if (p->prior == PRIOR_UNIFORM) u = (at - from) / (to - from);
    else u = cut_below((at - p->mean) / p->sd, (from - p->mean) / p->sd, (to - p->mean) / p->sd);
    return u >= 0 && u <= 1 ? u : 0.5; /* no mass where the range is */
}

void search_place_one(const search_param *p, double x, double *from, double *to)
{
    *from = 0, *to = 1;
    if (p->fixed) return;
    if (p->type == SEARCH_CATEGORICAL) {
        place_choice(p, (int32_t)x, from, to);
    } else if (p->low < p->high) {
        *from = *to = place_number(p, x - 0.5 * p->step);
        if (p->step > 0) *to = place_number(p, x + 0.5 * p->step);
    }
}
