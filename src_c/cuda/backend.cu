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

/* ---- ops ---- */
#define RUNS(id) int32_t run_##id(const op_run &run, const rnnrt_op *op);
RUNS(CELL) RUNS(DENSE) RUNS(EMBEDDING) RUNS(ACTIVATION) RUNS(BATCH_NORMALIZATION) RUNS(REPEAT_VECTOR) RUNS(CAST) RUNS(COPY)
RUNS(NOT_EQUAL) RUNS(MASKING) RUNS(APPLY_MASK) RUNS(LOGICAL_AND) RUNS(LOGICAL_OR) RUNS(ONES_MASK) RUNS(REDUCE_MASK)
RUNS(CONCAT_MASKS) RUNS(CONV) RUNS(DEPTHWISE_CONV) RUNS(POOL) RUNS(GLOBAL_POOL) RUNS(ADD) RUNS(SUBTRACT) RUNS(MULTIPLY)
RUNS(DIVIDE) RUNS(AVERAGE) RUNS(MAXIMUM) RUNS(MINIMUM) RUNS(POWER) RUNS(COMPARE) RUNS(WHERE) RUNS(CONCATENATE) RUNS(DOT)
RUNS(UNARY) RUNS(FILL_LIKE) RUNS(REDUCE) RUNS(TRANSPOSE) RUNS(SLICE) RUNS(LAST_STEP) RUNS(PAD) RUNS(REPEAT)
RUNS(LAYER_NORMALIZATION) RUNS(UNIT_NORMALIZATION) RUNS(GROUP_NORMALIZATION) RUNS(NORMALIZATION) RUNS(RESCALING) RUNS(PRELU)
RUNS(SOFTMAX) RUNS(CATEGORY_ENCODING) RUNS(EINSUM_DENSE)
int64_t scratch_CELL(const rnnrt_sizes *s, const rnnrt_op *op);
int64_t scratch_DENSE(const rnnrt_sizes *s, const rnnrt_op *op);
int64_t scratch_CONV(const rnnrt_sizes *s, const rnnrt_op *op);

static int64_t none(const rnnrt_sizes *, const rnnrt_op *) { return 0; }

#define OF_THE_USER "a class of your own runs in Python, on the CPU only"

/* by the names of ops.def */
#define ENTRY_SIMPLE_RNN {run_CELL, NULL, scratch_CELL}
#define ENTRY_LSTM {run_CELL, NULL, scratch_CELL}
#define ENTRY_GRU {run_CELL, NULL, scratch_CELL}
#define ENTRY_DENSE {run_DENSE, NULL, scratch_DENSE}
#define ENTRY_EMBEDDING {run_EMBEDDING, NULL, none}
#define ENTRY_ACTIVATION {run_ACTIVATION, NULL, none}
#define ENTRY_BATCH_NORMALIZATION {run_BATCH_NORMALIZATION, NULL, none}
#define ENTRY_REPEAT_VECTOR {run_REPEAT_VECTOR, NULL, none}
#define ENTRY_CAST {run_CAST, NULL, none}
#define ENTRY_COPY {run_COPY, NULL, none}
#define ENTRY_NOT_EQUAL {run_NOT_EQUAL, NULL, none}
#define ENTRY_MASKING {run_MASKING, NULL, none}
#define ENTRY_APPLY_MASK {run_APPLY_MASK, NULL, none}
#define ENTRY_LOGICAL_AND {run_LOGICAL_AND, NULL, none}
#define ENTRY_LOGICAL_OR {run_LOGICAL_OR, NULL, none}
#define ENTRY_ONES_MASK {run_ONES_MASK, NULL, none}
#define ENTRY_REDUCE_MASK {run_REDUCE_MASK, NULL, none}
#define ENTRY_CONCAT_MASKS {run_CONCAT_MASKS, NULL, none}
#define ENTRY_CONV {run_CONV, NULL, scratch_CONV}
#define ENTRY_DEPTHWISE_CONV {run_DEPTHWISE_CONV, NULL, none}
#define ENTRY_POOL {run_POOL, NULL, none}
#define ENTRY_GLOBAL_POOL {run_GLOBAL_POOL, NULL, none}
#define ENTRY_ADD {run_ADD, NULL, none}
#define ENTRY_SUBTRACT {run_SUBTRACT, NULL, none}
#define ENTRY_MULTIPLY {run_MULTIPLY, NULL, none}
#define ENTRY_DIVIDE {run_DIVIDE, NULL, none}
#define ENTRY_AVERAGE {run_AVERAGE, NULL, none}
#define ENTRY_MAXIMUM {run_MAXIMUM, NULL, none}
#define ENTRY_MINIMUM {run_MINIMUM, NULL, none}
#define ENTRY_POWER {run_POWER, NULL, none}
#define ENTRY_COMPARE {run_COMPARE, NULL, none}
#define ENTRY_WHERE {run_WHERE, NULL, none}
#define ENTRY_CONCATENATE {run_CONCATENATE, NULL, none}
#define ENTRY_DOT {run_DOT, NULL, none}
#define ENTRY_UNARY {run_UNARY, NULL, none}
#define ENTRY_FILL_LIKE {run_FILL_LIKE, NULL, none}
#define ENTRY_REDUCE {run_REDUCE, NULL, none}
#define ENTRY_TRANSPOSE {run_TRANSPOSE, NULL, none}
#define ENTRY_SLICE {run_SLICE, NULL, none}
#define ENTRY_LAST_STEP {run_LAST_STEP, NULL, none}
#define ENTRY_PAD {run_PAD, NULL, none}
#define ENTRY_REPEAT {run_REPEAT, NULL, none}
#define ENTRY_LAYER_NORMALIZATION {run_LAYER_NORMALIZATION, NULL, none}
#define ENTRY_UNIT_NORMALIZATION {run_UNIT_NORMALIZATION, NULL, none}
#define ENTRY_GROUP_NORMALIZATION {run_GROUP_NORMALIZATION, NULL, none}
#define ENTRY_NORMALIZATION {run_NORMALIZATION, NULL, none}
#define ENTRY_RESCALING {run_RESCALING, NULL, none}
#define ENTRY_PRELU {run_PRELU, NULL, none}
#define ENTRY_SOFTMAX {run_SOFTMAX, NULL, none}
#define ENTRY_CATEGORY_ENCODING {run_CATEGORY_ENCODING, NULL, none}
#define ENTRY_HOST_CELL {NULL, OF_THE_USER, none}
#define ENTRY_HOST_LAYER {NULL, OF_THE_USER, none}
#define ENTRY_ATTENTION {NULL, "attention layers run on the CPU only", none}
#define ENTRY_EINSUM_DENSE {run_EINSUM_DENSE, NULL, none}
#define ENTRY_CONV_LSTM {NULL, "ConvLSTM runs on the CPU only", none}

static const op_entry entries[] = {
#define RNNRT_OP(id, name, cls) ENTRY_##id,
#include "../ops/ops.def"
#undef RNNRT_OP
};

static const rnnrt_op_class *const host_classes[] = {
#define RNNRT_OP(id, name, cls) &cls,
#include "../ops/ops.def"
#undef RNNRT_OP
};

static const op_entry *entry_of(int64_t kind) { return &entries[kind]; }

static int32_t run_on_device(const rnnrt_run *run, const rnnrt_op *op)
{
    const call_context *context = (const call_context *)run->host_context;
    op_run r;
    (rnnrt_run &)r = *run;
    r.stream = context->stream;
    r.gpu = &context->m->gpu;
    r.context = context;
    return entry_of(op->desc->kind)->run(r, op);
}

/* the host's checks, the device's scratch */
static int32_t size_on_device(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_op_class *host = host_classes[op->desc->kind];
    const int32_t rc = host->size ? host->size(s, op, scratch, cost, err) : RNNRT_OK;
    if (!rc)
        *scratch = entry_of(op->desc->kind)->scratch(s, op);
    return rc;
}

static rnnrt_op_class device_classes[RNNRT_OP_COUNT];

static void fill_classes()
{
    rnnrt_lock();
    for (int i = 0; i < RNNRT_OP_COUNT && !device_classes[i].run; i++) {
        rnnrt_op_class c = *host_classes[i];
        c.size = size_on_device;
        c.run = run_on_device;
        device_classes[i] = c;
    }
    rnnrt_unlock();
}

const rnnrt_op_class *class_of(int64_t kind) { return &device_classes[kind]; }

/* ---- what the device can do ---- */
static int32_t refuse(rnnrt_error *err, int64_t op, const char *why)
{
    fail(err, RNNRT_EUNSUPPORTED, "%s; use device='cpu'", why);
    err->op = (int32_t)op;
    return RNNRT_EUNSUPPORTED;
}

/* Ops whose arithmetic is written for every number type of theirs; all others compute in float32. */
static int any_number(int64_t kind)
{
    switch (kind) {
    case RNNRT_OP_EMBEDDING: case RNNRT_OP_CATEGORY_ENCODING: case RNNRT_OP_REPEAT_VECTOR: case RNNRT_OP_CAST: case RNNRT_OP_COPY:
    case RNNRT_OP_NOT_EQUAL: case RNNRT_OP_MASKING: case RNNRT_OP_APPLY_MASK: case RNNRT_OP_ONES_MASK: case RNNRT_OP_ADD:
    case RNNRT_OP_SUBTRACT: case RNNRT_OP_MULTIPLY: case RNNRT_OP_DIVIDE: case RNNRT_OP_AVERAGE: case RNNRT_OP_MAXIMUM:
    case RNNRT_OP_MINIMUM: case RNNRT_OP_POWER: case RNNRT_OP_COMPARE: case RNNRT_OP_WHERE: case RNNRT_OP_CONCATENATE:
    case RNNRT_OP_DOT: case RNNRT_OP_UNARY: case RNNRT_OP_FILL_LIKE: case RNNRT_OP_REDUCE: case RNNRT_OP_TRANSPOSE:
    case RNNRT_OP_SLICE: case RNNRT_OP_LAST_STEP: case RNNRT_OP_PAD: case RNNRT_OP_REPEAT: return 1;
    default: return 0;
    }
}

static int within(int64_t start, int64_t n, int64_t limit) { return n >= 0 && start >= 0 && n <= limit && start <= limit - n; }

/* The plan is not checked yet: what lies outside its tables is left to model_create to refuse. */
int32_t supports(const rnnrt_plan *p, rnnrt_error *err)
{
    for (int64_t i = 0; i < p->n_ops; i++) {
        const rnnrt_plan_op *o = &p->ops[i];
        if (o->kind < 0 || o->kind >= RNNRT_OP_COUNT)
            return refuse(err, i, "an op that this plugin does not know");
        const op_entry *e = entry_of(o->kind);
        if (!e->run)
            return refuse(err, i, e->refusal);
        for (int64_t k = 0; within(o->weight, o->n_weight, p->n_refs) && k < o->n_weight; k++) {
            const int64_t w = p->refs[o->weight + k];
            if (w < 0 || w >= p->n_weights)
                continue;
            if (p->weights[w].dtype == RNNRT_I8)
                return refuse(err, i, "int8 weights run on the CPU only");
            if (p->weights[w].dtype == RNNRT_F64)
                return refuse(err, i, "float64 weights run on the CPU only");
        }
        if (any_number(o->kind) || !within(o->in, o->n_in, p->n_refs) || o->n_in < 1)
            continue;
        const int64_t t = p->refs[o->in];
        if (t >= 0 && t < p->n_tensors && p->tensors[t].dtype == RNNRT_F64)
            return refuse(err, i, "float64 runs on the CPU only");
    }
    return RNNRT_OK;
}

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
    return &t;
}

__attribute__((visibility("default"))) int32_t rnnrt_backend_get_api(uint32_t host_abi, const rnnrt_backend **out)
{
    static const rnnrt_backend *const api = (fill_classes(), table());
    if (host_abi >> 16 != RNNRT_ABI_MAJOR || !out)
        return RNNRT_EABI;
    *out = api;
    return RNNRT_OK;
}

} // extern "C"
