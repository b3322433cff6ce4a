/* What the commands share: a context with log and signals, and a study loaded, run and printed.
 * Results go to standard output, everything else to standard error. */
#include "cli.h"
#include "drmad/trial.h"
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* A signal handler can reach nothing else. */
static _Atomic(drmad_ctx *) stop_ctx;
static atomic_int stop_signals;

/* The first signal asks for a clean end, the second ends at once. */
static void on_signal(int sig)
{
    drmad_ctx *ctx = atomic_load(&stop_ctx);

    if (!ctx || atomic_fetch_add(&stop_signals, 1) > 0) _exit(128 + sig);
    drmad_ctx_stop(ctx, sig);
}

static void on_checkpoint(int sig)
{
    drmad_ctx *ctx = atomic_load(&stop_ctx);

    (void)sig;
    if (ctx) drmad_ctx_checkpoint(ctx);
}

static void catch_signal(int sig, void (*handler)(int))
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;

    /* nohup and background jobs of a shell ignore some on purpose */
    if (sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_IGN) return;
    sigaction(sig, &sa, NULL);
}

static void catch_signals(drmad_ctx *ctx)
{
    atomic_store(&stop_ctx, ctx);
    catch_signal(SIGINT, on_signal);
    catch_signal(SIGTERM, on_signal);
    catch_signal(SIGHUP, on_signal);
    catch_signal(SIGUSR1, on_checkpoint);
    catch_signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write, below */
    catch_signal(SIGXFSZ, SIG_IGN); /* and a file that may not grow one of its writer */
}

drmad_ctx *run_open(term *t, const args *a)
{
    term_init(t, a);
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    if (!ctx) {
        term_say(t, "error", "out of memory");
        return NULL;
    }
    drmad_ctx_set_log(ctx, term_log, t);
    catch_signals(ctx);
    return ctx;
}

/* What was printed is not there before this says so: the disk may be full, the pipe closed. */
int flush_results(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
    fprintf(stderr, "error: standard output: %s\n", errno ? strerror(errno) : "cannot be written");
    return EXIT_OUTPUT;
}

int run_close(drmad_ctx *ctx, term *t, drmad_status st)
{
    int status = drmad_status_exit(st);

    term_clear(t);
    if (st != DRMAD_OK) term_say(t, "error", drmad_errmsg(ctx));
    int flushed = flush_results();
    if (status == 0) status = flushed;
    atomic_store(&stop_ctx, NULL);
    drmad_ctx_free(ctx);
    return status;
}

typedef struct listener {
    term *t;
    bool json;
} listener;

static void on_event(void *user, const char *stage, double done, double total, const char *json)
{
    listener *l = user;

    if (l->json) {
        printf("%s\n", json);
        fflush(stdout); /* a reader at the pipe's other end sees each event as it happens */
    } else {
        term_progress(l->t, stage, done, total);
    }
}

const char *own_word(const args *a, int i)
{
    i += !a->study;
    return i < a->word_count ? a->words[i] : NULL;
}

/* The words after the study and the command's own are overrides; an option wins over them. */
static drmad_status load(drmad_ctx *ctx, const args *a, int own, drmad_study **out)
{
    const char *settings[2 * WORDS_MAX], *word;
    int n = 0;

    for (int i = own; (word = own_word(a, i)); i++) settings[n++] = word;
    for (int i = 0; i < a->setting_count; i++) settings[n++] = a->settings[i];
    if (a->study) return drmad_study_open(ctx, a->study, a->trust_store, settings, n, out);
    return drmad_study_load(ctx, a->words[0], settings, n, out);
}

/* Also after a failure that has a result, as when all runs diverged; half a result is none. */
static void print_result(const drmad_study *s, bool as_json)
{
    const char *json = drmad_study_result_json(s);
    const char *result = as_json ? json : drmad_study_result_text(s);

    if (!json[0]) return;
    fputs(result, stdout);
    if (result[strlen(result) - 1] != '\n') putchar('\n');
}

int run_study(const args *a, study_call *call)
{
    return run_trials(a, 0, call);
}

int run_trials(const args *a, int own, study_call *call)
{
    term t;
    drmad_study *s = NULL;
    drmad_ctx *ctx = run_open(&t, a);

    if (!ctx) return drmad_status_exit(DRMAD_E_NOMEM);
    listener l = {&t, a->json};
    drmad_status st = load(ctx, a, own, &s);
    if (st == DRMAD_OK) {
        drmad_study_set_events(s, on_event, &l);
        st = call(s, a);
        term_clear(&t);
        print_result(s, a->json);
    }
    drmad_study_free(s);
    return run_close(ctx, &t, st);
}

void print_json_string(FILE *f, const char *s)
{
    putc('"', f);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\') fprintf(f, "\\%c", c);
        else if (c < 0x20) fprintf(f, "\\u%04x", c);
        else putc(c, f);
    }
    putc('"', f);
}
