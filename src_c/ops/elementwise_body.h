/* activation and batch_normalization over REAL. Included twice; see typed.h. */

static int TYPED(same_kind)(const rnnrt_plan *p, const rnnrt_op *op)
{
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    return x->dtype == REAL_DTYPE && y->dtype == REAL_DTYPE && x->rank == y->rank && x->timed == y->timed;
}

/* ---- activation ---- */
static int32_t TYPED(activation_check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_attr != A_COUNT || d->n_real != 3 || !TYPED(same_kind)(v->plan, op)
        || op->attr[A_ACT] < 0 || op->attr[A_ACT] >= RNNRT_ACT_COUNT)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    if (rnnrt_rowwise(op->attr[A_ACT])) {
        const rnnrt_plan_tensor *x = &v->plan->tensors[op->in[0]], *y = &v->plan->tensors[op->out[0]];
        const rnnrt_plan_dim *dx = &v->plan->dims[x->dims[x->rank - 1]], *dy = &v->plan->dims[y->dims[y->rank - 1]];
        int64_t w = op->attr[A_WIDTH];
        if (x->rank < 2 || w < 1 || dx->kind != RNNRT_DIM_CONST || dx->m != w || dy->kind != RNNRT_DIM_CONST
            || dy->m != (op->attr[A_ACT] == RNNRT_ACT_GLU ? w / 2 : w) || (op->attr[A_ACT] == RNNRT_ACT_GLU && w % 2))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    }
    return RNNRT_OK;
}

static int32_t TYPED(activation_size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]];
    int64_t n = 1;
    for (int i = 0; i < x->rank; i++)
        n *= s->dims[x->dims[i]];
    *scratch = rnnrt_rowwise(op->attr[A_ACT]) ? rnnrt_round64(op->attr[A_WIDTH] * (int64_t)sizeof(REAL)) : 0;
    *cost = n + 10;
    /* the last axis of a rowwise function was checked: glu halves it */
    return rnnrt_axes_agree(s, op, x->rank - (rnnrt_rowwise(op->attr[A_ACT]) ? 1 : 0), err);
}

static int32_t TYPED(activation_run)(const rnnrt_run *run, const rnnrt_op *op)
{
    T_ACTIVATION a = {(int32_t)op->attr[A_ACT], {(REAL)op->real[0], (REAL)op->real[1], (REAL)op->real[2]}};
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t length, spans = rnnrt_spans(x, y, &length);
    for (int64_t i = 0; i < spans; i++) {
        const REAL *src = (const REAL *)x->data + i * x->batch_stride;
        REAL *dst = (REAL *)y->data + i * y->batch_stride;
        if (rnnrt_rowwise(a.kind)) {
            int64_t w = op->attr[A_WIDTH], wy = a.kind == RNNRT_ACT_GLU ? w / 2 : w;
            TABLE(run->kernels)->activate_rows(&a, length * (x->width / w), w, src, w, dst, wy, (REAL *)run->scratch);
        } else {
            TABLE(run->kernels)->activate(&a, length * x->width, src, dst);
        }
    }
    return RNNRT_OK;
}

/* ---- batch_normalization ---- */
static int32_t TYPED(bn_check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != 4 || d->n_attr != B_COUNT || d->n_real != 1 || !TYPED(same_kind)(p, op)
        || op->weight[2] < 0 || op->weight[3] < 0 || op->attr[B_CHANNELS] < 1 || op->attr[B_INNER] < 1
        || op->attr[B_CHANNELS] > (int64_t)1 << 32 || op->attr[B_INNER] > (int64_t)1 << 32)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    for (int i = 0; i < 4; i++) {
        const rnnrt_plan_weight *w = op->weight[i] < 0 ? NULL : &p->weights[op->weight[i]];
        if (w && (w->dtype != REAL_DTYPE || w->rank != 1 || w->dims[0] != op->attr[B_CHANNELS]))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, i);
    }
    /* channels * inner must divide a row: the trailing dims are known */
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]];
    int64_t tail = 1;
    for (int64_t i = x->rank - 1; i >= 1 && tail < op->attr[B_CHANNELS] * op->attr[B_INNER]; i--) {
        const rnnrt_plan_dim *dim = &p->dims[x->dims[i]];
        if (dim->kind != RNNRT_DIM_CONST || dim->m < 1)
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, i);
        tail *= dim->m;
    }
    if (tail != op->attr[B_CHANNELS] * op->attr[B_INNER])
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, tail);
    return RNNRT_OK;
}

/* scale and shift, each repeated `inner` times, so that one kernel serves every axis */
static int64_t TYPED(bn_prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    (void)v;
    return 2 * rnnrt_round64(op->attr[B_CHANNELS] * op->attr[B_INNER] * (int64_t)sizeof(REAL));
}

static void TYPED(bn_prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    int64_t n = op->attr[B_CHANNELS], inner = op->attr[B_INNER];
    const REAL *w[4];
    for (int i = 0; i < 4; i++)
        w[i] = op->weight[i] < 0 ? NULL : v->plan->weight_data[op->weight[i]];
    REAL *scale = prepared, *shift = (REAL *)((char *)prepared + rnnrt_round64(n * inner * (int64_t)sizeof(REAL)));
    for (int64_t c = 0; c < n; c++) {
        double g = (w[0] ? (double)w[0][c] : 1.0) / sqrt((double)w[3][c] + op->real[0]);
        double b = (w[1] ? (double)w[1][c] : 0.0) - (double)w[2][c] * g;
        for (int64_t i = 0; i < inner; i++) {
            scale[c * inner + i] = (REAL)g;
            shift[c * inner + i] = (REAL)b;
        }
    }
}

static int32_t TYPED(bn_run)(const rnnrt_run *run, const rnnrt_op *op)
{
    int64_t width = op->attr[B_CHANNELS] * op->attr[B_INNER], length;
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    const REAL *scale = op->prepared, *shift = (const REAL *)((char *)op->prepared + rnnrt_round64(width * (int64_t)sizeof(REAL)));
    int64_t spans = rnnrt_spans(x, y, &length);
    for (int64_t i = 0; i < spans; i++)
        TABLE(run->kernels)->scale_shift(length * x->width / width, width, (const REAL *)x->data + i * x->batch_stride, width,
                                  scale, shift, (REAL *)y->data + i * y->batch_stride, width);
    return RNNRT_OK;
}
