/* Functions of one tensor beside the activations; constants; sums and extremes over neighbouring axes.
 *
 * unary: in = x; out = y; attr = function.
 * fill_like: in = x; out = y of its shape; real = value.
 * reduce: in = x; out = y; attr = function, first axis, axes. */
#include <math.h>
#include <string.h>

#include "nest.h"

/* ---- unary ---- */
#define FUNCTIONS(X)                                                                                                   \
    X(ABS, fabsf, fabs)                                                                                                \
    X(LOG, logf, log)                                                                                                  \
    X(LOG1P, log1pf, log1p)                                                                                            \
    X(EXPM1, expm1f, expm1)                                                                                            \
    X(SQRT, sqrtf, sqrt)                                                                                               \
    X(RSQRT, 1.0f / sqrtf, 1.0 / sqrt)                                                                                 \
    X(SIN, sinf, sin)                                                                                                  \
    X(COS, cosf, cos)                                                                                                  \
    X(FLOOR, floorf, floor)                                                                                            \
    X(CEIL, ceilf, ceil)                                                                                               \
    X(ROUND, rintf, rint)                                                                                              \
    X(SIGN, sign_f32, sign_f64)                                                                                        \
    X(ERF, erff, erf)

static inline float sign_f32(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : x; }
static inline double sign_f64(double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : x; }

enum {
#define X(id, f32, f64) U_##id,
    FUNCTIONS(X)
#undef X
    U_COUNT
};

static int32_t pointwise_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    if (op->desc->n_in != 1 || op->desc->n_out != 1)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    const rnnrt_plan_tensor *x = &v->plan->tensors[op->in[0]], *y = &v->plan->tensors[op->out[0]];
    if (!rnnrt_nest_fits(v->plan, op, x->rank) || memcmp(x->dims, y->dims, (size_t)x->rank * sizeof *x->dims))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    return RNNRT_OK;
}

static int32_t unary_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    int32_t rc = pointwise_check(v, op, err);
    if (rc)
        return rc;
    const rnnrt_plan_tensor *x = &v->plan->tensors[op->in[0]], *y = &v->plan->tensors[op->out[0]];
    if (op->desc->n_attr != 1 || op->attr[0] < 0 || op->attr[0] >= U_COUNT || x->dtype != y->dtype
        || (x->dtype != RNNRT_F32 && x->dtype != RNNRT_F64))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, 0);
    return RNNRT_OK;
}

static int32_t pointwise_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    (void)err;
    *scratch = 0;
    *cost = rnnrt_elements(s, op->out[0]) + 20;
    return RNNRT_OK;
}

static void unary_f32(int64_t f, int64_t n, const float *x, float *y)
{
    switch (f) {
#define X(id, f32, f64)                                                                                                \
    case U_##id:                                                                                                       \
        for (int64_t i = 0; i < n; i++)                                                                                \
            y[i] = f32(x[i]);                                                                                          \
        break;
        FUNCTIONS(X)
#undef X
    default: break;
    }
}

static void unary_f64(int64_t f, int64_t n, const double *x, double *y)
{
    switch (f) {
#define X(id, f32, f64)                                                                                                \
    case U_##id:                                                                                                       \
        for (int64_t i = 0; i < n; i++)                                                                                \
            y[i] = f64(x[i]);                                                                                          \
        break;
        FUNCTIONS(X)
#undef X
    default: break;
    }
}

static int32_t unary_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t n = x->steps * x->width;
    for (int64_t b = 0; b < x->batch; b++)
        if (x->dtype == RNNRT_F32)
            unary_f32(op->attr[0], n, (const float *)x->data + b * x->batch_stride, (float *)y->data + b * y->batch_stride);
        else
            unary_f64(op->attr[0], n, (const double *)x->data + b * x->batch_stride, (double *)y->data + b * y->batch_stride);
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_unary = {"unary", unary_check, NULL, NULL, pointwise_size, NULL, unary_run, 0};

/* ---- fill_like ---- */
static int32_t fill_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    int32_t rc = pointwise_check(v, op, err);
    if (rc)
        return rc;
    int64_t d = v->plan->tensors[op->out[0]].dtype;
    int whole = d == RNNRT_I32 || d == RNNRT_I64;
    if (op->desc->n_real != 1 || (!whole && d != RNNRT_F32 && d != RNNRT_F64 && d != RNNRT_BOOL)
        || (whole && !(op->real[0] >= -2147483648.0 && op->real[0] <= 2147483647.0)))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, d);
    return RNNRT_OK;
}

#define FILL(type)                                                                                                     \
    do {                                                                                                               \
        type *at = (type *)y->data + b * y->batch_stride;                                                              \
        for (int64_t i = 0; i < n; i++)                                                                                \
            at[i] = (type)op->real[0];                                                                                 \
    } while (0)

static int32_t fill_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *y = rnnrt_out(run, op, 0);
    int64_t n = y->steps * y->width;
    for (int64_t b = 0; b < y->batch; b++)
        switch (y->dtype) {
        case RNNRT_F32: FILL(float); break;
        case RNNRT_F64: FILL(double); break;
        case RNNRT_I32: FILL(int32_t); break;
        case RNNRT_I64: FILL(int64_t); break;
        default: memset(y->data + b * y->batch_stride, op->real[0] != 0, (size_t)n);
        }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_fill_like = {"fill_like", fill_check, NULL, NULL, pointwise_size, NULL, fill_run, 0};

/* ---- reduce ---- */
enum { R_FUNCTION, R_FIRST, R_COUNT, R_ATTRS };
enum { R_SUM, R_MEAN, R_MAX, R_MIN, R_PROD, R_FUNCTIONS };
#define LANES 16
#define BLOCK 64 /* inner elements that go together */

static int32_t reduce_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_attr != R_ATTRS)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    int64_t f = op->attr[R_FUNCTION], first = op->attr[R_FIRST], count = op->attr[R_COUNT], walks = p->regions[d->region].time_dim >= 0;
    int ordered = f == R_MAX || f == R_MIN;
    int ok = x->dtype == RNNRT_F32 || x->dtype == RNNRT_F64
          || (ordered && (x->dtype == RNNRT_I32 || x->dtype == RNNRT_I64 || x->dtype == RNNRT_BOOL));
    if (!ok || f < 0 || f >= R_FUNCTIONS || x->dtype != y->dtype || !rnnrt_nest_fits(p, op, 0) || first < (walks ? 2 : 1)
        || count < 1 || count > x->rank - first || (y->rank != x->rank && y->rank != x->rank - count))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    int64_t skip = x->rank - y->rank;
    for (int64_t i = 1; i < x->rank; i++) {
        int64_t j = i < first ? i : i - skip;
        if ((i < first || i >= first + count) && x->dims[i] != y->dims[j])
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, i);
    }
    return RNNRT_OK;
}

static int32_t reduce_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]], *y = &s->plan->tensors[op->out[0]];
    int64_t n = 1;
    for (int64_t i = op->attr[R_FIRST]; i < op->attr[R_FIRST] + op->attr[R_COUNT]; i++) {
        n *= s->dims[x->dims[i]];
        if (y->rank == x->rank && s->dims[y->dims[i]] != 1)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[y->dims[i]], 1);
    }
    *scratch = 0;
    *cost = rnnrt_elements(s, op->in[0]) / 2 + 20;
    return n > 0 ? RNNRT_OK : rnnrt_fail(err, RNNRT_ESHAPE, op->index, n, 1);
}

#define GREATER(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))
#define LESSER(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))
#define PLUS(a, b) ((a) + (b))
#define TIMES(a, b) ((a) * (b))

/* n rows of m elements to one row: row k goes to lane k mod 16, then the lanes fold 8-4-2-1 */
#define FOLD(type, join, start)                                                                                        \
    for (int64_t at = 0; at < m; at += BLOCK) {                                                                        \
        const int64_t w = m - at < BLOCK ? m - at : BLOCK;                                                             \
        type lane[LANES][BLOCK];                                                                                       \
        for (int l = 0; l < LANES; l++)                                                                                \
            for (int64_t i = 0; i < w; i++)                                                                            \
                lane[l][i] = (start);                                                                                  \
        for (int64_t k = 0; k < n; k++) {                                                                              \
            const type *row = x + k * m + at;                                                                          \
            type *to = lane[k % LANES];                                                                                \
            for (int64_t i = 0; i < w; i++)                                                                            \
                to[i] = join(to[i], row[i]);                                                                           \
        }                                                                                                              \
        for (int l = LANES / 2; l; l /= 2)                                                                             \
            for (int j = 0; j < l; j++)                                                                                \
                for (int64_t i = 0; i < w; i++)                                                                        \
                    lane[j][i] = join(lane[j][i], lane[j + l][i]);                                                     \
        for (int64_t i = 0; i < w; i++)                                                                                \
            y[at + i] = lane[0][i];                                                                                    \
    }

#define EXTREME(name, type)                                                                                            \
    static void name(int64_t f, int64_t n, int64_t m, const type *x, type *y)                                          \
    {                                                                                                                  \
        if (f == R_MAX) {                                                                                              \
            FOLD(type, GREATER, x[at + i])                                                                             \
        } else {                                                                                                       \
            FOLD(type, LESSER, x[at + i])                                                                              \
        }                                                                                                              \
    }
#define ANY(name, extreme, type)                                                                                       \
    static void name(int64_t f, int64_t n, int64_t m, const type *x, type *y)                                          \
    {                                                                                                                  \
        if (f == R_MAX || f == R_MIN) {                                                                                \
            extreme(f, n, m, x, y);                                                                                    \
        } else if (f == R_PROD) {                                                                                      \
            FOLD(type, TIMES, (type)1)                                                                                 \
        } else {                                                                                                       \
            FOLD(type, PLUS, (type)0)                                                                                  \
        }                                                                                                              \
        if (f == R_MEAN)                                                                                               \
            for (int64_t i = 0; i < m; i++)                                                                            \
                y[i] /= (type)n;                                                                                       \
    }

EXTREME(extreme_f32, float)
EXTREME(extreme_f64, double)
EXTREME(extreme_i32, int32_t)
EXTREME(extreme_i64, int64_t)
EXTREME(extreme_bool, uint8_t)
ANY(any_f32, extreme_f32, float)
ANY(any_f64, extreme_f64, double)

static void fold(int32_t dtype, int64_t f, int64_t n, int64_t m, const void *x, void *y)
{
    switch (dtype) {
    case RNNRT_F32: any_f32(f, n, m, x, y); break;
    case RNNRT_F64: any_f64(f, n, m, x, y); break;
    case RNNRT_I32: extreme_i32(f, n, m, x, y); break;
    case RNNRT_I64: extreme_i64(f, n, m, x, y); break;
    default: extreme_bool(f, n, m, x, y);
    }
}

static int32_t reduce_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], first = op->attr[R_FIRST], last = first + op->attr[R_COUNT];
    int rank = rnnrt_lengths(run, op->in[0], dim);
    int64_t outer = 1, n = 1, m = 1, item = rnnrt_dtype_size(x->dtype);
    for (int64_t k = 1; k < rank; k++)
        *(k < first ? &outer : k < last ? &n : &m) *= dim[k];
    for (int64_t b = 0; b < x->batch; b++)
        for (int64_t o = 0; o < outer; o++)
            fold(x->dtype, op->attr[R_FUNCTION], n, m, x->data + (b * x->batch_stride + o * n * m) * item,
                 y->data + (b * y->batch_stride + o * m) * item);
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_reduce = {"reduce", reduce_check, NULL, NULL, reduce_size, NULL, reduce_run, 0};
