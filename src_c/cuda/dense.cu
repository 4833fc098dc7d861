/* Products: dense, einsum_dense, dot (src_c/ops/dense.c, einsum_dense.c, dot.c), all through gemm where it can read them. */
#include "elements.cuh"
#include "rowwise.cuh"

extern "C" {
#include "../ops/axis_run.h"
}

namespace rnnrt_cuda {

using rnnrt::gemm_args;

/* rows of k inputs in x become rows of n outputs in y, batch row by batch row of the views */
static int32_t product(const op_run &run, const rnnrt_op *op, int64_t k, int64_t n, const rnnrt_activation &f, float *y,
                       int64_t y_stride)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0);
    const int64_t rows = x->steps * (x->width / k);
    const float *w = (const float *)op->prepared;
    gemm_args a = rnnrt::gemm_plain((const float *)x->data, w, w + rnnrt_round64(k * n * 4) / 4, y, x->batch * rows, n, k);
    a.inner = rows;
    a.x_outer = x->batch_stride;
    a.y_outer = y_stride;
    if (dense_view(x) && y_stride == rows * n)
        a.inner = a.rows;
    a.activation = f;
    return check(rnnrt::gemm(a, table_of(run.kernels)->math, run.stream), "a product", run.err);
}

static rnnrt_activation activation_of(const rnnrt_op *op, int attr)
{
    return {(int32_t)op->attr[attr], {(float)op->real[0], (float)op->real[1], (float)op->real[2]}};
}

/* ---- dense: attr = inputs, outputs, activation ---- */
int32_t size_DENSE(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]];
    int64_t rows = 1, all = 1;
    for (int64_t i = 0; i < x->rank - 1; i++) {
        all *= s->dims[x->dims[i]];
        rows *= i == 1 && x->timed ? s->steps : s->dims[x->dims[i]];
    }
    *scratch = op->attr[2] == RNNRT_ACT_GLU ? rows * op->attr[1] * (int64_t)sizeof(float) : 0;
    *cost = all * op->attr[0] * op->attr[1] / 16 + 20;
    return rnnrt_axes_agree(s, op, x->rank - 1, err);
}

int32_t run_DENSE(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const int64_t k = op->attr[0], n = op->attr[1], rows = x->steps * (x->width / k);
    const rnnrt_activation f = activation_of(op, 2), linear = {RNNRT_ACT_LINEAR, {0, 0, 0}};
    if (!rnnrt_rowwise(f.kind))
        return product(run, op, k, n, f, (float *)y->data, y->batch_stride);
    /* glu halves the rows: its linear part lies aside */
    const int glu = f.kind == RNNRT_ACT_GLU;
    float *z = glu ? (float *)run.scratch : (float *)y->data;
    const int64_t z_stride = glu ? rows * n : y->batch_stride;
    const int32_t rc = product(run, op, k, n, linear, z, z_stride);
    return rc ? rc : rowwise(run, f.kind, {x->batch, rows, 1, n}, z, z_stride, (float *)y->data, y->batch_stride, glu ? n / 2 : n);
}

/* ---- einsum_dense: attr = contracted axes, new axes, activation ---- */
static int64_t last_axes(const rnnrt_plan *p, int64_t tensor, int64_t n)
{
    const int64_t rank = p->tensors[tensor].rank;
    return rnnrt_axes_known(p, tensor, rank - n, rank - 1);
}

int32_t run_EINSUM_DENSE(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *y = rnnrt_out(&run, op, 0);
    return product(run, op, last_axes(run.plan, op->in[0], op->attr[0]), last_axes(run.plan, op->out[0], op->attr[1]),
                   activation_of(op, 2), (float *)y->data, y->batch_stride);
}

/* ---- dot: attr = axis of x, axis of y, common axes ---- */
struct dot_sizes {
    int64_t groups, rows, sum, columns; /* of x: (groups, rows.., sum, rows..), of y likewise */
    int64_t x_inner, y_inner;           /* elements behind the summed axis */
};

static dot_sizes sizes_of(const rnnrt_plan *p, const rnnrt_op *op, const int64_t *dims)
{
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->in[1]];
    dot_sizes s = {1, 1, dims[x->dims[op->attr[0]]], 1, 1, 1};
    for (int64_t k = 0; k < x->rank; k++) {
        const int64_t n = dims[x->dims[k]];
        if (k != op->attr[0])
            *(k < op->attr[2] ? &s.groups : &s.rows) *= n;
        s.x_inner *= k > op->attr[0] ? n : 1;
    }
    for (int64_t k = op->attr[2]; k < y->rank; k++) {
        const int64_t n = dims[y->dims[k]];
        s.columns *= k != op->attr[1] ? n : 1;
        s.y_inner *= k > op->attr[1] ? n : 1;
    }
    return s;
}

int32_t size_DOT(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const dot_sizes n = sizes_of(s->plan, op, s->dims);
    const int64_t sum = s->dims[s->plan->tensors[op->in[1]].dims[op->attr[1]]], want = rnnrt_elements(s, op->out[0]);
    *scratch = 0;
    *cost = want * n.sum / 16 + 50;
    if (n.sum != sum || n.sum < 1)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, sum, n.sum);
    return n.groups * n.rows * n.columns == want ? RNNRT_OK : rnnrt_fail(err, RNNRT_ESHAPE, op->index, want, n.groups * n.rows * n.columns);
}

/* each element one chain, wherever the summed axes lie */
template <class T> __global__ void dot_places(dot_sizes s, const T *x, const T *y, T *z)
{
    EACH_ITEM(s.groups * s.rows * s.columns, i)
    {
        const int64_t c = i % s.columns, r = i / s.columns % s.rows, g = i / s.columns / s.rows;
        const T *a = x + g * s.rows * s.sum + r / s.x_inner * s.sum * s.x_inner + r % s.x_inner;
        const T *b = y + g * s.columns * s.sum + c / s.y_inner * s.sum * s.y_inner + c % s.y_inner;
        T sum = 0;
        for (int64_t k = 0; k < s.sum; k++)
            sum += a[k * s.x_inner] * b[k * s.y_inner];
        z[i] = sum;
    }
}

int32_t run_DOT(const op_run &run, const rnnrt_op *op)
{
    const dot_sizes s = sizes_of(run.plan, op, run.dims);
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_in(&run, op, 1), *z = rnnrt_out(&run, op, 0);
    const int64_t n = s.groups * s.rows * s.columns;
    if (n < 1)
        return RNNRT_OK;
    if (z->dtype == RNNRT_F64)
        return launch_items(run, n, dot_places<double>, s, (const double *)x->data, (const double *)y->data, (double *)z->data);
    if (s.x_inner > 1 || (s.y_inner > 1 && s.y_inner < s.columns))
        return launch_items(run, n, dot_places<float>, s, (const float *)x->data, (const float *)y->data, (float *)z->data);
    gemm_args a = rnnrt::gemm_plain((const float *)x->data, (const float *)y->data, NULL, (float *)z->data, s.rows, s.columns, s.sum);
    a.w_transposed = s.y_inner == 1;
    a.w_stride = a.w_transposed ? s.sum : s.columns;
    a.batches = s.groups;
    a.x_batch = s.rows * s.sum;
    a.w_batch = s.sum * s.columns;
    a.y_batch = s.rows * s.columns;
    return check(rnnrt::gemm(a, table_of(run.kernels)->math, run.stream), "a product", run.err);
}

} // namespace rnnrt_cuda
