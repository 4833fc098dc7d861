/* Teams of blocks for SimpleRNN. */
#include "persistent.cuh"

namespace rnnrt {

cudaError_t simple_rnn_team(const team_job &j, int kpt, const grid_shape &g, cudaStream_t stream)
{
    return team_launch<FORM_SIMPLE>(j, kpt, g, stream);
}

} // namespace rnnrt
