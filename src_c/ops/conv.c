/* Convolution over channels-last data, and the depthwise one. A window whose taps lie together in memory is a row of a
 * dense layer as it stands; the others are gathered into scratch first, zeros where they reach beyond the data. Either
 * way each output is one chain over (taps, channels), so both give the same bits.
 *
 * conv: in = x; out = y; weight = kernel (taps..., channels / groups, filters), bias or -1;
 *   state = none | context ((k - 1) * dilation steps of x before the tile): causal over one axis, stride 1;
 *   attr = window (8), channels, filters, groups, activation; real = 3 parameters.
 * depthwise_conv: weight = kernel (taps..., channels, multiplier), bias or -1; attr = window, channels, multiplier,
 *   activation; real = 3 parameters. Output channel = channel * multiplier + m. */
#include <string.h>

#include "conv_plane.h"

enum { C_CHANNELS = RNNRT_WINDOW_ATTRS, C_FILTERS, C_GROUPS, C_ACT, C_COUNT };

static rnnrt_dense dense_of(const rnnrt_op *op)
{
    rnnrt_window w = rnnrt_window_of(op->attr);
    rnnrt_dense d = {0};
    d.dtype = RNNRT_F32;
    d.inputs = w.k[0] * w.k[1] * (op->attr[C_CHANNELS] / op->attr[C_GROUPS]);
    d.outputs = op->attr[C_FILTERS] / op->attr[C_GROUPS];
    d.activation.kind = (int32_t)op->attr[C_ACT];
    for (int i = 0; i < 3; i++)
        d.activation.param[i] = (float)op->real[i];
    /* softmax and its like work over all filters, behind the groups */
    if (op->attr[C_GROUPS] > 1 && rnnrt_rowwise(d.activation.kind))
        d.activation.kind = RNNRT_ACT_LINEAR;
    return d;
}

static int channels_ok(const rnnrt_plan *p, int64_t tensor, int64_t rank, int64_t channels)
{
    const rnnrt_plan_tensor *t = &p->tensors[tensor];
    return t->dtype == RNNRT_F32 && t->rank == rank && rnnrt_known(p, t, rank - 1) == channels && rnnrt_has_shape(p, tensor);
}

/* What both kinds share; `filters` is the width of the output. */
static int32_t check_common(const rnnrt_plan *p, const rnnrt_op *op, int64_t act, int64_t filters, rnnrt_error *err)
{
    rnnrt_window w = rnnrt_window_of(op->attr);
    if (!rnnrt_window_ok(&w) || op->attr[C_CHANNELS] < 1 || op->attr[C_CHANNELS] > 1 << 24 || filters < 1 || filters > 1 << 24
        || act < 0 || act >= RNNRT_ACT_COUNT || act == RNNRT_ACT_GLU)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    int64_t taps = w.k[0] * w.k[1];
    if (taps > 1 << 24 || taps * op->attr[C_CHANNELS] > RNNRT_BIG)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, 0);
    if (!channels_ok(p, op->in[0], w.rank + 2, op->attr[C_CHANNELS]) || !channels_ok(p, op->out[0], w.rank + 2, filters))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, 0);
    if (op->weight[1] >= 0 && !rnnrt_weight_holds(p, op->weight[1], filters))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 5, 0);
    return RNNRT_OK;
}

static int32_t conv_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != 2 || d->n_attr != C_COUNT || d->n_real != 3 || d->n_state > 1
        || d->mask >= 0)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    int32_t rc = check_common(p, op, op->attr[C_ACT], op->attr[C_FILTERS], err);
    if (rc)
        return rc;
    rnnrt_window w = rnnrt_window_of(op->attr);
    int64_t groups = op->attr[C_GROUPS];
    if (groups < 1 || op->attr[C_CHANNELS] % groups || op->attr[C_FILTERS] % groups
        || !rnnrt_weight_holds(p, op->weight[0], w.k[0] * w.k[1] * (op->attr[C_CHANNELS] / groups) * op->attr[C_FILTERS]))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 6, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    int walks = w.rank == 1 && w.stride[1] == 1 && x->timed && y->timed
             && (w.k[1] == 1 || (w.padding == RNNRT_PAD_CAUSAL && d->n_state == 1));
    if (!walks && !rnnrt_sees_all(p, op))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 7, 0);
    if (d->n_state && (w.k[1] == 1 || w.padding != RNNRT_PAD_CAUSAL || w.stride[1] != 1
                       || p->states[op->state[0]].bytes != rnnrt_context_steps(&w) * op->attr[C_CHANNELS] * 4))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 8, 0);
    return RNNRT_OK;
}

static int64_t conv_prepared_bytes(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    rnnrt_dense d = dense_of(op);
    int64_t groups = op->attr[C_GROUPS], one = rnnrt_round64(v->kernels->dense_packed_bytes(&d));
    return groups * one + (groups > 1 ? d.inputs * d.outputs * 4 : 0);
}

static void conv_prepare(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    rnnrt_dense d = dense_of(op);
    int64_t groups = op->attr[C_GROUPS], one = rnnrt_round64(v->kernels->dense_packed_bytes(&d));
    const float *kernel = v->plan->weight_data[op->weight[0]];
    const float *bias = op->weight[1] >= 0 ? v->plan->weight_data[op->weight[1]] : NULL;
    if (groups == 1) {
        v->kernels->dense_pack(&d, kernel, bias, NULL, prepared);
        return;
    }
    float *part = (float *)((char *)prepared + groups * one); /* columns of one group, side by side */
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t i = 0; i < d.inputs; i++)
            memcpy(part + i * d.outputs, kernel + i * op->attr[C_FILTERS] + g * d.outputs, (size_t)d.outputs * 4);
        v->kernels->dense_pack(&d, part, bias ? bias + g * d.outputs : NULL, NULL, (char *)prepared + g * one);
    }
}

static int64_t elements(const rnnrt_sizes *s, int64_t tensor)
{
    const rnnrt_plan_tensor *t = &s->plan->tensors[tensor];
    int64_t n = 1;
    for (int64_t i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(n, s->dims[t->dims[i]], &n))
            return INT64_MAX >> 8;
    return n;
}

/* Scratch: a row for rowwise activations | gathered windows */
static int64_t gather_at(const rnnrt_op *op) { return rnnrt_round64(op->attr[C_FILTERS] * 4); }

static int32_t conv_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    rnnrt_window w = rnnrt_window_of(op->attr);
    rnnrt_dense d = dense_of(op);
    int32_t rc = rnnrt_window_fits(s, op, &w, err);
    *scratch = gather_at(op) + RNNRT_GATHER_ROWS * d.inputs * 4;
    *cost = (int64_t)((double)elements(s, op->out[0]) * (double)d.inputs / 24.0) + 20;
    return rc;
}

/* The last steps of (context, x) are the context of the next tile. */
static void keep_context(float *context, const float *x, int64_t steps, int64_t keep, int64_t channels)
{
    if (steps < keep) {
        memmove(context, context + steps * channels, (size_t)((keep - steps) * channels) * 4);
        memcpy(context + (keep - steps) * channels, x, (size_t)(steps * channels) * 4);
    } else {
        memcpy(context, x + (steps - keep) * channels, (size_t)(keep * channels) * 4);
    }
}

static int32_t conv_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    rnnrt_dense d = dense_of(op);
    int64_t groups = op->attr[C_GROUPS], one = rnnrt_round64(run->kernels->dense_packed_bytes(&d));
    int64_t in[RNNRT_MAX_RANK], out[RNNRT_MAX_RANK];
    rnnrt_plane p = {.k = run->kernels, .w = rnnrt_window_of(op->attr), .channels = op->attr[C_CHANNELS],
               .group_channels = op->attr[C_CHANNELS] / groups, .filters = op->attr[C_FILTERS],
               .gathered = (float *)(run->scratch + gather_at(op))};
    rnnrt_shape(run, op->in[0], in);
    rnnrt_shape(run, op->out[0], out);
    rnnrt_spatial(&p.w, in, p.in);
    rnnrt_spatial(&p.w, out, p.out);
    for (int i = 0; i < 2; i++)
        p.before[i] = rnnrt_window_before(p.in[i], p.w.k[i], p.w.stride[i], p.w.dilation[i], p.w.padding);
    if (p.w.rank == 1)
        p.before[0] = 0;
    rnnrt_activation act = {(int32_t)op->attr[C_ACT], {d.activation.param[0], d.activation.param[1], d.activation.param[2]}};
    for (int64_t b = 0; b < x->batch; b++) {
        float *context = op->desc->n_state
            ? (float *)(run->rows + b * run->row_bytes + run->plan->states[op->state[0]].offset) : NULL;
        p.x = (const float *)x->data + b * x->batch_stride;
        p.y = (float *)y->data + b * y->batch_stride;
        p.context = context;
        for (int64_t g = 0; g < groups; g++) {
            d.packed = (const char *)op->prepared + g * one;
            rnnrt_convolve(&p, &d, g);
        }
        if (rnnrt_rowwise(act.kind))
            run->kernels->activate_rows(&act, p.out[0] * p.out[1], p.filters, p.y, p.filters, p.y, p.filters,
                                        (float *)run->scratch);
        if (context)
            keep_context(context, p.x, p.in[1], rnnrt_context_steps(&p.w), p.channels);
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_conv = {"conv", conv_check, conv_prepared_bytes, conv_prepare, conv_size, NULL, conv_run, 0};

/* ---- depthwise_conv ---- */
enum { D_CHANNELS = RNNRT_WINDOW_ATTRS, D_MULTIPLIER, D_ACT, D_COUNT };

static int32_t depthwise_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != 2 || d->n_attr != D_COUNT || d->n_real != 3 || d->n_state
        || d->mask >= 0 || !rnnrt_sees_all(p, op) || op->attr[D_MULTIPLIER] < 1 || op->attr[D_MULTIPLIER] > 1 << 20
        || op->attr[D_CHANNELS] < 1 || op->attr[D_CHANNELS] > 1 << 24)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    int64_t filters = op->attr[D_CHANNELS] * op->attr[D_MULTIPLIER];
    int32_t rc = check_common(p, op, op->attr[D_ACT], filters, err);
    if (rc)
        return rc;
    rnnrt_window w = rnnrt_window_of(op->attr);
    if (!rnnrt_weight_holds(p, op->weight[0], w.k[0] * w.k[1] * filters))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 6, 0);
    return RNNRT_OK;
}

static int64_t depthwise_taps(const rnnrt_op *op)
{
    return op->attr[1] * op->attr[2] * op->attr[D_CHANNELS] * op->attr[D_MULTIPLIER];
}

/* bias (zeros where there is none), then the kernel as it is */
static int64_t depthwise_prepared_bytes(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    (void)v;
    return (op->attr[D_CHANNELS] * op->attr[D_MULTIPLIER] + depthwise_taps(op)) * 4;
}

static void depthwise_prepare(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    int64_t filters = op->attr[D_CHANNELS] * op->attr[D_MULTIPLIER];
    float *p = prepared;
    memset(p, 0, (size_t)filters * 4);
    if (op->weight[1] >= 0)
        memcpy(p, v->plan->weight_data[op->weight[1]], (size_t)filters * 4);
    memcpy(p + filters, v->plan->weight_data[op->weight[0]], (size_t)depthwise_taps(op) * 4);
}

static int32_t depthwise_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    rnnrt_window w = rnnrt_window_of(op->attr);
    *scratch = rnnrt_round64(op->attr[D_CHANNELS] * op->attr[D_MULTIPLIER] * 4);
    *cost = elements(s, op->out[0]) / 2 + 20;
    return rnnrt_window_fits(s, op, &w, err);
}

static void depthwise_add(const float *x, const float *kernel, int64_t channels, int64_t multiplier, float *y)
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

static int32_t depthwise_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    rnnrt_window w = rnnrt_window_of(op->attr);
    int64_t channels = op->attr[D_CHANNELS], m = op->attr[D_MULTIPLIER], filters = channels * m;
    const float *bias = op->prepared, *kernel = bias + filters;
    int64_t in[RNNRT_MAX_RANK], out[RNNRT_MAX_RANK], n[2], o[2], before[2];
    rnnrt_shape(run, op->in[0], in);
    rnnrt_shape(run, op->out[0], out);
    rnnrt_spatial(&w, in, n);
    rnnrt_spatial(&w, out, o);
    for (int i = 0; i < 2; i++)
        before[i] = rnnrt_window_before(n[i], w.k[i], w.stride[i], w.dilation[i], w.padding);
    rnnrt_activation act = {(int32_t)op->attr[D_ACT], {(float)op->real[0], (float)op->real[1], (float)op->real[2]}};
    for (int64_t b = 0; b < x->batch; b++) {
        const float *src = (const float *)x->data + b * x->batch_stride;
        float *first = (float *)y->data + b * y->batch_stride, *dst = first;
        for (int64_t i = 0; i < o[0] * o[1]; i++, dst += filters) {
            int64_t y0 = i / o[1] * w.stride[0] - before[0], x0 = i % o[1] * w.stride[1] - before[1];
            memcpy(dst, bias, (size_t)filters * 4);
            for (int64_t ky = 0; ky < w.k[0]; ky++)
                for (int64_t kx = 0; kx < w.k[1]; kx++) {
                    int64_t iy = y0 + ky * w.dilation[0], ix = x0 + kx * w.dilation[1];
                    if (iy >= 0 && iy < n[0] && ix >= 0 && ix < n[1])
                        depthwise_add(src + (iy * n[1] + ix) * channels, kernel + (ky * w.k[1] + kx) * filters, channels, m, dst);
                }
        }
        if (rnnrt_rowwise(act.kind))
            run->kernels->activate_rows(&act, o[0] * o[1], filters, first, filters, first, filters, (float *)run->scratch);
        else if (act.kind != RNNRT_ACT_LINEAR)
            run->kernels->activate(&act, o[0] * o[1] * filters, first, first);
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_depthwise_conv = {"depthwise_conv", depthwise_check, depthwise_prepared_bytes,
                                                depthwise_prepare, depthwise_size, NULL, depthwise_run, 0};
