/* Ops that treat elements or rows one by one: how a kernel finds its element in views of the host. */
#ifndef RNNRT_CUDA_ELEMENTS_CUH
#define RNNRT_CUDA_ELEMENTS_CUH

#include "device.cuh"
#include "plugin.cuh"

namespace rnnrt_cuda {

/* Batch rows of n elements that lie together; one row where everything does. */
struct span {
    int64_t rows, n;
};

static inline int dense_view(const rnnrt_view *v) { return v->batch_stride == v->steps * v->width; }

/* Two views with as many elements in a row as each other. */
static inline span span_of(const rnnrt_view *x, const rnnrt_view *y)
{
    const int64_t n = x->steps * x->width;
    if (dense_view(x) && dense_view(y))
        return {1, x->batch * n};
    return {x->batch, n};
}

/* A view as a kernel gets it. */
template <class T> struct line {
    T *data;
    int64_t stride;              /* elements from one batch row to the next */
};

template <class T> static inline line<T> line_of(const rnnrt_view *v) { return {(T *)v->data, v->batch_stride}; }

/* One item of a tensor as T, the type in which a kernel computes: float, double, or int64 for whole numbers of every
 * width and truths. One kernel for all of them keeps the library small. */
template <class T> __device__ static inline T item_load(int32_t, const void *p, int64_t i) { return ((const T *)p)[i]; }
template <> __device__ inline int64_t item_load<int64_t>(int32_t dtype, const void *p, int64_t i)
{
    return dtype == RNNRT_I64 ? ((const int64_t *)p)[i] : dtype == RNNRT_I32 ? ((const int32_t *)p)[i] : ((const uint8_t *)p)[i];
}
/* results of comparisons are truths whatever was compared; numbers wrap around */
template <class T> __device__ static inline void item_store(int32_t dtype, void *p, int64_t i, T v)
{
    if (dtype == RNNRT_BOOL)
        ((uint8_t *)p)[i] = (uint8_t)v;
    else
        ((T *)p)[i] = v;
}
template <> __device__ inline void item_store<int64_t>(int32_t dtype, void *p, int64_t i, int64_t v)
{
    if (dtype == RNNRT_I64)
        ((int64_t *)p)[i] = v;
    else if (dtype == RNNRT_I32)
        ((uint32_t *)p)[i] = (uint32_t)v;
    else
        ((uint8_t *)p)[i] = (uint8_t)v;
}

/* y[to] = x[from], items of 1, 2, 4 or 8 bytes */
__device__ static inline void copy_item(int item, void *y, int64_t to, const void *x, int64_t from)
{
    switch (item) {
    case 8: ((uint64_t *)y)[to] = ((const uint64_t *)x)[from]; break;
    case 4: ((uint32_t *)y)[to] = ((const uint32_t *)x)[from]; break;
    case 2: ((uint16_t *)y)[to] = ((const uint16_t *)x)[from]; break;
    default: ((uint8_t *)y)[to] = ((const uint8_t *)x)[from];
    }
}

/* for each element: row b, place i; not unrolled, since these loops wait for memory and the library is kept small */
#define EACH_ELEMENT(s, b, i)                                                                                              \
    UNROLL_BY(1)                                                                                                           \
    for (int64_t at_ = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, b = 0, i = 0;                                       \
         at_ < (s).rows * (s).n && (b = (s).rows == 1 ? 0 : at_ / (s).n, i = at_ - b * (s).n, true);                       \
         at_ += (int64_t)gridDim.x * blockDim.x)

/* for each of n items */
#define EACH_ITEM(n, i)                                                                                                    \
    UNROLL_BY(1)                                                                                                           \
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < (n); i += (int64_t)gridDim.x * blockDim.x)

/* y[b][i] = f(x[b][i], i): F is a struct of constants with an operator() */
template <class F, class X, class Y> __global__ void map_elements(F f, span s, line<const X> x, line<Y> y)
{
    EACH_ELEMENT(s, b, i) y.data[b * y.stride + i] = f(x.data[b * x.stride + i], i);
}

/* The host's view of x is walked row by row where y or x has gaps; `whole` functions of i see places within a row. */
template <class X, class Y, class F> static inline int32_t map(const op_run &run, const rnnrt_op *op, F f, bool by_place = false)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    span s = span_of(x, y);
    if (by_place && s.rows == 1 && x->batch > 1)
        s = {x->batch, x->steps * x->width};
    return launch_items(run, s.rows * s.n, map_elements<F, X, Y>, f, s, line_of<const X>(x), line_of<Y>(y));
}

} // namespace rnnrt_cuda

#endif
