/* The records of a file of CIFAR-10 (a label, then 1024 bytes each of red, green and blue) or
 * CIFAR-100 (two labels; the second is the class). */
#ifndef CIFAR_H
#define CIFAR_H
#include "data/array.h"

/* Rows u8 [0,32,32,3] and labels i32 [0] without memory: where cifar_parse begins. */
void cifar_empty(array *rows, array *labels);
/* Appends the file's records, pixel by pixel; both arrays grow. DRMAD_E_DATA: a size that is no
 * multiple of a record, a label outside the classes. */
drmad_status cifar_parse(drmad_ctx *ctx, const blob *b, bool hundred, array *rows, array *labels);
#endif
