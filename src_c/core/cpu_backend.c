/* The CPU executor as one more backend. */
#include <stdio.h>
#include <string.h>

#include "kernel_table.h"
#include "lock.h"
#include "program.h"

static int32_t device_count(rnnrt_error *err)
{
    (void)err;
    return 1;
}

static int32_t device_info(int32_t device, rnnrt_device_info *out, rnnrt_error *err)
{
    if (device != 0 || !RNNRT_HAS(out, rnnrt_device_info, memory_bytes))
        return rnnrt_fail(err, RNNRT_EINVAL, -1, device, 0);
    rnnrt_device_info mine = {.place = RNNRT_ON_CPU};
    size_t head = offsetof(rnnrt_device_info, name), whole = out->struct_size < sizeof mine ? out->struct_size : sizeof mine;
    snprintf(mine.name, sizeof mine.name, "cpu (%s)", rnnrt_kernel_default());
    memcpy((char *)out + head, (char *)&mine + head, whole - head);
    return RNNRT_OK;
}

static int32_t supports(const rnnrt_plan *plan, rnnrt_error *err)
{
    for (int64_t i = 0; i < plan->n_ops; i++)
        if (plan->ops[i].kind < 0 || plan->ops[i].kind >= RNNRT_OP_COUNT)
            return rnnrt_fail(err, RNNRT_EUNSUPPORTED, (int32_t)i, plan->ops[i].kind, 0);
    return RNNRT_OK;
}

static int64_t measure(rnnrt_model *m, const int64_t *symbols, int want_cost, rnnrt_error *err)
{
    int64_t bytes = 0, cost = 0;
    return rnnrt_workspace_measure(m, symbols, &bytes, &cost, err) ? 0 : want_cost ? cost : bytes;
}

static int64_t model_workspace(rnnrt_model *m, const int64_t *symbols, rnnrt_error *err)
{
    return measure(m, symbols, 0, err);
}

static int64_t model_cost(rnnrt_model *m, const int64_t *symbols, rnnrt_error *err) { return measure(m, symbols, 1, err); }

static int32_t model_memory(rnnrt_model *m, rnnrt_memory *out, rnnrt_error *err)
{
    if (!RNNRT_HAS(out, rnnrt_memory, kept))
        return rnnrt_fail(err, RNNRT_EINVAL, -1, out->struct_size, 0);
    out->place = RNNRT_ON_CPU;
    out->weights = m->prepared_bytes;
    out->kept = 0;
    rnnrt_lock();
    for (const rnnrt_workspace *ws = m->free_list; ws; ws = ws->next)
        out->kept += ws->arena_bytes + ws->rows_bytes;
    rnnrt_unlock();
    return RNNRT_OK;
}

static int32_t host_alloc(int64_t bytes, void **out, rnnrt_error *err)
{
    *out = bytes >= 0 ? rnnrt_alloc((size_t)bytes) : NULL;
    return *out ? RNNRT_OK : rnnrt_fail(err, RNNRT_ENOMEM, -1, bytes, 0);
}

static int32_t device_alloc(int32_t device, int64_t bytes, void **out, rnnrt_error *err)
{
    return device == 0 ? host_alloc(bytes, out, err) : rnnrt_fail(err, RNNRT_EINVAL, -1, device, 0);
}

static void device_free(int32_t device, void *memory)
{
    (void)device;
    rnnrt_free(memory);
}

static int32_t copy(int32_t device, void *to, int32_t to_place, const void *from, int32_t from_place, int64_t bytes, void *stream,
                    rnnrt_error *err)
{
    (void)stream;
    if (device != 0 || to_place == RNNRT_ON_CUDA || from_place == RNNRT_ON_CUDA || bytes < 0)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, device, bytes);
    if (bytes)
        memmove(to, from, (size_t)bytes);
    return RNNRT_OK;
}

/* nothing is queued: whatever was asked for is done */
static int32_t stream_wait(int32_t device, void *waiter, void *before, rnnrt_error *err)
{
    (void)waiter, (void)before;
    return device == 0 ? RNNRT_OK : rnnrt_fail(err, RNNRT_EINVAL, -1, device, 0);
}

static int32_t sync(int32_t device, void *stream, rnnrt_error *err) { return stream_wait(device, stream, NULL, err); }

static const rnnrt_backend cpu = {
    .struct_size = sizeof(rnnrt_backend),
    .abi = RNNRT_ABI,
    .name = "cpu",
    .build_info = __VERSION__,
    .device_count = device_count,
    .device_info = device_info,
    .supports = supports,
    .model_create = rnnrt_program_create,
    .model_release = rnnrt_program_release,
    .model_run = rnnrt_model_run_cpu,
    .model_workspace = model_workspace,
    .model_cost = model_cost,
    .session_create = rnnrt_session_create_cpu,
    .session_release = rnnrt_session_release_cpu,
    .session_run = rnnrt_session_run_cpu,
    .session_get_rows = rnnrt_session_get_rows_cpu,
    .session_set_rows = rnnrt_session_set_rows_cpu,
    .pool_create = rnnrt_pool_create_cpu,
    .pool_release = rnnrt_pool_release_cpu,
    .pool_reserve = rnnrt_pool_reserve_cpu,
    .pool_run = rnnrt_pool_run_cpu,
    .pool_get_rows = rnnrt_pool_get_rows_cpu,
    .pool_set_rows = rnnrt_pool_set_rows_cpu,
    .model_memory = model_memory,
    .session_memory = rnnrt_session_memory_cpu,
    .device_alloc = device_alloc,
    .device_free = device_free,
    .host_alloc = host_alloc,
    .host_free = rnnrt_free,
    .copy = copy,
    .stream_wait = stream_wait,
    .sync = sync,
};

const rnnrt_backend *rnnrt_cpu_backend(void) { return &cpu; }
