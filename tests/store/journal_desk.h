/* A journal in the scratch folder, for its tests: opened, looked at, written beside the store. */
#ifndef JOURNAL_DESK_H
#define JOURNAL_DESK_H
#include "store/journal_inside.h"
#include "test.h"
#include <sys/types.h>

enum { PATH_SIZE = 512 };

typedef struct desk {
    drmad_ctx *ctx;
    char path[PATH_SIZE], url[PATH_SIZE + 8];
    store *s;
    int64_t study;
} desk;

desk desk_at(const char *folder); /* nothing is opened or made */
store *desk_store(desk *d, double lease_s, double patience_s);
desk desk_open(double lease_s); /* in the test's scratch folder, with the study "study" */
void desk_close(desk *d);

void desk_append(const char *path, const char *text); /* as another writer, without any lock */
off_t desk_size(const char *path);                    /* -1: no such file */
int desk_lines(const char *path);

/* Trials as text, one a line, to compare with what they should be. */
typedef struct listing {
    char text[8192];
    size_t used;
} listing;
void desk_list(listing *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void desk_check(desk *d, const char *want); /* all trials of the study */

void desk_begin(desk *d, store_lease *l);
drmad_status desk_tell(store *s, const store_lease *l, double value);
void desk_count_errors(void *user, int level, const char *text); /* findings; *user: how many */
#endif
