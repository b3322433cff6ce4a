/* Lines, and what they mean. Python writes NaN and Infinity as bare words, which are no JSON: they
 * are put in quotes before reading. */
#include "worker/said.h"
#include "base/number.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

void said_open(said *s, drmad_ctx *ctx, const char *metric)
{
    *s = (said){.ctx = ctx, .metric = metric ? metric : ""};
}

void said_close(said *s)
{
    json_decref(s->result);
    mem_free(s->ctx, s->line);
    mem_free(s->ctx, s->reports);
    s->result = NULL, s->line = NULL, s->reports = NULL;
}

bool said_real(const json_t *j, double *out)
{
    if (json_is_number(j)) *out = json_number_value(j);
    else if (!json_is_string(j) || !number_read(json_string_value(j), out)) return false;
    else if (isfinite(*out)) return false; /* "0.5" in quotes is a text */
    return true;
}

/* ---- one line ---- */

static size_t bare_word(const char *at)
{
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};

    for (size_t i = 0; i < COUNT(words); i++)
        if (strncmp(at, words[i], strlen(words[i])) == 0) return strlen(words[i]);
    return 0;
}

/* Gives *out: the line with bare words in quotes, for each at most 2 bytes more. */
static drmad_status quote_words(drmad_ctx *ctx, const char *line, char **out)
{
    const drmad_status st = mem_alloc(ctx, 2 * strlen(line) + 1, 1, out);
    bool text = false;

    if (st != DRMAD_OK) return st;
    for (char *to = *out; *line;) {
        const size_t n = text ? 0 : bare_word(line);

        if (n > 0) {
            *to++ = '"';
            memcpy(to, line, n);
            to += n, line += n;
            *to++ = '"';
            continue;
        }
        if (text && *line == '\\' && line[1]) *to++ = *line++;
        else if (*line == '"') text = !text;
        *to++ = *line++;
    }
    return DRMAD_OK;
}

static drmad_status add_report(said *s, int64_t step, double value)
{
    drmad_status st = DRMAD_OK;

    if (s->n_reports == s->room_reports) {
        const int32_t room = 2 * s->room_reports + 16;

        TRY(mem_resize(s->ctx, &s->reports, (size_t)s->room_reports, (size_t)room,
                       sizeof *s->reports));
        s->room_reports = room;
    }
    s->reports[s->n_reports++] = (store_report){step, value};
    s->last = value;
    s->has_last = true;
done:
    return st;
}

/* Takes `j`. */
static drmad_status take_object(said *s, json_t *j)
{
    const json_t *step = json_object_get(j, "step");
    drmad_status st = DRMAD_OK;
    double value;

    if (json_is_integer(step) && said_real(json_object_get(j, "value"), &value)) {
        st = add_report(s, json_integer_value(step), value);
        json_decref(j);
        return st;
    }
    json_decref(s->result);
    s->result = j;
    return st;
}

static void keep_tail(said *s, const char *line)
{
    size_t n = 0;

    for (; line[n] && n + 1 < sizeof s->tail; n++)
        s->tail[n] = (unsigned char)line[n] < 0x20 || line[n] == 0x7f ? '?' : line[n];
    while (n > 0 && ((unsigned char)line[n] & 0xc0) == 0x80) n--; /* not within a character */
    s->tail[n] = '\0';
}

/* The line ends at line[n], which is 0; earlier zeros are junk. */
static drmad_status take_line(said *s, char *line, size_t n)
{
    drmad_status st = DRMAD_OK;
    char *text = NULL;
    json_t *j = NULL;
    double x;

    s->has_number = false; /* only the very last line may be a number alone */
    if (strlen(line) != n) return DRMAD_OK;
    while (n > 0 && strchr(" \t\r", line[n - 1])) line[--n] = '\0';
    line += strspn(line, " \t");
    if (line[0] == '{') {
        TRY(quote_words(s->ctx, line, &text));
        j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    }
    if (json_is_object(j)) {
        st = take_object(s, j);
        j = NULL;
    } else if (number_read(line, &x)) {
        s->number = x;
        s->has_number = true;
    } else if (line[0]) {
        keep_tail(s, line);
    }
done:
    json_decref(j);
    mem_free(s->ctx, text);
    return st;
}

/* ---- the stream ---- */

static drmad_status keep(said *s, const char *bytes, size_t n)
{
    drmad_status st = DRMAD_OK;

    if (s->skipping) return st;
    if (s->used + n > SAID_LINE_MAX) {
        s->skipping = true;
        s->too_long++;
        return st;
    }
    if (s->used + n + 1 > s->room) {
        const size_t room = 2 * (s->used + n) + 256;

        TRY(mem_resize(s->ctx, &s->line, s->used, room, 1));
        s->room = room;
    }
    memcpy(s->line + s->used, bytes, n);
    s->used += n;
    s->line[s->used] = '\0';
done:
    return st;
}

static drmad_status end_line(said *s)
{
    const size_t n = s->used;
    const bool whole = !s->skipping;

    s->used = 0;
    s->skipping = false;
    if (!whole) s->has_number = false;
    return whole && n > 0 ? take_line(s, s->line, n) : DRMAD_OK;
}

drmad_status said_take(said *s, const char *bytes, size_t n)
{
    drmad_status st = DRMAD_OK;

    while (n > 0) {
        const char *end = memchr(bytes, '\n', n);
        const size_t k = end ? (size_t)(end - bytes) : n;

        TRY(keep(s, bytes, k));
        if (!end) break;
        TRY(end_line(s));
        bytes += k + 1, n -= k + 1;
    }
done:
    return st;
}

drmad_status said_end(said *s)
{
    return end_line(s);
}

/* ---- the result ---- */

/* "a.b": the key itself first, then b in a. */
static const json_t *find(const json_t *j, const char *path)
{
    const json_t *at = json_object_get(j, path);
    const char *dot = strchr(path, '.');
    char key[128];

    if (at || !dot || (size_t)(dot - path) >= sizeof key) return at;
    memcpy(key, path, (size_t)(dot - path));
    key[dot - path] = '\0';
    at = json_object_get(j, key);
    return json_is_object(at) ? find(at, dot + 1) : NULL;
}

static bool value_of(const said *s, double *value)
{
    const char *key;
    json_t *j;

    if (s->metric[0]) return said_real(find(s->result, s->metric), value);
    if (json_object_get(s->result, "value"))
        return said_real(json_object_get(s->result, "value"), value);
    json_object_foreach(s->result, key, j)
    {
        if (said_real(j, value)) return true;
    }
    return false;
}

static void fail(said_verdict *v, const char *why, const char *what)
{
    v->state = TRIAL_FAIL;
    v->value = NAN;
    snprintf(v->why, sizeof v->why, "%s%s", why, what);
}

static void judge_object(const said *s, said_verdict *v)
{
    const json_t *word = json_object_get(s->result, "state");
    trial_state state = TRIAL_COMPLETE;

    if (word && (!json_is_string(word) || !trial_state_of(json_string_value(word), &state)))
        fail(v, "its result has a state that is none", "");
    else if (state == TRIAL_PRUNED) v->state = TRIAL_PRUNED;
    else if (state == TRIAL_FAIL) fail(v, "its result says FAIL", "");
    else if (value_of(s, &v->value)) v->state = TRIAL_COMPLETE;
    else if (s->metric[0]) fail(v, "its result has no number called ", s->metric);
    else fail(v, "its result has no number", "");
}

void said_judge(const said *s, said_verdict *v)
{
    *v = (said_verdict){.state = TRIAL_COMPLETE, .value = NAN};
    if (s->result) judge_object(s, v);
    else if (s->has_number) v->value = s->number;
    else if (s->has_last) v->value = s->last;
    else if (s->too_long) fail(v, "its only line that could be a result is longer than 1 MiB", "");
    else if (s->tail[0]) fail(v, "no line of JSON in its output, which ended: ", s->tail);
    else fail(v, "no line of JSON in its output", "");
    if (v->state == TRIAL_COMPLETE && isnan(v->value)) fail(v, "the result is NaN", "");
}
