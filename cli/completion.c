/* drmad completion bash: a completion script made from the option tables. */
#include "cli.h"
#include <string.h>

static const opt completion_opts[] = {OPT_HELP, OPTS_END};

static void put_options(const command *c)
{
    for (const opt *o = c->opts; o->type != OPT_LAST; o++)
        printf("%s--%s", o == c->opts ? "" : " ", o->name);
}

/* First words, each once: the commands of a group stand together in the table. */
static void put_first_words(void)
{
    const char *last = "";

    for (int i = 0; commands[i]; i++) {
        const int n = (int)strcspn(commands[i]->name, " ");

        if (strncmp(last, commands[i]->name, (size_t)n + 1) != 0)
            printf("%s%.*s", i ? " " : "", n, commands[i]->name);
        last = commands[i]->name;
    }
}

/* Second words of the groups, as cases of the first. */
static void put_verbs(void)
{
    for (int i = 0; commands[i]; i++) {
        const char *space = strchr(commands[i]->name, ' ');

        if (!space) continue;
        printf("        %.*s) words+=\" %s\" ;;&\n", (int)(space - commands[i]->name),
               commands[i]->name, space + 1);
    }
}

static void bash(void)
{
    printf("_drmad()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} words= verbs=\n");
    printf("    COMPREPLY=()\n    if [ \"$COMP_CWORD\" = 1 ]; then\n        words=\"");
    put_first_words();
    printf("\"\n        verbs=1\n    elif [ \"$COMP_CWORD\" = 2 ]; then\n");
    printf("        case ${COMP_WORDS[1]} in\n");
    put_verbs();
    printf("        esac\n        verbs=$words\n    fi\n");
    printf(
        "    if [ -z \"$words\" ]; then\n        case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n");
    for (int i = 0; commands[i]; i++) {
        printf("        '%s%s) words=\"", commands[i]->name,
               strchr(commands[i]->name, ' ') ? "'" : " '*");
        put_options(commands[i]);
        printf("\" ;;\n");
    }
    printf("        esac\n    fi\n");
    printf("    if [ -n \"$verbs\" ] || [[ $cur == -* ]]; then\n");
    printf("        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n    fi\n}\n");
    printf("complete -o default -F _drmad drmad\n");
}

static int completion_run(const args *a)
{
    if (strcmp(a->words[0], "bash") != 0) {
        fprintf(stderr, "drmad completion: %s: only bash is known\n", a->words[0]);
        return EXIT_USAGE;
    }
    bash();
    return flush_results();
}

const command cmd_completion = {
    "completion",
    "bash",
    1,
    1,
    "print a completion script for the shell",
    "Use: source <(drmad completion bash)",
    completion_opts,
    completion_run,
};
