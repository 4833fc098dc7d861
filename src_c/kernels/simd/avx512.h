/* The vector words for AVX-512: 16 floats. Every simd header defines the same words. */
#ifndef RNNRT_SIMD_AVX512_H
#define RNNRT_SIMD_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define VL 16
#define V_ROWS 6 /* rows of a batched tile: 6 x 4 accumulators of 32 registers */

typedef __m512 vf;
typedef uint32_t vi __attribute__((vector_size(64)));
typedef __mmask16 vm;

#define V_INLINE static inline __attribute__((always_inline, unused))

V_INLINE vf v_set1(float x) { return _mm512_set1_ps(x); }
V_INLINE vi vi_set1(uint32_t x) { return (vi)_mm512_set1_epi32((int)x); }
V_INLINE vf v_load(const float *p) { return _mm512_loadu_ps(p); }
V_INLINE vf v_load_half(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
V_INLINE void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
V_INLINE vm v_first(int64_t n) { return (vm)((1u << (n < 0 ? 0 : n > VL ? VL : n)) - 1u); }
/* the first n lanes, 0 <= n <= VL; the others are zero, or left alone in memory */
V_INLINE vf v_loadn(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(v_first(n), p); }
V_INLINE void v_storen(float *p, vf a, int64_t n) { _mm512_mask_storeu_ps(p, v_first(n), a); }
/* the low half or quarter of a vector; what a load leaves above is zero */
V_INLINE vf v_load_part(const float *p, int width)
{
    return width == 8 ? _mm512_zextps256_ps512(_mm256_loadu_ps(p)) : _mm512_zextps128_ps512(_mm_loadu_ps(p));
}
V_INLINE void v_store_part(float *p, vf a, int width)
{
    if (width == 8)
        _mm256_storeu_ps(p, _mm512_castps512_ps256(a));
    else
        _mm_storeu_ps(p, _mm512_castps512_ps128(a));
}
V_INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
/* a NaN in the second operand passes, so the limit stands first */
V_INLINE vf v_min(vf limit, vf x) { return _mm512_min_ps(limit, x); }
V_INLINE vf v_max(vf limit, vf x) { return _mm512_max_ps(limit, x); }
V_INLINE vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
V_INLINE vi v_bits(vf a) { return (vi)a; }
V_INLINE vf v_float(vi a) { return (vf)a; }
V_INLINE vm v_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
V_INLINE vm v_le(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
V_INLINE vf v_sel(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }
/* the upper half moved down; a quarter moved down */
V_INLINE vf v_half(vf a, int k)
{
    return k ? _mm512_shuffle_f32x4(a, a, 0xee) : a;
}
V_INLINE vf v_quarter(vf a, int k)
{
    return k == 0 ? a
         : k == 1 ? _mm512_shuffle_f32x4(a, a, 0x55)
         : k == 2 ? _mm512_shuffle_f32x4(a, a, 0xaa)
                  : _mm512_shuffle_f32x4(a, a, 0xff);
}
/* sum of 16 virtual lanes by the tree 8-4-2-1 */
V_INLINE float v_tree16(const vf *lanes)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(lanes[0]), _mm512_extractf32x8_ps(lanes[0], 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

#endif
