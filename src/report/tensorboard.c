/* Event files: messages built from the inside out, then framed as records. */
#include "report/tensorboard.h"
#include "base/file.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- records ---- */

uint32_t tensorboard_crc(const void *bytes, size_t n)
{
    const unsigned char *b = bytes;
    uint32_t crc = ~0u;

    for (size_t i = 0; i < n; i++) {
        crc ^= b[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

static void put_little(text_out *t, uint64_t x, int bytes)
{
    char b[8];

    for (int i = 0; i < bytes; i++) b[i] = (char)(x >> (8 * i) & 0xff);
    text_put_bytes(t, b, (size_t)bytes);
}

/* TFRecord masks its sums, for records within records. */
static uint32_t masked(const void *bytes, size_t n)
{
    const uint32_t crc = tensorboard_crc(bytes, n);

    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void put_record(text_out *t, const text_out *message)
{
    const size_t at = t->used;

    put_little(t, message->used, 8);
    if (t->st != DRMAD_OK) return;
    put_little(t, masked(t->text + at, 8), 4);
    text_put_bytes(t, message->text, message->used);
    put_little(t, masked(message->text, message->used), 4);
}

/* ---- protobuf ---- */

static void put_varint(text_out *t, uint64_t x)
{
    for (; x >= 0x80; x >>= 7) text_put_bytes(t, (const char[]){(char)(x | 0x80)}, 1);
    text_put_bytes(t, (const char[]){(char)x}, 1);
}

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void put_key(text_out *t, int field, int wire)
{
    put_varint(t, (uint64_t)(field << 3 | wire));
}

static void put_whole(text_out *t, int field, int64_t x)
{
    put_key(t, field, WIRE_VARINT);
    put_varint(t, (uint64_t)x);
}

static void put_double(text_out *t, int field, double x)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof bits);
    put_key(t, field, WIRE_64);
    put_little(t, bits, 8);
}

static void put_float(text_out *t, int field, double x)
{
    const float f = (float)x;
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    put_key(t, field, WIRE_32);
    put_little(t, bits, 4);
}

static void put_bytes(text_out *t, int field, const char *bytes, size_t n)
{
    put_key(t, field, WIRE_BYTES);
    put_varint(t, n);
    text_put_bytes(t, bytes, n);
}

/* Takes the message within. */
static void put_message(text_out *t, int field, text_out *inside)
{
    put_bytes(t, field, inside->text ? inside->text : "", inside->used);
    if (t->st == DRMAD_OK) t->st = inside->st;
    text_free(inside);
}

/* ---- events ---- */

typedef struct events {
    text_out file;
    double wall; /* of the events to come, seconds since 1970 */
} events;

/* Event: wall_time = 1, step = 2, summary = 5. Summary: value = 1. Takes `value`. */
static void put_event(events *e, int64_t step, text_out *value)
{
    text_out event = {.ctx = e->file.ctx}, summary = {.ctx = e->file.ctx};

    put_message(&summary, 1, value);
    put_double(&event, 1, e->wall);
    if (step) put_whole(&event, 2, step);
    put_message(&event, 5, &summary);
    if (event.st == DRMAD_OK) put_record(&e->file, &event);
    else e->file.st = event.st;
    text_free(&event);
}

/* Summary.Value: tag = 1, simple_value = 2. */
static void put_scalar(events *e, const char *tag, int64_t step, double x)
{
    text_out value = {.ctx = e->file.ctx};

    put_bytes(&value, 1, tag, strlen(tag));
    put_float(&value, 2, x);
    put_event(e, step, &value);
}

/* Event: file_version = 3, the first of a file. */
static void start_events(events *e, drmad_ctx *ctx, double wall)
{
    static const char version[] = "brain.Event:2";
    text_out event = {.ctx = ctx};

    *e = (events){.file.ctx = ctx, .wall = isnan(wall) ? 0 : wall};
    put_double(&event, 1, e->wall);
    put_bytes(&event, 3, version, strlen(version));
    if (event.st == DRMAD_OK) put_record(&e->file, &event);
    else e->file.st = event.st;
    text_free(&event);
}

/* Takes what was put. */
static drmad_status write_events(events *e, const char *folder)
{
    char path[1400];
    drmad_status st = e->file.st;

    if (st == DRMAD_OK) TRY(file_make_folder(e->file.ctx, folder));
    TRY(st);
    snprintf(path, sizeof path, "%s/events.out.tfevents.%010.0f.drmad", folder, e->wall);
    TRY(file_write_atomic(e->file.ctx, path, e->file.text, e->file.used));
done:
    text_free(&e->file);
    return st;
}

/* ---- hyperparameters ---- */

/* Value.metadata = 9 { plugin_data = 1 { plugin_name = 1, content = 2 } }, and tensor = 8, an empty
 * float (dtype = 1: DT_FLOAT, tensor_shape = 2), without which TensorBoard drops it. Takes
 * `content`. */
static void put_plugin(events *e, const char *tag, text_out *content)
{
    drmad_ctx *ctx = e->file.ctx;
    text_out value = {.ctx = ctx}, data = {.ctx = ctx}, metadata = {.ctx = ctx};
    text_out tensor = {.ctx = ctx};

    put_bytes(&data, 1, "hparams", 7);
    put_message(&data, 2, content);
    put_message(&metadata, 1, &data);
    put_whole(&tensor, 1, 1);
    put_bytes(&tensor, 2, "", 0);
    put_bytes(&value, 1, tag, strlen(tag));
    put_message(&value, 8, &tensor);
    put_message(&value, 9, &metadata);
    put_event(e, 0, &value);
}

/* SessionStartInfo.hparams = 1, a map: key = 1, value = 2, a google.protobuf.Value: number_value =
 * 2, string_value = 3. */
static void put_hparam(text_out *start, const view_param *p, double x)
{
    text_out entry = {.ctx = start->ctx}, value = {.ctx = start->ctx};
    char buf[64];

    if (p->d->type == SEARCH_CATEGORICAL) {
        const char *text = view_show(p, x, buf);

        put_bytes(&value, 3, text, strlen(text));
    } else {
        put_double(&value, 2, x);
    }
    put_bytes(&entry, 1, p->name, strlen(p->name));
    put_message(&entry, 2, &value);
    put_message(start, 1, &entry);
}

/* HParamsPluginData: session_start_info = 3 { start_time_secs = 5 }, session_end_info = 4
 * { status = 1, end_time_secs = 2 }. */
static void put_session(events *e, const view *v, const view_trial *t)
{
    static const int status[TRIAL_STATE_COUNT] = {3, 1, 1, 2, 0}; /* RUNNING SUCCESS ... FAILURE */
    drmad_ctx *ctx = v->ctx;
    text_out start = {.ctx = ctx}, end = {.ctx = ctx}, data = {.ctx = ctx}, last = {.ctx = ctx};

    for (int32_t i = 0; i < t->n_params; i++)
        put_hparam(&start, &v->params[t->params[i].param], t->params[i].x);
    put_double(&start, 5, isnan(t->start) ? 0 : t->start);
    put_message(&data, 3, &start);
    put_plugin(e, "_hparams_/session_start_info", &data);
    put_whole(&end, 1, status[t->state]);
    if (!isnan(t->complete)) put_double(&end, 2, t->complete);
    put_message(&last, 4, &end);
    put_plugin(e, "_hparams_/session_end_info", &last);
}

/* ---- studies and runs ---- */

static drmad_status put_trial(const view *v, const view_trial *t, const char *folder)
{
    char own[1300];
    events e;

    start_events(&e, v->ctx, t->start);
    put_session(&e, v, t);
    for (int32_t i = 0; i < t->n_reports; i++)
        put_scalar(&e, "intermediate value", t->reports[i].step, t->reports[i].value);
    if (!isnan(t->complete)) e.wall = t->complete;
    for (int32_t k = 0; k < v->n_objectives; k++)
        if (!isnan(view_value_of(t, k))) put_scalar(&e, v->objectives[k], 0, view_value_of(t, k));
    if (!isnan(t->start)) e.wall = t->start; /* names the file: the same again */
    snprintf(own, sizeof own, "%s/%lld", folder, (long long)t->number);
    return write_events(&e, own);
}

/* Experiment (HParamsPluginData.experiment = 2): hparam_infos = 4 { name = 1, type = 4 },
 * metric_infos = 5 { name = 1 { tag = 2 } }. */
static drmad_status put_experiment(const view *v, const char *folder)
{
    drmad_ctx *ctx = v->ctx;
    text_out experiment = {.ctx = ctx}, data = {.ctx = ctx};
    events e;

    start_events(&e, ctx, v->n_trials ? v->trials[0].start : 0);
    for (int32_t i = 0; i < v->n_params; i++) {
        text_out info = {.ctx = ctx};

        put_bytes(&info, 1, v->params[i].name, strlen(v->params[i].name));
        put_whole(&info, 4, v->params[i].d->type == SEARCH_CATEGORICAL ? 1 : 3);
        put_message(&experiment, 4, &info);
    }
    for (int32_t k = 0; k < v->n_objectives; k++) {
        text_out info = {.ctx = ctx}, name = {.ctx = ctx};

        put_bytes(&name, 2, v->objectives[k], strlen(v->objectives[k]));
        put_message(&info, 1, &name);
        put_message(&experiment, 5, &info);
    }
    put_message(&data, 2, &experiment);
    put_plugin(&e, "_hparams_/experiment", &data);
    return write_events(&e, folder);
}

drmad_status tensorboard_study(const view *v, const char *folder)
{
    drmad_status st = DRMAD_OK;

    TRY(put_experiment(v, folder));
    for (int32_t i = 0; i < v->n_trials; i++) TRY(put_trial(v, &v->trials[i], folder));
done:
    return st;
}

drmad_status tensorboard_run(const run_view *r, const char *folder)
{
    static const char *const keys[] = {"objective", "best", "error", "gradient_norm", "growth"};
    const json_t *steps = json_object_get(r->result, "path");
    events e;

    start_events(&e, r->ctx, 0);
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);

        for (size_t k = 0; k < COUNT(keys); k++) {
            const json_t *x = json_object_get(step, keys[k]);

            if (json_is_number(x)) put_scalar(&e, keys[k], (int64_t)i + 1, json_number_value(x));
        }
    }
    for (int32_t i = 0; i < r->n; i++) {
        const run_slice *s = &r->slices[i];

        for (int64_t k = 0; k < s->phases && s->elements == 1; k++)
            put_scalar(&e, s->name, k, s->values[k]);
    }
    return write_events(&e, folder);
}
