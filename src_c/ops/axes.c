/* Ops that move values between axes: all of them copy with a nest (nest.h) from one set of strides to another.
 * expand_dims and squeeze are aliases in the plan.
 *
 * concatenate: in = 1 to 1024 tensors; out = y; attr = axis.
 * transpose: in = x; out = y; attr = the axis of x for each axis of y.
 * slice: in = x; out = y; attr = (axis, begin, end, step) for each cut axis, NONE for what is not given.
 * last_step: in = x (batch, time, features); out = y (batch, features).
 * pad: in = x; out = y; attr = zeros (before, after) of each axis but the batch.
 * repeat: in = x; out = y; attr = axis, times. */
#include <string.h>

#include "nest.h"

#define NONE ((int64_t)1 << 47)
#define FAR ((int64_t)1 << 48)

static const rnnrt_plan_tensor *tensor(const rnnrt_plan *p, int64_t t) { return &p->tensors[t]; }

static int32_t one_check(const rnnrt_plan_view *v, const rnnrt_op *op, int64_t attrs, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || (attrs >= 0 && d->n_attr != attrs)
        || tensor(p, op->in[0])->dtype != tensor(p, op->out[0])->dtype
        || !rnnrt_nest_fits(p, op, tensor(p, op->in[0])->rank))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    return RNNRT_OK;
}

/* an axis that a walking op rearranges is not the one that it walks, nor the batch */
static int axis_ok(const rnnrt_plan_view *v, const rnnrt_op *op, int64_t axis)
{
    int walks = v->plan->regions[op->desc->region].time_dim >= 0;
    return axis >= (walks ? 2 : 1) && axis < tensor(v->plan, op->in[0])->rank;
}

static void costs(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost)
{
    *scratch = 0;
    *cost = rnnrt_elements(s, op->out[0]) / 4 + 20;
}

static int64_t length(const rnnrt_sizes *s, int64_t t, int64_t axis) { return s->dims[s->plan->tensors[t].dims[axis]]; }

/* ---- concatenate ---- */
static int32_t concatenate_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in < 1 || d->n_in > 1024 || d->n_out != 1 || d->n_attr != 1
        || !rnnrt_nest_fits(p, op, tensor(p, op->in[0])->rank) || !axis_ok(v, op, op->attr[0]))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    for (int64_t k = 0; k < d->n_in; k++)
        if (tensor(p, op->in[k])->dtype != tensor(p, op->out[0])->dtype)
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, k);
    return RNNRT_OK;
}

static int32_t concatenate_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    int64_t total = 0, rank = s->plan->tensors[op->out[0]].rank;
    for (int64_t k = 0; k < op->desc->n_in; k++) {
        for (int64_t i = 0; i < rank; i++)
            if (i != op->attr[0] && length(s, op->in[k], i) != length(s, op->out[0], i))
                return rnnrt_fail(err, RNNRT_ESHAPE, op->index, length(s, op->in[k], i), length(s, op->out[0], i));
        total += length(s, op->in[k], op->attr[0]);
    }
    if (total != length(s, op->out[0], op->attr[0]))
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, total, length(s, op->out[0], op->attr[0]));
    costs(s, op, scratch, cost);
    return RNNRT_OK;
}

static int32_t concatenate_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *y = rnnrt_out(run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], to[RNNRT_MAX_RANK], item = rnnrt_dtype_size(y->dtype), at = 0;
    int rank = rnnrt_lengths(run, op->out[0], dim);
    rnnrt_strides(y, rank, dim, to);
    for (int64_t k = 0; k < op->desc->n_in; k++) {
        const rnnrt_view *x = rnnrt_in(run, op, (int)k);
        rnnrt_nest nest = {.operands = 2};
        nest.rank = rnnrt_lengths(run, op->in[k], nest.dim);
        memcpy(nest.stride[0], to, sizeof to);
        rnnrt_strides(x, rank, nest.dim, nest.stride[1]);
        int64_t offset = at * to[op->attr[0]] * item;
        at += nest.dim[op->attr[0]];
        rnnrt_nest_collapse(&nest);
        rnnrt_nest_copy(&nest, item, y->data + offset, x->data);
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_concatenate = {"concatenate", concatenate_check, NULL, NULL, concatenate_size, NULL,
                                             concatenate_run, 0};

/* ---- transpose ---- */
static int32_t transpose_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    int64_t rank = op->desc->n_in ? tensor(v->plan, op->in[0])->rank : 0, seen = 0;
    int32_t rc = one_check(v, op, rank, err);
    for (int64_t k = 0; !rc && k < rank; k++) {
        int64_t a = op->attr[k];
        if (a < 0 || a >= rank || seen >> a & 1 || (a != k && (!axis_ok(v, op, a) || !axis_ok(v, op, k))))
            rc = rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, a);
        seen |= (int64_t)1 << (a & 7);
    }
    return rc;
}

static int32_t transpose_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    for (int64_t k = 0; k < op->desc->n_attr; k++)
        if (length(s, op->out[0], k) != length(s, op->in[0], op->attr[k]))
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, length(s, op->out[0], k), length(s, op->in[0], op->attr[k]));
    costs(s, op, scratch, cost);
    return RNNRT_OK;
}

static int32_t transpose_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], from[RNNRT_MAX_RANK];
    rnnrt_nest nest = {.operands = 2};
    rnnrt_strides(x, rnnrt_lengths(run, op->in[0], dim), dim, from);
    nest.rank = rnnrt_lengths(run, op->out[0], nest.dim);
    rnnrt_strides(y, nest.rank, nest.dim, nest.stride[0]);
    for (int k = 0; k < nest.rank; k++)
        nest.stride[1][k] = from[op->attr[k]];
    rnnrt_nest_collapse(&nest);
    rnnrt_nest_copy(&nest, rnnrt_dtype_size(x->dtype), y->data, x->data);
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_transpose = {"transpose", transpose_check, NULL, NULL, transpose_size, NULL, transpose_run, 0};

/* ---- slice ---- */
enum { S_AXIS, S_BEGIN, S_END, S_STEP, S_COUNT };

/* Python's rule: the first element, and how many there are. */
static int64_t cut(int64_t n, const int64_t *a, int64_t *first)
{
    int64_t step = a[S_STEP], low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n, bound[2];
    for (int k = 0; k < 2; k++) {
        int64_t v = a[S_BEGIN + k];
        if (v == NONE)
            v = (k == 0) == (step > 0) ? low : high;
        else if (v < 0)
            v = v + n < low ? low : v + n;
        else
            v = v > high ? high : v;
        bound[k] = v;
    }
    *first = bound[0];
    int64_t span = step > 0 ? bound[1] - bound[0] : bound[0] - bound[1];
    int64_t by = step > 0 ? step : -step;
    return span <= 0 ? 0 : (span + by - 1) / by;
}

static int32_t slice_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    int32_t rc = one_check(v, op, -1, err);
    if (!rc && op->desc->n_attr % S_COUNT)
        rc = rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    for (int64_t k = 0, seen = 0; !rc && k < op->desc->n_attr; k += S_COUNT) {
        const int64_t *a = op->attr + k;
        int bad = !axis_ok(v, op, a[S_AXIS]) || a[S_STEP] == 0;
        for (int i = S_BEGIN; i < S_COUNT; i++)
            bad |= a[i] <= -FAR || a[i] >= FAR;
        if (bad || seen >> a[S_AXIS] & 1)
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, k);
        seen |= (int64_t)1 << a[S_AXIS];
    }
    return rc;
}

static int32_t slice_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    int64_t want[RNNRT_MAX_RANK], rank = s->plan->tensors[op->out[0]].rank, first;
    for (int64_t i = 0; i < rank; i++)
        want[i] = length(s, op->in[0], i);
    for (int64_t k = 0; k < op->desc->n_attr; k += S_COUNT)
        want[op->attr[k]] = cut(want[op->attr[k]], op->attr + k, &first);
    for (int64_t i = 0; i < rank; i++)
        if (want[i] != length(s, op->out[0], i))
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, want[i], length(s, op->out[0], i));
    costs(s, op, scratch, cost);
    return RNNRT_OK;
}

static int32_t slice_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], item = rnnrt_dtype_size(x->dtype), offset = 0, first;
    rnnrt_nest nest = {.operands = 2};
    int rank = rnnrt_lengths(run, op->in[0], dim);
    rnnrt_strides(x, rank, dim, nest.stride[1]);
    nest.rank = rnnrt_lengths(run, op->out[0], nest.dim);
    rnnrt_strides(y, rank, nest.dim, nest.stride[0]);
    for (int64_t k = 0; k < op->desc->n_attr; k += S_COUNT) {
        int64_t axis = op->attr[k];
        if (!cut(dim[axis], op->attr + k, &first))
            return RNNRT_OK;
        offset += first * nest.stride[1][axis];
        if (nest.dim[axis] > 1)
            nest.stride[1][axis] *= op->attr[k + S_STEP];
    }
    rnnrt_nest_collapse(&nest);
    rnnrt_nest_copy(&nest, item, y->data, x->data + offset * item);
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_slice = {"slice", slice_check, NULL, NULL, slice_size, NULL, slice_run, 0};

/* ---- last_step ---- */
static int32_t last_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    if (op->desc->n_in != 1 || op->desc->n_out != 1)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    const rnnrt_plan_tensor *x = tensor(p, op->in[0]), *y = tensor(p, op->out[0]), *root = x;
    while (root->alias >= 0)
        root = tensor(p, root->alias);
    if (x->rank != 3 || !x->timed || y->rank != 2 || y->timed || x->dtype != y->dtype || x->dims[0] != y->dims[0]
        || x->dims[2] != y->dims[1]
        || (root->role == RNNRT_TENSOR_INPUT && p->inputs[root->io].dtypes != (int64_t)1 << root->dtype))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    return RNNRT_OK;
}

static int32_t last_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    costs(s, op, scratch, cost);
    return length(s, op->in[0], 1) > 0 ? RNNRT_OK : rnnrt_fail(err, RNNRT_ESHAPE, op->index, 0, 1);
}

/* in each tile: what stays is that of the last one */
static int32_t last_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t item = rnnrt_dtype_size(x->dtype);
    for (int64_t b = 0; b < x->batch; b++)
        memcpy(y->data + b * y->batch_stride * item,
               x->data + (b * x->batch_stride + (x->steps - 1) * x->width) * item, (size_t)(x->width * item));
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_last_step = {"last_step", last_check, NULL, NULL, last_size, NULL, last_run, 0};

/* ---- pad ---- */
static int32_t pad_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    int64_t rank = op->desc->n_in ? tensor(v->plan, op->in[0])->rank : 1;
    int32_t rc = one_check(v, op, 2 * (rank - 1), err);
    for (int64_t k = 0; !rc && k < 2 * (rank - 1); k++)
        if (op->attr[k] < 0 || op->attr[k] >= FAR || (op->attr[k] && !axis_ok(v, op, 1 + k / 2)))
            rc = rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, k);
    return rc;
}

static int32_t pad_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    for (int64_t k = 0; k < op->desc->n_attr; k += 2) {
        int64_t want = length(s, op->in[0], 1 + k / 2) + op->attr[k] + op->attr[k + 1];
        if (want != length(s, op->out[0], 1 + k / 2))
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, length(s, op->out[0], 1 + k / 2), want);
    }
    costs(s, op, scratch, cost);
    return RNNRT_OK;
}

static int32_t pad_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], item = rnnrt_dtype_size(x->dtype), offset = 0;
    rnnrt_nest nest = {.operands = 2};
    int rank = rnnrt_lengths(run, op->out[0], dim);
    rnnrt_strides(y, rank, dim, nest.stride[0]);
    for (int64_t b = 0; b < y->batch; b++)
        memset(y->data + b * y->batch_stride * item, 0, (size_t)(y->steps * y->width * item));
    for (int k = 1; k < rank; k++)
        offset += op->attr[2 * (k - 1)] * nest.stride[0][k];
    nest.rank = rnnrt_lengths(run, op->in[0], nest.dim);
    rnnrt_strides(x, rank, nest.dim, nest.stride[1]);
    rnnrt_nest_collapse(&nest);
    rnnrt_nest_copy(&nest, item, y->data + offset * item, x->data);
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_pad = {"pad", pad_check, NULL, NULL, pad_size, NULL, pad_run, 0};

/* ---- repeat ---- */
static int32_t repeat_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    int32_t rc = one_check(v, op, 2, err);
    if (!rc && (!axis_ok(v, op, op->attr[0]) || op->attr[1] < 1 || op->attr[1] >= FAR))
        rc = rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    return rc;
}

static int32_t repeat_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    for (int64_t i = 0; i < s->plan->tensors[op->out[0]].rank; i++) {
        int64_t want = length(s, op->in[0], i);
        if (i == op->attr[0] && __builtin_mul_overflow(want, op->attr[1], &want))
            want = -1;
        if (want != length(s, op->out[0], i))
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, length(s, op->out[0], i), want);
    }
    costs(s, op, scratch, cost);
    return RNNRT_OK;
}

static int32_t repeat_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], to[RNNRT_MAX_RANK], from[RNNRT_MAX_RANK], axis = op->attr[0];
    rnnrt_nest nest = {.operands = 2};
    int rank = rnnrt_lengths(run, op->out[0], dim);
    rnnrt_strides(y, rank, dim, to);
    rnnrt_lengths(run, op->in[0], dim);
    rnnrt_strides(x, rank, dim, from);
    /* one axis more: the element, then its repetitions */
    for (int k = 0, w = 0; k < rank; k++, w++) {
        nest.dim[w] = dim[k];
        nest.stride[0][w] = to[k] * (k == axis ? op->attr[1] : 1);
        nest.stride[1][w] = from[k];
        if (k == axis) {
            w++;
            nest.dim[w] = op->attr[1];
            nest.stride[0][w] = to[k];
            nest.stride[1][w] = 0;
        }
    }
    nest.rank = rank + 1;
    rnnrt_nest_collapse(&nest);
    rnnrt_nest_copy(&nest, rnnrt_dtype_size(x->dtype), y->data, x->data);
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_repeat = {"repeat", repeat_check, NULL, NULL, repeat_size, NULL, repeat_run, 0};
