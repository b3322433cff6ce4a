#include "data/archive_lib.h"
#include <string.h>

drmad_status archive_lib_open(drmad_ctx *ctx, archive_lib *out)
{
    typedef archive_lib library_table;
    static const library_symbol symbols[] = {ARCHIVE_FUNCTIONS(LIBRARY_SYMBOL)};
    static const library_source source = {.file = "libarchive.so.13",
                                          .what = "libarchive",
                                          .package = "libarchive13",
                                          .oldest = "libarchive 3.4",
                                          .symbols = symbols,
                                          .n = COUNT(symbols)};

    return library_open(ctx, &source, out);
}

const char *archive_lib_why(const archive_lib *l, struct archive *a)
{
    const char *why = l->archive_error_string(a);

    return why ? why : "damaged";
}

const char *archive_lib_name(const archive_lib *l, struct archive_entry *e)
{
    const char *name = l->archive_entry_pathname(e);

    return name ? name : "";
}

/* Whether the name is absolute or has a part "..". */
static bool leads_out(const char *name)
{
    if (name[0] == '/') return true;
    for (const char *p = name; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0')) return true;
    }
    return false;
}

drmad_status archive_lib_check(drmad_ctx *ctx, const archive_lib *l, struct archive_entry *e,
                               const char *archive)
{
    const char *name = archive_lib_name(l, e), *what = NULL;
    const unsigned type = (unsigned)l->archive_entry_filetype(e);

    if (leads_out(name)) what = "a name that leads out of the archive";
    else if (l->archive_entry_hardlink(e) || type == AE_IFLNK) what = "a link";
    else if (type != AE_IFREG && type != AE_IFDIR) what = "neither a file nor a folder";
    if (!what) return DRMAD_OK;
    return FAIL(ctx, DRMAD_E_UNSAFE,
                "%s: member \"%.200s\": %s; such archives attack whoever unpacks them: make it "
                "again from plain files",
                archive, name, what);
}
