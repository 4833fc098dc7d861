/* Masks: bool tensors (batch, time) whose True steps count, made, joined and applied.
 *
 * not_equal: in = x of any number type; out = bool of its shape; real = value.
 * masking: in = x (..., features) of floats or doubles; out = bool (...): any feature != value; attr = features; real = value.
 * apply_mask: in = x of floats or doubles, mask of x's leading axes; out = x with value (or x * 0) where masked;
 *   attr = multiply; real = value.
 * logical_and, logical_or: in = bools of one shape; out = bool.
 * ones_mask: in = x (batch, time, ...); out = True (batch, time).
 * reduce_mask: in = bool (..., n); out = bool (...); attr = n, all.
 * concat_masks: in = bools (batch, time); out = bool (batch, sum of times). */
#include <string.h>

#include "op.h"

static const rnnrt_plan_tensor *tensor(const rnnrt_plan *p, int64_t t) { return &p->tensors[t]; }

static int is_bool(const rnnrt_plan_tensor *t) { return t->dtype == RNNRT_BOOL; }
static int is_real(const rnnrt_plan_tensor *t) { return t->dtype == RNNRT_F32 || t->dtype == RNNRT_F64; }

static int64_t count(const rnnrt_sizes *s, const rnnrt_plan_tensor *t, int64_t from)
{
    int64_t n = 1;
    for (int64_t i = from; i < t->rank; i++)
        n *= s->dims[t->dims[i]];
    return n;
}

static int64_t per_row(const rnnrt_view *v) { return v->steps * v->width; }

/* in[k] and the output have the same batch, and elements in the proportion in : out = n : 1 in each row */
static int32_t proportion(const rnnrt_sizes *s, const rnnrt_op *op, int k, int64_t n, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = tensor(s->plan, op->in[k]), *y = tensor(s->plan, op->out[0]);
    int64_t nx = count(s, x, 1), ny = count(s, y, 1), bx = s->dims[x->dims[0]], by = s->dims[y->dims[0]];
    if (bx != by || nx != ny * n)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, nx, ny * n);
    return RNNRT_OK;
}

/* Walked tensors shrink to a tile together or not at all. */
static int walk_together(const rnnrt_plan *p, const rnnrt_op *op)
{
    const rnnrt_plan_tensor *y = tensor(p, op->out[0]);
    if (p->regions[op->desc->region].time_dim < 0)
        return 1;
    for (int64_t k = 0; k < op->desc->n_in; k++)
        if (tensor(p, op->in[k])->timed != y->timed)
            return 0;
    return 1;
}

static int32_t checked(const rnnrt_plan_view *v, const rnnrt_op *op, int ok, rnnrt_error *err)
{
    return ok && walk_together(v->plan, op) ? RNNRT_OK : rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
}

/* ---- not_equal ---- */
static int32_t not_equal_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_real != 1)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    int64_t t = tensor(v->plan, op->in[0])->dtype;
    int number = t == RNNRT_F32 || t == RNNRT_F64 || t == RNNRT_I32 || t == RNNRT_I64 || t == RNNRT_BOOL;
    return checked(v, op, number && is_bool(tensor(v->plan, op->out[0])), err);
}

static int32_t same_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    *scratch = 0;
    *cost = 10 + count(s, tensor(s->plan, op->out[0]), 0) * op->desc->n_in;
    for (int64_t k = 0; k < op->desc->n_in; k++) {
        int32_t rc = proportion(s, op, (int)k, 1, err);
        if (rc)
            return rc;
    }
    return RNNRT_OK;
}

static int32_t not_equal_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t n = per_row(x);
    double value = op->real[0];
    float narrow = (float)value;
    for (int64_t b = 0; b < x->batch; b++) {
        char *out = y->data + b * y->batch_stride;
        const char *row = x->data + b * x->batch_stride * rnnrt_dtype_size(x->dtype);
        switch (x->dtype) {
        case RNNRT_F32:
            for (int64_t i = 0; i < n; i++)
                out[i] = ((const float *)row)[i] != narrow;
            break;
        case RNNRT_F64:
            for (int64_t i = 0; i < n; i++)
                out[i] = ((const double *)row)[i] != value;
            break;
        case RNNRT_I32:
            for (int64_t i = 0; i < n; i++)
                out[i] = (double)((const int32_t *)row)[i] != value;
            break;
        case RNNRT_I64:
            for (int64_t i = 0; i < n; i++)
                out[i] = (double)((const int64_t *)row)[i] != value;
            break;
        default:
            for (int64_t i = 0; i < n; i++)
                out[i] = (double)(row[i] != 0) != value;
        }
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_not_equal = {"not_equal", not_equal_check, NULL, NULL, same_size, NULL, not_equal_run, 0};

/* ---- masking, reduce_mask: the last axis goes ---- */
static int const_last(const rnnrt_plan *p, const rnnrt_plan_tensor *t, int64_t want)
{
    const rnnrt_plan_dim *d = &p->dims[t->dims[t->rank - 1]];
    return want >= 1 && t->rank >= 2 && d->kind == RNNRT_DIM_CONST && d->m == want;
}

static int32_t last_goes(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    *scratch = 0;
    *cost = 10 + count(s, tensor(s->plan, op->in[0]), 0);
    return proportion(s, op, 0, op->attr[0], err);
}

static int32_t masking_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_attr != 1 || d->n_real != 1)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    const rnnrt_plan_tensor *x = tensor(v->plan, op->in[0]);
    return checked(v, op, is_real(x) && is_bool(tensor(v->plan, op->out[0])) && const_last(v->plan, x, op->attr[0]), err);
}

static int32_t masking_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t f = op->attr[0], n = per_row(x) / f;
    double value = op->real[0];
    float narrow = (float)value;
    for (int64_t b = 0; b < x->batch; b++) {
        const float *row = (const float *)x->data + b * x->batch_stride;
        const double *wide = (const double *)x->data + b * x->batch_stride;
        char *out = y->data + b * y->batch_stride;
        for (int64_t i = 0; i < n; i++) {
            char any = 0;
            if (x->dtype == RNNRT_F64)
                for (int64_t k = 0; k < f; k++)
                    any |= wide[i * f + k] != value;
            else
                for (int64_t k = 0; k < f; k++)
                    any |= row[i * f + k] != narrow;
            out[i] = any;
        }
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_masking = {"masking", masking_check, NULL, NULL, last_goes, NULL, masking_run, 0};

static int32_t reduce_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_attr != 2)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    const rnnrt_plan_tensor *x = tensor(v->plan, op->in[0]);
    return checked(v, op, is_bool(x) && is_bool(tensor(v->plan, op->out[0])) && const_last(v->plan, x, op->attr[0]), err);
}

static int32_t reduce_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t f = op->attr[0], n = per_row(x) / f;
    int all = op->attr[1] != 0;
    for (int64_t b = 0; b < x->batch; b++) {
        const char *row = x->data + b * x->batch_stride;
        char *out = y->data + b * y->batch_stride;
        for (int64_t i = 0; i < n; i++) {
            int64_t ones = 0;
            for (int64_t k = 0; k < f; k++)
                ones += row[i * f + k] != 0;
            out[i] = all ? ones == f : ones > 0;
        }
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_reduce_mask = {"reduce_mask", reduce_check, NULL, NULL, last_goes, NULL, reduce_run, 0};

/* ---- apply_mask ---- */
static int32_t apply_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 2 || d->n_out != 1 || d->n_attr != 1 || d->n_real != 1)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    const rnnrt_plan_tensor *x = tensor(v->plan, op->in[0]), *m = tensor(v->plan, op->in[1]);
    return checked(v, op, is_real(x) && tensor(v->plan, op->out[0])->dtype == x->dtype && is_bool(m), err);
}

/* each element of the mask stands for the same number of x's elements */
static int32_t apply_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *m = tensor(s->plan, op->in[1]);
    *scratch = 0;
    *cost = 10 + count(s, tensor(s->plan, op->in[0]), 0);
    int32_t rc = proportion(s, op, 0, 1, err);
    int64_t nx = count(s, tensor(s->plan, op->in[0]), 1), nm = count(s, m, 1);
    if (!rc && (s->dims[m->dims[0]] != s->dims[tensor(s->plan, op->in[0])->dims[0]] || nm < 1 || nx % nm))
        rc = rnnrt_fail(err, RNNRT_ESHAPE, op->index, nm, nx);
    return rc;
}

static int32_t apply_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *m = rnnrt_in(run, op, 1), *y = rnnrt_out(run, op, 0);
    int64_t n = per_row(m), each = per_row(x) / n, item = rnnrt_dtype_size(x->dtype);
    int multiply = op->attr[0] != 0;
    double value = op->real[0];
    for (int64_t b = 0; b < x->batch; b++) {
        const char *row = x->data + b * x->batch_stride * item;
        const char *mask = m->data + b * m->batch_stride;
        char *out = y->data + b * y->batch_stride * item;
        for (int64_t i = 0; i < n; i++, row += each * item, out += each * item) {
            if (mask[i])
                memmove(out, row, (size_t)(each * item));
            else if (x->dtype == RNNRT_F64)
                for (int64_t k = 0; k < each; k++)
                    ((double *)out)[k] = multiply ? ((const double *)row)[k] * 0.0 : value;
            else
                for (int64_t k = 0; k < each; k++)
                    ((float *)out)[k] = multiply ? ((const float *)row)[k] * 0.0f : (float)value;
        }
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_apply_mask = {"apply_mask", apply_check, NULL, NULL, apply_size, NULL, apply_run, 0};

/* ---- logical_and, logical_or ---- */
static int32_t logical_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    if (op->desc->n_in < 2 || op->desc->n_out != 1)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    int ok = is_bool(tensor(v->plan, op->out[0]));
    for (int64_t k = 0; k < op->desc->n_in; k++)
        ok &= is_bool(tensor(v->plan, op->in[k]));
    return checked(v, op, ok, err);
}

static int32_t logical(const rnnrt_run *run, const rnnrt_op *op, int both)
{
    const rnnrt_view *y = rnnrt_out(run, op, 0);
    int64_t n = per_row(y);
    for (int64_t b = 0; b < y->batch; b++) {
        char *out = y->data + b * y->batch_stride;
        for (int64_t k = 0; k < op->desc->n_in; k++) {
            const rnnrt_view *x = rnnrt_in(run, op, (int)k);
            const char *row = x->data + b * x->batch_stride;
            for (int64_t i = 0; i < n; i++) {
                char bit = row[i] != 0;
                out[i] = k == 0 ? bit : both ? out[i] & bit : out[i] | bit;
            }
        }
    }
    return RNNRT_OK;
}

static int32_t and_run(const rnnrt_run *run, const rnnrt_op *op) { return logical(run, op, 1); }
static int32_t or_run(const rnnrt_run *run, const rnnrt_op *op) { return logical(run, op, 0); }

const rnnrt_op_class rnnrt_op_logical_and = {"logical_and", logical_check, NULL, NULL, same_size, NULL, and_run, 0};
const rnnrt_op_class rnnrt_op_logical_or = {"logical_or", logical_check, NULL, NULL, same_size, NULL, or_run, 0};

/* ---- ones_mask ---- */
static int32_t ones_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    if (op->desc->n_in != 1 || op->desc->n_out != 1)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    return checked(v, op, is_bool(tensor(v->plan, op->out[0])), err);
}

static int32_t ones_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *y = rnnrt_out(run, op, 0);
    for (int64_t b = 0; b < y->batch; b++)
        memset(y->data + b * y->batch_stride, 1, (size_t)per_row(y));
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_ones_mask = {"ones_mask", ones_check, NULL, NULL, NULL, NULL, ones_run, 0};

/* ---- concat_masks ---- */
static int32_t concat_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    if (op->desc->n_in < 2 || op->desc->n_out != 1 || v->plan->regions[op->desc->region].time_dim >= 0)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    int ok = is_bool(tensor(v->plan, op->out[0]));
    for (int64_t k = 0; k < op->desc->n_in; k++)
        ok &= is_bool(tensor(v->plan, op->in[k]));
    return checked(v, op, ok, err);
}

static int32_t concat_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *y = tensor(s->plan, op->out[0]);
    int64_t sum = 0, want = count(s, y, 1);
    for (int64_t k = 0; k < op->desc->n_in; k++) {
        const rnnrt_plan_tensor *x = tensor(s->plan, op->in[k]);
        if (s->dims[x->dims[0]] != s->dims[y->dims[0]])
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[x->dims[0]], s->dims[y->dims[0]]);
        sum += count(s, x, 1);
    }
    *scratch = 0;
    *cost = 10 + want;
    return sum == want ? RNNRT_OK : rnnrt_fail(err, RNNRT_ESHAPE, op->index, sum, want);
}

static int32_t concat_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *y = rnnrt_out(run, op, 0);
    for (int64_t b = 0; b < y->batch; b++) {
        char *out = y->data + b * y->batch_stride;
        for (int64_t k = 0; k < op->desc->n_in; k++) {
            const rnnrt_view *x = rnnrt_in(run, op, (int)k);
            memcpy(out, x->data + b * x->batch_stride, (size_t)per_row(x));
            out += per_row(x);
        }
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_concat_masks = {"concat_masks", concat_check, NULL, NULL, concat_size, NULL, concat_run, 0};
