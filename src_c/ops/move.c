/* Ops that move values without computing: repeat_vector, cast, copy. Reshape and flatten are aliases in the plan.
 *
 * repeat_vector: in = x (batch, features); out = y (batch, n, features); attr = n. */
#include <math.h>
#include <string.h>

#include "op.h"

static int32_t one_to_one(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    (void)v;
    if (op->desc->n_in != 1 || op->desc->n_out != 1)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    return RNNRT_OK;
}

/* ---- repeat_vector ---- */
static int32_t repeat_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    int32_t rc = one_to_one(v, op, err);
    if (rc)
        return rc;
    const rnnrt_plan_tensor *x = &v->plan->tensors[op->in[0]], *y = &v->plan->tensors[op->out[0]];
    const rnnrt_plan_dim *n = &v->plan->dims[y->dims[1]];
    if (op->desc->n_attr != 1 || op->attr[0] < 1 || x->rank != 2 || y->rank != 3 || x->dtype != y->dtype || v->plan->regions[op->desc->region].time_dim >= 0
        || y->storage != RNNRT_STORE_WHOLE || n->kind != RNNRT_DIM_CONST || n->m != op->attr[0]
        || x->dims[1] != y->dims[2])
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    return RNNRT_OK;
}

static int32_t repeat_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t item = rnnrt_dtype_size(x->dtype), bytes = x->steps * x->width * item;
    for (int64_t b = 0; b < x->batch; b++)
        for (int64_t i = 0; i < op->attr[0]; i++)
            memcpy(y->data + b * y->batch_stride * item + i * bytes, x->data + b * x->batch_stride * item, (size_t)bytes);
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_repeat_vector = {"repeat_vector", repeat_check, NULL, NULL, NULL, NULL, repeat_run, 0};

/* ---- copy ---- */
static int32_t copy_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    int32_t rc = one_to_one(v, op, err);
    if (!rc && v->plan->tensors[op->in[0]].dtype != v->plan->tensors[op->out[0]].dtype)
        rc = rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    return rc;
}

/* both sides hold the same number of elements in the same order */
static int32_t same_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *t[2] = {&s->plan->tensors[op->in[0]], &s->plan->tensors[op->out[0]]};
    int64_t n[2] = {1, 1};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < t[k]->rank; i++)
            n[k] *= s->dims[t[k]->dims[i]];
    *scratch = 0;
    *cost = n[0] / 8;
    return n[0] == n[1] ? RNNRT_OK : rnnrt_fail(err, RNNRT_ESHAPE, op->index, n[1], n[0]);
}

static int32_t copy_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t item = rnnrt_dtype_size(x->dtype), bytes = x->steps * x->width * item;
    for (int64_t b = 0; b < x->batch; b++)
        memcpy(y->data + b * y->batch_stride * item, x->data + b * x->batch_stride * item, (size_t)bytes);
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_copy = {"copy", copy_check, NULL, NULL, same_size, NULL, copy_run, 0};

/* ---- cast ---- */
/* Half floats: `mant` bits behind the point, exponents biased by `bias`; rounded once, to nearest even. */
enum { F16_MANT = 10, F16_BIAS = 15, BF16_MANT = 7, BF16_BIAS = 127 };

static double half_load(uint16_t bits, int mant, int bias)
{
    int field = (bits & 0x7fff) >> mant, m = bits & ((1 << mant) - 1);
    double a;
    if (field == 2 * bias + 1)
        a = m ? NAN : INFINITY;
    else
        a = field ? ldexp((1 << mant) + m, field - bias - mant) : ldexp(m, 1 - bias - mant);
    return bits & 0x8000 ? -a : a;
}

static uint16_t half_store(double v, int mant, int bias)
{
    int sign = signbit(v) ? 0x8000 : 0, infinity = (2 * bias + 1) << mant, e;
    if (v != v)
        return (uint16_t)(sign | infinity | 1 << (mant - 1));
    if (isinf(v))
        return (uint16_t)(sign | infinity);
    double m = frexp(fabs(v), &e); /* m in [1/2, 1), or 0 */
    int field = m == 0.0 ? 0 : e - 1 + bias, bits;
    if (field < 1) /* subnormal; a carry gives the smallest normal number */
        bits = (int)rint(ldexp(fabs(v), mant + bias - 1));
    else
        bits = field > 2 * bias ? infinity : ((field - 1) << mant) + (int)rint(ldexp(m, mant + 1));
    return (uint16_t)(sign | (bits < infinity ? bits : infinity));
}

static double load(const char *p, int64_t i, int32_t dtype)
{
    switch (dtype) {
    case RNNRT_F32: return (double)((const float *)p)[i];
    case RNNRT_F64: return ((const double *)p)[i];
    case RNNRT_F16: return half_load(((const uint16_t *)p)[i], F16_MANT, F16_BIAS);
    case RNNRT_BF16: return half_load(((const uint16_t *)p)[i], BF16_MANT, BF16_BIAS);
    case RNNRT_I32: return (double)((const int32_t *)p)[i];
    case RNNRT_I64: return (double)((const int64_t *)p)[i];
    default: return (double)((const uint8_t *)p)[i];
    }
}

static void store(char *p, int64_t i, int32_t dtype, double v)
{
    switch (dtype) {
    case RNNRT_F32: ((float *)p)[i] = (float)v; break;
    case RNNRT_F64: ((double *)p)[i] = v; break;
    case RNNRT_F16: ((uint16_t *)p)[i] = half_store(v, F16_MANT, F16_BIAS); break;
    case RNNRT_BF16: ((uint16_t *)p)[i] = half_store(v, BF16_MANT, BF16_BIAS); break;
    /* out-of-range conversions are undefined in C: clamp them, NaN to 0 */
    case RNNRT_I32: ((int32_t *)p)[i] = v != v ? 0 : v <= -2147483648.0 ? INT32_MIN : v >= 2147483647.0 ? INT32_MAX : (int32_t)v; break;
    case RNNRT_I64: ((int64_t *)p)[i] = v != v ? 0 : v <= -9.2e18 ? INT64_MIN : v >= 9.2e18 ? INT64_MAX : (int64_t)v; break;
    default: ((uint8_t *)p)[i] = v != 0;
    }
}

static int32_t cast_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    int32_t rc = one_to_one(v, op, err);
    for (int k = 0; !rc && k < 2; k++) {
        int64_t d = v->plan->tensors[k ? op->out[0] : op->in[0]].dtype;
        if (d == RNNRT_I8)
            rc = rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, d);
    }
    return rc;
}

static int32_t cast_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t ix = rnnrt_dtype_size(x->dtype), iy = rnnrt_dtype_size(y->dtype);
    for (int64_t b = 0; b < x->batch; b++)
        for (int64_t i = 0; i < x->steps * x->width; i++)
            store(y->data + b * y->batch_stride * iy, i, y->dtype, load(x->data + b * x->batch_stride * ix, i, x->dtype));
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_cast = {"cast", cast_check, NULL, NULL, same_size, NULL, cast_run, 0};
