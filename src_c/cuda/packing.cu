/* Weights as the device reads them, made on the host when a model is made: halves become floats; int8 and float64 are
 * refused before. Recurrent layers are packed in cells.cu; constants of elementwise layers by the host's own functions. */
#include "plugin.cuh"

extern "C" {
#include "../ops/axis_run.h"
}

#include "../kernels/half.h"

#include <string.h>

namespace rnnrt_cuda {

static thread_local bool out_of_memory;

bool packing_failed()
{
    const bool was = out_of_memory;
    out_of_memory = false;
    return was;
}

static void widen(int32_t dtype, int64_t n, const void *from, float *to)
{
    if (dtype == RNNRT_F16)
        for (int64_t i = 0; i < n; i++)
            to[i] = rnnrt_half(((const uint16_t *)from)[i]);
    else
        memcpy(to, from, (size_t)n * sizeof(float));
}

const float *widened(int32_t dtype, int64_t n, const void *from, float **made)
{
    *made = NULL;
    if (dtype != RNNRT_F16)
        return (const float *)from;
    *made = (float *)rnnrt_alloc((size_t)n * sizeof(float));
    if (*made)
        widen(dtype, n, from, *made);
    else
        out_of_memory = true;
    return *made;
}

/* ---- dense, einsum_dense, conv: kernel as it is | bias for each output, zeros where there is none ---- */
static int64_t elements_of(const rnnrt_plan *p, int64_t weight)
{
    int64_t n = 1;
    for (int64_t i = 0; i < p->weights[weight].rank; i++)
        n *= p->weights[weight].dims[i];
    return n;
}

static int64_t outputs_of(const rnnrt_plan *p, const rnnrt_op *op)
{
    switch (op->desc->kind) {
    case RNNRT_OP_DENSE: return op->attr[1];
    case RNNRT_OP_CONV: return op->attr[RNNRT_WINDOW_ATTRS + 1];
    default: { /* einsum_dense: the new axes */
        const int64_t rank = p->tensors[op->out[0]].rank;
        return rnnrt_axes_known(p, op->out[0], rank - op->attr[1], rank - 1);
    }
    }
}

int64_t packed_bytes_PRODUCT(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return rnnrt_round64(elements_of(v->plan, op->weight[0]) * 4) + rnnrt_round64(outputs_of(v->plan, op) * 4);
}

void pack_PRODUCT(const rnnrt_plan_view *v, const rnnrt_op *op, void *packed)
{
    const rnnrt_plan *p = v->plan;
    const int64_t n = elements_of(p, op->weight[0]), outputs = outputs_of(p, op);
    float *bias = (float *)((char *)packed + rnnrt_round64(n * 4));
    memset(packed, 0, (size_t)packed_bytes_PRODUCT(v, op));
    widen((int32_t)p->weights[op->weight[0]].dtype, n, p->weight_data[op->weight[0]], (float *)packed);
    if (op->weight[1] < 0)
        return;
    const int64_t given = elements_of(p, op->weight[1]); /* of an einsum: maybe of the last of the new axes only */
    for (int64_t i = 0; i < outputs; i++)
        bias[i] = ((const float *)p->weight_data[op->weight[1]])[i % given];
}

int32_t device_table_make(device_table *t, int32_t device, int32_t math, rnnrt_error *err)
{
    t->name = "cuda";
    t->vector_floats = 32;       /* the host's estimates divide by it */
    t->half = t;                 /* checks ask whether there is one */
    t->math = math == RNNRT_MATH_TF32 ? rnnrt::MATH_TF32 : rnnrt::MATH_FP32;
    return check(rnnrt::recurrent_device_of(device, &t->gpu), "asking the device", err);
}

} // namespace rnnrt_cuda

/* What the host's program_create would choose from; the plugin makes programs with a table of its own. */
extern "C" const rnnrt_kernels *rnnrt_kernel_table(const char *name)
{
    (void)name;
    return NULL;
}
