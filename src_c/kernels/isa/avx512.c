/* The kernels for AVX-512 (F, DQ, BW, VL) with FMA. */
#if !defined(__AVX512F__) || !defined(__AVX512DQ__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || \
    !defined(__FMA__)
#error "compile this unit with -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma"
#endif
#ifdef __FAST_MATH__
#error "fast-math would break the summation order"
#endif
#define RNNRT_WHOLE_TABLE
#include "../kernels.h"
#include "../simd/avx512.h"
#include "../generic/table.h"

const rnnrt_kernels rnnrt_kernels_avx512 = RNNRT_TABLE("avx512", 1, &rnnrt_kernels_avx512_half, &rnnrt_kernels_avx512_int8);
/* The same kernels but for int8: which products a CPU has is seen in the table's name, and both can be tested on it. */
const rnnrt_kernels rnnrt_kernels_avx512_vnni =
    RNNRT_TABLE("avx512_vnni", 1, &rnnrt_kernels_avx512_half, &rnnrt_kernels_avx512_vnni_int8);
