/* Masks: bool tensors whose True steps count, made, joined and applied (src_c/ops/masks.c); cast (src_c/ops/move.c). */
#include "elements.cuh"

namespace rnnrt_cuda {

/* ---- numbers of every type, by way of float64, which holds all but the largest int64 ---- */
/* Half floats: `mant` bits behind the point, exponents biased by `bias`; rounded once, to nearest even. */
enum { F16_MANT = 10, F16_BIAS = 15, BF16_MANT = 7, BF16_BIAS = 127 };

__device__ static inline double half_load(uint16_t bits, int mant, int bias)
{
    const int field = (bits & 0x7fff) >> mant, m = bits & ((1 << mant) - 1);
    double a;
    if (field == 2 * bias + 1)
        a = m ? (double)NAN : (double)INFINITY;
    else
        a = field ? ldexp((double)((1 << mant) + m), field - bias - mant) : ldexp((double)m, 1 - bias - mant);
    return bits & 0x8000 ? -a : a;
}

__device__ static inline uint16_t half_store(double v, int mant, int bias)
{
    const int sign = __double_as_longlong(v) < 0 ? 0x8000 : 0, infinity = (2 * bias + 1) << mant;
    if (v != v)
        return (uint16_t)(sign | infinity | 1 << (mant - 1));
    if (v == (double)INFINITY || v == -(double)INFINITY)
        return (uint16_t)(sign | infinity);
    int e, bits;
    const double m = frexp(fabs(v), &e); /* m in [1/2, 1), or 0 */
    const int field = m == 0.0 ? 0 : e - 1 + bias;
    if (field < 1) /* subnormal; a carry gives the smallest normal number */
        bits = (int)rint(ldexp(fabs(v), mant + bias - 1));
    else
        bits = field > 2 * bias ? infinity : ((field - 1) << mant) + (int)rint(ldexp(m, mant + 1));
    return (uint16_t)(sign | (bits < infinity ? bits : infinity));
}

__device__ static inline double number_at(int32_t dtype, const void *x, int64_t i)
{
    switch (dtype) {
    case RNNRT_F32: return ((const float *)x)[i];
    case RNNRT_F64: return ((const double *)x)[i];
    case RNNRT_F16: return half_load(((const uint16_t *)x)[i], F16_MANT, F16_BIAS);
    case RNNRT_BF16: return half_load(((const uint16_t *)x)[i], BF16_MANT, BF16_BIAS);
    case RNNRT_I32: return ((const int32_t *)x)[i];
    case RNNRT_I64: return (double)((const int64_t *)x)[i];
    default: return ((const uint8_t *)x)[i];
    }
}

/* into whole numbers: what does not fit is cut, NaN is 0 */
__device__ static inline void put_number(int32_t dtype, void *y, int64_t i, double v)
{
    switch (dtype) {
    case RNNRT_F32: ((float *)y)[i] = (float)v; break;
    case RNNRT_F64: ((double *)y)[i] = v; break;
    case RNNRT_F16: ((uint16_t *)y)[i] = half_store(v, F16_MANT, F16_BIAS); break;
    case RNNRT_BF16: ((uint16_t *)y)[i] = half_store(v, BF16_MANT, BF16_BIAS); break;
    case RNNRT_I32:
        ((int32_t *)y)[i] = v != v ? 0 : v <= -2147483648.0 ? INT32_MIN : v >= 2147483647.0 ? INT32_MAX : (int32_t)v;
        break;
    case RNNRT_I64:
        ((int64_t *)y)[i] = v != v ? 0 : v <= -9.2e18 ? INT64_MIN : v >= 9.2e18 ? INT64_MAX : (int64_t)v;
        break;
    default: ((uint8_t *)y)[i] = v != 0;
    }
}

/* ---- not_equal ---- */
__global__ void differs(int32_t dtype, double value, span s, line<const void> x, line<uint8_t> y)
{
    EACH_ELEMENT(s, b, i) y.data[b * y.stride + i] = number_at(dtype, x.data, b * x.stride + i) != value;
}

int32_t run_NOT_EQUAL(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const double value = x->dtype == RNNRT_F32 ? (double)(float)op->real[0] : op->real[0];
    const span s = span_of(x, y);
    return launch_items(run, s.rows * s.n, differs, x->dtype, value, s, line_of<const void>(x), line_of<uint8_t>(y));
}

/* ---- cast ---- */
__global__ void cast_elements(int32_t from, int32_t to, span s, line<const void> x, line<void> y)
{
    EACH_ELEMENT(s, b, i) put_number(to, y.data, b * y.stride + i, number_at(from, x.data, b * x.stride + i));
}

int32_t run_CAST(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const span s = span_of(x, y);
    return launch_items(run, s.rows * s.n, cast_elements, x->dtype, y->dtype, s, line_of<const void>(x), line_of<void>(y));
}

/* ---- masking, reduce_mask: the last axis goes ---- */
template <class T> __global__ void any_differs(span s, int64_t features, T value, line<const T> x, line<uint8_t> y)
{
    EACH_ELEMENT(s, b, i)
    {
        const T *row = x.data + b * x.stride + i * features;
        uint8_t any = 0;
        UNROLL_BY(1)
        for (int64_t k = 0; k < features; k++)
            any |= row[k] != value;
        y.data[b * y.stride + i] = any;
    }
}

static span without_last(const rnnrt_view *x, const rnnrt_view *y, int64_t features)
{
    span s = span_of(x, y);
    s.n /= features;
    return s;
}

template <class T> static int32_t masking(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const span s = without_last(x, y, op->attr[0]);
    return launch_items(run, s.rows * s.n, any_differs<T>, s, op->attr[0], (T)op->real[0], line_of<const T>(x), line_of<uint8_t>(y));
}

int32_t run_MASKING(const op_run &run, const rnnrt_op *op)
{
    return rnnrt_in(&run, op, 0)->dtype == RNNRT_F64 ? masking<double>(run, op) : masking<float>(run, op);
}

__global__ void count_true(span s, int64_t n, int all, line<const uint8_t> x, line<uint8_t> y)
{
    EACH_ELEMENT(s, b, i)
    {
        const uint8_t *row = x.data + b * x.stride + i * n;
        int64_t ones = 0;
        UNROLL_BY(1)
        for (int64_t k = 0; k < n; k++)
            ones += row[k] != 0;
        y.data[b * y.stride + i] = all ? ones == n : ones > 0;
    }
}

int32_t run_REDUCE_MASK(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const span s = without_last(x, y, op->attr[0]);
    return launch_items(run, s.rows * s.n, count_true, s, op->attr[0], (int)(op->attr[1] != 0), line_of<const uint8_t>(x),
                        line_of<uint8_t>(y));
}

/* ---- apply_mask: each element of the mask stands for `each` of x's ---- */
template <class T>
__global__ void apply_mask(span s, int64_t each, int multiply, T value, line<const T> x, line<const uint8_t> m, line<T> y)
{
    EACH_ELEMENT(s, b, i)
    {
        const T v = x.data[b * x.stride + i];
        y.data[b * y.stride + i] = m.data[b * m.stride + i / each] ? v : multiply ? v * (T)0 : value;
    }
}

template <class T> static int32_t apply_as(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *m = rnnrt_in(&run, op, 1), *y = rnnrt_out(&run, op, 0);
    const int64_t each = x->steps * x->width / (m->steps * m->width);
    const span s = {x->batch, x->steps * x->width};
    return launch_items(run, s.rows * s.n, apply_mask<T>, s, each, (int)(op->attr[0] != 0), (T)op->real[0], line_of<const T>(x),
                        line_of<const uint8_t>(m), line_of<T>(y));
}

int32_t run_APPLY_MASK(const op_run &run, const rnnrt_op *op)
{
    return rnnrt_in(&run, op, 0)->dtype == RNNRT_F64 ? apply_as<double>(run, op) : apply_as<float>(run, op);
}

/* ---- logical_and, logical_or ---- */
__global__ void join_masks(span s, int both, line<const uint8_t> a, line<const uint8_t> b_, line<uint8_t> y)
{
    EACH_ELEMENT(s, b, i)
    {
        const int p = a.data[b * a.stride + i] != 0, q = b_.data[b * b_.stride + i] != 0;
        y.data[b * y.stride + i] = both ? p & q : p | q;
    }
}

static int32_t logical(const op_run &run, const rnnrt_op *op, int both)
{
    const rnnrt_view *y = rnnrt_out(&run, op, 0);
    const span s = {y->batch, y->steps * y->width};
    int32_t rc = RNNRT_OK;
    for (int64_t k = 1; !rc && k < op->desc->n_in; k++)
        rc = launch_items(run, s.rows * s.n, join_masks, s, both,
                          line_of<const uint8_t>(k == 1 ? rnnrt_in(&run, op, 0) : y),
                          line_of<const uint8_t>(rnnrt_in(&run, op, (int)k)), line_of<uint8_t>(y));
    return rc;
}

int32_t run_LOGICAL_AND(const op_run &run, const rnnrt_op *op) { return logical(run, op, 1); }
int32_t run_LOGICAL_OR(const op_run &run, const rnnrt_op *op) { return logical(run, op, 0); }

} // namespace rnnrt_cuda
