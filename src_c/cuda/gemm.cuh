/* y = act(x w + bias [+ y]): the one matrix product of the plugin.
 *
 * Rows are named by two indices, row = outer * inner + i, so that (batch, time, ...) in either order, reversed time
 * (a negative stride and a pointer to the last step) and the overlapping windows of a convolution need no copy:
 *     x of a row = x + outer * x_outer + i * x_inner, its k inputs side by side; y likewise.
 * Products of many pairs (einsum, attention): `batches` of them, batch pointers apart by x_batch, w_batch, y_batch.
 * Sums run over k ascending within a tile of 16 and from tile to tile: the bits depend on the sizes, the strides'
 * alignment, the device and the math, on nothing else. */
#ifndef RNNRT_CUDA_GEMM_CUH
#define RNNRT_CUDA_GEMM_CUH

#include <cuda_runtime.h>

#include "../include/rnnrt_types.h"

namespace rnnrt {

enum math_mode {
    MATH_FP32 = 0, /* FFMA for few rows, three TF32 passes on tensor cores for many: both keep float32's accuracy */
    MATH_TF32 = 1, /* one TF32 pass where there are tensor cores: about 3 decimal digits */
    MATH_FFMA = 2, /* FFMA always */
};

struct gemm_args {
    const float *x;
    int64_t x_outer, x_inner;
    const float *w;               /* (k, n), rows w_stride apart; transposed: (n, k), rows w_stride apart */
    int64_t w_stride;
    bool w_transposed;
    const float *bias;            /* n, or nullptr */
    float *y;
    int64_t y_outer, y_inner;
    bool accumulate;              /* y's own content is added to the sum */
    int64_t rows, inner;          /* rows is a multiple of inner, or outer's last group is short */
    int64_t n, k;
    int64_t batches, x_batch, w_batch, y_batch;
    rnnrt_activation activation;  /* elementwise ones only; rowwise ones are the caller's next step */
};

/* One product of dense row-major matrices: x (rows, k), w (k, n), y (rows, n). */
static inline gemm_args gemm_plain(const float *x, const float *w, const float *bias, float *y, int64_t rows,
                                   int64_t n, int64_t k)
{
    gemm_args a = {};
    a.x = x, a.x_outer = 0, a.x_inner = k;
    a.w = w, a.w_stride = n;
    a.bias = bias;
    a.y = y, a.y_inner = n;
    a.rows = a.inner = rows;
    a.n = n, a.k = k, a.batches = 1;
    a.activation.kind = RNNRT_ACT_LINEAR;
    return a;
}

/* Launches on the stream; an error of the launch, none of the arithmetic. Sizes of zero launch nothing. k = 0 gives
 * act(bias [+ y]). */
cudaError_t gemm(const gemm_args &a, math_mode math, cudaStream_t stream);

} // namespace rnnrt

#endif
