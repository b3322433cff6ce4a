/* One tar file from end to end, by libarchive with its tar reader alone (no filters, no other
 * formats). It is asked for headers; data are jumped over.
 *
 * Where a member's bytes are is not said by libarchive. They end where the header of the next
 * member begins, rounded up to whole blocks of 512 bytes; so a picture is placed when what follows
 * it is seen. */
#include "data/archive_lib.h"
#include "data/shards.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 512, CLASS_BYTES = 12, READ_AT_ONCE = 1 << 16, KEY_MAX = 1024, SKIPPED_TOLD = 8 };

typedef struct scan {
    image_set *set;
    int32_t shard;
    const char *name;
    bool skip;
    archive_lib lib;
    struct archive *a;
    int file;            /* -1: in memory */
    int64_t size;        /* of the file */
    char key[KEY_MAX];   /* of the sample; "" before the first */
    bool pictured, drop; /* it has a picture; which is to be left out */
    int32_t label;       /* -1: none yet */
    image_entry picture;
    int64_t open; /* bytes of the picture that is not placed yet, -1: none */
} scan;

static drmad_status refuse(const scan *s, const char *what)
{
    return FAIL(s->set->ctx, DRMAD_E_DATA, "%s: sample \"%.200s\": %s", s->name, s->key, what);
}

/* What follows the picture starts at `next`. */
static drmad_status place(scan *s, int64_t next)
{
    if (s->open < 0) return DRMAD_OK;
    const int64_t blocks = (s->open + BLOCK - 1) / BLOCK * BLOCK;

    if (next > s->size || next < blocks)
        return FAIL(s->set->ctx, DRMAD_E_DATA,
                    "%s: ends at byte %lld inside the picture of sample \"%.200s\"", s->name,
                    (long long)s->size, s->key);
    s->picture.offset = (uint64_t)(next - blocks);
    s->open = -1;
    return DRMAD_OK;
}

/* The sample is complete: its picture and class are known, or it is refused. */
static drmad_status close_sample(scan *s)
{
    drmad_status st = DRMAD_OK;

    if (!s->key[0] || (!s->pictured && s->label < 0)) return DRMAD_OK; /* nothing of ours in it */
    if (!s->pictured) return refuse(s, "no picture; expected a member .jpg, .jpeg or .png");
    if (s->label < 0) return refuse(s, "no class; expected a member .cls");
    if (s->drop) return DRMAD_OK;
    s->picture.label = s->label;
    s->picture.shard = s->shard;
    TRY(image_names_add(s->set->ctx, &s->set->names, s->key, &s->picture.name));
    TRY(image_set_add(s->set, &s->picture));
done:
    return st;
}

static bool ends(const char *ending, const char *const *list)
{
    for (; *list; list++)
        if (strcasecmp(ending, *list) == 0) return true;
    return false;
}

static drmad_status read_class(scan *s, struct archive_entry *e)
{
    char text[CLASS_BYTES + 1] = "", *end;
    const int64_t size = s->lib.archive_entry_size(e);

    if (s->label >= 0) return refuse(s, "two classes");
    if (size < 1 || size > CLASS_BYTES) return refuse(s, "its class is no whole number");
    if (s->lib.archive_read_data(s->a, text, (size_t)size) != size)
        return FAIL(s->set->ctx, DRMAD_E_DATA, "%s: sample \"%.200s\": %s", s->name, s->key,
                    archive_lib_why(&s->lib, s->a));
    if (!isdigit((unsigned char)text[0])) return refuse(s, "its class is no whole number");
    errno = 0;
    const long long label = strtoll(text, &end, 10);
    end += strspn(end, " \r\n");
    if (*end || errno || label > INT32_MAX || strlen(text) != (size_t)size)
        return refuse(s, "its class is no whole number");
    s->label = (int32_t)label;
    return DRMAD_OK;
}

static drmad_status take_picture(scan *s, struct archive_entry *e)
{
    const int64_t size = s->lib.archive_entry_size(e);

    if (s->pictured) return refuse(s, "two pictures");
    if (s->lib.archive_entry_sparse_count(e) > 0) return refuse(s, "a picture with holes");
    s->pictured = true;
    s->open = size;
    s->picture = (image_entry){.bytes = (int32_t)size};
    s->drop = size < 1 || size > IMAGE_BYTES_MAX;
    if (!s->drop) return DRMAD_OK;
    if (!s->skip)
        return refuse(s, size < 1 ? "its picture is empty; leave such samples out "
                                    "(data.bad_images: skip)"
                                  : "its picture is larger than 64 MiB; leave such samples out "
                                    "(data.bad_images: skip)");
    if (s->set->skipped++ < SKIPPED_TOLD)
        base_log(s->set->ctx, LOG_WARN, "passed over: %s: sample \"%.200s\" is empty or too large",
                 s->name, s->key);
    return DRMAD_OK;
}

/* "dir/key.ending", cut at the first dot of its last part; false for names of no sample. */
static bool split_name(const char *name, char key[KEY_MAX], const char **ending)
{
    const char *base = strrchr(name, '/'), *dot;

    base = base ? base + 1 : name;
    dot = strchr(base, '.');
    if (!dot || dot == base || strncmp(base, "__", 2) == 0 || (size_t)(dot - name) >= KEY_MAX)
        return false;
    memcpy(key, name, (size_t)(dot - name));
    key[dot - name] = '\0';
    *ending = dot + 1;
    return true;
}

static drmad_status take_member(scan *s, struct archive_entry *e)
{
    static const char *const pictures[] = {"jpg", "jpeg", "png", NULL};
    static const char *const code[] = {"pkl", "pickle", "pyd", "pyc", "pth", "pt", NULL};
    const char *name = archive_lib_name(&s->lib, e), *ending;
    char key[KEY_MAX];
    drmad_status st;

    TRY(archive_lib_check(s->set->ctx, &s->lib, e, s->name));
    if (s->lib.archive_entry_filetype(e) == AE_IFDIR || !split_name(name, key, &ending))
        return DRMAD_OK;
    if (ends(ending, code))
        return FAIL(s->set->ctx, DRMAD_E_UNSAFE,
                    "%s: member \"%.200s\" can run code when it is read; make the shard without it",
                    s->name, name);
    if (strcmp(key, s->key) != 0) {
        TRY(close_sample(s));
        memcpy(s->key, key, KEY_MAX);
        s->pictured = s->drop = false, s->label = -1;
    }
    if (strcasecmp(ending, "cls") == 0) TRY(read_class(s, e));
    else if (ends(ending, pictures)) TRY(take_picture(s, e));
done:
    return st;
}

/* A tar ends with blocks of zeros; one that does not was cut between two members. */
static drmad_status check_end(const scan *s, int64_t at)
{
    const image_shard *shard = &s->set->shard[s->shard];
    unsigned char block[BLOCK] = {1};
    bool zero = at >= 0 && at + BLOCK <= s->size;

    if (zero && s->file < 0) memcpy(block, shard->bytes.at + at, BLOCK);
    else if (zero) zero = pread(s->file, block, BLOCK, (off_t)at) == BLOCK;
    for (int i = 0; i < BLOCK; i++) zero = zero && block[i] == 0;
    if (zero) return DRMAD_OK;
    return FAIL(s->set->ctx, DRMAD_E_DATA,
                "%s: byte %lld: expected the end of the archive, blocks of zeros; the shard is cut",
                s->name, (long long)at);
}

static drmad_status open_reader(scan *s)
{
    const image_shard *shard = &s->set->shard[s->shard];
    struct stat info;
    int code;

    s->a = s->lib.archive_read_new();
    if (!s->a) return FAIL(s->set->ctx, DRMAD_E_NOMEM, "%s: out of memory", s->name);
    s->lib.archive_read_support_format_tar(s->a);
    if (shard->bytes.at) {
        s->size = (int64_t)shard->bytes.size;
        code = s->lib.archive_read_open_memory(s->a, shard->bytes.at, shard->bytes.size);
    } else {
        s->file = open(s->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (s->file < 0 || fstat(s->file, &info) != 0)
            return FAIL(s->set->ctx, DRMAD_E_IO, "%s: %s", s->name, strerror(errno));
        s->size = (int64_t)info.st_size;
        code = s->lib.archive_read_open_fd(s->a, s->file, READ_AT_ONCE);
    }
    if (code == ARCHIVE_OK) return DRMAD_OK;
    return FAIL(s->set->ctx, DRMAD_E_DATA, "%s: %s", s->name, archive_lib_why(&s->lib, s->a));
}

static drmad_status scan_all(scan *s)
{
    struct archive_entry *e;
    drmad_status st;

    TRY(open_reader(s));
    for (;;) {
        const int code = s->lib.archive_read_next_header(s->a, &e);
        const int64_t at = s->lib.archive_read_header_position(s->a);

        if (code == ARCHIVE_EOF) {
            TRY(place(s, at));
            TRY(check_end(s, at));
            break;
        }
        if (code != ARCHIVE_OK)
            TRY(FAIL(s->set->ctx, DRMAD_E_DATA, "%s: byte %lld: %s; expected a tar file", s->name,
                     (long long)at, archive_lib_why(&s->lib, s->a)));
        TRY(place(s, at));
        TRY(take_member(s, e));
    }
    TRY(close_sample(s));
done:
    return st;
}

drmad_status shard_scan(image_set *set, int32_t shard, bool skip)
{
    drmad_ctx *ctx = set->ctx;
    scan *s = NULL;
    drmad_status st;

    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    *s = (scan){.set = set, .shard = shard, .name = set->shard[shard].name, .skip = skip};
    s->label = -1, s->open = -1, s->file = -1;
    TRY(archive_lib_open(ctx, &s->lib));
    TRY(scan_all(s));
done:
    if (s && s->a) s->lib.archive_read_free(s->a);
    if (s && s->file >= 0) close(s->file);
    mem_free(ctx, s);
    return st;
}
