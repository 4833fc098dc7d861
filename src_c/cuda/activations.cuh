/* Keras's elementwise functions on the device, each with the meaning that include/activations.def names (the CPU's
 * are kernels/generic/activations.h). Written with the accurate functions of libdevice, no -use_fast_math: within
 * 1e-6 of the CPU's. NaN goes where it goes there. */
#ifndef RNNRT_CUDA_ACTIVATIONS_CUH
#define RNNRT_CUDA_ACTIVATIONS_CUH

#include <cuda_runtime.h>

#include "../include/rnnrt_types.h"

/* x where it is NaN, as the vector words of the CPU have it */
__device__ static inline float act_max(float limit, float x) { return limit > x ? limit : x; }
__device__ static inline float act_min(float limit, float x) { return limit < x ? limit : x; }

/* tanh(x/2)/2 + 1/2 without its cancellation; saturates cleanly at both ends */
__device__ static inline float act_sigmoid(float x)
{
    const float upper = 1.0f / (1.0f + expf(-fabsf(x)));
    return x >= 0.0f ? upper : 1.0f - upper;
}

__device__ static inline float act_softplus(float x) { return act_max(0.0f, x) + log1pf(expf(-fabsf(x))); }

__device__ static inline float act_hard_sigmoid_k3(float x) { return act_min(6.0f, act_max(0.0f, x + 3.0f)) / 6.0f; }

__device__ static inline float act_elu(float x, float alpha) { return 0.0f < x ? x : alpha * expm1f(x); }

__device__ static inline float act_relu_general(float x, float max_value, float slope, float threshold)
{
    float y = threshold == 0.0f ? act_max(0.0f, x) : threshold < x ? x : 0.0f;
    if (max_value < INFINITY)
        y = act_min(max_value, act_max(0.0f, y));
    if (slope != 0.0f)
        y = fmaf(-slope, act_max(0.0f, threshold - x), y);
    return y;
}

/* beyond 2^50 the square would overflow; below zero the sum would cancel */
__device__ static inline float act_squareplus(float x, float b)
{
    const float a = fabsf(x), root = a > 0x1p50f ? a : sqrtf(fmaf(x, x, b));
    return x < 0.0f ? 0.5f * b / (root - x) : fmaf(0.5f, x, 0.5f * root);
}

__device__ static inline float act_mish(float x)
{
    const float w = expf(act_min(20.0f, x)), n = w * (w + 2.0f);
    return x * (n / (n + 2.0f));
}

__device__ static inline float act_gelu_tanh(float x)
{
    return x / (1.0f + expf(-1.59576912f * fmaf(0.044715f * (x * x), x, x)));
}

__device__ static inline float act_sparse_plus(float x)
{
    const float y = x + 1.0f;
    return x <= -1.0f ? 0.0f : x < 1.0f ? 0.25f * (y * y) : x;
}

/* What layers are usually made of: tanh, sigmoid, or a clamped line. Little code and no call, for kernels whose registers
 * are full; what is not usual costs them another way. */
struct usual_function {
    int32_t kind;                /* TANH, SIGMOID; all else is the line */
    float slope, offset, least, most, scale;
};
/* false: it is none of them, and f is linear */
static inline bool usual_function_of(const rnnrt_activation &a, usual_function *f)
{
    *f = {a.kind, 1.0f, -0.0f, -INFINITY, INFINITY, 1.0f};
    switch (a.kind) {
    case RNNRT_ACT_LINEAR:
    case RNNRT_ACT_TANH:
    case RNNRT_ACT_SIGMOID:
        return true;
    case RNNRT_ACT_RELU:
        f->least = 0.0f;
        return true;
    case RNNRT_ACT_HARD_SIGMOID_K2:
        f->slope = 0.2f, f->offset = 0.5f, f->least = 0.0f, f->most = 1.0f;
        return true;
    case RNNRT_ACT_HARD_SIGMOID_K3:
        f->offset = 3.0f, f->least = 0.0f, f->most = 6.0f, f->scale = 1.0f / 6.0f;
        return true;
    case RNNRT_ACT_HARD_TANH:
        f->least = -1.0f, f->most = 1.0f;
        return true;
    default:
        return false;
    }
}
__device__ __forceinline__ float usual_apply(const usual_function &f, float x)
{
    return f.kind == RNNRT_ACT_TANH ? tanhf(x)
         : f.kind == RNNRT_ACT_SIGMOID ? act_sigmoid(x)
         : f.scale * act_min(f.most, act_max(f.least, fmaf(f.slope, x, f.offset)));
}

/* Any of the functions of one value; rowwise ones (softmax and its like) pass x through. */
__device__ static __forceinline__ float rnnrt_activate(const rnnrt_activation &f, float x)
{
    const float p = f.param[0];
    switch (f.kind) {
    case RNNRT_ACT_TANH: return tanhf(x);
    case RNNRT_ACT_SIGMOID: return act_sigmoid(x);
    case RNNRT_ACT_HARD_SIGMOID_K2: return act_min(1.0f, act_max(0.0f, fmaf(0.2f, x, 0.5f)));
    case RNNRT_ACT_HARD_SIGMOID_K3: return act_hard_sigmoid_k3(x);
    case RNNRT_ACT_RELU: return act_max(0.0f, x);
    case RNNRT_ACT_RELU_GENERAL: return act_relu_general(x, f.param[0], f.param[1], f.param[2]);
    case RNNRT_ACT_LEAKY_RELU: return 0.0f < x ? x : p * x;
    case RNNRT_ACT_ELU: return act_elu(x, p);
    case RNNRT_ACT_SELU: return 1.05070098f * act_elu(x, 1.67326324f);
    case RNNRT_ACT_CELU: return fmaf(p, expm1f(act_min(0.0f, x) / p), act_max(0.0f, x));
    case RNNRT_ACT_EXPONENTIAL: return expf(x);
    case RNNRT_ACT_SOFTPLUS: return act_softplus(x);
    case RNNRT_ACT_SOFTSIGN: return x / (1.0f + fabsf(x));
    case RNNRT_ACT_SILU: return x / (1.0f + expf(-x));
    case RNNRT_ACT_MISH: return act_mish(x);
    case RNNRT_ACT_GELU: return x * (0.5f * erfcf(-0.707106781f * x));
    case RNNRT_ACT_GELU_TANH: return act_gelu_tanh(x);
    case RNNRT_ACT_HARD_SILU: return x * act_hard_sigmoid_k3(x);
    case RNNRT_ACT_HARD_TANH: return act_min(1.0f, act_max(-1.0f, x));
    case RNNRT_ACT_HARD_SHRINK: return p < fabsf(x) ? x : 0.0f;
    case RNNRT_ACT_SOFT_SHRINK: return p < x ? x - p : x < -p ? x + p : 0.0f;
    case RNNRT_ACT_TANH_SHRINK: return x - tanhf(x);
    case RNNRT_ACT_LOG_SIGMOID: return -act_softplus(-x);
    case RNNRT_ACT_SQUAREPLUS: return act_squareplus(x, p);
    case RNNRT_ACT_SPARSE_PLUS: return act_sparse_plus(x);
    case RNNRT_ACT_SPARSE_SIGMOID: return act_min(1.0f, act_max(0.0f, 0.5f * (x + 1.0f)));
    case RNNRT_ACT_THRESHOLD: return p < x ? x : f.param[1];
    case RNNRT_ACT_THRESHOLDED_RELU: return x * (p < x ? 1.0f : 0.0f);
    default: return x;
    }
}

#endif
