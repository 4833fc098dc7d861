/* The kernels for any CPU: products and sums are rounded apart. */
#ifdef __FAST_MATH__
#error "fast-math would break the summation order"
#endif
#define RNNRT_WHOLE_TABLE
#include "../kernels.h"
#include "../simd/portable.h"
#include "../generic/table.h"

const rnnrt_kernels rnnrt_kernels_portable = RNNRT_TABLE("portable", 0, &rnnrt_kernels_portable_half, &rnnrt_kernels_portable_int8);
