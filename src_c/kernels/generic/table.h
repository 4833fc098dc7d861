/* The struct of kernels.h over the generic kernels; a unit in isa/ defines the words, then includes this. */
#ifndef RNNRT_TABLE_H
#define RNNRT_TABLE_H

#include "dense.h"
#include "gru.h"
#include "lstm.h"
#include "simple_rnn.h"
#ifndef RNNRT_HALF
#include "rows.h"
#endif

static void cell_sizes(const rnnrt_cell *cell, rnnrt_cell_sizes *out)
{
    if (cell->kind == RNNRT_CELL_LSTM)
        lstm_sizes(cell, out);
    else if (cell->kind == RNNRT_CELL_GRU)
        gru_sizes(cell, out);
    else
        simple_sizes(cell, out);
}

static void cell_pack(const rnnrt_cell *cell, const rnnrt_cell_weights *w, void *packed)
{
    if (cell->kind == RNNRT_CELL_LSTM)
        lstm_pack(cell, w, packed);
    else if (cell->kind == RNNRT_CELL_GRU)
        gru_pack(cell, w, packed);
    else
        simple_pack(cell, w, packed);
}

static int64_t cell_scratch_bytes(const rnnrt_cell *cell, int64_t rows)
{
    int64_t floats;
    if (cell->kind == RNNRT_CELL_LSTM)
        floats = lstm_scratch_floats(cell);
    else if (cell->kind == RNNRT_CELL_GRU)
        floats = gru_scratch_floats(cell, rows);
    else
        floats = cell_rowwise(cell) ? cell->units : 0;
    return round_up(floats, 16) * (int64_t)sizeof(float);
}

static void cell_project(const rnnrt_cell *cell, int64_t rows, const float *x, int64_t x_stride, float *z,
                         int64_t z_stride, int64_t begin, int64_t end)
{
    if (cell->kind == RNNRT_CELL_LSTM)
        lstm_project(cell, rows, x, x_stride, z, z_stride, begin, end);
    else if (cell->kind == RNNRT_CELL_GRU)
        gru_project(cell, rows, x, x_stride, z, z_stride, begin, end);
    else
        simple_project(cell, rows, x, x_stride, z, z_stride, begin, end);
}

static void cell_step(const rnnrt_cell *cell, const rnnrt_cell_step *s)
{
    if (cell->kind == RNNRT_CELL_LSTM)
        lstm_step(cell, s);
    else if (cell->kind == RNNRT_CELL_GRU)
        gru_step(cell, s);
    else
        simple_step(cell, s);
}

#include "table_struct.h"

#endif
