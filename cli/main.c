/* drmad: finds the command, parses its line and runs it. */
#include "cli.h"
#include <string.h>

const command *const commands[] = {
    &cmd_tune, &cmd_why,     &cmd_train,      &cmd_check, &cmd_explain,
    &cmd_data, &cmd_version, &cmd_completion, &cmd_help,  NULL,
};

/* Says so on standard error when there is none. */
const command *command_find(const char *name)
{
    const char *names[sizeof commands / sizeof commands[0]] = {0};

    for (int i = 0; commands[i]; i++) {
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
        names[i] = commands[i]->name;
    }
    const char *near = near_name(name, names);
    if (near) fprintf(stderr, "drmad: %s: no such command; did you mean %s?\n", name, near);
    else fprintf(stderr, "drmad: %s: no such command (see drmad help)\n", name);
    return NULL;
}

int main(int argc, char **argv)
{
    args a;
    const char *word = argc > 1 ? argv[1] : "";

    if (strcmp(drmad_version(), DRMAD_VERSION) != 0) {
        fprintf(stderr, "drmad: command %s, library %s: install both from one build\n",
                DRMAD_VERSION, drmad_version());
        return drmad_status_exit(DRMAD_E_INTERNAL);
    }
    if (!*word) {
        help_overview(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) word = "help";
    if (strcmp(word, "--version") == 0) word = "version";

    const command *c = command_find(word);
    if (!c) return EXIT_USAGE;
    int status = EXIT_USAGE;
    bool ok = args_parse(c, argc - 2, argv + 2, &a);
    if (ok && a.help) status = help_print(c);
    else if (ok) status = c->run(&a);
    args_free(&a);
    return status;
}
