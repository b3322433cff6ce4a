/* The bodies that compute in REAL: included for each type by body_all.h. No guard. */
#include "exec/cuda/body_draw.h"
#include "exec/cuda/body_grid.h"
#include "exec/cuda/body_few.h"
#include "exec/cuda/body_pool.h"
#include "exec/cuda/body_rows.h"
#include "exec/cuda/body_run.h"
#include "exec/cuda/body_sums.h"

#define TM 4
#define TN 4
#define TILED(name) TYPED(name)
#include "exec/cuda/body_product.h"
#include "exec/cuda/body_conv.h"
#undef TM
#undef TN
#undef TILED

#define TM 2
#define TN 2
#define TILED(name) TYPED(name##_small)
#include "exec/cuda/body_product.h"
#include "exec/cuda/body_conv.h"
#undef TM
#undef TN
#undef TILED

#define TM 8
#define TN 8
#define TILED(name) TYPED(name##_large)
#include "exec/cuda/body_product.h"
#include "exec/cuda/body_conv.h"
#undef TM
#undef TN
#undef TILED

#define TM 8
#define TN 2
#define TILED(name) TYPED(name##_narrow)
#include "exec/cuda/body_product.h"
#include "exec/cuda/body_conv.h"
#undef TM
#undef TN
#undef TILED
#include "exec/cuda/body_group.h"
