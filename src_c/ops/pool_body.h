/* pool and global_pool over REAL. Included twice; see typed.h. */

static int32_t TYPED(pool_check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_attr != P_COUNT || d->mask >= 0 || !rnnrt_sees_all(p, op))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    rnnrt_window w = rnnrt_window_of(op->attr);
    if (!rnnrt_window_ok(&w) || w.padding == RNNRT_PAD_CAUSAL || w.dilation[0] != 1 || w.dilation[1] != 1
        || op->attr[P_CHANNELS] < 1 || op->attr[P_KIND] < KIND_MAX || op->attr[P_KIND] > KIND_AVERAGE)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    for (int k = 0; k < 2; k++) {
        int64_t t = k ? op->out[0] : op->in[0];
        if (p->tensors[t].dtype != REAL_DTYPE || p->tensors[t].rank != w.rank + 2 || !rnnrt_has_shape(p, t)
            || rnnrt_known(p, &p->tensors[t], w.rank + 1) != op->attr[P_CHANNELS])
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, k);
    }
    return RNNRT_OK;
}

/* One output position: taps in order. */
static void TYPED(pool_one)(const REAL *x, const int64_t *n, const rnnrt_window *w, int64_t y0, int64_t x0, int64_t channels,
                     int average, REAL *out)
{
    int64_t count = 0;
    for (int64_t ky = 0; ky < w->k[0]; ky++) {
        if (y0 + ky < 0 || y0 + ky >= n[0])
            continue;
        for (int64_t kx = 0; kx < w->k[1]; kx++) {
            if (x0 + kx < 0 || x0 + kx >= n[1])
                continue;
            const REAL *src = x + ((y0 + ky) * n[1] + x0 + kx) * channels;
            if (!count++)
                memcpy(out, src, (size_t)channels * sizeof(REAL));
            else if (average)
                for (int64_t c = 0; c < channels; c++)
                    out[c] += src[c];
            else
                for (int64_t c = 0; c < channels; c++)
                    out[c] = src[c] > out[c] || src[c] != src[c] ? src[c] : out[c];
        }
    }
    if (average)
        for (int64_t c = 0; c < channels; c++)
            out[c] /= (REAL)count;
}

static int32_t TYPED(pool_run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    rnnrt_window w = rnnrt_window_of(op->attr);
    int64_t channels = op->attr[P_CHANNELS], in[RNNRT_MAX_RANK], out[RNNRT_MAX_RANK], n[2], o[2], before[2];
    rnnrt_shape(run, op->in[0], in);
    rnnrt_shape(run, op->out[0], out);
    rnnrt_spatial(&w, in, n);
    rnnrt_spatial(&w, out, o);
    for (int i = 0; i < 2; i++)
        before[i] = rnnrt_window_before(n[i], w.k[i], w.stride[i], 1, w.padding);
    for (int64_t b = 0; b < x->batch; b++) {
        const REAL *src = (const REAL *)x->data + b * x->batch_stride;
        REAL *dst = (REAL *)y->data + b * y->batch_stride;
        for (int64_t i = 0; i < o[0] * o[1]; i++)
            TYPED(pool_one)(src, n, &w, i / o[1] * w.stride[0] - before[0], i % o[1] * w.stride[1] - before[1], channels,
                     op->attr[P_KIND] == KIND_AVERAGE, dst + i * channels);
    }
    return RNNRT_OK;
}

/* ---- global_pool ---- */
static int32_t TYPED(global_check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_attr != G_COUNT || !rnnrt_sees_all(p, op) || op->attr[G_CHANNELS] < 1
        || op->attr[G_CHANNELS] > RNNRT_BIG || op->attr[G_KIND] < KIND_MAX || op->attr[G_KIND] > KIND_AVERAGE)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]];
    if (x->dtype != REAL_DTYPE || p->tensors[op->out[0]].dtype != REAL_DTYPE || x->rank < 3
        || rnnrt_known(p, x, x->rank - 1) != op->attr[G_CHANNELS])
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    if (d->mask >= 0) {
        const rnnrt_plan_tensor *m = &p->tensors[d->mask];
        if (m->dtype != RNNRT_BOOL || m->rank != 2 || x->rank != 3 || op->attr[G_KIND] != KIND_AVERAGE)
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, 0);
    }
    return RNNRT_OK;
}

static void TYPED(global_average)(const REAL *x, const char *mask, int64_t n, int64_t channels, int multiplies,
                                  double *sum, REAL *y)
{
    int64_t count = mask ? 0 : n;
    for (int64_t c = 0; c < channels; c++)
        sum[c] = 0;
    for (int64_t i = 0; i < n; i++, x += channels) {
        int counts = !mask || mask[i];
        if (mask)
            count += counts;
        if (counts)
            for (int64_t c = 0; c < channels; c++)
                sum[c] += (double)x[c];
        else if (multiplies)
            for (int64_t c = 0; c < channels; c++)
                sum[c] += (double)x[c] * 0.0;
    }
    for (int64_t c = 0; c < channels; c++)
        y[c] = (REAL)(sum[c] / (double)count);
}

static void TYPED(global_max)(const REAL *x, int64_t n, int64_t channels, REAL *y)
{
    memcpy(y, x, (size_t)channels * sizeof(REAL));
    for (int64_t i = 1; i < n; i++) {
        x += channels;
        for (int64_t c = 0; c < channels; c++)
            y[c] = x[c] > y[c] || x[c] != x[c] ? x[c] : y[c];
    }
}

static int32_t TYPED(global_run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    const rnnrt_view *m = op->desc->mask >= 0 ? &run->views[op->desc->mask] : NULL;
    int64_t channels = op->attr[G_CHANNELS], n = x->steps * x->width / channels;
    for (int64_t b = 0; b < x->batch; b++) {
        const REAL *src = (const REAL *)x->data + b * x->batch_stride;
        REAL *dst = (REAL *)y->data + b * y->batch_stride;
        if (op->attr[G_KIND] == KIND_MAX)
            TYPED(global_max)(src, n, channels, dst);
        else
            TYPED(global_average)(src, m ? m->data + b * m->batch_stride : NULL, n, channels, op->attr[G_MULTIPLIES] != 0,
                           (double *)run->scratch, dst);
    }
    return RNNRT_OK;
}
