/* The row operations of the table: activate_rows and scale_shift. */
#ifndef RNNRT_ROWS_H
#define RNNRT_ROWS_H

#include "rowwise.h"

static void activate_rows(const rnnrt_activation *a, int64_t rows, int64_t width, const float *x,
                          int64_t x_stride, float *y, int64_t y_stride, float *scratch)
{
    for (int64_t r = 0; r < rows; r++)
        row_apply(a, width, x + r * x_stride, y + r * y_stride, scratch);
}

static void scale_shift(int64_t rows, int64_t width, const float *x, int64_t x_stride, const float *scale,
                        const float *shift, float *y, int64_t y_stride)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * x_stride;
        float *to = y + r * y_stride;
        int64_t i = 0;
        for (; i + VL <= width; i += VL)
            v_store(to + i, v_fma(v_load(from + i), v_load(scale + i), v_load(shift + i)));
        if (i < width) {
            const int64_t n = width - i;
            v_storen(to + i, v_fma(v_loadn(from + i, n), v_loadn(scale + i, n), v_loadn(shift + i, n)), n);
        }
    }
}

#endif
