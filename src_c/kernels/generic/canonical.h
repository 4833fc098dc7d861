/* Cells whose packed weights stay in Keras's orientation, half ones widened (the oracle and BLAS):
 * bias (gates * units; GRU reset_after: z and r hold both biases, then units of the recurrent h bias),
 * kernel (features, gates * units), recurrent (units, gates * units). z: gates * units, gate after gate. */
#ifndef RNNRT_CANONICAL_H
#define RNNRT_CANONICAL_H

#include "../half.h"
#include "rowwise.h"

V_INLINE int64_t round_16(int64_t n) { return (n + 15) / 16 * 16; }
V_INLINE int64_t cell_gates(const rnnrt_cell *c)
{
    return c->kind == RNNRT_CELL_LSTM ? 4 : c->kind == RNNRT_CELL_GRU ? 3 : 1;
}
V_INLINE const float *cell_bias(const rnnrt_cell *c) { return c->packed; }
V_INLINE int64_t cell_kernel_at(const rnnrt_cell *c) { return round_16((cell_gates(c) + 1) * c->units); }
V_INLINE int64_t cell_recurrent_at(const rnnrt_cell *c)
{
    return cell_kernel_at(c) + round_16(c->features * cell_gates(c) * c->units);
}
V_INLINE const float *cell_kernel(const rnnrt_cell *c) { return (const float *)c->packed + cell_kernel_at(c); }
V_INLINE const float *cell_recurrent(const rnnrt_cell *c)
{
    return (const float *)c->packed + cell_recurrent_at(c);
}

static void cell_sizes(const rnnrt_cell *cell, rnnrt_cell_sizes *out)
{
    const int64_t n = cell_gates(cell) * cell->units;
    *out = (rnnrt_cell_sizes){
        .packed_bytes = (cell_recurrent_at(cell) + round_16(cell->units * n)) * (int64_t)sizeof(float),
        .z_width = round_16(n), .phases = 1, .blocks = {1}, .project_blocks = 1,
    };
}

static int64_t dense_blocks(const rnnrt_dense *d)
{
    (void)d;
    return 1;
}

static void take_weights(float *to, const void *from, int32_t dtype, int64_t n)
{
    if (dtype != RNNRT_F16) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    const uint16_t *half = from;
    for (int64_t i = 0; i < n; i++)
        to[i] = rnnrt_half(half[i]);
}

static void cell_pack(const rnnrt_cell *cell, const rnnrt_cell_weights *w, void *packed)
{
    const int64_t u = cell->units, n = cell_gates(cell) * u;
    float *p = packed;
    for (int64_t i = 0; i < n + u; i++)
        p[i] = w->bias && i < n ? w->bias[i] : 0.0f;
    if (w->bias && cell->kind == RNNRT_CELL_GRU && cell->reset_after)
        for (int64_t i = 0; i < 3 * u; i++)
            p[i < 2 * u ? i : i + u] += w->bias[3 * u + i];
    take_weights(p + cell_kernel_at(cell), w->kernel, w->dtype, cell->features * n);
    take_weights(p + cell_recurrent_at(cell), w->recurrent, w->dtype, u * n);
}

#endif
