/* Embedding: rows of a table by id. Ids arrive as int32, int64, float32 or float64 (Keras's default input is
 * float32) and are truncated toward zero, as Keras casts them.
 *
 * Tables of float16 and int8 stay as they are; a row is widened as it is read: exactly, or one product of a whole
 * number and the row's scale. Where link.c says so, rows are not read: their numbers are written, for those who then
 * find the rows in what is prepared here.
 *
 * refs: in = ids; out = y; weight = embeddings, of int8 ones the scale (input_dim); attr = input_dim, output_dim, wrap_negative. */
#include <string.h>

#include "../kernels/half.h"
#include "op.h"

enum { A_INPUT_DIM, A_OUTPUT_DIM, A_WRAP, A_COUNT };

static int32_t check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight < 1 || d->n_weight > 2 || d->n_attr != A_COUNT || op->weight[0] < 0)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    const rnnrt_plan_weight *w = &p->weights[op->weight[0]];
    const rnnrt_plan_dim *last = &p->dims[y->dims[y->rank - 1]];
    int64_t dt = x->dtype, n = op->attr[A_OUTPUT_DIM];
    int narrow = y->dtype == RNNRT_F32 && (w->dtype == RNNRT_F16 || w->dtype == RNNRT_I8);
    if ((dt != RNNRT_I32 && dt != RNNRT_I64 && dt != RNNRT_F32 && dt != RNNRT_F64) || (y->dtype != RNNRT_F32 && y->dtype != RNNRT_F64)
        || y->rank != x->rank + 1 || last->kind != RNNRT_DIM_CONST || last->m != n || (w->dtype != y->dtype && !narrow)
        || w->rank != 2 || w->dims[0] != op->attr[A_INPUT_DIM] || w->dims[1] != n)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    const rnnrt_plan_weight *s = d->n_weight == 2 && op->weight[1] >= 0 ? &p->weights[op->weight[1]] : NULL;
    if (d->n_weight != (w->dtype == RNNRT_I8 ? 2 : 1)
        || (w->dtype == RNNRT_I8 && (!s || s->dtype != RNNRT_F32 || s->rank != 1 || s->dims[0] != op->attr[A_INPUT_DIM])))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, 0);
    return RNNRT_OK;
}

static int64_t stored_dtype(const rnnrt_plan *p, const rnnrt_op *op) { return p->weights[op->weight[0]].dtype; }

/* the table as stored, then the scales of its rows where they have some */
static int64_t table_bytes(const rnnrt_plan *p, const rnnrt_op *op)
{
    return op->attr[A_INPUT_DIM] * op->attr[A_OUTPUT_DIM] * rnnrt_dtype_size(stored_dtype(p, op));
}

static int64_t prepared_bytes(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    int64_t scales = op->desc->n_weight == 2 ? op->attr[A_INPUT_DIM] * (int64_t)sizeof(float) : 0;
    return rnnrt_round64(table_bytes(v->plan, op)) + scales;
}

static void prepare(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    int64_t bytes = table_bytes(v->plan, op);
    memcpy(prepared, v->plan->weight_data[op->weight[0]], (size_t)bytes);
    if (op->desc->n_weight == 2)
        memcpy((char *)prepared + rnnrt_round64(bytes), v->plan->weight_data[op->weight[1]],
               (size_t)op->attr[A_INPUT_DIM] * sizeof(float));
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

static void read_row(int64_t dtype, int64_t n, const char *table, int64_t row, const float *scales, char *out)
{
    float *y = (float *)out;
    if (dtype == RNNRT_F16) {
        const uint16_t *half = (const uint16_t *)table + row * n;
        for (int64_t i = 0; i < n; i++)
            y[i] = rnnrt_half(half[i]);
    } else if (dtype == RNNRT_I8) {
        const int8_t *count = (const int8_t *)table + row * n;
        for (int64_t i = 0; i < n; i++)
            y[i] = (float)count[i] * scales[row];
    } else {
        n *= rnnrt_dtype_size(dtype);
        memcpy(out, table + row * n, (size_t)n);
    }
}

static int32_t run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t n = op->attr[A_OUTPUT_DIM], dtype = stored_dtype(run->plan, op), per_row = x->steps * x->width, id = 0;
    int64_t item = rnnrt_dtype_size(y->dtype);
    const char *table = op->prepared;
    const float *scales = (const float *)(table + rnnrt_round64(table_bytes(run->plan, op)));
    for (int64_t b = 0; b < x->batch; b++) {
        char *out = y->data + b * y->batch_stride * item;
        for (int64_t i = 0; i < per_row; i++) {
            int64_t row = row_of(x, b * x->batch_stride + i, op->attr[A_INPUT_DIM], op->attr[A_WRAP], &id);
            if (row < 0)
                return rnnrt_fail(run->err, row == -2 ? RNNRT_EIDNAN : RNNRT_EID, op->index, id, b * per_row + i);
            if (op->numbers)
                *(int32_t *)(out + i * n * item) = (int32_t)row;
            else
                read_row(dtype, n, table, row, scales, out + i * n * item);
        }
    }
    return RNNRT_OK;
}

static int32_t size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]];
    int64_t n = 1;
    for (int i = 0; i < x->rank; i++)
        n *= s->dims[x->dims[i]];
    *scratch = 0;
    *cost = n * (op->attr[A_OUTPUT_DIM] / 8 + 2);
    return rnnrt_axes_agree(s, op, x->rank, err);
}

const rnnrt_op_class rnnrt_op_embedding = {"embedding", check, prepared_bytes, prepare, size, precheck, run, 1};
