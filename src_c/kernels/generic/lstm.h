/* LSTM: gates i, f, c, o.
 * Packed: bias (blocks.columns), kernel blocks, recurrent blocks.
 * z: blocks.columns of one row. */
#ifndef RNNRT_LSTM_H
#define RNNRT_LSTM_H

#include "blocks.h"
#include "gates.h"

V_INLINE blocks lstm_blocks(const rnnrt_cell *cell) { return blocks_of(cell->units, 4, 1); }

typedef struct lstm_run {
    const rnnrt_cell *cell;
    const rnnrt_cell_step *s;
    blocks b;
    const float *bias;
    const weight *kernel, *recurrent;
} lstm_run;

V_INLINE lstm_run lstm_view(const rnnrt_cell *cell, const rnnrt_cell_step *s)
{
    lstm_run run = {.cell = cell, .s = s, .b = lstm_blocks(cell), .bias = cell->packed};
    run.kernel = (const weight *)(run.bias + round_up(run.b.columns, 16));
    run.recurrent = run.kernel + round_up(run.b.columns * cell->features, WEIGHT_LINE);
    return run;
}

/* the epilogue of one row of block `at`, in two parts; where gates share vectors, the first takes all of them through
 * their functions */
V_INLINE vf lstm_begin(const lstm_run *r, int usual, int width, int64_t at, int64_t row, vf *acc)
{
    const rnnrt_cell_step *s = r->s;
    const int64_t u = at * VL, n = blocks_units(&r->b, at);
    const float *c = s->c + row * s->c_stride + u;
    float *c_out = s->c_out + row * s->c_out_stride + u;
    if (usual && width < VL) {
        if (width * 4 == VL) {
            acc[0] = gates_mixed(acc[0], 2 * width, 3 * width);
        } else {
            acc[0] = v_sigmoid(acc[0]);
            acc[1] = gates_mixed(acc[1], 0, width);
        }
        return lstm_keep(block_gate(acc, width, 0), block_gate(acc, width, 1), block_gate(acc, width, 2), c, c_out,
                         width, n);
    }
    return lstm_state(usual, r->cell, block_gate(acc, width, 0), block_gate(acc, width, 1), block_gate(acc, width, 2),
                      c, c_out, width, n);
}
V_INLINE void lstm_end(const lstm_run *r, int usual, int width, int64_t at, int64_t row, const vf *acc, vf state)
{
    const rnnrt_cell_step *s = r->s;
    const int64_t n = blocks_units(&r->b, at);
    const vf o = block_gate(acc, width, 3);
    float *h_out = s->h_out + row * s->h_out_stride + at * VL;
    if (usual && width < VL)
        units_store(h_out, o * v_tanh(state), width, n);
    else
        lstm_output(usual, r->cell, o, state, h_out, width, n);
}

#define LSTM_START(N, m, v) acc[(m) * (N) + (v)] = v_load(start + (m) * stride + (v) * VL);
#define LSTM_START1(m, v) LSTM_START(1, m, v)
#define LSTM_START2(m, v) LSTM_START(2, m, v)
#define LSTM_START4(m, v) LSTM_START(4, m, v)
#define LSTM_ROW1(X, m) VEC_1(LSTM_START1, m)
#define LSTM_ROW2(X, m) VEC_2(LSTM_START2, m)
#define LSTM_ROW4(X, m) VEC_4(LSTM_START4, m)
#define LSTM_BEGIN1(W, m) const vf state##m = lstm_begin(r, usual, W, at, row + (m), acc + (m) * 1);
#define LSTM_END1(W, m) lstm_end(r, usual, W, at, row + (m), acc + (m) * 1, state##m);
#define LSTM_BEGIN2(W, m) const vf state##m = lstm_begin(r, usual, W, at, row + (m), acc + (m) * 2);
#define LSTM_END2(W, m) lstm_end(r, usual, W, at, row + (m), acc + (m) * 2, state##m);
#define LSTM_BEGIN4(W, m) const vf state##m = lstm_begin(r, usual, W, at, row + (m), acc + (m) * 4);
#define LSTM_END4(W, m) lstm_end(r, usual, W, at, row + (m), acc + (m) * 4, state##m);

/* M rows of one block whose row is N vectors and W units */
#define DEFINE_LSTM_TILE(M, N, W)                                                                      \
    V_INLINE void lstm_body_##M##_##N(const lstm_run *r, int usual, int64_t at, int64_t row, const fetch *f) \
    {                                                                                                  \
        const rnnrt_cell_step *s = r->s;                                                               \
        const int64_t d = r->cell->features, u = r->cell->units, column = at * 4 * VL;                 \
        vf acc[(M) * (N)];                                                                             \
        TILE_START(REP_##M(LSTM_ROW##N, _), chain_##M##_##N(acc, s->x + row * s->x_stride, s->x_stride, d, \
                                                            r->kernel + column * d, f))                \
        chain_##M##_##N(acc, s->h + row * s->h_stride, s->h_stride, u, r->recurrent + column * u, f);  \
        REP_##M(LSTM_BEGIN##N, W)                                                                      \
        REP_##M(LSTM_END##N, W)                                                                        \
    }                                                                                                  \
    static void lstm_usual_##M##_##N(const lstm_run *r, int64_t at, int64_t row, const fetch *f)       \
    {                                                                                                  \
        lstm_body_##M##_##N(r, 1, at, row, f);                                                         \
    }                                                                                                  \
    static void lstm_any_##M##_##N(const lstm_run *r, int64_t at, int64_t row, const fetch *f)         \
    {                                                                                                  \
        lstm_body_##M##_##N(r, 0, at, row, f);                                                         \
    }

/* two or three blocks of a single row, the last of N vectors and W units */
#define DEFINE_LSTM_DUO(N, W)                                                                          \
    V_INLINE void lstm_duo_body_##N(const lstm_run *r, int usual, int64_t at)                          \
    {                                                                                                  \
        const rnnrt_cell_step *s = r->s;                                                               \
        const int64_t d = r->cell->features, u = r->cell->units, column = at * 4 * VL;                 \
        const float *start = (s->z ? s->z : r->bias) + column;                                         \
        vf a[4], b[N];                                                                                 \
        VEC_4(DUO_START_A, _) VEC_##N(DUO_START_B, 4)                                                  \
        if (!s->z)                                                                                     \
            duo_4_##N(a, b, s->x, d, r->kernel + column * d);                                          \
        duo_4_##N(a, b, s->h, u, r->recurrent + column * u);                                           \
        const vf state_a = lstm_begin(r, usual, VL, at, 0, a);                                         \
        const vf state_b = lstm_begin(r, usual, W, at + 1, 0, b);                                      \
        lstm_end(r, usual, VL, at, 0, a, state_a);                                                     \
        lstm_end(r, usual, W, at + 1, 0, b, state_b);                                                  \
    }                                                                                                  \
    static void lstm_duo_usual_##N(const lstm_run *r, int64_t at) { lstm_duo_body_##N(r, 1, at); }     \
    static void lstm_duo_any_##N(const lstm_run *r, int64_t at) { lstm_duo_body_##N(r, 0, at); }       \
    V_INLINE void lstm_trio_body_##N(const lstm_run *r, int usual, int64_t at)                         \
    {                                                                                                  \
        const rnnrt_cell_step *s = r->s;                                                               \
        const int64_t d = r->cell->features, u = r->cell->units, column = at * 4 * VL;                 \
        const float *start = (s->z ? s->z : r->bias) + column;                                         \
        vf a[4], b[4], c[N];                                                                           \
        VEC_4(DUO_START_A, _) VEC_4(DUO_START_B, 4) VEC_##N(TRIO_START_C, 4)                           \
        if (!s->z)                                                                                     \
            trio_4_##N(a, b, c, s->x, d, r->kernel + column * d);                                      \
        trio_4_##N(a, b, c, s->h, u, r->recurrent + column * u);                                       \
        const vf state_a = lstm_begin(r, usual, VL, at, 0, a);                                         \
        const vf state_b = lstm_begin(r, usual, VL, at + 1, 0, b);                                     \
        const vf state_c = lstm_begin(r, usual, W, at + 2, 0, c);                                      \
        lstm_end(r, usual, VL, at, 0, a, state_a);                                                     \
        lstm_end(r, usual, VL, at + 1, 0, b, state_b);                                                 \
        lstm_end(r, usual, W, at + 2, 0, c, state_c);                                                  \
    }                                                                                                  \
    static void lstm_trio_usual_##N(const lstm_run *r, int64_t at) { lstm_trio_body_##N(r, 1, at); }   \
    static void lstm_trio_any_##N(const lstm_run *r, int64_t at) { lstm_trio_body_##N(r, 0, at); }

#if VL >= 16
#define DEFINE_LSTM_TILES(M)                                                                           \
    DEFINE_LSTM_TILE(M, 4, VL) DEFINE_LSTM_TILE(M, 2, VL / 2) DEFINE_LSTM_TILE(M, 1, VL / 4)
#define LSTM_ENTRIES(A, M) {lstm_##A##_##M##_1, lstm_##A##_##M##_2, lstm_##A##_##M##_4}
DEFINE_LSTM_DUO(4, VL)
DEFINE_LSTM_DUO(2, VL / 2)
DEFINE_LSTM_DUO(1, VL / 4)
#define LSTM_DUO_ENTRIES(G, A) {lstm_##G##_##A##_1, lstm_##G##_##A##_2, lstm_##G##_##A##_4}
#elif VL >= 8
#define DEFINE_LSTM_TILES(M) DEFINE_LSTM_TILE(M, 4, VL) DEFINE_LSTM_TILE(M, 2, VL / 2)
#define LSTM_ENTRIES(A, M) {0, lstm_##A##_##M##_2, lstm_##A##_##M##_4}
DEFINE_LSTM_DUO(4, VL)
DEFINE_LSTM_DUO(2, VL / 2)
#define LSTM_DUO_ENTRIES(G, A) {0, lstm_##G##_##A##_2, lstm_##G##_##A##_4}
#else
#define DEFINE_LSTM_TILES(M) DEFINE_LSTM_TILE(M, 4, VL)
#define LSTM_ENTRIES(A, M) {0, 0, lstm_##A##_##M##_4}
DEFINE_LSTM_DUO(4, VL)
#define LSTM_DUO_ENTRIES(G, A) {0, 0, lstm_##G##_##A##_4}
#endif
DEFINE_LSTM_TILES(1)
DEFINE_LSTM_TILES(2)
#if V_ROWS >= 3
DEFINE_LSTM_TILES(3)
#endif
#if V_ROWS >= 6
DEFINE_LSTM_TILES(4)
DEFINE_LSTM_TILES(5)
DEFINE_LSTM_TILES(6)
#endif
typedef void lstm_tile(const lstm_run *, int64_t, int64_t, const fetch *);
typedef void lstm_duo(const lstm_run *, int64_t);
/* [usual][rows - 1][1, 2 or 4 vectors] */
static lstm_tile *const lstm_tiles[2][V_ROWS][3] = {
#define LSTM_TABLE2(A) LSTM_ENTRIES(A, 1), LSTM_ENTRIES(A, 2)
#if V_ROWS >= 6
#define LSTM_TABLE(A)                                                                                  \
    LSTM_TABLE2(A), LSTM_ENTRIES(A, 3), LSTM_ENTRIES(A, 4), LSTM_ENTRIES(A, 5), LSTM_ENTRIES(A, 6)
#elif V_ROWS >= 3
#define LSTM_TABLE(A) LSTM_TABLE2(A), LSTM_ENTRIES(A, 3)
#else
#define LSTM_TABLE(A) LSTM_TABLE2(A)
#endif
    {LSTM_TABLE(any)},
    {LSTM_TABLE(usual)},
};
static lstm_duo *const lstm_duos[2][3] = {LSTM_DUO_ENTRIES(duo, any), LSTM_DUO_ENTRIES(duo, usual)};
static lstm_duo *const lstm_trios[2][3] = {LSTM_DUO_ENTRIES(trio, any), LSTM_DUO_ENTRIES(trio, usual)};

V_INLINE int lstm_kind(const blocks *b, int64_t at)
{
    return at < b->full ? 2 : b->tail_width * 4 == VL ? 0 : 1;
}

static void lstm_pack(const rnnrt_cell *cell, const rnnrt_cell_weights *w, void *packed)
{
    const blocks b = lstm_blocks(cell);
    float *p = packed;
    const int64_t n = 4 * cell->units;
    if (w->bias)
        blocks_pack_bias(&b, 1, w->bias, n, p);
    else
        for (int64_t i = 0; i < b.columns; i++)
            p[i] = 0.0f;
    weight *to = (weight *)(p + round_up(b.columns, 16));
    blocks_pack(&b, cell->features, w->kernel, n, to);
    to += round_up(b.columns * cell->features, WEIGHT_LINE);
    blocks_pack(&b, cell->units, w->recurrent, n, to);
}

static void lstm_sizes(const rnnrt_cell *cell, rnnrt_cell_sizes *out)
{
    const blocks b = lstm_blocks(cell);
    out->z_width = round_up(b.columns, 16);
    out->packed_bytes = out->z_width * (int64_t)sizeof(float) +
                        (round_up(b.columns * cell->features, WEIGHT_LINE) +
                         round_up(b.columns * cell->units, WEIGHT_LINE)) * (int64_t)sizeof(weight);
    out->phases = 1;
    out->blocks[0] = cell_rowwise(cell) ? 1 : b.count;
    out->project_blocks = b.count;
}

static int64_t lstm_scratch_floats(const rnnrt_cell *cell)
{
    return cell_rowwise(cell) ? round_up(lstm_blocks(cell).columns, 16) + 6 * cell->units : 0;
}

static void lstm_project(const rnnrt_cell *cell, int64_t rows, const float *x, int64_t x_stride, float *z,
                         int64_t z_stride, int64_t begin, int64_t end)
{
    const lstm_run r = lstm_view(cell, 0);
    const panel_job job = {
        .columns = r.b.columns, .pitch = 4, .start = r.bias,
        .x = x, .x_stride = x_stride, .x_count = cell->features, .wx = r.kernel,
        .y = z, .y_stride = z_stride,
        .activation = &linear_activation, .end = PANEL_ACTIVATE,
    };
    panel_run(&job, rows, begin, least(end, r.b.count), 0);
}

/* rowwise activations see whole gates: chains of a row first, then its gates */
static void lstm_step_rowwise(const lstm_run *r)
{
    const rnnrt_cell_step *s = r->s;
    float *chains = s->scratch, *z = chains + round_up(r->b.columns, 16);
    for (int64_t row = 0; row < s->rows; row++) {
        const panel_job job = {
            .columns = r->b.columns, .pitch = 4,
            .start = s->z ? s->z + row * s->z_stride : r->bias,
            .x = s->z ? s->h : s->x + row * s->x_stride, .x_count = s->z ? 0 : r->cell->features,
            .wx = r->kernel,
            .h = s->h + row * s->h_stride, .h_count = r->cell->units, .wh = r->recurrent,
            .y = chains, .activation = &linear_activation, .end = PANEL_ACTIVATE,
        };
        panel_run(&job, 1, 0, r->b.count, s->zigzag);
        blocks_unpack(&r->b, chains, z);
        lstm_gates(r->cell, z, s->c + row * s->c_stride, s->c_out + row * s->c_out_stride,
                 s->h_out + row * s->h_out_stride, z + 4 * r->cell->units);
    }
}

static void lstm_step(const rnnrt_cell *cell, const rnnrt_cell_step *s)
{
    const lstm_run r = lstm_view(cell, s);
    if (cell_rowwise(cell)) {
        lstm_step_rowwise(&r);
        return;
    }
    const int usual = cell_usual(cell);
    const int64_t begin = s->phase ? s->block_begin : 0, end = s->phase ? s->block_end : r.b.count;
    if (s->rows == 1) {
        for (int64_t left = end - begin; left > 0;) {
            /* The last three at once; but three wide streams, long ones with the inputs, were measured
             * slower than two and one where a block's row is four vectors of 16. One stream of these is as fast as
             * the second-level cache, and two are not, where the weights are far beyond the first. */
            const int64_t third = s->zigzag ? begin + 2 : end - 1;
            const int alone = VL >= 16 && s->z && cell->units > 100;
            const int trio = left == 3 && (VL < 16 || s->z || lstm_kind(&r.b, third) == 0);
            const int64_t take = alone ? 1 : trio ? 3 : left >= 2 ? 2 : 1;
            const int64_t at = s->zigzag ? begin + left - take : end - left;
            if (take == 3)
                lstm_trios[usual][lstm_kind(&r.b, at + 2)](&r, at);
            else if (take == 2)
                lstm_duos[usual][lstm_kind(&r.b, at + 1)](&r, at);
            else
                lstm_tiles[usual][0][lstm_kind(&r.b, at)](&r, at, 0, &no_fetch);
            left -= take;
        }
        return;
    }
    const int64_t bytes = r.b.columns * (cell->units + (s->z ? 0 : cell->features)) * (int64_t)sizeof(weight);
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = s->zigzag ? end - 1 - (i - begin) : i;
        fetch f = fetch_of(bytes, s->rows, i + 1 == end ? 0 : s->zigzag ? -1 : 1);
        for (int64_t row = 0; row < s->rows; f.tile++) {
            const int64_t take = tile_rows(s->rows - row);
            /* the old state is wanted after the chains: where the weights have pushed it out of the cache, ask now */
            for (int64_t m = row; f.panels && m < row + take; m++)
                __builtin_prefetch(s->c + m * s->c_stride + at * VL);
            lstm_tiles[usual][take - 1][lstm_kind(&r.b, at)](&r, at, row, &f);
            row += take;
        }
    }
}

#endif
