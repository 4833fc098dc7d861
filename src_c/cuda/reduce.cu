/* Sums, means, products and extremes over neighbouring axes (src_c/ops/functions.c). Where the axes are the last ones, a
 * warp for each result; else a thread for each, whose neighbours read what lies beside. */
#include "blocks.cuh"
#include "elements.cuh"

extern "C" {
#include "../ops/nest.h"
}

namespace rnnrt_cuda {

enum function { SUM, MEAN, MAX, MIN, PROD };

/* int64: whole numbers of any width, which wrap around where they are stored. NaN goes through an extreme */
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

template <class T> __global__ void fold_columns(function f, shape s, int32_t dtype, const void *x, void *y)
{
    EACH_ITEM(s.batch * s.outer * s.inner, i)
    {
        const int64_t in = i % s.inner, o = i / s.inner % s.outer, b = i / s.inner / s.outer;
        const int64_t from = b * s.x_stride + o * s.n * s.inner + in;
        T v = item_load<T>(dtype, x, from);
        UNROLL_BY(1)
        for (int64_t k = 1; k < s.n; k++)
            v = fold(f, v, item_load<T>(dtype, x, from + k * s.inner));
        item_store<T>(dtype, y, b * s.y_stride + o * s.inner + in, f == MEAN ? v / (T)s.n : v);
    }
}

template <class T> __global__ void fold_rows(function f, shape s, int32_t dtype, const void *x, void *y)
{
    for (int64_t i = blockIdx.x; i < s.batch * s.outer; i += gridDim.x) {
        const int64_t o = i % s.outer, b = i / s.outer;
        const int64_t from = b * s.x_stride + o * s.n;
        T v = item_load<T>(dtype, x, from + (threadIdx.x < s.n ? threadIdx.x : 0));
        UNROLL_BY(1)
        for (int64_t k = threadIdx.x + 32; k < s.n; k += 32)
            v = fold(f, v, item_load<T>(dtype, x, from + k));
        /* lanes beyond n have no value of their own to bring */
        UNROLL_BY(1)
        for (int by = 16; by; by /= 2) {
            const T other = __shfl_down_sync(rnnrt::ALL_LANES, v, by);
            if (threadIdx.x + by < s.n && (int)threadIdx.x < by)
                v = fold(f, v, other);
        }
        if (threadIdx.x == 0)
            item_store<T>(dtype, y, b * s.y_stride + o, f == MEAN ? v / (T)s.n : v);
    }
}

template <class T> static int32_t reduce_as(const op_run &run, const rnnrt_op *op, const shape &s)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const function f = (function)op->attr[0];
    if (s.inner == 1 && s.n >= 8)
        return launch_rows(run, s.batch * s.outer, 32, fold_rows<T>, f, s, x->dtype, (const void *)x->data, (void *)y->data);
    return launch_items(run, s.batch * s.outer * s.inner, fold_columns<T>, f, s, x->dtype, (const void *)x->data, (void *)y->data);
}

int32_t run_REDUCE(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], first = op->attr[1], last = first + op->attr[2];
    const int rank = rnnrt_lengths(&run, op->in[0], dim);
    shape s = {x->batch, 1, 1, 1, x->batch_stride, y->batch_stride};
    for (int64_t k = 1; k < rank; k++)
        *(k < first ? &s.outer : k < last ? &s.n : &s.inner) *= dim[k];
    return x->dtype == RNNRT_F32 ? reduce_as<float>(run, op, s)
         : x->dtype == RNNRT_F64 ? reduce_as<double>(run, op, s) : reduce_as<int64_t>(run, op, s);
}

} // namespace rnnrt_cuda
