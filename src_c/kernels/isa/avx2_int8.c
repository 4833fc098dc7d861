/* The kernels over int8 weights for AVX2. */
#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile this unit with -mavx2 -mfma"
#endif
#ifdef __FAST_MATH__
#error "fast-math would break the summation order"
#endif
#include "../kernels.h"
#include "../simd/int8_avx2.h"
#include "../generic/int8_panels.h"
#include "../generic/int8.h"
#include "../generic/table_struct.h"

const rnnrt_kernels rnnrt_kernels_avx2_int8 = {RNNRT_PART("avx2", 1), .ceiling_fma = ceiling_int8};
