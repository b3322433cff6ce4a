/* drmad completion bash: a completion script made from the option tables. */
#include "cli.h"
#include <string.h>

static const opt completion_opts[] = {OPT_HELP, OPTS_END};

static void bash(void)
{
    printf("_drmad()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} words=\n");
    printf("    COMPREPLY=()\n    if [ \"$COMP_CWORD\" = 1 ]; then\n        words=\"");
    for (int i = 0; commands[i]; i++) printf("%s%s", i ? " " : "", commands[i]->name);
    printf("\"\n    else\n        case ${COMP_WORDS[1]} in\n");
    for (int i = 0; commands[i]; i++) {
        printf("        %s) words=\"", commands[i]->name);
        for (const opt *o = commands[i]->opts; o->type != OPT_LAST; o++)
            printf("%s--%s", o == commands[i]->opts ? "" : " ", o->name);
        printf("\" ;;\n");
    }
    printf("        esac\n    fi\n");
    printf("    if [ \"$COMP_CWORD\" = 1 ] || [[ $cur == -* ]]; then\n");
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
