#include "base/shared_library.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 4096 };

static drmad_status lacks(drmad_ctx *ctx, const library_source *source, const char *name)
{
    if (!source->package)
        return FAIL(ctx, DRMAD_E_MISSING, "%s lacks %s: it is not %s", source->file, name,
                    source->oldest);
    return FAIL(ctx, DRMAD_E_MISSING, "%s lacks %s: %s or newer is needed (Debian: apt install %s)",
                source->file, name, source->oldest, source->package);
}

drmad_status library_open(drmad_ctx *ctx, const library_source *source, void *table)
{
    void *library = dlopen(source->file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

    if (!library && !source->package)
        return FAIL(ctx, DRMAD_E_MISSING, "%s, %s, cannot be opened: %s", source->what,
                    source->file, dlerror());
    if (!library)
        return FAIL(ctx, DRMAD_E_MISSING, "%s, %s, is not installed (Debian: apt install %s): %s",
                    source->what, source->file, source->package, dlerror());
    for (size_t i = 0; i < source->n; i++) {
        char name[128];

        snprintf(name, sizeof name, "%s%s", source->prefix ? source->prefix : "",
                 source->symbols[i].name);
        void *at = dlsym(library, name);
        if (!at) {
            dlclose(library);
            return lacks(ctx, source, name);
        }
        memcpy((char *)table + source->symbols[i].offset, &at, sizeof at);
    }
    dlclose(library); /* stays where it is: RTLD_NODELETE */
    return DRMAD_OK;
}

/* The folder of this code, with its '/'; "" when it is not known. */
static void own_folder(char *path, size_t size)
{
    Dl_info info;

    path[0] = '\0';
    if (dladdr((void *)library_open_any, &info) == 0 || !info.dli_fname) return;
    snprintf(path, size, "%s", info.dli_fname);
    char *slash = strrchr(path, '/');
    slash ? (slash[1] = '\0') : (path[0] = '\0');
}

drmad_status library_open_any(drmad_ctx *ctx, library_source source, const library_file *files,
                              int32_t n, void *table)
{
    char path[PATH_SIZE], folder[PATH_SIZE / 2];
    drmad_status st = DRMAD_E_MISSING;

    own_folder(folder, sizeof folder);
    for (int32_t i = 0; i < n && st == DRMAD_E_MISSING; i++) {
        snprintf(path, sizeof path, "%s%s", files[i].beside ? folder : "", files[i].name);
        source.file = path, source.prefix = files[i].prefix;
        st = library_open(ctx, &source, table);
    }
    return st;
}
