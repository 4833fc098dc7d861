#include "kernel_table.h"

#include <string.h>

#include "../include/rnnrt.h"

static int always(const rnnrt_cpu *c) { (void)c; return 1; }

#if defined(__x86_64__)
static int has_avx512(const rnnrt_cpu *c) { return c->avx512 && c->fma; }
static int has_vnni(const rnnrt_cpu *c) { return has_avx512(c) && c->vnni; }
static int has_avx2(const rnnrt_cpu *c) { return c->avx2 && c->fma && c->f16c; }
#endif

/* In order of preference. `oracle` and `blas` are never chosen by themselves. */
static const struct { const rnnrt_kernels *table; int (*runs)(const rnnrt_cpu *); int by_name_only; } tables[] = {
#if defined(__x86_64__)
    {&rnnrt_kernels_avx512_vnni, has_vnni, 0},
    {&rnnrt_kernels_avx512, has_avx512, 0},
    {&rnnrt_kernels_avx2, has_avx2, 0},
#endif
    {&rnnrt_kernels_portable, always, 0},
    {&rnnrt_kernels_oracle, always, 1},
    {&rnnrt_kernels_blas, always, 1},
};
enum { N_TABLES = sizeof tables / sizeof tables[0] };

static const rnnrt_kernels *forced;

const rnnrt_kernels *rnnrt_kernel_table(const char *name)
{
    const rnnrt_cpu *cpu = rnnrt_cpu_detect();
    if (!name && forced)
        return forced;
    for (int i = 0; i < N_TABLES; i++) {
        if (!tables[i].runs(cpu) || (name ? strcmp(name, tables[i].table->name) != 0 : tables[i].by_name_only))
            continue;
        if (tables[i].table == &rnnrt_kernels_blas && !rnnrt_blas_ready())
            return NULL;
        return tables[i].table;
    }
    return NULL;
}

const char *rnnrt_kernel_name(int index)
{
    const rnnrt_cpu *cpu = rnnrt_cpu_detect();
    for (int i = 0; i < N_TABLES; i++)
        if (tables[i].runs(cpu) && index-- == 0)
            return tables[i].table->name;
    return NULL;
}

static const rnnrt_kernels *find(const char *name)
{
    for (int i = 0; i < N_TABLES; i++)
        if (strcmp(name, tables[i].table->name) == 0)
            return tables[i].table;
    return NULL;
}

int rnnrt_kernel_vector_floats(const char *name)
{
    const rnnrt_kernels *k = find(name);
    return k ? k->vector_floats : 0;
}

int rnnrt_kernel_bitwise_group(const char *name)
{
    const rnnrt_kernels *k = find(name);
    return k ? k->bitwise_group : 0;
}

const char *rnnrt_kernel_default(void) { return rnnrt_kernel_table(NULL)->name; }

int rnnrt_kernel_force(const char *name)
{
    const rnnrt_kernels *k = name ? rnnrt_kernel_table(name) : NULL;
    if (name && !k)
        return 0;
    forced = k;
    return 1;
}

void rnnrt_blas_install(void *sgemm, void *sgemv)
{
    rnnrt_blas_set((rnnrt_sgemm *)sgemm, (rnnrt_sgemv *)sgemv);
}

int rnnrt_blas_installed(void) { return rnnrt_blas_ready(); }

static const char *const activation_names[] = {
#define RNNRT_ACTIVATION(id, name) name,
#include "../include/activations.def"
#undef RNNRT_ACTIVATION
};

const char *rnnrt_activation_name(int kind)
{
    return kind >= 0 && kind < RNNRT_ACT_COUNT ? activation_names[kind] : NULL;
}
