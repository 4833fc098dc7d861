/* The gates of one step as launches; see steps.cu. */
#ifndef RNNRT_CUDA_STEPS_CUH
#define RNNRT_CUDA_STEPS_CUH

#include "recurrent_parts.cuh"

namespace rnnrt {

/* Of one step: the inputs' part, and the products of the state in scratch. */
struct step_sums {
    const float *z;              /* (batch, units, gates) */
    float *sums;                 /* (batch, units, first) */
    float *reset_h, *candidate;  /* (batch, units): r * h, and its product; candidate alone where rows are whole */
    const float *hidden_bias;
};

/* A GRU that resets before, between its two products: z over its sum, r * h to reset_h. */
cudaError_t step_resets(const step_job &s, const step_sums &q, cudaStream_t stream);
/* The new states and the output. */
cudaError_t step_gates(cell_form form, const step_job &s, const step_sums &q, int64_t step, cudaStream_t stream);

static inline __host__ __device__ bool rowwise_activation(const rnnrt_activation &a)
{
    return a.kind == RNNRT_ACT_SOFTMAX || a.kind == RNNRT_ACT_LOG_SOFTMAX || a.kind == RNNRT_ACT_SPARSEMAX;
}

} // namespace rnnrt

#endif
