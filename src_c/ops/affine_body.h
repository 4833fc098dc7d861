/* normalization, rescaling, prelu and softmax over REAL. Included twice; see typed.h. */

static int32_t TYPED(affine_check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != (rescales(op) ? 0 : 2) || d->n_attr != (rescales(op) ? 2 : 3)
        || d->mask >= 0 || !rnnrt_axes_ok(p, op, REAL_DTYPE, op->attr[N_FIRST], op->attr[N_LAST]))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    int64_t n = rnnrt_axes_known(p, op->in[0], op->attr[N_FIRST], op->attr[N_LAST]);
    if (has_weights(op)) {
        for (int i = 0; i < 2; i++)
            if (!rnnrt_weight_is(p, op->weight[i], REAL_DTYPE, n) && !rnnrt_weight_is(p, op->weight[i], REAL_DTYPE, 1))
                return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, i);
        if (!rnnrt_weight_is(p, op->weight[0], REAL_DTYPE, n) != !rnnrt_weight_is(p, op->weight[1], REAL_DTYPE, n))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 2);
        return d->n_real ? rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, 0) : RNNRT_OK;
    }
    if (d->n_real < 2 || d->n_real % 2 || (constants(op) != 1 && constants(op) != n)
        || (!rescales(op) && (op->weight[0] >= 0 || op->weight[1] >= 0)))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, 0);
    return RNNRT_OK;
}

/* A run of values is prepared whole; one for all is prepared as it is. */
static int64_t TYPED(prepared_count)(const rnnrt_plan *p, const rnnrt_op *op)
{
    if (!has_weights(op))
        return constants(op);
    int64_t n = rnnrt_axes_known(p, op->in[0], op->attr[N_FIRST], op->attr[N_LAST]);
    return rnnrt_weight_is(p, op->weight[0], REAL_DTYPE, n) ? n : 1;
}

static int64_t TYPED(affine_prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return 2 * TYPED(prepared_count)(v->plan, op) * (int64_t)sizeof(REAL);
}

/* normalization: mean | divisor; rescaling: scale | offset */
static void TYPED(affine_prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    int64_t n = TYPED(prepared_count)(v->plan, op);
    REAL *first = prepared, *second = first + n;
    for (int64_t i = 0; i < n; i++) {
        double a = has_weights(op) ? (double)((const REAL *)v->plan->weight_data[op->weight[0]])[i] : op->real[i];
        double b = has_weights(op) ? (double)((const REAL *)v->plan->weight_data[op->weight[1]])[i] : op->real[n + i];
        first[i] = (REAL)a;
        second[i] = (REAL)(rescales(op) ? b : sqrt((double)(REAL)b) > 1e-7 ? sqrt((double)(REAL)b) : 1e-7);
    }
}

static REAL TYPED(affine_one)(const rnnrt_op *op, REAL x, REAL first, REAL second)
{
    if (rescales(op))
        return x * first + second;
    return op->attr[N_INVERT] ? x * second + first : (x - first) / second;
}

static int32_t TYPED(affine_run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    rnnrt_axes a = rnnrt_axes_of(run, op, op->attr[N_FIRST], op->attr[N_LAST]);
    int64_t count = TYPED(prepared_count)(run->plan, op);
    const REAL *first = op->prepared, *second = first + count;
    for (int64_t b = 0; b < x->batch; b++) {
        const REAL *src = (const REAL *)x->data + b * x->batch_stride;
        REAL *dst = (REAL *)y->data + b * y->batch_stride;
        for (int64_t o = 0; o < a.outer; o++)
            for (int64_t k = 0; k < a.n; k++)
                for (int64_t i = 0; i < a.inner; i++, src++)
                    *dst++ = TYPED(affine_one)(op, *src, first[count > 1 ? k : 0], second[count > 1 ? k : 0]);
    }
    return RNNRT_OK;
}

/* ---- prelu ---- */
static int32_t TYPED(prelu_check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != 1 || d->n_attr != 1 || d->mask >= 0 || op->weight[0] < 0)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]];
    const rnnrt_plan_weight *w = &p->weights[op->weight[0]];
    if (!rnnrt_axes_ok(p, op, REAL_DTYPE, op->attr[0], x->rank - 1) || prelu_period(p, op) < 1 || w->dtype != REAL_DTYPE
        || w->rank != x->rank - 1 || w->rank > 4)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    for (int64_t i = 1; i < x->rank; i++)
        if (w->dims[i - 1] != 1 && (i < op->attr[0] || w->dims[i - 1] != rnnrt_known(p, x, i)))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, i);
    return RNNRT_OK;
}

static int64_t TYPED(prelu_prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return prelu_period(v->plan, op) * (int64_t)sizeof(REAL);
}

/* alpha for each place behind the first axis that is not shared */
static void TYPED(prelu_prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]];
    const rnnrt_plan_weight *w = &p->weights[op->weight[0]];
    const REAL *alpha = p->weight_data[op->weight[0]];
    REAL *out = prepared;
    for (int64_t k = 0; k < prelu_period(p, op); k++) {
        int64_t rest = k, at = 0, step = 1;
        for (int64_t i = x->rank - 1; i >= op->attr[0]; i--) {
            int64_t n = rnnrt_known(p, x, i);
            at += w->dims[i - 1] == 1 ? 0 : rest % n * step;
            step *= w->dims[i - 1];
            rest /= n;
        }
        out[k] = alpha[at];
    }
}

static int32_t TYPED(prelu_run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    const REAL *alpha = op->prepared;
    int64_t period = prelu_period(run->plan, op);
    for (int64_t b = 0; b < x->batch; b++) {
        const REAL *src = (const REAL *)x->data + b * x->batch_stride;
        REAL *dst = (REAL *)y->data + b * y->batch_stride;
        for (int64_t o = 0; o < x->steps * x->width / period; o++, src += period, dst += period)
            for (int64_t k = 0; k < period; k++)
                dst[k] = src[k] > 0 ? src[k] : src[k] * alpha[k];
    }
    return RNNRT_OK;
}

/* ---- softmax ---- */
static int32_t TYPED(softmax_check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_attr != 2 || d->mask >= 0
        || !rnnrt_axes_ok(v->plan, op, REAL_DTYPE, op->attr[N_FIRST], op->attr[N_LAST]))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    return RNNRT_OK;
}

static int32_t TYPED(softmax_size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    int64_t n = rnnrt_axes_length(s, op, op->attr[N_FIRST], op->attr[N_LAST]);
    if (n < 1)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, n, 1);
    *scratch = 2 * rnnrt_round64(n * (int64_t)sizeof(REAL));
    *cost = 2 * rnnrt_elements(s, op->in[0]) + 20;
    return RNNRT_OK;
}

static int32_t TYPED(softmax_run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    rnnrt_axes a = rnnrt_axes_of(run, op, op->attr[N_FIRST], op->attr[N_LAST]);
    T_ACTIVATION act = {RNNRT_ACT_SOFTMAX, {0, 0, 0}};
    REAL *spare = (REAL *)run->scratch, *line = (REAL *)(run->scratch + rnnrt_round64(a.n * (int64_t)sizeof(REAL)));
    for (int64_t b = 0; b < x->batch; b++) {
        const REAL *src = (const REAL *)x->data + b * x->batch_stride;
        REAL *dst = (REAL *)y->data + b * y->batch_stride;
        if (a.inner == 1) {
            TABLE(run->kernels)->activate_rows(&act, a.outer, a.n, src, a.n, dst, a.n, spare);
            continue;
        }
        for (int64_t o = 0; o < a.outer; o++, src += a.n * a.inner, dst += a.n * a.inner)
            for (int64_t i = 0; i < a.inner; i++) {
                for (int64_t k = 0; k < a.n; k++)
                    line[k] = src[k * a.inner + i];
                TABLE(run->kernels)->activate_rows(&act, 1, a.n, line, a.n, line, a.n, spare);
                for (int64_t k = 0; k < a.n; k++)
                    dst[k * a.inner + i] = line[k];
            }
    }
    return RNNRT_OK;
}
