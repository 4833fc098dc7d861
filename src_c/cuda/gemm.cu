/* Three kernels: tiles by FFMA, tiles by tensor cores, and few rows, where reading w is all the work. */
#include "gemm.cuh"

#include "activations.cuh"
#include "gemm_tiles.cuh"
#include "launch.cuh"

namespace rnnrt {
namespace {

constexpr int STAGES = 3, BN = 64, Y_PITCH = BN + 4; /* tiles in the ring; columns of a block; a staged row of y */

struct job {
    gemm_args a;
    int x_vectors, w_vectors; /* rows may be copied 16 bytes at a time */
    int64_t row_tiles;
};

__device__ __forceinline__ const float *x_row(const gemm_args &a, int64_t r)
{
    return a.x + r / a.inner * a.x_outer + r % a.inner * a.x_inner;
}
__device__ __forceinline__ float *y_row(const gemm_args &a, int64_t r)
{
    return a.y + r / a.inner * a.y_outer + r % a.inner * a.y_inner;
}
__device__ __forceinline__ void finish(const gemm_args &a, float *y, int64_t column, float v)
{
    if (a.bias)
        v += a.bias[column];
    if (a.accumulate)
        v += y[column];
    y[column] = rnnrt_activate(a.activation, v);
}

/* COUNT lines of TILE_K floats from k on, line i from line(i) (nullptr: zeros), to rows X_PITCH apart. What is not
 * there is named as `base`, which is not read. */
template <int COUNT, int THREADS, class F>
__device__ __forceinline__ void load_lines(float *to, F line, const float *base, int64_t k, int64_t k_end, int vectors)
{
    if (vectors) {
        for (int e = (int)threadIdx.x; e < COUNT * (TILE_K / 4); e += THREADS) {
            const int i = e / (TILE_K / 4), c = e % (TILE_K / 4) * 4;
            const float *from = line(i);
            const bool there = from && k + c < k_end;
            copy_async<16>(to + i * X_PITCH + c, there ? from + k + c : base, there);
        }
    } else {
        for (int e = (int)threadIdx.x; e < COUNT * TILE_K; e += THREADS) {
            const int i = e / TILE_K, c = e % TILE_K;
            const float *from = line(i);
            const bool there = from && k + c < k_end;
            copy_async<4>(to + i * X_PITCH + c, there ? from + k + c : base, there);
        }
    }
}

/* TILE_K lines of BN floats, (k, n) row-major */
template <int THREADS>
__device__ __forceinline__ void load_square(float *to, const float *w, int64_t stride, int64_t k, int64_t k_end, int64_t n,
                                            int64_t n_end, int vectors)
{
    const int width = vectors ? 4 : 1, per_line = BN / width;
    for (int e = (int)threadIdx.x; e < TILE_K * per_line; e += THREADS) {
        const int i = e / per_line, c = e % per_line * width;
        const bool there = k + i < k_end && n + c < n_end;
        const float *from = there ? w + (k + i) * stride + n + c : w;
        if (vectors)
            copy_async<16>(to + i * w_pitch(BN) + c, from, there);
        else
            copy_async<4>(to + i * w_pitch(BN) + c, from, there);
    }
}

/* Blocks of BM x BN of y, a warp for each 32 x 32; a ring of STAGES tiles along k, one barrier for each. */
template <class TILE, int BM, bool TRANSPOSED> __global__ void __launch_bounds__(BM / 32 *(BN / 32) * 32, 1) k_gemm_tiles(job j)
{
    constexpr int THREADS = BM / 32 * (BN / 32) * 32, X_FLOATS = BM * X_PITCH,
                  W_FLOATS = TRANSPOSED ? BN * X_PITCH : TILE_K * w_pitch(BN);
    static_assert(BM * Y_PITCH <= STAGES * (X_FLOATS + W_FLOATS), "y is staged where the tiles were");
    DYNAMIC_SHARED(float, shared);
    gemm_args &a = j.a;
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const int at_row = warp / (BN / 32) * 32, at_column = warp % (BN / 32) * 32;
    const int64_t row0 = blockIdx.x % j.row_tiles * BM, column0 = blockIdx.x / j.row_tiles * BN;
    const int64_t tiles = (a.k + TILE_K - 1) / TILE_K;
    a.x += blockIdx.z * a.x_batch;
    a.w += blockIdx.z * a.w_batch;
    a.y += blockIdx.z * a.y_batch;

    const auto load = [&](int64_t tile) {
        if (tile < tiles) {
            float *x = shared + tile % STAGES * (X_FLOATS + W_FLOATS), *w = x + X_FLOATS;
            const int64_t k = tile * TILE_K;
            load_lines<BM, THREADS>(
                x, [&](int i) { return row0 + i < a.rows ? x_row(a, row0 + i) : nullptr; }, a.x, k, a.k, j.x_vectors);
            if (TRANSPOSED)
                load_lines<BN, THREADS>(
                    w, [&](int i) { return column0 + i < a.n ? a.w + (column0 + i) * a.w_stride : nullptr; }, a.w, k, a.k,
                    j.w_vectors);
            else
                load_square<THREADS>(w, a.w, a.w_stride, k, a.k, column0, a.n, j.w_vectors);
        }
        copy_commit();
    };

    TILE tile;
    tile.zero();
    for (int i = 0; i < STAGES - 1; i++)
        load(i);
    for (int64_t i = 0; i < tiles; i++) {
        if (!MUTATED(GEMM_WAIT))
            copy_wait<STAGES - 2>();
        if (!MUTATED(GEMM_BARRIER))
            __syncthreads(); /* tile i is here for all, and nobody reads the tile that the next load writes over */
        load(i + STAGES - 1);
        const float *x = shared + i % STAGES * (X_FLOATS + W_FLOATS), *w = x + X_FLOATS;
        tile.multiply(x + at_row * X_PITCH, TRANSPOSED ? w + at_column * X_PITCH : w + at_column, w_pitch(BN), lane);
    }
    if (!MUTATED(GEMM_STAGE))
        __syncthreads(); /* the ring is free */
    tile.each(lane, [&](int r, int c, float v) { shared[(at_row + r) * Y_PITCH + at_column + c] = v; });
    __syncthreads();
    UNROLL_BY(1)
    for (int e = (int)threadIdx.x; e < BM * BN; e += THREADS) {
        const int64_t row = row0 + e / BN, column = column0 + e % BN;
        if (row < a.rows && column < a.n)
            finish(a, y_row(a, row), column, shared[e / BN * Y_PITCH + e % BN]);
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
    const int64_t column = (int64_t)blockIdx.x * 32 + lane, row0 = (int64_t)blockIdx.y * ROWS;
    const int64_t each = (a.k + SLICES - 1) / SLICES, k0 = each * slice, k1 = min(k0 + each, a.k);
    const float *x[ROWS];
    float acc[ROWS];
    UNROLL
    for (int r = 0; r < ROWS; r++) {
        x[r] = x_row(a, min(row0 + r, a.rows - 1)) + blockIdx.z * a.x_batch;
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
    for (int r = slice; r < ROWS; r += SLICES) {
        float v = 0.0f;
        UNROLL
        for (int s = 0; s < SLICES; s++)
            v += parts[s][r][lane];
        if (column < a.n && row0 + r < a.rows)
            finish(a, y_row(a, row0 + r) + blockIdx.z * a.y_batch, column, v);
    }
}

template <class TILE, int BM, bool TRANSPOSED> cudaError_t launch_tiles(job &j, cudaStream_t stream)
{
    constexpr size_t shared =
        STAGES * (BM * X_PITCH + (TRANSPOSED ? BN * X_PITCH : TILE_K * w_pitch(BN))) * sizeof(float);
    j.row_tiles = (j.a.rows + BM - 1) / BM;
    const int64_t tiles = j.row_tiles * ((j.a.n + BN - 1) / BN);
    if (tiles > 0x7fffffff)
        return cudaErrorInvalidConfiguration;
    const dim3 blocks((unsigned)tiles, 1, (unsigned)j.a.batches);
    return launch(k_gemm_tiles<TILE, BM, TRANSPOSED>, blocks, BM / 32 * (BN / 32) * 32, shared, stream, j);
}

template <class TILE, bool TRANSPOSED> cudaError_t launch_sized(job &j, int multiprocessors, cudaStream_t stream)
{
    const int64_t tiles = (j.a.rows + 127) / 128 * ((j.a.n + BN - 1) / BN) * j.a.batches;
    return tiles >= multiprocessors ? launch_tiles<TILE, 128, TRANSPOSED>(j, stream)
                                    : launch_tiles<TILE, 32, TRANSPOSED>(j, stream);
}

template <bool TRANSPOSED> cudaError_t launch_square(job &j, int passes, int multiprocessors, cudaStream_t stream)
{
    return passes == 3 ? launch_sized<mma_tile<TRANSPOSED, 3>, TRANSPOSED>(j, multiprocessors, stream)
         : passes == 1 ? launch_sized<mma_tile<TRANSPOSED, 1>, TRANSPOSED>(j, multiprocessors, stream)
                       : launch_sized<ffma_tile<TRANSPOSED>, TRANSPOSED>(j, multiprocessors, stream);
}

template <int ROWS> cudaError_t launch_thin(const job &j, cudaStream_t stream)
{
    const dim3 blocks((unsigned)((j.a.n + 31) / 32), (unsigned)((j.a.rows + ROWS - 1) / ROWS), (unsigned)j.a.batches);
    return launch(k_gemm_thin<ROWS>, blocks, 32 * SLICES, 0, stream, j);
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
    job j = {args, 0, 0, 0};
    gemm_args &a = j.a;
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
    }
    return e;
}

} // namespace rnnrt
