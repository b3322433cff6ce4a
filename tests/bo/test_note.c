/* Notes lead back to what a suggestion looked at. */
#include "bo/sampler_inside.h"
#include "test.h"

enum { ROWS = 12, DIMS = 2 };

static const char dist[] = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, "
                           "\"low\": 0.0, \"high\": 1.0, \"log\": false}}";

typedef struct scene {
    drmad_ctx *ctx;
    search *space;
    sampler *s;
    double x[ROWS][DIMS];
    observation rows[ROWS];
    history h;
} scene;

/* Trials 0 to 6, 8, 9, 11 to 13; 4, 9 and 11 are pending. */
static void open_scene(scene *c)
{
    static const int64_t numbers[ROWS] = {0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13};
    const sampler_options o = {.kind = SAMPLER_TPE, .seed = 9, .startup = 3, .gradients = true};
    static const char *const names[DIMS] = {"a", "b"};
    search_param *p;
    int32_t index;

    *c = (scene){.ctx = test_ctx()};
    CHECK_OK(c->ctx, search_new(c->ctx, &c->space));
    for (int i = 0; i < DIMS; i++) {
        CHECK_OK(c->ctx, search_param_parse(c->ctx, names[i], dist, &p));
        CHECK_OK(c->ctx, search_add(c->space, p, &index));
    }
    CHECK_OK(c->ctx, sampler_new(c->ctx, &o, c->space, &c->s));
    for (int i = 0; i < ROWS; i++) {
        const bool waits = numbers[i] == 4 || numbers[i] == 9 || numbers[i] == 11;

        for (int k = 0; k < DIMS; k++) c->x[i][k] = (i + 1.0) / (ROWS + k + 1);
        c->rows[i] = (observation){
            .number = numbers[i],
            .state = waits    ? OBSERVED_PENDING
                     : i == 5 ? OBSERVED_FAILED
                              : OBSERVED_COMPLETE,
            .x = c->x[i],
            .value = waits || i == 5 ? NAN : 1.0 / (i + 1),
        };
    }
    c->h = (history){ROWS, c->rows};
}

static void close_scene(scene *c)
{
    sampler_free(c->s);
    search_free(c->space);
}

static bool has(const char *note, const char *part)
{
    const bool found = strstr(note, part) != NULL;

    if (!found) test_fail(__FILE__, __LINE__, "no %s in %s", part, note);
    return found;
}

/* What has come since, and what has become of those that were pending, changes nothing. */
TEST(note_gives_the_history_back)
{
    scene c;
    observation later[ROWS + 1], *rows;
    char *note;
    int32_t n;

    open_scene(&c);
    CHECK_OK(c.ctx, note_print(c.s, &c.h, NULL, &note));
    has(note, "\"seen\":\"0-3,5-6,8,12-13\"");
    has(note, "\"pending\":\"4,9,11\"");
    memcpy(later, c.rows, sizeof c.rows);
    for (int i = 0; i < ROWS; i++) {
        if (later[i].state != OBSERVED_PENDING) continue;
        later[i].state = i == 4 ? OBSERVED_COMPLETE : OBSERVED_FAILED;
        later[i].value = i == 4 ? 7 : (double)NAN;
    }
    later[ROWS] = (observation){.number = 20, .x = c.x[0], .value = 3};
    CHECK_OK(c.ctx, sampler_seen(c.s, note, &(history){ROWS + 1, later}, &rows, &n));
    CHECK_INT(n, ROWS);
    for (int i = 0; i < n; i++) {
        CHECK_INT(rows[i].number, c.rows[i].number);
        CHECK_INT(rows[i].state, c.rows[i].state);
        CHECK(rows[i].value == c.rows[i].value || isnan(c.rows[i].value));
        CHECK_INT(isnan(rows[i].value), isnan(c.rows[i].value));
        CHECK(rows[i].x == c.rows[i].x);
    }
    mem_free(c.ctx, rows);
    mem_free(c.ctx, note);
    close_scene(&c);
}

TEST(note_sees_what_is_no_longer_the_same)
{
    scene c;
    observation *rows;
    char *note;
    int32_t n;

    open_scene(&c);
    CHECK_OK(c.ctx, note_print(c.s, &c.h, NULL, &note));
    c.rows[2].value = nextafter(c.rows[2].value, 2);
    CHECK_FAILS(c.ctx, sampler_seen(c.s, note, &c.h, &rows, &n), DRMAD_E_STORAGE, "no longer");
    c.rows[2].value = 1.0 / 3;
    CHECK_OK(c.ctx, sampler_seen(c.s, note, &c.h, &rows, &n));
    mem_free(c.ctx, rows);
    c.x[4][1] += 1e-12; /* of a pending one */
    CHECK_FAILS(c.ctx, sampler_seen(c.s, note, &c.h, &rows, &n), DRMAD_E_STORAGE, "no longer");
    c.x[4][1] = 5.0 / (ROWS + 2);
    c.h.n--;
    CHECK_FAILS(c.ctx, sampler_seen(c.s, note, &c.h, &rows, &n), DRMAD_E_STORAGE, "trial 13");
    c.h.n++;
    c.rows[0].state = OBSERVED_PENDING; /* it was finished then */
    CHECK_FAILS(c.ctx, sampler_seen(c.s, note, &c.h, &rows, &n), DRMAD_E_STORAGE, "trial 0");
    mem_free(c.ctx, note);
    close_scene(&c);
}

TEST(note_that_cannot_be_read_is_refused)
{
    static const char *const notes[] = {
        "",
        "[]",
        "{}",
        "{\"seen\": \"0-3\"}",
        "{\"seen\": \"3,2\", \"pending\": \"\"}",
        "{\"seen\": \"0-3x\", \"pending\": \"\"}",
        "{\"seen\": \"-3\", \"pending\": \"\"}",
        "{\"seen\": \"5-2\", \"pending\": \"\"}",
        "{\"seen\": \"0,0\", \"pending\": \"\"}",
        "{\"seen\": \"0-9223372036854775807\", \"pending\": \"\"}",
        "{\"seen\": \"0\", \"pending\": \"0\"}",
        "{\"seen\": \"\", \"pending\": \"\"}", /* no hash */
    };
    scene c;
    observation *rows;
    int32_t n;

    open_scene(&c);
    for (size_t i = 0; i < COUNT(notes); i++)
        CHECK_FAILS(c.ctx, sampler_seen(c.s, notes[i], &c.h, &rows, &n), DRMAD_E_STORAGE, "");
    close_scene(&c);
}

TEST(note_says_how_a_point_was_made)
{
    scene c;
    sampler_options o;
    int64_t *seen;
    json_t *model = json_pack("{s:f}", "a", 0.1), *back = NULL;
    char *note;
    int32_t n;

    open_scene(&c);
    CHECK_OK(c.ctx, note_print(c.s, &c.h, model, &note));
    CHECK_OK(c.ctx, sampler_note_options(c.ctx, note, &o));
    CHECK(o.kind == SAMPLER_TPE && o.seed == 9 && o.startup == 3 && o.gradients);
    CHECK_OK(c.ctx, sampler_note_numbers(c.ctx, note, 14, &seen, &n));
    CHECK(n == 9 && seen[0] == 0 && seen[8] == 13);
    mem_free(c.ctx, seen);
    CHECK_FAILS(c.ctx, sampler_note_numbers(c.ctx, note, 13, &seen, &n), DRMAD_E_STORAGE, "");
    CHECK_OK(c.ctx, sampler_model(c.s, &(observation){.note = note}, &back));
    CHECK(json_equal(model, back));
    mem_free(c.ctx, note);
    o.kind = SAMPLER_SOBOL;
    CHECK_OK(c.ctx, sampler_note_blind(c.ctx, &o, &note));
    CHECK(!strstr(note, "seen"));
    CHECK_OK(c.ctx, sampler_note_numbers(c.ctx, note, 14, &seen, &n));
    CHECK(!seen);
    CHECK_FAILS(c.ctx, sampler_note_options(c.ctx, "{\"sampler\": \"x\", \"seed\": 1}", &o),
                DRMAD_E_STORAGE, "no sampler");
    CHECK_FAILS(c.ctx, sampler_note_options(c.ctx, "{\"sampler\": \"gp\"}", &o), DRMAD_E_STORAGE,
                "no seed");
    json_decref(model);
    json_decref(back);
    mem_free(c.ctx, note);
    close_scene(&c);
}
