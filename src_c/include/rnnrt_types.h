/* Types that the plugin table, the core and the kernels share. Plain C99, no CUDA, no Python. */
#ifndef RNNRT_TYPES_H
#define RNNRT_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef enum rnnrt_dtype {
    RNNRT_F32 = 0,
    RNNRT_F64 = 1,
    RNNRT_F16 = 2,
    RNNRT_BF16 = 3,
    RNNRT_I8 = 4,
    RNNRT_I32 = 5,
    RNNRT_I64 = 6,
    RNNRT_BOOL = 7, /* one byte, 0 or 1 */
} rnnrt_dtype;

/* The functions, in the order of rnnrt/ir/activations.py (a test compares the two). */
typedef enum rnnrt_activation_kind {
#define RNNRT_ACTIVATION(id, name) RNNRT_ACT_##id,
#include "activations.def"
#undef RNNRT_ACTIVATION
    RNNRT_ACT_COUNT
} rnnrt_activation_kind;

typedef struct rnnrt_activation {
    int32_t kind;    /* rnnrt_activation_kind */
    float param[3];  /* in the order of rnnrt/ir/activations.py */
} rnnrt_activation;

typedef enum rnnrt_cell_kind {
    RNNRT_CELL_SIMPLE_RNN = 0,
    RNNRT_CELL_LSTM = 1, /* gates i, f, c, o */
    RNNRT_CELL_GRU = 2,  /* gates z, r, h */
} rnnrt_cell_kind;

#endif
