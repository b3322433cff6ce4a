/* drmad study replay: whether every past suggestion of a study comes out again. */
#include "cli.h"
#include "drmad/trial.h"
#include <stdlib.h>
#include <string.h>

static const opt study_replay_opts[] = {
    OPTS_STORE,
    OPTS_END,
};

static drmad_status call(void *study, const args *a)
{
    (void)a;
    return drmad_study_replay(study);
}

static int study_replay_run(const args *a)
{
    place p;
    int status = place_of(a, "study replay", &p);
    const char *url = status == 0 && p.url ? p.url : "";
    const size_t size = status == 0 ? strlen(url) + strlen(p.name) + 2 : 1;
    char *target = malloc(size);

    if (!target) status = drmad_status_exit(DRMAD_E_NOMEM);
    if (status == 0) {
        args with = *a; /* the word names a study of a store, never a file */

        snprintf(target, size, "%s#%s", url, p.name);
        with.study = target;
        with.word_count = with.setting_count = 0;
        status = run_trials(&with, 0, call);
    }
    free(target);
    place_free(&p);
    return status;
}

const command cmd_study_replay = {
    "study replay",
    "[URL#]NAME",
    1,
    1,
    "suggest every past trial again and compare, bit for bit",
    "From the note that is kept with each trial: what its suggestion looked at. Names each trial\n"
    "that differs, was suggested by another build, or not at all (enqueued, by Optuna), and ends\n"
    "with 4 when one differs. Writes nothing.",
    study_replay_opts,
    study_replay_run,
};
