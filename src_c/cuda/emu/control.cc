/* Settings, devices, errors. Each setting comes from the environment (RNNRT_EMU_<NAME>) when first asked for, and
 * tests set it by rnnrt_emu_set, which the library exports beside its entry point. */
#include <cstdlib>
#include <string>

#include "fibers.h"
#include "settings.h"

namespace emu {
namespace {

struct entry { const char *name; int64_t value; } table[SETTINGS] = {
    {"seed", 0},               /* of the schedules */
    {"devices", 1},
    {"sms", 8},                /* multiprocessors; one block each for cooperative launches of many threads */
    {"arch", 90},
    {"memory", (int64_t)4 << 30},
    {"fail_after", -1},        /* so many allocations succeed, then one fails; -1: none */
    {"fault_after", -1},       /* so many launches run, then one breaks the device; below 0: none */
    {"fault", 700},            /* with this error */
    {"late", 50},              /* of 100 operations on a stream, how many wait until somebody needs them */
};

const struct { cudaError_t code; const char *name, *text; } errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorCooperativeLaunchTooLarge, "cudaErrorCooperativeLaunchTooLarge", "too many blocks in cooperative launch"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
};

thread_local cudaError_t last;
thread_local int current;

int64_t *find(const char *name)
{
    for (auto &e : table)
        if (!strcmp(e.name, name))
            return &e.value;
    return nullptr;
}

void read_environment()
{
    static const bool once = [] {
        for (auto &e : table) {
            std::string name = "RNNRT_EMU_";
            for (const char *c = e.name; *c; c++)
                name += (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
            if (const char *v = getenv(name.c_str()))
                e.value = strtoll(v, nullptr, 0);
        }
        return true;
    }();
    (void)once;
}

} // namespace

cudaError_t broken = cudaSuccess;

int64_t &setting_ref(setting_id id)
{
    read_environment();
    return table[id].value;
}
int64_t setting(setting_id id) { return setting_ref(id); }

std::recursive_mutex &big_lock()
{
    static auto *lock = new std::recursive_mutex; /* outlives every thread */
    return *lock;
}

cudaError_t fail(cudaError_t e)
{
    if (e != cudaSuccess)
        last = e;
    return e;
}

int device() { return current; }

} // namespace emu

using namespace emu;

/* 0, or -1 for a name that there is not. "reset": 1 heals a device that a kernel broke. */
extern "C" __attribute__((visibility("default"))) int rnnrt_emu_set(const char *name, int64_t value)
{
    locked guard(big_lock());
    read_environment();
    if (!strcmp(name, "reset")) {
        broken = cudaSuccess;
        memory.torn = 0;
        streams_forget();
        return 0;
    }
    int64_t *v = find(name);
    if (v)
        *v = value;
    return v ? 0 : -1;
}

/* A setting or a count; -1 for a name that there is not. torn: allocations whose ends were written over. */
extern "C" __attribute__((visibility("default"))) int64_t rnnrt_emu_get(const char *name)
{
    locked guard(big_lock());
    read_environment();
    const struct { const char *name; int64_t value; } counts[] = {
        {"live_bytes", memory.live_bytes}, {"live", memory.live}, {"allocations", memory.allocations},
        {"torn", memory.torn}, {"launches", count.launches}, {"threads", count.threads},
        {"switches", count.switches}, {"broken", broken}, {"current", device()},
    };
    for (auto &c : counts)
        if (!strcmp(c.name, name))
            return c.value;
    int64_t *v = find(name);
    return v ? *v : -1;
}

const char *cudaGetErrorName(cudaError_t e)
{
    for (auto &x : errors)
        if (x.code == e)
            return x.name;
    return "cudaErrorUnknown";
}
const char *cudaGetErrorString(cudaError_t e)
{
    for (auto &x : errors)
        if (x.code == e)
            return x.text;
    return "unknown error";
}
cudaError_t cudaPeekAtLastError() { return broken ? broken : last; }
cudaError_t cudaGetLastError()
{
    const cudaError_t e = cudaPeekAtLastError();
    last = cudaSuccess;
    return e;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = (int)setting(DEVICES);
    return fail(*n ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int *d)
{
    *d = current;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int d)
{
    if (d < 0 || d >= setting(DEVICES))
        return fail(setting(DEVICES) ? cudaErrorInvalidDevice : cudaErrorNoDevice);
    current = d;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *v)
{
    *v = setting(DEVICES) ? 13000 : 0;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *v)
{
    *v = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int d)
{
    if (d < 0 || d >= setting(DEVICES))
        return fail(cudaErrorInvalidDevice);
    *p = cudaDeviceProp{};
    const int arch = (int)setting(ARCH);
    strcpy(p->name, "emulated");
    p->totalGlobalMem = (size_t)setting(MEMORY);
    p->sharedMemPerBlock = 48 << 10;
    p->sharedMemPerBlockOptin = (arch >= 90 && arch < 120 ? 227 : arch == 80 ? 163 : arch == 75 ? 64 : 99) << 10;
    p->sharedMemPerMultiprocessor = p->sharedMemPerBlockOptin + (arch == 75 ? 0 : 1024);
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
    p->maxThreadsPerMultiProcessor = arch == 75 ? 1024 : arch == 80 || (arch >= 90 && arch < 120) ? 2048 : 1536;
    p->maxBlocksPerMultiProcessor = 16;
    p->major = arch / 10;
    p->minor = arch % 10;
    p->multiProcessorCount = (int)setting(SMS);
    p->l2CacheSize = 32 << 20;
    p->cooperativeLaunch = p->canMapHostMemory = p->concurrentKernels = p->unifiedAddressing = 1;
    p->asyncEngineCount = 2;
    p->pciBusID = d;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *v, cudaDeviceAttr a, int d)
{
    cudaDeviceProp p;
    const cudaError_t e = cudaGetDeviceProperties(&p, d);
    if (e)
        return e;
    switch (a) {
    case cudaDevAttrMaxThreadsPerBlock: *v = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *v = (int)p.sharedMemPerBlock; break;
    case cudaDevAttrWarpSize: *v = 32; break;
    case cudaDevAttrClockRate: *v = 1000000; break;
    case cudaDevAttrMultiProcessorCount: *v = p.multiProcessorCount; break;
    case cudaDevAttrL2CacheSize: *v = p.l2CacheSize; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *v = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrComputeCapabilityMajor: *v = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *v = p.minor; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *v = (int)p.sharedMemPerMultiprocessor; break;
    case cudaDevAttrMaxRegistersPerMultiprocessor: *v = p.regsPerMultiprocessor; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *v = (int)p.sharedMemPerBlockOptin; break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *v = p.maxBlocksPerMultiProcessor; break;
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrCooperativeLaunch: *v = 1; break;
    case cudaDevAttrClusterLaunch: *v = p.major >= 9; break;
    default: return fail(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}
