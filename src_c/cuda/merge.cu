/* Arithmetic and comparisons of tensors with broadcasting, and the choice between two (src_c/ops/merge.c). */
#include "elements.cuh"
#include "nests.cuh"

#include <string.h>

namespace rnnrt_cuda {

enum function { ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM, POWER, EQUAL, NOT_EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL };

/* of floats only, as POWER is: checked */
__device__ static inline float divide(float a, float b) { return a / b; }
__device__ static inline double divide(double a, double b) { return a / b; }
__device__ static inline int64_t divide(int64_t a, int64_t) { return a; }
__device__ static inline float power(float a, float b) { return powf(a, b); }
__device__ static inline double power(double a, double b) { return pow(a, b); }
__device__ static inline int64_t power(int64_t a, int64_t) { return a; }

/* Integers wrap around, as TensorFlow's do. */
template <class T> struct wrapping { typedef T type; };
template <> struct wrapping<int64_t> { typedef uint64_t type; };

/* NaN of either side goes through, as in TensorFlow */
template <class T> __device__ static inline T join(function f, T a, T b)
{
    typedef typename wrapping<T>::type W;
    switch (f) {
    case ADD: return (T)((W)a + (W)b);
    case SUBTRACT: return (T)((W)a - (W)b);
    case MULTIPLY: return (T)((W)a * (W)b);
    case DIVIDE: return divide(a, b);
    case MAXIMUM: return a > b || a != a ? a : b;
    case MINIMUM: return a < b || a != a ? a : b;
    case POWER: return power(a, b);
    case EQUAL: return (T)(a == b);
    case NOT_EQUAL: return (T)(a != b);
    case GREATER: return (T)(a > b);
    case GREATER_EQUAL: return (T)(a >= b);
    case LESS: return (T)(a < b);
    default: return (T)(a <= b);
    }
}

struct operand {
    const void *data;            /* NULL: a constant */
    int32_t dtype;
};

/* y may be a or b */
template <class T>
__global__ void join_places(function f, rnnrt_nest nest, int64_t n, void *y, int32_t y_dtype, operand a, operand b, T constant)
{
    EACH_ITEM(n, i)
    {
        int64_t at[3];
        nest_at(nest, i, at);
        const T left = a.data ? item_load<T>(a.dtype, a.data, at[1]) : constant;
        const T right = b.data ? item_load<T>(b.dtype, b.data, at[2]) : constant;
        item_store<T>(y_dtype, y, at[0], join(f, left, right));
    }
}

/* as the host brings a number into an integer: NaN is 0, what is too large is cut; then as wide as the tensor is */
static int64_t whole(int32_t dtype, double v)
{
    const int64_t n = (int64_t)(v != v ? 0 : v < -9.2e18 ? -9.2e18 : v > 9.2e18 ? 9.2e18 : v);
    return dtype == RNNRT_I64 ? n : dtype == RNNRT_I32 ? (int32_t)(uint32_t)n : v != 0;
}

/* y = f(a, b); a tensor below zero is the constant */
static int32_t pair(const op_run &run, const rnnrt_op *op, function f, int64_t a, int64_t b, double constant)
{
    const rnnrt_view *y = rnnrt_out(&run, op, 0);
    const int32_t dtype = run.views[a < 0 ? b : a].dtype;
    const int64_t tensor[2] = {a, b};
    operand side[2] = {};
    rnnrt_nest nest = {};
    nest.operands = 3;
    nest.rank = rnnrt_lengths(&run, op->out[0], nest.dim);
    rnnrt_strides(y, nest.rank, nest.dim, nest.stride[0]);
    for (int k = 0; k < 2; k++)
        if (tensor[k] >= 0) {
            operand_strides(run, tensor[k], nest.rank, nest.dim, nest.stride[k + 1]);
            side[k] = {run.views[tensor[k]].data, dtype};
        } else { /* its place is not read: the strides of y let the axes be joined */
            memcpy(nest.stride[k + 1], nest.stride[0], sizeof nest.stride[0]);
        }
    const int64_t n = nest_places(nest);
    if (n < 1)
        return RNNRT_OK;
    rnnrt_nest_collapse(&nest);
    if (dtype == RNNRT_F32)
        return launch_items(run, n, join_places<float>, f, nest, n, (void *)y->data, y->dtype, side[0], side[1], (float)constant);
    if (dtype == RNNRT_F64)
        return launch_items(run, n, join_places<double>, f, nest, n, (void *)y->data, y->dtype, side[0], side[1], constant);
    return launch_items(run, n, join_places<int64_t>, f, nest, n, (void *)y->data, y->dtype, side[0], side[1], whole(dtype, constant));
}

static int32_t run_function(const op_run &run, const rnnrt_op *op, function f)
{
    if (op->attr[0])
        return op->attr[0] == 1 ? pair(run, op, f, -1, op->in[0], op->real[0]) : pair(run, op, f, op->in[0], -1, op->real[0]);
    int32_t rc = pair(run, op, f, op->in[0], op->in[1], 0);
    for (int64_t k = 2; !rc && k < op->desc->n_in; k++) /* comparisons have two operands */
        rc = pair(run, op, f, op->out[0], op->in[k], 0);
    return rc;
}

int32_t run_ADD(const op_run &run, const rnnrt_op *op) { return run_function(run, op, ADD); }
int32_t run_SUBTRACT(const op_run &run, const rnnrt_op *op) { return run_function(run, op, SUBTRACT); }
int32_t run_MULTIPLY(const op_run &run, const rnnrt_op *op) { return run_function(run, op, MULTIPLY); }
int32_t run_DIVIDE(const op_run &run, const rnnrt_op *op) { return run_function(run, op, DIVIDE); }
int32_t run_MAXIMUM(const op_run &run, const rnnrt_op *op) { return run_function(run, op, MAXIMUM); }
int32_t run_MINIMUM(const op_run &run, const rnnrt_op *op) { return run_function(run, op, MINIMUM); }
int32_t run_POWER(const op_run &run, const rnnrt_op *op) { return run_function(run, op, POWER); }
int32_t run_COMPARE(const op_run &run, const rnnrt_op *op) { return run_function(run, op, (function)(EQUAL + op->attr[1])); }

int32_t run_AVERAGE(const op_run &run, const rnnrt_op *op)
{
    const int64_t n = op->desc->n_in, last = n > 1 ? op->out[0] : op->in[0];
    const int32_t rc = n > 1 ? run_function(run, op, ADD) : RNNRT_OK;
    if (rc)
        return rc;
    return pair(run, op, DIVIDE, last, -1, (double)n);
}

/* ---- where ---- */
__global__ void choose_places(rnnrt_nest nest, int64_t n, int item, void *y, const uint8_t *c, const void *a, const void *b)
{
    EACH_ITEM(n, i)
    {
        int64_t at[4];
        nest_at(nest, i, at);
        const bool left = c[at[1]];
        copy_item(item, y, at[0], left ? a : b, left ? at[2] : at[3]);
    }
}

int32_t run_WHERE(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *y = rnnrt_out(&run, op, 0);
    rnnrt_nest nest = {};
    nest.operands = 4;
    nest.rank = rnnrt_lengths(&run, op->out[0], nest.dim);
    rnnrt_strides(y, nest.rank, nest.dim, nest.stride[0]);
    for (int k = 0; k < 3; k++)
        operand_strides(run, op->in[k], nest.rank, nest.dim, nest.stride[k + 1]);
    const int64_t n = nest_places(nest);
    if (n < 1)
        return RNNRT_OK;
    rnnrt_nest_collapse(&nest);
    return launch_items(run, n, choose_places, nest, n, (int)rnnrt_dtype_size(y->dtype), (void *)y->data,
                        (const uint8_t *)rnnrt_in(&run, op, 0)->data, (const void *)rnnrt_in(&run, op, 1)->data,
                        (const void *)rnnrt_in(&run, op, 2)->data);
}

} // namespace rnnrt_cuda
