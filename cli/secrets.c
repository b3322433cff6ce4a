/* Passwords on the command line, which every user of the machine can read. */
#include "cli.h"
#include "drmad/store.h"

int secrets_check(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!drmad_store_has_password(argv[i])) continue;
        fprintf(stderr,
                "drmad: a password on the command line can be read by every user of this machine: "
                "put it into ~/.pgpass (mode 0600, or PGPASSFILE), name a service (PGSERVICE), or "
                "set the URL in DRMAD_STORAGE\n");
        return drmad_status_exit(DRMAD_E_UNSAFE);
    }
    return 0;
}
