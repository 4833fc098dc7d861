/* softmax, log_softmax, sparsemax, glu over rows or over runs of axes: one block for each run. */
#include "rowwise.cuh"

#include "blocks.cuh"

extern "C" {
#include "../ops/axis_run.h"
}

namespace rnnrt_cuda {

struct run_at {
    int64_t x, y;                /* offsets of the run's first element */
};

__device__ static inline run_at place_of(const runs &r, int64_t i, int64_t x_stride, int64_t y_stride, int64_t n_out)
{
    const int64_t in = i % r.inner, outer = i / r.inner % r.outer, b = i / r.inner / r.outer;
    return {b * x_stride + outer * r.n * r.inner + in, b * y_stride + outer * n_out * r.inner + in};
}

/* NaN surfaces in the sum of the exponentials, as on the host */
template <bool LOG> __global__ void softmax_runs(runs r, const float *x, int64_t x_stride, float *y, int64_t y_stride)
{
    for (int64_t i = blockIdx.x; i < r.batch * r.outer * r.inner; i += gridDim.x) {
        const run_at at = place_of(r, i, x_stride, y_stride, r.n);
        float most = -INFINITY, sum = 0;
        for (int64_t k = threadIdx.x; k < r.n; k += blockDim.x) {
            const float v = x[at.x + k * r.inner];
            most = v > most ? v : most;
        }
        most = block_reduce(most, larger());
        for (int64_t k = threadIdx.x; k < r.n; k += blockDim.x)
            sum += expf(x[at.x + k * r.inner] - most);
        sum = block_reduce(sum, plus());
        const float log_sum = LOG ? logf(sum) : 0.0f;
        for (int64_t k = threadIdx.x; k < r.n; k += blockDim.x) {
            const float v = x[at.x + k * r.inner] - most;
            y[at.y + k * r.inner] = LOG ? v - log_sum : expf(v) / sum;
        }
    }
}

/* How many are larger, and their sum; equal ones stand in order. Quadratic: such rows are short, and nothing is sorted. */
__device__ static inline void stand_before(const float *x, int64_t n, int64_t inner, int64_t k, float *before, float *sum)
{
    const float v = x[k * inner];
    double total = 0;
    int64_t count = 0;
    UNROLL_BY(1)
    for (int64_t j = 0; j < n; j++) {
        const float w = x[j * inner];
        if (w > v || (w == v && j < k)) {
            count++;
            total += (double)w;
        }
    }
    *before = (float)count;
    *sum = (float)total;
}

/* Keras's own sparsemax: its threshold sums the cumulative sums over the support */
__global__ void sparsemax_runs(runs r, const float *x, int64_t x_stride, float *y, int64_t y_stride)
{
    for (int64_t i = blockIdx.x; i < r.batch * r.outer * r.inner; i += gridDim.x) {
        const run_at at = place_of(r, i, x_stride, y_stride, r.n);
        float total = 0, support = 0, nan = 0;
        for (int64_t k = threadIdx.x; k < r.n; k += blockDim.x) {
            const float v = x[at.x + k * r.inner];
            float before, cumulative;
            stand_before(x + at.x, r.n, r.inner, k, &before, &cumulative);
            cumulative += v;
            if (v - (cumulative - 1.0f) / (before + 1.0f) > 0.0f) {
                total += cumulative;
                support += 1.0f;
            }
            nan += v != v ? 1.0f : 0.0f;
        }
        total = block_reduce(total, plus());
        support = block_reduce(support, plus());
        nan = block_reduce(nan, plus());
        const float tau = nan > 0 ? NAN : (total - 1.0f) / support;
        for (int64_t k = threadIdx.x; k < r.n; k += blockDim.x) {
            const float v = x[at.x + k * r.inner] - tau;
            y[at.y + k * r.inner] = 0.0f > v ? 0.0f : v;
        }
    }
}

__global__ void glu_runs(runs r, const float *x, int64_t x_stride, float *y, int64_t y_stride)
{
    const int64_t half = r.n / 2;
    for (int64_t i = blockIdx.x; i < r.batch * r.outer * r.inner; i += gridDim.x) {
        const run_at at = place_of(r, i, x_stride, y_stride, half);
        for (int64_t k = threadIdx.x; k < half; k += blockDim.x)
            y[at.y + k * r.inner] = x[at.x + k * r.inner] / (1.0f + expf(-x[at.x + (k + half) * r.inner]));
    }
}

int32_t rowwise(const op_run &run, int32_t kind, const runs &r, const float *x, int64_t x_stride, float *y, int64_t y_stride,
                int64_t n_out)
{
    const int64_t n = r.batch * r.outer * r.inner;
    const unsigned threads = threads_for(r.n);
    (void)n_out;
    switch (kind) {
    case RNNRT_ACT_SOFTMAX: return launch_rows(run, n, threads, softmax_runs<false>, r, x, x_stride, y, y_stride);
    case RNNRT_ACT_LOG_SOFTMAX: return launch_rows(run, n, threads, softmax_runs<true>, r, x, x_stride, y, y_stride);
    case RNNRT_ACT_SPARSEMAX: return launch_rows(run, n, threads, sparsemax_runs, r, x, x_stride, y, y_stride);
    default: return launch_rows(run, n, threads, glu_runs, r, x, x_stride, y, y_stride);
    }
}

int32_t run_SOFTMAX(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const rnnrt_axes a = rnnrt_axes_of(&run, op, op->attr[0], op->attr[1]);
    return rowwise(run, RNNRT_ACT_SOFTMAX, {x->batch, a.outer, a.inner, a.n}, (const float *)x->data, x->batch_stride,
                   (float *)y->data, y->batch_stride, a.n);
}

} // namespace rnnrt_cuda
