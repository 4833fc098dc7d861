#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* madvise */
#endif
#include "alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Weights that lie beyond the caches are read page by page: two cores that read 10 MB each get 1.1 to 1.5 times as much
 * of the third cache from large pages, and loading takes a fault for 2 MB instead of 4 KB. */
#define LARGE_PAGE ((size_t)2 << 20)
#define LARGE_FROM LARGE_PAGE

static void *default_alloc(size_t bytes, void *context)
{
    (void)context;
    void *p = NULL;
    int large = bytes >= LARGE_FROM;
    if (posix_memalign(&p, large ? LARGE_PAGE : 64, bytes))
        return NULL;
#if defined(MADV_HUGEPAGE)
    if (large) /* the last, partial one stays small; where there are none, nothing changes */
        madvise(p, bytes / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#endif
    return p;
}

static void default_free(void *memory, void *context)
{
    (void)context;
    free(memory);
}

static rnnrt_alloc_fn *alloc_hook = default_alloc;
static rnnrt_free_fn *free_hook = default_free;
static void *hook_context;
static atomic_llong allocations;

void rnnrt_allocator_set(rnnrt_alloc_fn *alloc, rnnrt_free_fn *release, void *context)
{
    alloc_hook = alloc && release ? alloc : default_alloc;
    free_hook = alloc && release ? release : default_free;
    hook_context = context;
}

int64_t rnnrt_allocations(void) { return atomic_load(&allocations); }

void *rnnrt_alloc(size_t bytes)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return alloc_hook(bytes ? bytes : 1, hook_context);
}

void *rnnrt_alloc_zero(size_t bytes)
{
    void *p = rnnrt_alloc(bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

void rnnrt_free(void *memory)
{
    if (memory)
        free_hook(memory, hook_context);
}
