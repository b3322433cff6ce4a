/* What the GP sampler keeps with a suggestion comes back to the bit. */
#include "bo/gp_note.h"
#include "test.h"

TEST(hyperparameters_come_back_from_a_note_to_the_bit)
{
    const double phi[] = {-0.1, 1.0 / 3, -12.000000000000002, 0, 5e-324};
    const gp_note note = {.turn = GP_NICHE, .balls = 2, .rows = 40, .ei = -3.25};
    double back[5];
    json_t *model = gp_note_make(&note, phi, 5);

    CHECK(model != NULL);
    const gp_note read = gp_note_read(model);

    CHECK(read.turn == GP_NICHE && read.balls == 2 && read.rows == 40 && read.ei == -3.25);
    CHECK(gp_note_phi(model, back, 5));
    CHECK(memcmp(phi, back, sizeof phi) == 0);
    CHECK(!gp_note_phi(model, back, 4));
    json_decref(model);
    CHECK_INT(gp_note_read(NULL).turn, GP_NONE);
}

/* No expected improvement is read into it, and none so small that a ball would be closed. */
TEST(a_note_of_polishing_has_a_mean_instead)
{
    const gp_note note = {.turn = GP_NOISY, .ei = NAN, .mean = -1.5};
    json_t *model = gp_note_make(&note, NULL, 0);
    const gp_note read = gp_note_read(model);

    CHECK(read.turn == GP_NOISY && isnan(read.ei) && read.mean == -1.5);
    json_decref(model);
}
