/* SimpleRNN, LSTM and GRU over whole sequences on a stream.
 *
 * Semantics are those of src_c/ops/recurrent_body.h: a masked step keeps the state and repeats the previous output,
 * which is zero before the first unmasked step (has_output) and where zero_masked. States are updated in place.
 *
 * How it runs (recurrent_choose): all inputs of a chunk of steps are projected by one product; then
 *   CLUSTER  one cluster of blocks per tile of the batch holds the recurrent weights in registers across all steps
 *            and passes h through distributed shared memory (sm_90 and later),
 *   GRID     the same over a cooperative grid, h passed through L2 as {value, step} words,
 *   TENSOR   over a cooperative grid, for many rows: weights in shared memory, products by tensor cores (sm_80; LSTM, and
 *            GRU that resets after),
 *   STEPS    one product and one kernel of gates per step: any size, any activation. */
#ifndef RNNRT_CUDA_RECURRENT_CUH
#define RNNRT_CUDA_RECURRENT_CUH

#include "gemm.cuh"

namespace rnnrt {

struct recurrent_cell {
    int32_t kind;                /* rnnrt_cell_kind */
    int32_t reset_after;         /* GRU */
    int64_t units, features;
    rnnrt_activation activation, recurrent_activation; /* any but glu */
};

/* The weights as the kernels read them: one allocation, made on the host once, then copied to the device.
 * Keras's orientation and gate order in; float32. bias: (gates * units), GRU reset_after: (2, gates * units), or
 * nullptr. */
int64_t recurrent_packed_floats(const recurrent_cell &cell);
void recurrent_pack(const recurrent_cell &cell, const float *kernel, const float *recurrent, const float *bias,
                    float *packed);

enum recurrent_path { PATH_AUTO = 0, PATH_STEPS = 1, PATH_GRID = 2, PATH_CLUSTER = 3, PATH_TENSOR = 4 };

struct recurrent_args {
    recurrent_cell cell;
    const float *packed;         /* on the device, 16-byte aligned */
    int64_t batch, steps;        /* both >= 1 */
    bool reverse_in, reverse_out, sequences, zero_masked;
    const float *x;              /* (batch, steps, features); strides in floats */
    int64_t x_batch, x_step;
    float *y;                    /* (batch, steps, units), or (batch, units) without sequences */
    int64_t y_batch, y_step;
    const uint8_t *mask;         /* (batch, steps), mask_batch bytes apart, or nullptr */
    int64_t mask_batch;
    float *h, *c;                /* first row of the states, rows row_stride floats apart; c: LSTM only */
    int32_t *has_output;         /* with a mask: as h, row_stride 4-byte words apart */
    int64_t row_stride;
    void *scratch;               /* recurrent_scratch_bytes, 256-byte aligned, device memory */
    math_mode math;
    recurrent_path path;         /* PATH_AUTO, or the one that a test wants: an error where it can not */
};

struct recurrent_device {        /* asked once per model */
    int arch;                    /* 90 for sm_90 */
    int multiprocessors;
    int shared_bytes;            /* that a block may ask for */
    int cooperative;             /* grids whose blocks may wait for each other */
    int clusters[4];             /* of 1, 2, 4, 8 full blocks that there is room for at once */
};
cudaError_t recurrent_device_of(int device, recurrent_device *out);

/* Depends on sizes only; neither pointers nor strides are read. */
recurrent_path recurrent_choose(const recurrent_args &a, const recurrent_device &d);
size_t recurrent_scratch_bytes(const recurrent_args &a, const recurrent_device &d);

/* Launches everything on the stream (a capture may be under way); an error of the first launch that fails. */
cudaError_t recurrent_run(const recurrent_args &a, const recurrent_device &d, cudaStream_t stream);

} // namespace rnnrt

#endif
