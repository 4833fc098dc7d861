/* One recurrent layer across all steps in one launch, for many rows: the recurrent weights stay in shared memory, the
 * products go to tensor cores (3xTF32, or one pass where that is wanted).
 *
 * A tile of `rows` of the batch belongs to a team of blocks, a block to 2^unit_bits units, which have four columns each
 * (of a GRU one is empty). h lies in L2, two buffers of it: a step reads all of one in a ring of small tiles, while the
 * warps multiply; a warp owns 32 x 32 sums over its share of k, the shares are added in order, then come the gates, and
 * the new h goes to the other buffer. One count for each team tells when all of an exchange is there; who adds to it
 * for the second time after has seen all of the next, so everybody has read the buffer that it writes over. What a step
 * takes of the projected inputs comes to shared memory while the team meets; the states wait there, too. */
#include "gemm_tiles.cuh"
#include "persistent.cuh"

namespace rnnrt {
namespace {

template <cell_form FORM, int PASSES> __global__ void __launch_bounds__(TEAM_THREADS, 1) k_tensor(team_job j)
{
    constexpr int G = cell_shape<FORM>::GATES, STAGES = TENSOR_STAGES;
    if (!RNNRT_SM80)
        return;
    DYNAMIC_SHARED(float, shared);
    const step_job &s = j.s;
    const int tid = (int)threadIdx.x, lane = tid % 32, warp = tid / 32, uc = 1 << j.unit_bits, cols = uc * 4;
    const int units = (int)s.units, unit0 = (int)(blockIdx.x % (unsigned)j.team) << j.unit_bits;
    const int64_t row0 = (j.first_tile + blockIdx.x / (unsigned)j.team) * j.rows;
    const int tiles = j.rows / 32 * (cols / 32), splits = TEAM_THREADS / 32 / tiles, split = warp % splits;
    const int at_row = warp / splits % (j.rows / 32) * 32, at_column = warp / splits / (j.rows / 32) * 32;
    const int chunk = TILE_K * splits, chunks = (units + chunk - 1) / chunk, pitch = w_pitch(cols), sums_pitch = cols + 4;
    const int h_pitch = (units + 3) / 4 * 4, stage = splits * j.rows * X_PITCH;
    float *const w = shared, *const z = w + chunks * chunk * pitch, *const states = z + (j.rows * G << j.unit_bits);
    float *const ring = states + (j.rows * 2 << j.unit_bits), *const sums = ring; /* these come when the ring is read */
    float *const h_buffers = j.h + (int64_t)(blockIdx.x / (unsigned)j.team) * 2 * j.rows * h_pitch;
    unsigned *const arrived = j.arrived + blockIdx.x / (unsigned)j.team;

    UNROLL_BY(1)
    for (int e = tid; e < chunks * chunk * cols; e += TEAM_THREADS) {
        const int k = e / cols, c = e % cols, u = unit0 + c / 4, gate = c % 4;
        w[k * pitch + c] = k < units && u < units && gate < G ? j.recurrent[(k * units + u) * G + gate] : 0.0f;
    }
    const int rows = (int)min((int64_t)j.rows, s.batch - row0), u = unit0 + (tid & (uc - 1));
    const int pairs = u < units ? rows << j.unit_bits : 0; /* mine: tid, tid + TEAM_THREADS, ... */
    unsigned has = 0, on = 0;    /* a bit for each of mine */
    UNROLL_BY(1)
    for (int e = tid, bit = 1; e < pairs; e += TEAM_THREADS, bit *= 2) {
        const int64_t at = (row0 + (e >> j.unit_bits)) * s.row_stride;
        states[2 * e] = s.h[at + u];
        states[2 * e + 1] = FORM == FORM_LSTM ? s.c[at + u] : 0.0f;
        has |= s.mask && s.has_output[at] ? bit : 0;
    }
    const auto load_inputs = [&](int64_t t) {
        const int per_row = min(uc, units - unit0) * G, width = G == 4 ? 4 : 1;
        for (int e = tid * width; t < j.steps && e < rows * per_row; e += TEAM_THREADS * width) {
            const int r = e / per_row, c = e % per_row;
            copy_async<G == 4 ? 16 : 4>(z + (r * G << j.unit_bits) + c,
                                        s.z + ((t * s.batch + row0 + r) * units + unit0) * G + c, true);
        }
        copy_commit();
    };
    unsigned exchange = 0;
    /* the next buffer of h is there for all; meanwhile the inputs of step t come */
    const auto pass_on = [&](int64_t t) {
        exchange++;
        float *const to = h_buffers + (MUTATED(TENSOR_ONE_BUFFER) ? 0 : (exchange & 1) * j.rows * h_pitch);
        UNROLL_BY(1)
        for (int e = tid; e < pairs; e += TEAM_THREADS)
            to[(e >> j.unit_bits) * h_pitch + u] = states[2 * e];
        __syncthreads();
        load_inputs(t);
        if (tid == 0) {
            __threadfence();
            add_release(arrived, 1);
            while (!MUTATED(TENSOR_WAIT) && load_acquire(arrived) < exchange * (unsigned)j.team)
                ;
        }
        if (!MUTATED(TENSOR_BARRIER))
            __syncthreads();
    };
    pass_on(0);

    for (int64_t t = 0; t < j.steps; t++) {
        const int64_t step = j.step0 + t;
        on = 0xffffffffu;
        UNROLL
        for (int p = 0; p < TENSOR_PAIRS; p++) {
            const int e = tid + p * TEAM_THREADS;
            if (s.mask && e < pairs && !s.mask[(row0 + (e >> j.unit_bits)) * s.mask_batch + time_in(s, step)])
                on &= ~(1u << p);
        }
        const float *const h = h_buffers + (MUTATED(TENSOR_ONE_BUFFER) ? 0 : (exchange & 1) * j.rows * h_pitch);
        const auto load = [&](int i) {
            UNROLL_BY(1)
            for (int e = tid; i < chunks && e < j.rows * chunk / 4; e += TEAM_THREADS) {
                const int r = e / (chunk / 4), c = e % (chunk / 4) * 4, k = i * chunk + c;
                float *to = ring + i % STAGES * stage + (c / TILE_K * j.rows + r) * X_PITCH + c % TILE_K;
                copy_async<16>(to, h + r * h_pitch + (k < h_pitch ? k : 0), k < h_pitch);
            }
            copy_commit();
        };
        mma_tile<false, PASSES> tile;
        tile.zero();
        UNROLL_BY(1)
        for (int i = 0; i < STAGES - 1; i++)
            load(i);
        UNROLL_BY(1)
        for (int i = 0; i < chunks; i++) {
            copy_wait<STAGES - 2>();
            if (!MUTATED(TENSOR_RING))
                __syncthreads(); /* chunk i is here for all, and nobody reads the one that the next load writes over */
            load(i + STAGES - 1);
            tile.multiply(ring + i % STAGES * stage + (split * j.rows + at_row) * X_PITCH,
                          w + (i * chunk + split * TILE_K) * pitch + at_column, pitch, lane);
        }
        copy_wait<0>();
        __syncthreads(); /* the inputs are here, the ring is free */
        tile.each(lane, [&](int r, int c, float v) { sums[(split * j.rows + at_row + r) * sums_pitch + at_column + c] = v; });
        if (!MUTATED(TENSOR_SUMS))
            __syncthreads();
        has |= on;
        UNROLL_BY(1)
        for (int e = tid, bit = 1; e < pairs; e += TEAM_THREADS, bit *= 2) {
            const int row = e >> j.unit_bits;
            float hidden = states[2 * e];
            if (on & bit) {
                float v[4] = {}, x[G];
                UNROLL
                for (int g = 0; g < G; g++)
                    x[g] = z[e * G + g];
                UNROLL_BY(1)
                for (int i = 0; i < splits; i++) {
                    const float4 part = *reinterpret_cast<const float4 *>(sums + (i * j.rows + row) * sums_pitch + (u - unit0) * 4);
                    v[0] += part.x, v[1] += part.y, v[2] += part.z, v[3] += part.w;
                }
                hidden = states[2 * e] = team_gates<FORM>(j, x, v, 0.0f, u, hidden, states[2 * e + 1]);
            }
            if (float *y = output_at(s, row0 + row, step))
                y[u] = on & bit || (has & bit && !s.zero_masked) ? hidden : 0.0f;
        }
        pass_on(t + 1);
    }
    UNROLL_BY(1)
    for (int e = tid, bit = 1; e < pairs; e += TEAM_THREADS, bit *= 2) {
        const int64_t at = (row0 + (e >> j.unit_bits)) * s.row_stride;
        s.h[at + u] = states[2 * e];
        if (FORM == FORM_LSTM)
            s.c[at + u] = states[2 * e + 1];
        if (s.mask && u == 0)
            s.has_output[at] = (has & bit) != 0;
    }
}

template <cell_form FORM> cudaError_t start(const team_job &j, int passes, const grid_shape &g, cudaStream_t stream)
{
    return passes == 3 ? launch_shaped(k_tensor<FORM, 3>, g, stream, j) : launch_shaped(k_tensor<FORM, 1>, g, stream, j);
}

} // namespace

cudaError_t lstm_tensor(const team_job &j, int passes, const grid_shape &g, cudaStream_t stream)
{
    return start<FORM_LSTM>(j, passes, g, stream);
}

cudaError_t gru_tensor(const team_job &j, int passes, const grid_shape &g, cudaStream_t stream)
{
    return start<FORM_GRU_AFTER>(j, passes, g, stream);
}

} // namespace rnnrt
