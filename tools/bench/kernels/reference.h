/* Double precision, written from Keras's sources, not from the kernels. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <math.h>
#include "kernels/kernels.h"

static double ref_relu(double x) { return isnan(x) ? x : x > 0 ? x : 0; }
static double ref_clip(double x, double lo, double hi) { return isnan(x) ? x : x < lo ? lo : x > hi ? hi : x; }
static double ref_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double ref_softplus(double x) { return isnan(x) ? x : (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }
static double ref_elu(double x, double a) { return x > 0 ? x : a * expm1(x); }

static double ref_act(const rnnrt_activation *f, double x)
{
    const double p = (double)f->param[0], q = (double)f->param[1], t = (double)f->param[2];
    switch (f->kind) {
    case RNNRT_ACT_TANH: return tanh(x);
    case RNNRT_ACT_SIGMOID: return ref_sigmoid(x);
    case RNNRT_ACT_HARD_SIGMOID_K2: return ref_clip(0.2 * x + 0.5, 0, 1);
    case RNNRT_ACT_HARD_SIGMOID_K3: return ref_clip(x + 3, 0, 6) / 6;
    case RNNRT_ACT_RELU: return ref_relu(x);
    case RNNRT_ACT_RELU_GENERAL: {
        const double below = q != 0 ? ref_relu(t - x) : 0;
        double y = t == 0 ? ref_relu(x) : x > t ? x : 0;
        if (!isinf(p))
            y = ref_clip(y, 0, p);
        return y - q * below;
    }
    case RNNRT_ACT_LEAKY_RELU: return x > 0 ? x : p * x;
    case RNNRT_ACT_ELU: return ref_elu(x, p);
    case RNNRT_ACT_SELU: return 1.0507009873554804934 * ref_elu(x, 1.6732632423543772848);
    case RNNRT_ACT_CELU: return ref_relu(x) + p * expm1((x > 0 ? 0 : x) / p);
    case RNNRT_ACT_EXPONENTIAL: return exp(x);
    case RNNRT_ACT_SOFTPLUS: return ref_softplus(x);
    case RNNRT_ACT_SOFTSIGN: return x / (1 + fabs(x));
    case RNNRT_ACT_SILU: return x * ref_sigmoid(x);
    case RNNRT_ACT_MISH: return x * tanh(ref_softplus(x));
    case RNNRT_ACT_GELU: return x * 0.5 * erfc(-x * M_SQRT1_2);
    case RNNRT_ACT_GELU_TANH: /* x (1 + tanh u) / 2 without its cancellation */
        return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case RNNRT_ACT_HARD_SILU: return x * (ref_clip(x + 3, 0, 6) / 6);
    case RNNRT_ACT_HARD_TANH: return ref_clip(x, -1, 1);
    case RNNRT_ACT_HARD_SHRINK: return fabs(x) > p ? x : 0;
    case RNNRT_ACT_SOFT_SHRINK: return x > p ? x - p : x < -p ? x + p : 0;
    case RNNRT_ACT_TANH_SHRINK: return x - tanh(x);
    case RNNRT_ACT_LOG_SIGMOID: return -ref_softplus(-x);
    case RNNRT_ACT_SQUAREPLUS: /* (x + sqrt(x^2 + b)) / 2 */
        return x < 0 ? 0.5 * p / (sqrt(x * x + p) - x) : 0.5 * (x + sqrt(x * x + p));
    case RNNRT_ACT_SPARSE_PLUS: return x <= -1 ? 0 : x < 1 ? 0.25 * (x + 1) * (x + 1) : x;
    case RNNRT_ACT_SPARSE_SIGMOID: return ref_clip(0.5 * (x + 1), 0, 1);
    case RNNRT_ACT_THRESHOLD: return x > p ? x : q;
    case RNNRT_ACT_THRESHOLDED_RELU: return x * (x > p);
    default: return x;
    }
}

/* y (n, or n / 2 for glu) of one row; sorted: n doubles */
static void ref_row(const rnnrt_activation *f, int64_t n, const double *x, double *y, double *sorted)
{
    double max = -INFINITY, sum = 0;
    switch (f->kind) {
    case RNNRT_ACT_SOFTMAX:
    case RNNRT_ACT_LOG_SOFTMAX:
        for (int64_t i = 0; i < n; i++)
            max = x[i] > max ? x[i] : max;
        for (int64_t i = 0; i < n; i++)
            sum += exp(x[i] - max);
        for (int64_t i = 0; i < n; i++)
            y[i] = f->kind == RNNRT_ACT_SOFTMAX ? exp(x[i] - max) / sum : x[i] - max - log(sum);
        return;
    case RNNRT_ACT_SPARSEMAX: { /* as Keras writes it: the cumulative sums themselves are summed */
        double cumulative = 0, total = 0, k = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t j = i;
            for (; j > 0 && sorted[j - 1] < x[i]; j--)
                sorted[j] = sorted[j - 1];
            sorted[j] = x[i];
        }
        for (int64_t i = 0; i < n; i++) {
            cumulative += sorted[i];
            if (sorted[i] - (cumulative - 1) / (double)(i + 1) > 0) {
                total += cumulative;
                k += 1;
            }
        }
        for (int64_t i = 0; i < n; i++)
            y[i] = ref_relu(x[i] - (total - 1) / k);
        return;
    }
    case RNNRT_ACT_GLU:
        for (int64_t i = 0; i < n / 2; i++)
            y[i] = x[i] * ref_sigmoid(x[n / 2 + i]);
        return;
    default:
        for (int64_t i = 0; i < n; i++)
            y[i] = ref_act(f, x[i]);
    }
}

/* One step of one row in double; h and c are overwritten; work: 9 * units */
static void ref_step(const rnnrt_cell *cell, const float *k, const float *r, const float *b, const float *x,
                     double *h, double *c, double *work)
{
    const int64_t u = cell->units, d = cell->features;
    const int64_t gates = cell->kind == RNNRT_CELL_LSTM ? 4 : cell->kind == RNNRT_CELL_GRU ? 3 : 1, n = gates * u;
    double *xs = work, *hs = work + n, *sorted = work + 2 * n;
    const rnnrt_activation *act = &cell->activation, *gate = &cell->recurrent_activation;
    for (int64_t j = 0; j < n; j++) {
        xs[j] = b ? (double)b[j] : 0;
        hs[j] = b && cell->kind == RNNRT_CELL_GRU && cell->reset_after ? (double)b[n + j] : 0;
        for (int64_t i = 0; i < d; i++)
            xs[j] += (double)x[i] * (double)k[i * n + j];
        for (int64_t i = 0; i < u; i++)
            hs[j] += h[i] * (double)r[i * n + j];
    }
    if (cell->kind == RNNRT_CELL_GRU) {
        for (int64_t j = 0; j < 2 * u; j++)
            xs[j] += hs[j];
        ref_row(gate, u, xs, xs, sorted);
        ref_row(gate, u, xs + u, xs + u, sorted);
        for (int64_t j = 0; j < u; j++) {
            double m = xs[u + j] * hs[2 * u + j];
            if (!cell->reset_after) {
                m = 0;
                for (int64_t i = 0; i < u; i++)
                    m += xs[u + i] * h[i] * (double)r[i * n + 2 * u + j];
            }
            xs[2 * u + j] += m;
        }
        ref_row(act, u, xs + 2 * u, xs + 2 * u, sorted);
        for (int64_t j = 0; j < u; j++)
            h[j] = xs[j] * h[j] + (1 - xs[j]) * xs[2 * u + j];
        return;
    }
    for (int64_t j = 0; j < n; j++)
        xs[j] += hs[j];
    if (cell->kind == RNNRT_CELL_SIMPLE_RNN) {
        ref_row(act, u, xs, h, sorted);
        return;
    }
    ref_row(gate, u, xs, xs, sorted);
    ref_row(gate, u, xs + u, xs + u, sorted);
    ref_row(act, u, xs + 2 * u, xs + 2 * u, sorted);
    ref_row(gate, u, xs + 3 * u, xs + 3 * u, sorted);
    for (int64_t j = 0; j < u; j++)
        c[j] = xs[u + j] * c[j] + xs[j] * xs[2 * u + j];
    ref_row(act, u, c, h, sorted);
    for (int64_t j = 0; j < u; j++)
        h[j] *= xs[3 * u + j];
}

#endif
