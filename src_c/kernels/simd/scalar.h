/* The vector words on one float, with the same rounding as the FMA tables: the oracle's. */
#ifndef RNNRT_SIMD_SCALAR_H
#define RNNRT_SIMD_SCALAR_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#define VL 1

typedef float vf;
typedef uint32_t vi;
typedef int32_t vm;

#define V_INLINE static inline __attribute__((always_inline, unused))

V_INLINE vf v_set1(float x) { return x; }
V_INLINE vi vi_set1(uint32_t x) { return x; }
V_INLINE vf v_load(const float *p) { return *p; }
V_INLINE void v_store(float *p, vf a) { *p = a; }
V_INLINE vm v_first(int64_t n) { return n > 0; }
V_INLINE vf v_loadn(const float *p, int64_t n) { return n > 0 ? *p : 0.0f; }
V_INLINE void v_storen(float *p, vf a, int64_t n)
{
    if (n > 0)
        *p = a;
}
V_INLINE vf v_load_part(const float *p, int width) { return v_loadn(p, width); }
V_INLINE void v_store_part(float *p, vf a, int width) { v_storen(p, a, width); }
V_INLINE vf v_fma(vf a, vf b, vf c) { return __builtin_fmaf(a, b, c); }
/* the instruction itself: what it does to a denormal, a compare and a select need not do */
#if defined(__SSE__)
V_INLINE vf v_min(vf limit, vf x) { return _mm_cvtss_f32(_mm_min_ss(_mm_set_ss(limit), _mm_set_ss(x))); }
V_INLINE vf v_max(vf limit, vf x) { return _mm_cvtss_f32(_mm_max_ss(_mm_set_ss(limit), _mm_set_ss(x))); }
#else
V_INLINE vf v_min(vf limit, vf x) { return limit < x ? limit : x; }
V_INLINE vf v_max(vf limit, vf x) { return limit > x ? limit : x; }
#endif
V_INLINE vf v_sqrt(vf a) { return __builtin_sqrtf(a); }
V_INLINE vi v_bits(vf a)
{
    vi b;
    memcpy(&b, &a, sizeof b);
    return b;
}
V_INLINE vf v_float(vi a)
{
    vf b;
    memcpy(&b, &a, sizeof b);
    return b;
}
V_INLINE vm v_lt(vf a, vf b) { return a < b; }
V_INLINE vm v_le(vf a, vf b) { return a <= b; }
V_INLINE vf v_sel(vm m, vf yes, vf no) { return m ? yes : no; }
V_INLINE float v_tree16(const vf *lanes)
{
    float s[16];
    memcpy(s, lanes, sizeof s);
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; i++)
            s[i] += s[i + width];
    return s[0];
}

#endif
