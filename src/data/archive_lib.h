/* libarchive, loaded when the first archive is opened. */
#ifndef ARCHIVE_LIB_H
#define ARCHIVE_LIB_H
#include "base/shared_library.h"
#include <archive.h>
#include <archive_entry.h>

#define ARCHIVE_FUNCTIONS(F)                                                                       \
    F(archive_read_new)                                                                            \
    F(archive_read_support_format_tar)                                                             \
    F(archive_read_support_format_zip_seekable)                                                    \
    F(archive_read_open_fd)                                                                        \
    F(archive_read_open_memory)                                                                    \
    F(archive_read_next_header)                                                                    \
    F(archive_read_header_position)                                                                \
    F(archive_read_data)                                                                           \
    F(archive_read_free)                                                                           \
    F(archive_error_string)                                                                        \
    F(archive_entry_pathname)                                                                      \
    F(archive_entry_size)                                                                          \
    F(archive_entry_size_is_set)                                                                   \
    F(archive_entry_filetype)                                                                      \
    F(archive_entry_hardlink)                                                                      \
    F(archive_entry_is_encrypted)                                                                  \
    F(archive_entry_sparse_count)

typedef struct archive_lib {
    ARCHIVE_FUNCTIONS(LIBRARY_FIELD)
} archive_lib;

/* DRMAD_E_MISSING, naming the package, when it is not there. */
drmad_status archive_lib_open(drmad_ctx *ctx, archive_lib *out);
/* What is wrong, never NULL. */
const char *archive_lib_why(const archive_lib *l, struct archive *a);
/* A member's name as a message may show it. */
const char *archive_lib_name(const archive_lib *l, struct archive_entry *e);
/* Refuses (DRMAD_E_UNSAFE) names that are absolute or lead out, and whatever is neither a file nor
 * a folder. `archive`: for the message. */
drmad_status archive_lib_check(drmad_ctx *ctx, const archive_lib *l, struct archive_entry *e,
                               const char *archive);
#endif
