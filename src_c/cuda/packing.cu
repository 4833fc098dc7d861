/* The kernel table with which the host's op records pack weights for the device. It packs and gives sizes, no more: its
 * functions run when a model is made or bound, on the host. Halves become floats here; int8 and float64 are refused
 * before. The file on disk stays canonical, and so do the host's checks.
 *
 * dense: kernel (inputs, outputs) row-major | bias, zeros where there is none; each part a multiple of 64 bytes.
 * cells: as recurrent_pack has it. */
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

static int gates_of(const rnnrt_cell *c) { return c->kind == RNNRT_CELL_LSTM ? 4 : c->kind == RNNRT_CELL_GRU ? 3 : 1; }

static rnnrt::recurrent_cell cell_of(const rnnrt_cell *c)
{
    rnnrt::recurrent_cell r = {};
    r.kind = c->kind;
    r.reset_after = c->reset_after;
    r.units = c->units;
    r.features = c->features;
    r.activation = c->activation;
    r.recurrent_activation = c->recurrent_activation;
    return r;
}

static void cell_sizes(const rnnrt_cell *c, rnnrt_cell_sizes *out)
{
    *out = {};
    out->packed_bytes = rnnrt::recurrent_packed_floats(cell_of(c)) * (int64_t)sizeof(float);
    out->z_width = 16;
}

static void cell_pack(const rnnrt_cell *c, const rnnrt_cell_weights *w, void *packed)
{
    const int64_t columns = gates_of(c) * c->units, kernel = c->features * columns, recurrent = c->units * columns;
    if (w->dtype != RNNRT_F16) {
        rnnrt::recurrent_pack(cell_of(c), (const float *)w->kernel, (const float *)w->recurrent, w->bias, (float *)packed);
        return;
    }
    float *wide = (float *)rnnrt_alloc((size_t)(kernel + recurrent) * sizeof(float));
    if (!wide) {
        out_of_memory = true;
        return;
    }
    widen(RNNRT_F16, kernel, w->kernel, wide);
    widen(RNNRT_F16, recurrent, w->recurrent, wide + kernel);
    rnnrt::recurrent_pack(cell_of(c), wide, wide + kernel, w->bias, (float *)packed);
    rnnrt_free(wide);
}

/* the ops' own sizes on the device are in their entries (backend.cu) */
static int64_t cell_scratch_bytes(const rnnrt_cell *, int64_t) { return 0; }
static int64_t dense_blocks(const rnnrt_dense *) { return 1; }

void device_table_make(device_table *t, const device_facts &gpu, int32_t math)
{
    t->name = "cuda";
    t->vector_floats = 32;       /* the host's estimates divide by it */
    t->cell_sizes = cell_sizes;
    t->cell_pack = cell_pack;
    t->cell_scratch_bytes = cell_scratch_bytes;
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
