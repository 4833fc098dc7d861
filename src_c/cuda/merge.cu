/* Arithmetic and comparisons of tensors with broadcasting, and the choice between two (src_c/ops/merge.c). */
#include "elements.cuh"
#include "nests.cuh"

namespace rnnrt_cuda {

enum function { ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM, POWER, EQUAL, NOT_EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL };

/* Integers wrap around, as TensorFlow's do. */
template <class T> struct wrapping { typedef T type; };
template <> struct wrapping<int32_t> { typedef uint32_t type; };
template <> struct wrapping<int64_t> { typedef uint64_t type; };

__device__ static inline float power(float a, float b) { return powf(a, b); }
__device__ static inline double power(double a, double b) { return pow(a, b); }
template <class T> __device__ static inline T power(T a, T) { return a; } /* of floats only: checked */

/* NaN of either side goes through, as in TensorFlow */
template <class R, class T> __device__ static inline R join(function f, T a, T b)
{
    typedef typename wrapping<T>::type W;
    switch (f) {
    case ADD: return (R)(T)((W)a + (W)b);
    case SUBTRACT: return (R)(T)((W)a - (W)b);
    case MULTIPLY: return (R)(T)((W)a * (W)b);
    case DIVIDE: return (R)(a / b);
    case MAXIMUM: return (R)(a > b || a != a ? a : b);
    case MINIMUM: return (R)(a < b || a != a ? a : b);
    case POWER: return (R)power(a, b);
    case EQUAL: return (R)(a == b);
    case NOT_EQUAL: return (R)(a != b);
    case GREATER: return (R)(a > b);
    case GREATER_EQUAL: return (R)(a >= b);
    case LESS: return (R)(a < b);
    default: return (R)(a <= b);
    }
}

/* y may be a */
template <class T, class R> __global__ void join_places(function f, rnnrt_nest nest, int64_t n, R *y, const T *a, const T *b)
{
    EACH_ITEM(n, i)
    {
        int64_t at[3];
        nest_at(nest, i, at);
        y[at[0]] = join<R, T>(f, a[at[1]], b[at[2]]);
    }
}

template <class T, class R> struct with_constant {
    function f;
    T value;
    int left;
    __device__ R operator()(T x, int64_t) const { return left ? join<R, T>(f, value, x) : join<R, T>(f, x, value); }
};

template <class T, class R> static int32_t pair_as(const op_run &run, const rnnrt_op *op, function f, int64_t a, int64_t b)
{
    const rnnrt_view *y = rnnrt_out(&run, op, 0);
    rnnrt_nest nest = {};
    nest.operands = 3;
    nest.rank = rnnrt_lengths(&run, op->out[0], nest.dim);
    rnnrt_strides(y, nest.rank, nest.dim, nest.stride[0]);
    operand_strides(run, a, nest.rank, nest.dim, nest.stride[1]);
    operand_strides(run, b, nest.rank, nest.dim, nest.stride[2]);
    const int64_t n = nest_places(nest);
    if (n < 1)
        return RNNRT_OK;
    rnnrt_nest_collapse(&nest);
    return launch_items(run, n, join_places<T, R>, f, nest, n, (R *)y->data, (const T *)run.views[a].data,
                        (const T *)run.views[b].data);
}

template <class T> static T constant_as(double v)
{
    return (T)v;
}
/* as the host brings a number into an integer: NaN is 0, what is too large is cut */
static int64_t whole(double v) { return (int64_t)(v != v ? 0 : v < -9.2e18 ? -9.2e18 : v > 9.2e18 ? 9.2e18 : v); }
template <> int32_t constant_as<int32_t>(double v) { return (int32_t)(uint32_t)whole(v); }
template <> int64_t constant_as<int64_t>(double v) { return whole(v); }
template <> uint8_t constant_as<uint8_t>(double v) { return v != 0; }

/* y = f(x, constant), or the other way round; x may be y itself */
template <class T, class R>
static int32_t constant_pair(const op_run &run, const rnnrt_op *op, function f, int64_t tensor, double value, int left)
{
    const rnnrt_view *x = &run.views[tensor], *y = rnnrt_out(&run, op, 0);
    const span s = span_of(x, y);
    return launch_items(run, s.rows * s.n, map_elements<with_constant<T, R>, T, R>, with_constant<T, R>{f, constant_as<T>(value), left},
                        s, line_of<const T>(x), line_of<R>(y));
}

template <class T, class R> static int32_t run_as(const op_run &run, const rnnrt_op *op, function f)
{
    if (op->attr[0])
        return constant_pair<T, R>(run, op, f, op->in[0], op->real[0], op->attr[0] == 1);
    int32_t rc = pair_as<T, R>(run, op, f, op->in[0], op->in[1]);
    for (int64_t k = 2; !rc && k < op->desc->n_in; k++) /* comparisons have two operands: R is T here */
        rc = pair_as<T, R>(run, op, f, op->out[0], op->in[k]);
    return rc;
}

static int32_t run_function(const op_run &run, const rnnrt_op *op, function f)
{
    const int32_t dtype = rnnrt_in(&run, op, 0)->dtype;
    if (f >= EQUAL)
        switch (dtype) {
        case RNNRT_F32: return run_as<float, uint8_t>(run, op, f);
        case RNNRT_F64: return run_as<double, uint8_t>(run, op, f);
        case RNNRT_I32: return run_as<int32_t, uint8_t>(run, op, f);
        case RNNRT_I64: return run_as<int64_t, uint8_t>(run, op, f);
        default: return run_as<uint8_t, uint8_t>(run, op, f);
        }
    switch (dtype) {
    case RNNRT_F32: return run_as<float, float>(run, op, f);
    case RNNRT_F64: return run_as<double, double>(run, op, f);
    case RNNRT_I32: return run_as<int32_t, int32_t>(run, op, f);
    case RNNRT_I64: return run_as<int64_t, int64_t>(run, op, f);
    default: return run_as<uint8_t, uint8_t>(run, op, f);
    }
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
    return rnnrt_out(&run, op, 0)->dtype == RNNRT_F64 ? constant_pair<double, double>(run, op, DIVIDE, last, (double)n, 0)
                                                     : constant_pair<float, float>(run, op, DIVIDE, last, (double)n, 0);
}

/* ---- where ---- */
template <class T> __global__ void choose_places(rnnrt_nest nest, int64_t n, T *y, const uint8_t *c, const T *a, const T *b)
{
    EACH_ITEM(n, i)
    {
        int64_t at[4];
        nest_at(nest, i, at);
        y[at[0]] = c[at[1]] ? a[at[2]] : b[at[3]];
    }
}

template <class T> static int32_t choose_as(const op_run &run, const rnnrt_op *op, const rnnrt_nest &nest)
{
    const int64_t n = nest_places(nest);
    return launch_items(run, n, choose_places<T>, nest, n, (T *)rnnrt_out(&run, op, 0)->data,
                        (const uint8_t *)rnnrt_in(&run, op, 0)->data, (const T *)rnnrt_in(&run, op, 1)->data,
                        (const T *)rnnrt_in(&run, op, 2)->data);
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
    if (nest_places(nest) < 1)
        return RNNRT_OK;
    rnnrt_nest_collapse(&nest);
    switch (rnnrt_dtype_size(y->dtype)) {
    case 8: return choose_as<uint64_t>(run, op, nest);
    case 4: return choose_as<uint32_t>(run, op, nest);
    case 2: return choose_as<uint16_t>(run, op, nest);
    default: return choose_as<uint8_t>(run, op, nest);
    }
}

} // namespace rnnrt_cuda
