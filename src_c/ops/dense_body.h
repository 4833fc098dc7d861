/* Dense over REAL. Included twice; see typed.h. */
#include "share_body.h"

static T_DENSE TYPED(dense_of)(const rnnrt_plan *p, const rnnrt_op *op)
{
    T_DENSE d = {0};
    SET_DTYPE(d, rnnrt_weight_dtype(p, op->weight[W_KERNEL]));
    d.inputs = op->attr[A_INPUTS];
    d.outputs = op->attr[A_OUTPUTS];
    d.activation.kind = (int32_t)op->attr[A_ACT];
    for (int i = 0; i < 3; i++)
        d.activation.param[i] = (REAL)op->real[i];
    d.packed = op->prepared;
    return d;
}

static const rnnrt_kernels *TYPED(kernels_for)(const rnnrt_plan *p, const rnnrt_kernels *k, const rnnrt_op *op)
{
    return TABLE_OF(k, rnnrt_weight_dtype(p, op->weight[W_KERNEL]));
}

static int32_t TYPED(check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || (d->n_weight != W_COUNT && d->n_weight != W_SCALED) || d->n_attr != A_COUNT || d->n_real != 3)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    int64_t k = op->attr[A_INPUTS], n = op->attr[A_OUTPUTS], act = op->attr[A_ACT];
    if (k < 1 || n < 1 || k > (int64_t)1 << 32 || n > (int64_t)1 << 32 || act < 0 || act >= RNNRT_ACT_COUNT
        || (act == RNNRT_ACT_GLU && n % 2))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    if (p->tensors[op->in[0]].dtype != REAL_DTYPE || p->tensors[op->out[0]].dtype != REAL_DTYPE
        || last_dim(p, op->in[0]) != k || last_dim(p, op->out[0]) != (act == RNNRT_ACT_GLU ? n / 2 : n)
        || p->tensors[op->in[0]].rank != p->tensors[op->out[0]].rank)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, 0);
    const rnnrt_plan_weight *w = op->weight[W_KERNEL] < 0 ? NULL : &p->weights[op->weight[W_KERNEL]];
    const rnnrt_plan_weight *b = op->weight[W_BIAS] < 0 ? NULL : &p->weights[op->weight[W_BIAS]];
    if (!w || !STORED_DTYPE(w->dtype) || !TABLE_OF(v->kernels, (int32_t)w->dtype) || w->rank != 2 || w->dims[0] != k || w->dims[1] != n
        || (b && (b->dtype != REAL_DTYPE || b->rank != 1 || b->dims[0] != n)))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, 0);
    if (d->n_weight != (w->dtype == RNNRT_I8 ? W_SCALED : W_COUNT))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 5, 0);
    const rnnrt_plan_weight *s = w->dtype != RNNRT_I8 || op->weight[W_SCALE] < 0 ? NULL : &p->weights[op->weight[W_SCALE]];
    if (w->dtype == RNNRT_I8 && (!s || s->dtype != RNNRT_F32 || s->rank != 1 || s->dims[0] != n || k > RNNRT_INT8_INPUTS))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 6, 0);
    return RNNRT_OK;
}

/* What prepare makes: this record, then the packed weights. */
typedef struct TYPED(made) {
    const rnnrt_kernels *k;
    T_DENSE dense;
} TYPED(made);

static int64_t TYPED(prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    T_DENSE d = TYPED(dense_of)(v->plan, op);
    return rnnrt_round64(sizeof(TYPED(made))) + TABLE(TYPED(kernels_for)(v->plan, v->kernels, op))->dense_packed_bytes(&d);
}

static void TYPED(prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    TYPED(made) *made = prepared;
    char *packed = (char *)prepared + rnnrt_round64(sizeof *made);
    made->k = TYPED(kernels_for)(v->plan, v->kernels, op);
    made->dense = TYPED(dense_of)(v->plan, op);
    const void *const *data = v->plan->weight_data;
    TABLE(made->k)->dense_pack(&made->dense, data[op->weight[W_KERNEL]], op->weight[W_BIAS] >= 0 ? data[op->weight[W_BIAS]] : NULL,
                               op->desc->n_weight == W_SCALED ? data[op->weight[W_SCALE]] : NULL, packed);
    made->dense.packed = packed;
}

/* rowwise activations read one row of the linear part from scratch */
static int32_t TYPED(size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]];
    int64_t rows = 1;
    for (int i = 0; i < x->rank - 1; i++)
        rows *= s->dims[x->dims[i]];
    *scratch = rnnrt_rowwise(op->attr[A_ACT]) ? 2 * rnnrt_round64(op->attr[A_OUTPUTS] * (int64_t)sizeof(REAL)) : 0;
    *cost = rnnrt_product_ns(s->kernels, 1, (double)rows, (double)op->attr[A_INPUTS], (double)op->attr[A_OUTPUTS],
                             s->plan->weights[op->weight[W_KERNEL]].dtype) + 20;
    return rnnrt_axes_agree(s, op, x->rank - 1, err);
}

static void TYPED(dense_rows)(const rnnrt_run *run, const TYPED(made) *made, int64_t rows, const REAL *x, REAL *y)
{
    const rnnrt_kernels *k = made->k;
    const T_DENSE *d = &made->dense;
    if (!rnnrt_rowwise(d->activation.kind)) {
        TYPED(rnnrt_dense)(run->team, k, d, rows, x, d->inputs, y, d->outputs);
        return;
    }
    int64_t n = d->outputs;
    REAL *scratch = (REAL *)run->scratch;
    if (d->activation.kind != RNNRT_ACT_GLU) {
        TYPED(rnnrt_dense)(run->team, k, d, rows, x, d->inputs, y, n);
        TABLE(run->kernels)->activate_rows(&d->activation, rows, n, y, n, y, n, scratch);
        return;
    }
    REAL *line = (REAL *)(run->scratch + rnnrt_round64(n * (int64_t)sizeof(REAL)));
    for (int64_t r = 0; r < rows; r++) {
        TABLE(k)->dense(d, 1, x + r * d->inputs, d->inputs, line, n, 0, RNNRT_ALL_BLOCKS);
        TABLE(run->kernels)->activate_rows(&d->activation, 1, n, line, n, y + r * (n / 2), n / 2, scratch);
    }
}

static int32_t TYPED(run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const TYPED(made) *made = op->prepared;
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t length, spans = rnnrt_spans(x, y, &length);
    int64_t rows = x->width == made->dense.inputs ? length : length * (x->width / made->dense.inputs);
    for (int64_t i = 0; i < spans; i++)
        TYPED(dense_rows)(run, made, rows, (const REAL *)x->data + i * x->batch_stride, (REAL *)y->data + i * y->batch_stride);
    return RNNRT_OK;
}
