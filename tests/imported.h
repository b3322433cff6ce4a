/* Small folders of the format, written by tests. */
#ifndef IMPORTED_H
#define IMPORTED_H
#include "data/safetensors.h"
#include "test.h"

static inline void write_text(const char *dir, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    if (!f) return;
    CHECK(fputs(text, f) >= 0);
    fclose(f);
}

static inline void write_tensors(const char *dir, const char *name, const st_tensor *at, int32_t n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_OK(test_ctx(), safetensors_write(test_ctx(), path, &(st_file){.n = n, .at = at}));
}
#endif
