/* The GP sampler's part of a note. */
#include "bo/gp_note.h"
#include "base/number.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const turns[] = {
    [GP_BASE] = "base", [GP_NOISY] = "noisy", [GP_NICHE] = "niche"};

gp_note gp_note_read(const json_t *model)
{
    gp_note note = {.turn = GP_NONE, .ei = NAN, .mean = NAN};
    const char *turn = json_string_value(json_object_get(model, "turn"));
    const json_t *fit = json_object_get(model, "fit"), *ei = json_object_get(model, "ei");
    const json_t *mean = json_object_get(model, "mean");

    if (!turn) return note;
    note.turn = GP_BASE;
    while (note.turn < GP_NICHE && strcmp(turn, turns[note.turn]) != 0) note.turn++;
    note.balls = (int32_t)json_integer_value(json_object_get(model, "balls"));
    note.rows = (int32_t)json_integer_value(json_object_get(fit, "rows"));
    if (ei) note.ei = json_number_value(ei);
    if (mean) note.mean = json_number_value(mean);
    return note;
}

bool gp_note_phi(const json_t *model, double *phi, int32_t n)
{
    const json_t *list = json_object_get(json_object_get(model, "fit"), "phi");

    if (json_array_size(list) != (size_t)n) return false;
    for (int32_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, (size_t)i));
        char *end = NULL;

        phi[i] =
            text ? number_strtod(text, &end) : NAN; /* hexadecimal, which number_read refuses */
        if (!text || end == text || *end || !isfinite(phi[i])) return false;
    }
    return true;
}

json_t *gp_note_make(const gp_note *note, const double *phi, int32_t n)
{
    const bool polished = isnan(note->ei);
    const double value = polished ? note->mean : note->ei;
    json_t *model = json_pack("{s:s,s:i,s:f}", "turn", turns[note->turn], "balls", (int)note->balls,
                              polished ? "mean" : "ei", isfinite(value) ? value : -1e300);
    json_t *list = phi ? json_array() : NULL;
    int bad = !model || (phi && !list);

    for (int32_t i = 0; !bad && phi && i < n; i++) {
        char text[NUMBER_SIZE];

        snprintf(text, sizeof text, "%a", phi[i]);
        bad |= json_array_append_new(list, json_string(text));
    }
    if (!bad && phi)
        bad |= json_object_set_new(model, "fit",
                                   json_pack("{s:i,s:O}", "rows", (int)note->rows, "phi", list));
    json_decref(list);
    if (!bad) return model;
    json_decref(model);
    return NULL;
}
