/* The vector words for AVX2 with FMA: 8 floats. */
#ifndef RNNRT_SIMD_AVX2_H
#define RNNRT_SIMD_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define VL 8
#define V_ROWS 3 /* 3 x 4 accumulators, 3 inputs and a weight are 16 registers */

typedef __m256 vf;
typedef uint32_t vi __attribute__((vector_size(32)));
typedef __m256 vm;

#define V_INLINE static inline __attribute__((always_inline, unused))

static const int32_t v_first_table[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

V_INLINE vf v_set1(float x) { return _mm256_set1_ps(x); }
V_INLINE vi vi_set1(uint32_t x) { return (vi)_mm256_set1_epi32((int)x); }
V_INLINE vf v_load(const float *p) { return _mm256_loadu_ps(p); }
#ifdef __F16C__
V_INLINE vf v_load_half(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
#endif
V_INLINE void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
V_INLINE __m256i v_first_bits(int64_t n)
{
    const int64_t k = n < 0 ? 0 : n > VL ? VL : n;
    return _mm256_loadu_si256((const __m256i *)(const void *)(v_first_table + VL - k));
}
V_INLINE vm v_first(int64_t n) { return _mm256_castsi256_ps(v_first_bits(n)); }
V_INLINE vf v_loadn(const float *p, int64_t n) { return _mm256_maskload_ps(p, v_first_bits(n)); }
V_INLINE void v_storen(float *p, vf a, int64_t n) { _mm256_maskstore_ps(p, v_first_bits(n), a); }
/* the low half of a vector (width 4) */
V_INLINE vf v_load_part(const float *p, int width)
{
    (void)width;
    return _mm256_zextps128_ps256(_mm_loadu_ps(p));
}
V_INLINE void v_store_part(float *p, vf a, int width)
{
    (void)width;
    _mm_storeu_ps(p, _mm256_castps256_ps128(a));
}
V_INLINE vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
V_INLINE vf v_min(vf limit, vf x) { return _mm256_min_ps(limit, x); }
V_INLINE vf v_max(vf limit, vf x) { return _mm256_max_ps(limit, x); }
V_INLINE vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
V_INLINE vi v_bits(vf a) { return (vi)a; }
V_INLINE vf v_float(vi a) { return (vf)a; }
V_INLINE vm v_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
V_INLINE vm v_le(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
V_INLINE vf v_sel(vm m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, m); }
V_INLINE vf v_half(vf a, int k) { return k ? _mm256_permute2f128_ps(a, a, 0x11) : a; }
V_INLINE float v_tree16(const vf *lanes)
{
    const __m256 a = _mm256_add_ps(lanes[0], lanes[1]);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

#endif
