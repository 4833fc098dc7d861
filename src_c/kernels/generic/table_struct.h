/* The struct of kernels.h, from the static functions of the unit that includes this. */
#ifndef RNNRT_TABLE_STRUCT_H
#define RNNRT_TABLE_STRUCT_H

/* cells and dense layers: all that a part for another dtype of weights has */
#define RNNRT_PART(NAME, GROUP)                                                                        \
    .name = NAME, .vector_floats = VL, .bitwise_group = GROUP, .cell_sizes = cell_sizes,               \
    .cell_pack = cell_pack, .cell_scratch_bytes = cell_scratch_bytes, .cell_project = cell_project,    \
    .cell_step = cell_step, .dense_packed_bytes = dense_packed_bytes, .dense_pack = dense_pack,        \
    .dense_blocks = dense_blocks, .dense = dense_run

#ifdef RNNRT_WHOLE_TABLE
#include "ceilings.h"
#include "double.h"

#define RNNRT_TABLE(NAME, GROUP, HALF, INT8)                                                                 \
    {                                                                                                  \
        RNNRT_PART(NAME, GROUP),                                                                       \
        .activate = act_elementwise, .activate_rows = activate_rows, .scale_shift = scale_shift,       \
        .ceiling_fma = ceiling_fma, .ceiling_read = ceiling_read, .doubles = &double_table, .half = HALF, .int8 = INT8,                                          \
    }
#endif

#endif
