/* The kernels over int8 weights for any CPU. */
#ifdef __FAST_MATH__
#error "fast-math would break the summation order"
#endif
#include "../kernels.h"
#include "../simd/portable.h"
#include "../simd/int8_plain.h"
#include "../generic/int8_plain.h"
#include "../generic/int8.h"
#include "../generic/table_struct.h"

const rnnrt_kernels rnnrt_kernels_portable_int8 = {RNNRT_PART("portable", 0)};
