/* Chains: the one loop under every matrix product.
 *
 * chain_M_N carries M rows x N vectors of accumulators through k inputs: a = fma(x[k], w[k], a).
 * w holds k rows of N vectors. Accumulators are separately named, since arrays stay on the stack.
 * duo_A_B carries one row through two adjacent panels of A and B vectors at once, trio_A_N through three
 * of A, A and N: a single row needs about eight chains to hide the latency of the fma. */
#ifndef RNNRT_PANEL_H
#define RNNRT_PANEL_H

#include "gates.h"
#include "repeat.h"
#include "weight.h"

/* While a tile works on one panel, it asks for its share of the lines of the next: with many rows the arithmetic takes
 * longer than reading, yet the first tile of a panel would wait for every line that is not in the cache. */
typedef struct fetch {
    int64_t panels; /* where the next is: -1, 1, or 0 for none */
    int64_t tile;   /* which share: tiles before this one at the same panel */
    int64_t step;   /* bytes for one input */
} fetch;

#define FETCH_BYTES (512 * 1024) /* weights that stay in the second cache are better left alone */
#define FETCH_TILES 4            /* with fewer, reading is what takes the time, and the hardware runs ahead by itself */

V_INLINE fetch fetch_of(int64_t weight_bytes, int64_t rows, int64_t panels)
{
    const int64_t tiles = (rows + V_ROWS - 1) / V_ROWS;
    if (weight_bytes <= FETCH_BYTES || tiles < FETCH_TILES)
        panels = 0;
    return (fetch){panels, 0, panels ? (4 * VL * (int64_t)sizeof(weight) + tiles - 1) / tiles : 0};
}

static const fetch no_fetch = {0, 0, 0};

#define CH_LOAD(N, m, v) vf a##m##_##v = acc[(m) * (N) + (v)];
#define CH_KEEP(N, m, v) acc[(m) * (N) + (v)] = a##m##_##v;
#define CH_LOAD1(m, v) CH_LOAD(1, m, v)
#define CH_LOAD2(m, v) CH_LOAD(2, m, v)
#define CH_LOAD3(m, v) CH_LOAD(3, m, v)
#define CH_LOAD4(m, v) CH_LOAD(4, m, v)
#define CH_KEEP1(m, v) CH_KEEP(1, m, v)
#define CH_KEEP2(m, v) CH_KEEP(2, m, v)
#define CH_KEEP3(m, v) CH_KEEP(3, m, v)
#define CH_KEEP4(m, v) CH_KEEP(4, m, v)
#define CH_ROW_LOAD(N, m) VEC_##N(CH_LOAD##N, m)
#define CH_ROW_KEEP(N, m) VEC_##N(CH_KEEP##N, m)
#define CH_ROW_LOAD1(X, m) CH_ROW_LOAD(1, m)
#define CH_ROW_LOAD2(X, m) CH_ROW_LOAD(2, m)
#define CH_ROW_LOAD3(X, m) CH_ROW_LOAD(3, m)
#define CH_ROW_LOAD4(X, m) CH_ROW_LOAD(4, m)
#define CH_ROW_KEEP1(X, m) CH_ROW_KEEP(1, m)
#define CH_ROW_KEEP2(X, m) CH_ROW_KEEP(2, m)
#define CH_ROW_KEEP3(X, m) CH_ROW_KEEP(3, m)
#define CH_ROW_KEEP4(X, m) CH_ROW_KEEP(4, m)
#define CH_POINTER(X, m) const float *const x##m = x + (m) * x_stride;
#define CH_INPUT(X, m) const vf b##m = v_set1(x##m[i]);
#define CH_FMA(v, m) a##m##_##v = v_fma(b##m, wv, a##m##_##v);
#define CH_COLUMN(M, v)                                                                                \
    {                                                                                                  \
        const vf wv = w_load(w + (v) * VL);                                                            \
        REP_##M(CH_FMA, v)                                                                             \
    }
#define CH_COLUMN1(X, v) CH_COLUMN(1, v)
#define CH_COLUMN2(X, v) CH_COLUMN(2, v)
#define CH_COLUMN3(X, v) CH_COLUMN(3, v)
#define CH_COLUMN4(X, v) CH_COLUMN(4, v)
#define CH_COLUMN5(X, v) CH_COLUMN(5, v)
#define CH_COLUMN6(X, v) CH_COLUMN(6, v)

#define DEFINE_CHAIN(M, N)                                                                             \
    V_INLINE void chain_##M##_##N(vf *acc, const float *x, int64_t x_stride, int64_t k, const weight *w, \
                                  const fetch *f)                                                      \
    {                                                                                                  \
        const char *next = (const char *)(w + f->panels * (N) * VL * k) + f->tile * k * f->step;       \
        const int64_t next_step = f->step;                                                             \
        (void)x_stride;                                                                                \
        REP_##M(CH_POINTER, _) REP_##M(CH_ROW_LOAD##N, _)                                              \
        for (int64_t i = 0; i < k; i++, w += (N) * VL, next += next_step) {                            \
            if ((M) > 3)                                                                               \
                __builtin_prefetch(next, 0, 2);                                                        \
            REP_##M(CH_INPUT, _)                                                                       \
            VEC_##N(CH_COLUMN##M, _)                                                                   \
        }                                                                                              \
        REP_##M(CH_ROW_KEEP##N, _)                                                                     \
    }

#define DEFINE_CHAINS(M) DEFINE_CHAIN(M, 1) DEFINE_CHAIN(M, 2) DEFINE_CHAIN(M, 3) DEFINE_CHAIN(M, 4)
DEFINE_CHAINS(1)
DEFINE_CHAINS(2)
#if V_ROWS >= 3
DEFINE_CHAINS(3)
#endif
#if V_ROWS >= 6
DEFINE_CHAINS(4)
DEFINE_CHAINS(5)
DEFINE_CHAINS(6)
#endif

/* one row, several panels: panel m's accumulators are a##m##_##v */
#define ONE_LOAD(m, v) vf a##m##_##v = acc##m[v];
#define ONE_KEEP(m, v) acc##m[v] = a##m##_##v;
#define ONE_FMA(m, v) a##m##_##v = v_fma(b, w_load(w##m + (v) * VL), a##m##_##v);

#define DEFINE_DUO(A, B)                                                                               \
    V_INLINE void duo_##A##_##B(vf *acc0, vf *acc1, const float *x, int64_t k, const weight *w)        \
    {                                                                                                  \
        const weight *w0 = w, *w1 = w + (A) * VL * k;                                                  \
        VEC_##A(ONE_LOAD, 0) VEC_##B(ONE_LOAD, 1)                                                      \
        for (int64_t i = 0; i < k; i++, w0 += (A) * VL, w1 += (B) * VL) {                              \
            const vf b = v_set1(x[i]);                                                                 \
            VEC_##A(ONE_FMA, 0)                                                                        \
            VEC_##B(ONE_FMA, 1)                                                                        \
        }                                                                                              \
        VEC_##A(ONE_KEEP, 0) VEC_##B(ONE_KEEP, 1)                                                      \
    }
DEFINE_DUO(4, 4)
DEFINE_DUO(4, 3)
DEFINE_DUO(4, 2)
DEFINE_DUO(4, 1)
DEFINE_DUO(3, 3)
DEFINE_DUO(3, 2)
DEFINE_DUO(3, 1)

#define DEFINE_TRIO(A, N)                                                                              \
    V_INLINE void trio_##A##_##N(vf *acc0, vf *acc1, vf *acc2, const float *x, int64_t k,              \
                                 const weight *w)                                                      \
    {                                                                                                  \
        const weight *w0 = w, *w1 = w + (A) * VL * k, *w2 = w + 2 * (A) * VL * k;                      \
        VEC_##A(ONE_LOAD, 0) VEC_##A(ONE_LOAD, 1) VEC_##N(ONE_LOAD, 2)                                 \
        for (int64_t i = 0; i < k; i++, w0 += (A) * VL, w1 += (A) * VL, w2 += (N) * VL) {              \
            const vf b = v_set1(x[i]);                                                                 \
            VEC_##A(ONE_FMA, 0)                                                                        \
            VEC_##A(ONE_FMA, 1)                                                                        \
            VEC_##N(ONE_FMA, 2)                                                                        \
        }                                                                                              \
        VEC_##A(ONE_KEEP, 0) VEC_##A(ONE_KEEP, 1) VEC_##N(ONE_KEEP, 2)                                 \
    }
DEFINE_TRIO(4, 4)
DEFINE_TRIO(4, 2)
DEFINE_TRIO(4, 1)
DEFINE_TRIO(3, 3)
DEFINE_TRIO(3, 2)
DEFINE_TRIO(3, 1)
DEFINE_TRIO(2, 2)

/* Rows are shared out evenly: 16 rows in tiles of at most 6 are 6, 5, 5. */
V_INLINE int64_t tile_rows(int64_t left)
{
    const int64_t tiles = (left + V_ROWS - 1) / V_ROWS;
    return (left + tiles - 1) / tiles;
}

V_INLINE int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* ---- panels: `columns` columns in panels of `pitch` vectors, the last of 1..pitch ---- */

V_INLINE int64_t panel_count(int64_t columns, int64_t pitch)
{
    return (columns + pitch * VL - 1) / (pitch * VL);
}
V_INLINE int panel_vectors(int64_t columns, int64_t pitch, int64_t p)
{
    const int64_t left = columns - p * pitch * VL;
    return (int)(left >= pitch * VL ? pitch : (left + VL - 1) / VL);
}
V_INLINE int64_t panel_width(int64_t columns) { return round_up(columns, VL); }

/* w (k, columns), row stride ws: panel of 4 vectors after panel, row after row */
static void panel_pack(int64_t k, int64_t columns, const weight *w, int64_t ws, weight *packed)
{
    for (int64_t first = 0; first < columns; first += 4 * VL) {
        const int64_t real = least(4 * VL, columns - first);
        const int64_t width = round_up(real, VL);
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < width; j++)
                *packed++ = j < real ? w[i * ws + first + j] : 0;
    }
}

/* start -> chain over x -> chain over h -> end, where `end` is one of */
enum panel_end {
    PANEL_ACTIVATE, /* y = act(chain), `columns` wide */
    PANEL_CANDIDATE /* GRU, reset before: y = fma(z, h - g, g) with g = act(chain) */
};

typedef struct panel_job {
    int64_t columns, pitch; /* pitch: vectors of a whole panel, 4, or 3 for the gates of a GRU */
    const float *start;  /* bias or hoisted sums, panel_width(columns) of them readable */
    int64_t start_stride; /* 0: one bias for all rows */
    const float *x;
    int64_t x_stride, x_count;
    const weight *wx;
    const float *h;
    int64_t h_stride, h_count;
    const weight *wh; /* h_count 0: no second chain */
    float *y;
    int64_t y_stride;
    const rnnrt_activation *activation;
    enum panel_end end;
    const float *gate, *old; /* PANEL_CANDIDATE: z and h */
    int64_t gate_stride, old_stride;
} panel_job;

/* What a tile does to its sums by itself is y = max(floor, sum): relu, and nothing where the floor is -inf.
 * Returns 1 and the floor, or 0: then panel_finish has more to do. */
V_INLINE int panel_plain(const panel_job *j, vf *floor)
{
    const int relu = j->activation->kind == RNNRT_ACT_RELU;
    *floor = v_set1(relu ? 0.0f : -__builtin_inff());
    return j->end == PANEL_ACTIVATE &&
           (relu || j->activation->kind == RNNRT_ACT_LINEAR || act_rowwise(j->activation));
}

/* one vector of finished units; kind is the activation's, constant where it is a common one */
V_INLINE void panel_end_vector(const panel_job *j, int kind, int64_t at, int64_t row, vf sum)
{
    const int64_t n = least(VL, j->columns - at);
    vf g = kind == RNNRT_ACT_TANH ? v_tanh(sum) : act_apply(j->activation, sum);
    if (j->end == PANEL_CANDIDATE) {
        const vf z = v_loadn(j->gate + row * j->gate_stride + at, n);
        const vf h = v_loadn(j->old + row * j->old_stride + at, n);
        g = v_fma(z, h - g, g);
    }
    float *y = j->y + row * j->y_stride + at;
    if (n == VL)
        v_store(y, g);
    else
        v_storen(y, g, n);
}

/* columns p*pitch*VL ... of some rows, row after row in acc */
V_NOINLINE void panel_finish(const panel_job *j, int64_t p, int64_t row, int rows, int vectors, const vf *acc)
{
    const int64_t first = p * j->pitch * VL;
    const int tanh = j->activation->kind == RNNRT_ACT_TANH;
    for (int m = 0; m < rows; m++)
        for (int v = 0; v < vectors; v++, acc++) {
            if (tanh)
                panel_end_vector(j, RNNRT_ACT_TANH, first + v * VL, row + m, *acc);
            else
                panel_end_vector(j, j->activation->kind, first + v * VL, row + m, *acc);
        }
}

#define PANEL_START(N, m, v) acc[(m) * (N) + (v)] = v_load(start + (m) * j->start_stride + (v) * VL);
#define PANEL_START1(m, v) PANEL_START(1, m, v)
#define PANEL_START2(m, v) PANEL_START(2, m, v)
#define PANEL_START3(m, v) PANEL_START(3, m, v)
#define PANEL_START4(m, v) PANEL_START(4, m, v)
#define PANEL_ROW1(X, m) VEC_1(PANEL_START1, m)
#define PANEL_ROW2(X, m) VEC_2(PANEL_START2, m)
#define PANEL_ROW3(X, m) VEC_3(PANEL_START3, m)
#define PANEL_ROW4(X, m) VEC_4(PANEL_START4, m)

#define DEFINE_PANEL(M, N)                                                                             \
    static void panel_##M##_##N(const panel_job *j, int64_t p, int64_t row, const fetch *f)            \
    {                                                                                                  \
        const float *start = j->start + row * j->start_stride + p * j->pitch * VL;                     \
        vf acc[(M) * (N)];                                                                             \
        REP_##M(PANEL_ROW##N, _)                                                                       \
        chain_##M##_##N(acc, j->x + row * j->x_stride, j->x_stride, j->x_count,                        \
                        j->wx + p * j->pitch * VL * j->x_count, f);                                    \
        if (j->h_count)                                                                                \
            chain_##M##_##N(acc, j->h + row * j->h_stride, j->h_stride, j->h_count,                    \
                            j->wh + p * j->pitch * VL * j->h_count, f);                                \
        vf floor;                                                                                      \
        if (panel_plain(j, &floor)) {                                                                  \
            float *const y = j->y + row * j->y_stride + p * j->pitch * VL;                             \
            const int64_t last = j->columns - (p * j->pitch + (N) - 1) * VL;                           \
            REP_##M(PANEL_PUT_ROW##N, _)                                                               \
            return;                                                                                    \
        }                                                                                              \
        vf done[(M) * (N)];                                                                            \
        REP_##M(PANEL_KEEP##N, _)                                                                      \
        panel_finish(j, p, row, M, N, done);                                                           \
    }
/* the last vector of a panel may have fewer columns */
#define PANEL_PUT(N, m, v)                                                                             \
    if ((v) < (N) - 1 || last >= VL)                                                                   \
        v_store(y + (m) * j->y_stride + (v) * VL, v_max(floor, acc[(m) * (N) + (v)]));                 \
    else                                                                                               \
        v_storen(y + (m) * j->y_stride + (v) * VL, v_max(floor, acc[(m) * (N) + (v)]), last);
#define PANEL_PUT1(m, v) PANEL_PUT(1, m, v)
#define PANEL_PUT2(m, v) PANEL_PUT(2, m, v)
#define PANEL_PUT3(m, v) PANEL_PUT(3, m, v)
#define PANEL_PUT4(m, v) PANEL_PUT(4, m, v)
#define PANEL_PUT_ROW1(X, m) VEC_1(PANEL_PUT1, m)
#define PANEL_PUT_ROW2(X, m) VEC_2(PANEL_PUT2, m)
#define PANEL_PUT_ROW3(X, m) VEC_3(PANEL_PUT3, m)
#define PANEL_PUT_ROW4(X, m) VEC_4(PANEL_PUT4, m)
#define PANEL_COPY(N, m, v) done[(m) * (N) + (v)] = acc[(m) * (N) + (v)];
#define PANEL_COPY1(m, v) PANEL_COPY(1, m, v)
#define PANEL_COPY2(m, v) PANEL_COPY(2, m, v)
#define PANEL_COPY3(m, v) PANEL_COPY(3, m, v)
#define PANEL_COPY4(m, v) PANEL_COPY(4, m, v)
#define PANEL_KEEP1(X, m) VEC_1(PANEL_COPY1, m)
#define PANEL_KEEP2(X, m) VEC_2(PANEL_COPY2, m)
#define PANEL_KEEP3(X, m) VEC_3(PANEL_COPY3, m)
#define PANEL_KEEP4(X, m) VEC_4(PANEL_COPY4, m)

#define DEFINE_PANELS(M) DEFINE_PANEL(M, 1) DEFINE_PANEL(M, 2) DEFINE_PANEL(M, 3) DEFINE_PANEL(M, 4)
#define PANEL_ENTRIES(M) {panel_##M##_1, panel_##M##_2, panel_##M##_3, panel_##M##_4}
typedef void panel_tile(const panel_job *, int64_t, int64_t, const fetch *);
DEFINE_PANELS(1)
DEFINE_PANELS(2)
#if V_ROWS >= 3
DEFINE_PANELS(3)
#endif
#if V_ROWS >= 6
DEFINE_PANELS(4)
DEFINE_PANELS(5)
DEFINE_PANELS(6)
#endif
static panel_tile *const panel_tiles[V_ROWS][4] = {
    PANEL_ENTRIES(1), PANEL_ENTRIES(2),
#if V_ROWS >= 3
    PANEL_ENTRIES(3),
#endif
#if V_ROWS >= 6
    PANEL_ENTRIES(4), PANEL_ENTRIES(5), PANEL_ENTRIES(6),
#endif
};

/* panels p (A vectors) and p + 1 (B vectors) of one row */
#define DEFINE_PANEL_DUO(A, B)                                                                         \
    static void panel_duo_##A##_##B(const panel_job *j, int64_t p)                                     \
    {                                                                                                  \
        const float *start = j->start + p * (A) * VL;                                                  \
        vf a[A], b[B], done[A + B];                                                                    \
        VEC_##A(DUO_START_A, _) VEC_##B(DUO_START_B, A)                                                \
        duo_##A##_##B(a, b, j->x, j->x_count, j->wx + p * (A) * VL * j->x_count);                      \
        if (j->h_count)                                                                                \
            duo_##A##_##B(a, b, j->h, j->h_count, j->wh + p * (A) * VL * j->h_count);                  \
        VEC_##A(DUO_KEEP_A, _) VEC_##B(DUO_KEEP_B, A)                                                  \
        panel_finish(j, p, 0, 1, (A) + (B), done);                                                     \
    }
#define DUO_START_A(A, v) a[v] = v_load(start + (v) * VL);
#define DUO_START_B(A, v) b[v] = v_load(start + ((A) + (v)) * VL);
#define TRIO_START_C(A, v) c[v] = v_load(start + (2 * (A) + (v)) * VL);
#define DUO_KEEP_A(A, v) done[v] = a[v];
#define DUO_KEEP_B(A, v) done[(A) + (v)] = b[v];
DEFINE_PANEL_DUO(4, 1)
DEFINE_PANEL_DUO(4, 2)
DEFINE_PANEL_DUO(4, 3)
DEFINE_PANEL_DUO(4, 4)
DEFINE_PANEL_DUO(3, 1)
DEFINE_PANEL_DUO(3, 2)
DEFINE_PANEL_DUO(3, 3)
typedef void panel_duo(const panel_job *, int64_t);
static panel_duo *const panel_duos[2][4] = {
    {panel_duo_3_1, panel_duo_3_2, panel_duo_3_3, 0},
    {panel_duo_4_1, panel_duo_4_2, panel_duo_4_3, panel_duo_4_4},
};

/* panels [begin, end) of all rows */
static void panel_run(const panel_job *j, int64_t rows, int64_t begin, int64_t end, int zigzag)
{
    if (rows == 1) {
        for (int64_t left = end - begin; left > 0;) {
            const int64_t take = left >= 2 ? 2 : 1;
            const int64_t p = zigzag ? begin + left - take : end - left;
            if (take == 2)
                panel_duos[j->pitch - 3][panel_vectors(j->columns, j->pitch, p + 1) - 1](j, p);
            else
                panel_tiles[0][panel_vectors(j->columns, j->pitch, p) - 1](j, p, 0, &no_fetch);
            left -= take;
        }
        return;
    }
    const int64_t bytes = (j->x_count + j->h_count) * j->columns * (int64_t)sizeof(weight);
    for (int64_t b = begin; b < end; b++) {
        const int64_t p = zigzag ? end - 1 - (b - begin) : b;
        const int vectors = panel_vectors(j->columns, j->pitch, p);
        fetch f = fetch_of(bytes, rows, b + 1 == end ? 0 : zigzag ? -1 : 1);
        for (int64_t row = 0; row < rows; f.tile++) {
            const int64_t take = tile_rows(rows - row);
            panel_tiles[take - 1][vectors - 1](j, p, row, &f);
            row += take;
        }
    }
}

static const rnnrt_activation linear_activation = {RNNRT_ACT_LINEAR, {0.0f, 0.0f, 0.0f}};

#endif
