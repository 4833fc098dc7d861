/* The words of int8 without integer vectors: for the portable kernels and the oracle, which brings its own simd/. */
#ifndef RNNRT_SIMD_INT8_PLAIN_H
#define RNNRT_SIMD_INT8_PLAIN_H

#define Q_ROWS 1
#define Q_GROUP 1
#define Q_OFFSET 0

typedef int8_t input;

V_INLINE void q_store(input *p, vf x, int64_t n)
{
    float lane[VL];
    v_store(lane, x);
    for (int64_t i = 0; i < VL && i < n; i++)
        p[i] = (input)__builtin_rintf(lane[i]);
}
V_INLINE vi q_max(vi a, vi b)
{
#if VL == 1
    return a > b ? a : b;
#else
    const vi more = (vi)(a > b);
    return (a & more) | (b & ~more);
#endif
}

#endif
