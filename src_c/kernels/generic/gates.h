/* Gates of one row from its finished chains, which lie gate after gate; every activation is allowed. */
#ifndef RNNRT_GATES_H
#define RNNRT_GATES_H

#include "rowwise.h"

V_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

V_INLINE int cell_rowwise(const rnnrt_cell *cell)
{
    return act_rowwise(&cell->activation) ||
           (cell->kind != RNNRT_CELL_SIMPLE_RNN && act_rowwise(&cell->recurrent_activation));
}
V_INLINE int cell_usual(const rnnrt_cell *cell)
{
    return cell->activation.kind == RNNRT_ACT_TANH && cell->recurrent_activation.kind == RNNRT_ACT_SIGMOID;
}

/* gates of one row from its finished chains, gate after gate, all activations allowed;
 * z is overwritten; scratch: 2 * units */
static void lstm_gates(const rnnrt_cell *cell, float *z, const float *c, float *c_out, float *h_out,
                       float *scratch)
{
    const int64_t n = cell->units;
    const rnnrt_activation *gate = &cell->recurrent_activation;
    float *i = z, *f = z + n, *g = z + 2 * n, *o = z + 3 * n, *t = scratch + n;
    row_apply(gate, n, i, i, scratch);
    row_apply(gate, n, f, f, scratch);
    row_apply(&cell->activation, n, g, g, scratch);
    row_apply(gate, n, o, o, scratch);
    for (int64_t u = 0; u < n; u += VL) {
        const int64_t left = least(VL, n - u);
        const vf ig = v_loadn(i + u, left) * v_loadn(g + u, left);
        v_storen(c_out + u, v_fma(v_loadn(f + u, left), v_loadn(c + u, left), ig), left);
    }
    row_apply(&cell->activation, n, c_out, t, scratch);
    for (int64_t u = 0; u < n; u += VL) {
        const int64_t left = least(VL, n - u);
        v_storen(h_out + u, v_loadn(o + u, left) * v_loadn(t + u, left), left);
    }
}

/* act(z) in place, r = act(r) * h, both of `units` */
static void gru_gates_before(const rnnrt_cell *cell, float *z, float *r, const float *h, float *scratch)
{
    const rnnrt_activation *gate = &cell->recurrent_activation;
    const int64_t n = cell->units;
    if (gate->kind == RNNRT_ACT_SIGMOID) {
        for (int64_t u = 0; u < n; u += VL) {
            const int64_t left = least(VL, n - u);
            v_storen(z + u, v_sigmoid(v_loadn(z + u, left)), left);
            v_storen(r + u, v_sigmoid(v_loadn(r + u, left)) * v_loadn(h + u, left), left);
        }
        return;
    }
    row_apply(gate, n, z, z, scratch);
    row_apply(gate, n, r, r, scratch);
    for (int64_t u = 0; u < n; u += VL) {
        const int64_t left = least(VL, n - u);
        v_storen(r + u, v_loadn(r + u, left) * v_loadn(h + u, left), left);
    }
}

/* h' = z h + (1 - z) g over a row */
static void gru_blend(int64_t n, const float *z, const float *h, const float *g, float *h_out)
{
    for (int64_t u = 0; u < n; u += VL) {
        const int64_t left = least(VL, n - u);
        const vf c = v_loadn(g + u, left);
        v_storen(h_out + u, v_fma(v_loadn(z + u, left), v_loadn(h + u, left) - c, c), left);
    }
}

/* reset_after gates of one row from its finished chains, all activations allowed; xh is overwritten */
static void gru_gates_after(const rnnrt_cell *cell, float *z, float *r, float *xh, const float *hh,
                            const float *h, float *h_out, float *scratch)
{
    const int64_t n = cell->units;
    row_apply(&cell->recurrent_activation, n, z, z, scratch);
    row_apply(&cell->recurrent_activation, n, r, r, scratch);
    for (int64_t u = 0; u < n; u += VL) {
        const int64_t left = least(VL, n - u);
        v_storen(xh + u, v_fma(v_loadn(r + u, left), v_loadn(hh + u, left), v_loadn(xh + u, left)), left);
    }
    row_apply(&cell->activation, n, xh, xh, scratch);
    gru_blend(n, z, h, xh, h_out);
}

#endif
