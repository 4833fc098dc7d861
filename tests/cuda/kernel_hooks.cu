/* The product and the recurrent layers, called with arrays of the host: what test_kernels.py loads. */
#include <stdlib.h>

#include <vector>

#include "cuda/device.cuh"
#include "cuda/recurrent.cuh"

using namespace rnnrt;

#define HOOK extern "C" __attribute__((visibility("default")))

int rnnrt_planted = -1;

/* The bugs that can be planted, each name followed by a blank. */
HOOK const char *rnnrt_test_mutants()
{
#define NAME(name) #name " "
    return RNNRT_MUTANTS(NAME);
}
HOOK void rnnrt_test_plant(int mutant) { rnnrt_planted = mutant; }

namespace {

/* Device copies of host arrays, freed together; a copy back only where asked for. */
struct arena {
    std::vector<void *> held;
    cudaError_t e = cudaSuccess;
    template <class T> T *take(const T *host, size_t n)
    {
        void *p = nullptr;
        if (!host || e)
            return nullptr;
        e = cudaMalloc(&p, n * sizeof(T) + 16);
        if (!e)
            held.push_back(p), e = cudaMemcpy(p, host, n * sizeof(T), cudaMemcpyHostToDevice);
        return (T *)p;
    }
    template <class T> void back(T *host, const T *p, size_t n)
    {
        if (host && !e)
            e = cudaMemcpy(host, p, n * sizeof(T), cudaMemcpyDeviceToHost);
    }
    ~arena()
    {
        for (void *p : held)
            cudaFree(p);
    }
};

} // namespace

/* sizes: rows inner n k batches x_outer x_inner w_stride y_outer y_inner x_batch w_batch y_batch transposed accumulate
 * math; offsets in floats into the three arrays; floats of each. */
HOOK int rnnrt_test_gemm(const int64_t *s, const float *x, int64_t x_at, int64_t x_floats, const float *w, int64_t w_floats,
                         const float *bias, float *y, int64_t y_at, int64_t y_floats, int act, const float *act_param)
{
    arena mem;
    gemm_args a = {};
    a.rows = s[0], a.inner = s[1], a.n = s[2], a.k = s[3], a.batches = s[4];
    a.x_outer = s[5], a.x_inner = s[6], a.w_stride = s[7], a.y_outer = s[8], a.y_inner = s[9];
    a.x_batch = s[10], a.w_batch = s[11], a.y_batch = s[12];
    a.w_transposed = s[13] != 0, a.accumulate = s[14] != 0;
    a.activation.kind = act;
    for (int i = 0; i < 3; i++)
        a.activation.param[i] = act_param[i];
    const float *dx = mem.take(x, (size_t)x_floats);
    float *dy = mem.take(y, (size_t)y_floats);
    a.x = dx ? dx + x_at : nullptr;
    a.w = mem.take(w, (size_t)w_floats);
    a.bias = mem.take(bias, (size_t)a.n);
    a.y = dy ? dy + y_at : nullptr;
    cudaStream_t stream = nullptr;
    if (!mem.e)
        mem.e = cudaStreamCreate(&stream);
    if (!mem.e)
        mem.e = gemm(a, (math_mode)s[15], stream);
    if (stream && !mem.e)
        mem.e = cudaStreamSynchronize(stream);
    mem.back(y, dy, (size_t)y_floats);
    if (stream)
        cudaStreamDestroy(stream);
    return mem.e;
}

/* sizes: kind reset_after units features batch steps reverse_in reverse_out sequences zero_masked row_stride path math;
 * rows: the states, row_stride floats each, h | c where LSTM | has_output. */
HOOK int rnnrt_test_recurrent(const int64_t *s, const int *acts, const float *params, const float *kernel,
                              const float *recurrent, const float *bias, const float *x, const uint8_t *mask, float *rows,
                              float *y, int64_t y_floats)
{
    arena mem;
    recurrent_args a = {};
    a.cell.kind = (int32_t)s[0], a.cell.reset_after = (int32_t)s[1], a.cell.units = s[2], a.cell.features = s[3];
    a.batch = s[4], a.steps = s[5];
    a.reverse_in = s[6], a.reverse_out = s[7], a.sequences = s[8], a.zero_masked = s[9];
    a.row_stride = s[10], a.path = (recurrent_path)s[11], a.math = (math_mode)s[12];
    a.cell.activation.kind = acts[0], a.cell.recurrent_activation.kind = acts[1];
    for (int i = 0; i < 3; i++)
        a.cell.activation.param[i] = params[i], a.cell.recurrent_activation.param[i] = params[3 + i];
    const int64_t u = a.cell.units;
    std::vector<float> packed((size_t)recurrent_packed_floats(a.cell));
    recurrent_pack(a.cell, kernel, recurrent, bias, packed.data());
    recurrent_device d = {};
    mem.e = recurrent_device_of(0, &d);
    a.packed = mem.take(packed.data(), packed.size());
    a.x = mem.take(x, (size_t)(a.batch * a.steps * a.cell.features));
    a.x_batch = a.steps * a.cell.features, a.x_step = a.cell.features;
    a.y = mem.take(y, (size_t)y_floats);
    a.y_batch = a.sequences ? a.steps * u : u, a.y_step = u;
    a.mask = mem.take(mask, (size_t)(a.batch * a.steps));
    a.mask_batch = a.steps;
    float *state = mem.take(rows, (size_t)(a.batch * a.row_stride));
    a.h = state, a.c = a.cell.kind == RNNRT_CELL_LSTM ? state + u : nullptr;
    a.has_output = (int32_t *)(state + (a.cell.kind == RNNRT_CELL_LSTM ? 2 : 1) * u);
    void *scratch = nullptr;
    if (!mem.e)
        mem.e = cudaMalloc(&scratch, recurrent_scratch_bytes(a, d));
    mem.held.push_back(scratch);
    a.scratch = scratch;
    cudaStream_t stream = nullptr;
    if (!mem.e)
        mem.e = cudaStreamCreate(&stream);
    if (!mem.e)
        mem.e = recurrent_run(a, d, stream);
    if (stream && !mem.e)
        mem.e = cudaStreamSynchronize(stream);
    mem.back(y, a.y, (size_t)y_floats);
    mem.back(rows, state, (size_t)(a.batch * a.row_stride));
    if (stream)
        cudaStreamDestroy(stream);
    return mem.e;
}
