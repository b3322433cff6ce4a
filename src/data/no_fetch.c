/* Stands for fetch.c in a build without libcurl (DRMAD_FETCH=OFF), such as the Python wheel. */
#include "data/fetch.h"

drmad_status data_fetch(drmad_ctx *ctx, const char *name, const char *dir)
{
    return FAIL(ctx, DRMAD_E_MISSING,
                "this build of drmad does not download: put the files of %s into %s yourself", name,
                dir);
}
