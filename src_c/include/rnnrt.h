/* What Cython sees of the C core. No Python, no file formats: plans in, numbers out. */
#ifndef RNNRT_H
#define RNNRT_H

#include "rnnrt_backend.h"

/* The CPU executor, behind the same table as every plugin. */
const rnnrt_backend *rnnrt_cpu_backend(void);

/* Plugins: opens a shared library and checks its table (major ABI, sizes, no NULL among the members of 1.0).
 * Members that an older one lacks are NULL in *out. The library stays open for the life of the process. err->msg says what is wrong. */
int32_t rnnrt_backend_open(const char *path, const rnnrt_backend **out, rnnrt_error *err);
int32_t rnnrt_backend_check(const rnnrt_backend *api, rnnrt_error *err);

/* Kernel tables that this machine can run, best first; NULL past the end. */
const char *rnnrt_kernel_name(int index);
int rnnrt_kernel_vector_floats(const char *name);
int rnnrt_kernel_bitwise_group(const char *name);
/* The table that NULL means: the best, or the one that rnnrt_kernel_force named (NULL: undo). 0 = unknown name. */
const char *rnnrt_kernel_default(void);
int rnnrt_kernel_force(const char *name);
/* zlib's crc32 of n bytes more; 0 and nothing done where this CPU has no carry-less product. */
int rnnrt_crc32(const void *data, size_t n, uint32_t *crc);
/* Space-separated CPU features as far as the kernels care. */
const char *rnnrt_cpu_features(void);
/* Most flops a second of floats, of int8 weights (0: without vectors), and most bytes a second read of buffers of these
 * sizes (multiples of 256), by a table's vectors on one core; takes some 20 ms each. RNNRT_EUNSUPPORTED: no such table. */
int32_t rnnrt_ceilings(const char *kernels, double *flops, double *int8, int n, const int64_t *bytes, double *read);
/* BLAS (Fortran pointers of scipy's capsules); needed before the table "blas" is used. */
void rnnrt_blas_install(void *sgemm, void *sgemv);
int rnnrt_blas_installed(void);

/* Every allocation of the core goes through one pair; NULL restores malloc and free. Memory is 64-byte aligned. */
typedef void *rnnrt_alloc_fn(size_t bytes, void *context);
typedef void rnnrt_free_fn(void *memory, void *context);
void rnnrt_allocator_set(rnnrt_alloc_fn *alloc, rnnrt_free_fn *release, void *context);
/* Number of allocations so far: what "step never allocates" is tested with. */
int64_t rnnrt_allocations(void);

/* For tests: every model with threads shares out all it can, however little. */
void rnnrt_team_always(int on);
/* Parts of jobs that workers could have taken so far, and those that they came too late for. */
void rnnrt_team_counts(int64_t *asked, int64_t *missed);

/* Names of the ops in the order of their numbers, NULL past the end. */
const char *rnnrt_op_name(int kind);
/* Names of the activation functions, likewise. */
const char *rnnrt_activation_name(int kind);

#endif
