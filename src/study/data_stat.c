/* drmad data stat: what the data of a study are like, every picture decoded. And what a study says
 * of its pictures elsewhere. */
#include "data/survey.h"
#include "study/study_parts.h"
#include <stdio.h>
#include <string.h>

/* ---- what a run says ---- */

drmad_status study_put_bad(drmad_study *s)
{
    const setup *u = s->s;
    drmad_status st = DRMAD_OK;

    if (!u || !u->split) return DRMAD_OK;
    int64_t bad = u->train_data->bad + (u->feed ? feed_bad(u->feed) : 0);
    if (u->test_data) bad += u->test_data->bad;
    if (bad == 0) return DRMAD_OK;
    TRY(study_put(s, "bad_pictures", json_integer(bad)));
    TRY(study_say(s, "\n%lld picture%s could not be read: left out (data.bad_images: skip)",
                  (long long)bad, bad == 1 ? "" : "s"));
done:
    return st;
}

drmad_status study_put_speed(drmad_study *s, double *speed)
{
    const setup *u = s->s;
    drmad_status st = DRMAD_OK;

    *speed = 0;
    if (!u->feed || (u->train_data->rows && !u->spec.augment)) return DRMAD_OK;
    TRY(survey_speed(s->ctx, u->train_data, u->spec.augment, speed));
    TRY(study_put(s, "pictures_per_second", json_real(*speed)));
    if (*speed > 0)
        TRY(study_say(s,
                      "pictures   %.0f a second and thread (measured): a step of %lld takes a "
                      "thread %.3g ms, beside training",
                      *speed, (long long)u->spec.batch, 1e3 * (double)u->spec.batch / *speed));
done:
    return st;
}

/* ---- data stat ---- */

static void count_classes(const dataset *d, int64_t *count)
{
    for (int64_t i = 0; i < d->n; i++) count[d->labels[i]]++;
}

static json_t *numbers(const int64_t *x, int64_t n)
{
    json_t *a = json_array();

    for (int64_t i = 0; i < n; i++) json_array_append_new(a, json_integer((json_int_t)x[i]));
    return a;
}

static json_t *sides(const int32_t x[3])
{
    return json_pack("{s:i,s:i,s:i}", "least", x[0], "median", x[1], "most", x[2]);
}

static drmad_status say_classes(drmad_study *s, const dataset *d, json_t *j)
{
    int64_t *count = NULL, least = INT64_MAX, most = 0;
    drmad_status st;

    TRY(mem_alloc(s->ctx, (size_t)d->classes, sizeof *count, &count));
    count_classes(d, count);
    for (int32_t c = 0; c < d->classes; c++) {
        if (count[c] < least) least = count[c];
        if (count[c] > most) most = count[c];
    }
    json_object_set_new(j, "classes", numbers(count, d->classes));
    TRY(study_say(s, "           %d classes of %lld to %lld examples", d->classes, (long long)least,
                  (long long)most));
done:
    mem_free(s->ctx, count);
    return st;
}

static drmad_status say_files(drmad_study *s, const dataset *d, const survey *v, json_t *j)
{
    json_t *why = json_array();
    drmad_status st = DRMAD_OK;

    json_object_set_new(j, "bytes", json_integer((json_int_t)v->bytes));
    json_object_set_new(j, "png", json_integer((json_int_t)v->png));
    json_object_set_new(j, "width", sides(v->width));
    json_object_set_new(j, "height", sides(v->height));
    json_object_set_new(j, "bad", json_integer((json_int_t)(v->bad + d->bad)));
    for (int32_t i = 0; i < v->named; i++) json_array_append_new(why, json_string(v->why[i]));
    json_object_set_new(j, "bad_files", why);
    TRY(study_say(s,
                  "           %.1f MiB, %lld PNG, the others JPEG; sides %d to %d by %d to %d, "
                  "median %d x %d",
                  (double)v->bytes / 1048576, (long long)v->png, v->width[0], v->width[2],
                  v->height[0], v->height[2], v->width[1], v->height[1]));
    TRY(study_say(s, "           %lld cannot be decoded, %lld are passed over by name or size",
                  (long long)v->bad, (long long)d->bad));
    for (int32_t i = 0; i < v->named; i++) TRY(study_say(s, "           bad: %s", v->why[i]));
done:
    return st;
}

static drmad_status say_set(drmad_study *s, const char *part, const dataset *d)
{
    json_t *j = json_object();
    drmad_status st = DRMAD_OK;
    double speed = 0;
    char text[96];
    survey *v = NULL;

    if (!j) return FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for the result");
    shape_print(&d->row, text, sizeof text);
    json_object_set_new(j, "name", json_string(d->name));
    json_object_set_new(j, "examples", json_integer((json_int_t)d->n));
    json_object_set_new(j, "row", json_string(text));
    json_object_set_new(j, "sha256", json_string(d->sha256));
    TRY(study_say(s, "%-10s %s: %lld examples, each %s %s", part, d->name, (long long)d->n,
                  dtype_name(d->dtype), text));
    TRY(say_classes(s, d, j));
    if (!d->rows) {
        TRY(survey_take(s->ctx, d, &v));
        TRY(say_files(s, d, v, j));
        TRY(survey_speed(s->ctx, d, s->s->spec.augment, &speed));
        json_object_set_new(j, "pictures_per_second", json_real(speed));
        TRY(study_say(s, "           %.0f pictures a second and core, at %lld x %lld", speed,
                      (long long)d->row.dim[0], (long long)d->row.dim[1]));
    }
    TRY(study_put(s, part, json_incref(j)));
done:
    json_decref(j);
    mem_free(s->ctx, v);
    return st;
}

drmad_status drmad_study_data(drmad_study *s)
{
    drmad_status st = DRMAD_OK;

    TRY(study_begin_result(s, "data"));
    TRY(setup_survey(s->ctx, s->cfg, &s->s));
    TRY(say_set(s, "train", s->s->train_data));
    if (s->s->test_data) TRY(say_set(s, "test", s->s->test_data));
    TRY(study_finish(s, NULL));
done:
    return study_end(s, st);
}
