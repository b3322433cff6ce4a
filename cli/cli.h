/* The command's inside: what main.c, the commands and the helpers share. Everything here stands on
 * the public headers alone. */
#ifndef CLI_H
#define CLI_H
#include "drmad/ctx.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { EXIT_USAGE = 2, EXIT_OUTPUT = 6, WORDS_MAX = 256 };

/* What a command line says; opt.c fills it. Strings are argv's, but settings are its own. */
typedef struct args {
    bool json, quiet, resume, dry_run, help, markdown, trust_store;
    int verbose;
    const char *words[WORDS_MAX];
    int word_count;
    char *settings[WORDS_MAX]; /* options that set a key of the study: "key=value" */
    int setting_count;
    const char *store, *study, *token; /* values of options, NULL: not given */
    const char *from, *every, *direction, *url_file, *folder, *noise;
    bool all, yes;
} args;

typedef enum opt_type { OPT_LAST, OPT_FLAG, OPT_COUNT, OPT_TEXT, OPT_SETTING } opt_type;

/* One option. Parsing, help, completion and docs/CLI.md all read these tables. */
typedef struct opt {
    char letter; /* 0 for none */
    const char *name;
    opt_type type;
    size_t field;    /* in args; OPT_SETTING has none */
    const char *key; /* of the study, OPT_SETTING; without a metavar it is set to true */
    const char *metavar, *help;
} opt;

/* clang-format off */
#define FLAG(letter, name, field, help) \
    {letter, name, OPT_FLAG, offsetof(args, field), NULL, NULL, help}
#define COUNTED(letter, name, field, help) \
    {letter, name, OPT_COUNT, offsetof(args, field), NULL, NULL, help}
#define TEXT(letter, name, field, metavar, help) \
    {letter, name, OPT_TEXT, offsetof(args, field), NULL, metavar, help}
#define SETTING(letter, name, key, metavar, help) \
    {letter, name, OPT_SETTING, 0, key, metavar, help}
#define OPTS_END {0, NULL, OPT_LAST, 0, NULL, NULL, NULL}

/* Options that several commands share, so that they read the same everywhere. */
#define OPT_HELP FLAG('h', "help", help, "this text")
#define OPT_JSON FLAG(0, "json", json, "one JSON object a line on standard output")
#define OPT_QUIET FLAG('q', "quiet", quiet, "only errors on standard error")
#define OPT_STORE TEXT(0, "store", store, "URL", "the store [$DRMAD_STORAGE, sqlite:drmad.db]")
#define OPTS_STORE OPT_STORE, OPT_JSON, OPT_QUIET, OPT_HELP
#define OPTS_STUDY \
    SETTING('s', "seed", "seed", "N", "seed of everything random"), \
    SETTING('o', "out", "output.dir", "DIR", "folder for the files of this run"), \
    SETTING('j', "threads", "threads", "N", "worker threads [auto: one per core]"), \
    SETTING(0, "strict", "data.strict", NULL, "an example in two of the sets is an error"), \
    OPT_JSON, \
    FLAG('q', "quiet", quiet, "only errors on standard error"), \
    COUNTED('v', "verbose", verbose, "more on standard error"), \
    OPT_HELP
/* Of commands that work on trials. */
#define OPTS_TRIALS \
    TEXT(0, "study", study, "URL#NAME", "the study as the store has it, in place of a file"), \
    SETTING(0, "store", "store", "URL", "where trials are kept [sqlite:drmad.db]")
#define OPTS_SERVER \
    SETTING(0, "folder", "folder", "DIR", "where the server keeps its files"), \
    SETTING(0, "bin", "bin", "DIR", "where initdb and pg_ctl lie [PATH, then Debian's place]"), \
    SETTING(0, "max-connections", "max_connections", "N", "workers at once, and some [100]"), \
    OPT_QUIET, \
    OPT_HELP
#define OPT_TRUST \
    FLAG(0, "trust-store", trust_store, "with --study: run the command that the store names")
/* clang-format on */

typedef struct command {
    const char *name;          /* one word, or two: "study list" */
    const char *words;         /* the words it takes, as shown in its help; NULL for none */
    int least, most;           /* how many */
    const char *summary;       /* one line */
    const char *text;          /* the rest of the help, or NULL */
    const opt *opts;           /* ends with OPTS_END */
    int (*run)(const args *a); /* gives the exit status */
} command;

extern const command cmd_tune, cmd_worker, cmd_why, cmd_train, cmd_check, cmd_explain,
    cmd_trial_ask, cmd_trial_report, cmd_trial_tell, cmd_trial_enqueue, cmd_data, cmd_data_stat,
    cmd_version, cmd_completion, cmd_help, cmd_study_create, cmd_study_list, cmd_study_show,
    cmd_study_best, cmd_study_watch, cmd_study_delete, cmd_study_replay, cmd_store_check,
    cmd_store_upgrade, cmd_store_start_local, cmd_store_start, cmd_store_stop, cmd_store_views,
    cmd_export, cmd_import_hypero, cmd_import, cmd_report, cmd_grow;
extern const command *const commands[]; /* main.c; ends with NULL */

/* find.c. The command that the first of `argc` words name; *used says how many. NULL after a
 * message. */
const command *command_find(int argc, const char *const *argv, int *used);
/* Lists the commands of the group `word` (NULL: all); false when there is no such group. */
bool group_list(FILE *f, const char *word);

/* opt.c. Fills *a from argv[0..argc); false after a message on standard error. */
bool args_parse(const command *c, int argc, char **argv, args *a);
void args_free(args *a);

/* near.c. The name in `names` (ends with NULL) nearest to `word`, or NULL when none is near. */
const char *near_name(const char *word, const char *const *names);

/* help.c */
void help_overview(FILE *f);
int help_print(const command *c); /* one command's, on standard output; gives the exit status */

/* term.c: standard error. A line never carries control bytes to a terminal. */
typedef struct term {
    bool tty, color, quiet;
    int verbose;
    char stage[32];
    double since, seen, drawn; /* seconds: start of the stage, last event, last drawing */
    bool open;                 /* a progress line stands there */
} term;
void term_init(term *t, const args *a);
void term_say(term *t, const char *label,
              const char *text);                            /* "label: text" on a line of its own */
void term_log(void *term_ptr, int level, const char *line); /* a drmad_log_fn */
void term_progress(term *t, const char *stage, double done, double total);
void term_clear(term *t);
/* A result on standard output; to a terminal without control bytes. */
void print_clean(const char *text);

/* run.c: what the commands do with the library. Each ends in the exit status. */
typedef drmad_status study_call(void *study, const args *a);
drmad_ctx *run_open(term *t, const args *a); /* signals included; NULL after a message */
int flush_results(void);                     /* of standard output; gives the exit status */
int run_close(drmad_ctx *ctx, term *t, drmad_status st);
int run_study(const args *a, study_call *call);
/* The same where `own` words after the study are the command's, and the study may come from --study
 * in place of a first word. */
int run_trials(const args *a, int own, study_call *call);
const char *own_word(const args *a, int i); /* NULL past the last */
void print_json_string(FILE *f, const char *s);

/* place.c. Which study in which store: "NAME", "URL#NAME", --store URL. */
typedef struct place {
    const char *url, *name; /* url NULL: the library's own choice */
    char *owned;
} place;
/* Of the first word; gives 0, else the exit status after a message. */
int place_of(const args *a, const char *who, place *out);
void place_free(place *p);

/* secrets.c. Refuses words that hold a password: gives 0, else the exit status after a message. */
int secrets_check(int argc, char **argv);

/* store_run.c: commands on a store. `study` is NULL where the command takes none. */
typedef struct drmad_store drmad_store;
typedef drmad_status store_call(drmad_store *s, const char *study, const args *a);
enum { STORE_READ, STORE_WRITE, STORE_MAKE }; /* STORE_MAKE: the store, when there is none */
int run_store(const args *a, const char *who, int how, bool study, store_call *call);
/* store_local.c. Starts the server and prints its URL; gives the exit status. */
enum { URL_MAX = 2048 };
int start_local(const args *a, const char *const *settings, int n);
#endif
