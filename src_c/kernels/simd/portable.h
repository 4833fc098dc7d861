/* The vector words in plain GCC vector extensions: 4 floats, any CPU.
 * No fma is assumed: a product is rounded, then added. */
#ifndef RNNRT_SIMD_PORTABLE_H
#define RNNRT_SIMD_PORTABLE_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define VL 4
#define V_ROWS 2

typedef float vf __attribute__((vector_size(16)));
typedef uint32_t vi __attribute__((vector_size(16)));
typedef int32_t vm __attribute__((vector_size(16)));

#define V_INLINE static inline __attribute__((always_inline, unused))

V_INLINE vf v_set1(float x) { return (vf){x, x, x, x}; }
V_INLINE vi vi_set1(uint32_t x) { return (vi){x, x, x, x}; }
V_INLINE vf v_load(const float *p)
{
    vf a;
    memcpy(&a, p, sizeof a);
    return a;
}
V_INLINE vf v_load_half(const uint16_t *p)
{
    typedef int32_t signed_lanes __attribute__((vector_size(16)));
    const vi h = {p[0], p[1], p[2], p[3]};
    const vi sign = (h & 0x8000u) << 16, rest = h & 0x7fffu;
    const vi small = (vi)(rest < 0x400u), special = (vi)(rest >= 0x7c00u);
    const vi count = (vi)(__builtin_convertvector((signed_lanes)rest, vf) * 0x1p-24f);
    const vi wide = (rest << 13) + (112u << 23) + (special & (112u << 23));
    return (vf)(sign | (small & count) | (~small & wide));
}
V_INLINE void v_store(float *p, vf a) { memcpy(p, &a, sizeof a); }
V_INLINE vm v_first(int64_t n) { return (vm){-(n > 0), -(n > 1), -(n > 2), -(n > 3)}; }
V_INLINE vf v_loadn(const float *p, int64_t n)
{
    if (n >= VL)
        return v_load(p);
    vf a = {0};
    if (n > 0)
        a[0] = p[0];
    if (n > 1)
        a[1] = p[1];
    if (n > 2)
        a[2] = p[2];
    return a;
}
V_INLINE void v_storen(float *p, vf a, int64_t n)
{
    if (n >= VL) {
        v_store(p, a);
        return;
    }
    if (n > 0)
        p[0] = a[0];
    if (n > 1)
        p[1] = a[1];
    if (n > 2)
        p[2] = a[2];
}
V_INLINE vf v_load_part(const float *p, int width) { return v_loadn(p, width); }
V_INLINE void v_store_part(float *p, vf a, int width) { v_storen(p, a, width); }
V_INLINE vf v_fma(vf a, vf b, vf c) { return a * b + c; }
V_INLINE vi v_bits(vf a) { return (vi)a; }
V_INLINE vf v_float(vi a) { return (vf)a; }
V_INLINE vm v_lt(vf a, vf b) { return (vm)(a < b); }
V_INLINE vm v_le(vf a, vf b) { return (vm)(a <= b); }
V_INLINE vf v_sel(vm m, vf yes, vf no) { return (vf)((m & (vm)yes) | (~m & (vm)no)); }
#if defined(__SSE2__)
V_INLINE vf v_min(vf limit, vf x) { return (vf)_mm_min_ps((__m128)limit, (__m128)x); }
V_INLINE vf v_max(vf limit, vf x) { return (vf)_mm_max_ps((__m128)limit, (__m128)x); }
V_INLINE vf v_sqrt(vf a) { return (vf)_mm_sqrt_ps((__m128)a); }
#else
V_INLINE vf v_min(vf limit, vf x) { return v_sel(limit < x, limit, x); }
V_INLINE vf v_max(vf limit, vf x) { return v_sel(limit > x, limit, x); }
V_INLINE vf v_sqrt(vf a)
{
    return (vf){__builtin_sqrtf(a[0]), __builtin_sqrtf(a[1]), __builtin_sqrtf(a[2]), __builtin_sqrtf(a[3])};
}
#endif
V_INLINE float v_tree16(const vf *lanes)
{
    const vf b = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
    return (b[0] + b[2]) + (b[1] + b[3]);
}

#endif
