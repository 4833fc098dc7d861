/* What the paths of a recurrent layer share: the packed weights, and where a step reads and writes. */
#ifndef RNNRT_CUDA_RECURRENT_PARTS_CUH
#define RNNRT_CUDA_RECURRENT_PARTS_CUH

#include "activations.cuh"
#include "device.cuh"
#include "recurrent.cuh"

namespace rnnrt {

enum cell_form { FORM_SIMPLE, FORM_LSTM, FORM_GRU_AFTER, FORM_GRU_BEFORE };

template <int N> struct count_of { static constexpr int value = N; };

/* Packed: columns stand unit after unit, the gates of a unit side by side, so that what one thread needs is one
 * place: kernel (features, units, gates), bias (units, gates; z and r of a GRU hold both biases), hidden bias (units),
 * recurrent (units, units, first), candidate (units, units): of a GRU that resets before, whose first is z and r. */
struct packed_layout {
    int gates, first;
    int64_t kernel, bias, hidden_bias, recurrent, candidate, floats;
};

/* One layer at one step, as the gates see it. */
struct step_job {
    int64_t batch, units, total; /* total: steps of the run */
    rnnrt_activation activation, recurrent_activation;
    usual_function usual, recurrent_usual; /* the same, where both are usual */
    int both_usual;
    int reverse_in, reverse_out, sequences, zero_masked;
    const float *z;              /* (steps of the chunk, batch, units, gates) */
    float *y;
    int64_t y_batch, y_step;
    const uint8_t *mask;
    int64_t mask_batch;
    float *h, *c;
    int32_t *has_output;
    int64_t row_stride;
};

__device__ __forceinline__ int64_t time_in(const step_job &s, int64_t step)
{
    return s.reverse_in ? s.total - 1 - step : step;
}
/* nullptr: nothing is shown of this step */
__device__ __forceinline__ float *output_at(const step_job &s, int64_t row, int64_t step)
{
    if (s.sequences)
        return s.y + row * s.y_batch + (s.reverse_out ? s.total - 1 - step : step) * s.y_step;
    return step == s.total - 1 ? s.y + row * s.y_batch : nullptr;
}

} // namespace rnnrt

#endif
