/* The same table in double, for models whose policy is float64: the numerics of kernels.h with fma in double and the
 * functions of libm. One source, compiled into every table; all of them give the same bits, since fma is exact
 * wherever it is made. Plain loops: such models are made for their digits, not for their speed. */
#ifndef RNNRT_KERNELS64_H
#define RNNRT_KERNELS64_H

#include "../include/rnnrt_types.h"

typedef struct rnnrt_activation64 {
    int32_t kind;
    double param[3];
} rnnrt_activation64;

typedef struct rnnrt_cell_weights64 {
    const double *kernel;    /* (features, gates * units) */
    const double *recurrent; /* (units, gates * units) */
    const double *bias;      /* (gates * units), GRU reset_after: (2, gates * units); NULL: none */
} rnnrt_cell_weights64;

typedef struct rnnrt_cell64 {
    int32_t kind, reset_after;
    int64_t units, features;
    rnnrt_activation64 activation, recurrent_activation;
    const void *packed;
} rnnrt_cell64;

typedef struct rnnrt_cell_step64 {
    int64_t rows;
    const double *x; int64_t x_stride;     /* (rows, features), or NULL where z is given */
    const double *z; int64_t z_stride;     /* (rows, z_width) made by cell_project, or NULL */
    const double *h; int64_t h_stride;
    double *h_out; int64_t h_out_stride;   /* must not overlap h */
    const double *c; int64_t c_stride;     /* LSTM, else NULL */
    double *c_out; int64_t c_out_stride;   /* may be c */
    double *scratch;                       /* cell_scratch_bytes */
    int32_t zigzag;                        /* not read */
    int32_t phase;                         /* not read */
    int64_t block_begin, block_end;        /* not read */
} rnnrt_cell_step64;

typedef struct rnnrt_dense64 {
    int64_t inputs, outputs;
    rnnrt_activation64 activation;
    const void *packed;
} rnnrt_dense64;

struct rnnrt_cell_sizes;

/* Blocks are there to be called as kernels.h is: always 1, never read. */
typedef struct rnnrt_kernels64 {
    void (*cell_sizes)(const rnnrt_cell64 *cell, struct rnnrt_cell_sizes *out);
    void (*cell_pack)(const rnnrt_cell64 *cell, const rnnrt_cell_weights64 *w, void *packed);
    int64_t (*cell_scratch_bytes)(const rnnrt_cell64 *cell, int64_t rows);
    void (*cell_project)(const rnnrt_cell64 *cell, int64_t rows, const double *x, int64_t x_stride, double *z,
                         int64_t z_stride, int64_t begin, int64_t end);
    void (*cell_step)(const rnnrt_cell64 *cell, const rnnrt_cell_step64 *step);
    int64_t (*dense_packed_bytes)(const rnnrt_dense64 *dense);
    /* scales: not read; there to be called as kernels.h is */
    void (*dense_pack)(const rnnrt_dense64 *dense, const void *kernel, const double *bias, const double *scales,
                       void *packed);
    int64_t (*dense_blocks)(const rnnrt_dense64 *dense);
    void (*dense)(const rnnrt_dense64 *dense, int64_t rows, const double *x, int64_t x_stride, double *y,
                  int64_t y_stride, int64_t begin, int64_t end);
    void (*activate)(const rnnrt_activation64 *a, int64_t n, const double *x, double *y);
    void (*activate_rows)(const rnnrt_activation64 *a, int64_t rows, int64_t width, const double *x, int64_t x_stride,
                          double *y, int64_t y_stride, double *scratch);
    void (*scale_shift)(int64_t rows, int64_t width, const double *x, int64_t x_stride, const double *scale,
                        const double *shift, double *y, int64_t y_stride);
} rnnrt_kernels64;

#endif
