/* Int8 products in plain C, over weights as they lie in the file: for any CPU, and what the others must equal. */
#ifndef RNNRT_INT8_PLAIN_H
#define RNNRT_INT8_PLAIN_H

#include "int8_rows.h"

enum { PANEL_COLUMNS = 64 };

V_INLINE int64_t matrix_bytes(int64_t k, int64_t n) { return round_to(n, 16) * 4 + round_to(k * n, 64); }

static void matrix_pack(int64_t k, int64_t n, const int8_t *w, int64_t w_stride, const float *scale, void *packed)
{
    float *scales = packed;
    int8_t *to = (int8_t *)(scales + round_to(n, 16));
    memset(packed, 0, (size_t)matrix_bytes(k, n));
    memcpy(scales, scale, (size_t)n * sizeof *scales);
    for (int64_t i = 0; i < k; i++)
        memcpy(to + i * n, w + i * w_stride, (size_t)n);
}

static void matrix_apply(const int8_job *j)
{
    const float *scales = j->matrix;
    const int8_t *w = (const int8_t *)(scales + round_to(j->n, 16));
    for (int64_t row = 0; row < j->rows; row++) {
        const input *q = j->q + row * j->q_stride;
        for (int64_t p = j->begin; p < j->end; p++) {
            const int64_t first = p * PANEL_COLUMNS, n = least(PANEL_COLUMNS, j->n - first);
            int32_t sums[PANEL_COLUMNS] = {0};
            for (int64_t i = 0; i < j->k; i++)
                for (int64_t c = 0; c < n; c++)
                    sums[c] += q[i] * w[i * j->n + first + c];
            const float *start = j->start + row * j->start_stride + first;
            float *y = j->y + row * j->y_stride + first;
            for (int64_t c = 0; c < n; c += VL) {
                const int64_t left = least(VL, n - c);
                float lane[VL];
                for (int i = 0; i < VL; i++)
                    lane[i] = i < left ? (float)sums[c + i] : 0.0f;
                const vf scale = v_set1(j->scale[row]) * v_loadn(scales + first + c, left);
                v_storen(y + c, v_fma(v_load(lane), scale, v_loadn(start + c, left)), left);
            }
        }
    }
}

#endif
