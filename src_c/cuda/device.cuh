/* The words in which the kernels are written: what nvcc and the emulation (emu/) say differently, said once.
 *
 * Shared memory: SHARED(T, name) is one object of the block (an array by a type alias), DYNAMIC_SHARED(T, name) the
 * bytes that the launch gave. Neither is initialised. */
#ifndef RNNRT_CUDA_DEVICE_CUH
#define RNNRT_CUDA_DEVICE_CUH

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef RNNRT_EMU
#define SHARED(T, name)                  \
    static const char name##_key = 0;    \
    T &name = *(T *)emu::static_shared(&name##_key, sizeof(T))
#define DYNAMIC_SHARED(T, name) T *name = (T *)emu::dynamic_shared()
#define RNNRT_SM90 1
#define RNNRT_SM80 1
#define UNROLL
#define UNROLL_BY(n)
#else
extern __shared__ __align__(16) unsigned char rnnrt_dynamic_shared[];
#define SHARED(T, name) __shared__ T name
#define DYNAMIC_SHARED(T, name) T *name = reinterpret_cast<T *>(rnnrt_dynamic_shared)
#ifdef __CUDA_ARCH__
#define RNNRT_SM90 (__CUDA_ARCH__ >= 900)
#define RNNRT_SM80 (__CUDA_ARCH__ >= 800)
#else /* the host's half of a compilation reads kernels too */
#define RNNRT_SM90 0
#define RNNRT_SM80 0
#endif
#define RNNRT_PRAGMA(x) _Pragma(#x)
#define UNROLL RNNRT_PRAGMA(unroll)
#define UNROLL_BY(n) RNNRT_PRAGMA(unroll n)
#endif

/* Bugs that tests plant to see themselves fail: left-out barriers and waits, one buffer where there are two. */
#define RNNRT_MUTANTS(X)                                                                             \
    X(GEMM_WAIT) X(GEMM_BARRIER) X(GEMM_STAGE) X(THIN_BARRIER) X(PARTS_BARRIER) X(GRID_WAIT)         \
    X(GRID_BARRIER) X(GRID_ONE_BUFFER) X(CLUSTER_WAIT) X(CLUSTER_ONE_BUFFER) X(TENSOR_WAIT)          \
    X(TENSOR_BARRIER) X(TENSOR_ONE_BUFFER) X(TENSOR_RING) X(TENSOR_SUMS)
#ifdef RNNRT_PLANT
extern int rnnrt_planted; /* one of them, or -1 */
enum rnnrt_mutant {
#define RNNRT_MUTANT_ID(name) MUTANT_##name,
    RNNRT_MUTANTS(RNNRT_MUTANT_ID)
#undef RNNRT_MUTANT_ID
};
#define MUTATED(name) (rnnrt_planted == MUTANT_##name)
#else
#define MUTATED(name) false
#endif

namespace rnnrt {

typedef unsigned long long word64; /* of memory, 8 bytes, moved whole */

constexpr unsigned ALL_LANES = 0xffffffffu;

/* ---- memory that other blocks write: through L2, ordered ---- */
__device__ __forceinline__ unsigned load_acquire(const unsigned *p)
{
#ifdef RNNRT_EMU
    emu::poll();
    return *p;
#else
    unsigned v;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
#endif
}
__device__ __forceinline__ void store_release(unsigned *p, unsigned v)
{
#ifdef RNNRT_EMU
    emu::poll();
    *p = v;
#else
    asm volatile("st.release.gpu.global.u32 [%0], %1;" : : "l"(p), "r"(v) : "memory");
#endif
}
/* adds after all that this thread wrote before is seen; what it was */
__device__ __forceinline__ unsigned add_release(unsigned *p, unsigned v)
{
#ifdef RNNRT_EMU
    return atomicAdd(p, v);
#else
    unsigned was;
    asm volatile("atom.add.release.gpu.global.u32 %0, [%1], %2;" : "=r"(was) : "l"(p), "r"(v) : "memory");
    return was;
#endif
}
/* 8 bytes at once, past the L1: a value and the step that it belongs to can not be seen apart */
__device__ __forceinline__ word64 load_word(const word64 *p)
{
#ifdef RNNRT_EMU
    emu::poll();
    return *p;
#else
    word64 v;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
#endif
}
__device__ __forceinline__ void store_word(word64 *p, word64 v)
{
#ifdef RNNRT_EMU
    *p = v;
    emu::poll();
#else
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" : : "l"(p), "l"(v) : "memory");
#endif
}
__device__ __forceinline__ word64 word_of(float value, unsigned step)
{
    return (word64)step << 32 | __float_as_uint(value);
}

/* ---- clusters of blocks (sm_90 and later) ---- */
__device__ __forceinline__ unsigned cluster_rank()
{
#ifdef RNNRT_EMU
    return emu::cluster_rank();
#elif RNNRT_SM90
    unsigned r;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
    return r;
#else
    return 0;
#endif
}
__device__ __forceinline__ void cluster_arrive()
{
#ifdef RNNRT_EMU
    emu::cluster_arrive();
#elif RNNRT_SM90
    asm volatile("barrier.cluster.arrive.release;" : : : "memory");
#endif
}
__device__ __forceinline__ void cluster_wait()
{
#ifdef RNNRT_EMU
    emu::cluster_wait();
#elif RNNRT_SM90
    asm volatile("barrier.cluster.wait.acquire;" : : : "memory");
#endif
}
__device__ __forceinline__ void cluster_sync()
{
    cluster_arrive();
    cluster_wait();
}
/* A shared float of the block of that rank, by the address of this block's. */
__device__ __forceinline__ void cluster_store(float *mine, unsigned rank, float v)
{
#ifdef RNNRT_EMU
    *(float *)emu::cluster_map(mine, rank) = v;
#elif RNNRT_SM90
    unsigned there, here = (unsigned)__cvta_generic_to_shared(mine);
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(rank));
    asm volatile("st.shared::cluster.f32 [%0], %1;" : : "r"(there), "f"(v) : "memory");
#else
    (void)rank;
    *mine = v;
#endif
}

/* ---- copies to shared memory that run beside the arithmetic (sm_80; before that, at once) ---- */
template <int BYTES> __device__ __forceinline__ void copy_async(void *shared, const void *global, bool there)
{
    static_assert(BYTES == 4 || BYTES == 16, "a float or four");
#ifdef RNNRT_EMU
    emu::copy_async(shared, there ? global : nullptr, BYTES);
#elif RNNRT_SM80
    unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    int n = there ? BYTES : 0; /* the rest is filled with zeros */
    if (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : : "r"(to), "l"(global), "r"(n) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" : : "r"(to), "l"(global), "r"(n) : "memory");
#else
    if (BYTES == 16)
        *(float4 *)shared = there ? *(const float4 *)global : make_float4(0, 0, 0, 0);
    else
        *(float *)shared = there ? *(const float *)global : 0.0f;
#endif
}
__device__ __forceinline__ void copy_commit()
{
#ifdef RNNRT_EMU
    emu::copy_commit();
#elif RNNRT_SM80
    asm volatile("cp.async.commit_group;" : : : "memory");
#endif
}
/* until at most PENDING of the newest groups are under way */
template <int PENDING> __device__ __forceinline__ void copy_wait()
{
#ifdef RNNRT_EMU
    emu::copy_wait(PENDING);
#elif RNNRT_SM80
    asm volatile("cp.async.wait_group %0;" : : "n"(PENDING) : "memory");
#endif
}

/* ---- tensor cores in TF32 (sm_80) ---- */
/* the nearest number of 10 bits of fraction, ties away from zero */
__device__ __forceinline__ uint32_t to_tf32(float v)
{
#ifdef RNNRT_EMU
    const uint32_t b = __float_as_uint(v);
    return (b & 0x7f800000u) == 0x7f800000u ? b : (b + 0x1000u) & 0xffffe000u;
#elif RNNRT_SM80
    uint32_t r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(v));
    return r;
#else
    return __float_as_uint(v);
#endif
}
/* d += a b: 16x8 += 16x8 8x8. Of lane (g, t) = (lane / 4, lane % 4):
 * a = (g, t) (g+8, t) (g, t+4) (g+8, t+4); b = (t, g) (t+4, g); d = (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1) */
__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#ifdef RNNRT_EMU
    const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]}, *seen[32];
    emu::exchange(ALL_LANES, mine, 6, &seen);
    const int g = emu::lane / 4, t = emu::lane % 4;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 8; k++) {
            const uint32_t x = seen[g * 4 + k % 4][(i >= 2 ? 1 : 0) + (k >= 4 ? 2 : 0)];
            const uint32_t y = seen[(2 * t + (i & 1)) * 4 + k % 4][4 + (k >= 4 ? 1 : 0)];
            d[i] += __uint_as_float(x & 0xffffe000u) * __uint_as_float(y & 0xffffe000u);
        }
#elif RNNRT_SM80
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    (void)d, (void)a, (void)b;
#endif
}

/* The sum over the lanes of a warp, the same in each: one fixed tree. */
__device__ __forceinline__ float warp_sum(float v)
{
    UNROLL
    for (int by = 16; by; by /= 2)
        v += __shfl_xor_sync(ALL_LANES, v, by);
    return v;
}

} // namespace rnnrt

#endif
