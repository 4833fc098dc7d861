/* What an op is to the executor: five functions and the views that it works on. */
#ifndef RNNRT_OP_H
#define RNNRT_OP_H

#include "../include/rnnrt_backend.h"
#include "../kernels/kernels.h"
#include "team.h"

typedef enum rnnrt_op_kind {
#define RNNRT_OP(id, name, cls) RNNRT_OP_##id,
#include "ops.def"
#undef RNNRT_OP
    RNNRT_OP_COUNT
} rnnrt_op_kind;

/* A tensor at the current tile: `batch` rows of `steps * width` elements that lie together. A tensor without
 * a walked time axis has steps = 1 and width = all that follows the batch. */
typedef struct rnnrt_view {
    char *data;
    int64_t batch, steps, width;
    int64_t batch_stride;        /* elements from one batch row to the next; steps * width where dense */
    int32_t dtype;
} rnnrt_view;

/* What the executor knows while a program is created: the checked plan, seen from one op. */
typedef struct rnnrt_op {
    const rnnrt_plan_op *desc;
    const struct rnnrt_op_class *cls;
    int32_t index;
    const int64_t *in, *out, *weight, *state, *init, *attr;
    const double *real;
    void *prepared;              /* packed weights and whatever prepare made; prepared_bytes long */
    const struct rnnrt_op *rows; /* the embedding whose rows this op projects as they come (link.c), or NULL */
    int32_t numbers;             /* an embedding whose readers all have: it writes an int32 row number at each row */
} rnnrt_op;

typedef struct rnnrt_plan_view {
    const rnnrt_plan *plan;
    const rnnrt_kernels *kernels;
} rnnrt_plan_view;

/* Sizes of one binding, for `size`. */
typedef struct rnnrt_sizes {
    const rnnrt_plan *plan;
    const rnnrt_kernels *kernels;
    const int64_t *dims;         /* evaluated */
    int64_t steps;               /* steps in the largest tile of the op's region; 1 where it is not tiled */
    int64_t threads;             /* that a call may have */
} rnnrt_sizes;

/* One run of one op over one tile. */
typedef struct rnnrt_run {
    const rnnrt_plan *plan;
    const rnnrt_kernels *kernels;
    const rnnrt_view *views;     /* by tensor */
    char *rows;                  /* state rows of this call */
    int64_t row_bytes;
    char *scratch;               /* at least what `size` asked for, 64-byte aligned */
    int32_t carry;               /* 1: a session, whose states go on (initial states were put in at its reset) */
    int32_t first_tile;          /* 1 in the first tile of the call */
    int32_t last_tile;
    int64_t position;            /* index of the tile's first step */
    rnnrt_error *err;
    const int64_t *dims;         /* evaluated, of the whole call; a walked axis has the view's steps */
    rnnrt_host_fn *host;         /* of the call; NULL where it has none */
    void *host_context;
    int64_t *op_ns;              /* of the call: a profile is asked for; else NULL */
    rnnrt_team *team;            /* threads to share steps with; NULL: none */
    int64_t walked;              /* steps of the calls before on this workspace: a step reads first what the last one
                                    read last, which may still be in the cache */
    int64_t threads;             /* as in the sizes; the team has so many, where there is one */
} rnnrt_run;

typedef struct rnnrt_op_class {
    const char *name;
    /* counts, ranks and dtypes of what the op refers to; everything later relies on it */
    int32_t (*check)(const rnnrt_plan_view *p, const rnnrt_op *op, rnnrt_error *err);
    /* bytes that `prepare` fills once; NULL: none */
    int64_t (*prepared_bytes)(const rnnrt_plan_view *p, const rnnrt_op *op);
    void (*prepare)(const rnnrt_plan_view *p, const rnnrt_op *op, void *prepared);
    /* scratch bytes and estimated nanoseconds (NULL: none); RNNRT_ESHAPE where run-time sizes disagree */
    int32_t (*size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err);
    /* checks values of an input as a whole before the first op runs (ids); NULL: cannot fail */
    int32_t (*precheck)(const rnnrt_run *run, const rnnrt_op *op);
    int32_t (*run)(const rnnrt_run *run, const rnnrt_op *op);
    int32_t fallible;            /* 1: `run` may fail on values unless precheck saw them */
} rnnrt_op_class;

#define RNNRT_OP(id, name, cls) extern const rnnrt_op_class cls;
#include "ops.def"
#undef RNNRT_OP

/* Finds the ops that can share out work once, at load; see link.c. */
void rnnrt_ops_link(const rnnrt_plan *plan, const rnnrt_kernels *kernels, rnnrt_op *ops);
/* Bytes of the table that a recurrent op would make of an embedding's rows; 0 where it is not worth it. */
int64_t rnnrt_recurrent_table_bytes(const rnnrt_plan_view *p, const rnnrt_op *op, const rnnrt_op *rows);

/* helpers that every op file uses */
static inline int32_t rnnrt_fail(rnnrt_error *err, int32_t code, int32_t op, int64_t a, int64_t b)
{
    err->code = code;
    err->op = op;
    err->a = a;
    err->b = b;
    return code;
}

static inline const rnnrt_view *rnnrt_in(const rnnrt_run *run, const rnnrt_op *op, int i)
{
    return &run->views[op->in[i]];
}

static inline const rnnrt_view *rnnrt_out(const rnnrt_run *run, const rnnrt_op *op, int i)
{
    return &run->views[op->out[i]];
}

static inline const rnnrt_plan_tensor *rnnrt_tensor_of(const rnnrt_plan *p, int64_t t) { return &p->tensors[t]; }

/* Rows of the last axis that lie together: the whole view where it is dense, else one batch row at a time. */
static inline int64_t rnnrt_spans(const rnnrt_view *a, const rnnrt_view *b, int64_t *length)
{
    int dense = a->batch_stride == a->steps * a->width && b->batch_stride == b->steps * b->width;
    if (dense) {
        *length = a->batch * a->steps;
        return 1;
    }
    *length = a->steps;
    return a->batch;
}

static inline int64_t rnnrt_dtype_size(int64_t dtype)
{
    switch (dtype) {
    case RNNRT_F64: case RNNRT_I64: return 8;
    case RNNRT_F32: case RNNRT_I32: return 4;
    case RNNRT_F16: case RNNRT_BF16: return 2;
    default: return 1;
    }
}

/* RNNRT_ESHAPE unless the first `axes` axes of the first input and the first output are equally long. */
static inline int32_t rnnrt_axes_agree(const rnnrt_sizes *s, const rnnrt_op *op, int64_t axes, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]], *y = &s->plan->tensors[op->out[0]];
    for (int64_t i = 0; i < axes; i++)
        if (s->dims[x->dims[i]] != s->dims[y->dims[i]])
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[y->dims[i]], s->dims[x->dims[i]]);
    return RNNRT_OK;
}

/* Estimated nanoseconds of `passes` products (rows, inputs) x (inputs, outputs) in a row: arithmetic, or reading the
 * weights where a pass has few rows. Rates between those of the CPUs that were measured. */
static inline int64_t rnnrt_product_ns(const rnnrt_kernels *k, double passes, double rows, double inputs, double outputs,
                                       int64_t weight_dtype)
{
    double size = (double)rnnrt_dtype_size(weight_dtype), weights = inputs * outputs;
    double arithmetic = rows * weights * (size > 4 ? 2.0 : 1.0) / (5.0 * (double)k->vector_floats);
    double reading = weights * size / (weights * size > 1e6 ? 48.0 : 96.0); /* beyond a private L2, and within it */
    double ns = passes * (arithmetic > reading ? arithmetic : reading);
    return ns < 9e18 ? (int64_t)ns : INT64_MAX / 2;
}

/* Functions of a whole row of the last axis. */
static inline int rnnrt_rowwise(int64_t act)
{
    return act == RNNRT_ACT_SOFTMAX || act == RNNRT_ACT_LOG_SOFTMAX || act == RNNRT_ACT_SPARSEMAX || act == RNNRT_ACT_GLU;
}

static inline int64_t rnnrt_round64(int64_t bytes) { return (bytes + 63) & ~(int64_t)63; }

#endif
