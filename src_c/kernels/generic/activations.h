/* Keras's elementwise functions, each with the meaning that activations.def names.
 * Functions that Keras writes with where() send NaN where Keras sends it (hard_shrink, soft_shrink: 0;
 * threshold: its default value); all others pass it on. */
#ifndef RNNRT_ACTIVATIONS_H
#define RNNRT_ACTIVATIONS_H

#include "vmath.h"

#define V_NOINLINE static __attribute__((noinline, unused))

V_INLINE int act_rowwise(const rnnrt_activation *a)
{
    return a->kind == RNNRT_ACT_SOFTMAX || a->kind == RNNRT_ACT_LOG_SOFTMAX ||
           a->kind == RNNRT_ACT_SPARSEMAX || a->kind == RNNRT_ACT_GLU;
}

V_INLINE vf act_hard_sigmoid_k3(vf x)
{
    const vf y = v_max(v_set1(0.0f), x + v_set1(3.0f));
    return v_min(v_set1(6.0f), y) / v_set1(6.0f);
}

/* max_value +inf means none; below or at the threshold the positive part is 0 */
V_INLINE vf act_relu_general(vf x, float max_value, float slope, float threshold)
{
    const vf zero = v_set1(0.0f);
    const vf t = v_set1(threshold);
    vf y = threshold == 0.0f ? v_max(zero, x) : v_sel(v_lt(t, x), x, zero);
    if (max_value < __builtin_inff())
        y = v_min(v_set1(max_value), v_max(zero, y));
    if (slope != 0.0f)
        y = v_fma(v_set1(-slope), v_max(zero, t - x), y);
    return y;
}

V_INLINE vf act_elu(vf x, vf alpha)
{
    return v_sel(v_lt(v_set1(0.0f), x), x, alpha * v_expm1_neg(x));
}

V_INLINE vf act_squareplus(vf x, vf b)
{
    const vf a = v_abs(x);
    /* beyond 2^50 the square would overflow long before b counts */
    const vf root = v_sel(v_lt(v_set1(0x1p50f), a), a, v_sqrt(v_fma(x, x, b)));
    const vf half = v_set1(0.5f);
    /* x/2 + root/2 cancels below zero; b / (2 (root - x)) is the same number */
    return v_sel(v_lt(x, v_set1(0.0f)), (half * b) / (root - x), v_fma(half, x, half * root));
}

/* the large functions stay out of line: one copy serves every caller */
V_NOINLINE vf act_apply(const rnnrt_activation *f, vf x)
{
    const vf zero = v_set1(0.0f), one = v_set1(1.0f);
    const vf p = v_set1(f->param[0]);
    switch (f->kind) {
    case RNNRT_ACT_TANH:
        return v_tanh(x);
    case RNNRT_ACT_SIGMOID:
        /* a probability near 0 keeps its digits, for whoever takes its logarithm; gates take v_sigmoid */
        return one / (one + v_exp(v_neg(x)));
    case RNNRT_ACT_HARD_SIGMOID_K2:
        return v_min(one, v_max(zero, v_fma(v_set1(0.2f), x, v_set1(0.5f))));
    case RNNRT_ACT_HARD_SIGMOID_K3:
        return act_hard_sigmoid_k3(x);
    case RNNRT_ACT_RELU:
        return v_max(zero, x);
    case RNNRT_ACT_RELU_GENERAL:
        return act_relu_general(x, f->param[0], f->param[1], f->param[2]);
    case RNNRT_ACT_LEAKY_RELU:
        return v_sel(v_lt(zero, x), x, p * x);
    case RNNRT_ACT_ELU:
        return act_elu(x, p);
    case RNNRT_ACT_SELU:
        return v_set1(1.05070098f) * act_elu(x, v_set1(1.67326324f));
    case RNNRT_ACT_CELU:
        return v_fma(p, v_expm1_neg(v_min(zero, x) / p), v_max(zero, x));
    case RNNRT_ACT_EXPONENTIAL:
        return v_exp(x);
    case RNNRT_ACT_SOFTPLUS:
        return v_softplus(x);
    case RNNRT_ACT_SOFTSIGN:
        return x / (one + v_abs(x));
    case RNNRT_ACT_SILU:
        return x / (one + v_exp(v_neg(x)));
    case RNNRT_ACT_MISH: {
        /* tanh(log(1 + w)) = n / (n + 2) with n = w (w + 2), w = exp(x) */
        const vf w = v_exp(v_min(v_set1(20.0f), x));
        const vf n = w * (w + v_set1(2.0f));
        return x * (n / (n + v_set1(2.0f)));
    }
    case RNNRT_ACT_GELU:
        return v_gelu(x);
    case RNNRT_ACT_GELU_TANH: {
        /* x (1 + tanh u) / 2 = x / (1 + exp(-2 u)), -2 sqrt(2 / pi) = -1.59576912 */
        const vf u = v_set1(-1.59576912f) * v_fma(v_set1(0.044715f) * (x * x), x, x);
        return x / (one + v_exp(u));
    }
    case RNNRT_ACT_HARD_SILU:
        return x * act_hard_sigmoid_k3(x);
    case RNNRT_ACT_HARD_TANH:
        return v_min(one, v_max(v_set1(-1.0f), x));
    case RNNRT_ACT_HARD_SHRINK:
        return v_sel(v_lt(p, v_abs(x)), x, zero);
    case RNNRT_ACT_SOFT_SHRINK:
        return v_sel(v_lt(p, x), x - p, v_sel(v_lt(x, v_neg(p)), x + p, zero));
    case RNNRT_ACT_TANH_SHRINK:
        return x - v_tanh(x);
    case RNNRT_ACT_LOG_SIGMOID:
        return v_neg(v_softplus(v_neg(x)));
    case RNNRT_ACT_SQUAREPLUS:
        return act_squareplus(x, p);
    case RNNRT_ACT_SPARSE_PLUS: {
        const vf y = x + one;
        const vf mid = v_sel(v_lt(x, one), v_set1(0.25f) * (y * y), x);
        return v_sel(v_le(x, v_set1(-1.0f)), zero, mid);
    }
    case RNNRT_ACT_SPARSE_SIGMOID:
        return v_min(one, v_max(zero, v_set1(0.5f) * (x + one)));
    case RNNRT_ACT_THRESHOLD:
        return v_sel(v_lt(p, x), x, v_set1(f->param[1]));
    case RNNRT_ACT_THRESHOLDED_RELU:
        /* x * (x > theta), so that inf and NaN at 0 give NaN as in Keras */
        return x * v_sel(v_lt(p, x), one, zero);
    default:
        return x;
    }
}

static void act_elementwise(const rnnrt_activation *f, int64_t n, const float *x, float *y)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(y + i, act_apply(f, v_load(x + i)));
    if (i < n)
        v_storen(y + i, act_apply(f, v_loadn(x + i, n - i)), n - i);
}

#endif
