/* One recurrent layer across all steps in one launch: the recurrent weights stay in registers.
 *
 * A tile of the batch belongs to a team of blocks, a block to UC units: thread (unit, segment) holds the unit's
 * weights for KPT of the hidden units, interleaved so that the lanes of a warp read neighbouring words:
 *     k = 4 (i / 4 * segments + segment) + i % 4.
 * A step: each thread's partial sums for all rows; the lanes of a unit add theirs by shuffles, the rest lies in
 * `parts` and is added in order; the gates; then the new h goes to all blocks of the team and comes from them.
 *     a cluster: stores into the shared memory of each block, two buffers, one cluster barrier;
 *     a cooperative grid: words {value, number of the exchange} in L2, two buffers, polled: no other barrier.
 * Two buffers are enough: who publishes exchange q + 2 has seen all of q + 1, so everybody has read q. A GRU that
 * resets before has two exchanges in a step, r * h and h.
 * States are read at the start and written at the end, after an exchange: by then every block has read its own. */
#ifndef RNNRT_CUDA_PERSISTENT_CUH
#define RNNRT_CUDA_PERSISTENT_CUH

#include "launch.cuh"
#include "recurrent_parts.cuh"

namespace rnnrt {

constexpr int TEAM_THREADS = 256, TEAM_ROWS = 16, TEAM_PAIRS = 2; /* pairs of (row, unit) that a thread finishes */
constexpr int TENSOR_PAIRS = 8, TENSOR_STAGES = 3; /* likewise; tiles in the ring */

struct team_job {
    step_job s;
    const float *recurrent, *candidate, *hidden_bias;
    word64 *words;               /* GRID: [tile][2][rows][units], zero at the launch */
    float *h;                    /* TENSOR: [tile][2][rows][units in fours], and a count for each tile; zero at the launch */
    unsigned *arrived;
    int64_t first_tile, step0, steps; /* of this launch; step0 counts from the start of the run */
    int rows, unit_bits, team;   /* rows of a tile, log2 of UC, blocks of a team */
};

/* What differs between the cells: gates of the state's product, and of the second one. */
template <cell_form FORM> struct cell_shape {
    static constexpr int GATES = FORM == FORM_LSTM ? 4 : FORM == FORM_SIMPLE ? 1 : 3;
    static constexpr int FIRST = FORM == FORM_LSTM ? 4 : FORM == FORM_SIMPLE ? 1 : FORM == FORM_GRU_AFTER ? 3 : 2;
};

/* The new h of a unit from its inputs' part z and its sums v; update: of a GRU that resets before. */
template <cell_form FORM>
__device__ __forceinline__ float team_gates(const team_job &j, const float *z, const float *v, float update, int unit, float h, float &c)
{
    constexpr int G = cell_shape<FORM>::GATES;
    if (FORM == FORM_LSTM) {
        const float i = usual_apply(j.s.recurrent_usual, z[0] + v[0]);
        const float f = usual_apply(j.s.recurrent_usual, z[1 % G] + v[1 % G]);
        const float g = usual_apply(j.s.usual, z[2 % G] + v[2 % G]);
        const float o = usual_apply(j.s.recurrent_usual, z[3 % G] + v[3 % G]);
        c = fmaf(f, c, i * g);
        return o * usual_apply(j.s.usual, c);
    }
    if (FORM == FORM_SIMPLE)
        return usual_apply(j.s.usual, z[0] + v[0]);
    float g = z[2 % G] + v[2 % G];
    if (FORM == FORM_GRU_AFTER) {
        update = usual_apply(j.s.recurrent_usual, z[0] + v[0]);
        const float r = usual_apply(j.s.recurrent_usual, z[1 % G] + v[1 % G]);
        g = fmaf(r, j.hidden_bias[unit] + v[2 % G], z[2 % G]);
    }
    g = usual_apply(j.s.usual, g);
    return fmaf(update, h - g, g);
}

template <int N, int ROWS, int KPT>
__device__ __forceinline__ void team_rows(const float (&w)[N][KPT], const float *h, int pitch, int segment, int segments,
                                          int unit_bits, float *parts, int parts_row)
{
    float acc[ROWS][N];
    UNROLL
    for (int r = 0; r < ROWS; r++) {
        UNROLL
        for (int g = 0; g < N; g++)
            acc[r][g] = 0.0f;
    }
    UNROLL
    for (int i = 0; i < KPT; i += 4) {
        UNROLL
        for (int r = 0; r < ROWS; r++) {
            const float4 v = *reinterpret_cast<const float4 *>(h + r * pitch + (i * segments + 4 * segment));
            UNROLL
            for (int g = 0; g < N; g++) {
                acc[r][g] = fmaf(v.x, w[g][i], acc[r][g]);
                acc[r][g] = fmaf(v.y, w[g][i + 1], acc[r][g]);
                acc[r][g] = fmaf(v.z, w[g][i + 2], acc[r][g]);
                acc[r][g] = fmaf(v.w, w[g][i + 3], acc[r][g]);
            }
        }
    }
    UNROLL_BY(1)
    for (int by = 16; by >= 1 << unit_bits; by /= 2) {
        UNROLL
        for (int r = 0; r < ROWS; r++) {
            UNROLL
            for (int g = 0; g < N; g++)
                acc[r][g] += __shfl_xor_sync(ALL_LANES, acc[r][g], by);
        }
    }
    if (unit_bits >= 5 || (int)threadIdx.x % 32 < 1 << unit_bits) {
        UNROLL
        for (int r = 0; r < ROWS; r++) {
            UNROLL
            for (int g = 0; g < N; g++)
                parts[r * parts_row + g] = acc[r][g];
        }
    }
}

template <cell_form FORM, int KPT, bool CLUSTER>
__global__ void __launch_bounds__(TEAM_THREADS, 1) k_team(team_job j)
{
    constexpr int G = cell_shape<FORM>::GATES, FIRST = cell_shape<FORM>::FIRST, SECOND = G - FIRST;
    if (CLUSTER && !RNNRT_SM90)
        return;
    DYNAMIC_SHARED(float, shared);
    const step_job &s = j.s;
    const int tid = (int)threadIdx.x, unit_bits = j.unit_bits, uc = 1 << unit_bits;
    const int units = (int)s.units, segments = TEAM_THREADS >> unit_bits, pitch = segments * KPT;
    const int rank = (int)blockIdx.x % j.team, unit0 = rank << unit_bits;
    const int64_t tile = j.first_tile + blockIdx.x / j.team, row0 = tile * j.rows;
    const int rows = (int)min((int64_t)j.rows, s.batch - row0);
    const int groups = TEAM_THREADS / (uc > 32 ? uc : 32); /* of parts */
    float *const hs = shared, *const parts = shared + (CLUSTER ? 2 : 1) * j.rows * pitch;
    word64 *const words = CLUSTER ? nullptr : j.words + blockIdx.x / j.team * 2 * (int64_t)j.rows * units;

    /* my weights */
    const int my_unit = tid & (uc - 1), segment = tid >> unit_bits;
    float w[FIRST][KPT], w2[SECOND ? SECOND : 1][KPT];
    UNROLL
    for (int i = 0; i < KPT; i++) {
        const int k = 4 * (i / 4 * segments + segment) + i % 4, u = unit0 + my_unit;
        const bool there = k < units && u < units;
        const int at = k * units + u; /* there are at most 1024 units */
        UNROLL
        for (int g = 0; g < FIRST; g++)
            w[g][i] = there ? j.recurrent[at * FIRST + g] : 0.0f;
        if (SECOND)
            w2[0][i] = there ? j.candidate[at] : 0.0f;
    }
    float *const my_parts = parts + ((tid / (uc > 32 ? uc : 32)) * j.rows * uc + my_unit) * G;

    /* the old h of all units; my pairs' own states */
    UNROLL_BY(1)
    for (int e = tid; e < (CLUSTER ? 2 : 1) * j.rows * pitch; e += TEAM_THREADS) {
        const int r = e / pitch, k = e % pitch;
        hs[e] = r < rows && k < units ? s.h[(row0 + r) * s.row_stride + k] : 0.0f;
    }
    float own_h[TEAM_PAIRS], own_c[TEAM_PAIRS], z[TEAM_PAIRS][G], keep[TEAM_PAIRS];
    bool has[TEAM_PAIRS], on[TEAM_PAIRS]; /* what was shown before; whether the step counts */
    const int pairs = rows << unit_bits;
    const auto load_ahead = [&](int p, int64_t step) {
        const int e = tid + p * TEAM_THREADS, u = unit0 + (e & (uc - 1));
        if (e < pairs && u < units && step < j.steps) {
            const float *from = s.z + ((step * s.batch + row0 + (e >> unit_bits)) * units + u) * G;
            UNROLL
            for (int g = 0; g < G; g++)
                z[p][g] = from[g];
            if (s.mask)
                on[p] = s.mask[(row0 + (e >> unit_bits)) * s.mask_batch + time_in(s, j.step0 + step)] != 0;
        }
    };
    UNROLL
    for (int p = 0; p < TEAM_PAIRS; p++) {
        const int e = tid + p * TEAM_THREADS, u = unit0 + (e & (uc - 1));
        const int64_t at = (row0 + (e >> unit_bits)) * s.row_stride;
        own_h[p] = own_c[p] = keep[p] = 0.0f;
        UNROLL
        for (int g = 0; g < G; g++)
            z[p][g] = 0.0f;
        has[p] = false;
        on[p] = true;
        if (e < pairs && u < units) {
            own_h[p] = s.h[at + u];
            if (FORM == FORM_LSTM)
                own_c[p] = s.c[at + u];
            has[p] = s.mask && s.has_output[at];
        }
        load_ahead(p, 0);
    }
    if (CLUSTER)
        cluster_sync(); /* every block is there, with its buffers filled */
    else
        __syncthreads();

    unsigned exchange = 0;
    /* the sums of N gates over the buffer that the last exchange filled, in parts from gate `first` on */
    const auto product = [&](const auto &weights, auto n, int first) {
        constexpr int N = decltype(n)::value;
        const float *h = hs + (CLUSTER && !MUTATED(CLUSTER_ONE_BUFFER) ? (exchange & 1) * j.rows * pitch : 0);
        int r = 0;
        UNROLL_BY(1)
        for (; r + 4 <= rows; r += 4)
            team_rows<N, 4>(weights, h + r * pitch, pitch, segment, segments, unit_bits, my_parts + r * uc * G + first, uc * G);
        UNROLL_BY(1)
        for (; r < rows; r++)
            team_rows<N, 1>(weights, h + r * pitch, pitch, segment, segments, unit_bits, my_parts + r * uc * G + first, uc * G);
        if (!MUTATED(PARTS_BARRIER))
            __syncthreads();
    };
    /* v = the sums of N gates from `first` on; the groups in order */
    const auto sums = [&](int p, int first, auto n, float *v) {
        constexpr int N = decltype(n)::value;
        const float *from = parts + (tid + p * TEAM_THREADS) * G + first;
        UNROLL
        for (int g = 0; g < N; g++)
            v[g] = 0.0f;
        for (int i = 0; i < groups; i++, from += j.rows * uc * G) {
            if (N == 4) {
                const float4 all = *reinterpret_cast<const float4 *>(from);
                v[0] += all.x, v[1 % N] += all.y, v[2 % N] += all.z, v[3 % N] += all.w;
            } else {
                UNROLL
                for (int g = 0; g < N; g++)
                    v[g] += from[g];
            }
        }
    };
    /* value(p) of all pairs of all blocks becomes the next buffer */
    const auto pass_on = [&](const float (&value)[TEAM_PAIRS]) {
        exchange++;
        UNROLL
        for (int p = 0; p < TEAM_PAIRS; p++) {
            const int e = tid + p * TEAM_THREADS, r = e >> unit_bits, u = unit0 + (e & (uc - 1));
            if (e >= pairs || u >= units)
                continue;
            if (CLUSTER) {
                float *to = hs + (!MUTATED(CLUSTER_ONE_BUFFER) ? (exchange & 1) * j.rows * pitch : 0) + r * pitch + u;
                for (int b = 0; b < j.team; b++)
                    cluster_store(to, (unsigned)b, value[p]);
            } else {
                const int64_t buffer = MUTATED(GRID_ONE_BUFFER) ? 0 : (exchange & 1) * j.rows;
                store_word(words + (buffer + r) * units + u, word_of(value[p], exchange));
            }
        }
        if (CLUSTER) {
            if (!MUTATED(CLUSTER_WAIT))
                cluster_sync();
        } else {
            const word64 *from = words + (MUTATED(GRID_ONE_BUFFER) ? 0 : (exchange & 1) * j.rows) * (int64_t)units;
            UNROLL_BY(1)
            for (int e = tid; e < rows * units; e += TEAM_THREADS) {
                word64 v = load_word(from + e);
                while (!MUTATED(GRID_WAIT) && (unsigned)(v >> 32) != exchange)
                    v = load_word(from + e);
                hs[e / units * pitch + e % units] = __uint_as_float((unsigned)v);
            }
            if (!MUTATED(GRID_BARRIER))
                __syncthreads();
        }
    };

    for (int64_t t = 0; t < j.steps; t++) {
        const int64_t step = j.step0 + t;
        float value[TEAM_PAIRS] = {};
        product(w, count_of<FIRST>(), 0);
        if (FORM == FORM_GRU_BEFORE) {
            UNROLL
            for (int p = 0; p < TEAM_PAIRS; p++) {
                const int e = tid + p * TEAM_THREADS;
                if (e < pairs) {
                    float v[FIRST];
                    sums(p, 0, count_of<FIRST>(), v);
                    keep[p] = usual_apply(s.recurrent_usual, z[p][0] + v[0]);
                    value[p] = usual_apply(s.recurrent_usual, z[p][1 % G] + v[1 % FIRST]) * own_h[p];
                }
            }
            pass_on(value);
            product(w2, count_of<SECOND ? SECOND : 1>(), FIRST);
        }
        UNROLL
        for (int p = 0; p < TEAM_PAIRS; p++) {
            const int e = tid + p * TEAM_THREADS, u = unit0 + (e & (uc - 1));
            if (e >= pairs || u >= units)
                continue;
            const int64_t row = row0 + (e >> unit_bits);
            const bool there = on[p];
            has[p] = has[p] || there;
            float h = own_h[p];
            if (there) {
                constexpr int FROM = FORM == FORM_GRU_BEFORE ? FIRST : 0;
                float v[G];
                sums(p, FROM, count_of<G - FROM>(), v + FROM);
                h = team_gates<FORM>(j, z[p], v, keep[p], u, h, own_c[p]);
                own_h[p] = h;
            }
            if (float *y = output_at(s, row, step))
                y[u] = there || (has[p] && !s.zero_masked) ? h : 0.0f;
            load_ahead(p, t + 1);
        }
        pass_on(own_h);
    }
    UNROLL
    for (int p = 0; p < TEAM_PAIRS; p++) {
        const int e = tid + p * TEAM_THREADS, u = unit0 + (e & (uc - 1));
        if (e >= pairs || u >= units)
            continue;
        const int64_t at = (row0 + (e >> unit_bits)) * s.row_stride;
        s.h[at + u] = own_h[p];
        if (FORM == FORM_LSTM)
            s.c[at + u] = own_c[p];
        if (s.mask && u == 0)
            s.has_output[at] = has[p];
    }
}

/* The kernel for that many weights of a thread; one file for each cell, so that they compile beside each other. */
template <cell_form FORM, bool CLUSTER> cudaError_t team_start(const team_job &j, int kpt, const grid_shape &g, cudaStream_t stream)
{
    return kpt <= 8 ? launch_shaped(k_team<FORM, 8, CLUSTER>, g, stream, j)
         : kpt <= 16 ? launch_shaped(k_team<FORM, 16, CLUSTER>, g, stream, j)
                     : launch_shaped(k_team<FORM, 32, CLUSTER>, g, stream, j);
}
template <cell_form FORM>
static cudaError_t team_launch(const team_job &j, int kpt, const grid_shape &g, cudaStream_t stream)
{
    return g.cluster ? team_start<FORM, true>(j, kpt, g, stream) : team_start<FORM, false>(j, kpt, g, stream);
}
/* TENSOR: see tensor.cu. */
cudaError_t lstm_tensor(const team_job &j, int passes, const grid_shape &g, cudaStream_t stream);
cudaError_t gru_tensor(const team_job &j, int passes, const grid_shape &g, cudaStream_t stream);
/* Clusters of that many blocks, as large as a team's may be, that the current device has room for at once. */
cudaError_t team_clusters(unsigned blocks, size_t shared, int *n);
cudaError_t simple_rnn_team(const team_job &j, int kpt, const grid_shape &g, cudaStream_t stream);
cudaError_t lstm_team(const team_job &j, int kpt, const grid_shape &g, cudaStream_t stream);
cudaError_t gru_after_team(const team_job &j, int kpt, const grid_shape &g, cudaStream_t stream);
cudaError_t gru_before_team(const team_job &j, int kpt, const grid_shape &g, cudaStream_t stream);

} // namespace rnnrt

#endif
