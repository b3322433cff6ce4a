/* The formulas of functions.h. */
#include "functions.h"
#include <math.h>

static const double PI = 3.14159265358979323846;

double function_branin(int32_t d, const double *x)
{
    const double a = x[1] - 5.1 / (4 * PI * PI) * x[0] * x[0] + 5 / PI * x[0] - 6;

    (void)d; /* 2 */
    return a * a + 10 * (1 - 1 / (8 * PI)) * cos(x[0]) + 10;
}

/* Four bumps: -sum_i c_i exp(-sum_j a_ij (x_j - p_ij)^2), a and p with a row of `d` each. */
static double hartmann(int32_t d, const double *x, const double *a, const double *p)
{
    static const double c[4] = {1.0, 1.2, 3.0, 3.2};
    double sum = 0;

    for (int32_t i = 0; i < 4; i++) {
        double q = 0;
        for (int32_t j = 0; j < d; j++)
            q += a[i * d + j] * (x[j] - p[i * d + j]) * (x[j] - p[i * d + j]);
        sum += c[i] * exp(-q);
    }
    return -sum;
}

double function_hartmann3(int32_t d, const double *x)
{
    static const double a[] = {3, 10, 30, 0.1, 10, 35, 3, 10, 30, 0.1, 10, 35};
    static const double p[] = {0.3689, 0.1170, 0.2673, 0.4699,  0.4387, 0.7470,
                               0.1091, 0.8732, 0.5547, 0.03815, 0.5743, 0.8828};

    return hartmann(d, x, a, p);
}

double function_hartmann6(int32_t d, const double *x)
{
    static const double a[] = {10, 3,   17,  3.5, 1.7, 8, 0.05, 10, 17,   0.1, 8,   14,
                               3,  3.5, 1.7, 10,  17,  8, 17,   8,  0.05, 10,  0.1, 14};
    static const double p[] = {0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886, 0.2329, 0.4135,
                               0.8307, 0.3736, 0.1004, 0.9991, 0.2348, 0.1451, 0.3522, 0.2883,
                               0.3047, 0.6650, 0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381};

    return hartmann(d, x, a, p);
}

double function_ackley(int32_t d, const double *x)
{
    double squares = 0, waves = 0;

    for (int32_t i = 0; i < d; i++) {
        squares += x[i] * x[i];
        waves += cos(2 * PI * x[i]);
    }
    return 20 - 20 * exp(-0.2 * sqrt(squares / d)) + exp(1) - exp(waves / d);
}

double function_levy(int32_t d, const double *x)
{
    const double first = sin(PI * (1 + (x[0] - 1) / 4)), last = (x[d - 1] - 1) / 4;
    const double wave = sin(2 * PI * (1 + last));
    double sum = first * first + last * last * (1 + wave * wave);

    for (int32_t i = 0; i + 1 < d; i++) {
        double w = (x[i] - 1) / 4, s = sin(PI * (1 + w) + 1);
        sum += w * w * (1 + 10 * s * s);
    }
    return sum;
}

double function_rosenbrock(int32_t d, const double *x)
{
    double sum = 0;

    for (int32_t i = 0; i + 1 < d; i++) {
        double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
        sum += 100 * a * a + b * b;
    }
    return sum;
}

double function_rastrigin(int32_t d, const double *x)
{
    double sum = 10 * d;

    for (int32_t i = 0; i < d; i++) sum += x[i] * x[i] - 10 * cos(2 * PI * x[i]);
    return sum;
}

double function_michalewicz(int32_t d, const double *x)
{
    double sum = 0;

    for (int32_t i = 0; i < d; i++) sum -= sin(x[i]) * pow(sin((i + 1) * x[i] * x[i] / PI), 20);
    return sum;
}
