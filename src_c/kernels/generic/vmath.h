/* Vector functions in the words of simd/: one formula for every instruction set.
 * Every fused product is written v_fma and every division is true, so the FMA tables agree bitwise.
 * NaN in gives NaN out. Errors were measured by tools/bench/kernels/check.c. */
#ifndef RNNRT_VMATH_H
#define RNNRT_VMATH_H

#define V_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, in the low bits */

V_INLINE vf v_abs(vf x) { return v_float(v_bits(x) & vi_set1(0x7fffffffu)); }
V_INLINE vf v_neg(vf x) { return v_float(v_bits(x) ^ vi_set1(0x80000000u)); }

/* unit * tanh(per * x), both powers of two, which the constants take in exactly.
 * x P(x^2) / Q(x^2) on |x| <= 9, a Lawson-weighted rational fit (2.1e-8 relative before rounding):
 * max error 3.1e-7; near saturation the quotient may round one unit past 1, so it is clamped as well */
V_INLINE vf v_tanh_of(vf x, float per, float unit)
{
    const float a = per * unit, b = per * per;
    x = v_max(v_set1(-9.0f / per), v_min(v_set1(9.0f / per), x));
    const vf s = x * x;
    vf p = v_fma(s, v_set1(1.33546689e-08f * a * b * b * b * b), v_set1(2.06090888e-05f * a * b * b * b));
    p = v_fma(p, s, v_set1(0.00349558856f * a * b * b));
    p = v_fma(p, s, v_set1(0.13381026f * a * b));
    p = v_fma(p, s, v_set1(0.999999979f * a));
    vf q = v_fma(s, v_set1(7.77656167e-07f * b * b * b * b), v_set1(0.00032856355f * b * b * b));
    q = v_fma(q, s, v_set1(0.0258769839f * b * b));
    q = v_fma(q, s, v_set1(0.467143416f * b));
    q = v_fma(q, s, v_set1(1.0f));
    return v_max(v_set1(-unit), v_min(v_set1(unit), (x * p) / q));
}

V_INLINE vf v_tanh(vf x) { return v_tanh_of(x, 1.0f, 1.0f); }

/* tanh(x/2)/2 + 1/2: max error 1.7e-7, absolute: for gates; act_apply has the sigmoid of answers. The halves cost nothing, and the sum is no fma: other ports add. */
V_INLINE vf v_sigmoid(vf x) { return v_tanh_of(x, 0.5f, 0.5f) + v_set1(0.5f); }

/* exp(r) - 1 and n with x = n ln2 + r, |r| <= ln2/2; x within +-127 ln2 */
V_INLINE vf v_exp_reduce(vf x, vf *n)
{
    *n = v_fma(x, v_set1(1.44269504f), v_set1(V_MAGIC));
    const vf i = *n - v_set1(V_MAGIC);
    vf r = v_fma(i, v_set1(-0.693145752f), x);
    r = v_fma(i, v_set1(-1.42860677e-6f), r);
    vf p = v_fma(r, v_set1(0.00138131438f), v_set1(0.00836941879f));
    p = v_fma(p, r, v_set1(0.0416684560f));
    p = v_fma(p, r, v_set1(0.166665152f));
    p = v_fma(p, r, v_set1(0.49999994f));
    return v_fma(p, r * r, r);
}
/* 2^(n + shift) from the rounded n of v_exp_reduce */
V_INLINE vf v_pow2(vf n, int shift)
{
    return v_float((v_bits(n) << 23) + vi_set1((uint32_t)(127 + shift) << 23));
}

/* relative error 1.2e-7; 0 below -87.3, inf above 88.72 */
V_INLINE vf v_exp(vf x)
{
    vf n;
    x = v_max(v_set1(-87.68f), v_min(v_set1(89.0f), x));
    const vf p = v_exp_reduce(x, &n) + v_set1(1.0f);
    const vf y = p * v_pow2(n, -1); /* one less, so that n = 128 still has its power */
    return y + y;
}

/* exp(x) - 1 for x <= 0 */
V_INLINE vf v_expm1_neg(vf x)
{
    vf n;
    x = v_max(v_set1(-60.0f), v_min(v_set1(60.0f), x));
    const vf q = v_exp_reduce(x, &n);
    const vf s = v_pow2(n, 0);
    return v_fma(s, q, s - v_set1(1.0f));
}

/* log(1 + t) for 0 <= t <= 1: 2 atanh(t / (2 + t)) */
V_INLINE vf v_log1p_unit(vf t)
{
    const vf s = t / (t + v_set1(2.0f));
    const vf u = s * s;
    vf p = v_fma(u, v_set1(0x1.f1aef2p-4f), v_set1(0x1.b6d6a0p-4f));
    p = v_fma(p, u, v_set1(0x1.250972p-3f));
    p = v_fma(p, u, v_set1(0x1.9996a8p-3f));
    p = v_fma(p, u, v_set1(0x1.555558p-2f));
    const vf d = s + s;
    return v_fma(d * u, p, d);
}

/* log(x) for normal x > 0; NaN passes */
V_INLINE vf v_log(vf x)
{
    /* x = 2^e m with m in [sqrt(1/2), sqrt(2)) */
    const vi b = v_bits(x) - vi_set1(0x3f3504f3u);
    const vf m = v_float((b & vi_set1(0x007fffffu)) + vi_set1(0x3f3504f3u));
    /* the exponent, biased by 256 to be positive, in the low bits of the magic number */
    const vi e = (b + vi_set1(256u << 23)) >> 23;
    const vf k = v_float(e + vi_set1(0x4b400000u)) - v_set1(V_MAGIC + 256.0f);
    const vf s = (m - v_set1(1.0f)) / (m + v_set1(1.0f));
    const vf u = s * s;
    vf p = v_fma(u, v_set1(0x1.e2f8c2p-4f), v_set1(0x1.2438c8p-3f));
    p = v_fma(p, u, v_set1(0x1.999a7ap-3f));
    p = v_fma(p, u, v_set1(0x1.555554p-2f));
    const vf d = s + s;
    vf y = v_fma(d * u, p, d);
    y = v_fma(k, v_set1(1.42860677e-6f), y);
    y = v_fma(k, v_set1(0.693145752f), y);
    return v_sel(v_le(x, x), y, x);
}

/* max(x, 0) + log1p(exp(-|x|)): relative over the whole range */
V_INLINE vf v_softplus(vf x)
{
    return v_max(v_set1(0.0f), x) + v_log1p_unit(v_exp(v_neg(v_abs(x))));
}

/* x Phi(x): Phi(-a) = exp(-a^2/2) t g(t), t = 3 / (3 + a), g a Lawson fit of degree 9 (1.1e-7 relative) */
V_INLINE vf v_gelu(vf x)
{
    const vf a = v_min(v_set1(15.0f), v_abs(x));
    const vf t = v_set1(3.0f) / (a + v_set1(3.0f));
    vf g = v_fma(t, v_set1(-0x1.2200dep-7f), v_set1(0x1.6f6faep-6f));
    g = v_fma(g, t, v_set1(0x1.f118dep-6f));
    g = v_fma(g, t, v_set1(-0x1.303ba2p-3f));
    g = v_fma(g, t, v_set1(0x1.00282ap-3f));
    g = v_fma(g, t, v_set1(-0x1.e70beep-8f));
    g = v_fma(g, t, v_set1(0x1.b06bfcp-4f));
    g = v_fma(g, t, v_set1(0x1.d7ba56p-4f));
    g = v_fma(g, t, v_set1(0x1.10f610p-3f));
    g = v_fma(g, t, v_set1(0x1.105198p-3f));
    /* a^2 in two pieces, so that the tail keeps its relative accuracy */
    const vf hi = a * a;
    const vf lo = v_fma(a, a, v_neg(hi));
    const vf e = v_exp(v_set1(-0.5f) * hi);
    const vf tail = v_fma(v_set1(-0.5f) * lo, e, e) * (t * g);
    return x * v_sel(v_lt(x, v_set1(0.0f)), tail, v_set1(1.0f) - tail);
}

#endif
