/* What src/exec/cuda/driver/library_api.h declares beside the real headers of cuBLASLt and cuDNN:
 * each number, size and place. Compiled where those headers are (cmake/cuda.cmake), and with them
 * the files that use the libraries, so that the types of all arguments are checked too. */
#include "exec/cuda/driver/library_api.h"

#define VALUE(name, number) _Static_assert((int)name == (number), #name);
#define FIELD(type, field, at) _Static_assert(offsetof(type, field) == (at), #type "." #field);
#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type);

CUBLASLT_VALUES(VALUE)
CUDNN_VALUES(VALUE)
LIBRARY_LAYOUTS(FIELD, SIZE)

_Static_assert(CUDNN_MAJOR == 9, "libcudnn.so.9");
