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

__device__ __forceinline__ int gates_of(cell_form form)
{
    return form == FORM_LSTM ? 4 : form == FORM_SIMPLE ? 1 : 3;
}

/* What a masked step shows: the old h, or zero before the first output. */
__device__ __forceinline__ float held_output(const step_job &s, int64_t row, int64_t u)
{
    return s.has_output[row * s.row_stride] && !s.zero_masked ? s.h[row * s.row_stride + u] : 0.0f;
}

/* What is not usual is one copy of code in each kernel. */
__device__ __noinline__ float any_function(rnnrt_activation f, float x) { return rnnrt_activate(f, x); }

/* One unit of one row, each function of one value alone. */
__global__ void __launch_bounds__(THREADS) k_gates(cell_form form, step_job s, step_sums q, int64_t step)
{
    const int gates = gates_of(form), first = form == FORM_GRU_BEFORE ? 2 : gates;
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
    const float *const z = q.z + e * gates, *const v = q.sums + e * first;
    const auto gate = [&](float x) { return s.both_usual ? usual_apply(s.recurrent_usual, x) : any_function(s.recurrent_activation, x); };
    const auto change = [&](float x) { return s.both_usual ? usual_apply(s.usual, x) : any_function(s.activation, x); };
    float h;
    if (form == FORM_LSTM) {
        const float i = gate(z[0] + v[0]);
        const float f = gate(z[1] + v[1]);
        const float g = change(z[2] + v[2]);
        const float o = gate(z[3] + v[3]);
        const float c = fmaf(f, s.c[at], i * g);
        s.c[at] = c;
        h = o * change(c);
    } else if (form == FORM_SIMPLE) {
        h = change(z[0] + v[0]);
    } else {
        float update, g;
        if (form == FORM_GRU_AFTER) {
            update = gate(z[0] + v[0]);
            const float r = gate(z[1] + v[1]);
            g = fmaf(r, q.hidden_bias[u] + v[2], z[2]);
        } else {
            update = v[0]; /* k_resets left it there */
            g = z[2] + q.candidate[e];
        }
        g = change(g);
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
    const auto gate = [&](float x) { return s.both_usual ? usual_apply(s.recurrent_usual, x) : any_function(s.recurrent_activation, x); };
    q.sums[e * 2] = gate(q.z[e * 3] + q.sums[e * 2]);
    const float r = gate(q.z[e * 3 + 1] + q.sums[e * 2 + 1]);
    q.reset_h[e] = r * s.h[row * s.row_stride + u];
}

/* ---- functions of a whole row: a block for each row, its gates in q.sums; they are rare, and kept small ---- */
#define EACH_OF_ROW(i, n) \
    UNROLL_BY(1)          \
    for (int64_t i = threadIdx.x; i < (n); i += THREADS)

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
    UNROLL_BY(1)
    for (int i = 1; i < THREADS / 32; i++)
        v = MAX ? fmaxf(v, b.of[i]) : v + b.of[i];
    return v;
}

/* Keras's sparsemax: its threshold sums the cumulative sums over the support. Each value counts its own rank. */
__device__ float sparsemax_threshold(const float *x, int64_t n, int64_t stride, block_sums &b)
{
    float total = 0.0f, support = 0.0f;
    EACH_OF_ROW(i, n) {
        const float v = x[i * stride];
        float cumulative = 0.0f, rank = 0.0f;
        UNROLL_BY(1)
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
__device__ __noinline__ void apply_row(rnnrt_activation f, float *x, int64_t n, int64_t stride)
{
    SHARED(block_sums, b);
    __syncthreads();
    if (!rowwise_activation(f)) {
        EACH_OF_ROW(i, n)
            x[i * stride] = rnnrt_activate(f, x[i * stride]);
    } else if (f.kind == RNNRT_ACT_SPARSEMAX) {
        const float tau = sparsemax_threshold(x, n, stride, b);
        __syncthreads();
        EACH_OF_ROW(i, n)
            x[i * stride] = act_max(0.0f, x[i * stride] - tau);
    } else {
        float top = -INFINITY, sum = 0.0f;
        EACH_OF_ROW(i, n)
            top = fmaxf(top, x[i * stride]);
        top = over_block<true>(top, b);
        EACH_OF_ROW(i, n)
            sum += expf(x[i * stride] - top);
        sum = over_block<false>(sum, b);
        EACH_OF_ROW(i, n) {
            const float v = x[i * stride] - top;
            x[i * stride] = f.kind == RNNRT_ACT_SOFTMAX ? expf(v) / sum : v - logf(sum);
        }
    }
    __syncthreads();
}

__global__ void __launch_bounds__(THREADS, 1) k_gates_rowwise(cell_form form, step_job s, step_sums q, int64_t step)
{
    const int gates = gates_of(form), first = form == FORM_GRU_BEFORE ? 2 : gates;
    const int64_t row = blockIdx.x, n = s.units;
    float *const h = s.h + row * s.row_stride, *const y = output_at(s, row, step);
    if (masked_out(s, row, step)) {
        EACH_OF_ROW(u, y ? n : 0)
            y[u] = held_output(s, row, u);
        return;
    }
    const float *const z = q.z + row * n * gates;
    float *const v = q.sums + row * n * first, *const g = q.candidate + row * n;
    if (form != FORM_GRU_BEFORE) {
        EACH_OF_ROW(i, n * (form == FORM_GRU_AFTER ? 3 : gates))
            if (form != FORM_GRU_AFTER || i % 3 != 2)
                v[i] += z[i];
    }
    if (form == FORM_SIMPLE) {
        apply_row(s.activation, v, n, 1);
        EACH_OF_ROW(u, n)
            h[u] = v[u];
    } else if (form == FORM_LSTM) {
        float *const c = s.c + row * s.row_stride;
        apply_row(s.recurrent_activation, v, n, gates);
        apply_row(s.recurrent_activation, v + 1, n, gates);
        apply_row(s.activation, v + 2, n, gates);
        apply_row(s.recurrent_activation, v + 3, n, gates);
        EACH_OF_ROW(u, n)
            c[u] = v[u * gates] = fmaf(v[u * gates + 1], c[u], v[u * gates] * v[u * gates + 2]);
        apply_row(s.activation, v, n, gates);
        EACH_OF_ROW(u, n)
            h[u] = v[u * gates + 3] * v[u * gates];
    } else {
        if (form == FORM_GRU_AFTER) {
            apply_row(s.recurrent_activation, v, n, first);
            apply_row(s.recurrent_activation, v + 1, n, first);
        }
        EACH_OF_ROW(u, n)
            g[u] = form == FORM_GRU_AFTER ? fmaf(v[u * first + 1], q.hidden_bias[u] + v[u * first + 2], z[u * gates + 2])
                                          : z[u * gates + 2] + g[u];
        apply_row(s.activation, g, n, 1);
        EACH_OF_ROW(u, n)
            h[u] = fmaf(v[u * first], h[u] - g[u], g[u]);
    }
    EACH_OF_ROW(u, y ? n : 0)
        y[u] = h[u];
    if (s.mask && threadIdx.x == 0)
        s.has_output[row * s.row_stride] = 1;
}

__global__ void __launch_bounds__(THREADS, 1) k_resets_rowwise(step_job s, step_sums q)
{
    const int64_t row = blockIdx.x, n = s.units;
    float *const v = q.sums + row * n * 2;
    EACH_OF_ROW(i, n * 2)
        v[i] += q.z[(row * n + i / 2) * 3 + i % 2];
    apply_row(s.recurrent_activation, v, n, 2);
    apply_row(s.recurrent_activation, v + 1, n, 2);
    EACH_OF_ROW(u, n)
        q.reset_h[row * n + u] = v[u * 2 + 1] * s.h[row * s.row_stride + u];
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
    if (rows)
        return launch(k_gates_rowwise, (unsigned)s.batch, THREADS, 0, stream, form, s, q, step);
    return launch(k_gates, (unsigned)((s.batch * s.units + THREADS - 1) / THREADS), THREADS, 0, stream, form, s, q, step);
}

} // namespace rnnrt
