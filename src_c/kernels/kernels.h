/* The table of kernels that one instruction set offers, and what each of them promises.
 *
 * Numerics 1, the one summation order: every output element of a matrix product is one chain
 *     acc = bias;  for k in inputs, ascending: acc = fma(x[k], W[k][u], acc);
 *                  for k in hidden units, ascending: acc = fma(h[k], R[k][u], acc)
 * for every path, batch size, row position, block order and thread count. An accumulator may be
 * stored as float and reloaded (hoisting); nothing else may be added in between. k loops stop at
 * the real length (never at a padded one) and never skip a zero.
 *   LSTM   chains of i, f, c, o start from bias; c' = fma(f, c, i*g); h' = o * act(c')
 *   GRU    z and r start from bias[0]+bias[1] (reset_after; one float addition, at packing) or bias.
 *          reset_after: xh = bias[0] then inputs; hh = bias[1] then hidden; candidate act(fma(r, hh, xh)).
 *          else: xh = bias then inputs, and the same chain goes on over (r*h), each product rounded once.
 *          h' = fma(z, h - g, g) with g the candidate.
 *   Simple h' = act(chain).
 * A dense layer of at most RNNRT_NARROW_DENSE outputs sums in 16 virtual lanes instead (lane = k mod 16,
 * each lane one fma chain from +0, then the tree 8-4-2-1, then + bias); so do softmax, norms and means.
 * Half weights (float16) are widened, exactly, as they are read: the same chains.
 * Int8 weights: a row of inputs becomes whole numbers, q = rint(x * inverse), to even, with one scale:
 *     max = max |x|; inverse = 127 / max, scale = max / 127;
 *     for h, and for r*h of a GRU that resets before, inverse = 127 and scale = 1/127 while max <= 1;
 *     scale = 0, q = 0 where max < 2^-100 (but for such an h); scale = NaN, q = 0 where max is not finite.
 *   acc = bias; acc = fma(float(sum of q W), scale * kernel_scale[u], acc), and so for hidden units: each sum is
 *   an exact integer (at most RNNRT_INT8_INPUTS products), rounded once as a float, and the product of the two
 *   scales is rounded. Gates and dense layers go on as above; narrow layers are no exception here.
 * The tables avx2, avx512, avx512_vnni and oracle give the same bits; portable has no fma, so it keeps the order but
 * not the bits; blas is outside the promise.
 *
 * All functions assume the floating point environment of fpenv.h, never allocate, never fail:
 * callers have checked shapes, and size scratch with the size functions. Strides are in elements.
 */
#ifndef RNNRT_KERNELS_H
#define RNNRT_KERNELS_H

#include "../include/rnnrt_types.h"
#include "kernels64.h"

#define RNNRT_NARROW_DENSE 8
#define RNNRT_PHASES 4
#define RNNRT_ALL_BLOCKS ((int64_t)1 << 40) /* as the end of a range: to the last one */
#define RNNRT_INT8_INPUTS 32768 /* most rows of an int8 matrix: sums stay exact, a row of inputs fits the stack */

/* Canonical weights of a recurrent cell, in Keras's orientation and gate order. */
typedef struct rnnrt_cell_weights {
    int32_t dtype;           /* of kernel and recurrent: RNNRT_F32, RNNRT_F16, RNNRT_I8 */
    const void *kernel;      /* (features, gates * units) */
    const void *recurrent;   /* (units, gates * units) */
    const float *bias;       /* (gates * units), GRU reset_after: (2, gates * units); NULL: none */
    const float *kernel_scale, *recurrent_scale; /* int8: (gates * units), per output channel; else NULL */
} rnnrt_cell_weights;

/* A cell as the kernels see it. The caller fills all but packed, asks for the sizes, packs. */
typedef struct rnnrt_cell {
    int32_t kind;            /* rnnrt_cell_kind */
    int32_t reset_after;     /* GRU */
    int32_t dtype;           /* of the weights; see rnnrt_kernels_of */
    int64_t units;           /* U >= 1 */
    int64_t features;        /* D >= 1 */
    rnnrt_activation activation;
    rnnrt_activation recurrent_activation;
    const void *packed;      /* 64-byte aligned, packed_bytes long */
} rnnrt_cell;

typedef struct rnnrt_cell_sizes {
    int64_t packed_bytes;
    int64_t z_width;         /* floats in one hoisted row, a multiple of 16 */
    int32_t phases;          /* of a step: threads that share one meet after each */
    int64_t blocks[RNNRT_PHASES]; /* of each phase, that threads may share out; 1 where they may not */
    int64_t project_blocks;  /* of cell_project, likewise */
} rnnrt_cell_sizes;

/* One time step of `rows` independent rows. */
typedef struct rnnrt_cell_step {
    int64_t rows;                          /* >= 1 */
    const float *x; int64_t x_stride;      /* (rows, features), or NULL where z is given */
    const float *z; int64_t z_stride;      /* (rows, z_width) made by cell_project, or NULL */
    const float *h; int64_t h_stride;      /* (rows, units), the old state */
    float *h_out; int64_t h_out_stride;    /* (rows, units); must not overlap h */
    const float *c; int64_t c_stride;      /* LSTM: (rows, units), else NULL */
    float *c_out; int64_t c_out_stride;    /* LSTM; c_out may be c (same stride), else no overlap */
    float *scratch;                        /* cell_scratch_bytes(cell, rows), 64-byte aligned */
    int32_t zigzag;                        /* walk the blocks from the last to the first */
    int32_t phase;                         /* 0: the whole step; 1, 2, ...: one phase, */
    int64_t block_begin, block_end;        /* of which these blocks */
} rnnrt_cell_step;

/* Canonical dense weights and the layer as the kernels see it. */
typedef struct rnnrt_dense {
    int32_t dtype;           /* of the kernel */
    int64_t inputs;          /* K >= 1 */
    int64_t outputs;         /* N >= 1 */
    rnnrt_activation activation; /* elementwise ones are fused; for rowwise ones the kernel does the linear part */
    const void *packed;
} rnnrt_dense;

enum { RNNRT_CEILING_SINK = 64 };

typedef struct rnnrt_kernels {
    const char *name;        /* "avx512_vnni", "avx512", "avx2", "portable", "oracle", "blas" */
    int32_t vector_floats;
    int32_t bitwise_group;   /* tables with the same number > 0 give the same bits */

    void (*cell_sizes)(const rnnrt_cell *cell, rnnrt_cell_sizes *out);
    void (*cell_pack)(const rnnrt_cell *cell, const rnnrt_cell_weights *w, void *packed);
    int64_t (*cell_scratch_bytes)(const rnnrt_cell *cell, int64_t rows);
    /* z[r] = the chains of row r after bias and inputs, in the table's own packed order; blocks [begin, end) of them */
    void (*cell_project)(const rnnrt_cell *cell, int64_t rows, const float *x, int64_t x_stride,
                         float *z, int64_t z_stride, int64_t begin, int64_t end);
    void (*cell_step)(const rnnrt_cell *cell, const rnnrt_cell_step *step);

    int64_t (*dense_packed_bytes)(const rnnrt_dense *dense);
    void (*dense_pack)(const rnnrt_dense *dense, const void *kernel, const float *bias /* or NULL */,
                       const float *scales, void *packed);
    /* blocks of outputs that threads may share out; 1 where they may not */
    int64_t (*dense_blocks)(const rnnrt_dense *dense);
    void (*dense)(const rnnrt_dense *dense, int64_t rows, const float *x, int64_t x_stride,
                  float *y, int64_t y_stride, int64_t begin, int64_t end);

    /* elementwise function over n floats; y may be x */
    void (*activate)(const rnnrt_activation *a, int64_t n, const float *x, float *y);
    /* rowwise function (softmax, log_softmax, sparsemax, glu: y has width/2) over rows; y may be x
       where the widths agree; scratch: width floats */
    void (*activate_rows)(const rnnrt_activation *a, int64_t rows, int64_t width, const float *x,
                          int64_t x_stride, float *y, int64_t y_stride, float *scratch);
    /* y[r][i] = fma(x[r][i], scale[i], shift[i]); y may be x */
    void (*scale_shift)(int64_t rows, int64_t width, const float *x, int64_t x_stride,
                        const float *scale, const float *shift, float *y, int64_t y_stride);

    /* What the vectors can do at most, for `bench`: return the flops done and the bytes read (n: a multiple of 64).
       sink: RNNRT_CEILING_SINK floats, read and written, so that the work has an end. The part for int8 weights has
       the former too where it has vectors for them. */
    int64_t (*ceiling_fma)(int64_t rounds, float *sink);
    int64_t (*ceiling_read)(const float *p, int64_t n, float *sink);

    const rnnrt_kernels64 *doubles; /* for float64 models; the same bits in every table */
    /* cells and dense layers (no more) for weights of these dtypes */
    const struct rnnrt_kernels *half, *int8;
} rnnrt_kernels;

/* The part of a table that does cells and dense layers with weights of a dtype. */
static inline const rnnrt_kernels *rnnrt_kernels_of(const rnnrt_kernels *k, int32_t dtype)
{
    return dtype == RNNRT_F16 ? k->half : dtype == RNNRT_I8 ? k->int8 : k;
}

/* The tables that were compiled in; run one only where kernel_table.h says that the CPU can. */
extern const rnnrt_kernels rnnrt_kernels_portable;
extern const rnnrt_kernels rnnrt_kernels_oracle;
extern const rnnrt_kernels rnnrt_kernels_avx2;
extern const rnnrt_kernels rnnrt_kernels_avx512;
extern const rnnrt_kernels rnnrt_kernels_avx512_vnni;
/* Their parts for half weights; oracle and blas widen at packing. */
extern const rnnrt_kernels rnnrt_kernels_portable_half;
extern const rnnrt_kernels rnnrt_kernels_avx2_half;
extern const rnnrt_kernels rnnrt_kernels_avx512_half;
/* Their parts for int8 weights; blas takes portable's. */
extern const rnnrt_kernels rnnrt_kernels_portable_int8;
extern const rnnrt_kernels rnnrt_kernels_oracle_int8;
extern const rnnrt_kernels rnnrt_kernels_avx2_int8;
extern const rnnrt_kernels rnnrt_kernels_avx512_int8;
extern const rnnrt_kernels rnnrt_kernels_avx512_vnni_int8;
/* Matrix products through BLAS, gates fused behind; runs only after rnnrt_blas_set. */
extern const rnnrt_kernels rnnrt_kernels_blas;

/* Fortran BLAS pointers (scipy's capsules), set once before a blas program is made. */
typedef void rnnrt_sgemm(char *ta, char *tb, int *m, int *n, int *k, float *alpha, float *a, int *lda,
                         float *b, int *ldb, float *beta, float *c, int *ldc);
typedef void rnnrt_sgemv(char *ta, int *m, int *n, float *alpha, float *a, int *lda, float *x, int *incx,
                         float *beta, float *y, int *incy);
void rnnrt_blas_set(rnnrt_sgemm *sgemm, rnnrt_sgemv *sgemv);
int rnnrt_blas_ready(void);

#endif
