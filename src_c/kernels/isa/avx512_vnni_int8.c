/* The kernels over int8 weights for AVX-512 with VNNI. */
#if !defined(__AVX512F__) || !defined(__AVX512DQ__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || \
    !defined(__FMA__) || !defined(__AVX512VNNI__)
#error "compile this unit with -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mavx512vnni"
#endif
#define RNNRT_VNNI
#ifdef __FAST_MATH__
#error "fast-math would break the summation order"
#endif
#include "../kernels.h"
#include "../simd/int8_avx512.h"
#include "../generic/int8_panels.h"
#include "../generic/int8.h"
#include "../generic/table_struct.h"

const rnnrt_kernels rnnrt_kernels_avx512_vnni_int8 = {RNNRT_PART("avx512_vnni", 1), .ceiling_fma = ceiling_int8};
