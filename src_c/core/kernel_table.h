/* Which kernel tables this machine can run, and which one is meant. */
#ifndef RNNRT_KERNEL_TABLE_H
#define RNNRT_KERNEL_TABLE_H

#include "../kernels/kernels.h"

/* By name, NULL: the default. Returns NULL for an unknown name or one that this machine cannot run. */
const rnnrt_kernels *rnnrt_kernel_table(const char *name);

typedef struct rnnrt_cpu {
    int avx2, fma, f16c, avx512, vnni;
} rnnrt_cpu;
const rnnrt_cpu *rnnrt_cpu_detect(void);

#endif
