/* A model on a device: the host's checked program, its packed weights uploaded once. */
#include "lanes.cuh"

extern "C" {
#include "entries.h"
}

#include <string.h>
#include <unistd.h>

namespace rnnrt_cuda {

int32_t usable(model *m, rnnrt_error *err)
{
    if (m->owner != getpid())
        return fail(err, RNNRT_EDEVICE, "a model on the GPU does not survive fork(); load it in the child, or start "
                                        "workers with the method 'spawn'");
    const int32_t dead = __atomic_load_n(&m->dead, __ATOMIC_RELAXED);
    if (dead) {
        fail(err, RNNRT_EDEVICE, "the GPU was lost to this process by an earlier error: %s (CUDA error %d); restart it, and look "
                                 "for the cause with compute-sanitizer", cudaGetErrorString((cudaError_t)dead), (int)dead);
        err->device_code = dead;
        return RNNRT_EDEVICE;
    }
    return RNNRT_OK;
}

int32_t failed(model *m, rnnrt_error *err)
{
    why_no_memory(err);
    if (err->code == RNNRT_EDEVICE && loses_context(err->device_code))
        __atomic_store_n(&m->dead, err->device_code, __ATOMIC_RELAXED);
    return err->code;
}

void retain(model *m) { __atomic_fetch_add(&m->references, 1, __ATOMIC_RELAXED); }

void release(model *m)
{
    if (!m || __atomic_fetch_sub(&m->references, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    if (m->owner == getpid()) { /* a child of fork() cannot free what its parent holds */
        rnnrt_error err = {};
        device_guard guard;
        guard.enter(m->gpu.device, &err);
        while (m->free_lanes) {
            lane *l = m->free_lanes;
            m->free_lanes = l->next;
            lane_free(l);
        }
        device_heap.release(m->weights);
    }
    rnnrt_program_release(m->program);
    rnnrt_free(m);
}

/* The packed weights move to the device, the ops point at them there. */
static int32_t upload(model *m, rnnrt_error *err)
{
    rnnrt_model *p = m->program;
    m->weight_bytes = p->prepared_bytes;
    m->weights = (char *)device_heap.alloc((size_t)p->prepared_bytes);
    if (!m->weights) {
        rnnrt_fail(err, RNNRT_ENOMEM, -1, p->prepared_bytes, 0);
        return RNNRT_ENOMEM;
    }
    if (p->prepared_bytes) {
        int32_t rc = check(cudaMemcpy(m->weights, p->prepared, (size_t)p->prepared_bytes, cudaMemcpyHostToDevice),
                                 "copying the weights", err);
        if (rc || (rc = check(cudaStreamSynchronize(0), "copying the weights", err)))
            return rc;
    }
    for (int64_t i = 0; i < p->plan.n_ops; i++) {
        rnnrt_op *op = &p->ops[i];
        if (op->prepared)
            op->prepared = m->weights + ((char *)op->prepared - p->prepared);
    }
    rnnrt_free(p->prepared);
    p->prepared = NULL;
    return RNNRT_OK;
}

static int32_t create(const rnnrt_plan *plan, const rnnrt_model_options *opt, model *m, rnnrt_error *err)
{
    int32_t rc = device_facts_of(opt ? opt->device : 0, &m->gpu, err);
    if (rc || (rc = supports(plan, err)))
        return rc;
    device_guard guard;
    if ((rc = guard.enter(m->gpu.device, err)))
        return rc;
    const int32_t math = opt && RNNRT_HAS(opt, rnnrt_model_options, math) ? opt->math : RNNRT_MATH_FP32;
    if ((rc = device_table_make(&m->table, m->gpu.device, math, err)))
        return rc;
    packing_failed();
    const rnnrt_target target = {&m->table, device_classes(), &device_heap};
    if ((rc = rnnrt_program_make(plan, &target, &m->program, err)))
        return rc;
    if (packing_failed())
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, 0, 0);
    for (int64_t i = 0; i < plan->n_ops; i++)
        m->finds |= plan->ops[i].kind == RNNRT_OP_EMBEDDING || plan->ops[i].kind == RNNRT_OP_CATEGORY_ENCODING;
    for (int64_t i = 0; i < plan->n_states; i++)
        m->restarts |= plan->states[i].restart != 0;
    return upload(m, err);
}

} // namespace rnnrt_cuda

using namespace rnnrt_cuda;

extern "C" int32_t rnnrt_cuda_model_create(const rnnrt_plan *plan, const rnnrt_model_options *opt, rnnrt_model **out,
                                           rnnrt_error *err)
{
    model *m = (model *)rnnrt_alloc_zero(sizeof *m);
    if (!m)
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, (int64_t)sizeof *m, 0);
    m->references = 1;
    m->owner = getpid();
    const int32_t rc = create(plan, opt, m, err);
    if (rc) {
        release(m);
        return why_no_memory(err);
    }
    *out = (rnnrt_model *)m;
    return RNNRT_OK;
}
