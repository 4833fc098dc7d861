/* What check.c and bench.c share: the tables this CPU can run, aligned memory, a small generator. */
#ifndef COMMON_H
#define COMMON_H

#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/fpenv.h"
#include "kernels/half.h"
#include "kernels/kernels.h"

static inline int runs(const rnnrt_kernels *k)
{
    if (!strcmp(k->name, "avx512"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (!strcmp(k->name, "avx512_vnni"))
        return runs(&rnnrt_kernels_avx512) && __builtin_cpu_supports("avx512vnni");
    if (!strcmp(k->name, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return 1;
}

static inline void *aligned(int64_t bytes)
{
    void *p = 0;
    if (posix_memalign(&p, 64, (size_t)(bytes > 0 ? bytes : 64)))
        exit(2);
    return p;
}
static inline float *floats(int64_t n) { return aligned(n * (int64_t)sizeof(float)); }

static uint64_t random_state = 0x9e3779b97f4a7c15u;
static inline uint32_t random_u32(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}
static inline float random_unit(void) { return (float)(int32_t)random_u32() * 0x1p-31f; }

static inline double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *const activation_names[] = {
#define RNNRT_ACTIVATION(id, name) name,
#include "include/activations.def"
#undef RNNRT_ACTIVATION
};

#endif
