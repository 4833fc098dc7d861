/* Numerics 1 in scalar fmaf, one element after another: what the FMA tables must equal bit for bit.
 * Independent of their loops; only the formulas of the functions are shared, in scalar words. */
#ifdef __FAST_MATH__
#error "fast-math would break the summation order"
#endif
#define RNNRT_WHOLE_TABLE
#include "../kernels.h"
#include "../simd/scalar.h"
#include "../generic/canonical.h"
#include "../generic/rows.h"

/* acc = fma(x[k], w[k], acc), k ascending; w's rows are `stride` apart */
static float chain(float acc, int64_t n, const float *x, const float *w, int64_t stride)
{
    for (int64_t k = 0; k < n; k++)
        acc = __builtin_fmaf(x[k], w[k * stride], acc);
    return acc;
}

static int64_t cell_scratch_bytes(const rnnrt_cell *cell, int64_t rows)
{
    (void)rows;
    return round_16(6 * cell->units) * (int64_t)sizeof(float);
}

static void project_row(const rnnrt_cell *cell, const float *x, float *z)
{
    const int64_t n = cell_gates(cell) * cell->units;
    for (int64_t j = 0; j < n; j++)
        z[j] = chain(cell_bias(cell)[j], cell->features, x, cell_kernel(cell) + j, n);
}

static void cell_project(const rnnrt_cell *cell, int64_t rows, const float *x, int64_t x_stride, float *z,
                         int64_t z_stride, int64_t begin, int64_t end)
{
    (void)begin, (void)end;
    for (int64_t r = 0; r < rows; r++)
        project_row(cell, x + r * x_stride, z + r * z_stride);
}

static void lstm_row(const rnnrt_cell *cell, float *z, const float *h, const float *c, float *c_out,
                     float *h_out)
{
    const int64_t u = cell->units, n = 4 * u;
    float *spare = z + n, *t = spare + u;
    for (int64_t j = 0; j < n; j++)
        z[j] = chain(z[j], u, h, cell_recurrent(cell) + j, n);
    gate_row(&cell->recurrent_activation, u, z, spare);
    gate_row(&cell->recurrent_activation, u, z + u, spare);
    row_apply(&cell->activation, u, z + 2 * u, z + 2 * u, spare);
    gate_row(&cell->recurrent_activation, u, z + 3 * u, spare);
    for (int64_t j = 0; j < u; j++) {
        const float ig = z[j] * z[2 * u + j];
        c_out[j] = __builtin_fmaf(z[u + j], c[j], ig);
    }
    row_apply(&cell->activation, u, c_out, t, spare);
    for (int64_t j = 0; j < u; j++)
        h_out[j] = z[3 * u + j] * t[j];
}

static void gru_row(const rnnrt_cell *cell, float *z, const float *h, float *h_out)
{
    const int64_t u = cell->units, n = 3 * u;
    const float *recurrent = cell_recurrent(cell);
    float *r = z + u, *g = z + 2 * u, *spare = z + n, *rh = spare + u;
    for (int64_t j = 0; j < 2 * u; j++)
        z[j] = chain(z[j], u, h, recurrent + j, n);
    gate_row(&cell->recurrent_activation, u, z, spare);
    gate_row(&cell->recurrent_activation, u, r, spare);
    for (int64_t j = 0; j < u; j++)
        rh[j] = r[j] * h[j];
    for (int64_t j = 0; j < u; j++) {
        if (cell->reset_after) {
            const float hh = chain(cell_bias(cell)[n + j], u, h, recurrent + 2 * u + j, n);
            g[j] = __builtin_fmaf(r[j], hh, g[j]);
        } else {
            g[j] = chain(g[j], u, rh, recurrent + 2 * u + j, n);
        }
    }
    row_apply(&cell->activation, u, g, g, spare);
    for (int64_t j = 0; j < u; j++) {
        const float d = h[j] - g[j];
        h_out[j] = __builtin_fmaf(z[j], d, g[j]);
    }
}

static void cell_step(const rnnrt_cell *cell, const rnnrt_cell_step *s)
{
    const int64_t u = cell->units, n = cell_gates(cell) * u;
    float *z = s->scratch;
    for (int64_t row = 0; row < s->rows; row++) {
        const float *h = s->h + row * s->h_stride;
        float *h_out = s->h_out + row * s->h_out_stride;
        if (s->z)
            memcpy(z, s->z + row * s->z_stride, (size_t)n * sizeof *z);
        else
            project_row(cell, s->x + row * s->x_stride, z);
        if (cell->kind == RNNRT_CELL_LSTM) {
            lstm_row(cell, z, h, s->c + row * s->c_stride, s->c_out + row * s->c_out_stride, h_out);
        } else if (cell->kind == RNNRT_CELL_GRU) {
            gru_row(cell, z, h, h_out);
        } else {
            for (int64_t j = 0; j < u; j++)
                z[j] = chain(z[j], u, h, cell_recurrent(cell) + j, u);
            row_apply(&cell->activation, u, z, h_out, z + u);
        }
    }
}

/* bias, then the kernel as it stands */
static int64_t dense_packed_bytes(const rnnrt_dense *d)
{
    return round_16((d->inputs + 1) * d->outputs) * (int64_t)sizeof(float);
}

static void dense_pack(const rnnrt_dense *d, const void *kernel, const float *bias, const float *scales,
                       void *packed)
{
    (void)scales;
    float *p = packed;
    for (int64_t i = 0; i < d->outputs; i++)
        p[i] = bias ? bias[i] : 0.0f;
    take_weights(p + d->outputs, kernel, d->dtype, d->inputs * d->outputs);
}

static float dense_lanes(int64_t n, const float *x, const float *w, int64_t stride)
{
    float lane[16] = {0};
    for (int64_t k = 0; k < n; k++)
        lane[k % 16] = __builtin_fmaf(x[k], w[k * stride], lane[k % 16]);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] = lane[i] + lane[i + half];
    return lane[0];
}

static void dense_run(const rnnrt_dense *d, int64_t rows, const float *x, int64_t x_stride, float *y,
                      int64_t y_stride, int64_t begin, int64_t end)
{
    (void)begin, (void)end;
    const float *bias = d->packed, *w = bias + d->outputs;
    for (int64_t r = 0; r < rows; r++) {
        const float *in = x + r * x_stride;
        float *out = y + r * y_stride;
        for (int64_t j = 0; j < d->outputs; j++)
            out[j] = d->outputs <= RNNRT_NARROW_DENSE
                         ? dense_lanes(d->inputs, in, w + j, d->outputs) + bias[j]
                         : chain(bias[j], d->inputs, in, w + j, d->outputs);
        if (!act_rowwise(&d->activation))
            act_elementwise(&d->activation, d->outputs, out, out);
    }
}

#include "../generic/table_struct.h"

const rnnrt_kernels rnnrt_kernels_oracle = RNNRT_TABLE("oracle", 1, &rnnrt_kernels_oracle, &rnnrt_kernels_oracle_int8);
