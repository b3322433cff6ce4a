/* Base learning rates against the formulas in PyTorch's documentation (torch.optim.lr_scheduler:
 * CosineAnnealingLR, LinearLR, StepLR, and SequentialLR for the rise before them; for the others
 * see tests/torch/test_optimizers.py), and their slopes against differences. */
#include "optim/schedule.h"
#include "test.h"

enum { T = 37, RISE = 5 };

/* The factor after the rise, t steps into the `total` that are left. */
static double torch_rate(const schedule *s, int64_t t, int64_t total)
{
    const double pi = acos(-1.0), low = s->final * s->rate;

    switch (s->kind) {
    case SCHEDULE_COSINE: /* eta_min + (eta_max - eta_min) (1 + cos(pi t / T_max)) / 2 */
        return low + (s->rate - low) * (1 + cos(pi * (double)t / (double)total)) / 2;
    case SCHEDULE_LINEAR: /* start_factor 1, end_factor `final`, total_iters T */
        return s->rate + (low - s->rate) * (double)t / (double)total;
    case SCHEDULE_STEP: /* gamma^(t // step_size) */
        return s->rate * pow(s->gamma, floor((double)t / (double)s->every));
    default: return s->rate;
    }
}

TEST(schedules_follow_pytorchs_formulas)
{
    for (int kind = SCHEDULE_CONSTANT; kind <= SCHEDULE_STEP; kind++)
        for (int rise = 0; rise <= RISE; rise += RISE) {
            const schedule s = {.kind = (schedule_kind)kind,
                                .rate = 0.3,
                                .final = 0.1,
                                .gamma = 0.5,
                                .every = 7,
                                .warmup = rise,
                                .steps = T};
            for (int64_t t = rise; t < T; t++) /* rounding of a few operations */
                CHECK_NEAR(schedule_at(&s, t), torch_rate(&s, t - rise, T - rise), 1e-15);
        }
}

/* LinearLR with start_factor 1/w and total_iters w - 1: rate (t + 1) / w, the full rate at last. */
TEST(a_rise_is_linear_and_ends_at_the_rate)
{
    const schedule s = {
        .kind = SCHEDULE_COSINE, .rate = 0.3, .final = 0.1, .warmup = RISE, .steps = T};

    for (int64_t t = 0; t < RISE; t++) {
        const double f = 1.0 / RISE + (1 - 1.0 / RISE) * (double)t / (RISE - 1);
        CHECK_NEAR(schedule_at(&s, t), 0.3 * f, 1e-15);
    }
    CHECK_NEAR(schedule_at(&s, RISE), 0.3, 1e-15);
}

TEST(a_rise_as_long_as_the_run_divides_by_nothing)
{
    const schedule s = {.kind = SCHEDULE_LINEAR, .rate = 0.3, .warmup = T, .steps = T};

    CHECK_NEAR(schedule_at(&s, T - 1), 0.3, 1e-15);
    CHECK(isfinite(schedule_at(&s, T)));
}

/* Every schedule is a polynomial in final and rate, and in gamma of degree 3 at most over these
 * steps, so central differences are good to h^2. */
TEST(slopes_of_schedules_are_what_differences_show)
{
    static const double milestones[] = {4, 9, 9, 20};
    const double h = 1e-4;
    double reached[3] = {0};

    for (int kind = SCHEDULE_CONSTANT; kind < SCHEDULE_TABLE; kind++)
        for (int64_t t = 0; t < T; t++) {
            schedule s = {.kind = (schedule_kind)kind,
                          .rate = 0.3,
                          .final = 0.1,
                          .gamma = 0.5,
                          .every = 10,
                          .stretch = 2,
                          .power = 1.5,
                          .rise = 0.3,
                          .initial = 0.2,
                          .milestone = milestones,
                          .milestones = COUNT(milestones),
                          .warmup = kind == SCHEDULE_ONE_CYCLE ? 0 : RISE,
                          .steps = T};
            const schedule_slope d = schedule_slope_at(&s, t);
            const double got[] = {d.rate, d.final, d.gamma};
            double *const by[] = {&s.rate, &s.final, &s.gamma};
            for (int k = 0; k < 3; k++) {
                const double x = *by[k];
                *by[k] = x + h;
                const double up = schedule_at(&s, t);
                *by[k] = x - h;
                const double down = schedule_at(&s, t);
                *by[k] = x;
                CHECK_NEAR(got[k], (up - down) / (2 * h), 1e-8);
                reached[k] = fmax(reached[k], fabs(got[k]));
            }
        }
    for (int k = 0; k < 3; k++) CHECK(reached[k] > 0.1);
}
