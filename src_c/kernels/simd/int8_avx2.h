/* The words of int8 for AVX2: inputs and weights meet as words of 16 bits, so that no product saturates. */
#ifndef RNNRT_SIMD_INT8_AVX2_H
#define RNNRT_SIMD_INT8_AVX2_H

#include <string.h>

#include "avx2.h"

#define Q_ROWS 2
#define Q_GROUP 2 /* inputs in a lane of 32 bits */
#define Q_OFFSET 0

typedef __m256i vq;
typedef int16_t input;

V_INLINE vq q_dot(vq sum, vq x, vq w) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)); }
V_INLINE vq q_weights(const int8_t *p)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}
V_INLINE void q_store(input *p, vf x, int64_t n)
{
    const __m256i counts = _mm256_cvtps_epi32(x);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(counts), _mm256_extracti128_si256(counts, 1));
    if (n >= VL) {
        _mm_storeu_si128((__m128i *)(void *)p, words);
        return;
    }
    input all[VL];
    memcpy(all, &words, sizeof all);
    for (int64_t i = 0; i < n; i++)
        p[i] = all[i];
}
V_INLINE vq q_set1(const input *p)
{
    int32_t lane;
    memcpy(&lane, p, sizeof lane);
    return _mm256_set1_epi32(lane);
}
V_INLINE vq q_zero(void) { return _mm256_setzero_si256(); }
V_INLINE vq q_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
V_INLINE vq q_add(vq a, vq b) { return _mm256_add_epi32(a, b); }
V_INLINE vf q_float(vq a) { return _mm256_cvtepi32_ps(a); }
V_INLINE vi q_max(vi a, vi b) { return (vi)_mm256_max_epu32((__m256i)a, (__m256i)b); }

#endif
