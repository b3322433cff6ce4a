/* A window that slides over images: the geometry of convolution and pooling. Images are
 * [n, h, w, c], channels fastest. Output pixel (y, x) sees the input pixels
 * (y*stride[0] - pad[0] + i*dilation[0], x*stride[1] - pad[1] + j*dilation[1]) for i < kernel[0],
 * j < kernel[1]; what lies outside is 0. */
#ifndef WINDOW_H
#define WINDOW_H
#include "tensor/tensor.h"

typedef struct window {
    int64_t size[2]; /* h and w of the input */
    int32_t kernel[2], stride[2], pad[2], dilation[2];
    int32_t groups; /* convolution: channels fall into as many groups; pooling: 1 */
    int32_t unused; /* always 0: windows compare by memcmp */
} window;

/* Output pixels along axis 0 or 1, PyTorch's floor((h + 2p - d(k - 1) - 1) / s) + 1; 0 or less:
 * the window does not fit. */
static inline int64_t window_out(const window *v, int axis)
{
    const int64_t reach = (int64_t)v->dilation[axis] * (v->kernel[axis] - 1) + 1;
    const int64_t room = v->size[axis] + 2 * (int64_t)v->pad[axis] - reach;

    return room < 0 ? 0 : room / v->stride[axis] + 1;
}
#endif
