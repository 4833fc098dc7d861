/* The table: which ops run on the device, what the ABI's functions do, the one exported symbol. */
#include "plugin.cuh"

extern "C" {
#include "entries.h"
}

#define RNNRT_TEXT_(x) #x
#define RNNRT_TEXT(x) RNNRT_TEXT_(x)

#include <stdio.h>
#include <string.h>

namespace rnnrt_cuda {

/* ---- the table ---- */
static int32_t device_count(rnnrt_error *err) { return count_devices(err); }

static int32_t device_info(int32_t device, rnnrt_device_info *out, rnnrt_error *err)
{
    if (!RNNRT_HAS(out, rnnrt_device_info, memory_bytes))
        return rnnrt_fail(err, RNNRT_EINVAL, -1, device, 0);
    device_facts facts;
    cudaDeviceProp prop;
    rnnrt_device_info mine = {};
    size_t free_bytes = 0, total = 0;
    int32_t rc = device_facts_of(device, &facts, err);
    device_guard guard;
    if (rc || (rc = guard.enter(device, err)) || (rc = check(cudaGetDeviceProperties(&prop, device), "asking the device", err))
        || (rc = check(cudaMemGetInfo(&free_bytes, &total), "asking for memory", err)))
        return rc;
    snprintf(mine.name, sizeof mine.name, "%.*s", (int)sizeof mine.name - 1, prop.name);
    mine.memory_bytes = (int64_t)total;
    mine.free_bytes = (int64_t)free_bytes;
    mine.place = RNNRT_ON_CUDA;
    mine.capability = facts.capability;
    cudaDriverGetVersion(&mine.driver);
    cudaRuntimeGetVersion(&mine.runtime);
    const size_t head = offsetof(rnnrt_device_info, name), whole = out->struct_size < sizeof mine ? out->struct_size : sizeof mine;
    memcpy((char *)out + head, (char *)&mine + head, whole - head);
    return RNNRT_OK;
}

static void model_release(rnnrt_model *m) { release((model *)m); }

static int32_t model_run(rnnrt_model *m, const rnnrt_call *call, rnnrt_error *err)
{
    return run_call((model *)m, {}, call, 0, err);
}

static int64_t measure(rnnrt_model *m, const int64_t *symbols, int want_cost, rnnrt_error *err)
{
    int64_t bytes = 0, cost = 0;
    if (rnnrt_workspace_measure(((model *)m)->program, symbols, &bytes, &cost, err))
        return 0;
    /* the host's estimate is that of one core; a call costs some launches in any case */
    return want_cost ? cost / 64 + 10000 : bytes;
}

static int64_t model_workspace(rnnrt_model *m, const int64_t *symbols, rnnrt_error *err) { return measure(m, symbols, 0, err); }
static int64_t model_cost(rnnrt_model *m, const int64_t *symbols, rnnrt_error *err) { return measure(m, symbols, 1, err); }

static int32_t model_memory(rnnrt_model *m, rnnrt_memory *out, rnnrt_error *err)
{
    if (!RNNRT_HAS(out, rnnrt_memory, kept))
        return rnnrt_fail(err, RNNRT_EINVAL, -1, out->struct_size, 0);
    out->place = RNNRT_ON_CUDA;
    out->weights = ((model *)m)->weight_bytes;
    out->kept = lanes_kept((model *)m);
    return RNNRT_OK;
}

} // namespace rnnrt_cuda

using namespace rnnrt_cuda;

extern "C" {

static const rnnrt_backend *table()
{
    static rnnrt_backend t;
    t.struct_size = sizeof t;
    t.abi = RNNRT_ABI;
    t.name = "cuda";
#ifdef RNNRT_EMU
    t.build_info = "emulated";
#else
    t.build_info = "CUDA " RNNRT_TEXT(CUDART_VERSION);
#endif
    t.device_count = device_count;
    t.device_info = device_info;
    t.supports = supports;
    t.model_create = rnnrt_cuda_model_create;
    t.model_release = model_release;
    t.model_run = model_run;
    t.model_workspace = model_workspace;
    t.model_cost = model_cost;
    t.session_create = rnnrt_cuda_session_create;
    t.session_release = rnnrt_cuda_session_release;
    t.session_run = rnnrt_cuda_session_run;
    t.session_get_rows = rnnrt_cuda_session_get_rows;
    t.session_set_rows = rnnrt_cuda_session_set_rows;
    t.pool_create = rnnrt_cuda_pool_create;
    t.pool_release = rnnrt_cuda_pool_release;
    t.pool_reserve = rnnrt_cuda_pool_reserve;
    t.pool_run = rnnrt_cuda_pool_run;
    t.pool_get_rows = rnnrt_cuda_pool_get_rows;
    t.pool_set_rows = rnnrt_cuda_pool_set_rows;
    t.model_memory = model_memory;
    t.session_memory = rnnrt_cuda_session_memory;
    t.device_alloc = rnnrt_cuda_device_alloc;
    t.device_free = rnnrt_cuda_device_free;
    t.host_alloc = rnnrt_cuda_host_alloc;
    t.host_free = rnnrt_cuda_host_free;
    t.copy = rnnrt_cuda_copy;
    t.stream_wait = rnnrt_cuda_stream_wait;
    t.sync = rnnrt_cuda_sync;
    t.stream_alloc = rnnrt_cuda_stream_alloc;
    t.stream_free = rnnrt_cuda_stream_free;
    return &t;
}

__attribute__((visibility("default"))) int32_t rnnrt_backend_get_api(uint32_t host_abi, const rnnrt_backend **out)
{
    static const rnnrt_backend *const api = table();
    if (host_abi >> 16 != RNNRT_ABI_MAJOR || !out)
        return RNNRT_EABI;
    *out = api;
    return RNNRT_OK;
}

} // extern "C"
