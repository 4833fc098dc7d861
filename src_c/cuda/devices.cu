/* Devices and errors: what can be reached, why not, and in whose words. */
#include "plugin.cuh"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

namespace rnnrt_cuda {

int32_t fail(rnnrt_error *err, int32_t code, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    vsnprintf(err->msg, sizeof err->msg, text, arguments);
    va_end(arguments);
    return rnnrt_fail(err, code, -1, 0, 0);
}

int32_t check(cudaError_t e, const char *what, rnnrt_error *err)
{
    if (e == cudaSuccess)
        return RNNRT_OK;
    cudaGetLastError(); /* an error that is not sticky is not there for the next call */
    err->device_code = (int32_t)e;
    if (e == cudaErrorMemoryAllocation)
        return fail(err, RNNRT_ENOMEM, "the GPU has no memory left (%s)", what);
    return fail(err, RNNRT_EDEVICE, "%s: %s (CUDA error %d)", what, cudaGetErrorString(e), (int)e);
}

/* Cause and remedy of a failed first call. */
static int32_t explain(cudaError_t e, rnnrt_error *err)
{
    int driver = 0, runtime = 0;
    cudaGetLastError();
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    err->device_code = (int32_t)e;
    const int have = driver / 1000, have_minor = driver % 1000 / 10, need = runtime / 1000, need_minor = runtime % 1000 / 10;
    if (driver == 0)
        return fail(err, RNNRT_EDEVICE, "no NVIDIA driver found; install the driver, or use device='cpu'");
    if (e == cudaErrorInsufficientDriver)
        return fail(err, RNNRT_EDEVICE, "the NVIDIA driver is too old: it runs CUDA %d.%d, this plugin needs %d.%d; update the driver",
                    have, have_minor, need, need_minor);
    if (e == cudaErrorNoDevice || e == cudaSuccess)
        return fail(err, RNNRT_EDEVICE, "no CUDA device is visible; check nvidia-smi and CUDA_VISIBLE_DEVICES");
    return fail(err, RNNRT_EDEVICE, "CUDA does not start: %s (error %d)", cudaGetErrorString(e), (int)e);
}

int32_t count_devices(rnnrt_error *err)
{
    int n = 0;
    const cudaError_t e = cudaGetDeviceCount(&n);
    if (e == cudaSuccess && n > 0)
        return n;
    explain(e, err);
    return 0;
}

int32_t device_facts_of(int32_t device, device_facts *out, rnnrt_error *err)
{
    const int n = count_devices(err);
    if (n < 1)
        return err->code;
    if (device < 0 || device >= n)
        return fail(err, RNNRT_EDEVICE, "there is no device cuda:%d; this machine has %d", (int)device, n);
    struct { cudaDeviceAttr attribute; int value; } ask[] = {
        {cudaDevAttrComputeCapabilityMajor, 0}, {cudaDevAttrComputeCapabilityMinor, 0}, {cudaDevAttrMultiProcessorCount, 0},
        {cudaDevAttrMaxSharedMemoryPerBlockOptin, 0}, {cudaDevAttrCooperativeLaunch, 0},
    };
    for (auto &a : ask) {
        const int32_t rc = check(cudaDeviceGetAttribute(&a.value, a.attribute, device), "asking the device", err);
        if (rc)
            return rc;
    }
    *out = {device, ask[0].value * 10 + ask[1].value, ask[2].value, ask[3].value, ask[4].value, ask[0].value >= 9};
    if (out->capability < 75)
        return fail(err, RNNRT_EDEVICE, "cuda:%d has compute capability %d.%d; this plugin needs 7.5", (int)device, ask[0].value,
                    ask[1].value);
    return RNNRT_OK;
}

int32_t device_guard::enter(int32_t device, rnnrt_error *err)
{
    int now = -1;
    int32_t rc = check(cudaGetDevice(&now), "asking for the current device", err);
    if (rc || now == device)
        return rc;
    if (!(rc = check(cudaSetDevice(device), "choosing the device", err)))
        before = now;
    return rc;
}

device_guard::~device_guard()
{
    if (before >= 0)
        cudaSetDevice(before);
}

static void *device_alloc(size_t bytes)
{
    void *p = NULL;
    if (cudaMalloc(&p, bytes ? bytes : 64) == cudaSuccess)
        return p;
    cudaGetLastError();
    return NULL;
}

static void device_release(void *memory)
{
    if (memory)
        cudaFree(memory);
}

/* A tile is as long as its activations stay below this; most calls are one tile. */
const rnnrt_heap device_heap = {device_alloc, device_release, (int64_t)64 << 20, 1};

} // namespace rnnrt_cuda
