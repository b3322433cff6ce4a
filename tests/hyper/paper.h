/* The paper's net in single: 784-50-50-50-10 with tanh, a penalty for each input of a unit and a
 * rate for each tensor, over a full trajectory. */
#ifndef PAPER_H
#define PAPER_H
#include "toy.h"

enum { PAPER_VALUES = 1000 }; /* of its hypergradient, at most */

/* To be closed by toy_close. */
void paper_open(toy *t, const backend *on, int64_t steps, int64_t batch);
#endif
