/* Which tile a product gets, and into how many shares its k is cut: by a small model of a GPU, as
 * data that can be looked at. Both follow from sizes and type alone, so that sums have one order
 * wherever they run. */
#ifndef TILE_CHOICE_H
#define TILE_CHOICE_H
#include "tensor/tensor.h"
#include <stddef.h>

/* `batch` products [m, k] by [k, n]. */
typedef struct gpu_product {
    int64_t batch, m, n, k;
} gpu_product;

typedef enum gpu_tile {
    TILE_MIDDLE,
    TILE_SMALL,
    TILE_LARGE,
    TILE_NARROW,
    TILE_TALL,
    TILE_WIDE,
    GPU_TILES
} gpu_tile;

typedef struct gpu_tile_info {
    int32_t m, n;
    int32_t step[2];  /* k's of a step, by type: F32, F64 */
    size_t shared[2]; /* bytes; 0: there is no kernel of that type */
    double busy[2];   /* multiply-adds among what a full processor issues */
} gpu_tile_info;

extern const gpu_tile_info gpu_tiles[GPU_TILES];

typedef struct gpu_choice {
    gpu_tile tile;
    int64_t run;   /* k's of a share: a multiple of 16, not 0 */
    double clocks; /* what the model says: to compare choices with, no forecast */
} gpu_choice;

/* The tile and the shares of what the model takes to be quickest. `tiles`: bits of those there
 * are. */
gpu_choice gpu_choose(const gpu_product *p, dtype t, uint32_t tiles);
#endif
