/* The kernels for AVX2 over half weights, which each chain widens as it goes. */
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile this unit with -mavx2 -mfma -mf16c"
#endif
#ifdef __FAST_MATH__
#error "fast-math would break the summation order"
#endif
#define RNNRT_HALF
#include "../kernels.h"
#include "../simd/avx2.h"
#include "../generic/table.h"

const rnnrt_kernels rnnrt_kernels_avx2_half = {RNNRT_PART("avx2", 1)};
