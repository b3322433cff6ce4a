/* What lower_product.c and lower_plain.c share. */
#ifndef LOWER_INSIDE_H
#define LOWER_INSIDE_H
#include "exec/cuda/lower/gpu_lower.h"
#include "exec/cuda/kernel/kernel_args.h"
#include "exec/cuda/lower/tile_choice.h"

/* The window of a convolution or pooling; oh and ow are the result's. */
window_args gpu_window_of(const graph *g, const node_rec *r);
drmad_status gpu_lower_conv_dw(gpu_lower *l, node n);
#endif
