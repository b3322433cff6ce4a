/* A real task among the problems: one training run of a small net on MNIST, by the library.
 *
 * 784-30-10 tanh, 1,000 training images, 200 steps of 50, SGD; the value is the loss on 1,000
 * validation images, at most 5 (also of a run that diverges). Tuned: two learning rates (each for
 * half of the steps), 1 - momentum, an L2 penalty for each layer, the scale of the initial weights.
 * Instances: other images, initial weights and batches. The data: DRMAD_DATA.
 *
 * Ownership: mnist_open gives, mnist_close takes. */
#ifndef MNIST_TASK_H
#define MNIST_TASK_H
#include <stdint.h>

enum { MNIST_PARAMS = 6 };

typedef struct mnist_task mnist_task;

/* NULL, with a line on stderr: no data. */
mnist_task *mnist_open(int32_t instance);
void mnist_close(mnist_task *t); /* NULL is fine */
double mnist_value(mnist_task *t, const double *x);
#endif
