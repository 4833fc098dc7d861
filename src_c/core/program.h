/* A model on the CPU: the checked plan, its packed weights, and the workspaces of concurrent runs. */
#ifndef RNNRT_PROGRAM_H
#define RNNRT_PROGRAM_H

#ifdef __cplusplus /* a plugin; C++ has this header from C++23 on */
#include <atomic>
using std::atomic_int;
#define _Atomic(T) std::atomic<T>
extern "C" {
#else
#include <stdatomic.h>
#endif

#include "../ops/op.h"
#include "alloc.h"
#include "threads.h"

/* Where the values of runs live (weights are packed in host memory), and how much of them a tile should hold. */
typedef struct rnnrt_heap {
    void *(*alloc)(size_t bytes);
    void (*release)(void *memory);
    int64_t tile_bytes, tile_rows;
} rnnrt_heap;

extern const rnnrt_heap rnnrt_host_heap;

/* What a program is made for: who packs its weights, what its ops are, by kind, where its values live. */
typedef struct rnnrt_target {
    const rnnrt_kernels *kernels;
    const rnnrt_op_class *const *classes;
    const rnnrt_heap *heap;
} rnnrt_target;

extern const rnnrt_op_class *const rnnrt_host_classes[];

/* Where one call's values live. Built for a batch and a longest tile; reused while it is large enough. */
typedef struct rnnrt_workspace {
    struct rnnrt_workspace *next;
    const rnnrt_heap *heap;      /* of arena and rows */
    int64_t *symbols;            /* of the last binding */
    int64_t *dims;
    int64_t *offset;             /* arena offset of each tensor's storage, or -1: input, output, alias */
    rnnrt_view *views;           /* for a whole tile, data set for temporaries */
    int64_t *region_tile;        /* steps of a tile of each region */
    char *arena;
    int64_t arena_bytes, scratch_at;
    char *rows;                  /* state rows of predict, shadow rows of a session */
    int64_t rows_bytes;
    int64_t batch, cost, n_tiles;
    int64_t walked;              /* steps of all calls */
    int32_t bound;
    int32_t keep_places;         /* a session's: offsets stay, since sizes only shrink from the first binding */
} rnnrt_workspace;

struct rnnrt_model {
    atomic_int references;
    rnnrt_plan plan;             /* deep copy, weight_data dropped after packing */
    void *plan_memory;
    rnnrt_op *ops;
    char *prepared;
    int64_t prepared_bytes;
    const rnnrt_kernels *kernels;
    const rnnrt_heap *heap;
    int64_t *root;               /* storage root of each tensor: itself unless an alias */
    int64_t *last_use;           /* last op that touches each root's storage */
    int64_t *maker;              /* op that makes each tensor (its root, for an alias), or -1 */
    int64_t *lent;               /* tensors that lie in the caller's buffers */
    int64_t *prechecked;         /* ops that look at an input before the first op runs */
    int64_t n_lent, n_prechecked;
    int32_t fallible;            /* some op may fail after the first has run */
    rnnrt_workspace *free_list;  /* under the lock of lock.h */
    int64_t n_free;
    _Atomic(rnnrt_team *) team;  /* NULL: calls run on one thread */
    int64_t threads;             /* of a call: 1, or those of the team */
};

/* program.c */
int32_t rnnrt_program_check(const rnnrt_plan *plan, const rnnrt_target *target, rnnrt_op *ops, rnnrt_error *err);
/* Checks, copies, packs; the packed weights are in host memory. */
int32_t rnnrt_program_make(const rnnrt_plan *plan, const rnnrt_target *target, rnnrt_model **out, rnnrt_error *err);
int32_t rnnrt_program_create(const rnnrt_plan *plan, const rnnrt_model_options *opt, rnnrt_model **out, rnnrt_error *err);
void rnnrt_program_release(rnnrt_model *model);
void rnnrt_ops_fill(const rnnrt_plan *plan, const rnnrt_op_class *const *classes, rnnrt_op *ops);

/* bind.c */
rnnrt_workspace *rnnrt_workspace_create(const rnnrt_model *model);
void rnnrt_workspace_free(rnnrt_workspace *ws);
/* Evaluates the sizes for these symbols; allocates only where the arena is too small. */
int32_t rnnrt_workspace_bind(const rnnrt_model *model, rnnrt_workspace *ws, const int64_t *symbols, rnnrt_error *err);
/* Bytes that a binding would take, without allocating; cost in nanoseconds. */
int32_t rnnrt_workspace_measure(const rnnrt_model *model, const int64_t *symbols, int64_t *bytes, int64_t *cost,
                                rnnrt_error *err);

/* executor.c */
int32_t rnnrt_execute(const rnnrt_model *model, rnnrt_workspace *ws, const rnnrt_call *call, char *rows, int32_t carry,
                      rnnrt_error *err);
/* Before rnnrt_execute: points the views at the caller's buffers; ids of inputs are checked before any state moves. */
int32_t rnnrt_execute_precheck(const rnnrt_model *model, rnnrt_workspace *ws, const rnnrt_call *call, rnnrt_error *err);
/* session.c */
int32_t rnnrt_model_run_cpu(rnnrt_model *model, const rnnrt_call *call, rnnrt_error *err);
int32_t rnnrt_session_create_cpu(rnnrt_model *model, int64_t rows, rnnrt_session **out, rnnrt_error *err);
void rnnrt_session_release_cpu(rnnrt_session *session);
int64_t rnnrt_session_memory_cpu(rnnrt_session *session, rnnrt_error *err);
int32_t rnnrt_session_run_cpu(rnnrt_session *session, const rnnrt_call *call, rnnrt_error *err);
int32_t rnnrt_session_get_rows_cpu(rnnrt_session *s, int64_t first, int64_t count, void *out, rnnrt_error *err);
int32_t rnnrt_session_set_rows_cpu(rnnrt_session *s, int64_t first, int64_t count, const void *in, rnnrt_error *err);
/* streams.c */
int32_t rnnrt_pool_create_cpu(rnnrt_model *model, int64_t max_batch, rnnrt_pool **out, rnnrt_error *err);
void rnnrt_pool_release_cpu(rnnrt_pool *pool);
int32_t rnnrt_pool_reserve_cpu(rnnrt_pool *pool, int64_t rows, rnnrt_error *err);
int32_t rnnrt_pool_run_cpu(rnnrt_pool *pool, const int64_t *rows, const rnnrt_call *call, rnnrt_error *err);
int32_t rnnrt_pool_get_rows_cpu(rnnrt_pool *pool, const int64_t *rows, int64_t count, void *out, rnnrt_error *err);
int32_t rnnrt_pool_set_rows_cpu(rnnrt_pool *pool, const int64_t *rows, int64_t count, const void *in, rnnrt_error *err);

#ifdef __cplusplus
}
#endif

#endif
