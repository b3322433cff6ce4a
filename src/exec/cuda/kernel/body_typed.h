/* The bodies that compute in REAL: included for each type by body_all.h. No guard. */
#include "exec/cuda/kernel/body_draw.h"
#include "exec/cuda/kernel/body_grid.h"
#include "exec/cuda/kernel/body_few.h"
#include "exec/cuda/kernel/body_pool.h"
#include "exec/cuda/kernel/body_rows.h"
#include "exec/cuda/kernel/body_run.h"
#include "exec/cuda/kernel/body_sums.h"

/* The tiles. A step of doubles is half as long. */
#define TM 4
#define TN 4
#define DOWN 16
#define STEP (128 / (int)sizeof(REAL))
#define TILED(name) TYPED(name)
#include "exec/cuda/kernel/body_product.h"
#include "exec/cuda/kernel/body_conv.h"
#include "exec/cuda/kernel/body_tile_end.h"

#define TM 2
#define TN 2
#define DOWN 16
#define STEP (256 / (int)sizeof(REAL))
#define TILED(name) TYPED(name##_small)
#include "exec/cuda/kernel/body_product.h"
#include "exec/cuda/kernel/body_conv.h"
#include "exec/cuda/kernel/body_tile_end.h"

#define TM 8
#define TN 8
#define DOWN 16
#define STEP 16
#define TILED(name) TYPED(name##_large)
#include "exec/cuda/kernel/body_product.h"
#include "exec/cuda/kernel/body_conv.h"
#include "exec/cuda/kernel/body_tile_end.h"

#define TM 8
#define TN 4
#define DOWN 32
#define STEP (64 / (int)sizeof(REAL))
#define TILED(name) TYPED(name##_narrow)
#include "exec/cuda/kernel/body_product.h"
#include "exec/cuda/kernel/body_conv.h"
#include "exec/cuda/kernel/body_tile_end.h"

#define TM 8
#define TN 4
#define DOWN 16
#define STEP 16
#define TILED(name) TYPED(name##_tall)
#include "exec/cuda/kernel/body_product.h"
#include "exec/cuda/kernel/body_conv.h"
#include "exec/cuda/kernel/body_tile_end.h"

#define TM 4
#define TN 8
#define DOWN 16
#define STEP 16
#define TILED(name) TYPED(name##_wide)
#include "exec/cuda/kernel/body_product.h"
#include "exec/cuda/kernel/body_conv.h"
#include "exec/cuda/kernel/body_tile_end.h"

#include "exec/cuda/kernel/body_group.h"
