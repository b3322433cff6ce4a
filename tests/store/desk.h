/* A desk: one journal in a scratch folder, opened, with a study in it. */
#ifndef DESK_H
#define DESK_H
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

/* Trials as text, one a line, to compare with what they should be. */
typedef struct listing {
    char text[8192];
    size_t used;
} listing;

desk desk_at(const char *folder);
store *desk_store(desk *d, double lease_s, double patience_s);
desk desk_open(double lease_s);
void desk_close(desk *d);
void file_append(const char *path, const char *text);
off_t file_size(const char *path);
int file_lines(const char *path);
void list(listing *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
drmad_status list_trial(void *user, const store_trial *t);
void check_listing(desk *d, const char *want);
void begin(desk *d, store_lease *l);
drmad_status tell(store *s, const store_lease *l, double value);
void count_findings(void *user, int level, const char *text);
#endif
