/* From the first words of a line to the command: its name is one word, or a group's and one more.
 */
#include "cli.h"
#include <string.h>

enum { COMMANDS_MAX = 64, FIRST_MAX = 32 };

/* The verb of a command in the group `word`, or NULL for a command of another group or of none. */
static const char *verb_of(const command *c, const char *word)
{
    const size_t n = strlen(word);

    return strncmp(c->name, word, n) == 0 && c->name[n] == ' ' ? c->name + n + 1 : NULL;
}

bool group_list(FILE *f, const char *word)
{
    bool found = false;

    for (int i = 0; commands[i]; i++) {
        if (word && !verb_of(commands[i], word)) continue;
        if (word && !found) fprintf(f, "usage: drmad %s COMMAND [OPTION]... [WORD]...\n\n", word);
        fprintf(f, "  %-17s %s\n", commands[i]->name, commands[i]->summary);
        found = true;
    }
    return found;
}

static void no_such(const char *group, const char *word, const char *const *names)
{
    const char *near = near_name(word, names);

    fprintf(stderr, "drmad%s%s: %s: no such command", group[0] ? " " : "", group, word);
    if (near) fprintf(stderr, "; did you mean %s?\n", near);
    else fprintf(stderr, " (see drmad %s)\n", group[0] ? group : "help");
}

static void no_command(const char *word)
{
    char first[COMMANDS_MAX][FIRST_MAX];
    const char *names[COMMANDS_MAX + 1] = {0};

    for (int i = 0; commands[i] && i < COMMANDS_MAX; i++) {
        snprintf(first[i], sizeof first[i], "%.*s", (int)strcspn(commands[i]->name, " "),
                 commands[i]->name);
        names[i] = first[i];
    }
    no_such("", word, names);
}

static void no_verb(const char *group, const char *word)
{
    const char *names[COMMANDS_MAX + 1] = {0};
    int n = 0;

    for (int i = 0; commands[i] && n < COMMANDS_MAX; i++) {
        names[n] = verb_of(commands[i], group);
        n += names[n] != NULL;
    }
    no_such(group, word, names);
}

const command *command_find(int argc, const char *const *argv, int *used)
{
    bool group = false;

    for (int i = 0; commands[i]; i++) {
        const char *verb = verb_of(commands[i], argv[0]);

        *used = verb ? 2 : 1;
        group = group || verb;
        if (strcmp(commands[i]->name, argv[0]) == 0) return commands[i];
        if (verb && argc > 1 && strcmp(verb, argv[1]) == 0) return commands[i];
    }
    if (!group) no_command(argv[0]);
    else if (argc < 2) group_list(stderr, argv[0]);
    else no_verb(argv[0], argv[1]);
    return NULL;
}
