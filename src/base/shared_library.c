#include "base/shared_library.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

drmad_status library_open(drmad_ctx *ctx, const library_source *source, void *table)
{
    void *library = dlopen(source->file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

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
            return FAIL(ctx, DRMAD_E_MISSING,
                        "%s lacks %s: %s or newer is needed (Debian: apt install %s)", source->file,
                        name, source->oldest, source->package);
        }
        memcpy((char *)table + source->symbols[i].offset, &at, sizeof at);
    }
    dlclose(library); /* stays where it is: RTLD_NODELETE */
    return DRMAD_OK;
}
