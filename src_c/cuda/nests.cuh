/* Loops over several tensors with broadcasting, on the device: the host's nest (ops/nest.h), one thread for each place. */
#ifndef RNNRT_CUDA_NESTS_CUH
#define RNNRT_CUDA_NESTS_CUH

#include "device.cuh"
#include "plugin.cuh"

extern "C" {
#include "../ops/nest.h"
}

namespace rnnrt_cuda {

/* Offsets of the operands at place i, row-major. */
template <int OPERANDS> __device__ static inline void nest_at(const rnnrt_nest &nest, int64_t i, int64_t (&at)[OPERANDS])
{
    UNROLL
    for (int o = 0; o < OPERANDS; o++)
        at[o] = 0;
    UNROLL_BY(1)
    for (int k = nest.rank - 1; k > 0; k--) {
        /* most nests are small: 32-bit division is several times faster */
        const int64_t n = nest.dim[k];
        const int64_t q = (i | n) >> 31 ? i / n : (int64_t)((uint32_t)i / (uint32_t)n), index = i - q * n;
        UNROLL
        for (int o = 0; o < OPERANDS; o++)
            at[o] += index * nest.stride[o][k];
        i = q;
    }
    UNROLL
    for (int o = 0; o < OPERANDS; o++)
        at[o] += i * nest.stride[o][0];
}

static inline int64_t nest_places(const rnnrt_nest &nest)
{
    int64_t n = 1;
    for (int k = 0; k < nest.rank; k++)
        n *= nest.dim[k];
    return n;
}

/* Strides of an operand under the lengths of the output: 0 along axes where it repeats. */
static inline void operand_strides(const op_run &run, int64_t tensor, int rank, const int64_t *out, int64_t *stride)
{
    int64_t dim[RNNRT_MAX_RANK];
    rnnrt_lengths(&run, tensor, dim);
    rnnrt_strides(&run.views[tensor], rank, dim, stride);
    for (int i = 0; i < rank; i++)
        if (dim[i] != out[i])
            stride[i] = 0;
}

/* Copies operand 1 to operand 0, items of 1, 2, 4 or 8 bytes (axes.cu). */
int32_t copy_nest(const op_run &run, rnnrt_nest nest, int64_t item, char *dst, const char *src);

} // namespace rnnrt_cuda

#endif
