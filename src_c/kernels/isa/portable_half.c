/* The kernels for any CPU over half weights, which each chain widens as it goes. */
#ifdef __FAST_MATH__
#error "fast-math would break the summation order"
#endif
#define RNNRT_HALF
#include "../kernels.h"
#include "../simd/portable.h"
#include "../generic/table.h"

const rnnrt_kernels rnnrt_kernels_portable_half = {RNNRT_PART("portable", 0)};
