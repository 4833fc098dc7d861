/* Embedding: rows of a table by id. Ids arrive as int32, int64, float32 or float64 (Keras's default input is
 * float32) and are truncated toward zero, as Keras casts them.
 *
 * refs: in = ids; out = y; weight = embeddings; attr = input_dim, output_dim, wrap_negative. */
#include <string.h>

#include "op.h"

enum { A_INPUT_DIM, A_OUTPUT_DIM, A_WRAP, A_COUNT };

static int32_t check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != 1 || d->n_attr != A_COUNT || op->weight[0] < 0)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    const rnnrt_plan_weight *w = &p->weights[op->weight[0]];
    const rnnrt_plan_dim *last = &p->dims[y->dims[y->rank - 1]];
    int64_t dt = x->dtype, n = op->attr[A_OUTPUT_DIM];
    if ((dt != RNNRT_I32 && dt != RNNRT_I64 && dt != RNNRT_F32 && dt != RNNRT_F64) || (y->dtype != RNNRT_F32 && y->dtype != RNNRT_F64)
        || y->rank != x->rank + 1 || last->kind != RNNRT_DIM_CONST || last->m != n || w->dtype != y->dtype
        || w->rank != 2 || w->dims[0] != op->attr[A_INPUT_DIM] || w->dims[1] != n)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    return RNNRT_OK;
}

static int64_t row_bytes(const rnnrt_plan *p, const rnnrt_op *op)
{
    return op->attr[A_OUTPUT_DIM] * rnnrt_dtype_size(p->tensors[op->out[0]].dtype);
}

static int64_t prepared_bytes(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return op->attr[A_INPUT_DIM] * row_bytes(v->plan, op);
}

static void prepare(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    memcpy(prepared, v->plan->weight_data[op->weight[0]], (size_t)prepared_bytes(v, op));
}

/* The row of an id, or -1 (outside) or -2 (not a number). */
static inline int64_t row_of(const rnnrt_view *ids, int64_t at, int64_t n, int64_t wrap, int64_t *id)
{
    int64_t i;
    switch (ids->dtype) {
    case RNNRT_I32:
        i = ((const int32_t *)ids->data)[at];
        break;
    case RNNRT_I64:
        i = ((const int64_t *)ids->data)[at];
        break;
    default: {
        double f = ids->dtype == RNNRT_F32 ? (double)((const float *)ids->data)[at] : ((const double *)ids->data)[at];
        if (f != f)
            return -2;
        if (!(f > -9e18 && f < 9e18)) {
            *id = f < 0 ? INT64_MIN : INT64_MAX;
            return -1;
        }
        i = (int64_t)f;
    }
    }
    *id = i;
    if (i < 0 && wrap)
        i += n;
    return i < 0 || i >= n ? -1 : i;
}

static int32_t precheck(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0);
    int64_t per_row = x->steps * x->width, id = 0;
    for (int64_t b = 0; b < x->batch; b++)
        for (int64_t i = 0; i < per_row; i++) {
            int64_t row = row_of(x, b * x->batch_stride + i, op->attr[A_INPUT_DIM], op->attr[A_WRAP], &id);
            if (row < 0)
                return rnnrt_fail(run->err, row == -2 ? RNNRT_EIDNAN : RNNRT_EID, op->index, id, b * per_row + i);
        }
    return RNNRT_OK;
}

static int32_t run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t n = row_bytes(run->plan, op), per_row = x->steps * x->width, id = 0;
    int64_t item = rnnrt_dtype_size(y->dtype);
    const char *table = op->prepared;
    for (int64_t b = 0; b < x->batch; b++) {
        char *out = y->data + b * y->batch_stride * item;
        for (int64_t i = 0; i < per_row; i++) {
            int64_t row = row_of(x, b * x->batch_stride + i, op->attr[A_INPUT_DIM], op->attr[A_WRAP], &id);
            if (row < 0)
                return rnnrt_fail(run->err, row == -2 ? RNNRT_EIDNAN : RNNRT_EID, op->index, id, b * per_row + i);
            memcpy(out + i * n, table + row * n, (size_t)n);
        }
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_embedding = {"embedding", check, prepared_bytes, prepare, NULL, precheck, run, 1};
