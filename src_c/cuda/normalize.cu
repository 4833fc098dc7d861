/* Normalisation by statistics of the values themselves (src_c/ops/normalize.c): one block for each run or group. */
#include "blocks.cuh"
#include "rowwise.cuh"

extern "C" {
#include "../ops/axis_run.h"
}

namespace rnnrt_cuda {

/* The order of src_c/ops/normalize.c. */
enum { RULE_LAYER, RULE_VARIANCE, RULE_RMS, RULE_UNIT_K2, RULE_UNIT_K3 };

struct rule {
    int32_t kind;
    float epsilon;
    const float *gamma, *beta;   /* or NULL */
};

/* What x - mean is multiplied by. */
__device__ static inline float inverse(const rule &u, float squares, float n)
{
    if (u.kind == RULE_UNIT_K2)
        return 1.0f / sqrtf(squares > u.epsilon ? squares : squares != squares ? squares : u.epsilon);
    if (u.kind == RULE_UNIT_K3) {
        const float inv = 1.0f / sqrtf(squares), most = 1.0f / u.epsilon;
        return inv > most ? most : inv;
    }
    return 1.0f / sqrtf(squares / n + u.epsilon);
}

/* y may be x */
__global__ void normalize_runs(runs r, rule u, const float *x, int64_t x_stride, float *y, int64_t y_stride)
{
    for (int64_t i = blockIdx.x; i < r.batch * r.outer * r.inner; i += gridDim.x) {
        const int64_t in = i % r.inner, o = i / r.inner % r.outer, b = i / r.inner / r.outer;
        const float *from = x + b * x_stride + o * r.n * r.inner + in;
        float *to = y + b * y_stride + o * r.n * r.inner + in, mean = 0, squares = 0;
        if (u.kind == RULE_LAYER || u.kind == RULE_VARIANCE) {
            for (int64_t k = threadIdx.x; k < r.n; k += blockDim.x)
                mean += from[k * r.inner];
            mean = block_reduce(mean, plus()) / (float)r.n;
        }
        for (int64_t k = threadIdx.x; k < r.n; k += blockDim.x) {
            const float d = from[k * r.inner] - mean;
            squares = fmaf(d, d, squares);
        }
        const float inv = inverse(u, block_reduce(squares, plus()), (float)r.n);
        const float shift = u.kind == RULE_VARIANCE ? 0.0f : mean;
        for (int64_t k = threadIdx.x; k < r.n; k += blockDim.x) {
            const float v = (from[k * r.inner] - shift) * inv;
            to[k * r.inner] = u.gamma ? fmaf(v, u.gamma[k], u.beta[k]) : v;
        }
    }
}

static int32_t normalize(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const rnnrt_axes a = rnnrt_axes_of(&run, op, op->attr[0], op->attr[1]);
    rule u = {(int32_t)op->attr[2], (float)op->real[0], NULL, NULL};
    if (op->desc->n_weight && (op->weight[0] >= 0 || op->weight[1] >= 0)) { /* prepared: gamma | beta */
        u.gamma = (const float *)op->prepared;
        u.beta = (const float *)((const char *)op->prepared + rnnrt_round64(a.n * (int64_t)sizeof(float)));
    }
    const runs r = {x->batch, a.outer, a.inner, a.n};
    return launch_rows(run, r.batch * r.outer * r.inner, threads_for(r.n), normalize_runs, r, u, (const float *)x->data,
                       x->batch_stride, (float *)y->data, y->batch_stride);
}

int32_t run_LAYER_NORMALIZATION(const op_run &run, const rnnrt_op *op) { return normalize(run, op); }
int32_t run_UNIT_NORMALIZATION(const op_run &run, const rnnrt_op *op) { return normalize(run, op); }

/* ---- group_normalization: (outer, channels, inner), the channels in groups of n ---- */
struct groups {
    int64_t batch, outer, channels, inner, n;
    float epsilon;
    const float *gamma, *beta;
};

__global__ void normalize_groups(groups g, const float *x, int64_t x_stride, float *y, int64_t y_stride)
{
    const int64_t per_batch = g.channels / g.n, part = g.n * g.inner, count = g.outer * part;
    for (int64_t i = blockIdx.x; i < g.batch * per_batch; i += gridDim.x) {
        const int64_t b = i / per_batch, c0 = i % per_batch * g.n;
        const float *from = x + b * x_stride;
        float *to = y + b * y_stride, mean = 0, squares = 0;
        for (int64_t k = threadIdx.x; k < count; k += blockDim.x)
            mean += from[(k / part * g.channels + c0) * g.inner + k % part];
        mean = block_reduce(mean, plus()) / (float)count;
        for (int64_t k = threadIdx.x; k < count; k += blockDim.x) {
            const float d = from[(k / part * g.channels + c0) * g.inner + k % part] - mean;
            squares = fmaf(d, d, squares);
        }
        const float inv = 1.0f / sqrtf(block_reduce(squares, plus()) / (float)count + g.epsilon);
        for (int64_t k = threadIdx.x; k < count; k += blockDim.x) {
            const int64_t at = (k / part * g.channels + c0) * g.inner + k % part, c = c0 + k % part / g.inner;
            to[at] = fmaf((from[at] - mean) * inv, g.gamma[c], g.beta[c]);
        }
    }
}

int32_t run_GROUP_NORMALIZATION(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const rnnrt_axes a = rnnrt_axes_of(&run, op, op->attr[0], op->attr[0]);
    const float *gamma = (const float *)op->prepared;
    const groups g = {x->batch, a.outer, a.n, a.inner, a.n / op->attr[1], (float)op->real[0], gamma, gamma + a.n};
    return launch_rows(run, g.batch * op->attr[1], threads_for(g.outer * g.n * g.inner), normalize_groups, g,
                       (const float *)x->data, x->batch_stride, (float *)y->data, y->batch_stride);
}

} // namespace rnnrt_cuda
