/* drmad store start: the same server, open to other machines of a job. */
#include "cli.h"
#include "drmad/store.h"
#include <stdio.h>
#include <string.h>

static const opt store_start_opts[] = {
    SETTING('b', "bind", "bind", "ADDR", "address of this machine to listen on, too (required)"),
    TEXT(0, "url-file", url_file, "FILE", "gets the URL with password, 0600 [drmad-store.url]"),
    OPTS_SERVER,
    OPTS_END,
};

static bool has_bind(const args *a)
{
    for (int i = 0; i < a->setting_count; i++)
        if (strncmp(a->settings[i], "bind=", 5) == 0) return true;
    return false;
}

static int store_start_run(const args *a)
{
    const char *settings[WORDS_MAX + 1], *file = a->url_file ? a->url_file : "drmad-store.url";
    char line[URL_MAX];
    int n = 0;

    if (!has_bind(a)) {
        fprintf(stderr, "drmad store start: needs --bind ADDR; drmad store start-local is for this "
                        "machine alone\n");
        return EXIT_USAGE;
    }
    for (; n < a->setting_count; n++) settings[n] = a->settings[n];
    snprintf(line, sizeof line, "url_file=%s", file);
    settings[n++] = line;
    const int status = start_local(a, settings, n);
    if (status == 0 && !a->quiet)
        fprintf(stderr, "on other machines:  export DRMAD_STORAGE=\"$(cat %s)\"\n", file);
    return status;
}

const command cmd_store_start = {
    "store start",
    NULL,
    0,
    0,
    "the same, for the other machines of a cluster job",
    "Inside an allocation: start it on one node, let the others read the file. It holds the "
    "password:\n"
    "keep it where only you can read.",
    store_start_opts,
    store_start_run,
};
