/* Dense layers: wide ones in panels, those of at most RNNRT_NARROW_DENSE outputs in 16 virtual lanes.
 *   wide:   bias (panel_width), then the panels
 *   narrow: bias (16), then per output its K weights in a row, padded to 16 */
#ifndef RNNRT_DENSE_H
#define RNNRT_DENSE_H

#include "panel.h"

V_INLINE int64_t dense_bias_floats(const rnnrt_dense *d)
{
    return d->outputs <= RNNRT_NARROW_DENSE ? 16 : round_up(d->outputs, 16);
}

static int64_t dense_packed_bytes(const rnnrt_dense *d)
{
    const int64_t body = d->outputs <= RNNRT_NARROW_DENSE ? d->outputs * round_up(d->inputs, 16)
                                                          : d->inputs * panel_width(d->outputs);
    return dense_bias_floats(d) * (int64_t)sizeof(float) + round_up(body, WEIGHT_LINE) * (int64_t)sizeof(weight);
}

static void dense_pack(const rnnrt_dense *d, const void *kernel, const float *bias, const float *scales,
                       void *packed)
{
    (void)scales;
    const weight *w = kernel;
    float *p = packed;
    const int64_t nb = dense_bias_floats(d);
    for (int64_t i = 0; i < nb; i++)
        *p++ = bias && i < d->outputs ? bias[i] : 0.0f;
    weight *to = (weight *)p;
    if (d->outputs > RNNRT_NARROW_DENSE) {
        panel_pack(d->inputs, d->outputs, w, d->outputs, to);
        return;
    }
    const int64_t k = round_up(d->inputs, 16);
    for (int64_t o = 0; o < d->outputs; o++)
        for (int64_t i = 0; i < k; i++)
            *to++ = i < d->inputs ? w[i * d->outputs + o] : 0;
}

static void dense_narrow(const rnnrt_dense *d, int64_t rows, const float *x, int64_t x_stride, float *y,
                         int64_t y_stride)
{
    const float *bias = d->packed;
    const int64_t k = round_up(d->inputs, 16);
    const int linear = d->activation.kind == RNNRT_ACT_LINEAR || act_rowwise(&d->activation);
    for (int64_t r = 0; r < rows; r++) {
        const weight *w = (const weight *)(bias + 16);
        float *out = y + r * y_stride;
        for (int64_t o = 0; o < d->outputs; o++, w += k)
            out[o] = lanes_dot(d->inputs, x + r * x_stride, w) + bias[o];
        if (!linear)
            act_elementwise(&d->activation, d->outputs, out, out);
    }
}

static int64_t dense_blocks(const rnnrt_dense *d)
{
    return d->outputs <= RNNRT_NARROW_DENSE ? 1 : panel_count(d->outputs, 4);
}

static void dense_run(const rnnrt_dense *d, int64_t rows, const float *x, int64_t x_stride, float *y,
                      int64_t y_stride, int64_t begin, int64_t end)
{
    if (d->outputs <= RNNRT_NARROW_DENSE) {
        dense_narrow(d, rows, x, x_stride, y, y_stride);
        return;
    }
    const float *p = d->packed;
    const panel_job job = {
        .columns = d->outputs, .pitch = 4, .start = p,
        .x = x, .x_stride = x_stride, .x_count = d->inputs, .wx = (const weight *)(p + dense_bias_floats(d)),
        .y = y, .y_stride = y_stride,
        .activation = &d->activation, .end = PANEL_ACTIVATE,
    };
    panel_run(&job, rows, begin, least(end, panel_count(d->outputs, 4)), 0);
}

#endif
