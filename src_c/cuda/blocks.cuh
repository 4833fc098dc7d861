/* Reductions over the threads of a block, in one fixed order: the same bits for the same launch. */
#ifndef RNNRT_CUDA_BLOCKS_CUH
#define RNNRT_CUDA_BLOCKS_CUH

#include "device.cuh"

namespace rnnrt_cuda {

struct plus {
    template <class T> __device__ T operator()(T a, T b) const { return a + b; }
};

struct larger {
    template <class T> __device__ T operator()(T a, T b) const { return b > a ? b : a; }
};

/* Threads of a block that reduces n values: a power of two of warps. */
static inline unsigned threads_for(int64_t n)
{
    unsigned threads = 32;
    while (threads < 256 && threads < n)
        threads *= 2;
    return threads;
}

/* All threads of the block take part and get the result. blockDim.x is one of threads_for. */
template <class T, class F> __device__ static inline T block_reduce(T v, F join)
{
    typedef T slots[8];
    SHARED(slots, parts);
    for (int by = 16; by; by /= 2)
        v = join(v, __shfl_xor_sync(rnnrt::ALL_LANES, v, by));
    const unsigned warps = blockDim.x / 32;
    if (warps == 1)
        return v;
    __syncthreads(); /* parts may still be read from the reduction before */
    if (threadIdx.x % 32 == 0)
        parts[threadIdx.x / 32] = v;
    __syncthreads();
    v = parts[0];
    UNROLL_BY(1)
    for (unsigned w = 1; w < warps; w++)
        v = join(v, parts[w]);
    return v;
}

} // namespace rnnrt_cuda

#endif
