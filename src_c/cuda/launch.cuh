/* Launches as calls: nvcc and the emulation take both the same. Shared memory above 48 KB is asked for as needed. */
#ifndef RNNRT_CUDA_LAUNCH_CUH
#define RNNRT_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

namespace rnnrt {

struct grid_shape {
    dim3 blocks, threads;
    size_t shared;       /* bytes of dynamic shared memory */
    unsigned cluster;    /* blocks of a cluster along x; 0: none */
    bool cooperative;    /* all blocks at once, or the launch fails */
};

/* Kernels may ask for more shared memory and larger clusters only once they were allowed to. The allowance belongs to the
 * kernel, for all threads: always the device's whole, so that nobody takes away what another is about to launch with. */
template <class... P> static inline cudaError_t launch_allowed(void (*kernel)(P...), const grid_shape &s)
{
    if (s.shared > 48u << 10) {
        int device = 0, most = 0;
        cudaError_t e = cudaGetDevice(&device);
        if (!e)
            e = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
        if (!e)
            e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
        if (e)
            return e;
    }
    return s.cluster > 8 ? cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1) : cudaSuccess;
}

/* attrs: room for two, which lives as long as what is returned. */
static inline cudaLaunchConfig_t launch_config(const grid_shape &s, cudaStream_t stream, cudaLaunchAttribute *attrs)
{
    cudaLaunchConfig_t c = {};
    c.gridDim = s.blocks;
    c.blockDim = s.threads;
    c.dynamicSmemBytes = s.shared;
    c.stream = stream;
    c.attrs = attrs;
    if (s.cooperative) {
        attrs[c.numAttrs].id = cudaLaunchAttributeCooperative;
        attrs[c.numAttrs++].val.cooperative = 1;
    }
    if (s.cluster) {
        attrs[c.numAttrs].id = cudaLaunchAttributeClusterDimension;
        attrs[c.numAttrs].val.clusterDim.x = s.cluster;
        attrs[c.numAttrs].val.clusterDim.y = 1;
        attrs[c.numAttrs++].val.clusterDim.z = 1;
    }
    return c;
}

template <class... P, class... A>
static inline cudaError_t launch_shaped(void (*kernel)(P...), const grid_shape &s, cudaStream_t stream, A &&...args)
{
    cudaLaunchAttribute attrs[2] = {};
    const cudaLaunchConfig_t c = launch_config(s, stream, attrs);
    if (cudaError_t e = launch_allowed(kernel, s))
        return e;
    return cudaLaunchKernelEx(&c, kernel, static_cast<A &&>(args)...);
}

/* launch(kernel, blocks, threads, shared bytes, stream, arguments...) */
template <class... P, class... A>
static inline cudaError_t launch(void (*kernel)(P...), dim3 blocks, dim3 threads, size_t shared, cudaStream_t stream,
                                 A &&...args)
{
    return launch_shaped(kernel, grid_shape{blocks, threads, shared, 0, false}, stream, static_cast<A &&>(args)...);
}

} // namespace rnnrt

#endif
