/* Functions of a whole row: softmax, log_softmax, sparsemax, glu. y may be x (glu: may begin at x). */
#ifndef RNNRT_ROWWISE_H
#define RNNRT_ROWWISE_H

#include "activations.h"
#include "lanes.h"

/* a NaN anywhere surfaces later, in the sum of the exponentials */
V_INLINE float row_max(int64_t n, const float *x)
{
    vf m = v_set1(-__builtin_inff());
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        m = v_max(m, v_load(x + i));
    float lane[VL];
    v_store(lane, m);
    float best = lane[0];
    for (int j = 1; j < VL; j++)
        best = lane[j] > best ? lane[j] : best;
    for (; i < n; i++)
        best = x[i] > best ? x[i] : best;
    return best;
}

/* y = exp(x - max), returns the sum */
V_INLINE float row_exp(int64_t n, const float *x, vf max, float *y)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(y + i, v_exp(v_load(x + i) - max));
    if (i < n)
        v_storen(y + i, v_exp(v_loadn(x + i, n - i) - max), n - i);
    return lanes_sum(n, y);
}

static void row_softmax(int64_t n, const float *x, float *y)
{
    const vf sum = v_set1(row_exp(n, x, v_set1(row_max(n, x)), y));
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(y + i, v_load(y + i) / sum);
    if (i < n)
        v_storen(y + i, v_loadn(y + i, n - i) / sum, n - i);
}

/* (x - max) - log(sum) */
static void row_log_softmax(int64_t n, const float *x, float *y, float *scratch)
{
    const vf max = v_set1(row_max(n, x));
    const vf log_sum = v_log(v_set1(row_exp(n, x, max, scratch)));
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(y + i, (v_load(x + i) - max) - log_sum);
    if (i < n)
        v_storen(y + i, (v_loadn(x + i, n - i) - max) - log_sum, n - i);
}

V_INLINE void row_sift(float *a, int64_t root, int64_t n)
{
    const float v = a[root];
    for (int64_t child; (child = 2 * root + 1) < n; root = child) {
        child += child + 1 < n && a[child + 1] < a[child];
        if (!(a[child] < v))
            break;
        a[root] = a[child];
    }
    a[root] = v;
}

/* descending, in place, without recursion */
static void row_sort(float *a, int64_t n)
{
    for (int64_t i = n / 2; i-- > 0;)
        row_sift(a, i, n);
    for (int64_t end = n; end-- > 1;) {
        const float least = a[0];
        a[0] = a[end];
        a[end] = least;
        row_sift(a, 0, end);
    }
}

/* Keras's own sparsemax: its threshold sums the cumulative sums over the support */
static void row_sparsemax(int64_t n, const float *x, float *y, float *scratch)
{
    float cumulative = 0.0f, total = 0.0f, support = 0.0f;
    int nan = 0;
    for (int64_t i = 0; i < n; i++) {
        scratch[i] = x[i];
        nan |= x[i] != x[i];
    }
    row_sort(scratch, n);
    for (int64_t i = 0; i < n; i++) {
        cumulative += scratch[i];
        if (scratch[i] - (cumulative - 1.0f) / (float)(i + 1) > 0.0f) {
            total += cumulative;
            support += 1.0f;
        }
    }
    const float tau = nan ? __builtin_nanf("") : (total - 1.0f) / support;
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] - tau;
        y[i] = 0.0f > v ? 0.0f : v;
    }
}

/* a / (1 + exp(-b)) with a the first half, b the second */
static void row_glu(int64_t half, const float *x, float *y)
{
    const vf one = v_set1(1.0f);
    int64_t i = 0;
    for (; i + VL <= half; i += VL)
        v_store(y + i, v_load(x + i) / (one + v_exp(v_neg(v_load(x + half + i)))));
    if (i < half) {
        const int64_t left = half - i;
        const vf b = v_exp(v_neg(v_loadn(x + half + i, left)));
        v_storen(y + i, v_loadn(x + i, left) / (one + b), left);
    }
}

/* any function over one row; scratch: n floats */
static void row_apply(const rnnrt_activation *f, int64_t n, const float *x, float *y, float *scratch)
{
    switch (f->kind) {
    case RNNRT_ACT_SOFTMAX:
        row_softmax(n, x, y);
        return;
    case RNNRT_ACT_LOG_SOFTMAX:
        row_log_softmax(n, x, y, scratch);
        return;
    case RNNRT_ACT_SPARSEMAX:
        row_sparsemax(n, x, y, scratch);
        return;
    case RNNRT_ACT_GLU:
        row_glu(n / 2, x, y);
        return;
    default:
        act_elementwise(f, n, x, y);
    }
}

/* The function of a gate: a sigmoid is tanh's fit here, which need not keep the digits of what is near 0. */
V_INLINE vf gate_apply(const rnnrt_activation *gate, vf x)
{
    return gate->kind == RNNRT_ACT_SIGMOID ? v_sigmoid(x) : act_apply(gate, x);
}
/* of n units of a row (all of them where the function is rowwise), in place */
static void gate_row(const rnnrt_activation *gate, int64_t n, float *z, float *scratch)
{
    if (gate->kind != RNNRT_ACT_SIGMOID) {
        row_apply(gate, n, z, z, scratch);
        return;
    }
    for (int64_t u = 0; u < n; u += VL) {
        const int64_t left = n - u < VL ? n - u : VL;
        v_storen(z + u, v_sigmoid(v_loadn(z + u, left)), left);
    }
}

#endif
