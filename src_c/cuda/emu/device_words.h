/* What a kernel may say, in the emulation: indices, barriers, warps, atomics, bits. */
#ifndef RNNRT_EMU_DEVICE_WORDS_H
#define RNNRT_EMU_DEVICE_WORDS_H

namespace emu {

extern int lane; /* of the thread that runs */

void sync_block();
int sync_block_reduce(int value, int how); /* 0 or, 1 and, 2 count */
void sync_warp(unsigned mask);
/* Gives n words (at most 8), returns those of lane `from`; all lanes of the mask meet. */
void exchange(unsigned mask, const uint32_t *mine, int n, const uint32_t *(*seen)[32]);
void poll(); /* a place where another thread may go on: reading what others write, atomics */
void *dynamic_shared();
void *static_shared(const void *key, size_t bytes);
unsigned cluster_rank();
unsigned cluster_size();
void cluster_arrive();
void cluster_wait();
void *cluster_map(const void *shared, unsigned rank);
void copy_async(void *shared, const void *global, int bytes);
void copy_commit();
void copy_wait(int pending);

template <class T> static inline T shuffle(unsigned mask, T v, int from)
{
    static_assert(sizeof(T) % 4 == 0 && sizeof(T) <= 32, "words");
    uint32_t mine[sizeof(T) / 4];
    const uint32_t *seen[32];
    memcpy(mine, &v, sizeof v);
    exchange(mask, mine, sizeof(T) / 4, &seen);
    if (from >= 0 && from < 32 && seen[from])
        memcpy(&v, seen[from], sizeof v);
    return v;
}

template <class T, class F> static inline T atomic(T *p, F next)
{
    poll();
    T old = *p;
    *p = next(old);
    return old;
}

} // namespace emu

/* set whenever a thread goes on */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static const int warpSize = 32;

static inline void __syncthreads() { emu::sync_block(); }
static inline int __syncthreads_or(int v) { return emu::sync_block_reduce(v, 0); }
static inline int __syncthreads_and(int v) { return emu::sync_block_reduce(v, 1); }
static inline int __syncthreads_count(int v) { return emu::sync_block_reduce(v, 2); }
static inline void __syncwarp(unsigned mask = 0xffffffffu) { emu::sync_warp(mask); }
static inline void __threadfence() { emu::poll(); }
static inline void __threadfence_block() { emu::poll(); }
static inline void __threadfence_system() { emu::poll(); }
static inline void __nanosleep(unsigned) { emu::poll(); }
static inline long long clock64() { static long long t; return t += 64; }

/* width: sub-groups of that many lanes, as on the device */
template <class T> static inline T __shfl_sync(unsigned m, T v, int from, int width = 32)
{
    return emu::shuffle(m, v, (emu::lane & ~(width - 1)) + (from & (width - 1)));
}
template <class T> static inline T __shfl_xor_sync(unsigned m, T v, int with, int width = 32)
{
    int to = emu::lane ^ with;
    return emu::shuffle(m, v, to / width > emu::lane / width ? emu::lane : to);
}
template <class T> static inline T __shfl_down_sync(unsigned m, T v, unsigned by, int width = 32)
{
    const int lane = emu::lane;
    return emu::shuffle(m, v, (lane & (width - 1)) + (int)by < width ? lane + (int)by : lane);
}
template <class T> static inline T __shfl_up_sync(unsigned m, T v, unsigned by, int width = 32)
{
    const int lane = emu::lane;
    return emu::shuffle(m, v, (lane & (width - 1)) >= (int)by ? lane - (int)by : lane);
}
static inline unsigned __ballot_sync(unsigned m, int v)
{
    const uint32_t mine = v != 0, *seen[32];
    emu::exchange(m, &mine, 1, &seen);
    unsigned all = 0;
    for (int i = 0; i < 32; i++)
        all |= seen[i] && *seen[i] ? 1u << i : 0;
    return all;
}
static inline int __any_sync(unsigned m, int v) { return __ballot_sync(m, v) != 0; }
static inline int __all_sync(unsigned m, int v) { return __ballot_sync(m, !v) == 0; }

template <class T, class U> static inline T atomicAdd(T *p, U v) { return emu::atomic(p, [=](T x) { return (T)(x + v); }); }
template <class T, class U> static inline T atomicSub(T *p, U v) { return emu::atomic(p, [=](T x) { return (T)(x - v); }); }
template <class T, class U> static inline T atomicExch(T *p, U v) { return emu::atomic(p, [=](T) { return (T)v; }); }
template <class T, class U> static inline T atomicMax(T *p, U v) { return emu::atomic(p, [=](T x) { return x > (T)v ? x : (T)v; }); }
template <class T, class U> static inline T atomicMin(T *p, U v) { return emu::atomic(p, [=](T x) { return x < (T)v ? x : (T)v; }); }
template <class T, class U> static inline T atomicOr(T *p, U v) { return emu::atomic(p, [=](T x) { return (T)(x | v); }); }
template <class T, class U> static inline T atomicAnd(T *p, U v) { return emu::atomic(p, [=](T x) { return (T)(x & v); }); }
template <class T, class U, class V> static inline T atomicCAS(T *p, U was, V v)
{
    return emu::atomic(p, [=](T x) { return x == (T)was ? (T)v : x; });
}

template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
template <class T> static inline void __stcg(T *p, T v) { *p = v; }
template <class T> static inline void __stcs(T *p, T v) { *p = v; }

template <class To, class From> static inline To emu_bits(From v)
{
    To r;
    static_assert(sizeof r == sizeof v, "the same size");
    memcpy(&r, &v, sizeof r);
    return r;
}
static inline unsigned __float_as_uint(float v) { return emu_bits<unsigned>(v); }
static inline int __float_as_int(float v) { return emu_bits<int>(v); }
static inline float __uint_as_float(unsigned v) { return emu_bits<float>(v); }
static inline float __int_as_float(int v) { return emu_bits<float>(v); }
static inline long long __double_as_longlong(double v) { return emu_bits<long long>(v); }
static inline double __longlong_as_double(long long v) { return emu_bits<double>(v); }
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
static inline int __ffs(int v) { return __builtin_ffs(v); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float emu_expf(float a) { return expf(a); }
#define __expf emu_expf /* glibc has one of that name */
static inline float __fdividef(float a, float b) { return a / b; }
static inline float rsqrtf(float a) { return 1.0f / sqrtf(a); }
template <class A, class B> static inline auto max(A a, B b) -> decltype(a + b) { return a > b ? a : b; }
template <class A, class B> static inline auto min(A a, B b) -> decltype(a + b) { return a < b ? a : b; }

#endif
