/* The bodies that compute in REAL: included for each type by body_all.h. No guard. */
#define TM 4
#define TN 4
#define TILED(name) TYPED(name)
#include "exec/cuda/body_product.h"
#undef TM
#undef TN
#undef TILED
#define TM 2
#define TN 2
#define TILED(name) TYPED(name##_small)
#include "exec/cuda/body_product.h"
#undef TM
#undef TN
#undef TILED
#define TM 8
#define TN 8
#define TILED(name) TYPED(name##_large)
#include "exec/cuda/body_product.h"
#undef TM
#undef TN
#undef TILED
#define TM 8
#define TN 2
#define TILED(name) TYPED(name##_narrow)
#include "exec/cuda/body_product.h"
#undef TM
#undef TN
#undef TILED
