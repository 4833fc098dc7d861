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

/* n units of at most `width`, which is VL or a narrow block's: whole parts of a vector are loaded and stored without
 * a mask, since what a masked store wrote is slow to read back */
V_INLINE vf units_load(const float *p, int width, int64_t n)
{
    return n < width ? v_loadn(p, n) : width == VL ? v_load(p) : v_load_part(p, width);
}
V_INLINE void units_store(float *p, vf a, int width, int64_t n)
{
    if (n < width)
        v_storen(p, a, n);
    else if (width == VL)
        v_store(p, a);
    else
        v_store_part(p, a, width);
}

/* sigmoid, but tanh in the lanes [from, to): the gates of a narrow block share vectors */
V_INLINE vf gates_mixed(vf x, int from, int to)
{
    const vf half = v_set1(0.5f), h = half * x;
    const vf t = v_tanh(v_sel(v_first(from), h, v_sel(v_first(to), x, h)));
    const vf s = v_fma(half, t, half);
    return v_sel(v_first(from), s, v_sel(v_first(to), t, s));
}

/* A tile makes the new c of all its rows before the new h of any: c is long in coming, and meanwhile there is other
 * work. First c' = f c + i g of one vector of units, from gates that have been through their functions ... */
V_INLINE vf lstm_keep(vf i, vf f, vf g, const float *c, float *c_out, int width, int64_t n)
{
    const vf state = v_fma(f, units_load(c, width, n), i * g);
    units_store(c_out, state, width, n);
    return state;
}
/* ... or from their chains; */
V_INLINE vf lstm_state(int usual, const rnnrt_cell *cell, vf i, vf f, vf g, const float *c, float *c_out, int width,
                       int64_t n)
{
    const rnnrt_activation *act = &cell->activation, *gate = &cell->recurrent_activation;
    if (usual)
        return lstm_keep(v_sigmoid(i), v_sigmoid(f), v_tanh(g), c, c_out, width, n);
    i = gate_apply(gate, i);
    g = act_apply(act, g);
    const vf keep = i * g;
    f = gate_apply(gate, f);
    const vf state = v_fma(f, units_load(c, width, n), keep);
    units_store(c_out, state, width, n);
    return state;
}
/* then h' = o act(c'), o from its chain */
V_INLINE void lstm_output(int usual, const rnnrt_cell *cell, vf o, vf state, float *h_out, int width, int64_t n)
{
    o = usual ? v_sigmoid(o) : gate_apply(&cell->recurrent_activation, o);
    units_store(h_out, o * (usual ? v_tanh(state) : act_apply(&cell->activation, state)), width, n);
}
V_INLINE void lstm_units(int usual, const rnnrt_cell *cell, vf i, vf f, vf g, vf o, const float *c, float *c_out,
                         float *h_out, int width, int64_t n)
{
    lstm_output(usual, cell, o, lstm_state(usual, cell, i, f, g, c, c_out, width, n), h_out, width, n);
}

/* z and r have been through their function; h' = z h + (1 - z) g */
V_INLINE void gru_usual(vf z, vf r, vf xh, vf hh, const float *h, float *h_out, int width, int64_t n)
{
    const vf g = v_tanh(v_fma(r, hh, xh));
    units_store(h_out, v_fma(z, units_load(h, width, n) - g, g), width, n);
}

/* z, r and candidate of one vector of units */
V_INLINE void gru_units(int usual, const rnnrt_cell *cell, vf z, vf r, vf xh, vf hh, const float *h,
                        float *h_out, int width, int64_t n)
{
    if (usual) {
        gru_usual(v_sigmoid(z), v_sigmoid(r), xh, hh, h, h_out, width, n);
        return;
    }
    const vf old = units_load(h, width, n);
    r = gate_apply(&cell->recurrent_activation, r);
    vf g = v_fma(r, hh, xh);
    z = gate_apply(&cell->recurrent_activation, z);
    g = act_apply(&cell->activation, g);
    units_store(h_out, v_fma(z, old - g, g), width, n);
}

/* gates of one row from its finished chains, gate after gate, all activations allowed;
 * z is overwritten; scratch: 2 * units */
static void lstm_gates(const rnnrt_cell *cell, float *z, const float *c, float *c_out, float *h_out,
                       float *scratch)
{
    const int64_t n = cell->units;
    const rnnrt_activation *gate = &cell->recurrent_activation;
    float *i = z, *f = z + n, *g = z + 2 * n, *o = z + 3 * n, *t = scratch + n;
    gate_row(gate, n, i, scratch);
    gate_row(gate, n, f, scratch);
    row_apply(&cell->activation, n, g, g, scratch);
    gate_row(gate, n, o, scratch);
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
    gate_row(gate, n, z, scratch);
    gate_row(gate, n, r, scratch);
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
    gate_row(&cell->recurrent_activation, n, z, scratch);
    gate_row(&cell->recurrent_activation, n, r, scratch);
    for (int64_t u = 0; u < n; u += VL) {
        const int64_t left = least(VL, n - u);
        v_storen(xh + u, v_fma(v_loadn(r + u, left), v_loadn(hh + u, left), v_loadn(xh + u, left)), left);
    }
    row_apply(&cell->activation, n, xh, xh, scratch);
    gru_blend(n, z, h, xh, h_out);
}

#endif
