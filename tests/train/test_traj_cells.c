/* Cells of averaged squares: each v lies in the cell that is handed out for it, at every step, in
 * both types; a weight without a gradient has none; what is written is small. */
#include "traj_fixture.h"
#include <math.h>

enum { STEPS = 400 };
static const double keep = 0.97;

/* Gradients over twelve decades; a weight in four starts late, one in eight never does, and some
 * stop: their v decays below what is a normal number in F32. */
static double gradient_of(int64_t i, int64_t t)
{
    const rng_key key = {7, (uint32_t)t, 4};
    const bool late = i % 4 == 1 && t < (i % 50) * 5, never = i % 8 == 2,
               over = i % 16 == 3 && t > 5;

    if (late || never || over) return 0;
    return rng_normal(key, (uint64_t)i) * pow(10, (double)(i % 13) - 9);
}

static void fill_squares(fixture *f)
{
    for (int64_t t = 0; t < STEPS; t++)
        for (int64_t i = 0; i < f->params->total; i++) {
            const double p = gradient_of(i, t);
            const double v = fixture_read(f, fixture_vector(f, t, 1), i);
            fixture_write(f, fixture_vector(f, t + 1, 1), i, keep * v + (1 - keep) * p * p);
        }
}

static void check_cells(fixture *f, const traj_view *v, int64_t t, double least)
{
    /* rounding in F32 moves s_t by parts in 1e7 a step */
    const double slack = f->spec.dtype == F32 ? 1e-4 : 1e-12;

    for (int64_t i = 0; i < f->params->total; i++) {
        const double low = fixture_read(f, v->low, i);
        const double x = fixture_read(f, fixture_vector(f, t, 1), i);
        const bool inside =
            low > 0 ? x >= low * (1 - slack) && x <= 4 * low * (1 + slack) : x <= least;
        if (!inside)
            test_fail(__FILE__, __LINE__, "step %d, weight %d: %g in a cell from %g", (int)t,
                      (int)i, x, low);
    }
}

static void check_type(dtype d)
{
    trajectory *tr = NULL;
    fixture f;
    traj_view v;

    fixture_make(&f, d, STEPS, 2);
    f.spec.kind = TRAJ_GRID;
    f.spec.squares = 1;
    f.spec.memory_of_squares = keep;
    memset(fixture_vector(&f, 0, 1), 0, (size_t)f.params->total * dtype_size(d));
    fill_squares(&f);
    CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
    for (int run = 0; run < 2; run++) { /* a second run begins anew */
        fixture_forward(&f, tr);
        for (int64_t t = STEPS - 1; t >= 0; t--) {
            CHECK_OK(f.ctx, traj_load(tr, t, &v));
            CHECK(!v.now[1] && !v.next[1]);
            check_cells(&f, &v, t, d == F32 ? 2e-38 : 0);
        }
    }
    traj_free(tr);
    fixture_free(&f);
}

TEST(averaged_squares_lie_in_their_cells)
{
    check_type(F32);
    check_type(F64);
}

TEST(a_memory_out_of_range_is_refused)
{
    trajectory *tr = NULL;
    fixture f;

    fixture_make(&f, F32, 10, 2);
    f.spec.kind = TRAJ_GRID;
    f.spec.squares = 1;
    CHECK_FAILS(f.ctx, traj_new(f.ctx, &f.spec, &tr), DRMAD_E_CONFIG, "averaged squares");
    fixture_free(&f);
}
