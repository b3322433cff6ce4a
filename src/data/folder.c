/* A folder of pictures, a folder a class: torchvision's ImageFolder. */
#include "data/image_set.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 16, SKIPPED_TOLD = 8 };

typedef struct lister {
    drmad_ctx *ctx;
    image_set *set;
    char root[PATH_MAX]; /* resolved */
    bool skip;
    int32_t label;
} lister;

/* The names in a folder, sorted. */
typedef struct names {
    image_names text;
    char **at;
    int32_t n;
} names;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_free(drmad_ctx *ctx, names *n)
{
    mem_free(ctx, n->text.at);
    mem_free(ctx, n->at);
    *n = (names){0};
}

static drmad_status read_names(drmad_ctx *ctx, const char *path, names *out)
{
    drmad_status st = DRMAD_OK;
    size_t at;

    *out = (names){0};
    DIR *d = opendir(path);
    if (!d)
        return FAIL(ctx, errno == ENOENT || errno == ENOTDIR ? DRMAD_E_DATA : DRMAD_E_IO,
                    "%s: %s; expected a folder of pictures", path, strerror(errno));
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        TRY(image_names_add(ctx, &out->text, e->d_name, &at));
        out->n++;
    }
    TRY(mem_alloc(ctx, (size_t)out->n + 1, sizeof *out->at, &out->at));
    at = 0;
    for (int32_t i = 0; i < out->n; i++) {
        out->at[i] = out->text.at + at;
        at += strlen(out->at[i]) + 1;
    }
    if (out->n) qsort(out->at, (size_t)out->n, sizeof *out->at, by_name);
done:
    closedir(d);
    if (st != DRMAD_OK) names_free(ctx, out);
    return st;
}

/* What the name stands for; a symbolic link must stay below the root. */
static drmad_status look(const lister *l, const char *path, struct stat *info)
{
    char target[PATH_MAX];
    const size_t n = strlen(l->root);

    if (lstat(path, info) != 0) return FAIL(l->ctx, DRMAD_E_IO, "%s: %s", path, strerror(errno));
    if (!S_ISLNK(info->st_mode)) return DRMAD_OK;
    if (!realpath(path, target) || stat(target, info) != 0)
        return FAIL(l->ctx, DRMAD_E_IO, "%s: a symbolic link that cannot be followed: %s", path,
                    strerror(errno));
    if (strncmp(target, l->root, n) == 0 && (target[n] == '/' || target[n] == '\0'))
        return DRMAD_OK;
    return FAIL(l->ctx, DRMAD_E_UNSAFE,
                "%s: a symbolic link to %s, outside of the folder; name the real folder or copy "
                "the files",
                path, target);
}

static bool is_picture(const char *name)
{
    static const char *const known[] = {".jpg", ".jpeg", ".png"};
    const char *end = strrchr(name, '.');

    for (size_t i = 0; end && i < COUNT(known); i++)
        if (strcasecmp(end, known[i]) == 0) return true;
    return false;
}

/* `name`: below the root. */
static drmad_status add_file(lister *l, const char *path, const char *name, off_t size)
{
    image_entry e = {.bytes = (int32_t)size, .label = l->label};
    drmad_status st = DRMAD_OK;
    const bool picture = is_picture(name);

    if (!picture || size == 0 || size > IMAGE_BYTES_MAX) {
        const char *why = !picture    ? "is not called .jpg, .jpeg or .png as a picture is"
                          : size == 0 ? "is empty"
                                      : "is larger than 64 MiB";
        if (!l->skip)
            return FAIL(l->ctx, DRMAD_E_DATA,
                        "%s: %s; remove it, or leave such files out (data.bad_images: skip)", path,
                        why);
        if (l->set->skipped++ < SKIPPED_TOLD)
            base_log(l->ctx, LOG_WARN, "passed over: %s %s", path, why);
        return DRMAD_OK;
    }
    TRY(image_names_add(l->ctx, &l->set->names, name, &e.name));
    TRY(image_set_add(l->set, &e));
done:
    return st;
}

static drmad_status add_folder(lister *l, const char *below, int depth)
{
    char path[PATH_MAX], name[PATH_MAX];
    drmad_status st = DRMAD_OK;
    struct stat info;
    names list = {0};

    if (depth > DEPTH_MAX)
        return FAIL(l->ctx, DRMAD_E_DATA, "%s/%s: more than %d folders deep", l->set->root, below,
                    DEPTH_MAX);
    snprintf(path, sizeof path, "%s/%s", l->set->root, below);
    TRY(read_names(l->ctx, path, &list));
    for (int32_t i = 0; i < list.n; i++) {
        TRY(base_stopped(l->ctx));
        if ((size_t)snprintf(name, sizeof name, "%s/%s", below, list.at[i]) >= sizeof name ||
            (size_t)snprintf(path, sizeof path, "%s/%s", l->set->root, name) >= sizeof path)
            TRY(FAIL(l->ctx, DRMAD_E_DATA, "%s: the path is too long", name));
        TRY(look(l, path, &info));
        if (S_ISDIR(info.st_mode)) TRY(add_folder(l, name, depth + 1));
        else if (S_ISREG(info.st_mode)) TRY(add_file(l, path, name, info.st_size));
        else TRY(FAIL(l->ctx, DRMAD_E_DATA, "%s: neither a file nor a folder; remove it", path));
    }
done:
    names_free(l->ctx, &list);
    return st;
}

/* The place of a class in the order of another set; -1 where it has none. */
static int32_t class_in(const image_set *like, const char *name)
{
    const char *at = like->classes.at;

    for (int32_t i = 0; i < like->class_count; i++, at += strlen(at) + 1)
        if (strcmp(at, name) == 0) return i;
    return -1;
}

static drmad_status add_class(lister *l, const char *name, const image_set *like)
{
    const int32_t before = l->set->n;
    drmad_status st;
    size_t at;

    l->label = like ? class_in(like, name) : l->set->class_count;
    if (l->label < 0)
        return FAIL(l->ctx, DRMAD_E_DATA,
                    "%s/%s: a class that the training folder %s does not have", l->set->root, name,
                    like->root);
    if (l->label == IMAGE_CLASSES_MAX)
        return FAIL(l->ctx, DRMAD_E_DATA, "%s: more than %d classes", l->set->root,
                    IMAGE_CLASSES_MAX);
    TRY(image_names_add(l->ctx, &l->set->classes, name, &at));
    l->set->class_count++;
    TRY(add_folder(l, name, 1));
    if (l->set->n == before)
        st = FAIL(l->ctx, DRMAD_E_DATA,
                  "%s/%s: a class without pictures; expected .jpg or .png files in it",
                  l->set->root, name);
done:
    return st;
}

static drmad_status add_classes(lister *l, const image_set *like)
{
    char path[PATH_MAX];
    drmad_status st = DRMAD_OK;
    struct stat info;
    names list = {0};

    TRY(read_names(l->ctx, l->set->root, &list));
    for (int32_t i = 0; i < list.n; i++) {
        snprintf(path, sizeof path, "%s/%s", l->set->root, list.at[i]);
        TRY(look(l, path, &info));
        if (S_ISDIR(info.st_mode)) TRY(add_class(l, list.at[i], like));
    }
    if (l->set->n == 0)
        st = FAIL(l->ctx, DRMAD_E_DATA, "%s: no folders with pictures; expected one for each class",
                  l->set->root);
done:
    names_free(l->ctx, &list);
    return st;
}

drmad_status folder_list(drmad_ctx *ctx, const char *dir, const image_set *like, bool skip,
                         image_set **out)
{
    lister *l = NULL;
    drmad_status st;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *l, &l));
    *l = (lister){.ctx = ctx, .skip = skip};
    if (!realpath(dir, l->root))
        TRY(FAIL(ctx, DRMAD_E_DATA, "%s: %s; expected a folder of pictures", dir, strerror(errno)));
    TRY(image_set_new(ctx, &l->set));
    TRY(mem_strdup(ctx, dir, &l->set->root));
    TRY(add_classes(l, like));
    if (like) l->set->class_count = like->class_count; /* labels are in its order */
    *out = l->set, l->set = NULL;
done:
    if (l) image_set_free(l->set);
    mem_free(ctx, l);
    return st;
}
