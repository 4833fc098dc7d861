/* This machine's ceilings under one table, measured now: the best of some short runs, since other load only lowers them. */
#include <string.h>
#include <time.h>

#include "../include/rnnrt.h"
#include "../kernels/fpenv.h"
#include "alloc.h"
#include "kernel_table.h"

enum { TRIES = 9 };
#define RUN_S 0.002

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best_fma(const rnnrt_kernels *k)
{
    float sink[RNNRT_CEILING_SINK] = {0};
    int64_t rounds = 1 << 12;
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double begin = now(), work = (double)k->ceiling_fma(rounds, sink), seconds = now() - begin;
        if (seconds > 0 && work / seconds > best)
            best = work / seconds;
        if (seconds < RUN_S)
            rounds *= 2, i = -1;
    }
    return best;
}

static double best_read(const rnnrt_kernels *k, const float *buffer, int64_t bytes)
{
    float sink[RNNRT_CEILING_SINK];
    int64_t repeats = 1;
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double begin = now(), work = 0;
        for (int64_t r = 0; r < repeats; r++)
            work += (double)k->ceiling_read(buffer, bytes / (int64_t)sizeof(float), sink);
        double seconds = now() - begin;
        if (seconds > 0 && work / seconds > best)
            best = work / seconds;
        if (seconds < RUN_S)
            repeats *= 2, i = -1;
    }
    return best;
}

int32_t rnnrt_ceilings(const char *kernels, double *flops, double *int8, int n, const int64_t *bytes, double *read)
{
    const rnnrt_kernels *k = rnnrt_kernel_table(kernels);
    int64_t most = 0;
    if (!k)
        return RNNRT_EUNSUPPORTED;
    for (int i = 0; i < n; i++) {
        if (bytes[i] < RNNRT_CEILING_SINK * (int64_t)sizeof(float) || bytes[i] % 256)
            return RNNRT_EINVAL;
        most = bytes[i] > most ? bytes[i] : most;
    }
    float *buffer = rnnrt_alloc((size_t)most);
    if (most && !buffer)
        return RNNRT_ENOMEM;
    if (most)
        memset(buffer, 0, (size_t)most);
    rnnrt_fpenv env = rnnrt_fpenv_enter();
    *flops = best_fma(k);
    *int8 = k->int8 && k->int8->ceiling_fma ? best_fma(k->int8) : 0;
    for (int i = 0; i < n; i++)
        read[i] = best_read(k, buffer, bytes[i]);
    rnnrt_fpenv_leave(env);
    rnnrt_free(buffer);
    return RNNRT_OK;
}
