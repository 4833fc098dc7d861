/* Cells and dense layers in double: the chains of kernels.h, weights as Keras orients them. */
#ifndef RNNRT_DOUBLE_H
#define RNNRT_DOUBLE_H

#include "double_functions.h"

enum { D_BLOCK = 16 };

static inline int64_t d_round(int64_t n) { return (n + 7) / 8 * 8; }
static inline int64_t d_gates(const rnnrt_cell64 *c)
{
    return c->kind == RNNRT_CELL_LSTM ? 4 : c->kind == RNNRT_CELL_GRU ? 3 : 1;
}

/* packed: bias (gates * units, then units of a GRU's recurrent h bias) | kernel | recurrent */
static inline int64_t d_kernel_at(const rnnrt_cell64 *c) { return d_round((d_gates(c) + 1) * c->units); }
static inline int64_t d_recurrent_at(const rnnrt_cell64 *c)
{
    return d_kernel_at(c) + d_round(c->features * d_gates(c) * c->units);
}

/* z[j] continues its chain over x[k] * w[k][j], k ascending; w's rows are `stride` apart */
static void d_chain(int64_t k, int64_t n, const double *x, const double *w, int64_t stride, double *z)
{
    int64_t j = 0;
    for (; j + D_BLOCK <= n; j += D_BLOCK) {
        double acc[D_BLOCK];
        for (int i = 0; i < D_BLOCK; i++)
            acc[i] = z[j + i];
        for (int64_t m = 0; m < k; m++) {
            const double *row = w + m * stride + j;
            for (int i = 0; i < D_BLOCK; i++)
                acc[i] = __builtin_fma(x[m], row[i], acc[i]);
        }
        for (int i = 0; i < D_BLOCK; i++)
            z[j + i] = acc[i];
    }
    for (; j < n; j++)
        for (int64_t m = 0; m < k; m++)
            z[j] = __builtin_fma(x[m], w[m * stride + j], z[j]);
}

static void d_cell_sizes(const rnnrt_cell64 *c, struct rnnrt_cell_sizes *out)
{
    const int64_t n = d_gates(c) * c->units;
    *out = (rnnrt_cell_sizes){
        .packed_bytes = (d_recurrent_at(c) + d_round(c->units * n)) * (int64_t)sizeof(double),
        .z_width = d_round(n), .phases = 1, .blocks = {1}, .project_blocks = 1,
    };
}

static void d_cell_pack(const rnnrt_cell64 *c, const rnnrt_cell_weights64 *w, void *packed)
{
    const int64_t u = c->units, n = d_gates(c) * u;
    double *p = packed;
    for (int64_t i = 0; i < n + u; i++)
        p[i] = w->bias && i < n ? w->bias[i] : 0.0;
    if (w->bias && c->kind == RNNRT_CELL_GRU && c->reset_after)
        for (int64_t i = 0; i < 3 * u; i++)
            p[i < 2 * u ? i : i + u] += w->bias[3 * u + i];
    memcpy(p + d_kernel_at(c), w->kernel, (size_t)(c->features * n) * sizeof *p);
    memcpy(p + d_recurrent_at(c), w->recurrent, (size_t)(u * n) * sizeof *p);
}

/* z (gates * units), t (units), spare (units) */
static int64_t d_scratch_bytes(const rnnrt_cell64 *c, int64_t rows)
{
    (void)rows;
    return d_round((d_gates(c) + 2) * c->units) * (int64_t)sizeof(double);
}

static void d_project_row(const rnnrt_cell64 *c, const double *x, double *z)
{
    const int64_t n = d_gates(c) * c->units;
    const double *p = c->packed;
    memcpy(z, p, (size_t)n * sizeof *z);
    d_chain(c->features, n, x, p + d_kernel_at(c), n, z);
}

static void d_cell_project(const rnnrt_cell64 *c, int64_t rows, const double *x, int64_t x_stride, double *z,
                           int64_t z_stride, int64_t begin, int64_t end)
{
    (void)begin, (void)end;
    for (int64_t r = 0; r < rows; r++)
        d_project_row(c, x + r * x_stride, z + r * z_stride);
}

static void d_lstm_row(const rnnrt_cell64 *cell, double *z, const double *c, double *c_out, double *h_out)
{
    const int64_t u = cell->units;
    double *t = z + 4 * u, *spare = t + u;
    d_row(&cell->recurrent_activation, u, z, z, spare);
    d_row(&cell->recurrent_activation, u, z + u, z + u, spare);
    d_row(&cell->activation, u, z + 2 * u, z + 2 * u, spare);
    d_row(&cell->recurrent_activation, u, z + 3 * u, z + 3 * u, spare);
    for (int64_t j = 0; j < u; j++) {
        const double ig = z[j] * z[2 * u + j];
        c_out[j] = __builtin_fma(z[u + j], c[j], ig);
    }
    d_row(&cell->activation, u, c_out, t, spare);
    for (int64_t j = 0; j < u; j++)
        h_out[j] = z[3 * u + j] * t[j];
}

static void d_gru_row(const rnnrt_cell64 *cell, double *z, const double *h, double *h_out)
{
    const int64_t u = cell->units, n = 3 * u;
    const double *p = cell->packed, *recurrent = p + d_recurrent_at(cell);
    double *r = z + u, *g = z + 2 * u, *t = z + n, *spare = t + u;
    d_chain(u, 2 * u, h, recurrent, n, z);
    d_row(&cell->recurrent_activation, u, z, z, spare);
    d_row(&cell->recurrent_activation, u, r, r, spare);
    if (cell->reset_after) {
        memcpy(t, p + n, (size_t)u * sizeof *t);
        d_chain(u, u, h, recurrent + 2 * u, n, t);
        for (int64_t j = 0; j < u; j++)
            g[j] = __builtin_fma(r[j], t[j], g[j]);
    } else {
        for (int64_t j = 0; j < u; j++)
            t[j] = r[j] * h[j];
        d_chain(u, u, t, recurrent + 2 * u, n, g);
    }
    d_row(&cell->activation, u, g, g, spare);
    for (int64_t j = 0; j < u; j++)
        h_out[j] = __builtin_fma(z[j], h[j] - g[j], g[j]);
}

static void d_cell_step(const rnnrt_cell64 *c, const rnnrt_cell_step64 *s)
{
    const int64_t u = c->units, n = d_gates(c) * u;
    const double *recurrent = (const double *)c->packed + d_recurrent_at(c);
    double *z = s->scratch;
    for (int64_t row = 0; row < s->rows; row++) {
        const double *h = s->h + row * s->h_stride;
        double *h_out = s->h_out + row * s->h_out_stride;
        if (s->z)
            memcpy(z, s->z + row * s->z_stride, (size_t)n * sizeof *z);
        else
            d_project_row(c, s->x + row * s->x_stride, z);
        if (c->kind == RNNRT_CELL_GRU) {
            d_gru_row(c, z, h, h_out);
            continue;
        }
        d_chain(u, n, h, recurrent, n, z);
        if (c->kind == RNNRT_CELL_LSTM)
            d_lstm_row(c, z, s->c + row * s->c_stride, s->c_out + row * s->c_out_stride, h_out);
        else
            d_row(&c->activation, u, z, h_out, z + u);
    }
}

/* bias, then the kernel as it stands */
static int64_t d_dense_bytes(const rnnrt_dense64 *d)
{
    return d_round((d->inputs + 1) * d->outputs) * (int64_t)sizeof(double);
}

static void d_dense_pack(const rnnrt_dense64 *d, const void *kernel, const double *bias, const double *scales,
                         void *packed)
{
    (void)scales;
    double *p = packed;
    for (int64_t i = 0; i < d->outputs; i++)
        p[i] = bias ? bias[i] : 0.0;
    memcpy(p + d->outputs, kernel, (size_t)(d->inputs * d->outputs) * sizeof *p);
}

/* a layer of few outputs sums in 16 lanes, as in single precision */
static void d_narrow(int64_t k, int64_t n, const double *x, const double *w, const double *bias, double *y)
{
    for (int64_t j = 0; j < n; j++) {
        double lane[16] = {0};
        for (int64_t m = 0; m < k; m++)
            lane[m % 16] = __builtin_fma(x[m], w[m * n + j], lane[m % 16]);
        y[j] = d_tree16(lane) + bias[j];
    }
}

static int64_t d_dense_blocks(const rnnrt_dense64 *d)
{
    (void)d;
    return 1;
}

static void d_dense(const rnnrt_dense64 *d, int64_t rows, const double *x, int64_t x_stride, double *y,
                    int64_t y_stride, int64_t begin, int64_t end)
{
    (void)begin, (void)end;
    const int64_t n = d->outputs;
    const double *bias = d->packed, *w = bias + n;
    for (int64_t r = 0; r < rows; r++) {
        double *out = y + r * y_stride;
        if (n <= RNNRT_NARROW_DENSE) {
            d_narrow(d->inputs, n, x + r * x_stride, w, bias, out);
        } else {
            memcpy(out, bias, (size_t)n * sizeof *out);
            d_chain(d->inputs, n, x + r * x_stride, w, n, out);
        }
        if (!d_rowwise(&d->activation))
            d_activate(&d->activation, n, out, out);
    }
}

static const rnnrt_kernels64 double_table = {
    .cell_sizes = d_cell_sizes, .cell_pack = d_cell_pack, .cell_scratch_bytes = d_scratch_bytes,
    .cell_project = d_cell_project, .cell_step = d_cell_step, .dense_packed_bytes = d_dense_bytes,
    .dense_pack = d_dense_pack, .dense_blocks = d_dense_blocks, .dense = d_dense, .activate = d_activate, .activate_rows = d_activate_rows,
    .scale_shift = d_scale_shift,
};

#endif
