/* Cells and dense layers with int8 weights, over matrix_pack and matrix_apply of int8_panels.h or int8_plain.h.
 * A cell: bias (gates * units, of a GRU that resets after with both biases in z and r, then the recurrent bias of h),
 * kernel, recurrent kernel (of a GRU: of z and r), of a GRU the recurrent kernel of h. z: gate after gate. */
#ifndef RNNRT_INT8_H
#define RNNRT_INT8_H

#include "int8_rows.h"

typedef struct int8_layout {
    int64_t n;                 /* gates * units */
    int64_t recurrent_columns; /* of the first recurrent matrix */
    int64_t kernel, recurrent, candidate, bytes; /* where the matrices begin; of all */
} int8_layout;

V_INLINE int8_layout int8_layout_of(const rnnrt_cell *c)
{
    const int64_t u = c->units;
    const int64_t gates = c->kind == RNNRT_CELL_LSTM ? 4 : c->kind == RNNRT_CELL_GRU ? 3 : 1;
    int8_layout l = {.n = gates * u, .recurrent_columns = (gates == 3 ? 2 : gates) * u};
    l.kernel = round_to(l.n + u, 16) * (int64_t)sizeof(float);
    l.recurrent = l.kernel + matrix_bytes(c->features, l.n);
    l.candidate = l.recurrent + matrix_bytes(u, l.recurrent_columns);
    l.bytes = l.candidate + (gates == 3 ? matrix_bytes(u, u) : 0);
    return l;
}

static void cell_sizes(const rnnrt_cell *cell, rnnrt_cell_sizes *out)
{
    const int8_layout l = int8_layout_of(cell);
    out->packed_bytes = l.bytes;
    out->z_width = round_to(l.n, 16);
    out->blocks = 1;
}

static void cell_pack(const rnnrt_cell *cell, const rnnrt_cell_weights *w, void *packed)
{
    const int8_layout l = int8_layout_of(cell);
    const int64_t u = cell->units;
    const int8_t *recurrent = w->recurrent;
    char *to = packed;
    float *bias = packed;
    for (int64_t i = 0; i < round_to(l.n + u, 16); i++)
        bias[i] = w->bias && i < l.n ? w->bias[i] : 0.0f;
    if (w->bias && cell->kind == RNNRT_CELL_GRU && cell->reset_after)
        for (int64_t i = 0; i < 3 * u; i++)
            bias[i < 2 * u ? i : i + u] += w->bias[3 * u + i];
    matrix_pack(cell->features, l.n, w->kernel, l.n, w->kernel_scale, to + l.kernel);
    matrix_pack(u, l.recurrent_columns, recurrent, l.n, w->recurrent_scale, to + l.recurrent);
    if (cell->kind == RNNRT_CELL_GRU)
        matrix_pack(u, u, recurrent + 2 * u, l.n, w->recurrent_scale + 2 * u, to + l.candidate);
}

/* y = start + x W for rows of floats that have no scratch: a few rows at a time */
static void rows_apply(const void *matrix, int64_t k, int64_t n, int64_t rows, const float *x, int64_t x_stride,
                       const float *start, float *y, int64_t y_stride)
{
    input q[RNNRT_INT8_INPUTS];
    float scale[Q_ROWS];
    const int64_t pitch = input_pitch(k);
    const int64_t most = least(Q_ROWS, RNNRT_INT8_INPUTS / pitch);
    for (int64_t row = 0; row < rows; row += most) {
        const int64_t take = least(most, rows - row);
        for (int64_t r = 0; r < take; r++)
            scale[r] = row_quantise(0, k, x + (row + r) * x_stride, q + r * pitch);
        const int8_job job = {
            .matrix = matrix, .k = k, .n = n, .rows = take, .q = q, .q_stride = pitch, .scale = scale,
            .start = start, .y = y + row * y_stride, .y_stride = y_stride,
        };
        matrix_apply(&job);
    }
}

static void cell_project(const rnnrt_cell *cell, int64_t rows, const float *x, int64_t x_stride, float *z,
                         int64_t z_stride)
{
    const int8_layout l = int8_layout_of(cell);
    const char *packed = cell->packed;
    rows_apply(packed + l.kernel, cell->features, l.n, rows, x, x_stride, cell->packed, z, z_stride);
}

/* scratch: rows of z and of the recurrent h of a GRU, two rows of units, scales of rows, rows of inputs */
V_INLINE int64_t int8_pitch(const rnnrt_cell *cell) { return round_to(5 * cell->units, 16); }

static int64_t cell_scratch_bytes(const rnnrt_cell *cell, int64_t rows)
{
    const int64_t most = cell->features > cell->units ? cell->features : cell->units;
    const int64_t floats = rows * int8_pitch(cell) + round_to(2 * cell->units, 16) + round_to(rows, 16);
    return floats * (int64_t)sizeof(float) + round_to(rows * input_pitch(most) * (int64_t)sizeof(input), 64);
}

static void int8_lstm_row(const rnnrt_cell *cell, float *z, const float *c, float *c_out, float *h_out, float *spare)
{
    const int64_t n = cell->units;
    const int usual = cell_usual(cell);
    if (cell_rowwise(cell)) {
        lstm_gates(cell, z, c, c_out, h_out, spare);
        return;
    }
    for (int64_t u = 0; u < n; u += VL) {
        const int64_t left = least(VL, n - u);
        const vf i = v_loadn(z + u, left), f = v_loadn(z + n + u, left);
        const vf g = v_loadn(z + 2 * n + u, left), o = v_loadn(z + 3 * n + u, left);
        if (usual)
            lstm_units(1, cell, i, f, g, o, c + u, c_out + u, h_out + u, left);
        else
            lstm_units(0, cell, i, f, g, o, c + u, c_out + u, h_out + u, left);
    }
}

static void int8_gru_row(const rnnrt_cell *cell, float *z, const float *h, float *h_out, float *spare)
{
    const int64_t n = cell->units;
    const int usual = cell_usual(cell);
    if (cell_rowwise(cell)) {
        gru_gates_after(cell, z, z + n, z + 2 * n, z + 3 * n, h, h_out, spare);
        return;
    }
    for (int64_t u = 0; u < n; u += VL) {
        const int64_t left = least(VL, n - u);
        const vf a = v_loadn(z + u, left), r = v_loadn(z + n + u, left);
        const vf xh = v_loadn(z + 2 * n + u, left), hh = v_loadn(z + 3 * n + u, left);
        if (usual)
            gru_units(1, cell, a, r, xh, hh, h + u, h_out + u, left);
        else
            gru_units(0, cell, a, r, xh, hh, h + u, h_out + u, left);
    }
}

static void cell_step(const rnnrt_cell *cell, const rnnrt_cell_step *s)
{
    const int8_layout l = int8_layout_of(cell);
    const char *packed = cell->packed;
    const float *bias = cell->packed;
    const int64_t u = cell->units, d = cell->features, rows = s->rows, pitch = int8_pitch(cell);
    const int64_t q_pitch = input_pitch(d > u ? d : u);
    float *z = s->scratch, *spare = z + rows * pitch, *scale = spare + round_to(2 * u, 16);
    input *q = (input *)(scale + round_to(rows, 16));
    int8_job job = {
        .rows = rows, .q = q, .q_stride = q_pitch, .scale = scale, .y = z, .y_stride = pitch, .zigzag = s->zigzag,
    };
    if (!s->z) {
        for (int64_t r = 0; r < rows; r++)
            scale[r] = row_quantise(0, d, s->x + r * s->x_stride, q + r * q_pitch);
        job.matrix = packed + l.kernel;
        job.k = d;
        job.n = l.n;
        job.start = bias;
        matrix_apply(&job);
    } else if (cell->kind == RNNRT_CELL_GRU) {
        for (int64_t r = 0; r < rows; r++)
            memcpy(z + r * pitch, s->z + r * s->z_stride, (size_t)l.n * sizeof *z);
    }
    for (int64_t r = 0; r < rows; r++)
        scale[r] = row_quantise(1, u, s->h + r * s->h_stride, q + r * q_pitch);
    const int hoisted = s->z && cell->kind != RNNRT_CELL_GRU; /* the first product reads z where it is */
    job.matrix = packed + l.recurrent;
    job.k = u;
    job.n = l.recurrent_columns;
    job.start = hoisted ? s->z : z;
    job.start_stride = hoisted ? s->z_stride : pitch;
    matrix_apply(&job);
    job.matrix = packed + l.candidate;
    job.n = u;
    if (cell->kind == RNNRT_CELL_GRU && cell->reset_after) {
        job.start = bias + l.n;
        job.start_stride = 0;
        job.y = z + l.n;
        matrix_apply(&job);
    } else if (cell->kind == RNNRT_CELL_GRU) {
        for (int64_t r = 0; r < rows; r++) {
            float *a = z + r * pitch;
            gru_gates_before(cell, a, a + u, s->h + r * s->h_stride, spare);
            scale[r] = row_quantise(1, u, a + u, q + r * q_pitch);
        }
        job.start = job.y = z + 2 * u;
        matrix_apply(&job);
    }
    for (int64_t r = 0; r < rows; r++) {
        float *a = z + r * pitch, *h_out = s->h_out + r * s->h_out_stride;
        const float *h = s->h + r * s->h_stride;
        if (cell->kind == RNNRT_CELL_LSTM) {
            int8_lstm_row(cell, a, s->c + r * s->c_stride, s->c_out + r * s->c_out_stride, h_out, spare);
        } else if (cell->kind == RNNRT_CELL_SIMPLE_RNN) {
            row_apply(&cell->activation, u, a, h_out, spare);
        } else if (cell->reset_after) {
            int8_gru_row(cell, a, h, h_out, spare);
        } else {
            row_apply(&cell->activation, u, a + 2 * u, a + 2 * u, spare);
            gru_blend(u, a, h, a + 2 * u, h_out);
        }
    }
}

/* bias (padded to 16), then the matrix */
static int64_t dense_packed_bytes(const rnnrt_dense *d)
{
    return round_to(d->outputs, 16) * (int64_t)sizeof(float) + matrix_bytes(d->inputs, d->outputs);
}

static void dense_pack(const rnnrt_dense *d, const void *kernel, const float *bias, const float *scales, void *packed)
{
    float *p = packed;
    const int64_t n = round_to(d->outputs, 16);
    for (int64_t i = 0; i < n; i++)
        p[i] = bias && i < d->outputs ? bias[i] : 0.0f;
    matrix_pack(d->inputs, d->outputs, kernel, d->outputs, scales, p + n);
}

static void dense_run(const rnnrt_dense *d, int64_t rows, const float *x, int64_t x_stride, float *y,
                      int64_t y_stride)
{
    const float *bias = d->packed;
    rows_apply(bias + round_to(d->outputs, 16), d->inputs, d->outputs, rows, x, x_stride, bias, y, y_stride);
    if (d->activation.kind == RNNRT_ACT_LINEAR || act_rowwise(&d->activation))
        return;
    for (int64_t r = 0; r < rows; r++)
        act_elementwise(&d->activation, d->outputs, y + r * y_stride, y + r * y_stride);
}

#endif
