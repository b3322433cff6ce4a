/* The journal's lines as studies in memory; lines of trials go to journal_replay.c. */
#include "store/journal_inside.h"
#include <string.h>

uint64_t journal_hash(const char *text)
{
    uint64_t h = 0xCBF29CE484222325; /* FNV-1a */

    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001B3;
    return h;
}

drmad_status journal_grow(drmad_ctx *ctx, void *array, int64_t n, size_t size)
{
    enum { FIRST = 4 };

    if (n == 0) return mem_resize(ctx, array, 0, FIRST, size);
    if (n < FIRST || (n & (n - 1)) != 0) return DRMAD_OK;
    return mem_resize(ctx, array, (size_t)n, 2 * (size_t)n, size);
}

/* ---- texts ---- */

static struct journal_slot *find_slot(const journal_map *m, const char *text)
{
    size_t i = (size_t)journal_hash(text) & (m->size - 1);

    while (m->slots[i].text && strcmp(m->slots[i].text, text) != 0) i = (i + 1) & (m->size - 1);
    return m->slots + i;
}

static drmad_status map_double(drmad_ctx *ctx, journal_map *m)
{
    enum { FIRST = 64 };
    journal_map wide = {.n = m->n, .size = m->size ? 2 * m->size : FIRST};
    const drmad_status st = mem_alloc(ctx, wide.size, sizeof *wide.slots, &wide.slots);

    if (st != DRMAD_OK) return st;
    for (size_t i = 0; i < m->size; i++)
        if (m->slots[i].text) *find_slot(&wide, m->slots[i].text) = m->slots[i];
    mem_free(ctx, m->slots);
    *m = wide;
    return st;
}

drmad_status journal_map_at(drmad_ctx *ctx, journal_map *m, const char *text,
                            struct journal_slot **out)
{
    drmad_status st = DRMAD_OK;

    *out = NULL;
    if (2 * (m->n + 1) > m->size) TRY(map_double(ctx, m));
    struct journal_slot *slot = find_slot(m, text);
    if (!slot->text) {
        TRY(mem_strdup(ctx, text, &slot->text));
        slot->value = -1;
        m->n++;
    }
    *out = slot;
done:
    return st;
}

void journal_map_free(drmad_ctx *ctx, journal_map *m)
{
    for (size_t i = 0; i < m->size; i++) mem_free(ctx, m->slots[i].text);
    mem_free(ctx, m->slots);
    *m = (journal_map){0};
}

drmad_status journal_intern(drmad_ctx *ctx, journal_state *state, const char *text,
                            const char **out)
{
    struct journal_slot *slot;
    const drmad_status st = journal_map_at(ctx, &state->texts, text, &slot);

    *out = slot ? slot->text : NULL;
    return st;
}

drmad_status journal_attr_set(drmad_ctx *ctx, journal_state *state, store_attr **attrs, int32_t *n,
                              const store_attr *a)
{
    drmad_status st = DRMAD_OK;
    const char *key;
    char *json = NULL;
    int32_t i = 0;

    TRY(journal_intern(ctx, state, a->key, &key));
    TRY(mem_strdup(ctx, a->json, &json));
    while (i < *n && ((*attrs)[i].key != key || (*attrs)[i].system != a->system)) i++;
    if (i == *n) {
        TRY(journal_grow(ctx, attrs, *n, sizeof **attrs));
        ++*n;
    } else {
        mem_free(ctx, (char *)(uintptr_t)(*attrs)[i].json);
    }
    (*attrs)[i] = (store_attr){.key = key, .json = json, .system = a->system};
    json = NULL;
done:
    mem_free(ctx, json);
    return st;
}

/* ---- studies ---- */

journal_study *journal_study_of(journal_state *state, int64_t id)
{
    if (id < 0 || id >= state->n_studies || state->studies[id].deleted) return NULL;
    return state->studies + id;
}

static bool name_taken(const journal_state *state, const char *name)
{
    for (int64_t i = 0; i < state->n_studies; i++)
        if (!state->studies[i].deleted && strcmp(state->studies[i].name, name) == 0) return true;
    return false;
}

static drmad_status read_directions(drmad_ctx *ctx, journal_study *s, json_span list)
{
    drmad_status st = DRMAD_OK;
    int64_t d;

    for (json_walk w = json_walk_of(list); json_next(&w);) {
        if (!json_int(w.value, &d) || d < 0 || d > DIRECTION_MAXIMIZE)
            return FAIL(ctx, DRMAD_E_STORAGE, "a direction is 1 or 2");
        TRY(journal_grow(ctx, &s->directions, s->n_directions, sizeof *s->directions));
        s->directions[s->n_directions++] = d == 0 ? DIRECTION_MINIMIZE : (study_direction)d;
    }
    if (s->n_directions == 0) st = FAIL(ctx, DRMAD_E_STORAGE, "a study without \"directions\"");
done:
    return st;
}

static drmad_status create_study(drmad_ctx *ctx, journal_state *state, json_span line)
{
    journal_study fresh = {.first_waiting = 0};
    drmad_status st = DRMAD_OK;
    const json_span name = json_member(line, "study_name");

    if (!json_is(name, '"')) return FAIL(ctx, DRMAD_E_STORAGE, "no \"study_name\"");
    TRY(json_text(ctx, name, &fresh.name));
    TRY(read_directions(ctx, &fresh, json_member(line, "directions")));
    if (name_taken(state, fresh.name)) goto done; /* rejected: it is there */
    TRY(journal_grow(ctx, &state->studies, state->n_studies, sizeof *state->studies));
    state->studies[state->n_studies++] = fresh;
    fresh = (journal_study){.name = NULL};
done:
    mem_free(ctx, fresh.name);
    mem_free(ctx, fresh.directions);
    return st;
}

static drmad_status study_attr(drmad_ctx *ctx, journal_state *state, journal_study *s,
                               json_span pairs, bool is_system)
{
    drmad_status st = DRMAD_OK;
    char *key = NULL, *json = NULL;
    json_walk w = json_walk_of(pairs);

    if (!json_is(pairs, '{') || !json_next(&w))
        return FAIL(ctx, DRMAD_E_STORAGE, "an attribute without key and value");
    TRY(json_text(ctx, w.key, &key));
    const size_t n = (size_t)(w.value.end - w.value.at);
    TRY(mem_alloc(ctx, n + 1, 1, &json));
    memcpy(json, w.value.at, n);
    const store_attr a = {.key = key, .json = json, .system = is_system};
    TRY(journal_attr_set(ctx, state, &s->attrs, &s->n_attrs, &a));
done:
    mem_free(ctx, key);
    mem_free(ctx, json);
    return st;
}

static drmad_status apply_study(drmad_ctx *ctx, journal_state *state, const journal_op *op)
{
    int64_t id;

    if (op->code == OP_CREATE_STUDY) return create_study(ctx, state, op->line);
    if (!json_int(json_member(op->line, "study_id"), &id))
        return FAIL(ctx, DRMAD_E_STORAGE, "no \"study_id\"");
    journal_study *s = journal_study_of(state, id);
    if (!s) return DRMAD_OK; /* rejected: there is none, or none any more */
    if (op->code == OP_DELETE_STUDY) {
        s->deleted = true;
        return DRMAD_OK;
    }
    const bool is_system = op->code == OP_STUDY_SYSTEM_ATTR;
    const char *field = is_system ? "system_attr" : "user_attr";
    return study_attr(ctx, state, s, json_member(op->line, field), is_system);
}

drmad_status journal_apply(drmad_ctx *ctx, journal_state *state, const char *line, size_t size)
{
    journal_op op = {.code = -1};
    drmad_status st = DRMAD_OK;

    if (!json_whole(line, size, &op.line) || !json_is(op.line, '{'))
        return FAIL(ctx, DRMAD_E_DATA, "not a JSON object");
    if (!json_int(json_member(op.line, "op_code"), &op.code) || op.code < 0)
        return FAIL(ctx, DRMAD_E_STORAGE, "no \"op_code\"");
    if (op.code > OP_DISCARD_TRIALS)
        return FAIL(ctx, DRMAD_E_STORAGE, "operation %lld is not known: written by a newer Optuna?",
                    (long long)op.code);
    if (op.code < OP_CREATE_TRIAL) st = apply_study(ctx, state, &op);
    else if (op.code < OP_DISCARD_TRIALS) st = journal_apply_trial(ctx, state, &op);
    if (st == DRMAD_OK) state->lines++;
    return st;
}

static void study_free(drmad_ctx *ctx, journal_study *s)
{
    for (int32_t i = 0; i < s->n_attrs; i++) mem_free(ctx, (char *)(uintptr_t)s->attrs[i].json);
    mem_free(ctx, s->attrs);
    mem_free(ctx, s->name);
    mem_free(ctx, s->directions);
    mem_free(ctx, s->dists);
    mem_free(ctx, s->trials);
}

void journal_state_free(drmad_ctx *ctx, journal_state *state)
{
    for (int64_t i = 0; i < state->n_studies; i++) study_free(ctx, state->studies + i);
    for (int64_t i = 0; i < state->n_trials; i++) journal_trial_free(ctx, state->trials + i);
    mem_free(ctx, state->studies);
    mem_free(ctx, state->trials);
    journal_map_free(ctx, &state->texts);
    journal_map_free(ctx, &state->requests);
    *state = (journal_state){0};
}
