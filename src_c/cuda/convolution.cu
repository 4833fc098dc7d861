/* Convolution and pooling over channels-last data of one or two spatial axes (src_c/ops/conv.c, pool.c).
 *
 * conv: where a window reaches beyond the data, x is first copied into scratch with its context or zeros around it;
 * then the windows are rows that overlap in memory, and the convolution is one product (taps that lie together) or one
 * for each tap, added up in place. */
#include "activations.cuh"
#include "elements.cuh"
#include "rowwise.cuh"

extern "C" {
#include "../ops/whole.h"
}

namespace rnnrt_cuda {

/* A window over an input plane. */
struct plane {
    rnnrt_window w;
    int64_t batch, in[2], out[2], before[2], extent[2]; /* extent: what the windows touch, padding and all */
};

static plane plane_of(const op_run &run, const rnnrt_op *op)
{
    plane p;
    int64_t in[RNNRT_MAX_RANK], out[RNNRT_MAX_RANK];
    p.w = rnnrt_window_of(op->attr);
    rnnrt_shape(&run, op->in[0], in);
    rnnrt_shape(&run, op->out[0], out);
    rnnrt_spatial(&p.w, in, p.in);
    rnnrt_spatial(&p.w, out, p.out);
    p.batch = in[0];
    for (int i = 0; i < 2; i++) {
        p.before[i] = i == 0 && p.w.rank == 1 ? 0 : rnnrt_window_before(p.in[i], p.w.k[i], p.w.stride[i], p.w.dilation[i], p.w.padding);
        p.extent[i] = (p.out[i] - 1) * p.w.stride[i] + (p.w.k[i] - 1) * p.w.dilation[i] + 1;
    }
    return p;
}

/* ---- conv ---- */
enum { C_CHANNELS = RNNRT_WINDOW_ATTRS, C_FILTERS, C_GROUPS, C_ACT };

static int64_t context_steps(const rnnrt_window &w) { return (w.k[1] - 1) * w.dilation[1]; }

int64_t scratch_CONV(const rnnrt_sizes *s, const rnnrt_op *op)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]], *y = &s->plan->tensors[op->out[0]];
    const rnnrt_window w = rnnrt_window_of(op->attr);
    int64_t n = s->dims[x->dims[0]] * op->attr[C_CHANNELS] * (int64_t)sizeof(float);
    for (int64_t i = 0; i < w.rank; i++) {
        const int64_t a = i + 2 - w.rank, out = i == 0 && y->timed && w.rank == 1 ? s->steps : s->dims[y->dims[1 + i]];
        n *= (out < s->dims[y->dims[1 + i]] ? out : s->dims[y->dims[1 + i]]) * w.stride[a] + (w.k[a] - 1) * w.dilation[a] + 1;
    }
    return n;
}

/* (batch, extent, channels) of x shifted by `before`, what lies before the first step out of the state rows */
__global__ void surround(plane p, int64_t channels, const float *x, int64_t x_stride, const char *rows, int64_t row_bytes,
                         int64_t context, float *out)
{
    const int64_t line = p.extent[1] * channels;
    EACH_ITEM(p.batch * p.extent[0] * line, i)
    {
        const int64_t c = i % channels, ix = i % line / channels - p.before[1], iy = i / line % p.extent[0] - p.before[0];
        const int64_t b = i / line / p.extent[0];
        float v = 0;
        if (iy >= 0 && iy < p.in[0] && ix >= 0 && ix < p.in[1])
            v = x[b * x_stride + (iy * p.in[1] + ix) * channels + c];
        else if (rows && ix < 0)
            v = ((const float *)(rows + b * row_bytes))[(context + ix) * channels + c];
        out[i] = v;
    }
}

/* The last steps of (context, x) are the context of the next tile: they are the last ones of the surrounded x. */
__global__ void keep_context(int64_t batch, int64_t n, const float *from, int64_t from_stride, char *rows, int64_t row_bytes)
{
    EACH_ITEM(batch * n, i) ((float *)(rows + i / n * row_bytes))[i % n] = from[i / n * from_stride + i % n];
}

static int32_t convolve(const op_run &run, const rnnrt_op *op, const plane &p, const float *x, int64_t x_stride, int64_t x_line)
{
    const rnnrt_view *y = rnnrt_out(&run, op, 0);
    const int64_t channels = op->attr[C_CHANNELS], filters = op->attr[C_FILTERS], groups = op->attr[C_GROUPS];
    const int64_t cg = channels / groups, fg = filters / groups, taps = p.w.k[0] * p.w.k[1];
    const float *kernel = (const float *)op->prepared, *bias = kernel + rnnrt_round64(taps * cg * filters * 4) / 4;
    const int together = groups == 1 && p.w.dilation[1] == 1; /* the taps of a line are side by side */
    const rnnrt_activation f = {(int32_t)op->attr[C_ACT], {(float)op->real[0], (float)op->real[1], (float)op->real[2]}};
    int32_t rc = RNNRT_OK;
    for (int64_t g = 0; !rc && g < groups; g++)
        for (int64_t t = 0; !rc && t < taps; t += together ? p.w.k[1] : 1) {
            const int64_t ky = t / p.w.k[1], kx = t % p.w.k[1], k = together ? p.w.k[1] * cg : cg;
            const bool last = t + (together ? p.w.k[1] : 1) >= taps;
            rnnrt::gemm_args a = rnnrt::gemm_plain(x + ky * p.w.dilation[0] * x_line + kx * p.w.dilation[1] * channels + g * cg,
                                                   kernel + t * cg * filters + g * fg, last ? bias + g * fg : NULL, (float *)y->data + g * fg, 0,
                                                   fg, k);
            a.w_stride = filters;
            a.rows = p.out[0] * p.out[1];
            a.inner = p.out[1];
            a.x_inner = p.w.stride[1] * channels;
            a.x_outer = p.w.stride[0] * x_line;
            a.y_inner = filters;
            a.y_outer = p.out[1] * filters;
            if (p.w.rank == 1) {
                a.rows *= p.batch;
                a.x_outer = x_stride;
                a.y_outer = y->batch_stride;
            } else {
                a.batches = p.batch;
                a.x_batch = x_stride;
                a.y_batch = y->batch_stride;
            }
            a.accumulate = t > 0;
            if (last && !rnnrt_rowwise(f.kind))
                a.activation = f;
            rc = check(rnnrt::gemm(a, table_of(run.kernels)->math, run.stream), "a convolution", run.err);
        }
    if (!rc && rnnrt_rowwise(f.kind))
        rc = rowwise(run, f.kind, {p.batch, p.out[0] * p.out[1], 1, filters}, (const float *)y->data, y->batch_stride,
                     (float *)y->data, y->batch_stride, filters);
    return rc;
}

int32_t run_CONV(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0);
    plane p = plane_of(run, op);
    const int64_t channels = op->attr[C_CHANNELS], keep = context_steps(p.w);
    char *rows = op->desc->n_state ? run.rows + run.plan->states[op->state[0]].offset : NULL;
    if (p.batch < 1 || p.out[0] < 1 || p.out[1] < 1)
        return RNNRT_OK;
    if (!rows && !p.before[0] && !p.before[1] && p.extent[0] <= p.in[0] && p.extent[1] <= p.in[1])
        return convolve(run, op, p, (const float *)x->data, x->batch_stride, p.in[1] * channels);
    float *around = (float *)run.scratch;
    const int64_t line = p.extent[1] * channels, all = p.extent[0] * line;
    int32_t rc = launch_items(run, p.batch * all, surround, p, channels, (const float *)x->data, x->batch_stride, (const char *)rows,
                              run.row_bytes, keep, around);
    if (!rc)
        rc = convolve(run, op, p, around, all, line);
    if (!rc && rows) /* causal, stride 1: what the windows touch ends with x */
        rc = launch_items(run, p.batch * keep * channels, keep_context, p.batch, keep * channels,
                          (const float *)around + all - keep * channels, all, rows, run.row_bytes);
    return rc;
}

/* ---- depthwise_conv: prepared is the bias, then the kernel (taps, channels * multiplier) ---- */
enum { D_MULTIPLIER = C_FILTERS, D_ACT };

__global__ void depthwise(plane p, int64_t channels, int64_t multiplier, rnnrt_activation f, const float *bias, const float *kernel,
                          const float *x, int64_t x_stride, float *y, int64_t y_stride)
{
    const int64_t filters = channels * multiplier, places = p.out[0] * p.out[1];
    EACH_ITEM(p.batch * places * filters, i)
    {
        const int64_t k = i % filters, o = i / filters % places, b = i / filters / places;
        const int64_t y0 = o / p.out[1] * p.w.stride[0] - p.before[0], x0 = o % p.out[1] * p.w.stride[1] - p.before[1];
        float v = bias[k];
        UNROLL_BY(1)
        for (int64_t t = 0; t < p.w.k[0] * p.w.k[1]; t++) {
            const int64_t iy = y0 + t / p.w.k[1] * p.w.dilation[0], ix = x0 + t % p.w.k[1] * p.w.dilation[1];
            if (iy >= 0 && iy < p.in[0] && ix >= 0 && ix < p.in[1])
                v = fmaf(x[b * x_stride + (iy * p.in[1] + ix) * channels + k / multiplier], kernel[t * filters + k], v);
        }
        y[b * y_stride + o * filters + k] = rnnrt_activate(f, v);
    }
}

int32_t run_DEPTHWISE_CONV(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const plane p = plane_of(run, op);
    const int64_t channels = op->attr[C_CHANNELS], m = op->attr[D_MULTIPLIER], filters = channels * m;
    const rnnrt_activation f = {(int32_t)op->attr[D_ACT], {(float)op->real[0], (float)op->real[1], (float)op->real[2]}};
    const float *bias = (const float *)op->prepared;
    const int32_t rc = launch_items(run, p.batch * p.out[0] * p.out[1] * filters, depthwise, p, channels, m, f, bias, bias + filters,
                                    (const float *)x->data, x->batch_stride, (float *)y->data, y->batch_stride);
    if (rc || !rnnrt_rowwise(f.kind))
        return rc;
    return rowwise(run, f.kind, {p.batch, p.out[0] * p.out[1], 1, filters}, (const float *)y->data, y->batch_stride,
                   (float *)y->data, y->batch_stride, filters);
}

/* ---- pool: padding is no element ---- */
enum { P_CHANNELS = RNNRT_WINDOW_ATTRS, P_KIND };
enum { KIND_MAX, KIND_AVERAGE };

__global__ void pool_windows(plane p, int64_t channels, int average, const float *x, int64_t x_stride, float *y, int64_t y_stride)
{
    const int64_t places = p.out[0] * p.out[1];
    EACH_ITEM(p.batch * places * channels, i)
    {
        const int64_t c = i % channels, o = i / channels % places, b = i / channels / places;
        const int64_t y0 = o / p.out[1] * p.w.stride[0] - p.before[0], x0 = o % p.out[1] * p.w.stride[1] - p.before[1];
        float v = 0;
        int64_t count = 0;
        UNROLL_BY(1)
        for (int64_t t = 0; t < p.w.k[0] * p.w.k[1]; t++) {
            const int64_t iy = y0 + t / p.w.k[1], ix = x0 + t % p.w.k[1];
            if (iy < 0 || iy >= p.in[0] || ix < 0 || ix >= p.in[1])
                continue;
            const float w = x[b * x_stride + (iy * p.in[1] + ix) * channels + c];
            v = !count ? w : average ? v + w : w > v || w != w ? w : v;
            count++;
        }
        y[b * y_stride + o * channels + c] = average ? v / (float)count : v;
    }
}

int32_t run_POOL(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const plane p = plane_of(run, op);
    return launch_items(run, p.batch * p.out[0] * p.out[1] * op->attr[P_CHANNELS], pool_windows, p, op->attr[P_CHANNELS],
                        (int)(op->attr[P_KIND] == KIND_AVERAGE), (const float *)x->data, x->batch_stride, (float *)y->data,
                        y->batch_stride);
}

/* ---- global_pool: attr = channels, kind, multiplies ---- */
enum { G_CHANNELS, G_KIND, G_MULTIPLIES };

__global__ void pool_all(int64_t batch, int64_t n, int64_t channels, int kind, int multiplies, const float *x, int64_t x_stride,
                         const uint8_t *mask, int64_t mask_stride, float *y, int64_t y_stride)
{
    EACH_ITEM(batch * channels, i)
    {
        const int64_t c = i % channels, b = i / channels;
        const float *from = x + b * x_stride + c;
        float most = from[0];
        double sum = 0;
        int64_t count = 0;
        for (int64_t k = 0; k < n; k++) {
            const float v = from[k * channels];
            const int counts = !mask || mask[b * mask_stride + k];
            most = v > most || v != v ? v : most;
            sum += counts ? (double)v : multiplies ? (double)v * 0.0 : 0.0;
            count += counts;
        }
        y[b * y_stride + c] = kind == KIND_MAX ? most : (float)(sum / (double)count);
    }
}

int32_t run_GLOBAL_POOL(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const rnnrt_view *m = op->desc->mask >= 0 ? &run.views[op->desc->mask] : NULL;
    const int64_t channels = op->attr[G_CHANNELS];
    return launch_items(run, x->batch * channels, pool_all, x->batch, x->steps * x->width / channels, channels, (int)op->attr[G_KIND],
                        (int)(op->attr[G_MULTIPLIES] != 0), (const float *)x->data, x->batch_stride,
                        m ? (const uint8_t *)m->data : (const uint8_t *)NULL, m ? m->batch_stride : (int64_t)0, (float *)y->data,
                        y->batch_stride);
}

} // namespace rnnrt_cuda
