/* The functions of activations.def in double, through libm. NaN goes where activations.h sends it. */
#ifndef RNNRT_DOUBLE_FUNCTIONS_H
#define RNNRT_DOUBLE_FUNCTIONS_H

#include <math.h>
#include <string.h>

#include "../kernels64.h"

/* NaN passes: every comparison with it is false */
static inline double d_clip(double x, double low, double high) { return x < low ? low : x > high ? high : x; }
static inline double d_relu(double x) { return x < 0.0 ? 0.0 : x; }
static inline double d_sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }
static inline double d_softplus(double x) { return d_relu(x) + log1p(exp(-fabs(x))); }
static inline double d_elu(double x, double alpha) { return x > 0.0 ? x : alpha * expm1(x); }

static double d_relu_general(double x, double max_value, double slope, double threshold)
{
    double y = threshold == 0.0 ? d_relu(x) : x > threshold ? x : 0.0;
    if (max_value < INFINITY)
        y = d_clip(y, 0.0, max_value);
    if (slope != 0.0)
        y -= slope * d_relu(threshold - x);
    return y;
}

static double d_squareplus(double x, double b)
{
    /* beyond 2^500 the square would overflow long before b counts */
    const double root = fabs(x) > 0x1p500 ? fabs(x) : sqrt(__builtin_fma(x, x, b));
    return x < 0.0 ? 0.5 * b / (root - x) : 0.5 * x + 0.5 * root;
}

static double d_apply(const rnnrt_activation64 *f, double x)
{
    const double p = f->param[0];
    switch (f->kind) {
    case RNNRT_ACT_TANH:
        return tanh(x);
    case RNNRT_ACT_SIGMOID:
        return d_sigmoid(x);
    case RNNRT_ACT_HARD_SIGMOID_K2:
        return d_clip(__builtin_fma(0.2, x, 0.5), 0.0, 1.0);
    case RNNRT_ACT_HARD_SIGMOID_K3:
        return d_clip(x + 3.0, 0.0, 6.0) / 6.0;
    case RNNRT_ACT_RELU:
        return d_relu(x);
    case RNNRT_ACT_RELU_GENERAL:
        return d_relu_general(x, p, f->param[1], f->param[2]);
    case RNNRT_ACT_LEAKY_RELU:
        return x > 0.0 ? x : p * x;
    case RNNRT_ACT_ELU:
        return d_elu(x, p);
    case RNNRT_ACT_SELU:
        return 1.0507009873554805 * d_elu(x, 1.6732632423543772);
    case RNNRT_ACT_CELU:
        return d_relu(x) + p * expm1((x > 0.0 ? 0.0 : x) / p);
    case RNNRT_ACT_EXPONENTIAL:
        return exp(x);
    case RNNRT_ACT_SOFTPLUS:
        return d_softplus(x);
    case RNNRT_ACT_SOFTSIGN:
        return x / (1.0 + fabs(x));
    case RNNRT_ACT_SILU:
        return x / (1.0 + exp(-x));
    case RNNRT_ACT_MISH:
        return x * tanh(d_softplus(x));
    case RNNRT_ACT_GELU:
        return 0.5 * x * (1.0 + erf(x * 0.70710678118654752440));
    case RNNRT_ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.79788456080286535588 * __builtin_fma(0.044715 * (x * x), x, x)));
    case RNNRT_ACT_HARD_SILU:
        return x * (d_clip(x + 3.0, 0.0, 6.0) / 6.0);
    case RNNRT_ACT_HARD_TANH:
        return d_clip(x, -1.0, 1.0);
    case RNNRT_ACT_HARD_SHRINK:
        return fabs(x) > p ? x : 0.0;
    case RNNRT_ACT_SOFT_SHRINK:
        return x > p ? x - p : x < -p ? x + p : 0.0;
    case RNNRT_ACT_TANH_SHRINK:
        return x - tanh(x);
    case RNNRT_ACT_LOG_SIGMOID:
        return -d_softplus(-x);
    case RNNRT_ACT_SQUAREPLUS:
        return d_squareplus(x, p);
    case RNNRT_ACT_SPARSE_PLUS:
        return x <= -1.0 ? 0.0 : x < 1.0 ? 0.25 * ((x + 1.0) * (x + 1.0)) : x;
    case RNNRT_ACT_SPARSE_SIGMOID:
        return d_clip(0.5 * (x + 1.0), 0.0, 1.0);
    case RNNRT_ACT_THRESHOLD:
        return x > p ? x : f->param[1];
    case RNNRT_ACT_THRESHOLDED_RELU:
        return x * (x > p ? 1.0 : 0.0);
    default:
        return x;
    }
}

static void d_activate(const rnnrt_activation64 *f, int64_t n, const double *x, double *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = d_apply(f, x[i]);
}

/* ---- whole rows ---- */
static inline int d_rowwise(const rnnrt_activation64 *a)
{
    return a->kind == RNNRT_ACT_SOFTMAX || a->kind == RNNRT_ACT_LOG_SOFTMAX || a->kind == RNNRT_ACT_SPARSEMAX
        || a->kind == RNNRT_ACT_GLU;
}

static double d_tree16(double *lane)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

/* y = exp(x - max), returns the sum in 16 lanes; a NaN anywhere surfaces in it */
static double d_exp_row(int64_t n, const double *x, double max, double *y)
{
    double lane[16] = {0};
    for (int64_t i = 0; i < n; i++) {
        y[i] = exp(x[i] - max);
        lane[i % 16] += y[i];
    }
    return d_tree16(lane);
}

static double d_row_max(int64_t n, const double *x)
{
    double max = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

static void d_sift(double *a, int64_t root, int64_t n)
{
    const double v = a[root];
    for (int64_t child; (child = 2 * root + 1) < n; root = child) {
        child += child + 1 < n && a[child + 1] < a[child];
        if (!(a[child] < v))
            break;
        a[root] = a[child];
    }
    a[root] = v;
}

/* Keras's own sparsemax, see rowwise.h */
static void d_sparsemax(int64_t n, const double *x, double *y, double *sorted)
{
    double cumulative = 0.0, total = 0.0, support = 0.0;
    int nan = 0;
    for (int64_t i = 0; i < n; i++) {
        sorted[i] = x[i];
        nan |= x[i] != x[i];
    }
    for (int64_t i = n / 2; i-- > 0;)
        d_sift(sorted, i, n);
    for (int64_t end = n; end-- > 1;) { /* descending */
        const double least = sorted[0];
        sorted[0] = sorted[end];
        sorted[end] = least;
        d_sift(sorted, 0, end);
    }
    for (int64_t i = 0; i < n; i++) {
        cumulative += sorted[i];
        if (sorted[i] - (cumulative - 1.0) / (double)(i + 1) > 0.0) {
            total += cumulative;
            support += 1.0;
        }
    }
    const double tau = nan ? NAN : (total - 1.0) / support;
    for (int64_t i = 0; i < n; i++)
        y[i] = d_relu(x[i] - tau);
}

/* any function over one row; y may be x; scratch: n doubles */
static void d_row(const rnnrt_activation64 *f, int64_t n, const double *x, double *y, double *scratch)
{
    double max, sum;
    switch (f->kind) {
    case RNNRT_ACT_SOFTMAX:
        sum = d_exp_row(n, x, d_row_max(n, x), y);
        for (int64_t i = 0; i < n; i++)
            y[i] /= sum;
        return;
    case RNNRT_ACT_LOG_SOFTMAX:
        max = d_row_max(n, x);
        sum = log(d_exp_row(n, x, max, scratch));
        for (int64_t i = 0; i < n; i++)
            y[i] = (x[i] - max) - sum;
        return;
    case RNNRT_ACT_SPARSEMAX:
        d_sparsemax(n, x, y, scratch);
        return;
    case RNNRT_ACT_GLU:
        for (int64_t i = 0; i < n / 2; i++)
            y[i] = x[i] / (1.0 + exp(-x[n / 2 + i]));
        return;
    default:
        d_activate(f, n, x, y);
    }
}

static void d_activate_rows(const rnnrt_activation64 *a, int64_t rows, int64_t width, const double *x,
                            int64_t x_stride, double *y, int64_t y_stride, double *scratch)
{
    for (int64_t r = 0; r < rows; r++)
        d_row(a, width, x + r * x_stride, y + r * y_stride, scratch);
}

static void d_scale_shift(int64_t rows, int64_t width, const double *x, int64_t x_stride, const double *scale,
                          const double *shift, double *y, int64_t y_stride)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < width; i++)
            y[r * y_stride + i] = __builtin_fma(x[r * x_stride + i], scale[i], shift[i]);
}

#endif
