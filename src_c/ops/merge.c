/* Arithmetic and comparisons of tensors with broadcasting, and the choice between two.
 *
 * add .. power: in = 1 to 64 tensors of one rank; out = y; attr = operand; real = constant.
 *   operand 0: all operands are tensors, 1: the constant stands left of the one tensor, 2: right of it.
 * compare: in = 1 or 2; out = y (bool); attr = operand, function; real = constant.
 * where: in = condition (bool), x, y; out = z. */
#include <math.h>

#include "nest.h"

enum { M_OPERAND, M_FUNCTION, M_COUNT };
enum { F_ADD, F_SUBTRACT, F_MULTIPLY, F_DIVIDE, F_MAXIMUM, F_MINIMUM, F_POWER, F_EQUAL, F_NOT_EQUAL, F_GREATER,
       F_GREATER_EQUAL, F_LESS, F_LESS_EQUAL };

/* NaN of either side goes through, as in TensorFlow */
#define E_ADD(a, b) ((a) + (b))
#define E_SUBTRACT(a, b) ((a) - (b))
#define E_MULTIPLY(a, b) ((a) * (b))
#define E_DIVIDE(a, b) ((a) / (b))
#define E_MAXIMUM(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))
#define E_MINIMUM(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))
#define E_POWF(a, b) (powf((a), (b)))
#define E_POW(a, b) (pow((a), (b)))
#define E_EQUAL(a, b) ((a) == (b))
#define E_NOT_EQUAL(a, b) ((a) != (b))
#define E_GREATER(a, b) ((a) > (b))
#define E_GREATER_EQUAL(a, b) ((a) >= (b))
#define E_LESS(a, b) ((a) < (b))
#define E_LESS_EQUAL(a, b) ((a) <= (b))

/* sa, sb: steps of the operands; y lies together and may be a */
#define LOOP(expr, type, result)                                                                                       \
    do {                                                                                                               \
        const type *a = va, *b = vb;                                                                                   \
        result *y = vy;                                                                                                \
        if (sa == 1 && sb == 1) {                                                                                      \
            for (int64_t i = 0; i < n; i++)                                                                            \
                y[i] = (result)expr(a[i], b[i]);                                                                       \
        } else if (sa == 1 && sb == 0) {                                                                               \
            const type v = *b;                                                                                         \
            for (int64_t i = 0; i < n; i++)                                                                            \
                y[i] = (result)expr(a[i], v);                                                                          \
        } else if (sa == 0 && sb == 1) {                                                                               \
            const type v = *a;                                                                                         \
            for (int64_t i = 0; i < n; i++)                                                                            \
                y[i] = (result)expr(v, b[i]);                                                                          \
        } else {                                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                                            \
                y[i] = (result)expr(a[i * sa], b[i * sb]);                                                             \
        }                                                                                                              \
    } while (0)

#define ARITHMETIC(name, type)                                                                                         \
    static void name(int f, int64_t n, const void *va, int64_t sa, const void *vb, int64_t sb, void *vy)               \
    {                                                                                                                  \
        switch (f) {                                                                                                   \
        case F_ADD: LOOP(E_ADD, type, type); break;                                                                    \
        case F_SUBTRACT: LOOP(E_SUBTRACT, type, type); break;                                                          \
        case F_MULTIPLY: LOOP(E_MULTIPLY, type, type); break;                                                          \
        case F_MAXIMUM: LOOP(E_MAXIMUM, type, type); break;                                                            \
        case F_MINIMUM: LOOP(E_MINIMUM, type, type); break;                                                            \
        case F_EQUAL: LOOP(E_EQUAL, type, uint8_t); break;                                                             \
        case F_NOT_EQUAL: LOOP(E_NOT_EQUAL, type, uint8_t); break;                                                     \
        case F_GREATER: LOOP(E_GREATER, type, uint8_t); break;                                                         \
        case F_GREATER_EQUAL: LOOP(E_GREATER_EQUAL, type, uint8_t); break;                                             \
        case F_LESS: LOOP(E_LESS, type, uint8_t); break;                                                               \
        case F_LESS_EQUAL: LOOP(E_LESS_EQUAL, type, uint8_t); break;                                                   \
        default: break;                                                                                                \
        }                                                                                                              \
    }

ARITHMETIC(any_float, float)
ARITHMETIC(any_double, double)
/* unsigned: integers wrap around, as TensorFlow's do, where C leaves signed overflow open; compared signed below */
ARITHMETIC(wrap_u32, uint32_t)
ARITHMETIC(wrap_u64, uint64_t)
ARITHMETIC(any_i32, int32_t)
ARITHMETIC(any_i64, int64_t)
ARITHMETIC(any_bool, uint8_t)

static void apply(int f, int32_t dtype, int64_t n, const void *va, int64_t sa, const void *vb, int64_t sb, void *vy)
{
    int wraps = f <= F_MULTIPLY;
    switch (dtype) {
    case RNNRT_F32:
        if (f == F_DIVIDE)
            LOOP(E_DIVIDE, float, float);
        else if (f == F_POWER)
            LOOP(E_POWF, float, float);
        else
            any_float(f, n, va, sa, vb, sb, vy);
        break;
    case RNNRT_F64:
        if (f == F_DIVIDE)
            LOOP(E_DIVIDE, double, double);
        else if (f == F_POWER)
            LOOP(E_POW, double, double);
        else
            any_double(f, n, va, sa, vb, sb, vy);
        break;
    case RNNRT_I32: (wraps ? wrap_u32 : any_i32)(f, n, va, sa, vb, sb, vy); break;
    case RNNRT_I64: (wraps ? wrap_u64 : any_i64)(f, n, va, sa, vb, sb, vy); break;
    default: any_bool(f, n, va, sa, vb, sb, vy);
    }
}

/* A number in the bytes of a dtype. */
typedef union constant {
    float f32;
    double f64;
    int32_t i32;
    int64_t i64;
    uint8_t b;
} constant;

static constant as_constant(double v, int32_t dtype)
{
    constant c = {.i64 = 0};
    double whole = v != v ? 0 : v < -9.2e18 ? -9.2e18 : v > 9.2e18 ? 9.2e18 : v;
    switch (dtype) {
    case RNNRT_F32: c.f32 = (float)v; break;
    case RNNRT_F64: c.f64 = v; break;
    case RNNRT_I32: c.i32 = (int32_t)(uint32_t)(int64_t)whole; break;
    case RNNRT_I64: c.i64 = (int64_t)whole; break;
    default: c.b = v != 0;
    }
    return c;
}

/* ---- checks ---- */
static int32_t common_check(const rnnrt_plan_view *v, const rnnrt_op *op, int64_t most, int64_t attrs, int64_t in_dtypes,
                            int32_t out_dtype, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in < 1 || d->n_in > most || d->n_out != 1 || d->n_attr != attrs || d->n_real != 1
        || op->attr[M_OPERAND] < 0 || op->attr[M_OPERAND] > 2 || (op->attr[M_OPERAND] && d->n_in != 1))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]];
    if (!rnnrt_nest_fits(p, op, x->rank) || !(in_dtypes >> x->dtype & 1)
        || p->tensors[op->out[0]].dtype != (out_dtype < 0 ? x->dtype : out_dtype))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    for (int64_t k = 1; k < d->n_in; k++)
        if (p->tensors[op->in[k]].dtype != x->dtype)
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, k);
    return RNNRT_OK;
}

/* each axis of an input is the output's, or 1 */
static int32_t size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *y = &s->plan->tensors[op->out[0]];
    for (int64_t k = 0; k < op->desc->n_in; k++) {
        const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[k]];
        for (int i = 0; i < y->rank; i++) {
            int64_t n = s->dims[x->dims[i]];
            if (n != s->dims[y->dims[i]] && (n != 1 || i == 0))
                return rnnrt_fail(err, RNNRT_ESHAPE, op->index, n, s->dims[y->dims[i]]);
        }
    }
    *scratch = 0;
    *cost = rnnrt_elements(s, op->out[0]) * op->desc->n_in / 8 + 20;
    return RNNRT_OK;
}

/* ---- running ---- */
static int same_dims(const rnnrt_plan *p, const rnnrt_op *op)
{
    const rnnrt_plan_tensor *y = &p->tensors[op->out[0]];
    for (int64_t k = 0; k < op->desc->n_in; k++)
        for (int i = 1; i < y->rank; i++)
            if (p->tensors[op->in[k]].dims[i] != y->dims[i])
                return 0;
    return 1;
}

static int64_t operand_strides(const rnnrt_run *run, int64_t tensor, int rank, const int64_t *out, int64_t *stride)
{
    int64_t dim[RNNRT_MAX_RANK];
    rnnrt_lengths(run, tensor, dim);
    rnnrt_strides(&run->views[tensor], rank, dim, stride);
    for (int i = 0; i < rank; i++)
        if (dim[i] != out[i])
            stride[i] = 0;
    return rnnrt_dtype_size(run->views[tensor].dtype);
}

/* y = f(a, b) over the whole view; a may be y itself */
static void pair(const rnnrt_run *run, const rnnrt_op *op, int f, int64_t a, int64_t b)
{
    const rnnrt_view *y = rnnrt_out(run, op, 0), *va = &run->views[a], *vb = &run->views[b];
    rnnrt_nest nest = {.operands = 3};
    nest.rank = rnnrt_lengths(run, op->out[0], nest.dim);
    rnnrt_strides(y, nest.rank, nest.dim, nest.stride[0]);
    int64_t size = operand_strides(run, a, nest.rank, nest.dim, nest.stride[1]), out = rnnrt_dtype_size(y->dtype);
    operand_strides(run, b, nest.rank, nest.dim, nest.stride[2]);
    rnnrt_nest_collapse(&nest);
    int last = nest.rank - 1;
    int64_t index[RNNRT_MAX_RANK + 1] = {0}, at[NEST_OPERANDS] = {0};
    do
        apply(f, va->dtype, nest.dim[last], va->data + at[1] * size, nest.stride[1][last], vb->data + at[2] * size,
              nest.stride[2][last], y->data + at[0] * out);
    while (rnnrt_nest_next(&nest, index, at));
}

/* Batch rows of elements that lie together in both. */
static int64_t spans(const rnnrt_view *a, const rnnrt_view *b, const rnnrt_view *y, int64_t *n)
{
    int64_t row = y->steps * y->width;
    int dense = a->batch_stride == row && b->batch_stride == row && y->batch_stride == row;
    *n = dense ? y->batch * row : row;
    return dense ? 1 : y->batch;
}

static void same_pair(const rnnrt_run *run, const rnnrt_op *op, int f, int64_t a, int64_t b)
{
    const rnnrt_view *y = rnnrt_out(run, op, 0), *va = &run->views[a], *vb = &run->views[b];
    int64_t n, rows = spans(va, vb, y, &n), in = rnnrt_dtype_size(va->dtype), out = rnnrt_dtype_size(y->dtype);
    for (int64_t r = 0; r < rows; r++)
        apply(f, va->dtype, n, va->data + r * va->batch_stride * in, 1, vb->data + r * vb->batch_stride * in, 1,
              y->data + r * y->batch_stride * out);
}

/* y = f(x, constant), or the other way round */
static void with_constant(const rnnrt_run *run, const rnnrt_op *op, int f, int64_t tensor, double value, int left)
{
    const rnnrt_view *x = &run->views[tensor], *y = rnnrt_out(run, op, 0);
    constant c = as_constant(value, x->dtype);
    int64_t n, rows = spans(x, x, y, &n), in = rnnrt_dtype_size(x->dtype), out = rnnrt_dtype_size(y->dtype);
    for (int64_t r = 0; r < rows; r++) {
        const void *at = x->data + r * x->batch_stride * in;
        apply(f, x->dtype, n, left ? (const void *)&c : at, left ? 0 : 1, left ? at : (const void *)&c, left ? 1 : 0,
              y->data + r * y->batch_stride * out);
    }
}

static int32_t run_function(const rnnrt_run *run, const rnnrt_op *op, int f)
{
    if (op->attr[M_OPERAND]) {
        with_constant(run, op, f, op->in[0], op->real[0], op->attr[M_OPERAND] == 1);
        return RNNRT_OK;
    }
    void (*two)(const rnnrt_run *, const rnnrt_op *, int, int64_t, int64_t) = same_dims(run->plan, op) ? same_pair : pair;
    two(run, op, f, op->in[0], op->in[1]);
    for (int64_t k = 2; k < op->desc->n_in; k++)
        two(run, op, f, op->out[0], op->in[k]);
    return RNNRT_OK;
}

#define FLOATS ((int64_t)1 << RNNRT_F32 | (int64_t)1 << RNNRT_F64)
#define NUMBERS (FLOATS | (int64_t)1 << RNNRT_I32 | (int64_t)1 << RNNRT_I64)
#define ORDERED (NUMBERS | (int64_t)1 << RNNRT_BOOL)

#define OP(name, function, dtypes, most)                                                                               \
    static int32_t name##_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)                        \
    {                                                                                                                  \
        int32_t rc = common_check(v, op, most, 1, dtypes, -1, err);                                                    \
        if (!rc && op->attr[M_OPERAND] == 0 && op->desc->n_in < 2)                                                     \
            rc = rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, 0);                                                       \
        return rc;                                                                                                     \
    }                                                                                                                  \
    static int32_t name##_run(const rnnrt_run *run, const rnnrt_op *op) { return run_function(run, op, function); }    \
    const rnnrt_op_class rnnrt_op_##name = {#name, name##_check, NULL, NULL, size, NULL, name##_run, 0};

OP(add, F_ADD, NUMBERS, 64)
OP(subtract, F_SUBTRACT, NUMBERS, 2)
OP(multiply, F_MULTIPLY, NUMBERS, 64)
OP(divide, F_DIVIDE, FLOATS, 2)
OP(maximum, F_MAXIMUM, ORDERED, 64)
OP(minimum, F_MINIMUM, ORDERED, 64)
OP(power, F_POWER, FLOATS, 2)

/* ---- average ---- */
static int32_t average_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    int32_t rc = common_check(v, op, 64, 1, FLOATS, -1, err);
    return rc || !op->attr[M_OPERAND] ? rc : rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, 0);
}

static int32_t average_run(const rnnrt_run *run, const rnnrt_op *op)
{
    int64_t n = op->desc->n_in;
    if (n > 1)
        run_function(run, op, F_ADD);
    with_constant(run, op, F_DIVIDE, n > 1 ? op->out[0] : op->in[0], (double)n, 0);
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_average = {"average", average_check, NULL, NULL, size, NULL, average_run, 0};

/* ---- compare ---- */
static int32_t compare_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    int32_t rc = common_check(v, op, 2, M_COUNT, ORDERED, RNNRT_BOOL, err);
    if (!rc && (op->attr[M_FUNCTION] < 0 || op->attr[M_FUNCTION] > F_LESS_EQUAL - F_EQUAL
                || (op->attr[M_OPERAND] == 0 && op->desc->n_in != 2)))
        rc = rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, 0);
    return rc;
}

static int32_t compare_run(const rnnrt_run *run, const rnnrt_op *op)
{
    return run_function(run, op, F_EQUAL + (int)op->attr[M_FUNCTION]);
}

const rnnrt_op_class rnnrt_op_compare = {"compare", compare_check, NULL, NULL, size, NULL, compare_run, 0};

/* ---- where ---- */
static int32_t where_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 3 || d->n_out != 1 || !rnnrt_nest_fits(p, op, p->tensors[op->in[0]].rank)
        || p->tensors[op->in[0]].dtype != RNNRT_BOOL || p->tensors[op->in[1]].dtype != p->tensors[op->out[0]].dtype
        || p->tensors[op->in[2]].dtype != p->tensors[op->out[0]].dtype)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    return RNNRT_OK;
}

#define CHOOSE(type)                                                                                                   \
    for (int64_t i = 0; i < n; i++)                                                                                    \
        ((type *)y)[i] = c[i * sc] ? ((const type *)a)[i * sa] : ((const type *)b)[i * sb]

static void choose(int64_t item, int64_t n, const uint8_t *c, int64_t sc, const char *a, int64_t sa, const char *b,
                   int64_t sb, char *y)
{
    switch (item) {
    case 8: CHOOSE(uint64_t); break;
    case 4: CHOOSE(uint32_t); break;
    case 2: CHOOSE(uint16_t); break;
    default: CHOOSE(uint8_t);
    }
}

static int32_t where_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *y = rnnrt_out(run, op, 0), *v[3] = {rnnrt_in(run, op, 0), rnnrt_in(run, op, 1), rnnrt_in(run, op, 2)};
    int64_t item = rnnrt_dtype_size(y->dtype), index[RNNRT_MAX_RANK + 1] = {0}, at[NEST_OPERANDS] = {0};
    rnnrt_nest nest = {.operands = 4};
    nest.rank = rnnrt_lengths(run, op->out[0], nest.dim);
    rnnrt_strides(y, nest.rank, nest.dim, nest.stride[0]);
    for (int k = 0; k < 3; k++)
        operand_strides(run, op->in[k], nest.rank, nest.dim, nest.stride[k + 1]);
    rnnrt_nest_collapse(&nest);
    int last = nest.rank - 1;
    do
        choose(item, nest.dim[last], (const uint8_t *)v[0]->data + at[1], nest.stride[1][last], v[1]->data + at[2] * item,
               nest.stride[2][last], v[2]->data + at[3] * item, nest.stride[3][last], y->data + at[0] * item);
    while (rnnrt_nest_next(&nest, index, at));
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_where = {"where", where_check, NULL, NULL, size, NULL, where_run, 0};
