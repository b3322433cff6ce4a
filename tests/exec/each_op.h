/* One small graph for each operation of ops.def, in a given size. An operation without a row here
 * does not compile. */
#ifndef EACH_OP_H
#define EACH_OP_H
#include "run_fixture.h"

typedef struct dims {
    int64_t rows, cols;
} dims;

node each_op(rx *x, int op, dims d);
#endif
