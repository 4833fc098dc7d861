/* GRU: gates z, r, h.
 * reset_after: bias (columns; z and r hold both biases), recurrent bias (columns; only the h slots count),
 *              kernel blocks [z r h], recurrent blocks [z r h].
 * else:        bias (columns), kernel blocks [z r h], recurrent blocks [z r], recurrent panels of h. */
#ifndef RNNRT_GRU_H
#define RNNRT_GRU_H

#include <string.h>

#include "blocks.h"
#include "gates.h"
#include "lstm.h"

typedef struct gru_layout {
    blocks b;
    int64_t pad; /* units rounded up to 16: the rows of scratch */
    int64_t recurrent_bias, floats;                 /* where it begins; floats of both biases */
    int64_t recurrent, candidate, weights;          /* where each begins behind the kernel; of all */
} gru_layout;

V_INLINE gru_layout gru_layout_of(const rnnrt_cell *cell)
{
    const int64_t u = cell->units;
    gru_layout l = {.b = blocks_of(u, 3, cell->reset_after), .pad = round_up(u, 16)};
    const int64_t columns = round_up(l.b.columns, 16);
    l.recurrent_bias = columns;
    l.floats = cell->reset_after ? 2 * columns : columns;
    l.recurrent = round_up(l.b.columns * cell->features, WEIGHT_LINE);
    l.candidate = l.recurrent + round_up((cell->reset_after ? l.b.columns : l.b.count * 2 * VL) * u, WEIGHT_LINE);
    l.weights = l.candidate + (cell->reset_after ? 0 : round_up(panel_width(u) * u, WEIGHT_LINE));
    return l;
}

typedef struct gru_run {
    const rnnrt_cell *cell;
    const rnnrt_cell_step *s;
    blocks b;
    int64_t pad;
    const float *bias, *recurrent_bias;
    const weight *kernel, *recurrent, *candidate;
} gru_run;

V_INLINE gru_run gru_view(const rnnrt_cell *cell, const rnnrt_cell_step *s)
{
    const gru_layout l = gru_layout_of(cell);
    const float *p = cell->packed;
    const weight *w = (const weight *)(p + l.floats);
    return (gru_run){
        .cell = cell, .s = s, .b = l.b, .pad = l.pad, .bias = p, .recurrent_bias = p + l.recurrent_bias,
        .kernel = w, .recurrent = w + l.recurrent, .candidate = cell->reset_after ? 0 : w + l.candidate,
    };
}

/* weights that one step reads */
V_INLINE int64_t gru_bytes(const gru_run *r)
{
    return r->b.columns * (r->cell->units + (r->s->z ? 0 : r->cell->features)) * (int64_t)sizeof(weight);
}

/* accumulators after the inputs -> those of the recurrent pass: z and r go on, h begins with its own bias */
V_INLINE void gru_fork(const gru_run *r, int vectors, int64_t column, const vf *inputs, vf *hidden)
{
    const float *hb = r->recurrent_bias + column;
    if (vectors == 3) {
        hidden[0] = inputs[0];
        hidden[1] = inputs[1];
        hidden[2] = v_load(hb + 2 * VL);
    } else if (vectors == 2) {
        hidden[0] = inputs[0];
        hidden[1] = v_load(hb + VL);
    } else {
        hidden[0] = v_sel(v_first(VL / 2), inputs[0], v_load(hb));
    }
}
V_INLINE void gru_end(const gru_run *r, int usual, int width, int64_t at, int64_t row, const vf *inputs,
                      const vf *hidden)
{
    const rnnrt_cell_step *s = r->s;
    const int64_t u = at * VL, n = blocks_units(&r->b, at);
    const float *h = s->h + row * s->h_stride + u;
    float *h_out = s->h_out + row * s->h_out_stride + u;
    const vf xh = block_gate(inputs, width, 2), hh = block_gate(hidden, width, 2);
    if (usual && width < VL) { /* z and r share a vector */
        const vf zr = v_sigmoid(hidden[0]);
        gru_usual(block_gate(&zr, width, 0), block_gate(&zr, width, 1), xh, hh, h, h_out, width, n);
        return;
    }
    gru_units(usual, r->cell, block_gate(hidden, width, 0), block_gate(hidden, width, 1), xh, hh, h, h_out, width, n);
}

#define GRU_START(N, m, v) in[(m) * (N) + (v)] = v_load(start + (m) * stride + (v) * VL);
#define GRU_START1(m, v) GRU_START(1, m, v)
#define GRU_START2(m, v) GRU_START(2, m, v)
#define GRU_START3(m, v) GRU_START(3, m, v)
#define GRU_ROW1(X, m) VEC_1(GRU_START1, m)
#define GRU_ROW2(X, m) VEC_2(GRU_START2, m)
#define GRU_ROW3(X, m) VEC_3(GRU_START3, m)
#define GRU_FORK(N, m) gru_fork(r, N, column, in + (m) * (N), hid + (m) * (N));
#define GRU_END1(W, m) gru_end(r, usual, W, at, row + (m), in + (m) * 1, hid + (m) * 1);
#define GRU_END2(W, m) gru_end(r, usual, W, at, row + (m), in + (m) * 2, hid + (m) * 2);
#define GRU_END3(W, m) gru_end(r, usual, W, at, row + (m), in + (m) * 3, hid + (m) * 3);

#define DEFINE_GRU_TILE(M, N, W)                                                                       \
    V_INLINE void gru_body_##M##_##N(const gru_run *r, int usual, int64_t at, int64_t row, const fetch *f) \
    {                                                                                                  \
        const rnnrt_cell_step *s = r->s;                                                               \
        const int64_t d = r->cell->features, u = r->cell->units, column = at * 3 * VL;                 \
        vf in[(M) * (N)], hid[(M) * (N)];                                                              \
        TILE_START(REP_##M(GRU_ROW##N, _), chain_##M##_##N(in, s->x + row * s->x_stride, s->x_stride, d, \
                                                           r->kernel + column * d, f))                 \
        REP_##M(GRU_FORK, N)                                                                           \
        chain_##M##_##N(hid, s->h + row * s->h_stride, s->h_stride, u, r->recurrent + column * u, f);  \
        REP_##M(GRU_END##N, W)                                                                         \
    }                                                                                                  \
    static void gru_usual_##M##_##N(const gru_run *r, int64_t at, int64_t row, const fetch *f)         \
    {                                                                                                  \
        gru_body_##M##_##N(r, 1, at, row, f);                                                          \
    }                                                                                                  \
    static void gru_any_##M##_##N(const gru_run *r, int64_t at, int64_t row, const fetch *f)           \
    {                                                                                                  \
        gru_body_##M##_##N(r, 0, at, row, f);                                                          \
    }

/* two or three blocks of a single row, the last of N vectors and W units */
#define DEFINE_GRU_DUO(N, W)                                                                           \
    V_INLINE void gru_duo_body_##N(const gru_run *r, int usual, int64_t at)                            \
    {                                                                                                  \
        const rnnrt_cell_step *s = r->s;                                                               \
        const int64_t d = r->cell->features, u = r->cell->units, column = at * 3 * VL;                 \
        const float *start = (s->z ? s->z : r->bias) + column;                                         \
        vf a[3], b[N], ha[3], hb[N];                                                                   \
        VEC_3(DUO_START_A, _) VEC_##N(DUO_START_B, 3)                                                  \
        if (!s->z)                                                                                     \
            duo_3_##N(a, b, s->x, d, r->kernel + column * d);                                          \
        gru_fork(r, 3, column, a, ha);                                                                 \
        gru_fork(r, N, column + 3 * VL, b, hb);                                                        \
        duo_3_##N(ha, hb, s->h, u, r->recurrent + column * u);                                         \
        gru_end(r, usual, VL, at, 0, a, ha);                                                           \
        gru_end(r, usual, W, at + 1, 0, b, hb);                                                        \
    }                                                                                                  \
    static void gru_duo_usual_##N(const gru_run *r, int64_t at) { gru_duo_body_##N(r, 1, at); }        \
    static void gru_duo_any_##N(const gru_run *r, int64_t at) { gru_duo_body_##N(r, 0, at); }          \
    V_INLINE void gru_trio_body_##N(const gru_run *r, int usual, int64_t at)                           \
    {                                                                                                  \
        const rnnrt_cell_step *s = r->s;                                                               \
        const int64_t d = r->cell->features, u = r->cell->units, column = at * 3 * VL;                 \
        const float *start = (s->z ? s->z : r->bias) + column;                                         \
        vf a[3], b[3], c[N], ha[3], hb[3], hc[N];                                                      \
        VEC_3(DUO_START_A, _) VEC_3(DUO_START_B, 3) VEC_##N(TRIO_START_C, 3)                           \
        if (!s->z)                                                                                     \
            trio_3_##N(a, b, c, s->x, d, r->kernel + column * d);                                      \
        gru_fork(r, 3, column, a, ha);                                                                 \
        gru_fork(r, 3, column + 3 * VL, b, hb);                                                        \
        gru_fork(r, N, column + 6 * VL, c, hc);                                                        \
        trio_3_##N(ha, hb, hc, s->h, u, r->recurrent + column * u);                                    \
        gru_end(r, usual, VL, at, 0, a, ha);                                                           \
        gru_end(r, usual, VL, at + 1, 0, b, hb);                                                       \
        gru_end(r, usual, W, at + 2, 0, c, hc);                                                        \
    }                                                                                                  \
    static void gru_trio_usual_##N(const gru_run *r, int64_t at) { gru_trio_body_##N(r, 1, at); }      \
    static void gru_trio_any_##N(const gru_run *r, int64_t at) { gru_trio_body_##N(r, 0, at); }

#if VL >= 16
#define DEFINE_GRU_TILES(M)                                                                            \
    DEFINE_GRU_TILE(M, 3, VL) DEFINE_GRU_TILE(M, 2, VL / 2) DEFINE_GRU_TILE(M, 1, VL / 4)
#define GRU_ENTRIES(A, M) {gru_##A##_##M##_1, gru_##A##_##M##_2, gru_##A##_##M##_3}
DEFINE_GRU_DUO(3, VL)
DEFINE_GRU_DUO(2, VL / 2)
DEFINE_GRU_DUO(1, VL / 4)
#define GRU_DUO_ENTRIES(G, A) {gru_##G##_##A##_1, gru_##G##_##A##_2, gru_##G##_##A##_3}
#elif VL >= 8
#define DEFINE_GRU_TILES(M) DEFINE_GRU_TILE(M, 3, VL) DEFINE_GRU_TILE(M, 2, VL / 2)
#define GRU_ENTRIES(A, M) {0, gru_##A##_##M##_2, gru_##A##_##M##_3}
DEFINE_GRU_DUO(3, VL)
DEFINE_GRU_DUO(2, VL / 2)
#define GRU_DUO_ENTRIES(G, A) {0, gru_##G##_##A##_2, gru_##G##_##A##_3}
#else
#define DEFINE_GRU_TILES(M) DEFINE_GRU_TILE(M, 3, VL)
#define GRU_ENTRIES(A, M) {0, 0, gru_##A##_##M##_3}
DEFINE_GRU_DUO(3, VL)
#define GRU_DUO_ENTRIES(G, A) {0, 0, gru_##G##_##A##_3}
#endif
DEFINE_GRU_TILES(1)
DEFINE_GRU_TILES(2)
#if V_ROWS >= 3
DEFINE_GRU_TILES(3)
#endif
#if V_ROWS >= 6
DEFINE_GRU_TILES(4)
DEFINE_GRU_TILES(5)
DEFINE_GRU_TILES(6)
#endif
typedef void gru_tile(const gru_run *, int64_t, int64_t, const fetch *);
typedef void gru_duo(const gru_run *, int64_t);
static gru_tile *const gru_tiles[2][V_ROWS][3] = {
#define GRU_TABLE2(A) GRU_ENTRIES(A, 1), GRU_ENTRIES(A, 2)
#if V_ROWS >= 6
#define GRU_TABLE(A) GRU_TABLE2(A), GRU_ENTRIES(A, 3), GRU_ENTRIES(A, 4), GRU_ENTRIES(A, 5), GRU_ENTRIES(A, 6)
#elif V_ROWS >= 3
#define GRU_TABLE(A) GRU_TABLE2(A), GRU_ENTRIES(A, 3)
#else
#define GRU_TABLE(A) GRU_TABLE2(A)
#endif
    {GRU_TABLE(any)},
    {GRU_TABLE(usual)},
};
static gru_duo *const gru_duos[2][3] = {GRU_DUO_ENTRIES(duo, any), GRU_DUO_ENTRIES(duo, usual)};
static gru_duo *const gru_trios[2][3] = {GRU_DUO_ENTRIES(trio, any), GRU_DUO_ENTRIES(trio, usual)};

/* ---- reset_after = False: z, r, xh as raw chains into scratch, then gates, then the candidate ---- */

#define EARLY_PUT(X, m)                                                                                \
    v_store(to + (m) * 3 * r->pad, hid[(m) * 2]);                                                      \
    v_store(to + (m) * 3 * r->pad + r->pad, hid[(m) * 2 + 1]);                                         \
    v_store(to + (m) * 3 * r->pad + 2 * r->pad, in[(m) * 3 + 2]);
#define EARLY_FORK(X, m)                                                                               \
    hid[(m) * 2] = in[(m) * 3];                                                                        \
    hid[(m) * 2 + 1] = in[(m) * 3 + 1];
#define DEFINE_GRU_EARLY(M)                                                                            \
    static void gru_early_##M(const gru_run *r, int64_t at, int64_t row, const fetch *f)               \
    {                                                                                                  \
        const rnnrt_cell_step *s = r->s;                                                               \
        const int64_t d = r->cell->features, u = r->cell->units, column = at * 3 * VL;                 \
        const float *start = s->z ? s->z + row * s->z_stride + column : r->bias + column;              \
        const int64_t stride = s->z ? s->z_stride : 0;                                                 \
        float *to = s->scratch + row * 3 * r->pad + at * VL;                                           \
        vf in[(M) * 3], hid[(M) * 2];                                                                  \
        (void)stride;                                                                                  \
        REP_##M(GRU_ROW3, _)                                                                           \
        if (!s->z)                                                                                     \
            chain_##M##_3(in, s->x + row * s->x_stride, s->x_stride, d, r->kernel + column * d, f);    \
        REP_##M(EARLY_FORK, _)                                                                         \
        chain_##M##_2(hid, s->h + row * s->h_stride, s->h_stride, u, r->recurrent + at * 2 * VL * u, f); \
        REP_##M(EARLY_PUT, _)                                                                          \
    }
DEFINE_GRU_EARLY(1)
DEFINE_GRU_EARLY(2)
#if V_ROWS >= 3
DEFINE_GRU_EARLY(3)
#endif
#if V_ROWS >= 6
DEFINE_GRU_EARLY(4)
DEFINE_GRU_EARLY(5)
DEFINE_GRU_EARLY(6)
#endif
static gru_tile *const gru_earlies[V_ROWS] = {
    gru_early_1, gru_early_2,
#if V_ROWS >= 3
    gru_early_3,
#endif
#if V_ROWS >= 6
    gru_early_4, gru_early_5, gru_early_6,
#endif
};

/* three whole blocks of one row */
static void gru_early_trio(const gru_run *r, int64_t at)
{
    const rnnrt_cell_step *s = r->s;
    const int64_t d = r->cell->features, u = r->cell->units, column = at * 3 * VL;
    const float *start = (s->z ? s->z : r->bias) + column;
    float *to = s->scratch + at * VL;
    vf a[3], b[3], c[3];
    VEC_3(DUO_START_A, _) VEC_3(DUO_START_B, 3) VEC_3(TRIO_START_C, 3)
    if (!s->z)
        trio_3_3(a, b, c, s->x, d, r->kernel + column * d);
    vf za[2] = {a[0], a[1]}, zb[2] = {b[0], b[1]}, zc[2] = {c[0], c[1]};
    trio_2_2(za, zb, zc, s->h, u, r->recurrent + at * 2 * VL * u);
    v_store(to, za[0]);
    v_store(to + VL, zb[0]);
    v_store(to + 2 * VL, zc[0]);
    v_store(to + r->pad, za[1]);
    v_store(to + r->pad + VL, zb[1]);
    v_store(to + r->pad + 2 * VL, zc[1]);
    v_store(to + 2 * r->pad, a[2]);
    v_store(to + 2 * r->pad + VL, b[2]);
    v_store(to + 2 * r->pad + 2 * VL, c[2]);
}

/* blocks [begin, end): the chains, then z and r * h of their units */
static void gru_early_gates(const gru_run *r, int64_t begin, int64_t end)
{
    const rnnrt_cell_step *s = r->s;
    const rnnrt_cell *cell = r->cell;
    const int64_t pitch = 3 * r->pad, first = begin * VL, n = least(cell->units, end * VL) - first;
    if (s->rows == 1) {
        for (int64_t left = end - begin; left > 0;) {
            const int64_t take = left >= 3 ? 3 : 1;
            const int64_t at = s->zigzag ? begin + left - take : end - left;
            if (take == 3)
                gru_early_trio(r, at);
            else
                gru_early_1(r, at, 0, &no_fetch);
            left -= take;
        }
    } else {
        const int64_t bytes = gru_bytes(r);
        for (int64_t i = begin; i < end; i++) {
            fetch f = fetch_of(bytes, s->rows, i + 1 == end ? 0 : s->zigzag ? -1 : 1);
            for (int64_t row = 0; row < s->rows; f.tile++) {
                const int64_t take = tile_rows(s->rows - row);
                gru_earlies[take - 1](r, s->zigzag ? end - 1 - (i - begin) : i, row, &f);
                row += take;
            }
        }
    }
    for (int64_t row = 0; row < s->rows; row++) {
        float *z = s->scratch + row * pitch + first;
        /* the spare row is for rowwise functions, whose blocks are not shared out */
        gru_gates_before(cell, n, z, z + r->pad, s->h + row * s->h_stride + first, s->scratch + s->rows * pitch);
    }
}

/* panels [begin, end): the candidate and the new h of their units */
static void gru_early_candidate(const gru_run *r, int64_t begin, int64_t end)
{
    const rnnrt_cell_step *s = r->s;
    const rnnrt_cell *cell = r->cell;
    const int64_t pitch = 3 * r->pad;
    const int rowwise = act_rowwise(&cell->activation);
    const panel_job job = {
        .columns = cell->units, .pitch = 4,
        .start = s->scratch + 2 * r->pad, .start_stride = pitch,
        .x = s->scratch + r->pad, .x_stride = pitch, .x_count = cell->units, .wx = r->candidate,
        .y = s->h_out, .y_stride = s->h_out_stride,
        .activation = rowwise ? &linear_activation : &cell->activation,
        .end = rowwise ? PANEL_ACTIVATE : PANEL_CANDIDATE,
        .gate = s->scratch, .gate_stride = pitch, .old = s->h, .old_stride = s->h_stride,
    };
    panel_run(&job, s->rows, begin, end, s->zigzag);
    for (int64_t row = 0; rowwise && row < s->rows; row++) {
        float *out = s->h_out + row * s->h_out_stride;
        row_apply(&cell->activation, cell->units, out, out, s->scratch + s->rows * pitch);
        gru_blend(cell->units, s->scratch + row * pitch, s->h + row * s->h_stride, out, out);
    }
}

/* a phase of which nothing may be shared out is one block to the caller, all of them here */
static void gru_step_early(const gru_run *r)
{
    const rnnrt_cell_step *s = r->s;
    const int64_t panels = panel_count(r->cell->units, 4);
    const int some_gates = s->phase && !act_rowwise(&r->cell->recurrent_activation);
    const int some_panels = s->phase && !act_rowwise(&r->cell->activation);
    if (s->phase != 2)
        gru_early_gates(r, some_gates ? s->block_begin : 0, some_gates ? s->block_end : r->b.count);
    if (s->phase != 1)
        gru_early_candidate(r, some_panels ? s->block_begin : 0, some_panels ? s->block_end : panels);
}

static void gru_pack(const rnnrt_cell *cell, const rnnrt_cell_weights *w, void *packed)
{
    const gru_layout l = gru_layout_of(cell);
    float *const p = packed;
    weight *const to = (weight *)(p + l.floats);
    const int64_t u = cell->units, n = 3 * u;
    memset(packed, 0, (size_t)l.floats * sizeof(float) + (size_t)l.weights * sizeof(weight));
    if (w->bias)
        blocks_pack_bias(&l.b, 1, w->bias, n, p);
    blocks_pack(&l.b, cell->features, w->kernel, n, to);
    if (!cell->reset_after) {
        blocks two = l.b;
        two.gates = 2;
        blocks_pack(&two, u, w->recurrent, n, to + l.recurrent);
        panel_pack(u, u, (const weight *)w->recurrent + 2 * u, n, to + l.candidate);
        return;
    }
    blocks_pack(&l.b, u, w->recurrent, n, to + l.recurrent);
    if (!w->bias)
        return;
    float *const hidden = p + l.recurrent_bias;
    blocks_pack_bias(&l.b, 1, w->bias + n, n, hidden);
    for (int64_t i = 0; i < l.b.count; i++) {
        const int64_t width = i < l.b.full ? VL : l.b.tail_width;
        for (int64_t j = i * 3 * VL; j < i * 3 * VL + 2 * width; j++)
            p[j] += hidden[j];
    }
}

static void gru_sizes(const rnnrt_cell *cell, rnnrt_cell_sizes *out)
{
    const gru_layout l = gru_layout_of(cell);
    out->z_width = round_up(l.b.columns, 16);
    out->packed_bytes = l.floats * (int64_t)sizeof(float) + l.weights * (int64_t)sizeof(weight);
    out->project_blocks = l.b.count;
    if (cell->reset_after) {
        out->phases = 1;
        out->blocks[0] = cell_rowwise(cell) ? 1 : l.b.count;
        return;
    }
    out->phases = 2;
    out->blocks[0] = act_rowwise(&cell->recurrent_activation) ? 1 : l.b.count;
    out->blocks[1] = act_rowwise(&cell->activation) ? 1 : panel_count(cell->units, 4);
}

static int64_t gru_scratch_floats(const rnnrt_cell *cell, int64_t rows)
{
    const int64_t pad = round_up(cell->units, 16);
    if (!cell->reset_after)
        return rows * 3 * pad + pad;
    return cell_rowwise(cell) ? 2 * round_up(blocks_of(cell->units, 3, 1).columns, 16) + 7 * pad : 0;
}

static void gru_project(const rnnrt_cell *cell, int64_t rows, const float *x, int64_t x_stride, float *z,
                        int64_t z_stride, int64_t begin, int64_t end)
{
    const gru_run r = gru_view(cell, 0);
    const panel_job job = {
        .columns = r.b.columns, .pitch = 3, .start = r.bias,
        .x = x, .x_stride = x_stride, .x_count = cell->features, .wx = r.kernel,
        .y = z, .y_stride = z_stride,
        .activation = &linear_activation, .end = PANEL_ACTIVATE,
    };
    panel_run(&job, rows, begin, least(end, r.b.count), 0);
}

static void gru_step_rowwise(const gru_run *r)
{
    const rnnrt_cell_step *s = r->s;
    const int64_t columns = round_up(r->b.columns, 16), n = r->cell->units;
    float *in = s->scratch, *hid = in + columns, *x3 = hid + columns, *h3 = x3 + 3 * n, *spare = h3 + 3 * n;
    for (int64_t row = 0; row < s->rows; row++) {
        const float *h = s->h + row * s->h_stride;
        panel_job job = {
            .columns = r->b.columns, .pitch = 3,
            .start = s->z ? s->z + row * s->z_stride : r->bias,
            .x = s->z ? h : s->x + row * s->x_stride, .x_count = s->z ? 0 : r->cell->features,
            .wx = r->kernel, .y = in, .activation = &linear_activation, .end = PANEL_ACTIVATE,
        };
        panel_run(&job, 1, 0, r->b.count, s->zigzag);
        for (int64_t i = 0; i < r->b.count; i++) {
            const int64_t width = i < r->b.full ? VL : r->b.tail_width, at = i * 3 * VL;
            for (int64_t j = at; j < at + 3 * width; j++)
                hid[j] = j < at + 2 * width ? in[j] : r->recurrent_bias[j];
            for (int64_t j = at + 3 * width; j < least(r->b.columns, at + 3 * VL); j++)
                hid[j] = 0.0f;
        }
        job.start = hid;
        job.x = h;
        job.x_count = n;
        job.wx = r->recurrent;
        job.y = hid;
        panel_run(&job, 1, 0, r->b.count, s->zigzag);
        blocks_unpack(&r->b, in, x3);
        blocks_unpack(&r->b, hid, h3);
        gru_gates_after(r->cell, h3, h3 + n, x3 + 2 * n, h3 + 2 * n, h, s->h_out + row * s->h_out_stride, spare);
    }
}

V_INLINE int gru_kind(const blocks *b, int64_t at)
{
    return at < b->full ? 2 : b->tail_width * 4 == VL ? 0 : 1;
}

static void gru_step(const rnnrt_cell *cell, const rnnrt_cell_step *s)
{
    const gru_run r = gru_view(cell, s);
    if (!cell->reset_after) {
        gru_step_early(&r);
        return;
    }
    if (cell_rowwise(cell)) {
        gru_step_rowwise(&r);
        return;
    }
    const int usual = cell_usual(cell);
    const int64_t begin = s->phase ? s->block_begin : 0, end = s->phase ? s->block_end : r.b.count;
    if (s->rows == 1) {
        for (int64_t left = end - begin; left > 0;) {
            /* three blocks are nine chains; four are better as two and two */
            const int64_t take = left >= 3 && left != 4 ? 3 : left >= 2 ? 2 : 1;
            const int64_t at = s->zigzag ? begin + left - take : end - left;
            if (take == 3)
                gru_trios[usual][gru_kind(&r.b, at + 2)](&r, at);
            else if (take == 2)
                gru_duos[usual][gru_kind(&r.b, at + 1)](&r, at);
            else
                gru_tiles[usual][0][gru_kind(&r.b, at)](&r, at, 0, &no_fetch);
            left -= take;
        }
        return;
    }
    const int64_t bytes = gru_bytes(&r);
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = s->zigzag ? end - 1 - (i - begin) : i;
        fetch f = fetch_of(bytes, s->rows, i + 1 == end ? 0 : s->zigzag ? -1 : 1);
        for (int64_t row = 0; row < s->rows; f.tile++) {
            const int64_t take = tile_rows(s->rows - row);
            gru_tiles[usual][take - 1][gru_kind(&r.b, at)](&r, at, row, &f);
            row += take;
        }
    }
}

#endif
