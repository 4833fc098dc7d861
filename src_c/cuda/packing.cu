/* The kernel table with which the host's op records pack weights for the device. It packs and gives sizes, no more: its
 * functions run when a model is made or bound, on the host. Halves become floats here; int8 and float64 are refused
 * before. Cells are packed in cells.cu.
 *
 * dense: kernel (inputs, outputs) row-major | bias, zeros where there is none; each part a multiple of 64 bytes. */
#include "plugin.cuh"

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

static int64_t dense_kernel_bytes(const rnnrt_dense *d) { return rnnrt_round64(d->inputs * d->outputs * (int64_t)sizeof(float)); }

static int64_t dense_packed_bytes(const rnnrt_dense *d)
{
    return dense_kernel_bytes(d) + rnnrt_round64(d->outputs * (int64_t)sizeof(float));
}

static void dense_pack(const rnnrt_dense *d, const void *kernel, const float *bias, const float *scales, void *packed)
{
    (void)scales;
    memset(packed, 0, (size_t)dense_packed_bytes(d));
    widen(d->dtype, d->inputs * d->outputs, kernel, (float *)packed);
    if (bias)
        memcpy((char *)packed + dense_kernel_bytes(d), bias, (size_t)d->outputs * sizeof(float));
}

static int64_t dense_blocks(const rnnrt_dense *) { return 1; }

void device_table_make(device_table *t, const device_facts &gpu, int32_t math)
{
    t->name = "cuda";
    t->vector_floats = 32;       /* the host's estimates divide by it */
    t->dense_packed_bytes = dense_packed_bytes;
    t->dense_pack = dense_pack;
    t->dense_blocks = dense_blocks;
    t->half = t;
    t->gpu = {gpu.capability, gpu.sms, gpu.shared_optin};
    t->math = math == RNNRT_MATH_TF32 ? rnnrt::MATH_TF32 : rnnrt::MATH_FP32;
}

} // namespace rnnrt_cuda

/* What the host's program_create would choose from; the plugin makes programs with a table of its own. */
extern "C" const rnnrt_kernels *rnnrt_kernel_table(const char *name)
{
    (void)name;
    return NULL;
}
