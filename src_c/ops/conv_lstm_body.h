/* conv_lstm over REAL. Included twice; see typed.h. */

static T_DENSE TYPED(dense_of)(const rnnrt_op *op, int recurrent)
{
    T_DENSE d = {0};
    SET_DTYPE(d, RNNRT_F32);
    d.inputs = op->attr[1] * op->attr[2] * (recurrent ? op->attr[A_FILTERS] : op->attr[A_CHANNELS]);
    d.outputs = 4 * op->attr[A_FILTERS];
    d.activation.kind = RNNRT_ACT_LINEAR;
    return d;
}

static int TYPED(spatial_is)(const rnnrt_plan *p, int64_t tensor, int64_t at, int64_t rank, const int64_t *lengths,
                             int64_t last)
{
    const rnnrt_plan_tensor *t = &p->tensors[tensor];
    if (t->dtype != REAL_DTYPE || t->rank != at + rank + 1 || rnnrt_known(p, t, at + rank) != last)
        return 0;
    for (int64_t i = 0; i < rank; i++)
        if (rnnrt_known(p, t, at + i) != lengths[i + 2 - rank])
            return 0;
    return rank == 2 || lengths[0] == 1;
}

static int32_t TYPED(check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    int masked = d->mask >= 0, sequences = (d->flags & RNNRT_OP_SEQUENCES) != 0;
    if (d->n_in != 1 || (d->n_out != 1 && d->n_out != 3) || d->n_weight != 3 || d->n_attr != A_COUNT || d->n_real != 6
        || (d->n_state != 0 && d->n_state != 2 + masked) || (d->n_init != 0 && d->n_init != 2))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    rnnrt_window w = rnnrt_window_of(op->attr);
    int64_t channels = op->attr[A_CHANNELS], filters = op->attr[A_FILTERS];
    if (!rnnrt_window_ok(&w) || w.padding == RNNRT_PAD_CAUSAL || channels < 1 || channels > 1 << 20 || filters < 1
        || filters > 1 << 20 || w.k[0] * w.k[1] > 1 << 16)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    for (int i = 0; i < 2; i++) {
        int64_t n = op->attr[A_IN + i], act = op->attr[A_ACT + i];
        if (n < 1 || n > 1 << 16 || act < 0 || act >= RNNRT_ACT_COUNT || act == RNNRT_ACT_GLU
            || op->attr[A_OUT + i] != rnnrt_window_count(n, w.k[i], w.stride[i], w.dilation[i], w.padding)
            || op->attr[A_OUT + i] < 1)
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, i);
    }
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    if (!x->timed || !TYPED(spatial_is)(p, op->in[0], 2, w.rank, op->attr + A_IN, channels) || (sequences && !y->timed)
        || !TYPED(spatial_is)(p, op->out[0], 1 + sequences, w.rank, op->attr + A_OUT, filters)
        || (!sequences && y->timed && !rnnrt_sees_all(p, op)))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, 0);
    for (int64_t i = 0; i < d->n_out - 1 + d->n_init; i++) {
        int64_t t = i < d->n_out - 1 ? op->out[1 + i] : op->init[i - (d->n_out - 1)];
        if (!TYPED(spatial_is)(p, t, 1, w.rank, op->attr + A_OUT, filters) || p->tensors[t].storage != RNNRT_STORE_WHOLE)
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 5, i);
    }
    if (masked && (p->tensors[d->mask].dtype != RNNRT_BOOL || p->tensors[d->mask].rank != 2 || !p->tensors[d->mask].timed))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 6, 0);
    for (int i = 0; i < d->n_state; i++)
        if (p->states[op->state[i]].bytes != (i < 2 ? places(op) * filters * (int64_t)sizeof(REAL) : 4))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 7, i);
    if (!d->n_state && !rnnrt_sees_all(p, op)) /* nothing would keep the state from tile to tile */
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 8, 0);
    int64_t taps = w.k[0] * w.k[1];
    if (!rnnrt_weight_is(p, op->weight[0], REAL_DTYPE, taps * channels * 4 * filters)
        || !rnnrt_weight_is(p, op->weight[1], REAL_DTYPE, taps * filters * 4 * filters)
        || (op->weight[2] >= 0 && !rnnrt_weight_is(p, op->weight[2], REAL_DTYPE, 4 * filters)))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 9, 0);
    return RNNRT_OK;
}

static int64_t TYPED(packed)(const rnnrt_kernels *k, const rnnrt_op *op, int recurrent)
{
    T_DENSE d = TYPED(dense_of)(op, recurrent);
    return rnnrt_round64(TABLE(k)->dense_packed_bytes(&d));
}

static int64_t TYPED(prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return TYPED(packed)(v->kernels, op, 0) + TYPED(packed)(v->kernels, op, 1);
}

static void TYPED(prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    T_DENSE dx = TYPED(dense_of)(op, 0), dh = TYPED(dense_of)(op, 1);
    const REAL *bias = op->weight[2] >= 0 ? v->plan->weight_data[op->weight[2]] : NULL;
    TABLE(v->kernels)->dense_pack(&dx, v->plan->weight_data[op->weight[0]], bias, NULL, prepared);
    TABLE(v->kernels)->dense_pack(&dh, v->plan->weight_data[op->weight[1]], NULL, NULL,
                                  (char *)prepared + TYPED(packed)(v->kernels, op, 0));
}

static layout TYPED(layout_of)(const rnnrt_op *op, int64_t batch)
{
    layout l;
    T_DENSE dx = TYPED(dense_of)(op, 0), dh = TYPED(dense_of)(op, 1);
    int64_t widest = dx.inputs > dh.inputs ? dx.inputs : dh.inputs, n = places(op) * op->attr[A_FILTERS];
    l.gathered = 0;
    l.zx = rnnrt_round64(RNNRT_GATHER_ROWS * widest * (int64_t)sizeof(REAL));
    l.zh = l.zx + rnnrt_round64(4 * n * (int64_t)sizeof(REAL));
    l.gates = l.zh + rnnrt_round64(4 * n * (int64_t)sizeof(REAL));
    l.line = l.gates + 5 * rnnrt_round64(n * (int64_t)sizeof(REAL));
    l.local = l.line + rnnrt_round64(op->attr[A_FILTERS] * (int64_t)sizeof(REAL));
    l.local_stride = 2 * rnnrt_round64(n * (int64_t)sizeof(REAL)) + 64;
    l.total = l.local + (op->desc->n_state ? 0 : batch * l.local_stride);
    return l;
}

static int32_t TYPED(size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan *p = s->plan;
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    int64_t batch = s->dims[x->dims[0]], steps = s->dims[x->dims[1]];
    if (steps < 1 || s->dims[y->dims[0]] != batch || ((op->desc->flags & RNNRT_OP_SEQUENCES) && s->dims[y->dims[1]] != steps))
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, steps, 1);
    if (op->desc->mask >= 0) {
        const rnnrt_plan_tensor *m = &p->tensors[op->desc->mask];
        if (s->dims[m->dims[0]] != batch || s->dims[m->dims[1]] != steps)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[m->dims[1]], steps);
    }
    for (int64_t i = 0; i < op->desc->n_out - 1 + op->desc->n_init; i++) {
        int64_t t = i < op->desc->n_out - 1 ? op->out[1 + i] : op->init[i - (op->desc->n_out - 1)];
        if (s->dims[p->tensors[t].dims[0]] != batch)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[p->tensors[t].dims[0]], batch);
    }
    T_DENSE dx = TYPED(dense_of)(op, 0), dh = TYPED(dense_of)(op, 1);
    *scratch = TYPED(layout_of)(op, batch).total;
    *cost = rnnrt_product_ns(s->kernels, (double)steps, (double)(batch * places(op)), (double)(dx.inputs + dh.inputs),
                             (double)dx.outputs, p->weights[op->weight[0]].dtype) + 50;
    return RNNRT_OK;
}

/* What a step needs of one run. */
typedef struct TYPED(loop) {
    const rnnrt_kernels *k;
    const rnnrt_op *op;
    TYPED(rnnrt_plane) in, hidden;
    T_DENSE dx, dh;
    T_ACTIVATION act, ract;
    int64_t n, filters;          /* values of a state; of one place */
    char *scratch;
    layout l;
} TYPED(loop);

static void TYPED(apply)(const TYPED(loop) *lp, const T_ACTIVATION *a, REAL *x)
{
    if (rnnrt_rowwise(a->kind))
        TABLE(lp->k)->activate_rows(a, lp->n / lp->filters, lp->filters, x, lp->filters, x, lp->filters,
                                    (REAL *)(lp->scratch + lp->l.line));
    else
        TABLE(lp->k)->activate(a, lp->n, x, x);
}

/* One step of one row: h and c become the new ones. */
static void TYPED(step)(TYPED(loop) *lp, const REAL *x, REAL *h, REAL *c)
{
    REAL *zx = (REAL *)(lp->scratch + lp->l.zx), *zh = (REAL *)(lp->scratch + lp->l.zh), *gate[5];
    for (int g = 0; g < 5; g++)
        gate[g] = (REAL *)(lp->scratch + lp->l.gates + g * rnnrt_round64(lp->n * (int64_t)sizeof(REAL)));
    lp->in.x = x;
    lp->in.y = zx;
    TYPED(rnnrt_convolve)(&lp->in, &lp->dx, 0);
    lp->hidden.x = h;
    lp->hidden.y = zh;
    TYPED(rnnrt_convolve)(&lp->hidden, &lp->dh, 0);
    for (int64_t p = 0; p < lp->n / lp->filters; p++)
        for (int g = 0; g < 4; g++)
            for (int64_t f = 0; f < lp->filters; f++) {
                int64_t at = (p * 4 + g) * lp->filters + f;
                gate[g][p * lp->filters + f] = zx[at] + zh[at];
            }
    TYPED(apply)(lp, &lp->ract, gate[0]);
    TYPED(apply)(lp, &lp->ract, gate[1]);
    TYPED(apply)(lp, &lp->act, gate[2]);
    TYPED(apply)(lp, &lp->ract, gate[3]);
    for (int64_t i = 0; i < lp->n; i++)
        c[i] = gate[1][i] * c[i] + gate[0][i] * gate[2][i];
    memcpy(gate[4], c, (size_t)lp->n * sizeof(REAL));
    TYPED(apply)(lp, &lp->act, gate[4]);
    for (int64_t i = 0; i < lp->n; i++)
        h[i] = gate[3][i] * gate[4][i];
}

static void TYPED(prepare_loop)(TYPED(loop) *lp, const rnnrt_run *run, const rnnrt_op *op, int64_t batch)
{
    rnnrt_window w = rnnrt_window_of(op->attr), same = {w.rank, {w.k[0], w.k[1]}, {1, 1}, {1, 1}, RNNRT_PAD_SAME};
    int64_t filters = op->attr[A_FILTERS];
    memset(lp, 0, sizeof *lp);
    lp->k = run->kernels;
    lp->op = op;
    lp->scratch = run->scratch;
    lp->l = TYPED(layout_of)(op, batch);
    lp->filters = filters;
    lp->n = places(op) * filters;
    REAL *gathered = (REAL *)(run->scratch + lp->l.gathered);
    lp->in = (TYPED(rnnrt_plane)){.k = run->kernels, .w = w, .channels = op->attr[A_CHANNELS],
                                  .group_channels = op->attr[A_CHANNELS], .filters = 4 * filters, .gathered = gathered};
    lp->hidden = (TYPED(rnnrt_plane)){.k = run->kernels, .w = same, .channels = filters, .group_channels = filters,
                                      .filters = 4 * filters, .gathered = gathered};
    for (int i = 0; i < 2; i++) {
        lp->in.in[i] = op->attr[A_IN + i];
        lp->in.out[i] = lp->hidden.in[i] = lp->hidden.out[i] = op->attr[A_OUT + i];
        lp->in.before[i] = rnnrt_window_before(lp->in.in[i], w.k[i], w.stride[i], w.dilation[i], w.padding);
        lp->hidden.before[i] = rnnrt_window_before(lp->hidden.in[i], w.k[i], 1, 1, RNNRT_PAD_SAME);
    }
    lp->dx = TYPED(dense_of)(op, 0);
    lp->dh = TYPED(dense_of)(op, 1);
    lp->dx.packed = op->prepared;
    lp->dh.packed = (const char *)op->prepared + TYPED(packed)(run->kernels, op, 0);
    lp->act.kind = (int32_t)op->attr[A_ACT];
    lp->ract.kind = (int32_t)op->attr[A_RACT];
    for (int i = 0; i < 3; i++) {
        lp->act.param[i] = (REAL)op->real[i];
        lp->ract.param[i] = (REAL)op->real[3 + i];
    }
}

static int32_t TYPED(run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_plan_op *d = op->desc;
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    const rnnrt_view *mask = d->mask >= 0 ? &run->views[d->mask] : NULL;
    int sequences = (d->flags & RNNRT_OP_SEQUENCES) != 0, reverse_in = (d->flags & RNNRT_OP_REVERSE_IN) != 0;
    int reverse_out = (d->flags & RNNRT_OP_REVERSE_OUT) != 0, zeroes = (d->flags & RNNRT_OP_ZERO_MASKED) != 0;
    TYPED(loop) lp;
    TYPED(prepare_loop)(&lp, run, op, x->batch);
    size_t bytes = (size_t)lp.n * sizeof(REAL);
    int local = d->n_state == 0;
    int64_t slot = rnnrt_round64((int64_t)bytes);
    if (local)
        memset(run->scratch + lp.l.local, 0, (size_t)(x->batch * lp.l.local_stride));
    for (int64_t b = 0; b < x->batch; b++) {
        char *row = local ? run->scratch + lp.l.local + b * lp.l.local_stride : run->rows + b * run->row_bytes;
        REAL *state[2];
        for (int i = 0; i < 2; i++) {
            state[i] = (REAL *)(row + (local ? i * slot : run->plan->states[op->state[i]].offset));
            if (run->first_tile && d->n_init && !run->carry) {
                const rnnrt_view *v = &run->views[op->init[i]];
                memcpy(state[i], (const REAL *)v->data + b * v->batch_stride, bytes);
            }
        }
        int32_t *has = NULL;
        if (mask)
            has = (int32_t *)(row + (local ? 2 * slot : run->plan->states[op->state[2]].offset));
        for (int64_t s = 0; s < x->steps; s++) {
            int64_t t = reverse_in ? x->steps - 1 - s : s, to = !sequences ? 0 : reverse_out ? x->steps - 1 - s : s;
            REAL *out = (REAL *)y->data + b * y->batch_stride + to * lp.n;
            int counts = !mask || mask->data[b * mask->batch_stride + t];
            if (counts)
                TYPED(step)(&lp, (const REAL *)x->data + b * x->batch_stride + t * x->width, state[0], state[1]);
            if (has && counts)
                *has = 1;
            if (counts || (*has && !zeroes))
                memcpy(out, state[0], bytes);
            else
                memset(out, 0, bytes);
        }
        for (int i = 0; i < d->n_out - 1; i++) {
            const rnnrt_view *v = rnnrt_out(run, op, 1 + i);
            memcpy((REAL *)v->data + b * v->batch_stride, state[i], bytes);
        }
    }
    return RNNRT_OK;
}
