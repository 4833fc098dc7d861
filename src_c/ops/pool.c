/* Pooling over one or two axes of channels-last data, and over all of them.
 *
 * pool: in = x; out = y; attr = window (8), channels, kind (0 max, 1 average). Padding is no element: a maximum
 *   ignores it, an average divides by what is there.
 * global_pool: in = x (batch, spatial..., channels); out = y (any shape of batch * channels values); mask: the steps
 *   that count, for averages over one axis; attr = channels, kind, multiplies (Keras 2 multiplies by the mask, so that
 *   infinities beyond it come through; Keras 3 selects). Averages are summed in double, step after step. */
#include <string.h>

#include "whole.h"

enum { KIND_MAX, KIND_AVERAGE };
enum { P_CHANNELS = RNNRT_WINDOW_ATTRS, P_KIND, P_COUNT };

static int32_t pool_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
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
        if (!rnnrt_is_float(p, t) || p->tensors[t].rank != w.rank + 2 || !rnnrt_has_shape(p, t)
            || rnnrt_known(p, &p->tensors[t], w.rank + 1) != op->attr[P_CHANNELS])
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, k);
    }
    return RNNRT_OK;
}

static int32_t pool_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    rnnrt_window w = rnnrt_window_of(op->attr);
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]];
    *scratch = 0;
    *cost = 20;
    int32_t rc = rnnrt_window_fits(s, op, &w, err);
    if (!rc)
        *cost += s->dims[x->dims[0]] * s->dims[x->dims[1]] / 2 * op->attr[P_CHANNELS];
    return rc;
}

/* One output position: taps in order. */
static void pool_one(const float *x, const int64_t *n, const rnnrt_window *w, int64_t y0, int64_t x0, int64_t channels,
                     int average, float *out)
{
    int64_t count = 0;
    for (int64_t ky = 0; ky < w->k[0]; ky++) {
        if (y0 + ky < 0 || y0 + ky >= n[0])
            continue;
        for (int64_t kx = 0; kx < w->k[1]; kx++) {
            if (x0 + kx < 0 || x0 + kx >= n[1])
                continue;
            const float *src = x + ((y0 + ky) * n[1] + x0 + kx) * channels;
            if (!count++)
                memcpy(out, src, (size_t)channels * 4);
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
            out[c] /= (float)count;
}

static int32_t pool_run(const rnnrt_run *run, const rnnrt_op *op)
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
        const float *src = (const float *)x->data + b * x->batch_stride;
        float *dst = (float *)y->data + b * y->batch_stride;
        for (int64_t i = 0; i < o[0] * o[1]; i++)
            pool_one(src, n, &w, i / o[1] * w.stride[0] - before[0], i % o[1] * w.stride[1] - before[1], channels,
                     op->attr[P_KIND] == KIND_AVERAGE, dst + i * channels);
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_pool = {"pool", pool_check, NULL, NULL, pool_size, NULL, pool_run, 0};

/* ---- global_pool ---- */
enum { G_CHANNELS, G_KIND, G_MULTIPLIES, G_COUNT };

static int32_t global_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_attr != G_COUNT || !rnnrt_sees_all(p, op) || op->attr[G_CHANNELS] < 1
        || op->attr[G_CHANNELS] > RNNRT_BIG || op->attr[G_KIND] < KIND_MAX || op->attr[G_KIND] > KIND_AVERAGE)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]];
    if (!rnnrt_is_float(p, op->in[0]) || !rnnrt_is_float(p, op->out[0]) || x->rank < 3
        || rnnrt_known(p, x, x->rank - 1) != op->attr[G_CHANNELS])
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    if (d->mask >= 0) {
        const rnnrt_plan_tensor *m = &p->tensors[d->mask];
        if (m->dtype != RNNRT_BOOL || m->rank != 2 || x->rank != 3 || op->attr[G_KIND] != KIND_AVERAGE)
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, 0);
    }
    return RNNRT_OK;
}

static int32_t global_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]], *y = &s->plan->tensors[op->out[0]];
    int64_t batch = s->dims[x->dims[0]], n = 1;
    for (int64_t i = 1; i < y->rank; i++)
        if (__builtin_mul_overflow(n, s->dims[y->dims[i]], &n))
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, n, op->attr[G_CHANNELS]);
    if (n != op->attr[G_CHANNELS] || s->dims[y->dims[0]] != batch)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, n, op->attr[G_CHANNELS]);
    *cost = 20;
    for (int64_t i = 1; i + 1 < x->rank; i++) {
        if (s->dims[x->dims[i]] < 1)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[x->dims[i]], 1);
        *cost += batch * s->dims[x->dims[i]];
    }
    if (op->desc->mask >= 0) {
        const rnnrt_plan_tensor *m = &s->plan->tensors[op->desc->mask];
        if (s->dims[m->dims[0]] != batch || s->dims[m->dims[1]] != s->dims[x->dims[1]])
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[m->dims[1]], s->dims[x->dims[1]]);
    }
    *scratch = op->attr[G_CHANNELS] * 8;
    return RNNRT_OK;
}

static void global_average(const float *x, const char *mask, int64_t n, int64_t channels, int multiplies, double *sum, float *y)
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
        y[c] = (float)(sum[c] / (double)count);
}

static void global_max(const float *x, int64_t n, int64_t channels, float *y)
{
    memcpy(y, x, (size_t)channels * 4);
    for (int64_t i = 1; i < n; i++) {
        x += channels;
        for (int64_t c = 0; c < channels; c++)
            y[c] = x[c] > y[c] || x[c] != x[c] ? x[c] : y[c];
    }
}

static int32_t global_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    const rnnrt_view *m = op->desc->mask >= 0 ? &run->views[op->desc->mask] : NULL;
    int64_t channels = op->attr[G_CHANNELS], n = x->steps * x->width / channels;
    for (int64_t b = 0; b < x->batch; b++) {
        const float *src = (const float *)x->data + b * x->batch_stride;
        float *dst = (float *)y->data + b * y->batch_stride;
        if (op->attr[G_KIND] == KIND_MAX)
            global_max(src, n, channels, dst);
        else
            global_average(src, m ? m->data + b * m->batch_stride : NULL, n, channels, op->attr[G_MULTIPLIES] != 0,
                           (double *)run->scratch, dst);
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_global_pool = {"global_pool", global_check, NULL, NULL, global_size, NULL, global_run, 0};
