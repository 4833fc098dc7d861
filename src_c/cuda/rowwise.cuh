/* Functions of a whole run of axes: softmax and its like. */
#ifndef RNNRT_CUDA_ROWWISE_CUH
#define RNNRT_CUDA_ROWWISE_CUH

#include "plugin.cuh"

namespace rnnrt_cuda {

/* In each of `batch` rows: outer runs of n elements, `inner` apart. */
struct runs {
    int64_t batch, outer, inner, n;
};

/* y of each run has n_out elements (glu: half as many). y may be x where the sizes agree. */
int32_t rowwise(const op_run &run, int32_t kind, const runs &r, const float *x, int64_t x_stride, float *y, int64_t y_stride,
                int64_t n_out);

} // namespace rnnrt_cuda

#endif
