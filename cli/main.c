/* drmad: finds the command, parses its line and runs it. */
#include "cli.h"
#include <string.h>

/* The commands of a group stand together. */
const command *const commands[] = {
    &cmd_tune,
    &cmd_worker,
    &cmd_why,
    &cmd_train,
    &cmd_check,
    &cmd_explain,
    &cmd_grow,
    &cmd_trial_ask,
    &cmd_trial_report,
    &cmd_trial_tell,
    &cmd_trial_enqueue,
    &cmd_study_create,
    &cmd_study_list,
    &cmd_study_show,
    &cmd_study_best,
    &cmd_study_watch,
    &cmd_study_replay,
    &cmd_study_delete,
    &cmd_report,
    &cmd_export,
    &cmd_import_hypero,
    &cmd_import,
    &cmd_store_check,
    &cmd_store_upgrade,
    &cmd_store_start_local,
    &cmd_store_start,
    &cmd_store_stop,
    &cmd_store_views,
    &cmd_data,
    &cmd_data_stat,
    &cmd_version,
    &cmd_completion,
    &cmd_help,
    NULL,
};

static bool asks_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int run(int argc, char **argv)
{
    args a;
    int used = 0, status = EXIT_USAGE;

    if (argc > 1 && asks_help(argv[1]) && group_list(stdout, argv[0])) return flush_results();
    const command *c = command_find(argc, (const char *const *)argv, &used);
    if (!c) return EXIT_USAGE;
    const bool ok = args_parse(c, argc - used, argv + used, &a);
    if (ok && a.help) status = help_print(c);
    else if (ok) status = c->run(&a);
    args_free(&a);
    return status;
}

int main(int argc, char **argv)
{
    char help[] = "help", version[] = "version";

    if (strcmp(drmad_version(), DRMAD_VERSION) != 0) {
        fprintf(stderr, "drmad: command %s, library %s: install both from one build\n",
                DRMAD_VERSION, drmad_version());
        return drmad_status_exit(DRMAD_E_INTERNAL);
    }
    if (argc < 2 || !argv[1][0]) {
        help_overview(stderr);
        return EXIT_USAGE;
    }
    if (asks_help(argv[1])) argv[1] = help;
    if (strcmp(argv[1], "--version") == 0) argv[1] = version;
    const int unsafe = secrets_check(argc, argv);
    return unsafe ? unsafe : run(argc - 1, argv + 1);
}
