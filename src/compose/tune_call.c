/* drmad tune: what a study comes to is one tuning, a search, a pipeline or a rally. */
#include "compose/rally.h"
#include "compose/stages.h"

drmad_status drmad_study_tune(drmad_study *s, int resume)
{
    const config_study *c = &s->cfg->set;

    if (c->stages.n > 0) return study_run_stages(s, resume != 0);
    if (c->rally.n > 0) return study_run_rally(s, resume != 0);
    if (c->parameters.n > 0) return drmad_study_work(s); /* it goes on by itself */
    return study_tune(s, resume != 0);
}
