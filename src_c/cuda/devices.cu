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
    err->device_code = 0;
    return rnnrt_fail(err, code, -1, 0, 0);
}

int32_t check(cudaError_t e, const char *what, rnnrt_error *err)
{
    if (e == cudaSuccess)
        return RNNRT_OK;
    cudaGetLastError(); /* an error that is not sticky is not there for the next call */
    if (e == cudaErrorMemoryAllocation)
        fail(err, RNNRT_ENOMEM, "the GPU has no memory left (%s)", what);
    else
        fail(err, RNNRT_EDEVICE, loses_context((int32_t)e) ? "%s: %s (CUDA error %d), here or in work queued before; the GPU is "
                                 "lost to this process: restart it, and look for the cause with compute-sanitizer"
                                 : "%s: %s (CUDA error %d)", what, cudaGetErrorString(e), (int)e);
    err->device_code = (int32_t)e;
    return err->code;
}

int loses_context(int32_t code)
{
    switch (code) {
    case cudaErrorCudartUnloading: case cudaErrorIllegalAddress: case cudaErrorLaunchFailure: case cudaErrorUnknown:
    case 214: case 220: /* memory or NVLink that fails uncorrectably */
    case 702: case 709: case 710: /* a launch that took too long, a context that was destroyed, an assertion */
    case 714: case 715: case 716: case 717: case 718: return 1; /* hardware stack, instruction, alignment, address space, pc */
    default: return 0;
    }
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
    if (e == cudaErrorInitializationError)
        return fail(err, RNNRT_EDEVICE, "CUDA does not start: %s (error 3); a child of fork() cannot use it once its parent has: "
                                        "start workers with the method 'spawn'", cudaGetErrorString(e));
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
    };
    for (auto &a : ask) {
        const int32_t rc = check(cudaDeviceGetAttribute(&a.value, a.attribute, device), "asking the device", err);
        if (rc)
            return rc;
    }
    *out = {device, ask[0].value * 10 + ask[1].value, ask[2].value};
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

/* Why this thread last got no memory: the heap's callers say ENOMEM whatever it was. */
static thread_local cudaError_t refused;

static void *device_alloc(size_t bytes)
{
    void *p = NULL;
    refused = cudaMalloc(&p, bytes ? bytes : 64);
    if (refused == cudaSuccess)
        return p;
    cudaGetLastError();
    return NULL;
}

int32_t why_no_memory(rnnrt_error *err)
{
    const cudaError_t e = refused;
    if (err->code == RNNRT_ENOMEM && e != cudaSuccess && e != cudaErrorMemoryAllocation)
        check(e, "taking memory", err);
    refused = cudaSuccess;
    return err->code;
}

static void device_release(void *memory)
{
    if (memory)
        cudaFree(memory);
}

/* A tile is as long as its activations stay below this; most calls are one tile. */
const rnnrt_heap device_heap = {device_alloc, device_release, (int64_t)64 << 20, 1};

} // namespace rnnrt_cuda
