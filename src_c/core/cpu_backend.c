/* The CPU executor as one more backend. */
#include <stdio.h>
#include <string.h>

#include "kernel_table.h"
#include "program.h"

static int32_t device_count(rnnrt_error *err)
{
    (void)err;
    return 1;
}

static int32_t device_info(int32_t device, rnnrt_device_info *out, rnnrt_error *err)
{
    if (device != 0 || out->struct_size < sizeof *out)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, device, 0);
    memset(out->name, 0, sizeof out->name);
    snprintf(out->name, sizeof out->name, "cpu (%s)", rnnrt_kernel_default());
    out->memory_bytes = 0;
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
};

const rnnrt_backend *rnnrt_cpu_backend(void) { return &cpu; }
