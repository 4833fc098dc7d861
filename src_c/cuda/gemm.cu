/* Three kernels: tiles by FFMA, tiles by tensor cores, and few rows, where reading w is all the work. */
#include "gemm.cuh"

#include "activations.cuh"
#include "gemm_tiles.cuh"
#include "launch.cuh"

namespace rnnrt {
namespace {

constexpr int STAGES = 3, BN = 64, Y_PITCH = BN + 4; /* tiles in the ring; columns of a block; a staged row of y */

constexpr int ROWS_OF_BLOCK = 128; /* at most */
constexpr int64_t NO_ROW = INT64_MIN; /* offsets may be negative */

struct job {
    gemm_args a;
    usual_function f;
    int x_vectors, w_vectors;    /* rows may be copied 16 bytes at a time */
    int block_rows;              /* of a tile: a warp for each 32, and for each 32 of BN */
    int64_t row_tiles;
};

__device__ __forceinline__ int64_t x_at(const gemm_args &a, int64_t r)
{
    return r / a.inner * a.x_outer + r % a.inner * a.x_inner;
}
__device__ __forceinline__ int64_t y_at(const gemm_args &a, int64_t r)
{
    return r / a.inner * a.y_outer + r % a.inner * a.y_inner;
}
__device__ __forceinline__ void finish(const job &j, float *y, int64_t column, float v)
{
    if (j.a.bias)
        v += j.a.bias[column];
    if (j.a.accumulate)
        v += y[column];
    y[column] = usual_apply(j.f, v);
}

/* `count` lines of TILE_K floats from k on, line i at at(i) of base (NO_ROW: zeros), to rows X_PITCH apart. What is
 * not there is named as `base`, which is not read. */
template <class F>
__device__ __forceinline__ void load_lines(float *to, int count, F at, const float *base, int64_t k, int64_t k_end, int vectors)
{
    const int bits = vectors ? 2 : 4, width = TILE_K >> bits; /* copies of a line, floats of a copy */
    UNROLL_BY(1)
    for (int e = (int)threadIdx.x; e < count << bits; e += (int)blockDim.x) {
        const int i = e >> bits, c = (e & ((1 << bits) - 1)) * width;
        const int64_t from = at(i);
        const bool there = from != NO_ROW && k + c < k_end;
        const float *source = there ? base + from + k + c : base;
        if (vectors)
            copy_async<16>(to + i * X_PITCH + c, source, there);
        else
            copy_async<4>(to + i * X_PITCH + c, source, there);
    }
}

/* TILE_K lines of BN floats, (k, n) row-major */
__device__ __forceinline__ void load_square(float *to, const float *w, int64_t stride, int64_t k, int64_t k_end, int64_t n,
                                            int64_t n_end, int vectors)
{
    const int bits = vectors ? 4 : 6, width = BN >> bits;
    UNROLL_BY(1)
    for (int e = (int)threadIdx.x; e < TILE_K << bits; e += (int)blockDim.x) {
        const int i = e >> bits, c = (e & ((1 << bits) - 1)) * width;
        const bool there = k + i < k_end && n + c < n_end;
        const float *source = there ? w + (k + i) * stride + n + c : w;
        if (vectors)
            copy_async<16>(to + i * w_pitch(BN) + c, source, there);
        else
            copy_async<4>(to + i * w_pitch(BN) + c, source, there);
    }
}

/* floats of a tile of w, and of both */
template <bool TRANSPOSED> __host__ __device__ constexpr int w_floats() { return TRANSPOSED ? BN * X_PITCH : TILE_K * w_pitch(BN); }
template <bool TRANSPOSED> __host__ __device__ constexpr int stage_floats(int block_rows)
{
    return block_rows * X_PITCH + w_floats<TRANSPOSED>();
}

/* Blocks of block_rows x BN of y, a warp for each 32 x 32; a ring of STAGES tiles along k, one barrier for each. */
template <class TILE, bool TRANSPOSED> __global__ void __launch_bounds__(ROWS_OF_BLOCK / 32 *(BN / 32) * 32, 1) k_gemm_tiles(job j)
{
    static_assert(ROWS_OF_BLOCK * Y_PITCH <= STAGES * stage_floats<TRANSPOSED>(ROWS_OF_BLOCK) &&
                      32 * Y_PITCH <= STAGES * stage_floats<TRANSPOSED>(32),
                  "y is staged where the tiles were");
    if (TILE::TENSOR_CORES && !RNNRT_SM80)
        return; /* never launched there */
    typedef int64_t offsets[ROWS_OF_BLOCK];
    SHARED(offsets, row_at); /* of x, then of y */
    DYNAMIC_SHARED(float, shared);
    gemm_args &a = j.a;
    const int threads = (int)blockDim.x, lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const int at_row = warp / (BN / 32) * 32, at_column = warp % (BN / 32) * 32, stage = stage_floats<TRANSPOSED>(j.block_rows);
    const int64_t row0 = blockIdx.x % j.row_tiles * j.block_rows, column0 = blockIdx.x / j.row_tiles * BN;
    const int tiles = (int)((a.k + TILE_K - 1) / TILE_K);
    a.x += blockIdx.z * a.x_batch;
    a.w += blockIdx.z * a.w_batch;
    a.y += blockIdx.z * a.y_batch;
    const auto place_rows = [&](auto at) {
        UNROLL_BY(1)
        for (int i = (int)threadIdx.x; i < j.block_rows; i += threads)
            row_at[i] = row0 + i < a.rows ? at(row0 + i) : NO_ROW;
        __syncthreads();
    };
    const auto load = [&](int tile) {
        if (tile < tiles) {
            float *x = shared + tile % STAGES * stage, *w = x + j.block_rows * X_PITCH;
            const int64_t k = (int64_t)tile * TILE_K;
            load_lines(x, j.block_rows, [&](int i) { return row_at[i]; }, a.x, k, a.k, j.x_vectors);
            if (TRANSPOSED)
                load_lines(
                    w, BN, [&](int i) { return column0 + i < a.n ? (column0 + i) * a.w_stride : NO_ROW; }, a.w, k, a.k,
                    j.w_vectors);
            else
                load_square(w, a.w, a.w_stride, k, a.k, column0, a.n, j.w_vectors);
        }
        copy_commit();
    };

    place_rows([&](int64_t r) { return x_at(a, r); });
    TILE tile;
    tile.zero();
    UNROLL_BY(1)
    for (int i = 1 - STAGES; i < tiles; i++) {
        if (i >= 0) {
            if (!MUTATED(GEMM_WAIT))
                copy_wait<STAGES - 2>();
            if (!MUTATED(GEMM_BARRIER))
                __syncthreads(); /* tile i is here for all, and nobody reads the tile that the next load writes over */
        }
        load(i + STAGES - 1);
        if (i < 0)
            continue;
        const float *x = shared + i % STAGES * stage, *w = x + j.block_rows * X_PITCH;
        tile.multiply(x + at_row * X_PITCH, TRANSPOSED ? w + at_column * X_PITCH : w + at_column, w_pitch(BN), lane);
    }
    if (!MUTATED(GEMM_STAGE))
        __syncthreads(); /* the ring is free */
    tile.each(lane, [&](int r, int c, float v) { shared[(at_row + r) * Y_PITCH + at_column + c] = v; });
    place_rows([&](int64_t r) { return y_at(a, r); });
    UNROLL_BY(1)
    for (int e = (int)threadIdx.x; e < j.block_rows * BN; e += threads) {
        const int64_t row = row_at[e / BN], column = column0 + e % BN;
        if (row != NO_ROW && column < a.n)
            finish(j, a.y + row, column, shared[e / BN * Y_PITCH + e % BN]);
    }
}

/* At most ROWS rows: 32 columns and 8 slices of k in a block; the slices are added in their order. */
constexpr int SLICES = 8;
template <int ROWS> __global__ void __launch_bounds__(32 * SLICES) k_gemm_thin(job j)
{
    typedef float parts_of[SLICES][ROWS][32];
    SHARED(parts_of, parts);
    const gemm_args &a = j.a;
    const int lane = (int)threadIdx.x % 32, slice = (int)threadIdx.x / 32;
    const int rows = (int)a.rows, inner = (int)min(a.inner, (int64_t)ROWS);
    const int64_t column = (int64_t)blockIdx.x * 32 + lane;
    const int64_t each = (a.k + SLICES - 1) / SLICES, k0 = each * slice, k1 = min(k0 + each, a.k);
    const float *x[ROWS];
    float acc[ROWS];
    UNROLL
    for (int r = 0; r < ROWS; r++) {
        const int row = min(r, rows - 1);
        x[r] = a.x + row / inner * a.x_outer + row % inner * a.x_inner + blockIdx.z * a.x_batch;
        acc[r] = 0.0f;
    }
    if (column < a.n) {
        const float *w = a.w + blockIdx.z * a.w_batch + column;
        UNROLL_BY(4)
        for (int64_t k = k0; k < k1; k++) {
            const float v = w[k * a.w_stride];
            UNROLL
            for (int r = 0; r < ROWS; r++)
                acc[r] = fmaf(x[r][k], v, acc[r]);
        }
    }
    UNROLL
    for (int r = 0; r < ROWS; r++)
        parts[slice][r][lane] = acc[r];
    if (!MUTATED(THIN_BARRIER))
        __syncthreads();
    if (slice < rows && column < a.n) { /* ROWS is at most SLICES */
        float v = 0.0f;
        UNROLL
        for (int s = 0; s < SLICES; s++)
            v += parts[s][slice][lane];
        finish(j, a.y + slice / inner * a.y_outer + slice % inner * a.y_inner + blockIdx.z * a.y_batch, column, v);
    }
}

/* A function that is not usual, over what has no function yet. */
__global__ void __launch_bounds__(256) k_gemm_activate(job j)
{
    const gemm_args &a = j.a;
    UNROLL_BY(1)
    for (int64_t e = (int64_t)blockIdx.x * 256 + threadIdx.x; e < a.rows * a.n; e += (int64_t)gridDim.x * 256) {
        float *const y = a.y + blockIdx.z * a.y_batch + y_at(a, e / a.n) + e % a.n;
        *y = rnnrt_activate(a.activation, *y);
    }
}

template <class TILE, bool TRANSPOSED> cudaError_t launch_tiles(job &j, int multiprocessors, cudaStream_t stream)
{
    const int64_t columns = (j.a.n + BN - 1) / BN;
    j.block_rows = (j.a.rows + ROWS_OF_BLOCK - 1) / ROWS_OF_BLOCK * columns * j.a.batches >= multiprocessors ? ROWS_OF_BLOCK : 32;
    j.row_tiles = (j.a.rows + j.block_rows - 1) / j.block_rows;
    if (j.row_tiles * columns > 0x7fffffff || (j.a.k + TILE_K - 1) / TILE_K > 0x7fffffff)
        return cudaErrorInvalidConfiguration;
    const dim3 blocks((unsigned)(j.row_tiles * columns), 1, (unsigned)j.a.batches);
    return launch(k_gemm_tiles<TILE, TRANSPOSED>, blocks, (unsigned)j.block_rows / 32 * (BN / 32) * 32,
                  STAGES * stage_floats<TRANSPOSED>(j.block_rows) * sizeof(float), stream, j);
}

template <bool TRANSPOSED> cudaError_t launch_square(job &j, int passes, int multiprocessors, cudaStream_t stream)
{
    return passes == 3 ? launch_tiles<mma_tile<TRANSPOSED, 3>, TRANSPOSED>(j, multiprocessors, stream)
         : passes == 1 ? launch_tiles<mma_tile<TRANSPOSED, 1>, TRANSPOSED>(j, multiprocessors, stream)
                       : launch_tiles<ffma_tile<TRANSPOSED>, TRANSPOSED>(j, multiprocessors, stream);
}

template <int ROWS> cudaError_t launch_thin(const job &j, cudaStream_t stream)
{
    const dim3 blocks((unsigned)((j.a.n + 31) / 32), 1, (unsigned)j.a.batches);
    return launch(k_gemm_thin<ROWS>, blocks, 32 * SLICES, 0, stream, j);
}

cudaError_t launch_activate(const job &j, cudaStream_t stream)
{
    const int64_t blocks = (j.a.rows * j.a.n + 255) / 256;
    return launch(k_gemm_activate, dim3((unsigned)(blocks < 4096 ? blocks : 4096), 1, (unsigned)j.a.batches), 256, 0, stream, j);
}

bool in_fours(const void *p, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return ((uintptr_t)p | (uintptr_t)((a | b | c | d) * (int64_t)sizeof(float))) % 16 == 0;
}

cudaError_t device_kind(int *arch, int *multiprocessors)
{
    int d = 0, major = 0, minor = 0;
    cudaError_t e = cudaGetDevice(&d);
    if (!e)
        e = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, d);
    if (!e)
        e = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, d);
    if (!e)
        e = cudaDeviceGetAttribute(multiprocessors, cudaDevAttrMultiProcessorCount, d);
    *arch = major * 10 + minor;
    return e;
}

} // namespace

cudaError_t gemm(const gemm_args &args, math_mode math, cudaStream_t stream)
{
    constexpr int64_t THIN = 8, MANY = 16, AT_ONCE = 65535;
    if (args.rows <= 0 || args.n <= 0 || args.batches <= 0)
        return cudaSuccess;
    int arch = 0, multiprocessors = 0;
    cudaError_t e = device_kind(&arch, &multiprocessors);
    job j = {};
    j.a = args;
    gemm_args &a = j.a;
    const bool usual = usual_function_of(a.activation, &j.f);
    j.x_vectors = in_fours(a.x, a.x_outer, a.x_inner, a.x_batch, a.k);
    j.w_vectors = in_fours(a.w, a.w_stride, a.w_batch, a.w_transposed ? a.k : a.n, 0);
    for (int64_t done = 0; !e && done < args.batches; done += AT_ONCE) {
        a.batches = args.batches - done < AT_ONCE ? args.batches - done : AT_ONCE;
        a.x = args.x + done * a.x_batch;
        a.w = args.w + done * a.w_batch;
        a.y = args.y + done * a.y_batch;
        const int passes = arch < 80 || a.rows < MANY || math == MATH_FFMA ? 0 : math == MATH_TF32 ? 1 : 3;
        if (a.rows <= THIN && !a.w_transposed)
            e = a.rows == 1 ? launch_thin<1>(j, stream) : a.rows == 2 ? launch_thin<2>(j, stream)
              : a.rows <= 4 ? launch_thin<4>(j, stream) : launch_thin<8>(j, stream);
        else if (a.w_transposed)
            e = launch_square<true>(j, passes, multiprocessors, stream);
        else
            e = launch_square<false>(j, passes, multiprocessors, stream);
        if (!e && !usual)
            e = launch_activate(j, stream);
    }
    return e;
}

} // namespace rnnrt
