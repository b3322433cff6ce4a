/* Our own training with d objective / d parameter, for those of a trial's parameters that are keys
 * of the study with a hypergradient: optimizer.lr, optimizer.momentum, optimizer.weight_decay,
 * train.l2, train.l1. One run and one walk back give all of them. */
#ifndef SLOPE_H
#define SLOPE_H
#include "study/study.h"

/* Declares them as `hyper`, one value each, at what the study has. *found: whether there are any.
 * Before config_finish; a study with `hyper` of its own is left as it is. */
drmad_status slope_declare(config *c, const char *const *names, int32_t n, bool *found);
/* drmad_study_train with `gradient` in its result; without one where the way back diverges. */
drmad_status slope_train(drmad_study *s);
#endif
