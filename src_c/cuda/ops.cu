/* The ops by kind: which run on the device, what each brings beside the host's checks, which are refused and why. */
#include "plugin.cuh"

namespace rnnrt_cuda {

#define RUNS(id) int32_t run_##id(const op_run &run, const rnnrt_op *op);
RUNS(ACTIVATION) RUNS(ADD) RUNS(APPLY_MASK) RUNS(AVERAGE) RUNS(BATCH_NORMALIZATION) RUNS(CAST) RUNS(CATEGORY_ENCODING)
RUNS(CELL) RUNS(COMPARE) RUNS(CONCATENATE) RUNS(CONCAT_MASKS) RUNS(CONV) RUNS(COPY) RUNS(DENSE) RUNS(DEPTHWISE_CONV)
RUNS(DIVIDE) RUNS(DOT) RUNS(EINSUM_DENSE) RUNS(EMBEDDING) RUNS(FILL_LIKE) RUNS(GLOBAL_POOL) RUNS(GROUP_NORMALIZATION)
RUNS(LAST_STEP) RUNS(LAYER_NORMALIZATION) RUNS(LOGICAL_AND) RUNS(LOGICAL_OR) RUNS(MASKING) RUNS(MAXIMUM) RUNS(MINIMUM)
RUNS(MULTIPLY) RUNS(NORMALIZATION) RUNS(NOT_EQUAL) RUNS(ONES_MASK) RUNS(PAD) RUNS(POOL) RUNS(POWER) RUNS(PRELU)
RUNS(REDUCE) RUNS(REDUCE_MASK) RUNS(REPEAT) RUNS(REPEAT_VECTOR) RUNS(RESCALING) RUNS(SLICE) RUNS(SOFTMAX) RUNS(SUBTRACT)
RUNS(TRANSPOSE) RUNS(UNARY) RUNS(UNIT_NORMALIZATION) RUNS(WHERE)
int32_t size_DENSE(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err);
int32_t size_DOT(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err);
int64_t scratch_CONV(const rnnrt_sizes *s, const rnnrt_op *op);
int32_t size_CELL(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err);
int64_t packed_bytes_CELL(const rnnrt_plan_view *p, const rnnrt_op *op);
void pack_CELL(const rnnrt_plan_view *p, const rnnrt_op *op, void *packed);
int64_t packed_bytes_PRODUCT(const rnnrt_plan_view *p, const rnnrt_op *op);
void pack_PRODUCT(const rnnrt_plan_view *p, const rnnrt_op *op, void *packed);

#define CELL {run_CELL, NULL, NULL, size_CELL, packed_bytes_CELL, pack_CELL}
#define PLAIN(id) {run_##id, NULL, NULL, NULL, NULL, NULL}
#define PRODUCT(id, scratch, size) {run_##id, NULL, scratch, size, packed_bytes_PRODUCT, pack_PRODUCT}
#define REFUSED(why) {NULL, why, NULL, NULL, NULL, NULL}
#define OF_THE_USER "a class of your own runs in Python, on the CPU only"

/* by the names of ops.def */
#define ENTRY_SIMPLE_RNN CELL
#define ENTRY_LSTM CELL
#define ENTRY_GRU CELL
#define ENTRY_DENSE PRODUCT(DENSE, NULL, size_DENSE)
#define ENTRY_EMBEDDING PLAIN(EMBEDDING)
#define ENTRY_ACTIVATION PLAIN(ACTIVATION)
#define ENTRY_BATCH_NORMALIZATION PLAIN(BATCH_NORMALIZATION)
#define ENTRY_REPEAT_VECTOR PLAIN(REPEAT_VECTOR)
#define ENTRY_CAST PLAIN(CAST)
#define ENTRY_COPY PLAIN(COPY)
#define ENTRY_NOT_EQUAL PLAIN(NOT_EQUAL)
#define ENTRY_MASKING PLAIN(MASKING)
#define ENTRY_APPLY_MASK PLAIN(APPLY_MASK)
#define ENTRY_LOGICAL_AND PLAIN(LOGICAL_AND)
#define ENTRY_LOGICAL_OR PLAIN(LOGICAL_OR)
#define ENTRY_ONES_MASK PLAIN(ONES_MASK)
#define ENTRY_REDUCE_MASK PLAIN(REDUCE_MASK)
#define ENTRY_CONCAT_MASKS PLAIN(CONCAT_MASKS)
#define ENTRY_CONV PRODUCT(CONV, scratch_CONV, NULL)
#define ENTRY_DEPTHWISE_CONV PLAIN(DEPTHWISE_CONV)
#define ENTRY_POOL PLAIN(POOL)
#define ENTRY_GLOBAL_POOL PLAIN(GLOBAL_POOL)
#define ENTRY_ADD PLAIN(ADD)
#define ENTRY_SUBTRACT PLAIN(SUBTRACT)
#define ENTRY_MULTIPLY PLAIN(MULTIPLY)
#define ENTRY_DIVIDE PLAIN(DIVIDE)
#define ENTRY_AVERAGE PLAIN(AVERAGE)
#define ENTRY_MAXIMUM PLAIN(MAXIMUM)
#define ENTRY_MINIMUM PLAIN(MINIMUM)
#define ENTRY_POWER PLAIN(POWER)
#define ENTRY_COMPARE PLAIN(COMPARE)
#define ENTRY_WHERE PLAIN(WHERE)
#define ENTRY_CONCATENATE PLAIN(CONCATENATE)
#define ENTRY_DOT {run_DOT, NULL, NULL, size_DOT, NULL, NULL}
#define ENTRY_UNARY PLAIN(UNARY)
#define ENTRY_FILL_LIKE PLAIN(FILL_LIKE)
#define ENTRY_REDUCE PLAIN(REDUCE)
#define ENTRY_TRANSPOSE PLAIN(TRANSPOSE)
#define ENTRY_SLICE PLAIN(SLICE)
#define ENTRY_LAST_STEP PLAIN(LAST_STEP)
#define ENTRY_PAD PLAIN(PAD)
#define ENTRY_REPEAT PLAIN(REPEAT)
#define ENTRY_LAYER_NORMALIZATION PLAIN(LAYER_NORMALIZATION)
#define ENTRY_UNIT_NORMALIZATION PLAIN(UNIT_NORMALIZATION)
#define ENTRY_GROUP_NORMALIZATION PLAIN(GROUP_NORMALIZATION)
#define ENTRY_NORMALIZATION PLAIN(NORMALIZATION)
#define ENTRY_RESCALING PLAIN(RESCALING)
#define ENTRY_PRELU PLAIN(PRELU)
#define ENTRY_SOFTMAX PLAIN(SOFTMAX)
#define ENTRY_CATEGORY_ENCODING PLAIN(CATEGORY_ENCODING)
#define ENTRY_HOST_CELL REFUSED(OF_THE_USER)
#define ENTRY_HOST_LAYER REFUSED(OF_THE_USER)
#define ENTRY_ATTENTION REFUSED("attention layers run on the CPU only")
#define ENTRY_EINSUM_DENSE PRODUCT(EINSUM_DENSE, NULL, NULL)
#define ENTRY_CONV_LSTM REFUSED("ConvLSTM runs on the CPU only")

static const op_entry entries[] = {
#define RNNRT_OP(id, name, cls) ENTRY_##id,
#include "../ops/ops.def"
#undef RNNRT_OP
};

const op_entry *entry_of(int64_t kind) { return &entries[kind]; }

static int32_t run_on_device(const rnnrt_run *run, const rnnrt_op *op)
{
    const call_context *context = (const call_context *)run->host_context;
    op_run r;
    (rnnrt_run &)r = *run;
    r.stream = context->stream;
    r.gpu = &context->m->gpu;
    r.context = context;
    const int32_t rc = entry_of(op->desc->kind)->run(r, op);
    return rc || !run->op_ns ? rc : check(cudaStreamSynchronize(r.stream), "timing an op", run->err);
}

/* the host's checks, the device's scratch */
static int32_t size_on_device(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const op_entry *e = entry_of(op->desc->kind);
    if (e->size)
        return e->size(s, op, scratch, cost, err);
    const rnnrt_op_class *host = rnnrt_host_classes[op->desc->kind];
    const int32_t rc = host->size ? host->size(s, op, scratch, cost, err) : RNNRT_OK;
    if (!rc)
        *scratch = e->scratch ? e->scratch(s, op) : 0;
    return rc;
}

struct class_list {
    rnnrt_op_class made[RNNRT_OP_COUNT];
    const rnnrt_op_class *by_kind[RNNRT_OP_COUNT];

    class_list()
    {
        for (int i = 0; i < RNNRT_OP_COUNT; i++) {
            made[i] = *rnnrt_host_classes[i];
            made[i].size = size_on_device;
            made[i].run = run_on_device;
            if (entries[i].packed_bytes) {
                made[i].prepared_bytes = entries[i].packed_bytes;
                made[i].prepare = entries[i].pack;
            }
            by_kind[i] = &made[i];
        }
    }
};

const rnnrt_op_class *const *device_classes()
{
    static const class_list list;
    return list.by_kind;
}

/* ---- what the device can do ---- */
static int32_t refuse(rnnrt_error *err, int64_t op, const char *why)
{
    fail(err, RNNRT_EUNSUPPORTED, "%s", why);
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

} // namespace rnnrt_cuda
