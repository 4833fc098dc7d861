/* einsum_dense over REAL. Included twice; see typed.h. */
#include "share_body.h"

static T_DENSE TYPED(dense_of)(const rnnrt_plan *p, const rnnrt_op *op)
{
    T_DENSE d = {0};
    SET_DTYPE(d, RNNRT_F32);
    d.inputs = last_axes(p, op->in[0], op->attr[A_CONTRACTED]);
    d.outputs = last_axes(p, op->out[0], op->attr[A_NEW]);
    d.activation.kind = (int32_t)op->attr[A_ACT];
    for (int i = 0; i < 3; i++)
        d.activation.param[i] = (REAL)op->real[i];
    d.packed = op->prepared;
    return d;
}

static int32_t TYPED(check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != 2 || d->n_attr != A_COUNT || d->n_real != 3 || d->mask >= 0)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    int64_t k = last_axes(p, op->in[0], op->attr[A_CONTRACTED]), n = last_axes(p, op->out[0], op->attr[A_NEW]);
    int64_t act = op->attr[A_ACT], kept = x->rank - op->attr[A_CONTRACTED];
    if (x->dtype != REAL_DTYPE || y->dtype != REAL_DTYPE || k < 1 || n < 1 || k > RNNRT_BIG / n || act < 0
        || act >= RNNRT_ACT_COUNT || rnnrt_rowwise(act) || y->rank - op->attr[A_NEW] != kept)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    for (int64_t i = 0; i < kept; i++)
        if (x->dims[i] != y->dims[i])
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, i);
    if (!rnnrt_sees_all(p, op) && !(x->timed && y->timed && kept >= 2))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, 0);
    if (!rnnrt_weight_is(p, op->weight[0], REAL_DTYPE, k * n))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 5, 0);
    for (int64_t i = 1; op->weight[1] >= 0; i++) { /* the bias has the last i of the new axes */
        if (i > op->attr[A_NEW])
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 6, 0);
        if (rnnrt_weight_is(p, op->weight[1], REAL_DTYPE, last_axes(p, op->out[0], i)))
            break;
    }
    return RNNRT_OK;
}

/* packed | the bias, repeated where it has fewer axes */
static int64_t TYPED(packed_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    T_DENSE d = TYPED(dense_of)(v->plan, op);
    return rnnrt_round64(TABLE(v->kernels)->dense_packed_bytes(&d));
}

static int64_t TYPED(prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return TYPED(packed_bytes)(v, op) + TYPED(dense_of)(v->plan, op).outputs * (int64_t)sizeof(REAL);
}

static void TYPED(prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    T_DENSE d = TYPED(dense_of)(v->plan, op);
    REAL *bias = NULL;
    if (op->weight[1] >= 0) {
        const rnnrt_plan_weight *w = &v->plan->weights[op->weight[1]];
        int64_t n = 1;
        for (int64_t i = 0; i < w->rank; i++)
            n *= w->dims[i];
        bias = (REAL *)((char *)prepared + TYPED(packed_bytes)(v, op));
        for (int64_t i = 0; i < d.outputs; i++)
            bias[i] = ((const REAL *)v->plan->weight_data[op->weight[1]])[i % n];
    }
    TABLE(v->kernels)->dense_pack(&d, v->plan->weight_data[op->weight[0]], bias, NULL, prepared);
}

static int32_t TYPED(size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    (void)err;
    *scratch = 0;
    T_DENSE d = TYPED(dense_of)(s->plan, op);
    *cost = rnnrt_product_ns(s->kernels, 1, (double)rnnrt_elements(s, op->out[0]) / (double)d.outputs, (double)d.inputs,
                             (double)d.outputs, s->plan->weights[op->weight[0]].dtype) + 20;
    return RNNRT_OK;
}

static int32_t TYPED(run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    T_DENSE d = TYPED(dense_of)(run->plan, op);
    int64_t rows = x->steps * x->width / d.inputs;
    if (x->batch_stride == x->steps * x->width && y->batch_stride == y->steps * y->width) {
        TYPED(rnnrt_dense)(run->team, run->kernels, &d, x->batch * rows, (const REAL *)x->data, d.inputs,
                           (REAL *)y->data, d.outputs);
        return RNNRT_OK;
    }
    for (int64_t b = 0; b < x->batch; b++)
        TYPED(rnnrt_dense)(run->team, run->kernels, &d, rows, (const REAL *)x->data + b * x->batch_stride, d.inputs,
                           (REAL *)y->data + b * y->batch_stride, d.outputs);
    return RNNRT_OK;
}
