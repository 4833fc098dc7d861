/* The gates of one step, from finished sums: what PATH_STEPS launches after each product. */
#include "steps.cuh"

#include "activations.cuh"
#include "launch.cuh"

namespace rnnrt {
namespace {

constexpr int THREADS = 256;

__device__ __forceinline__ bool masked_out(const step_job &s, int64_t row, int64_t step)
{
    return s.mask && !s.mask[row * s.mask_batch + time_in(s, step)];
}

/* What a masked step shows: the old h, or zero before the first output. */
__device__ __forceinline__ float held_output(const step_job &s, int64_t row, int64_t u)
{
    return s.has_output[row * s.row_stride] && !s.zero_masked ? s.h[row * s.row_stride + u] : 0.0f;
}

/* One unit of one row, each function of one value alone. */
template <cell_form FORM> __global__ void __launch_bounds__(THREADS) k_gates(step_job s, step_sums q, int64_t step)
{
    constexpr int G = FORM == FORM_LSTM ? 4 : FORM == FORM_SIMPLE ? 1 : 3;
    const int64_t e = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (e >= s.batch * s.units)
        return;
    const int64_t row = e / s.units, u = e % s.units, at = row * s.row_stride + u;
    float *const y = output_at(s, row, step);
    if (masked_out(s, row, step)) {
        if (y)
            y[u] = held_output(s, row, u);
        return;
    }
    const float *const z = q.z + e * G, *const v = q.sums + e * (FORM == FORM_GRU_BEFORE ? 2 : G);
    float h;
    if (FORM == FORM_LSTM) {
        const float i = rnnrt_activate(s.recurrent_activation, z[0] + v[0]);
        const float f = rnnrt_activate(s.recurrent_activation, z[1 % G] + v[1 % G]);
        const float g = rnnrt_activate(s.activation, z[2 % G] + v[2 % G]);
        const float o = rnnrt_activate(s.recurrent_activation, z[3 % G] + v[3 % G]);
        const float c = fmaf(f, s.c[at], i * g);
        s.c[at] = c;
        h = o * rnnrt_activate(s.activation, c);
    } else if (FORM == FORM_SIMPLE) {
        h = rnnrt_activate(s.activation, z[0] + v[0]);
    } else {
        float update, g;
        if (FORM == FORM_GRU_AFTER) {
            update = rnnrt_activate(s.recurrent_activation, z[0] + v[0]);
            const float r = rnnrt_activate(s.recurrent_activation, z[1 % G] + v[1 % G]);
            g = fmaf(r, q.hidden_bias[u] + v[2 % G], z[2 % G]);
        } else {
            update = v[0]; /* k_resets left it there */
            g = z[2 % G] + q.candidate[e];
        }
        g = rnnrt_activate(s.activation, g);
        h = fmaf(update, s.h[at] - g, g);
    }
    s.h[at] = h;
    if (y)
        y[u] = h;
    if (s.mask && u == 0)
        s.has_output[row * s.row_stride] = 1;
}

/* A GRU that resets before: z in place of its sum, and r * h. */
__global__ void __launch_bounds__(THREADS) k_resets(step_job s, step_sums q)
{
    const int64_t e = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (e >= s.batch * s.units)
        return;
    const int64_t row = e / s.units, u = e % s.units;
    q.sums[e * 2] = rnnrt_activate(s.recurrent_activation, q.z[e * 3] + q.sums[e * 2]);
    const float r = rnnrt_activate(s.recurrent_activation, q.z[e * 3 + 1] + q.sums[e * 2 + 1]);
    q.reset_h[e] = r * s.h[row * s.row_stride + u];
}

/* ---- functions of a whole row: a block for each row, its gates in q.sums ---- */
struct block_sums { float of[THREADS / 32]; };

/* the sum, or with MAX the largest, over the block; the same in each thread */
template <bool MAX> __device__ float over_block(float v, block_sums &b)
{
    UNROLL
    for (int by = 16; by; by /= 2) {
        const float other = __shfl_xor_sync(ALL_LANES, v, by);
        v = MAX ? fmaxf(v, other) : v + other;
    }
    __syncthreads(); /* the last use of b is over */
    if (threadIdx.x % 32 == 0)
        b.of[threadIdx.x / 32] = v;
    __syncthreads();
    v = b.of[0];
    for (int i = 1; i < THREADS / 32; i++)
        v = MAX ? fmaxf(v, b.of[i]) : v + b.of[i];
    return v;
}

/* Keras's sparsemax: its threshold sums the cumulative sums over the support. Each value counts its own rank. */
__device__ float sparsemax_threshold(const float *x, int64_t n, int64_t stride, block_sums &b)
{
    float total = 0.0f, support = 0.0f;
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
        const float v = x[i * stride];
        float cumulative = 0.0f, rank = 0.0f;
        for (int64_t k = 0; k < n; k++) {
            const float o = x[k * stride];
            if (o > v || (o == v && k <= i))
                cumulative += o, rank += 1.0f;
        }
        if (v != v)
            total = support = v;
        else if (v - (cumulative - 1.0f) / rank > 0.0f)
            total += cumulative, support += 1.0f;
    }
    total = over_block<false>(total, b);
    support = over_block<false>(support, b);
    return (total - 1.0f) / support;
}

/* x[0], x[stride], ... in place; every thread of the block comes here */
__device__ void apply_row(const rnnrt_activation &f, float *x, int64_t n, int64_t stride, block_sums &b)
{
    __syncthreads();
    if (!rowwise_activation(f)) {
        for (int64_t i = threadIdx.x; i < n; i += THREADS)
            x[i * stride] = rnnrt_activate(f, x[i * stride]);
    } else if (f.kind == RNNRT_ACT_SPARSEMAX) {
        const float tau = sparsemax_threshold(x, n, stride, b);
        __syncthreads();
        for (int64_t i = threadIdx.x; i < n; i += THREADS)
            x[i * stride] = act_max(0.0f, x[i * stride] - tau);
    } else {
        float top = -INFINITY, sum = 0.0f;
        for (int64_t i = threadIdx.x; i < n; i += THREADS)
            top = fmaxf(top, x[i * stride]);
        top = over_block<true>(top, b);
        for (int64_t i = threadIdx.x; i < n; i += THREADS)
            sum += expf(x[i * stride] - top);
        sum = over_block<false>(sum, b);
        for (int64_t i = threadIdx.x; i < n; i += THREADS) {
            const float v = x[i * stride] - top;
            x[i * stride] = f.kind == RNNRT_ACT_SOFTMAX ? expf(v) / sum : v - logf(sum);
        }
    }
    __syncthreads();
}

template <cell_form FORM> __global__ void __launch_bounds__(THREADS, 1) k_gates_rowwise(step_job s, step_sums q, int64_t step)
{
    constexpr int G = FORM == FORM_LSTM ? 4 : FORM == FORM_SIMPLE ? 1 : 3, S = FORM == FORM_GRU_BEFORE ? 2 : G;
    SHARED(block_sums, b);
    const int64_t row = blockIdx.x, n = s.units;
    float *const h = s.h + row * s.row_stride, *const y = output_at(s, row, step);
    if (masked_out(s, row, step)) {
        for (int64_t u = threadIdx.x; u < n && y; u += THREADS)
            y[u] = held_output(s, row, u);
        return;
    }
    const float *const z = q.z + row * n * G;
    float *const v = q.sums + row * n * S, *const g = q.candidate + row * n;
    if (FORM != FORM_GRU_BEFORE) {
        for (int64_t i = threadIdx.x; i < n * (FORM == FORM_GRU_AFTER ? 3 : G); i += THREADS)
            if (FORM != FORM_GRU_AFTER || i % 3 != 2)
                v[i] += z[i];
    }
    if (FORM == FORM_SIMPLE) {
        apply_row(s.activation, v, n, 1, b);
        for (int64_t u = threadIdx.x; u < n; u += THREADS)
            h[u] = v[u];
    } else if (FORM == FORM_LSTM) {
        float *const c = s.c + row * s.row_stride;
        apply_row(s.recurrent_activation, v, n, G, b);
        apply_row(s.recurrent_activation, v + 1, n, G, b);
        apply_row(s.activation, v + 2, n, G, b);
        apply_row(s.recurrent_activation, v + 3, n, G, b);
        for (int64_t u = threadIdx.x; u < n; u += THREADS)
            c[u] = v[u * G] = fmaf(v[u * G + 1 % G], c[u], v[u * G] * v[u * G + 2 % G]);
        apply_row(s.activation, v, n, G, b);
        for (int64_t u = threadIdx.x; u < n; u += THREADS)
            h[u] = v[u * G + 3 % G] * v[u * G];
    } else {
        if (FORM == FORM_GRU_AFTER) {
            apply_row(s.recurrent_activation, v, n, S, b);
            apply_row(s.recurrent_activation, v + 1, n, S, b);
        }
        for (int64_t u = threadIdx.x; u < n; u += THREADS)
            g[u] = FORM == FORM_GRU_AFTER ? fmaf(v[u * S + 1], q.hidden_bias[u] + v[u * S + 2 % S], z[u * G + 2 % G])
                                          : z[u * G + 2 % G] + g[u];
        apply_row(s.activation, g, n, 1, b);
        for (int64_t u = threadIdx.x; u < n; u += THREADS)
            h[u] = fmaf(v[u * S], h[u] - g[u], g[u]);
    }
    for (int64_t u = threadIdx.x; u < n && y; u += THREADS)
        y[u] = h[u];
    if (s.mask && threadIdx.x == 0)
        s.has_output[row * s.row_stride] = 1;
}

__global__ void __launch_bounds__(THREADS, 1) k_resets_rowwise(step_job s, step_sums q)
{
    SHARED(block_sums, b);
    const int64_t row = blockIdx.x, n = s.units;
    float *const v = q.sums + row * n * 2;
    for (int64_t i = threadIdx.x; i < n * 2; i += THREADS)
        v[i] += q.z[(row * n + i / 2) * 3 + i % 2];
    apply_row(s.recurrent_activation, v, n, 2, b);
    apply_row(s.recurrent_activation, v + 1, n, 2, b);
    for (int64_t u = threadIdx.x; u < n; u += THREADS)
        q.reset_h[row * n + u] = v[u * 2 + 1] * s.h[row * s.row_stride + u];
}

template <cell_form FORM> cudaError_t start(const step_job &s, const step_sums &q, int64_t step, bool rows, cudaStream_t stream)
{
    if (rows)
        return launch(k_gates_rowwise<FORM>, (unsigned)s.batch, THREADS, 0, stream, s, q, step);
    const int64_t blocks = (s.batch * s.units + THREADS - 1) / THREADS;
    return launch(k_gates<FORM>, (unsigned)blocks, THREADS, 0, stream, s, q, step);
}

} // namespace

cudaError_t step_resets(const step_job &s, const step_sums &q, cudaStream_t stream)
{
    if (rowwise_activation(s.recurrent_activation) || rowwise_activation(s.activation))
        return launch(k_resets_rowwise, (unsigned)s.batch, THREADS, 0, stream, s, q);
    return launch(k_resets, (unsigned)((s.batch * s.units + THREADS - 1) / THREADS), THREADS, 0, stream, s, q);
}

cudaError_t step_gates(cell_form form, const step_job &s, const step_sums &q, int64_t step, cudaStream_t stream)
{
    const bool rows = rowwise_activation(s.activation) || (form != FORM_SIMPLE && rowwise_activation(s.recurrent_activation));
    switch (form) {
    case FORM_SIMPLE:
        return start<FORM_SIMPLE>(s, q, step, rows, stream);
    case FORM_LSTM:
        return start<FORM_LSTM>(s, q, step, rows, stream);
    case FORM_GRU_AFTER:
        return start<FORM_GRU_AFTER>(s, q, step, rows, stream);
    default:
        return start<FORM_GRU_BEFORE>(s, q, step, rows, stream);
    }
}

} // namespace rnnrt
