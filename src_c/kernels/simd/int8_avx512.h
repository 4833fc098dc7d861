/* The words of int8 for AVX-512, with VNNI where RNNRT_VNNI is defined. Inputs are stored as the products want them:
 * bytes 128 too large for vpdpbusd, which takes unsigned ones, else words of 16 bits. */
#ifndef RNNRT_SIMD_INT8_AVX512_H
#define RNNRT_SIMD_INT8_AVX512_H

#include <string.h>

#include "avx512.h"

#define Q_ROWS 4

typedef __m512i vq;

#ifdef RNNRT_VNNI
#define Q_GROUP 4 /* inputs in a lane of 32 bits */
#define Q_OFFSET 128
typedef uint8_t input;
V_INLINE vq q_dot(vq sum, vq x, vq w) { return _mm512_dpbusd_epi32(sum, x, w); }
V_INLINE vq q_weights(const int8_t *p) { return _mm512_loadu_si512((const void *)p); }
V_INLINE void q_store(input *p, vf x, int64_t n)
{
    const vq counts = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(Q_OFFSET));
    _mm512_mask_cvtepi32_storeu_epi8(p, v_first(n), counts);
}
#else
#define Q_GROUP 2
#define Q_OFFSET 0
typedef int16_t input;
V_INLINE vq q_dot(vq sum, vq x, vq w) { return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w)); }
V_INLINE vq q_weights(const int8_t *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
V_INLINE void q_store(input *p, vf x, int64_t n)
{
    _mm512_mask_cvtepi32_storeu_epi16(p, v_first(n), _mm512_cvtps_epi32(x));
}
#endif
V_INLINE vq q_set1(const input *p)
{
    int32_t lane;
    memcpy(&lane, p, sizeof lane);
    return _mm512_set1_epi32(lane);
}
V_INLINE vq q_zero(void) { return _mm512_setzero_si512(); }
V_INLINE vq q_load(const int32_t *p) { return _mm512_loadu_si512((const void *)p); }
V_INLINE vq q_add(vq a, vq b) { return _mm512_add_epi32(a, b); }
V_INLINE vf q_float(vq a) { return _mm512_cvtepi32_ps(a); }
V_INLINE vi q_max(vi a, vi b) { return (vi)_mm512_max_epu32((__m512i)a, (__m512i)b); }

#endif
