/* Reductions in 16 virtual lanes: lane = index mod 16, then the tree 8-4-2-1. */
#ifndef RNNRT_LANES_H
#define RNNRT_LANES_H

#include "weight.h"

#define L16 (16 / VL) /* vectors that hold the 16 lanes */

/* sum of x[i] * w[i]; each lane is one fma chain from +0; lanes beyond n are left alone; w is padded to 16 */
V_INLINE float lanes_dot(int64_t n, const float *x, const weight *w)
{
    vf acc[L16];
    for (int v = 0; v < L16; v++)
        acc[v] = v_set1(0.0f);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int v = 0; v < L16; v++)
            acc[v] = v_fma(v_load(x + i + v * VL), w_load(w + i + v * VL), acc[v]);
    for (int v = 0; v < L16 && i + v * VL < n; v++) {
        const int64_t left = n - i - v * VL;
        const vf y = v_fma(v_loadn(x + i + v * VL, left), w_load(w + i + v * VL), acc[v]);
        acc[v] = v_sel(v_first(left), y, acc[v]);
    }
    return v_tree16(acc);
}

/* sum of x[i] */
V_INLINE float lanes_sum(int64_t n, const float *x)
{
    vf acc[L16];
    for (int v = 0; v < L16; v++)
        acc[v] = v_set1(0.0f);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int v = 0; v < L16; v++)
            acc[v] = acc[v] + v_load(x + i + v * VL);
    for (int v = 0; v < L16 && i + v * VL < n; v++) {
        const int64_t left = n - i - v * VL;
        const vf y = acc[v] + v_loadn(x + i + v * VL, left);
        acc[v] = v_sel(v_first(left), y, acc[v]);
    }
    return v_tree16(acc);
}

#endif
