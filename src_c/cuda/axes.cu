/* Ops that move values between axes: concatenate, transpose, slice, last_step, pad, repeat; repeat_vector, copy and
 * concat_masks. Each is a copy with a nest from one set of strides to another; src_c/ops/axes.c and move.c say what each means. */
#include "elements.cuh"
#include "nests.cuh"

#include <string.h>

namespace rnnrt_cuda {

__global__ void copy_places(rnnrt_nest nest, int64_t n, int item, void *dst, const void *src)
{
    EACH_ITEM(n, i)
    {
        int64_t at[2];
        nest_at(nest, i, at);
        copy_item(item, dst, at[0], src, at[1]);
    }
}

int32_t copy_nest(const op_run &run, rnnrt_nest nest, int64_t item, char *dst, const char *src)
{
    for (int k = 0; k < nest.rank; k++)
        if (nest.dim[k] < 1)
            return RNNRT_OK;
    rnnrt_nest_collapse(&nest);
    const int64_t n = nest_places(nest);
    return launch_items(run, n, copy_places, nest, n, (int)item, (void *)dst, (const void *)src);
}

/* One run of n items in each batch row, from x + first to y + to. */
static int32_t copy_rows(const op_run &run, const rnnrt_view *x, int64_t first, const rnnrt_view *y, int64_t to, int64_t n)
{
    const int64_t item = rnnrt_dtype_size(y->dtype);
    rnnrt_nest nest = {};
    nest.operands = 2;
    nest.rank = 2;
    nest.dim[0] = x->batch;
    nest.dim[1] = n;
    nest.stride[0][0] = y->batch_stride;
    nest.stride[1][0] = x->batch_stride;
    nest.stride[0][1] = nest.stride[1][1] = 1;
    return copy_nest(run, nest, item, y->data + to * item, x->data + first * item);
}

int32_t run_COPY(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    return copy_rows(run, x, 0, y, 0, x->steps * x->width);
}

/* in each tile: what stays is that of the last one */
int32_t run_LAST_STEP(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0);
    return copy_rows(run, x, (x->steps - 1) * x->width, rnnrt_out(&run, op, 0), 0, x->width);
}

int32_t run_CONCAT_MASKS(const op_run &run, const rnnrt_op *op)
{
    int64_t at = 0;
    int32_t rc = RNNRT_OK;
    for (int64_t k = 0; !rc && k < op->desc->n_in; k++) {
        const rnnrt_view *x = rnnrt_in(&run, op, (int)k);
        rc = copy_rows(run, x, 0, rnnrt_out(&run, op, 0), at, x->steps * x->width);
        at += x->steps * x->width;
    }
    return rc;
}

int32_t run_REPEAT_VECTOR(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    rnnrt_nest nest = {};
    nest.operands = 2;
    nest.rank = 3;
    nest.dim[0] = x->batch;
    nest.dim[1] = op->attr[0];
    nest.dim[2] = x->steps * x->width;
    nest.stride[0][0] = y->batch_stride;
    nest.stride[0][1] = nest.dim[2];
    nest.stride[1][0] = x->batch_stride;
    nest.stride[0][2] = nest.stride[1][2] = 1;
    return copy_nest(run, nest, rnnrt_dtype_size(x->dtype), y->data, x->data);
}

int32_t run_CONCATENATE(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *y = rnnrt_out(&run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], to[RNNRT_MAX_RANK], item = rnnrt_dtype_size(y->dtype), at = 0;
    const int rank = rnnrt_lengths(&run, op->out[0], dim);
    int32_t rc = RNNRT_OK;
    rnnrt_strides(y, rank, dim, to);
    for (int64_t k = 0; !rc && k < op->desc->n_in; k++) {
        const rnnrt_view *x = rnnrt_in(&run, op, (int)k);
        rnnrt_nest nest = {};
        nest.operands = 2;
        nest.rank = rnnrt_lengths(&run, op->in[k], nest.dim);
        memcpy(nest.stride[0], to, sizeof to);
        rnnrt_strides(x, rank, nest.dim, nest.stride[1]);
        const int64_t offset = at * to[op->attr[0]] * item;
        at += nest.dim[op->attr[0]];
        rc = copy_nest(run, nest, item, y->data + offset, x->data);
    }
    return rc;
}

int32_t run_TRANSPOSE(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], from[RNNRT_MAX_RANK];
    rnnrt_nest nest = {};
    nest.operands = 2;
    rnnrt_strides(x, rnnrt_lengths(&run, op->in[0], dim), dim, from);
    nest.rank = rnnrt_lengths(&run, op->out[0], nest.dim);
    rnnrt_strides(y, nest.rank, nest.dim, nest.stride[0]);
    for (int k = 0; k < nest.rank; k++)
        nest.stride[1][k] = from[op->attr[k]];
    return copy_nest(run, nest, rnnrt_dtype_size(x->dtype), y->data, x->data);
}

/* ---- slice: Python's rule, as src_c/ops/axes.c has it ---- */
enum { S_AXIS, S_BEGIN, S_END, S_STEP, S_COUNT };
#define NONE ((int64_t)1 << 47)

/* The first element of a cut. */
static int64_t first_of(int64_t n, const int64_t *a)
{
    const int64_t step = a[S_STEP], low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n, v = a[S_BEGIN];
    if (v == NONE)
        return step > 0 ? low : high;
    if (v < 0)
        return v + n < low ? low : v + n;
    return v > high ? high : v;
}

int32_t run_SLICE(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], item = rnnrt_dtype_size(x->dtype), offset = 0;
    rnnrt_nest nest = {};
    nest.operands = 2;
    const int rank = rnnrt_lengths(&run, op->in[0], dim);
    rnnrt_strides(x, rank, dim, nest.stride[1]);
    nest.rank = rnnrt_lengths(&run, op->out[0], nest.dim);
    rnnrt_strides(y, rank, nest.dim, nest.stride[0]);
    for (int64_t k = 0; k < op->desc->n_attr; k += S_COUNT) {
        const int64_t axis = op->attr[k];
        if (!nest.dim[axis])
            return RNNRT_OK;
        offset += first_of(dim[axis], op->attr + k) * nest.stride[1][axis];
        if (nest.dim[axis] > 1)
            nest.stride[1][axis] *= op->attr[k + S_STEP];
    }
    return copy_nest(run, nest, item, y->data, x->data + offset * item);
}

/* ---- pad ---- */
int32_t run_PAD(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], item = rnnrt_dtype_size(x->dtype), offset = 0;
    rnnrt_nest nest = {};
    nest.operands = 2;
    const int rank = rnnrt_lengths(&run, op->out[0], dim);
    rnnrt_strides(y, rank, dim, nest.stride[0]);
    const int32_t rc = check(cudaMemset2DAsync(y->data, (size_t)(y->batch_stride * item), 0, (size_t)(y->steps * y->width * item),
                                               (size_t)y->batch, run.stream), "padding", run.err);
    if (rc)
        return rc;
    for (int k = 1; k < rank; k++)
        offset += op->attr[2 * (k - 1)] * nest.stride[0][k];
    nest.rank = rnnrt_lengths(&run, op->in[0], nest.dim);
    rnnrt_strides(x, rank, nest.dim, nest.stride[1]);
    return copy_nest(run, nest, item, y->data + offset * item, x->data);
}

/* ---- repeat: one axis more, the element, then its repetitions ---- */
int32_t run_REPEAT(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    int64_t dim[RNNRT_MAX_RANK], to[RNNRT_MAX_RANK], from[RNNRT_MAX_RANK], axis = op->attr[0];
    rnnrt_nest nest = {};
    nest.operands = 2;
    const int rank = rnnrt_lengths(&run, op->out[0], dim);
    rnnrt_strides(y, rank, dim, to);
    rnnrt_lengths(&run, op->in[0], dim);
    rnnrt_strides(x, rank, dim, from);
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
    return copy_nest(run, nest, rnnrt_dtype_size(x->dtype), y->data, x->data);
}

} // namespace rnnrt_cuda
