/* conv and depthwise_conv over REAL. Included twice; see typed.h. */

static T_DENSE TYPED(dense_of)(const rnnrt_op *op)
{
    rnnrt_window w = rnnrt_window_of(op->attr);
    T_DENSE d = {0};
    SET_DTYPE(d, RNNRT_F32);
    d.inputs = w.k[0] * w.k[1] * (op->attr[C_CHANNELS] / op->attr[C_GROUPS]);
    d.outputs = op->attr[C_FILTERS] / op->attr[C_GROUPS];
    d.activation.kind = (int32_t)op->attr[C_ACT];
    for (int i = 0; i < 3; i++)
        d.activation.param[i] = (REAL)op->real[i];
    /* softmax and its like work over all filters, behind the groups */
    if (op->attr[C_GROUPS] > 1 && rnnrt_rowwise(d.activation.kind))
        d.activation.kind = RNNRT_ACT_LINEAR;
    return d;
}

static int TYPED(channels_ok)(const rnnrt_plan *p, int64_t tensor, int64_t rank, int64_t channels)
{
    const rnnrt_plan_tensor *t = &p->tensors[tensor];
    return t->dtype == REAL_DTYPE && t->rank == rank && rnnrt_known(p, t, rank - 1) == channels && rnnrt_has_shape(p, tensor);
}

/* What both kinds share; `filters` is the width of the output. */
static int32_t TYPED(check_common)(const rnnrt_plan *p, const rnnrt_op *op, int64_t act, int64_t filters, rnnrt_error *err)
{
    rnnrt_window w = rnnrt_window_of(op->attr);
    if (!rnnrt_window_ok(&w) || op->attr[C_CHANNELS] < 1 || op->attr[C_CHANNELS] > 1 << 24 || filters < 1 || filters > 1 << 24
        || act < 0 || act >= RNNRT_ACT_COUNT || act == RNNRT_ACT_GLU)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    int64_t taps = w.k[0] * w.k[1];
    if (taps > 1 << 24 || taps * op->attr[C_CHANNELS] > RNNRT_BIG)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, 0);
    if (!TYPED(channels_ok)(p, op->in[0], w.rank + 2, op->attr[C_CHANNELS])
        || !TYPED(channels_ok)(p, op->out[0], w.rank + 2, filters))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, 0);
    if (op->weight[1] >= 0 && !rnnrt_weight_is(p, op->weight[1], REAL_DTYPE, filters))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 5, 0);
    return RNNRT_OK;
}

static int32_t TYPED(conv_check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != 2 || d->n_attr != C_COUNT || d->n_real != 3 || d->n_state > 1
        || d->mask >= 0)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    int32_t rc = TYPED(check_common)(p, op, op->attr[C_ACT], op->attr[C_FILTERS], err);
    if (rc)
        return rc;
    rnnrt_window w = rnnrt_window_of(op->attr);
    int64_t groups = op->attr[C_GROUPS];
    if (groups < 1 || op->attr[C_CHANNELS] % groups || op->attr[C_FILTERS] % groups
        || !rnnrt_weight_is(p, op->weight[0], REAL_DTYPE,
                            w.k[0] * w.k[1] * (op->attr[C_CHANNELS] / groups) * op->attr[C_FILTERS]))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 6, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    int walks = w.rank == 1 && w.stride[1] == 1 && x->timed && y->timed
             && (w.k[1] == 1 || (w.padding == RNNRT_PAD_CAUSAL && d->n_state == 1));
    if (!walks && !rnnrt_sees_all(p, op))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 7, 0);
    if (d->n_state && (w.k[1] == 1 || w.padding != RNNRT_PAD_CAUSAL || w.stride[1] != 1
                       || p->states[op->state[0]].bytes
                              != rnnrt_context_steps(&w) * op->attr[C_CHANNELS] * (int64_t)sizeof(REAL)))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 8, 0);
    return RNNRT_OK;
}

static int64_t TYPED(conv_prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    T_DENSE d = TYPED(dense_of)(op);
    int64_t groups = op->attr[C_GROUPS], one = rnnrt_round64(TABLE(v->kernels)->dense_packed_bytes(&d));
    return groups * one + (groups > 1 ? d.inputs * d.outputs * (int64_t)sizeof(REAL) : 0);
}

static void TYPED(conv_prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    T_DENSE d = TYPED(dense_of)(op);
    int64_t groups = op->attr[C_GROUPS], one = rnnrt_round64(TABLE(v->kernels)->dense_packed_bytes(&d));
    const REAL *kernel = v->plan->weight_data[op->weight[0]];
    const REAL *bias = op->weight[1] >= 0 ? v->plan->weight_data[op->weight[1]] : NULL;
    if (groups == 1) {
        TABLE(v->kernels)->dense_pack(&d, kernel, bias, NULL, prepared);
        return;
    }
    REAL *part = (REAL *)((char *)prepared + groups * one); /* columns of one group, side by side */
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t i = 0; i < d.inputs; i++)
            memcpy(part + i * d.outputs, kernel + i * op->attr[C_FILTERS] + g * d.outputs, (size_t)d.outputs * sizeof(REAL));
        TABLE(v->kernels)->dense_pack(&d, part, bias ? bias + g * d.outputs : NULL, NULL, (char *)prepared + g * one);
    }
}

/* Scratch: a row for rowwise activations | gathered windows */
static int64_t TYPED(gather_at)(const rnnrt_op *op) { return rnnrt_round64(op->attr[C_FILTERS] * (int64_t)sizeof(REAL)); }

static int32_t TYPED(conv_size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    rnnrt_window w = rnnrt_window_of(op->attr);
    T_DENSE d = TYPED(dense_of)(op);
    int32_t rc = rnnrt_window_fits(s, op, &w, err);
    *scratch = TYPED(gather_at)(op) + RNNRT_GATHER_ROWS * d.inputs * (int64_t)sizeof(REAL);
    *cost = rnnrt_product_ns(s->kernels, 1, (double)elements(s, op->out[0]) / (double)d.outputs, (double)d.inputs,
                             (double)d.outputs, s->plan->weights[op->weight[0]].dtype) + 20;
    return rc;
}

/* The last steps of (context, x) are the context of the next tile. */
static void TYPED(keep_context)(REAL *context, const REAL *x, int64_t steps, int64_t keep, int64_t channels)
{
    if (steps < keep) {
        memmove(context, context + steps * channels, (size_t)((keep - steps) * channels) * sizeof(REAL));
        memcpy(context + (keep - steps) * channels, x, (size_t)(steps * channels) * sizeof(REAL));
    } else {
        memcpy(context, x + (steps - keep) * channels, (size_t)(keep * channels) * sizeof(REAL));
    }
}

static int32_t TYPED(conv_run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    T_DENSE d = TYPED(dense_of)(op);
    int64_t groups = op->attr[C_GROUPS], one = rnnrt_round64(TABLE(run->kernels)->dense_packed_bytes(&d));
    int64_t in[RNNRT_MAX_RANK], out[RNNRT_MAX_RANK];
    TYPED(rnnrt_plane) p = {.k = run->kernels, .team = run->team, .w = rnnrt_window_of(op->attr), .channels = op->attr[C_CHANNELS],
                            .group_channels = op->attr[C_CHANNELS] / groups, .filters = op->attr[C_FILTERS],
                            .gathered = (REAL *)(run->scratch + TYPED(gather_at)(op))};
    rnnrt_shape(run, op->in[0], in);
    rnnrt_shape(run, op->out[0], out);
    rnnrt_spatial(&p.w, in, p.in);
    rnnrt_spatial(&p.w, out, p.out);
    for (int i = 0; i < 2; i++)
        p.before[i] = rnnrt_window_before(p.in[i], p.w.k[i], p.w.stride[i], p.w.dilation[i], p.w.padding);
    if (p.w.rank == 1)
        p.before[0] = 0;
    T_ACTIVATION act = {(int32_t)op->attr[C_ACT], {d.activation.param[0], d.activation.param[1], d.activation.param[2]}};
    for (int64_t b = 0; b < x->batch; b++) {
        REAL *context = op->desc->n_state
            ? (REAL *)(run->rows + b * run->row_bytes + run->plan->states[op->state[0]].offset) : NULL;
        p.x = (const REAL *)x->data + b * x->batch_stride;
        p.y = (REAL *)y->data + b * y->batch_stride;
        p.context = context;
        for (int64_t g = 0; g < groups; g++) {
            d.packed = (const char *)op->prepared + g * one;
            TYPED(rnnrt_convolve)(&p, &d, g);
        }
        if (rnnrt_rowwise(act.kind))
            TABLE(run->kernels)->activate_rows(&act, p.out[0] * p.out[1], p.filters, p.y, p.filters, p.y, p.filters,
                                               (REAL *)run->scratch);
        if (context)
            TYPED(keep_context)(context, p.x, p.in[1], rnnrt_context_steps(&p.w), p.channels);
    }
    return RNNRT_OK;
}

/* ---- depthwise_conv ---- */
static int32_t TYPED(depthwise_check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != 2 || d->n_attr != D_COUNT || d->n_real != 3 || d->n_state
        || d->mask >= 0 || !rnnrt_sees_all(p, op) || op->attr[D_MULTIPLIER] < 1 || op->attr[D_MULTIPLIER] > 1 << 20
        || op->attr[D_CHANNELS] < 1 || op->attr[D_CHANNELS] > 1 << 24)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    int64_t filters = op->attr[D_CHANNELS] * op->attr[D_MULTIPLIER];
    int32_t rc = TYPED(check_common)(p, op, op->attr[D_ACT], filters, err);
    if (rc)
        return rc;
    rnnrt_window w = rnnrt_window_of(op->attr);
    if (!rnnrt_weight_is(p, op->weight[0], REAL_DTYPE, w.k[0] * w.k[1] * filters))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 6, 0);
    return RNNRT_OK;
}

/* bias (zeros where there is none), then the kernel as it is */
static int64_t TYPED(depthwise_prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    (void)v;
    return (op->attr[D_CHANNELS] * op->attr[D_MULTIPLIER] + depthwise_taps(op)) * (int64_t)sizeof(REAL);
}

static void TYPED(depthwise_prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    int64_t filters = op->attr[D_CHANNELS] * op->attr[D_MULTIPLIER];
    REAL *p = prepared;
    memset(p, 0, (size_t)filters * sizeof(REAL));
    if (op->weight[1] >= 0)
        memcpy(p, v->plan->weight_data[op->weight[1]], (size_t)filters * sizeof(REAL));
    memcpy(p + filters, v->plan->weight_data[op->weight[0]], (size_t)depthwise_taps(op) * sizeof(REAL));
}

static int32_t TYPED(depthwise_size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost,
                                      rnnrt_error *err)
{
    rnnrt_window w = rnnrt_window_of(op->attr);
    *scratch = rnnrt_round64(op->attr[D_CHANNELS] * op->attr[D_MULTIPLIER] * (int64_t)sizeof(REAL));
    *cost = elements(s, op->out[0]) / 2 + 20;
    return rnnrt_window_fits(s, op, &w, err);
}

static void TYPED(depthwise_add)(const REAL *x, const REAL *kernel, int64_t channels, int64_t multiplier, REAL *y)
{
    if (multiplier == 1) {
        for (int64_t c = 0; c < channels; c++)
            y[c] += x[c] * kernel[c];
        return;
    }
    for (int64_t c = 0; c < channels; c++)
        for (int64_t m = 0; m < multiplier; m++)
            y[c * multiplier + m] += x[c] * kernel[c * multiplier + m];
}

static int32_t TYPED(depthwise_run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    rnnrt_window w = rnnrt_window_of(op->attr);
    int64_t channels = op->attr[D_CHANNELS], m = op->attr[D_MULTIPLIER], filters = channels * m;
    const REAL *bias = op->prepared, *kernel = bias + filters;
    int64_t in[RNNRT_MAX_RANK], out[RNNRT_MAX_RANK], n[2], o[2], before[2];
    rnnrt_shape(run, op->in[0], in);
    rnnrt_shape(run, op->out[0], out);
    rnnrt_spatial(&w, in, n);
    rnnrt_spatial(&w, out, o);
    for (int i = 0; i < 2; i++)
        before[i] = rnnrt_window_before(n[i], w.k[i], w.stride[i], w.dilation[i], w.padding);
    T_ACTIVATION act = {(int32_t)op->attr[D_ACT], {(REAL)op->real[0], (REAL)op->real[1], (REAL)op->real[2]}};
    for (int64_t b = 0; b < x->batch; b++) {
        const REAL *src = (const REAL *)x->data + b * x->batch_stride;
        REAL *first = (REAL *)y->data + b * y->batch_stride, *dst = first;
        for (int64_t i = 0; i < o[0] * o[1]; i++, dst += filters) {
            int64_t y0 = i / o[1] * w.stride[0] - before[0], x0 = i % o[1] * w.stride[1] - before[1];
            memcpy(dst, bias, (size_t)filters * sizeof(REAL));
            for (int64_t ky = 0; ky < w.k[0]; ky++)
                for (int64_t kx = 0; kx < w.k[1]; kx++) {
                    int64_t iy = y0 + ky * w.dilation[0], ix = x0 + kx * w.dilation[1];
                    if (iy >= 0 && iy < n[0] && ix >= 0 && ix < n[1])
                        TYPED(depthwise_add)(src + (iy * n[1] + ix) * channels, kernel + (ky * w.k[1] + kx) * filters,
                                             channels, m, dst);
                }
        }
        if (rnnrt_rowwise(act.kind))
            TABLE(run->kernels)->activate_rows(&act, o[0] * o[1], filters, first, filters, first, filters,
                                               (REAL *)run->scratch);
        else if (act.kind != RNNRT_ACT_LINEAR)
            TABLE(run->kernels)->activate(&act, o[0] * o[1] * filters, first, first);
    }
    return RNNRT_OK;
}
