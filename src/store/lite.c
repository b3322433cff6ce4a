#include "store/lite.h"

enum { OLDEST = 3035000 }; /* RETURNING */

drmad_status lite_open(drmad_ctx *ctx, lite *out)
{
    typedef lite library_table;
    static const library_symbol symbols[] = {LITE_FUNCTIONS(LIBRARY_SYMBOL)};
    static const library_source source = {.file = "libsqlite3.so.0",
                                          .what = "SQLite",
                                          .package = "libsqlite3-0",
                                          .oldest = "SQLite 3.35",
                                          .symbols = symbols,
                                          .n = COUNT(symbols)};
    const drmad_status st = library_open(ctx, &source, out);

    if (st != DRMAD_OK || out->sqlite3_libversion_number() >= OLDEST) return st;
    return FAIL(ctx, DRMAD_E_MISSING, "SQLite %s is too old, 3.35 or newer is needed",
                out->sqlite3_libversion());
}
