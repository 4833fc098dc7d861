/* Small experiments with the emulation itself; see test_emulation.py. Each returns CUDA's code of the whole. */
#include <string.h>

#include "cuda/device.cuh"
#include "cuda/launch.cuh"

using namespace rnnrt;

namespace {

__global__ void k_nothing() {}

__global__ void k_shared(unsigned *out)
{
    SHARED(unsigned, word);
    if (threadIdx.x == 0)
        *out = word;
}

__global__ void k_branch()
{
    if (threadIdx.x < 48) /* of the second warp, half waits for the other half */
        __syncwarp();
}

__global__ void k_meet(unsigned *count)
{
    add_release(count, 1);
    while (load_acquire(count) != gridDim.x)
        ;
}

__global__ void k_first(unsigned *out) { atomicCAS(out, 0u, blockIdx.x * 100 + threadIdx.x / 32 + 1); }

__global__ void k_write(float *out, int at) { out[at] = 1.0f; }

struct device_words {
    unsigned *p = nullptr;
    explicit device_words(size_t n) { cudaMalloc(&p, n * sizeof *p); }
    ~device_words() { cudaFree(p); }
};

cudaError_t done(cudaError_t e) { return e ? e : cudaDeviceSynchronize(); }

cudaError_t late_copy()
{
    device_words from(1);
    unsigned *host = nullptr;
    cudaStream_t s = nullptr;
    cudaMallocHost((void **)&host, sizeof *host);
    *host = 5;
    cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
    cudaMemsetAsync(from.p, 0, sizeof *from.p, s);
    cudaMemcpyAsync(host, from.p, sizeof *host, cudaMemcpyDeviceToHost, s);
    const bool early = *host != 5; /* nobody has waited */
    const cudaError_t e = cudaStreamSynchronize(s);
    const bool there = *host == 0;
    cudaStreamDestroy(s);
    cudaFreeHost(host);
    return e ? e : early || !there ? cudaErrorUnknown : cudaSuccess;
}

} // namespace

extern "C" __attribute__((visibility("default"))) int rnnrt_test_probe(const char *name, int n)
{
    const auto is = [&](const char *other) { return strcmp(name, other) == 0; };
    device_words words(64);
    unsigned seen = 0;
    if (is("nothing"))
        return done(launch(k_nothing, 3, 64, 0, nullptr));
    if (is("fresh_memory_is_nan")) {
        float v = 0;
        const cudaError_t e = cudaMemcpy(&v, words.p, sizeof v, cudaMemcpyDeviceToHost);
        return e ? e : v != v ? cudaSuccess : cudaErrorUnknown;
    }
    if (is("shared_memory_is_not_zero")) {
        cudaError_t e = launch(k_shared, 1, 32, 0, nullptr, words.p);
        if (!e)
            e = cudaMemcpy(&seen, words.p, sizeof seen, cudaMemcpyDeviceToHost);
        return e ? e : seen == 0xA5A5A5A5u ? cudaSuccess : cudaErrorUnknown;
    }
    if (is("barrier_in_a_branch"))
        return done(launch(k_branch, 1, 64, 0, nullptr));
    if (is("wait_for_a_block_that_is_not_there")) {
        cudaMemset(words.p, 0, sizeof *words.p);
        return done(launch_shaped(k_meet, grid_shape{8, 1, 0, 0, n != 0}, nullptr, words.p));
    }
    if (is("cooperative_blocks"))
        return done(launch_shaped(k_nothing, grid_shape{dim3((unsigned)n), 256, 0, 0, true}, nullptr));
    if (is("threads_of_a_block"))
        return done(launch(k_nothing, 1, (unsigned)n, 0, nullptr));
    if (is("cluster"))
        return done(launch_shaped(k_nothing, grid_shape{16, 32, 0, (unsigned)n, false}, nullptr));
    if (is("shared_bytes"))
        return done(launch(k_nothing, 1, 32, (size_t)n, nullptr));
    if (is("copy_past_the_end"))
        return cudaMemcpy(words.p, words.p, 65 * sizeof *words.p, cudaMemcpyDeviceToDevice);
    if (is("late_copy_is_not_there_yet"))
        return late_copy();
    if (is("first_block")) {
        cudaMemset(words.p, 0, sizeof *words.p);
        cudaError_t e = launch_shaped(k_first, grid_shape{8, 96, 0, 0, true}, nullptr, words.p);
        if (!e)
            e = cudaMemcpy(&seen, words.p, sizeof seen, cudaMemcpyDeviceToHost);
        return e ? -e : (int)seen;
    }
    if (is("write_past_the_end")) {
        float *p = nullptr;
        cudaError_t e = cudaMalloc(&p, 4 * sizeof(float));
        if (!e)
            e = done(launch(k_write, 1, 1, 0, nullptr, p, 4));
        return e ? e : cudaFree(p);
    }
    return -1;
}
