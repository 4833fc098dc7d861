/* Teams of blocks for GRU, of both kinds. */
#include "persistent.cuh"

namespace rnnrt {

cudaError_t gru_after_team(const team_job &j, int kpt, const grid_shape &g, cudaStream_t stream)
{
    return team_launch<FORM_GRU_AFTER>(j, kpt, g, stream);
}

cudaError_t gru_before_team(const team_job &j, int kpt, const grid_shape &g, cudaStream_t stream)
{
    return team_launch<FORM_GRU_BEFORE>(j, kpt, g, stream);
}

} // namespace rnnrt
