/* SQLite, loaded when a store is first opened: its library is part of every Linux, and the one that
 * the process has already (Python's) must be the one we use. */
#ifndef LITE_H
#define LITE_H
#include "base/shared_library.h"
#include <sqlite3.h>

#define LITE_FUNCTIONS(F)                                                                          \
    F(sqlite3_bind_blob64)                                                                         \
    F(sqlite3_bind_double)                                                                         \
    F(sqlite3_bind_int64)                                                                          \
    F(sqlite3_bind_null)                                                                           \
    F(sqlite3_bind_parameter_index)                                                                \
    F(sqlite3_bind_text)                                                                           \
    F(sqlite3_bind_zeroblob)                                                                       \
    F(sqlite3_busy_handler)                                                                        \
    F(sqlite3_changes)                                                                             \
    F(sqlite3_clear_bindings)                                                                      \
    F(sqlite3_close_v2)                                                                            \
    F(sqlite3_column_blob)                                                                         \
    F(sqlite3_column_bytes)                                                                        \
    F(sqlite3_column_count)                                                                        \
    F(sqlite3_column_double)                                                                       \
    F(sqlite3_column_int64)                                                                        \
    F(sqlite3_column_text)                                                                         \
    F(sqlite3_column_type)                                                                         \
    F(sqlite3_create_function)                                                                     \
    F(sqlite3_errmsg)                                                                              \
    F(sqlite3_errstr)                                                                              \
    F(sqlite3_exec)                                                                                \
    F(sqlite3_extended_errcode)                                                                    \
    F(sqlite3_extended_result_codes)                                                               \
    F(sqlite3_finalize)                                                                            \
    F(sqlite3_libversion)                                                                          \
    F(sqlite3_libversion_number)                                                                   \
    F(sqlite3_open_v2)                                                                             \
    F(sqlite3_prepare_v3)                                                                          \
    F(sqlite3_reset)                                                                               \
    F(sqlite3_result_double)                                                                       \
    F(sqlite3_result_text)                                                                         \
    F(sqlite3_step)                                                                                \
    F(sqlite3_user_data)

typedef struct lite {
    LITE_FUNCTIONS(LIBRARY_FIELD)
} lite;

/* DRMAD_E_MISSING, naming the package, when there is no SQLite or one older than 3.35. */
drmad_status lite_open(drmad_ctx *ctx, lite *out);
#endif
