/* cpuid, and xgetbv: an instruction set counts only where the operating system saves its registers. */
#include <stdio.h>
#include <string.h>

#include "../include/rnnrt.h"
#include "kernel_table.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

static unsigned long long xcr0(void)
{
    unsigned lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((unsigned long long)hi << 32) | lo;
}

static rnnrt_cpu detect(void)
{
    rnnrt_cpu cpu = {0};
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return cpu;
    unsigned long long os = xcr0();
    int ymm = (os & 6) == 6, zmm = (os & 0xe6) == 0xe6;
    cpu.fma = ymm && (c & bit_FMA);
    cpu.f16c = ymm && (c & bit_F16C);
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return cpu;
    cpu.avx2 = ymm && (b & bit_AVX2);
    const unsigned want = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    cpu.avx512 = zmm && (b & want) == want;
    cpu.vnni = cpu.avx512 && (c & bit_AVX512VNNI);
    return cpu;
}
#else
static rnnrt_cpu detect(void)
{
    rnnrt_cpu cpu = {0};
    return cpu;
}
#endif

const rnnrt_cpu *rnnrt_cpu_detect(void)
{
    /* the same answer from every thread, so a race only repeats the work */
    static rnnrt_cpu cpu;
    static int done;
    if (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        cpu = detect();
        __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    }
    return &cpu;
}

const char *rnnrt_cpu_features(void)
{
    static char text[64];
    const rnnrt_cpu *c = rnnrt_cpu_detect();
    snprintf(text, sizeof text, "%s%s%s%s%s", c->avx2 ? "avx2 " : "", c->fma ? "fma " : "", c->f16c ? "f16c " : "",
             c->avx512 ? "avx512 " : "", c->vnni ? "avx512_vnni " : "");
    size_t n = strlen(text);
    if (n)
        text[n - 1] = 0;
    return text;
}
