/* The smallest program against an installed drmad: makes a context, prints the version. */
#include <drmad/ctx.h>
#include <stdio.h>

int main(void)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);

    if (!ctx) return 1;
    printf("%s\n", drmad_version());
    drmad_ctx_free(ctx);
    return 0;
}
