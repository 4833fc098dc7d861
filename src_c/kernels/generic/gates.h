/* Gates: of one vector of units in registers (elementwise activations), and of one row from its finished chains,
 * which lie gate after gate (every activation). */
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

/* c' = f c + i g; h' = o act(c'): one vector of units from its four chains */
V_INLINE void lstm_units(int usual, const rnnrt_cell *cell, vf i, vf f, vf g, vf o, const float *c,
                         float *c_out, float *h_out, int64_t n)
{
    const rnnrt_activation *act = &cell->activation, *gate = &cell->recurrent_activation;
    const vf old = n == VL ? v_load(c) : v_loadn(c, n);
    vf keep, state, out;
    if (usual) {
        i = v_sigmoid(i);
        f = v_sigmoid(f);
        g = v_tanh(g);
        o = v_sigmoid(o);
        state = v_fma(f, old, i * g);
        out = o * v_tanh(state);
    } else {
        i = act_apply(gate, i);
        g = act_apply(act, g);
        keep = i * g;
        f = act_apply(gate, f);
        state = v_fma(f, old, keep);
        o = act_apply(gate, o);
        out = o * act_apply(act, state);
    }
    if (n == VL) {
        v_store(c_out, state);
        v_store(h_out, out);
    } else {
        v_storen(c_out, state, n);
        v_storen(h_out, out, n);
    }
}

/* z, r and candidate of one vector of units; h' = z h + (1 - z) g */
V_INLINE void gru_units(int usual, const rnnrt_cell *cell, vf z, vf r, vf xh, vf hh, const float *h,
                        float *h_out, int64_t n)
{
    const vf old = n == VL ? v_load(h) : v_loadn(h, n);
    vf g;
    if (usual) {
        z = v_sigmoid(z);
        r = v_sigmoid(r);
        g = v_tanh(v_fma(r, hh, xh));
    } else {
        r = act_apply(&cell->recurrent_activation, r);
        g = v_fma(r, hh, xh);
        z = act_apply(&cell->recurrent_activation, z);
        g = act_apply(&cell->activation, g);
    }
    const vf out = v_fma(z, old - g, g);
    if (n == VL)
        v_store(h_out, out);
    else
        v_storen(h_out, out, n);
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

/* act(z) in place, r = act(r) * h, of n units (all of them where the function is rowwise) */
static void gru_gates_before(const rnnrt_cell *cell, int64_t n, float *z, float *r, const float *h, float *scratch)
{
    const rnnrt_activation *gate = &cell->recurrent_activation;
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
