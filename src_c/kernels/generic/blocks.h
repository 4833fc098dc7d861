/* Unit blocks of a gated cell: VL units each, a row of a block holds its gates one after another,
 * gates x VL floats. What is left over (at most VL/4 or VL/2 units) makes a narrow block whose gates
 * share vectors: 4 units x 4 gates are one vector of 16. As panels these are `gates` vectors wide. */
#ifndef RNNRT_BLOCKS_H
#define RNNRT_BLOCKS_H

#include "panel.h"

typedef struct blocks {
    int64_t units;
    int64_t count;    /* with the last, partial one */
    int64_t full;     /* blocks of VL units' room */
    int64_t columns;  /* of all blocks together, a multiple of VL */
    int gates;
    int tail_width;   /* units' room of the last block if it is narrow, else 0 */
} blocks;

V_INLINE blocks blocks_of(int64_t units, int gates, int narrow)
{
    blocks b = {.units = units, .gates = gates};
    const int64_t left = units % VL;
    if (narrow && VL >= 16 && left > 0 && left <= VL / 4)
        b.tail_width = VL / 4;
    else if (narrow && VL >= 8 && left > 0 && left <= VL / 2)
        b.tail_width = VL / 2;
    b.count = (units + VL - 1) / VL;
    b.full = b.count - (b.tail_width != 0);
    b.columns = b.full * gates * VL + round_up((int64_t)gates * b.tail_width, VL);
    return b;
}

V_INLINE int64_t blocks_units(const blocks *b, int64_t i) { return least(VL, b->units - i * VL); }

/* w (k, total gates * units) in block order; NAME for weights, and for the floats of a bias */
#define DEFINE_BLOCKS_PACK(NAME, TYPE)                                                                 \
    static void NAME(const blocks *b, int64_t k, const TYPE *w, int64_t row_stride, TYPE *packed)      \
    {                                                                                                  \
        for (int64_t i = 0; i < b->count; i++) {                                                       \
            const int64_t width = i < b->full ? VL : b->tail_width;                                    \
            const int64_t vectors = round_up(b->gates * width, VL);                                    \
            const int64_t real = blocks_units(b, i);                                                   \
            for (int64_t r = 0; r < k; r++, packed += vectors) {                                       \
                for (int64_t j = 0; j < vectors; j++)                                                  \
                    packed[j] = 0;                                                                     \
                for (int64_t g = 0; g < b->gates; g++)                                                 \
                    for (int64_t u = 0; u < real; u++)                                                 \
                        packed[g * width + u] = w[r * row_stride + g * b->units + i * VL + u];         \
            }                                                                                          \
        }                                                                                              \
    }
DEFINE_BLOCKS_PACK(blocks_pack, weight)
DEFINE_BLOCKS_PACK(blocks_pack_bias, float)

/* gate g of a block's accumulators, moved to the low lanes; the lanes above are garbage */
V_INLINE vf block_gate(const vf *acc, int width, int g)
{
    if (width == VL)
        return acc[g];
#if VL >= 8
    if (width * 2 == VL)
        return v_half(acc[g / 2], g % 2);
#endif
#if VL >= 16
    return v_quarter(acc[g / 4], g % 4);
#else
    return acc[g];
#endif
}

/* How the rows of a tile begin: with what was hoisted, or with the one bias of all rows and the chains over the inputs.
 * LOADS reads from `start`, rows `stride` apart: written for each case, so that the bias is N loads and no addresses. */
#define TILE_START(LOADS, INPUTS)                                                                      \
    if (s->z) {                                                                                        \
        const float *start = s->z + row * s->z_stride + column;                                        \
        const int64_t stride = s->z_stride;                                                            \
        (void)stride;                                                                                  \
        LOADS                                                                                          \
    } else {                                                                                           \
        const float *start = r->bias + column;                                                         \
        const int64_t stride = 0;                                                                      \
        (void)stride;                                                                                  \
        LOADS                                                                                          \
        INPUTS;                                                                                        \
    }

/* block columns of one row -> gate after gate, `units` apart */
static void blocks_unpack(const blocks *b, const float *row, float *out)
{
    for (int64_t i = 0; i < b->count; i++) {
        const int64_t width = i < b->full ? VL : b->tail_width;
        const int64_t real = blocks_units(b, i);
        for (int64_t g = 0; g < b->gates; g++)
            for (int64_t u = 0; u < real; u++)
                out[g * b->units + i * VL + u] = row[i * b->gates * VL + g * width + u];
    }
}

#endif
