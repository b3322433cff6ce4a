/* Reading checks in the reference's order: size of the header, JSON, each entry, then that the
 * entries tile the data. Nothing is kept before all of it holds. */
#include "data/safetensors.h"
#include "base/file.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's byte order is ours");

enum { ALIGNED = 64 };
static const char meta_key[] = "__metadata__";
static const char *const type_name[DTYPE_COUNT] = {
    [F32] = "F32", [F64] = "F64", [I32] = "I32", [U8] = "U8"};

typedef struct entry {
    const char *name;
    dtype dtype;
    shape shape;
    uint64_t begin, end;
} entry;

typedef struct parse {
    drmad_ctx *ctx;
    const blob *b;
    json_t *root;
    entry *entries;
    size_t n, texts, data, size; /* data: offset of the data in the file; size: its bytes */
} parse;

static drmad_status read_header(parse *p)
{
    uint64_t n = 0;
    json_error_t err;

    if (p->b->size < 8)
        return FAIL(p->ctx, DRMAD_E_DATA, "%s: ends at byte %zu, expected 8 bytes of header size",
                    p->b->name, p->b->size);
    memcpy(&n, p->b->at, sizeof n);
    if (n > SAFETENSORS_HEADER_MAX)
        return FAIL(p->ctx, DRMAD_E_DATA, "%s: byte 0: a header of %llu bytes, at most %d",
                    p->b->name, (unsigned long long)n, SAFETENSORS_HEADER_MAX);
    if (n > p->b->size - 8)
        return FAIL(p->ctx, DRMAD_E_DATA, "%s: ends at byte %zu inside the header, expected %llu",
                    p->b->name, p->b->size, (unsigned long long)n + 8);
    p->data = 8 + (size_t)n;
    p->size = p->b->size - p->data;
    p->root = json_loadb((const char *)p->b->at + 8, (size_t)n, JSON_REJECT_DUPLICATES, &err);
    if (!p->root && json_error_code(&err) == json_error_out_of_memory)
        return FAIL(p->ctx, DRMAD_E_NOMEM, "%s: out of memory for the header", p->b->name);
    if (!p->root)
        return FAIL(p->ctx, DRMAD_E_DATA, "%s: byte %d: bad header: %s", p->b->name,
                    err.position + 8, err.text);
    if (!json_is_object(p->root))
        return FAIL(p->ctx, DRMAD_E_DATA, "%s: byte 8: expected a JSON object", p->b->name);
    return DRMAD_OK;
}

static drmad_status entry_fail(const parse *p, const entry *e, const char *what)
{
    return FAIL(p->ctx, DRMAD_E_DATA, "%s: tensor \"%.200s\": expected %s", p->b->name, e->name,
                what);
}

static drmad_status read_type(const parse *p, const json_t *v, entry *e)
{
    const char *text = json_string_value(v);

    if (!text) return entry_fail(p, e, "a dtype");
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (type_name[t] && strcmp(text, type_name[t]) == 0) {
            e->dtype = (dtype)t;
            return DRMAD_OK;
        }
    return FAIL(p->ctx, DRMAD_E_DATA,
                "%s: tensor \"%.200s\": dtype %.32s, expected F32, F64, I32 or U8", p->b->name,
                e->name, text);
}

static drmad_status read_shape(const parse *p, const json_t *v, entry *e)
{
    if (!json_is_array(v) || json_array_size(v) > RANK_MAX)
        return entry_fail(p, e, "a shape of at most 6 dimensions");
    int64_t count = 1;
    e->shape = (shape){.rank = (int32_t)json_array_size(v)};
    for (int32_t i = 0; i < e->shape.rank; i++) {
        const json_t *d = json_array_get(v, (size_t)i);
        if (!json_is_integer(d) || json_integer_value(d) < 0 ||
            __builtin_mul_overflow(count, json_integer_value(d), &count))
            return entry_fail(p, e, "dimensions of 0 or more whose product is below 2^63");
        e->shape.dim[i] = json_integer_value(d);
    }
    return DRMAD_OK;
}

static drmad_status read_offsets(const parse *p, const json_t *v, entry *e)
{
    const json_t *a = json_array_get(v, 0), *b = json_array_get(v, 1);
    size_t bytes;

    if (json_array_size(v) != 2 || !json_is_integer(a) || !json_is_integer(b) ||
        json_integer_value(a) < 0 || json_integer_value(b) < json_integer_value(a))
        return entry_fail(p, e, "data_offsets [begin, end], 0 <= begin <= end");
    e->begin = (uint64_t)json_integer_value(a);
    e->end = (uint64_t)json_integer_value(b);
    if (e->end > p->size)
        return FAIL(p->ctx, DRMAD_E_DATA,
                    "%s: tensor \"%.200s\": ends at byte %llu of the data, has %zu", p->b->name,
                    e->name, (unsigned long long)e->end, p->size);
    if (!shape_bytes(&e->shape, e->dtype, &bytes) || bytes != e->end - e->begin)
        return FAIL(
            p->ctx, DRMAD_E_DATA,
            "%s: tensor \"%.200s\": data_offsets span %llu bytes, its dtype and shape do not",
            p->b->name, e->name, (unsigned long long)(e->end - e->begin));
    return DRMAD_OK;
}

static drmad_status read_entry(const parse *p, const json_t *v, entry *e)
{
    drmad_status st;

    if (!json_is_object(v) || json_object_size(v) != 3)
        return entry_fail(p, e, "an object of dtype, shape and data_offsets");
    TRY(read_type(p, json_object_get(v, "dtype"), e));
    TRY(read_shape(p, json_object_get(v, "shape"), e));
    TRY(read_offsets(p, json_object_get(v, "data_offsets"), e));
done:
    return st;
}

static drmad_status check_texts(parse *p, json_t *v)
{
    const char *key;
    json_t *text;

    if (!json_is_object(v))
        return FAIL(p->ctx, DRMAD_E_DATA, "%s: %s: expected an object", p->b->name, meta_key);
    json_object_foreach(v, key, text)
    {
        if (!json_is_string(text))
            return FAIL(p->ctx, DRMAD_E_DATA, "%s: %s: \"%.200s\": expected a string", p->b->name,
                        meta_key, key);
    }
    p->texts = json_object_size(v);
    return DRMAD_OK;
}

static drmad_status read_entries(parse *p)
{
    const char *key;
    json_t *v;
    drmad_status st =
        mem_alloc(p->ctx, json_object_size(p->root) + 1, sizeof *p->entries, &p->entries);

    if (st != DRMAD_OK) return st;
    json_object_foreach(p->root, key, v)
    {
        if (strcmp(key, meta_key) == 0) {
            st = check_texts(p, v);
        } else {
            p->entries[p->n].name = key;
            st = read_entry(p, v, &p->entries[p->n++]);
        }
        if (st != DRMAD_OK) return st;
    }
    return DRMAD_OK;
}

static int by_place(const void *a, const void *b)
{
    const entry *x = a, *y = b;

    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

static drmad_status check_tiling(parse *p)
{
    uint64_t at = 0;

    if (p->n) qsort(p->entries, p->n, sizeof *p->entries, by_place);
    for (size_t i = 0; i < p->n; at = p->entries[i++].end)
        if (p->entries[i].begin != at)
            return FAIL(p->ctx, DRMAD_E_DATA,
                        "%s: tensor \"%.200s\": begins at byte %llu of the data, expected %llu (no "
                        "holes, no overlaps)",
                        p->b->name, p->entries[i].name, (unsigned long long)p->entries[i].begin,
                        (unsigned long long)at);
    if (at != p->size)
        return FAIL(p->ctx, DRMAD_E_DATA,
                    "%s: %llu extra bytes from byte %llu on, behind the last tensor", p->b->name,
                    (unsigned long long)(p->size - at), (unsigned long long)(p->data + at));
    return DRMAD_OK;
}

static size_t round_up(size_t n)
{
    return (n + ALIGNED - 1) / ALIGNED * ALIGNED;
}

/* One block: the file, tensors, texts, strings, and each tensor's data, aligned. Every size here
 * is bounded by the size of the file, so no sum overflows. */
static size_t block_size(const parse *p, size_t *strings)
{
    size_t bytes = 0,
           tables = sizeof(st_file) + p->n * sizeof(st_tensor) + p->texts * sizeof(st_text);
    const char *key;
    json_t *v;

    for (size_t i = 0; i < p->n; i++) {
        tables += strlen(p->entries[i].name) + 1;
        bytes += round_up((size_t)(p->entries[i].end - p->entries[i].begin));
    }
    json_object_foreach(json_object_get(p->root, meta_key), key, v)
    {
        tables += strlen(key) + 1 + json_string_length(v) + 1;
    }
    *strings = sizeof(st_file) + p->n * sizeof(st_tensor) + p->texts * sizeof(st_text);
    return round_up(tables) + bytes;
}

static const char *keep(char **at, const char *text)
{
    const size_t n = strlen(text) + 1;
    char *kept = memcpy(*at, text, n);

    *at += n;
    return kept;
}

static drmad_status build(parse *p, st_file **out)
{
    size_t strings, k = 0;
    const size_t size = block_size(p, &strings);
    const char *key;
    char *block;
    json_t *v;

    drmad_status st = mem_alloc(p->ctx, size, 1, &block);
    if (st != DRMAD_OK) return st;
    st_file *f = (st_file *)(void *)block;
    st_tensor *at = (st_tensor *)(void *)(block + sizeof *f);
    st_text *text = (st_text *)(void *)(at + p->n);
    char *string = block + strings;
    for (size_t i = 0; i < p->n; i++) at[i].name = keep(&string, p->entries[i].name);
    json_object_foreach(json_object_get(p->root, meta_key), key, v)
    {
        text[k].key = keep(&string, key);
        text[k++].value = keep(&string, json_string_value(v));
    }
    char *data = block + round_up((size_t)(string - block));
    for (size_t i = 0; i < p->n; i++) {
        const entry *e = &p->entries[i];
        const size_t bytes = (size_t)(e->end - e->begin);
        at[i].dtype = e->dtype, at[i].shape = e->shape, at[i].data = data;
        memcpy(data, p->b->at + p->data + e->begin, bytes);
        data += round_up(bytes);
    }
    *f = (st_file){(int32_t)p->n, (int32_t)p->texts, at, text};
    *out = f;
    return DRMAD_OK;
}

drmad_status safetensors_parse(drmad_ctx *ctx, const blob *b, st_file **out)
{
    parse p = {.ctx = ctx, .b = b};
    drmad_status st;

    *out = NULL;
    TRY(read_header(&p));
    TRY(read_entries(&p));
    TRY(check_tiling(&p));
    TRY(build(&p, out));
done:
    mem_free(ctx, p.entries);
    json_decref(p.root);
    return st;
}

drmad_status safetensors_read(drmad_ctx *ctx, const char *path, st_file **out)
{
    char *bytes;
    size_t size;
    drmad_status st = file_read_all(ctx, path, BLOB_CAP, &bytes, &size);

    *out = NULL;
    if (st != DRMAD_OK) return st;
    const blob b = {.name = path, .at = (const uint8_t *)bytes, .size = size};
    st = safetensors_parse(ctx, &b, out);
    mem_free(ctx, bytes);
    return st;
}

const st_tensor *safetensors_find(const st_file *f, const char *name)
{
    for (int32_t i = 0; i < f->n; i++)
        if (strcmp(f->at[i].name, name) == 0) return &f->at[i];
    return NULL;
}

static int by_size_and_name(const void *a, const void *b)
{
    const st_tensor *const *x = a, *const *y = b;
    const size_t nx = dtype_size((*x)->dtype), ny = dtype_size((*y)->dtype);

    if (nx != ny) return nx > ny ? -1 : 1;
    return strcmp((*x)->name, (*y)->name);
}

/* {"dtype":..., "shape":..., "data_offsets":...}, or NULL when memory is out. */
static json_t *entry_json(const st_tensor *t, uint64_t begin, uint64_t end)
{
    json_t *dims = json_array();

    for (int32_t i = 0; i < t->shape.rank; i++)
        if (json_array_append_new(dims, json_integer(t->shape.dim[i])) != 0) {
            json_decref(dims);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_name[t->dtype], "shape", dims,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

/* Adds one member and takes `value`; says whether the name or memory was at fault. */
static drmad_status add_member(drmad_ctx *ctx, json_t *to, const char *key, json_t *value)
{
    json_t *text = json_string(key);
    const bool utf8 = text != NULL, twice = json_object_get(to, key) != NULL;

    json_decref(text);
    if (twice || (!utf8 && value)) {
        json_decref(value);
        return FAIL(ctx, DRMAD_E_USAGE, "safetensors: name \"%.200s\" %s", key,
                    twice ? "is used twice" : "is no UTF-8");
    }
    return json_object_set_new(to, key, value) == 0
               ? DRMAD_OK
               : FAIL(ctx, DRMAD_E_NOMEM, "safetensors: out of memory for the header");
}

static drmad_status add_texts(drmad_ctx *ctx, const st_file *f, json_t *root)
{
    json_t *texts = json_object();
    drmad_status st = add_member(ctx, root, meta_key, texts); /* root keeps it alive */

    for (int32_t i = 0; i < f->texts && st == DRMAD_OK; i++)
        st = add_member(ctx, texts, f->text[i].key, json_string(f->text[i].value));
    return st;
}

/* The header's text, padded; free() it. */
static drmad_status make_header(drmad_ctx *ctx, const st_file *f, const st_tensor *const *order,
                                char **out)
{
    drmad_status st = DRMAD_OK;
    json_t *root = json_object();
    uint64_t at = 0;
    size_t bytes;

    *out = NULL;
    if (f->texts) TRY(add_texts(ctx, f, root));
    for (int32_t i = 0; i < f->n; i++) {
        const st_tensor *t = order[i];
        if (strcmp(t->name, meta_key) == 0 || !shape_bytes(&t->shape, t->dtype, &bytes)) {
            st = FAIL(ctx, DRMAD_E_USAGE, "safetensors: tensor \"%.200s\" has a bad name or shape",
                      t->name);
            goto done;
        }
        TRY(add_member(ctx, root, t->name, entry_json(t, at, at + bytes)));
        at += bytes;
    }
    *out = json_dumps(root, JSON_COMPACT);
    if (!*out) st = FAIL(ctx, DRMAD_E_NOMEM, "safetensors: out of memory for the header");
done:
    json_decref(root);
    return st;
}

static drmad_status write_all(const char *header, const st_file *f, const st_tensor *const *order,
                              file_out *file)
{
    const size_t length = strlen(header), padded = (length + 7) / 8 * 8;
    const uint64_t n = padded;
    size_t bytes;
    drmad_status st;

    TRY(file_out_write(file, &n, sizeof n));
    TRY(file_out_write(file, header, length));
    TRY(file_out_write(file, "        ", padded - length));
    for (int32_t i = 0; i < f->n; i++) {
        shape_bytes(&order[i]->shape, order[i]->dtype, &bytes);
        TRY(file_out_write(file, order[i]->data, bytes));
    }
    TRY(file_out_commit(file));
done:
    return st;
}

drmad_status safetensors_write(drmad_ctx *ctx, const char *path, const st_file *f)
{
    const st_tensor **order = NULL;
    char *header = NULL;
    file_out *file = NULL;
    drmad_status st;

    TRY(mem_alloc(ctx, (size_t)f->n + 1, sizeof(st_tensor *), &order));
    for (int32_t i = 0; i < f->n; i++) order[i] = &f->at[i];
    if (f->n) qsort(order, (size_t)f->n, sizeof(st_tensor *), by_size_and_name);
    TRY(make_header(ctx, f, order, &header));
    TRY(file_out_open(ctx, path, FILE_PUBLIC, &file));
    TRY(write_all(header, f, order, file));
done:
    file_out_close(file);
    free(header);
    mem_free(ctx, order);
    return st;
}
