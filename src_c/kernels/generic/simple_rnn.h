/* SimpleRNN: h' = act(bias + x W + h R), in panels of 4 vectors of units.
 * Packed: bias (padded), kernel panels, recurrent panels. z: the padded width. */
#ifndef RNNRT_SIMPLE_RNN_H
#define RNNRT_SIMPLE_RNN_H

#include "lstm.h"

V_INLINE int64_t simple_bias(const rnnrt_cell *cell) { return round_up(cell->units, 16); }
V_INLINE int64_t simple_kernel(const rnnrt_cell *cell)
{
    return round_up(panel_width(cell->units) * cell->features, WEIGHT_LINE);
}
V_INLINE const weight *simple_weights(const rnnrt_cell *cell)
{
    return (const weight *)((const float *)cell->packed + simple_bias(cell));
}

static void simple_sizes(const rnnrt_cell *cell, rnnrt_cell_sizes *out)
{
    out->z_width = round_up(cell->units, 16);
    out->packed_bytes = simple_bias(cell) * (int64_t)sizeof(float) +
                        (simple_kernel(cell) + round_up(panel_width(cell->units) * cell->units, WEIGHT_LINE)) *
                            (int64_t)sizeof(weight);
    out->phases = 1;
    out->blocks[0] = cell_rowwise(cell) ? 1 : panel_count(cell->units, 4);
    out->project_blocks = panel_count(cell->units, 4);
}

static void simple_pack(const rnnrt_cell *cell, const rnnrt_cell_weights *w, void *packed)
{
    float *p = packed;
    for (int64_t i = 0; i < simple_bias(cell); i++)
        p[i] = w->bias && i < cell->units ? w->bias[i] : 0.0f;
    weight *to = (weight *)(p + simple_bias(cell));
    panel_pack(cell->features, cell->units, w->kernel, cell->units, to);
    panel_pack(cell->units, cell->units, w->recurrent, cell->units, to + simple_kernel(cell));
}

static void simple_project(const rnnrt_cell *cell, int64_t rows, const float *x, int64_t x_stride, float *z,
                           int64_t z_stride, int64_t begin, int64_t end)
{
    const float *p = cell->packed;
    const panel_job job = {
        .columns = panel_width(cell->units), .pitch = 4, .start = p,
        .x = x, .x_stride = x_stride, .x_count = cell->features, .wx = simple_weights(cell),
        .y = z, .y_stride = z_stride,
        .activation = &linear_activation, .end = PANEL_ACTIVATE,
    };
    panel_run(&job, rows, begin, least(end, panel_count(cell->units, 4)), 0);
}

static void simple_step(const rnnrt_cell *cell, const rnnrt_cell_step *s)
{
    const float *p = cell->packed;
    const panel_job job = {
        .columns = cell->units, .pitch = 4,
        .start = s->z ? s->z : p, .start_stride = s->z ? s->z_stride : 0,
        .x = s->z ? s->h : s->x, .x_stride = s->z ? 0 : s->x_stride, .x_count = s->z ? 0 : cell->features,
        .wx = simple_weights(cell),
        .h = s->h, .h_stride = s->h_stride, .h_count = cell->units,
        .wh = simple_weights(cell) + simple_kernel(cell),
        .y = s->h_out, .y_stride = s->h_out_stride,
        .activation = &cell->activation, .end = PANEL_ACTIVATE, /* linear where rowwise */
    };
    const int rowwise = cell_rowwise(cell);
    /* a rowwise function makes one block of all panels */
    const int some = s->phase && !rowwise;
    const int64_t begin = some ? s->block_begin : 0;
    const int64_t end = some ? s->block_end : panel_count(cell->units, 4);
    panel_run(&job, s->rows, begin, end, s->zigzag);
    for (int64_t r = 0; rowwise && r < s->rows; r++) {
        float *h = s->h_out + r * s->h_out_stride;
        row_apply(&cell->activation, cell->units, h, h, s->scratch);
    }
}

#endif
