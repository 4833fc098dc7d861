/* What the vectors of a table can do at most: multiply-adds from registers, and reads of a buffer. */
#ifndef RNNRT_CEILINGS_H
#define RNNRT_CEILINGS_H

#include "../kernels.h"

/* 12 chains hide the latency of an fma on every CPU that is met; they never leave the registers. */
static int64_t ceiling_fma(int64_t rounds, float *sink)
{
    const vf m = v_set1(0.999999f), c = v_set1(1e-7f);
    vf a0 = v_set1(1.0f), a1 = v_set1(1.1f), a2 = v_set1(1.2f), a3 = v_set1(1.3f), a4 = v_set1(1.4f), a5 = v_set1(1.5f);
    vf b0 = v_set1(2.0f), b1 = v_set1(2.1f), b2 = v_set1(2.2f), b3 = v_set1(2.3f), b4 = v_set1(2.4f), b5 = v_set1(2.5f);
    for (int64_t i = 0; i < rounds; i++) {
        a0 = v_fma(a0, m, c), a1 = v_fma(a1, m, c), a2 = v_fma(a2, m, c), a3 = v_fma(a3, m, c);
        a4 = v_fma(a4, m, c), a5 = v_fma(a5, m, c), b0 = v_fma(b0, m, c), b1 = v_fma(b1, m, c);
        b2 = v_fma(b2, m, c), b3 = v_fma(b3, m, c), b4 = v_fma(b4, m, c), b5 = v_fma(b5, m, c);
    }
    v_store(sink, (((a0 + a1) + (a2 + a3)) + (a4 + a5)) + (((b0 + b1) + (b2 + b3)) + (b4 + b5)));
    return rounds * 12 * VL * 2;
}

/* n: a multiple of 64 */
static int64_t ceiling_read(const float *p, int64_t n, float *sink)
{
    const vf zero = v_set1(0.0f);
    vf a = zero, b = zero, c = zero, d = zero;
    for (int64_t i = 0; i < n; i += 4 * VL)
        a = a + v_load(p + i), b = b + v_load(p + i + VL), c = c + v_load(p + i + 2 * VL), d = d + v_load(p + i + 3 * VL);
    v_store(sink, (a + b) + (c + d));
    return n * (int64_t)sizeof(float);
}

#endif
