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

V_INLINE int64_t panels_of(int64_t columns) { return (columns + PANEL_COLUMNS - 1) / PANEL_COLUMNS; }

/* the rows as whole numbers; products, panel after panel, of a GRU that resets after those of hh behind; gates.
 * A GRU that resets before: whole numbers; products; r * h as whole numbers; candidate and gates. */
static void cell_sizes(const rnnrt_cell *cell, rnnrt_cell_sizes *out)
{
    const int8_layout l = int8_layout_of(cell);
    const int64_t u = cell->units;
    *out = (rnnrt_cell_sizes){
        .packed_bytes = l.bytes, .z_width = round_to(l.n, 16), .project_blocks = panels_of(l.n),
        .phases = 3, .blocks = {1, panels_of(l.n), cell_rowwise(cell) ? 1 : (u + VL - 1) / VL, 1},
    };
    if (cell->kind == RNNRT_CELL_GRU && cell->reset_after) {
        out->blocks[1] += panels_of(u);
    } else if (cell->kind == RNNRT_CELL_GRU) {
        out->phases = 4;
        out->blocks[2] = 1;
        out->blocks[3] = act_rowwise(&cell->activation) ? 1 : panels_of(u);
    }
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
                       const float *start, float *y, int64_t y_stride, int64_t begin, int64_t end)
{
    input q[RNNRT_INT8_INPUTS];
    float scale[Q_ROWS];
    const int64_t pitch = input_pitch(k), last = least(end, panels_of(n));
    const int64_t most = least(Q_ROWS, RNNRT_INT8_INPUTS / pitch);
    for (int64_t row = 0; row < rows; row += most) {
        const int64_t take = least(most, rows - row);
        for (int64_t r = 0; r < take; r++)
            scale[r] = row_quantise(0, k, x + (row + r) * x_stride, q + r * pitch);
        const int8_job job = {
            .matrix = matrix, .k = k, .n = n, .rows = take, .q = q, .q_stride = pitch, .scale = scale,
            .start = start, .y = y + row * y_stride, .y_stride = y_stride, .begin = begin, .end = last,
        };
        matrix_apply(&job);
    }
}

static void cell_project(const rnnrt_cell *cell, int64_t rows, const float *x, int64_t x_stride, float *z,
                         int64_t z_stride, int64_t begin, int64_t end)
{
    const int8_layout l = int8_layout_of(cell);
    const char *packed = cell->packed;
    rows_apply(packed + l.kernel, cell->features, l.n, rows, x, x_stride, cell->packed, z, z_stride, begin, end);
}

typedef struct int8_run {
    const rnnrt_cell *cell;
    const rnnrt_cell_step *s;
    int8_layout l;
    int64_t pitch;               /* of the rows of z: gates, then hh of a GRU */
    float *z, *spare, *x_scale, *h_scale;
    input *x, *h;                /* rows as whole numbers */
    int64_t x_pitch, h_pitch;
} int8_run;

V_INLINE int8_run int8_view(const rnnrt_cell *cell, const rnnrt_cell_step *s)
{
    const int64_t u = cell->units, rows = s->rows;
    int8_run r = {.cell = cell, .s = s, .l = int8_layout_of(cell), .pitch = round_to(5 * u, 16), .z = s->scratch};
    r.spare = r.z + rows * r.pitch;
    r.x_scale = r.spare + round_to(2 * u, 16);
    r.h_scale = r.x_scale + round_to(rows, 16);
    r.x_pitch = input_pitch(cell->features);
    r.h_pitch = input_pitch(u);
    r.x = (input *)(r.h_scale + round_to(rows, 16));
    r.h = r.x + rows * r.x_pitch;
    return r;
}

static int64_t cell_scratch_bytes(const rnnrt_cell *cell, int64_t rows)
{
    const rnnrt_cell_step s = {.rows = rows};
    const int8_run r = int8_view(cell, &s);
    const int64_t floats = rows * r.pitch + round_to(2 * cell->units, 16) + 2 * round_to(rows, 16);
    return floats * (int64_t)sizeof(float) + round_to(rows * (r.x_pitch + r.h_pitch) * (int64_t)sizeof(input), 64);
}

static void int8_lstm_row(const rnnrt_cell *cell, int64_t first, int64_t last, float *z, const float *c, float *c_out,
                          float *h_out, float *spare)
{
    const int64_t n = cell->units;
    const int usual = cell_usual(cell);
    if (cell_rowwise(cell)) {
        lstm_gates(cell, z, c, c_out, h_out, spare);
        return;
    }
    for (int64_t u = first; u < last; u += VL) {
        const int64_t left = least(VL, n - u);
        const vf i = v_loadn(z + u, left), f = v_loadn(z + n + u, left);
        const vf g = v_loadn(z + 2 * n + u, left), o = v_loadn(z + 3 * n + u, left);
        if (usual)
            lstm_units(1, cell, i, f, g, o, c + u, c_out + u, h_out + u, VL, left);
        else
            lstm_units(0, cell, i, f, g, o, c + u, c_out + u, h_out + u, VL, left);
    }
}

static void int8_gru_row(const rnnrt_cell *cell, int64_t first, int64_t last, float *z, const float *h, float *h_out,
                         float *spare)
{
    const int64_t n = cell->units;
    const int usual = cell_usual(cell);
    if (cell_rowwise(cell)) {
        gru_gates_after(cell, z, z + n, z + 2 * n, z + 3 * n, h, h_out, spare);
        return;
    }
    for (int64_t u = first; u < last; u += VL) {
        const int64_t left = least(VL, n - u);
        const vf a = v_loadn(z + u, left), r = v_loadn(z + n + u, left);
        const vf xh = v_loadn(z + 2 * n + u, left), hh = v_loadn(z + 3 * n + u, left);
        if (usual)
            gru_units(1, cell, a, r, xh, hh, h + u, h_out + u, VL, left);
        else
            gru_units(0, cell, a, r, xh, hh, h + u, h_out + u, VL, left);
    }
}

static void int8_quantise(const int8_run *r)
{
    const rnnrt_cell_step *s = r->s;
    for (int64_t i = 0; i < s->rows; i++) {
        if (!s->z)
            r->x_scale[i] = row_quantise(0, r->cell->features, s->x + i * s->x_stride, r->x + i * r->x_pitch);
        r->h_scale[i] = row_quantise(1, r->cell->units, s->h + i * s->h_stride, r->h + i * r->h_pitch);
    }
}

V_INLINE int8_job int8_over_h(const int8_run *r, int64_t matrix, int64_t n, int64_t begin, int64_t end)
{
    return (int8_job){
        .matrix = (const char *)r->cell->packed + matrix, .k = r->cell->units, .n = n, .rows = r->s->rows,
        .q = r->h, .q_stride = r->h_pitch, .scale = r->h_scale,
        .y = r->z, .y_stride = r->pitch, .begin = begin, .end = end, .zigzag = r->s->zigzag,
    };
}

/* panels [begin, end) of the gates, then of hh */
static void int8_products(const int8_run *r, int64_t begin, int64_t end)
{
    const rnnrt_cell_step *s = r->s;
    const int gru = r->cell->kind == RNNRT_CELL_GRU;
    const int64_t n = r->l.n, panels = panels_of(n), recurrent = panels_of(r->l.recurrent_columns);
    const int64_t from = least(begin, panels), to = least(end, panels);
    const int hoisted = s->z && !gru; /* the first product reads z where it is */
    if (!s->z) {
        const int8_job job = {
            .matrix = (const char *)r->cell->packed + r->l.kernel, .k = r->cell->features, .n = n, .rows = s->rows,
            .q = r->x, .q_stride = r->x_pitch, .scale = r->x_scale, .start = r->cell->packed,
            .y = r->z, .y_stride = r->pitch, .begin = from, .end = to, .zigzag = s->zigzag,
        };
        matrix_apply(&job);
    } else if (gru && from < to) {
        const int64_t first = from * PANEL_COLUMNS, count = least(n, to * PANEL_COLUMNS) - first;
        for (int64_t i = 0; i < s->rows; i++)
            memcpy(r->z + i * r->pitch + first, s->z + i * s->z_stride + first, (size_t)count * sizeof *r->z);
    }
    int8_job job = int8_over_h(r, r->l.recurrent, r->l.recurrent_columns, least(from, recurrent), least(to, recurrent));
    job.start = hoisted ? s->z : r->z;
    job.start_stride = hoisted ? s->z_stride : r->pitch;
    matrix_apply(&job);
    if (gru && r->cell->reset_after && end > panels) {
        job = int8_over_h(r, r->l.candidate, r->cell->units, begin > panels ? begin - panels : 0, end - panels);
        job.start = (const float *)r->cell->packed + n;
        job.y = r->z + n;
        matrix_apply(&job);
    }
}

static void int8_reset(const int8_run *r)
{
    const int64_t u = r->cell->units;
    for (int64_t i = 0; i < r->s->rows; i++) {
        float *a = r->z + i * r->pitch;
        gru_gates_before(r->cell, u, a, a + u, r->s->h + i * r->s->h_stride, r->spare);
        r->h_scale[i] = row_quantise(1, u, a + u, r->h + i * r->h_pitch);
    }
}

/* panels [begin, end) of the candidate, and the new h of their units */
static void int8_candidate(const int8_run *r, int64_t begin, int64_t end)
{
    const rnnrt_cell_step *s = r->s;
    const rnnrt_activation *act = &r->cell->activation;
    const int64_t u = r->cell->units, first = begin * PANEL_COLUMNS, n = least(u, end * PANEL_COLUMNS) - first;
    int8_job job = int8_over_h(r, r->l.candidate, u, begin, end);
    job.start = job.y = r->z + 2 * u;
    job.start_stride = r->pitch;
    matrix_apply(&job);
    for (int64_t i = 0; i < s->rows; i++) {
        float *z = r->z + i * r->pitch + first, *g = z + 2 * u;
        row_apply(act, n, g, g, r->spare);
        gru_blend(n, z, s->h + i * s->h_stride + first, g, s->h_out + i * s->h_out_stride + first);
    }
}

/* the gates of units [begin, end) * VL */
static void int8_gates(const int8_run *r, int64_t begin, int64_t end)
{
    const rnnrt_cell_step *s = r->s;
    const rnnrt_cell *cell = r->cell;
    const int64_t first = begin * VL, last = least(cell->units, end * VL);
    for (int64_t i = 0; i < s->rows; i++) {
        float *z = r->z + i * r->pitch, *h_out = s->h_out + i * s->h_out_stride;
        if (cell->kind == RNNRT_CELL_LSTM)
            int8_lstm_row(cell, first, last, z, s->c + i * s->c_stride, s->c_out + i * s->c_out_stride, h_out, r->spare);
        else if (cell->kind == RNNRT_CELL_GRU)
            int8_gru_row(cell, first, last, z, s->h + i * s->h_stride, h_out, r->spare);
        else
            row_apply(&cell->activation, last - first, z + first, h_out + first, r->spare);
    }
}

static void cell_step(const rnnrt_cell *cell, const rnnrt_cell_step *s)
{
    const int8_run r = int8_view(cell, s);
    rnnrt_cell_sizes sizes;
    cell_sizes(cell, &sizes);
    for (int phase = 1; phase <= sizes.phases; phase++) {
        if (s->phase && s->phase != phase)
            continue;
        const int some = s->phase && sizes.blocks[phase - 1] > 1;
        const int64_t all_units = (cell->units + VL - 1) / VL, all_panels = panels_of(cell->units);
        const int64_t begin = some ? s->block_begin : 0, end = some ? s->block_end : sizes.blocks[phase - 1];
        if (phase == 1)
            int8_quantise(&r);
        else if (phase == 2)
            int8_products(&r, begin, end);
        else if (sizes.phases == 3)
            int8_gates(&r, begin, some ? end : all_units);
        else if (phase == 3)
            int8_reset(&r);
        else
            int8_candidate(&r, begin, some ? end : all_panels);
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

static int64_t dense_blocks(const rnnrt_dense *d) { return panels_of(d->outputs); }

static void dense_run(const rnnrt_dense *d, int64_t rows, const float *x, int64_t x_stride, float *y,
                      int64_t y_stride, int64_t begin, int64_t end)
{
    const float *bias = d->packed;
    const int64_t first = begin * PANEL_COLUMNS, n = least(d->outputs, end * PANEL_COLUMNS) - first;
    rows_apply(bias + round_to(d->outputs, 16), d->inputs, d->outputs, rows, x, x_stride, bias, y, y_stride, begin, end);
    if (d->activation.kind == RNNRT_ACT_LINEAR || act_rowwise(&d->activation))
        return;
    for (int64_t r = 0; r < rows; r++)
        act_elementwise(&d->activation, n, y + r * y_stride + first, y + r * y_stride + first);
}

#endif
