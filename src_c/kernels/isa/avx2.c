/* The kernels for AVX2 with FMA. */
#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile this unit with -mavx2 -mfma"
#endif
#ifdef __FAST_MATH__
#error "fast-math would break the summation order"
#endif
#define RNNRT_WHOLE_TABLE
#include "../kernels.h"
#include "../simd/avx2.h"
#include "../generic/table.h"

const rnnrt_kernels rnnrt_kernels_avx2 = RNNRT_TABLE("avx2", 1, &rnnrt_kernels_avx2_half, &rnnrt_kernels_avx2_int8);
