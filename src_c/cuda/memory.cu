/* Memory and streams for callers that keep their arrays on the device. */
#include "plugin.cuh"

extern "C" {
#include "entries.h"
}

using namespace rnnrt_cuda;

/* Memory that comes and goes in the order of streams, kept up to this much while nobody holds it. */
#define KEEP_FREED ((uint64_t)256 << 20)
#define MAX_DEVICES 64

static cudaMemPool_t pools[MAX_DEVICES]; /* atomic; a pool lives as long as the process */

/* The current device's pool; NULL where it has none. */
static cudaMemPool_t pool_here(int32_t device)
{
    if (device < 0 || device >= MAX_DEVICES)
        return NULL;
    cudaMemPool_t pool = __atomic_load_n(&pools[device], __ATOMIC_ACQUIRE), first = NULL;
    int able = 0;
    uint64_t keep = KEEP_FREED;
    cudaMemPoolProps props = {};
    props.allocType = cudaMemAllocationTypePinned;
    props.location.type = cudaMemLocationTypeDevice;
    props.location.id = device;
    if (pool || cudaDeviceGetAttribute(&able, cudaDevAttrMemoryPoolsSupported, device) != cudaSuccess || !able
        || cudaMemPoolCreate(&pool, &props) != cudaSuccess) {
        cudaGetLastError();
        return pool;
    }
    cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep);
    if (__atomic_compare_exchange_n(&pools[device], &first, pool, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return pool;
    cudaMemPoolDestroy(pool); /* another thread was first */
    return first;
}

extern "C" {

int32_t rnnrt_cuda_device_alloc(int32_t device, int64_t bytes, void **out, rnnrt_error *err)
{
    device_guard guard;
    const int32_t rc = bytes < 0 ? rnnrt_fail(err, RNNRT_EINVAL, -1, bytes, 0) : guard.enter(device, err);
    if (rc)
        return rc;
    *out = device_heap.alloc((size_t)bytes);
    if (*out)
        return RNNRT_OK;
    rnnrt_fail(err, RNNRT_ENOMEM, -1, bytes, 0);
    return why_no_memory(err);
}

/* cudaFree waits for nobody where the memory is a pool's */
void rnnrt_cuda_device_free(int32_t device, void *memory)
{
    rnnrt_error err = {};
    device_guard guard;
    if (!memory || guard.enter(device, &err))
        return;
    cudaDeviceSynchronize();
    device_heap.release(memory);
    cudaGetLastError();
}

int32_t rnnrt_cuda_stream_alloc(int32_t device, int64_t bytes, void *stream, void **out, rnnrt_error *err)
{
    device_guard guard;
    int32_t rc = bytes < 0 ? rnnrt_fail(err, RNNRT_EINVAL, -1, bytes, 0) : guard.enter(device, err);
    if (rc || (rc = refuse_captured((cudaStream_t)stream, err)))
        return rc;
    const cudaMemPool_t pool = pool_here(device);
    if (!pool)
        return rnnrt_cuda_device_alloc(device, bytes, out, err);
    *out = NULL;
    return check(cudaMallocFromPoolAsync(out, (size_t)(bytes ? bytes : 64), pool, (cudaStream_t)stream), "memory for a result", err);
}

void rnnrt_cuda_stream_free(int32_t device, void *memory, void *stream)
{
    rnnrt_error err = {};
    device_guard guard;
    if (!memory || guard.enter(device, &err))
        return;
    if (!pool_here(device) || cudaFreeAsync(memory, (cudaStream_t)stream) != cudaSuccess) {
        cudaGetLastError();
        rnnrt_cuda_device_free(device, memory);
    }
}

int32_t rnnrt_cuda_host_alloc(int64_t bytes, void **out, rnnrt_error *err)
{
    *out = NULL;
    if (bytes < 0)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, bytes, 0);
    return check(cudaMallocHost(out, (size_t)(bytes ? bytes : 64)), "page-locked memory", err);
}

void rnnrt_cuda_host_free(void *memory)
{
    if (memory)
        cudaFreeHost(memory);
}

int32_t rnnrt_cuda_copy(int32_t device, void *to, int32_t to_place, const void *from, int32_t from_place, int64_t bytes, void *stream,
                        rnnrt_error *err)
{
    device_guard guard;
    int32_t rc = bytes < 0 ? rnnrt_fail(err, RNNRT_EINVAL, -1, device, bytes) : guard.enter(device, err);
    if (rc || !bytes)
        return rc;
    const int there = to_place == RNNRT_ON_CUDA, here = from_place == RNNRT_ON_CUDA;
    const cudaMemcpyKind kind = there ? (here ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                                      : (here ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
    rc = check(cudaMemcpyAsync(to, from, (size_t)bytes, kind, (cudaStream_t)stream), "a copy", err);
    if (rc || (stream && to_place != RNNRT_ON_CPU && from_place != RNNRT_ON_CPU))
        return rc;
    return check(cudaStreamSynchronize((cudaStream_t)stream), "a copy", err); /* nobody can order the host's own memory */
}

int32_t rnnrt_cuda_stream_wait(int32_t device, void *waiter, void *before, rnnrt_error *err)
{
    device_guard guard;
    cudaEvent_t event = NULL;
    int32_t rc = guard.enter(device, err);
    if (rc || (rc = check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event", err)))
        return rc;
    rc = check(cudaEventRecord(event, (cudaStream_t)before), "an event", err);
    if (!rc)
        rc = check(cudaStreamWaitEvent((cudaStream_t)waiter, event, 0), "waiting for a stream", err);
    cudaEventDestroy(event);
    return rc;
}

int32_t rnnrt_cuda_sync(int32_t device, void *stream, rnnrt_error *err)
{
    device_guard guard;
    const int32_t rc = guard.enter(device, err);
    if (rc)
        return rc;
    return check(stream ? cudaStreamSynchronize((cudaStream_t)stream) : cudaDeviceSynchronize(), "waiting for the device", err);
}

} // extern "C"
