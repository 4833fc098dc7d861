/* Sums, means, products and extremes over neighbouring axes (src_c/ops/functions.c). Where the axes are the last ones, a
 * warp for each result; else a thread for each, whose neighbours read what lies beside. */
#include "blocks.cuh"
#include "elements.cuh"

extern "C" {
#include "../ops/nest.h"
}

namespace rnnrt_cuda {

enum function { SUM, MEAN, MAX, MIN, PROD };

/* NaN goes through an extreme */
template <class T> __device__ static inline T fold(function f, T a, T b)
{
    switch (f) {
    case MAX: return a > b || a != a ? a : b;
    case MIN: return a < b || a != a ? a : b;
    case PROD: return a * b;
    default: return a + b;
    }
}

struct shape {
    int64_t batch, outer, n, inner, x_stride, y_stride;
};

template <class T> __global__ void fold_columns(function f, shape s, const T *x, T *y)
{
    EACH_ITEM(s.batch * s.outer * s.inner, i)
    {
        const int64_t in = i % s.inner, o = i / s.inner % s.outer, b = i / s.inner / s.outer;
        const T *from = x + b * s.x_stride + o * s.n * s.inner + in;
        T v = from[0];
        for (int64_t k = 1; k < s.n; k++)
            v = fold(f, v, from[k * s.inner]);
        y[b * s.y_stride + o * s.inner + in] = f == MEAN ? v / (T)s.n : v;
    }
}

template <class T> __global__ void fold_rows(function f, shape s, const T *x, T *y)
{
    for (int64_t i = blockIdx.x; i < s.batch * s.outer; i += gridDim.x) {
        const int64_t o = i % s.outer, b = i / s.outer;
        const T *from = x + b * s.x_stride + o * s.n;
        T v = from[threadIdx.x < s.n ? threadIdx.x : 0];
        for (int64_t k = threadIdx.x + 32; k < s.n; k += 32)
            v = fold(f, v, from[k]);
        /* lanes beyond n have no value of their own to bring */
        for (int by = 16; by; by /= 2) {
            const T other = __shfl_down_sync(rnnrt::ALL_LANES, v, by);
            if (threadIdx.x + by < s.n && (int)threadIdx.x < by)
                v = fold(f, v, other);
        }
        if (threadIdx.x == 0)
            y[b * s.y_stride + o] = f == MEAN ? v / (T)s.n : v;
    }
}

template <class T> static int32_t reduce_as(const op_run &run, const rnnrt_op *op, const shape &s)
{
    const T *x = (const T *)rnnrt_in(&run, op, 0)->data;
    T *y = (T *)rnnrt_out(&run, op, 0)->data;
    const function f = (function)op->attr[0];
    if constexpr (sizeof(T) >= 4)
        if (s.inner == 1 && s.n >= 8)
            return launch_rows(run, s.batch * s.outer, 32, fold_rows<T>, f, s, x, y);
    return launch_items(run, s.batch * s.outer * s.inner, fold_columns<T>, f, s, x, y);
}

int32_t run_REDUCE(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], first = op->attr[1], last = first + op->attr[2];
    const int rank = rnnrt_lengths(&run, op->in[0], dim);
    shape s = {x->batch, 1, 1, 1, x->batch_stride, y->batch_stride};
    for (int64_t k = 1; k < rank; k++)
        *(k < first ? &s.outer : k < last ? &s.n : &s.inner) *= dim[k];
    switch (x->dtype) {
    case RNNRT_F32: return reduce_as<float>(run, op, s);
    case RNNRT_F64: return reduce_as<double>(run, op, s);
    case RNNRT_I32: return reduce_as<int32_t>(run, op, s);
    case RNNRT_I64: return reduce_as<int64_t>(run, op, s);
    default: return reduce_as<uint8_t>(run, op, s);
    }
}

} // namespace rnnrt_cuda
