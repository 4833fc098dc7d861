/* Rows of floats as whole numbers with one scale each. */
#ifndef RNNRT_INT8_ROWS_H
#define RNNRT_INT8_ROWS_H

#include <string.h>

#include "gates.h"

V_INLINE int64_t round_to(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
/* inputs that a row of n takes, in whole cache lines */
V_INLINE int64_t input_pitch(int64_t n) { return round_to(n, 64); }

/* bits of max |x|; a NaN is larger than infinity, and that than all numbers */
V_INLINE uint32_t row_peak(int64_t n, const float *x)
{
    const vi magnitude = vi_set1(0x7fffffffu);
    vi peak = vi_set1(0);
    for (int64_t i = 0; i < n; i += VL)
        peak = q_max(peak, v_bits(i + VL <= n ? v_load(x + i) : v_loadn(x + i, n - i)) & magnitude);
    uint32_t lane[VL], best = 0;
    memcpy(lane, &peak, sizeof lane);
    for (int i = 0; i < VL; i++)
        best = lane[i] > best ? lane[i] : best;
    return best;
}

/* q = rint(x / scale), the scale as in kernels.h; what is beyond n in the last group of products becomes zero */
static float row_quantise(int state, int64_t n, const float *x, input *q)
{
    const uint32_t peak = row_peak(n, x);
    float scale = 0.0f, inverse = 0.0f, max;
    memcpy(&max, &peak, sizeof max);
    if (peak >= 0x7f800000u)
        scale = __builtin_nanf("");
    else if (state && peak <= 0x3f800000u) /* 1 */
        scale = 1.0f / 127.0f, inverse = 127.0f;
    else if (peak >= 0x0d800000u) /* 2^-100 */
        scale = max / 127.0f, inverse = 127.0f / max;
    for (int64_t i = n; i < round_to(n, Q_GROUP); i++)
        q[i] = Q_OFFSET;
    if (inverse == 0.0f) {
        for (int64_t i = 0; i < n; i++)
            q[i] = Q_OFFSET;
        return scale;
    }
    const vf factor = v_set1(inverse);
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        q_store(q + i, v_load(x + i) * factor, VL);
    if (i < n)
        q_store(q + i, v_loadn(x + i, n - i) * factor, n - i);
    return scale;
}

/* one matrix over quantised rows: y = fma(float(sum of q w), row scale * column scale, start) */
typedef struct int8_job {
    const void *matrix;
    int64_t k, n;
    int64_t rows;
    const input *q;
    int64_t q_stride;
    const float *scale;     /* of the rows */
    const float *start;
    int64_t start_stride;   /* 0: one for all rows */
    float *y;               /* may be start */
    int64_t y_stride;
    int64_t begin, end;     /* panels of columns */
    int zigzag;
} int8_job;

#endif
