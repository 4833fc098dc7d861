/* Teams of blocks for LSTM. */
#include "persistent.cuh"

namespace rnnrt {

cudaError_t lstm_team(const team_job &j, int kpt, const grid_shape &g, cudaStream_t stream)
{
    return team_launch<FORM_LSTM>(j, kpt, g, stream);
}

} // namespace rnnrt
