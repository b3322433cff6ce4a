/* What follows a net that grows: a state of its training, and hyperparameters. The net of `to` is
 * that of `from` after the morphs that `to` has more in model.grow. */
#ifndef GROW_H
#define GROW_H
#include "setup/start.h"

/* The state of `from` becomes one of `to`; `noise` as of morph_apply. */
drmad_status grow_state(const setup *from, const setup *to, double noise, start_state *s);
/* `old`, over the space `then`, becomes `fresh`, over `now`. A new unit has its parent's values, a
 * new layer those of the layer before it (their mean where it has others than that), a new example
 * what its declaration starts with. */
typedef struct grow_side {
    const setup *u;
    const space *s;
} grow_side;
drmad_status grow_values(const grow_side *from, const double *old, const grow_side *to,
                         double *fresh);
#endif
