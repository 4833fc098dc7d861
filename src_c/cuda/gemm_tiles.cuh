/* What one warp does with a tile that lies in shared memory: by FFMA, or by tensor cores.
 *
 * A tile of x is (BM, TILE_K) with rows X_PITCH apart; one of w is (TILE_K, BN) with rows w_pitch(BN) apart or,
 * transposed, (BN, TILE_K) with rows X_PITCH apart. These pitches keep every read below free of bank conflicts.
 * A warp owns 32 x 32 elements of y; each() names the ones of this lane in a fixed order. */
#ifndef RNNRT_CUDA_GEMM_TILES_CUH
#define RNNRT_CUDA_GEMM_TILES_CUH

#include "device.cuh"

namespace rnnrt {

constexpr int TILE_K = 16, X_PITCH = TILE_K + 4;
__host__ __device__ constexpr int w_pitch(int bn) { return bn + 8; }

/* Lanes stand 4 x 8: rows lane/8 + 4i; columns 4 (lane%8) + j or, transposed, lane%8 + 8j. */
template <bool TRANSPOSED> struct ffma_tile {
    static constexpr int M = 8, N = 4;
    float acc[M][N];

    static constexpr bool TENSOR_CORES = false;

    __device__ __forceinline__ static int row(int lane, int i) { return lane / 8 + 4 * i; }
    __device__ __forceinline__ static int column(int lane, int j)
    {
        return TRANSPOSED ? lane % 8 + 8 * j : lane % 8 * 4 + j;
    }

    __device__ __forceinline__ void zero()
    {
        UNROLL
        for (int i = 0; i < M; i++) {
            UNROLL
            for (int j = 0; j < N; j++)
                acc[i][j] = 0.0f;
        }
    }

    __device__ __forceinline__ void multiply(const float *x, const float *w, int pitch, int lane)
    {
        UNROLL_BY(2)
        for (int k = 0; k < TILE_K; k += 4) {
            float4 a[M];
            UNROLL
            for (int i = 0; i < M; i++)
                a[i] = *reinterpret_cast<const float4 *>(x + row(lane, i) * X_PITCH + k);
            UNROLL
            for (int j = 0; j < N; j += 4) {
                float b[4][4]; /* [k][column] */
                UNROLL
                for (int q = 0; q < 4; q++) {
                    const float *from = TRANSPOSED ? w + column(lane, j + q) * X_PITCH + k : w + (k + q) * pitch + column(lane, j);
                    const float4 v = *reinterpret_cast<const float4 *>(from);
                    (TRANSPOSED ? b[0][q] : b[q][0]) = v.x;
                    (TRANSPOSED ? b[1][q] : b[q][1]) = v.y;
                    (TRANSPOSED ? b[2][q] : b[q][2]) = v.z;
                    (TRANSPOSED ? b[3][q] : b[q][3]) = v.w;
                }
                UNROLL
                for (int i = 0; i < M; i++) {
                    UNROLL
                    for (int q = 0; q < 4; q++) {
                        float s = acc[i][j + q];
                        s = fmaf(a[i].x, b[0][q], s);
                        s = fmaf(a[i].y, b[1][q], s);
                        s = fmaf(a[i].z, b[2][q], s);
                        acc[i][j + q] = fmaf(a[i].w, b[3][q], s);
                    }
                }
            }
        }
    }

    template <class F> __device__ __forceinline__ void each(int lane, F f)
    {
        UNROLL
        for (int i = 0; i < M; i++) {
            UNROLL
            for (int j = 0; j < N; j++)
                f(row(lane, i), column(lane, j), acc[i][j]);
        }
    }
};

/* m16n8k8 in TF32. PASSES 3: x = hi + lo, w = hi + lo, and lo hi + hi lo + hi hi keeps float32's accuracy (products
 * of infinities become NaN); 1: hi hi. */
template <bool TRANSPOSED, int PASSES> struct mma_tile {
    static constexpr int M = 2, N = 4;
    float acc[M][N][4];

    static constexpr bool TENSOR_CORES = true;

    __device__ __forceinline__ void zero()
    {
        UNROLL
        for (int i = 0; i < M; i++) {
            UNROLL
            for (int j = 0; j < N; j++) {
                UNROLL
                for (int q = 0; q < 4; q++)
                    acc[i][j][q] = 0.0f;
            }
        }
    }

    __device__ __forceinline__ static void split(float v, uint32_t &hi, uint32_t &lo)
    {
        hi = to_tf32(v);
        lo = to_tf32(v - __uint_as_float(hi));
    }

    __device__ __forceinline__ void multiply(const float *x, const float *w, int pitch, int lane)
    {
        const int g = lane / 4, t = lane % 4;
        UNROLL
        for (int k = 0; k < TILE_K; k += 8) {
            uint32_t ah[M][4], al[M][4];
            UNROLL
            for (int i = 0; i < M; i++) {
                UNROLL
                for (int q = 0; q < 4; q++)
                    split(x[(i * 16 + g + q % 2 * 8) * X_PITCH + k + t + q / 2 * 4], ah[i][q], al[i][q]);
            }
            UNROLL
            for (int j = 0; j < N; j++) {
                uint32_t bh[2], bl[2];
                UNROLL
                for (int q = 0; q < 2; q++)
                    split(TRANSPOSED ? w[(j * 8 + g) * X_PITCH + k + t + 4 * q] : w[(k + t + 4 * q) * pitch + j * 8 + g],
                          bh[q], bl[q]);
                UNROLL
                for (int i = 0; i < M; i++) {
                    if (PASSES == 3) {
                        mma_tf32(acc[i][j], al[i], bh);
                        mma_tf32(acc[i][j], ah[i], bl);
                    }
                    mma_tf32(acc[i][j], ah[i], bh);
                }
            }
        }
    }

    template <class F> __device__ __forceinline__ void each(int lane, F f)
    {
        const int g = lane / 4, t = lane % 4;
        UNROLL
        for (int i = 0; i < M; i++) {
            UNROLL
            for (int j = 0; j < N; j++) {
                UNROLL
                for (int q = 0; q < 4; q++)
                    f(i * 16 + g + q / 2 * 8, j * 8 + 2 * t + q % 2, acc[i][j][q]);
            }
        }
    }
};

} // namespace rnnrt

#endif
