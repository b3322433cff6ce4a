/* Help texts and docs/CLI.md, made from the tables of commands, options and status codes. */
#include "cli.h"
#include <string.h>

static const opt help_opts[] = {
    FLAG(0, "markdown", markdown, "print the whole manual (docs/CLI.md)"),
    OPT_HELP,
    OPTS_END,
};

void help_overview(FILE *f)
{
    fprintf(f, "usage: drmad COMMAND [OPTION]... [WORD]...\n\n");
    group_list(f, NULL);
    fprintf(f, "\ndrmad COMMAND --help says more.\n");
}

static void usage(FILE *f, const command *c)
{
    fprintf(f, "drmad %s [OPTION]...%s%s\n", c->name, c->words ? " " : "",
            c->words ? c->words : "");
}

/* "-s, --seed N" */
static void spell(const opt *o, char *buf, size_t size)
{
    char letter[8] = "    ";

    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(buf, size, "%s--%s%s%s", letter, o->name, o->metavar ? " " : "",
             o->metavar ? o->metavar : "");
}

static void options(FILE *f, const command *c)
{
    char left[64];

    for (const opt *o = c->opts; o->type != OPT_LAST; o++) {
        spell(o, left, sizeof left);
        fprintf(f, "  %-20s %s\n", left, o->help);
    }
}

static void help_command(FILE *f, const command *c)
{
    fprintf(f, "usage: ");
    usage(f, c);
    fprintf(f, "\n%s\n", c->summary);
    if (c->text) fprintf(f, "\n%s\n", c->text);
    fprintf(f, "\n");
    options(f, c);
}

static void exit_codes(FILE *f)
{
    fprintf(f, "## Exit status\n\n| status | meaning |\n|---|---|\n");
    for (int exit = 0; exit < 256; exit++) {
        bool found = false;

        for (int st = 0; st < (int)DRMAD_STATUS_COUNT; st++) {
            if (drmad_status_exit((drmad_status)st) != exit) continue;
            if (!found) fprintf(f, "| %d | ", exit);
            fprintf(f, "%s%s", found ? "; " : "", drmad_status_text((drmad_status)st));
            found = true;
        }
        if (found) fprintf(f, " |\n");
    }
}

static void help_markdown(FILE *f)
{
    fprintf(f,
            "# The command\n\nMade by `drmad help --markdown` from the option tables in `cli/`; "
            "do not edit.\n\n"
            "Results go to standard output, everything else to standard error. A progress line\n"
            "is drawn only on a terminal; `NO_COLOR` is honoured. Ctrl-C, SIGTERM and SIGHUP end\n"
            "the run after a clean checkpoint, a second one at once; SIGUSR1 asks for a\n"
            "checkpoint and the run goes on. A worker gives its trials back to the store instead,\n"
            "after SIGUSR1 too, and then ends with 75.\n\n");
    for (int i = 0; commands[i]; i++) {
        fprintf(f, "## %s\n\n```\n", commands[i]->name);
        help_command(f, commands[i]);
        fprintf(f, "```\n\n");
    }
    exit_codes(f);
}

int help_print(const command *c)
{
    help_command(stdout, c);
    return flush_results();
}

static int help_run(const args *a)
{
    int used;

    if (a->word_count == 1 && group_list(stdout, a->words[0])) return flush_results();
    if (a->word_count) {
        const command *c = command_find(a->word_count, a->words, &used);

        return c ? help_print(c) : EXIT_USAGE;
    }
    if (a->markdown) help_markdown(stdout);
    else help_overview(stdout);
    return flush_results();
}

const command cmd_help = {
    "help", "[COMMAND]", 0, 2, "this list, or the help of one command", NULL, help_opts, help_run,
};
