/* The zip archive is libarchive's business, its seekable reader alone; the npy inside ours. */
#include "data/npz.h"
#include "data/archive_lib.h"
#include <stdio.h>
#include <string.h>

enum { FIRST = 1 << 16, LISTED = 200 };

static const char npy_ending[] = ".npy";

typedef struct unzip {
    drmad_ctx *ctx;
    const blob *file;
    archive_lib lib;
    struct archive *a;
    size_t cap; /* still to be unpacked */
    const char *const *name;
    int32_t n;
    array *out;
    char there[LISTED]; /* the names that were met, for a message */
} unzip;

static drmad_status damaged(const unzip *z)
{
    return FAIL(z->ctx, DRMAD_E_DATA, "%s: damaged npz: %s", z->file->name,
                archive_lib_why(&z->lib, z->a));
}

/* The bytes of the member that is open, in a buffer that doubles as they come. */
static drmad_status unpack(unzip *z, const char *member, uint8_t **out, size_t *size)
{
    size_t room = 0, used = 0;
    uint8_t *bytes = NULL;
    drmad_status st;

    for (;;) {
        if (used == room) {
            const size_t more = room ? 2 * room : FIRST;
            TRY(mem_resize(z->ctx, &bytes, used, more, 1));
            room = more;
        }
        const ssize_t n = z->lib.archive_read_data(z->a, bytes + used, room - used);
        if (n < 0) TRY(damaged(z));
        used += (size_t)n;
        if (used > z->cap)
            TRY(FAIL(z->ctx, DRMAD_E_UNSAFE,
                     "%s: %.200s unpacks to more than the %zu bytes that may be unpacked "
                     "(data.memory)",
                     z->file->name, member, z->cap));
        if (n == 0) break;
    }
    z->cap -= used;
    *out = bytes, bytes = NULL;
    *size = used;
done:
    mem_free(z->ctx, bytes);
    return st;
}

static bool wanted(const unzip *z, int32_t i, const char *member)
{
    const size_t stem = strlen(member) - strlen(npy_ending);

    return z->name[i] && strlen(z->name[i]) == stem && strncmp(z->name[i], member, stem) == 0;
}

/* The array of the member that is open, for each name that asks for it. */
static drmad_status take(unzip *z, const char *member)
{
    char label[600];
    uint8_t *bytes = NULL;
    drmad_status st = DRMAD_OK;
    size_t size;

    snprintf(label, sizeof label, "%.300s: %.200s", z->file->name, member);
    for (int32_t i = 0; i < z->n; i++) {
        if (!wanted(z, i, member)) continue;
        if (z->out[i].data) TRY(FAIL(z->ctx, DRMAD_E_DATA, "%s: two members of this name", label));
        if (!bytes) TRY(unpack(z, member, &bytes, &size));
        const blob b = {.name = label, .at = bytes, .size = size};
        TRY(array_parse(z->ctx, &b, &z->out[i]));
    }
done:
    mem_free(z->ctx, bytes);
    return st;
}

static bool ends_with(const char *text, const char *ending)
{
    const size_t n = strlen(text), m = strlen(ending);

    return n >= m && strcmp(text + n - m, ending) == 0;
}

static drmad_status take_member(unzip *z, struct archive_entry *e)
{
    const char *member = archive_lib_name(&z->lib, e);
    const size_t used = strlen(z->there);
    drmad_status st;

    TRY(archive_lib_check(z->ctx, &z->lib, e, z->file->name));
    if (ends_with(member, "/data.pkl") || ends_with(member, ".pkl"))
        return FAIL(z->ctx, DRMAD_E_UNSAFE,
                    "%s: member \"%.200s\": a pickle, which can run code (torch.save?); save the "
                    "arrays with numpy.savez(path, images=..., labels=...)",
                    z->file->name, member);
    if (!ends_with(member, npy_ending)) return DRMAD_OK;
    const size_t stem = strlen(member) - strlen(npy_ending);
    if (used + stem + 3 < sizeof z->there)
        snprintf(z->there + used, sizeof z->there - used, "%s%.*s", used ? ", " : "", (int)stem,
                 member);
    TRY(take(z, member));
done:
    return st;
}

static drmad_status read_members(unzip *z)
{
    struct archive_entry *e;
    drmad_status st = DRMAD_OK;
    int code;

    z->lib.archive_read_support_format_zip_seekable(z->a);
    if (z->lib.archive_read_open_memory(z->a, z->file->at, z->file->size) != ARCHIVE_OK)
        return damaged(z);
    while ((code = z->lib.archive_read_next_header(z->a, &e)) == ARCHIVE_OK) {
        TRY(base_stopped(z->ctx));
        TRY(take_member(z, e));
    }
    if (code != ARCHIVE_EOF) return damaged(z);
    for (int32_t i = 0; i < z->n; i++)
        if (z->name[i] && !z->out[i].data)
            return FAIL(z->ctx, DRMAD_E_DATA, "%s: no array \"%.100s\"; it holds %s", z->file->name,
                        z->name[i], z->there[0] ? z->there : "none");
done:
    return st;
}

drmad_status npz_parse(drmad_ctx *ctx, const blob *file, size_t cap, const char *const *name,
                       int32_t n, array *out)
{
    unzip z = {.ctx = ctx, .file = file, .cap = cap, .name = name, .n = n, .out = out};
    drmad_status st;

    for (int32_t i = 0; i < n; i++) out[i] = (array){0};
    TRY(archive_lib_open(ctx, &z.lib));
    z.a = z.lib.archive_read_new();
    if (!z.a) return FAIL(ctx, DRMAD_E_NOMEM, "%s: out of memory", file->name);
    TRY(read_members(&z));
done:
    if (z.a) z.lib.archive_read_free(z.a);
    for (int32_t i = 0; st != DRMAD_OK && i < n; i++) array_free(ctx, &out[i]);
    return st;
}

drmad_status npz_read(drmad_ctx *ctx, const char *path, size_t cap, const char *const *name,
                      int32_t n, array *out)
{
    blob b = {0};
    drmad_status st;

    for (int32_t i = 0; i < n; i++) out[i] = (array){0};
    TRY(blob_load(ctx, path, cap, &b));
    st = npz_parse(ctx, &b, cap, name, n, out);
done:
    blob_free(ctx, &b);
    return st;
}
