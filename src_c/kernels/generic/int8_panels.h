/* Int8 products in panels of 4 vectors of columns. Sums of integers are exact, so their order is free.
 * A matrix: column scales (padded to 16), what sums start from (the offset of unsigned inputs taken back; padded),
 * then panel after panel, in which Q_GROUP inputs of a column lie together. */
#ifndef RNNRT_INT8_PANELS_H
#define RNNRT_INT8_PANELS_H

#include "int8_rows.h"
#include "repeat.h"

enum { PANEL_COLUMNS = 4 * VL };

V_INLINE int64_t matrix_bytes(int64_t k, int64_t n)
{
    return round_to(n, 16) * 8 + round_to(round_to(n, VL) * round_to(k, Q_GROUP), 64);
}

static void matrix_pack(int64_t k, int64_t n, const int8_t *w, int64_t w_stride, const float *scale, void *packed)
{
    float *scales = packed;
    int32_t *start = (int32_t *)(scales + round_to(n, 16));
    int8_t *to = (int8_t *)(start + round_to(n, 16));
    memset(packed, 0, (size_t)matrix_bytes(k, n));
    for (int64_t j = 0; j < n; j++) {
        int32_t sum = 0;
        for (int64_t i = 0; i < k; i++)
            sum += w[i * w_stride + j];
        start[j] = -Q_OFFSET * sum;
        scales[j] = scale[j];
    }
    for (int64_t first = 0; first < n; first += 4 * VL) {
        const int64_t real = least(4 * VL, n - first), width = round_to(real, VL);
        for (int64_t g = 0; g < k; g += Q_GROUP, to += width * Q_GROUP)
            for (int64_t j = 0; j < real; j++)
                for (int64_t i = g; i < k && i < g + Q_GROUP; i++)
                    to[j * Q_GROUP + i - g] = w[i * w_stride + first + j];
    }
}

V_INLINE const int8_t *panel_at(const int8_job *j, int64_t p)
{
    return (const int8_t *)j->matrix + round_to(j->n, 16) * 8 + p * 4 * VL * round_to(j->k, Q_GROUP);
}

V_INLINE void panel_end(const int8_job *j, int64_t p, int64_t row, int vectors, const vq *sums)
{
    const vf s = v_set1(j->scale[row]);
    for (int v = 0; v < vectors; v++) {
        const int64_t at = (p * 4 + v) * VL, n = least(VL, j->n - at);
        const float *start = j->start + row * j->start_stride + at;
        float *y = j->y + row * j->y_stride + at;
        const vf scale = s * v_load((const float *)j->matrix + at);
        if (n == VL)
            v_store(y, v_fma(q_float(sums[v]), scale, v_load(start)));
        else
            v_storen(y, v_fma(q_float(sums[v]), scale, v_loadn(start, n)), n);
    }
}

#define Q_BEGIN(m, v) vq a##m##_##v = q_load(start + (v) * VL);
#define Q_NONE(m, v) vq a##m##_##v = q_zero();
#define Q_KEEP(N, m, v) sums[(m) * (N) + (v)] = a##m##_##v;
#define Q_KEEP1(m, v) Q_KEEP(1, m, v)
#define Q_KEEP2(m, v) Q_KEEP(2, m, v)
#define Q_KEEP3(m, v) Q_KEEP(3, m, v)
#define Q_KEEP4(m, v) Q_KEEP(4, m, v)
#define Q_ROW_BEGIN1(X, m) VEC_1(Q_BEGIN, m)
#define Q_ROW_BEGIN2(X, m) VEC_2(Q_BEGIN, m)
#define Q_ROW_BEGIN3(X, m) VEC_3(Q_BEGIN, m)
#define Q_ROW_BEGIN4(X, m) VEC_4(Q_BEGIN, m)
#define Q_ROW_KEEP1(X, m) VEC_1(Q_KEEP1, m)
#define Q_ROW_KEEP2(X, m) VEC_2(Q_KEEP2, m)
#define Q_ROW_KEEP3(X, m) VEC_3(Q_KEEP3, m)
#define Q_ROW_KEEP4(X, m) VEC_4(Q_KEEP4, m)
#define Q_POINTER(X, m) const input *const x##m = x + (m) * j->q_stride;
#define Q_INPUT(X, m) const vq b##m = q_set1(x##m + g);
#define Q_DOT(v, m) a##m##_##v = q_dot(a##m##_##v, b##m, wv);
#define Q_COLUMN(M, v)                                                                                 \
    {                                                                                                  \
        const vq wv = q_weights(w + (v) * VL * Q_GROUP);                                               \
        REP_##M(Q_DOT, v)                                                                              \
    }
#define Q_COLUMN2(X, v) Q_COLUMN(2, v)
#define Q_COLUMN3(X, v) Q_COLUMN(3, v)
#define Q_COLUMN4(X, v) Q_COLUMN(4, v)

/* M rows of panel p, N vectors wide */
#define DEFINE_Q_TILE(M, N)                                                                            \
    static void q_tile_##M##_##N(const int8_job *j, int64_t p, int64_t row)                            \
    {                                                                                                  \
        const int32_t *start = (const int32_t *)((const float *)j->matrix + round_to(j->n, 16)) + p * 4 * VL; \
        const input *x = j->q + row * j->q_stride;                                                     \
        const int8_t *w = panel_at(j, p);                                                              \
        vq sums[(M) * (N)];                                                                            \
        REP_##M(Q_POINTER, _) REP_##M(Q_ROW_BEGIN##N, _)                                               \
        for (int64_t g = 0; g < j->k; g += Q_GROUP, w += (N) * VL * Q_GROUP) {                         \
            REP_##M(Q_INPUT, _)                                                                        \
            VEC_##N(Q_COLUMN##M, _)                                                                    \
        }                                                                                              \
        REP_##M(Q_ROW_KEEP##N, _)                                                                      \
        for (int m = 0; m < (M); m++)                                                                  \
            panel_end(j, p, row + m, N, sums + m * (N));                                               \
    }

/* one row, two groups of inputs at once into sums of their own, to hide the latency */
#define Q_FIRST(X, v) a0_##v = q_dot(a0_##v, b0, q_weights(w + (v) * VL * Q_GROUP));
#define Q_SECOND(N, v) a1_##v = q_dot(a1_##v, b1, q_weights(w + ((N) + (v)) * VL * Q_GROUP));
#define Q_JOIN(X, v) sums[v] = q_add(a0_##v, a1_##v);
#define DEFINE_Q_ROW(N)                                                                                \
    static void q_tile_1_##N(const int8_job *j, int64_t p, int64_t row)                                \
    {                                                                                                  \
        const int32_t *start = (const int32_t *)((const float *)j->matrix + round_to(j->n, 16)) + p * 4 * VL; \
        const input *x = j->q + row * j->q_stride;                                                     \
        const int8_t *w = panel_at(j, p);                                                              \
        vq sums[N];                                                                                    \
        int64_t g = 0;                                                                                 \
        VEC_##N(Q_BEGIN, 0) VEC_##N(Q_NONE, 1)                                                         \
        for (; g + Q_GROUP < j->k; g += 2 * Q_GROUP, w += 2 * (N) * VL * Q_GROUP) {                    \
            const vq b0 = q_set1(x + g), b1 = q_set1(x + g + Q_GROUP);                                 \
            VEC_##N(Q_FIRST, _) VEC_##N(Q_SECOND, N)                                                   \
        }                                                                                              \
        if (g < j->k) {                                                                                \
            const vq b0 = q_set1(x + g);                                                               \
            VEC_##N(Q_FIRST, _)                                                                        \
        }                                                                                              \
        VEC_##N(Q_JOIN, _)                                                                             \
        panel_end(j, p, row, N, sums);                                                                 \
    }
DEFINE_Q_ROW(1)
DEFINE_Q_ROW(2)
DEFINE_Q_ROW(3)
DEFINE_Q_ROW(4)
#define DEFINE_Q_TILES(M) DEFINE_Q_TILE(M, 1) DEFINE_Q_TILE(M, 2) DEFINE_Q_TILE(M, 3) DEFINE_Q_TILE(M, 4)
#define Q_ENTRIES(M) {q_tile_##M##_1, q_tile_##M##_2, q_tile_##M##_3, q_tile_##M##_4}
DEFINE_Q_TILES(2)
#if Q_ROWS >= 4
DEFINE_Q_TILES(3)
DEFINE_Q_TILES(4)
#endif
typedef void q_tile(const int8_job *, int64_t, int64_t);
static q_tile *const q_tiles[Q_ROWS][4] = {
    Q_ENTRIES(1), Q_ENTRIES(2),
#if Q_ROWS >= 4
    Q_ENTRIES(3), Q_ENTRIES(4),
#endif
};

static void matrix_apply(const int8_job *j)
{
    for (int64_t i = j->begin; i < j->end; i++) {
        const int64_t p = j->zigzag ? j->end - 1 - (i - j->begin) : i, left = j->n - p * 4 * VL;
        const int vectors = left >= 4 * VL ? 4 : (int)((left + VL - 1) / VL);
        for (int64_t row = 0; row < j->rows;) {
            const int64_t tiles = (j->rows - row + Q_ROWS - 1) / Q_ROWS;
            const int64_t take = (j->rows - row + tiles - 1) / tiles;
            q_tiles[take - 1][vectors - 1](j, p, row);
            row += take;
        }
    }
}

/* What the words can do at most, as ceiling_fma of ceilings.h: products of registers into 8 sums, which hide the latency.
 * The inputs are unknown to the compiler anew in each round, so that no product moves out of the loop. */
static int64_t ceiling_int8(int64_t rounds, float *sink)
{
    const int32_t *in = (const int32_t *)(void *)sink;
    vq x = q_load(in), y = q_load(in + VL);
    const vq p = q_load(in + VL), q = q_load(in + 2 * VL), r = q_load(in), s = q_load(in + 3 * VL);
    vq a = q_zero(), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    for (int64_t i = 0; i < rounds; i++) {
        __asm__("" : "+v"(x), "+v"(y));
        a = q_dot(a, x, p), b = q_dot(b, x, q), c = q_dot(c, x, r), d = q_dot(d, x, s);
        e = q_dot(e, y, p), f = q_dot(f, y, q), g = q_dot(g, y, r), h = q_dot(h, y, s);
    }
    v_store(sink, q_float(q_add(q_add(q_add(a, b), q_add(c, d)), q_add(q_add(e, f), q_add(g, h)))));
    return rounds * 8 * VL * Q_GROUP * 2;
}

#endif
