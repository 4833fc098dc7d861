/* Teams of blocks for LSTM. */
#include "persistent.cuh"

namespace rnnrt {

cudaError_t lstm_team(const team_job &j, int kpt, const grid_shape &g, cudaStream_t stream)
{
    return team_launch<FORM_LSTM>(j, kpt, g, stream);
}

/* the largest kernel: what this one fits, all do */
cudaError_t team_clusters(unsigned blocks, size_t shared, int *n)
{
    void (*const kernel)(team_job) = k_team<FORM_LSTM, 32, true>;
    const grid_shape g = {dim3(blocks), dim3(TEAM_THREADS), shared, blocks, false};
    cudaLaunchAttribute attribute[2];
    const cudaLaunchConfig_t c = launch_config(g, nullptr, attribute);
    *n = 0;
    const cudaError_t e = launch_allowed(kernel, g);
    return e ? e : cudaOccupancyMaxActiveClusters(n, kernel, &c);
}

} // namespace rnnrt
