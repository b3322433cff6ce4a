/* drmad data get: the only command that opens a network connection. drmad data stat. */
#include "cli.h"
#include "drmad/study.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const opt data_opts[] = {
    FLAG('q', "quiet", quiet, "only errors on standard error"),
    OPT_HELP,
    OPTS_END,
};

/* Where studies look for data by themselves: the XDG base directory for data. */
static void default_dir(const char *name, char *out, size_t size)
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

    if (xdg && xdg[0]) snprintf(out, size, "%s/drmad/%s", xdg, name);
    else snprintf(out, size, "%s/.local/share/drmad/%s", home ? home : "", name);
}

static int data_run(const args *a)
{
    term t;
    char dir[1024];

    if (a->word_count == 2) snprintf(dir, sizeof dir, "%s", a->words[1]);
    else default_dir(a->words[0], dir, sizeof dir);

    drmad_ctx *ctx = run_open(&t, a);
    if (!ctx) return drmad_status_exit(DRMAD_E_NOMEM);
    drmad_status st = drmad_data_get(ctx, a->words[0], dir);
    if (st == DRMAD_OK) printf("%s\n", dir);
    return run_close(ctx, &t, st);
}

const command cmd_data = {
    "data get",
    "NAME [DIR]",
    1,
    2,
    "download a data set and check its SHA-256",
    "NAME: mnist. DIR when not given: where studies look by themselves,\n"
    "$XDG_DATA_HOME/drmad/NAME or ~/.local/share/drmad/NAME.\n"
    "Files already there and right are kept.",
    data_opts,
    data_run,
};

/* ---- data stat ---- */

static const opt stat_opts[] = {
    OPTS_STUDY,
    OPTS_END,
};

static drmad_status stat_call(void *study, const args *a)
{
    (void)a;
    return drmad_study_data(study);
}

static bool is_folder(const char *path)
{
    DIR *d = opendir(path);

    if (d) closedir(d);
    return d != NULL;
}

static bool has(const char *dir, const char *file)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", dir, file);
    return access(path, F_OK) == 0;
}

/* A folder stands for a study on it. */
static int stat_run(const args *a)
{
    char dir[4096], kind[32];
    args b = *a;

    if (!is_folder(a->words[0])) return run_study(a, stat_call);
    const bool cifar = has(a->words[0], "data_batch_1.bin") || has(a->words[0], "train.bin");
    snprintf(dir, sizeof dir, "data.dir=%s", a->words[0]);
    snprintf(kind, sizeof kind, "data.kind=%s", cifar ? "cifar" : "folder");
    b.words[0] = NULL;
    for (int i = a->word_count - 1; i > 0; i--) b.words[i + 3] = a->words[i]; /* the user's win */
    b.words[1] = dir, b.words[2] = kind, b.words[3] = cifar ? "data.size=auto" : "data.size=224";
    b.word_count += 3;
    return run_study(&b, stat_call);
}

const command cmd_data_stat = {
    "data stat",
    "DIR|STUDY [KEY=VALUE]...",
    1,
    WORDS_MAX - 3,
    "look at data: classes, sizes, bad files, speed",
    "DIR: a folder with a folder of pictures a class, or with such folders called train and val,\n"
    "or CIFAR's binary files. Every picture is decoded once; the speed is that of data.size=224\n"
    "unless it is given.",
    stat_opts,
    stat_run,
};
