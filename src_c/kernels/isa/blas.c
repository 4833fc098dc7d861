/* Matrix products through BLAS (sgemm and sgemv given at run time), everything else in baseline vectors.
 * Fortran is column-major, so a row-major product y = x W is asked for as y' = W' x'.
 * Outside the bitwise promise. */
#ifdef __FAST_MATH__
#error "fast-math would break the functions' accuracy"
#endif
#define RNNRT_WHOLE_TABLE
#include "../kernels.h"
#include "../simd/portable.h"
#include "../generic/canonical.h"
#include "../generic/gates.h"
#include "../generic/rows.h"

static rnnrt_sgemm *blas_sgemm;
static rnnrt_sgemv *blas_sgemv;

void rnnrt_blas_set(rnnrt_sgemm *sgemm, rnnrt_sgemv *sgemv)
{
    blas_sgemm = sgemm;
    blas_sgemv = sgemv;
}

int rnnrt_blas_ready(void) { return blas_sgemm && blas_sgemv; }

/* y (rows, n) = x (rows, k) w (k, n of w_stride) + keep * y */
static void product(int64_t rows, int64_t k, int64_t n, const float *x, int64_t x_stride, const float *w,
                    int64_t w_stride, float keep, float *y, int64_t y_stride)
{
    if (rows > 1 && x_stride < k) { /* rows in reverse (go_backwards): BLAS knows no such lda */
        for (int64_t r = 0; r < rows; r++)
            product(1, k, n, x + r * x_stride, k, w, w_stride, keep, y + r * y_stride, y_stride);
        return;
    }
    float one = 1.0f;
    int in = (int)k, out = (int)n, m = (int)rows, step = 1;
    /* BLAS wants lda >= the row length even of a single row, where any stride is meant */
    int ldw = (int)w_stride, ldx = (int)(x_stride < k ? k : x_stride), ldy = (int)(y_stride < n ? n : y_stride);
    if (rows == 1)
        blas_sgemv("N", &out, &in, &one, (float *)w, &ldw, (float *)x, &step, &keep, y, &step);
    else
        blas_sgemm("N", "N", &out, &m, &in, &one, (float *)w, &ldw, (float *)x, &ldx, &keep, y, &ldy);
}

static void copy_rows(int64_t rows, int64_t n, const float *from, int64_t from_stride, float *to,
                      int64_t to_stride)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + r * to_stride, from + r * from_stride, (size_t)n * sizeof *to);
}

static void cell_project(const rnnrt_cell *cell, int64_t rows, const float *x, int64_t x_stride, float *z,
                         int64_t z_stride, int64_t begin, int64_t end)
{
    (void)begin, (void)end;
    const int64_t n = cell_gates(cell) * cell->units;
    copy_rows(rows, n, cell_bias(cell), 0, z, z_stride);
    product(rows, cell->features, n, x, x_stride, cell_kernel(cell), n, 1.0f, z, z_stride);
}

/* a row of scratch: z (4 u), hh or r h (u); behind all rows: 2 u */
static int64_t cell_scratch_bytes(const rnnrt_cell *cell, int64_t rows)
{
    return round_16((5 * rows + 2) * cell->units) * (int64_t)sizeof(float);
}

static void cell_step(const rnnrt_cell *cell, const rnnrt_cell_step *s)
{
    const int64_t u = cell->units, n = cell_gates(cell) * u, rows = s->rows, pitch = 5 * u;
    const float *recurrent = cell_recurrent(cell);
    float *z = s->scratch, *extra = z + 4 * u, *spare = z + rows * pitch;
    if (s->z)
        copy_rows(rows, n, s->z, s->z_stride, z, pitch);
    else
        cell_project(cell, rows, s->x, s->x_stride, z, pitch, 0, 1);
    if (cell->kind == RNNRT_CELL_LSTM) {
        product(rows, u, n, s->h, s->h_stride, recurrent, n, 1.0f, z, pitch);
        for (int64_t r = 0; r < rows; r++)
            lstm_gates(cell, z + r * pitch, s->c + r * s->c_stride, s->c_out + r * s->c_out_stride,
                       s->h_out + r * s->h_out_stride, spare);
        return;
    }
    if (cell->kind == RNNRT_CELL_SIMPLE_RNN) {
        product(rows, u, u, s->h, s->h_stride, recurrent, u, 1.0f, z, pitch);
        for (int64_t r = 0; r < rows; r++)
            row_apply(&cell->activation, u, z + r * pitch, s->h_out + r * s->h_out_stride, spare);
        return;
    }
    if (cell->reset_after) {
        copy_rows(rows, u, cell_bias(cell) + n, 0, extra, pitch);
        product(rows, u, u, s->h, s->h_stride, recurrent + 2 * u, n, 1.0f, extra, pitch);
        product(rows, u, 2 * u, s->h, s->h_stride, recurrent, n, 1.0f, z, pitch);
        for (int64_t r = 0; r < rows; r++) {
            float *a = z + r * pitch;
            gru_gates_after(cell, a, a + u, a + 2 * u, a + 4 * u, s->h + r * s->h_stride,
                            s->h_out + r * s->h_out_stride, spare);
        }
        return;
    }
    product(rows, u, 2 * u, s->h, s->h_stride, recurrent, n, 1.0f, z, pitch);
    for (int64_t r = 0; r < rows; r++) {
        float *a = z + r * pitch;
        gru_gates_before(cell, u, a, a + u, s->h + r * s->h_stride, spare);
    }
    product(rows, u, u, z + u, pitch, recurrent + 2 * u, n, 1.0f, z + 2 * u, pitch);
    for (int64_t r = 0; r < rows; r++) {
        float *a = z + r * pitch;
        row_apply(&cell->activation, u, a + 2 * u, a + 2 * u, spare);
        gru_blend(u, a, s->h + r * s->h_stride, a + 2 * u, s->h_out + r * s->h_out_stride);
    }
}

/* bias, then the kernel as it stands */
static int64_t dense_packed_bytes(const rnnrt_dense *d)
{
    return round_16((d->inputs + 1) * d->outputs) * (int64_t)sizeof(float);
}

static void dense_pack(const rnnrt_dense *d, const void *kernel, const float *bias, const float *scales,
                       void *packed)
{
    (void)scales;
    float *p = packed;
    for (int64_t i = 0; i < d->outputs; i++)
        p[i] = bias ? bias[i] : 0.0f;
    take_weights(p + d->outputs, kernel, d->dtype, d->inputs * d->outputs);
}

static void dense_run(const rnnrt_dense *d, int64_t rows, const float *x, int64_t x_stride, float *y,
                      int64_t y_stride, int64_t begin, int64_t end)
{
    (void)begin, (void)end;
    const float *bias = d->packed;
    const int linear = d->activation.kind == RNNRT_ACT_LINEAR || act_rowwise(&d->activation);
    copy_rows(rows, d->outputs, bias, 0, y, y_stride);
    product(rows, d->inputs, d->outputs, x, x_stride, bias + d->outputs, d->outputs, 1.0f, y, y_stride);
    for (int64_t r = 0; !linear && r < rows; r++)
        act_elementwise(&d->activation, d->outputs, y + r * y_stride, y + r * y_stride);
}

#include "../generic/table_struct.h"

const rnnrt_kernels rnnrt_kernels_blas = RNNRT_TABLE("blas", 0, &rnnrt_kernels_blas, &rnnrt_kernels_portable_int8);
