/* What the device checks before a launch, and what it says of a kernel. */
#include <memory>
#include <vector>

#include "fibers.h"
#include "settings.h"

namespace emu {
namespace {

struct kernel_attribute { const void *kernel; cudaFuncAttribute a; int value; };
std::vector<kernel_attribute> attributes;

int attribute(const void *kernel, cudaFuncAttribute a, int otherwise)
{
    for (auto &x : attributes)
        if (x.kernel == kernel && x.a == a)
            return x.value;
    return otherwise;
}

/* The launch that a configuration means, or why the device would refuse it. */
cudaError_t shape(const cudaLaunchConfig_t *c, const void *kernel, launch *l)
{
    cudaDeviceProp p;
    cudaError_t e = cudaGetDeviceProperties(&p, device());
    if (e)
        return e;
    *l = {c->gridDim, c->blockDim, dim3(1, 1, 1), c->dynamicSmemBytes, false, nullptr};
    for (unsigned i = 0; i < c->numAttrs; i++) {
        if (c->attrs[i].id == cudaLaunchAttributeCooperative)
            l->cooperative = c->attrs[i].val.cooperative != 0;
        if (c->attrs[i].id == cudaLaunchAttributeClusterDimension) {
            const auto &d = c->attrs[i].val.clusterDim;
            l->cluster = dim3(d.x, d.y, d.z);
        }
    }
    const dim3 g = l->grid, b = l->block, k = l->cluster;
    const uint64_t threads = (uint64_t)b.x * b.y * b.z, blocks = (uint64_t)g.x * g.y * g.z, size = (uint64_t)k.x * k.y * k.z;
    if (!threads || threads > 1024 || b.z > 64 || !blocks || g.y > 65535 || g.z > 65535 || g.x > 0x7fffffffu)
        return cudaErrorInvalidConfiguration;
    if (!size || g.x % k.x || g.y % k.y || g.z % k.z ||
        (size > 1 && (p.major < 9 || size > (attribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 0) ? 16u : 8u))))
        return cudaErrorInvalidConfiguration;
    if (l->shared > p.sharedMemPerBlockOptin || l->shared > (size_t)attribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)p.sharedMemPerBlock))
        return cudaErrorInvalidValue;
    int fit = 0;
    e = occupancy(&fit, (int)threads, l->shared);
    if (!e && l->cooperative && blocks > (uint64_t)fit * (uint64_t)p.multiProcessorCount)
        e = cudaErrorCooperativeLaunchTooLarge;
    return e;
}

} // namespace

cudaError_t enqueue_launch(const cudaLaunchConfig_t *c, const void *kernel, std::function<void()> body)
{
    locked guard(big_lock());
    launch l;
    const cudaError_t e = shape(c, kernel, &l);
    if (e)
        return fail(e);
    auto held = std::make_shared<std::function<void()>>(std::move(body));
    return enqueue(c->stream, [l, held]() mutable {
        l.body = held.get();
        int64_t &left = setting_ref(FAULT_AFTER);
        if (left-- == 0)
            broken = (cudaError_t)setting(FAULT);
        else if (!run_launch(l))
            broken = cudaErrorLaunchFailure;
    });
}

cudaError_t func_attribute(const void *kernel, cudaFuncAttribute a, int value)
{
    locked guard(big_lock());
    cudaDeviceProp p;
    const cudaError_t e = cudaGetDeviceProperties(&p, device());
    if (e)
        return e;
    if (a == cudaFuncAttributeMaxDynamicSharedMemorySize && (size_t)value > p.sharedMemPerBlockOptin)
        return fail(cudaErrorInvalidValue);
    for (auto &x : attributes)
        if (x.kernel == kernel && x.a == a) {
            x.value = value;
            return cudaSuccess;
        }
    attributes.push_back({kernel, a, value});
    return cudaSuccess;
}

cudaError_t func_attributes(cudaFuncAttributes *a, const void *kernel)
{
    *a = cudaFuncAttributes{};
    a->maxThreadsPerBlock = 1024;
    a->numRegs = 64;
    a->maxDynamicSharedSizeBytes = attribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 48 << 10);
    return cudaSuccess;
}

/* As if a block took 255 registers of each thread, so that a launch that fits here fits there. */
cudaError_t occupancy(int *blocks, int threads, size_t shared)
{
    cudaDeviceProp p;
    const cudaError_t e = cudaGetDeviceProperties(&p, device());
    if (e)
        return e;
    const size_t by_shared = p.sharedMemPerMultiprocessor / (shared + 1024), by_registers = 65536 / (255 * (size_t)threads);
    *blocks = (int)(by_shared < 1 || by_registers < 1 ? 1 : by_shared < by_registers ? by_shared : by_registers);
    if (shared > p.sharedMemPerBlockOptin)
        *blocks = 0;
    return cudaSuccess;
}

cudaError_t clusters(int *n, const cudaLaunchConfig_t *c)
{
    cudaLaunchConfig_t one = *c;
    launch l;
    cudaDeviceProp p;
    cudaError_t e = cudaGetDeviceProperties(&p, device());
    for (unsigned i = 0; i < c->numAttrs; i++)
        if (c->attrs[i].id == cudaLaunchAttributeClusterDimension)
            one.gridDim = dim3(c->attrs[i].val.clusterDim.x, c->attrs[i].val.clusterDim.y, c->attrs[i].val.clusterDim.z);
    one.dynamicSmemBytes = 0;
    if (!e)
        e = shape(&one, nullptr, &l);
    *n = e ? 0 : p.multiProcessorCount / (int)(l.cluster.x * l.cluster.y * l.cluster.z);
    return e == cudaErrorInvalidConfiguration ? cudaSuccess : fail(e);
}

} // namespace emu
