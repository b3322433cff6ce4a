/* A shared library that is found when it is first needed: a table of pointers, by name.
 *
 *   static const library_symbol symbols[] = {{"PQfinish", offsetof(pq, PQfinish)}, ...};
 *   TRY(library_open(ctx, &libpq, &table));
 *
 * It is never unloaded; the process's own copy is taken where there is one, by its soname. That
 * matters for SQLite: two copies in one process lose each other's locks. */
#ifndef SHARED_LIBRARY_H
#define SHARED_LIBRARY_H
#include "base/base.h"
#include <stddef.h>

typedef struct library_symbol {
    const char *name;
    size_t offset; /* of its pointer in the table */
} library_symbol;

typedef struct library_source {
    /* "libpq.so.5", for messages: what it is, Debian's name; NULL: it is none of Debian's */
    const char *file, *what, *package;
    const char *oldest;                /* the version that first had all symbols */
    const char *prefix;                /* of each symbol in the library; NULL: none */
    const library_symbol *symbols;
    size_t n;
} library_source;

/* DRMAD_E_MISSING, naming the package, when it is not installed or too old. */
drmad_status library_open(drmad_ctx *ctx, const library_source *source, void *table);

/* The table and the symbols of a list of functions, LIST(F) being F(name) for each:
 *
 *   typedef struct pq { PQ_FUNCTIONS(LIBRARY_FIELD) } pq;
 *   typedef pq library_table;
 *   static const library_symbol symbols[] = {PQ_FUNCTIONS(LIBRARY_SYMBOL)};
 *
 * The functions are declared by the library's own header. */
#define LIBRARY_FIELD(f) __typeof__(f) *f;
#define LIBRARY_SYMBOL(f) {#f, offsetof(library_table, f)},

/* Where a library may be found. */
typedef struct library_file {
    const char *name, *prefix;
    bool beside; /* in the folder of our own library: the Python wheel's copy */
} library_file;

/* The same for the first of `n` files that is there and has the symbols; source.file and
 * source.prefix are taken from it. */
drmad_status library_open_any(drmad_ctx *ctx, library_source source, const library_file *files,
                              int32_t n, void *table);
#endif
