/* What a search has cost, and how much it may. */
#ifndef CHARGE_H
#define CHARGE_H
#include "study/study.h"

/* What the trials that have ended cost: multiply-adds of those of our own training, and
 * the seconds in which at least one ran, suggestion included. */
typedef struct charged {
    double macs, seconds;
} charged;
drmad_status search_charged(drmad_study *s, double run_macs, charged *out);
/* A pipeline's search: its part of the budget; 0: no limit. Else a budget is each trial's own. */
void search_limits(const config_study *c, double *runs, double *seconds);
#endif
