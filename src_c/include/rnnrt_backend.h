/* The table between rnnrt and whatever executes a program: the CPU executor, a GPU plugin, a test dummy.
 *
 * A backend is one shared library (or static object) with one exported symbol, rnnrt_backend_get_api.
 * Granularity is the whole program: a backend takes all ops of a plan or names the first that it cannot do.
 * Plain C99; structs that grow start with struct_size and are only appended to, each side asking RNNRT_HAS
 * before it touches a member newer than 1.0; no exceptions, no abort, no printing across the boundary. Untrusted bytes never come here: Python has validated the file, and
 * model_create checks every index, expression and alias of the plan once.
 *
 * All plan records are arrays of int64_t, so that the planner hands NumPy arrays over as they are.
 */
#ifndef RNNRT_BACKEND_H
#define RNNRT_BACKEND_H

#include "rnnrt_types.h"

#define RNNRT_ABI_MAJOR 1u
#define RNNRT_ABI_MINOR 1u
#define RNNRT_ABI ((RNNRT_ABI_MAJOR << 16) | RNNRT_ABI_MINOR)
#define RNNRT_MAX_RANK 8

/* Whether a sized struct of the other side is long enough to have this member. */
#define RNNRT_HAS(p, type, member) ((p)->struct_size >= offsetof(type, member) + sizeof(((type *)0)->member))

typedef enum rnnrt_status {
    RNNRT_OK = 0,
    RNNRT_EINVAL = 1,       /* the plan or the call is malformed */
    RNNRT_ESHAPE = 2,       /* sizes do not fit at run time: op, a = got, b = expected */
    RNNRT_EID = 3,          /* an id outside the table: op, a = the id, b = its flat position */
    RNNRT_EIDNAN = 4,       /* an id that is not a number: op, b = its flat position */
    RNNRT_ENOMEM = 5,       /* a = bytes asked for */
    RNNRT_EBUSY = 6,        /* the session is in use by another thread */
    RNNRT_EINTERRUPT = 7,   /* the poll function asked to stop */
    RNNRT_EUNSUPPORTED = 8, /* op: the first that this backend cannot do */
    RNNRT_EABI = 9,
    RNNRT_EDEVICE = 10,     /* device_code holds the device's own code */
    RNNRT_EHOST = 11,       /* a host op failed; the host knows why */
} rnnrt_status;

typedef struct rnnrt_error {
    int32_t code;        /* rnnrt_status */
    int32_t op;          /* index of the op, or -1 */
    int64_t a, b;
    int32_t device_code;
    char msg[228];       /* a short English text, may be empty */
} rnnrt_error;

/* A dimension: constant m | symbol a | floor((dim a * m + c) / d) | dim a * dim b | dim a + dim b */
typedef enum rnnrt_dim_kind { RNNRT_DIM_CONST, RNNRT_DIM_SYMBOL, RNNRT_DIM_AFFINE, RNNRT_DIM_MUL, RNNRT_DIM_ADD } rnnrt_dim_kind;
typedef struct rnnrt_plan_dim {
    int64_t kind, a, b, m, c, d; /* a, b: indices of earlier dims (SYMBOL: a = the symbol) */
} rnnrt_plan_dim;

typedef enum rnnrt_tensor_role { RNNRT_TENSOR_TEMP, RNNRT_TENSOR_INPUT, RNNRT_TENSOR_OUTPUT } rnnrt_tensor_role;
typedef enum rnnrt_storage { RNNRT_STORE_WHOLE, RNNRT_STORE_TILE } rnnrt_storage;
typedef struct rnnrt_plan_tensor {
    int64_t dtype, rank;
    int64_t dims[RNNRT_MAX_RANK]; /* indices into dims; batch first */
    int64_t role;
    int64_t io;       /* index of the input or output, else -1 */
    int64_t alias;    /* an earlier tensor whose memory this one names (same bytes, row-major), or -1 */
    int64_t storage;  /* TILE: only the steps of the current tile exist */
    int64_t timed;    /* 1: axis 1 is the time axis that its region walks */
    int64_t reserved;
} rnnrt_plan_tensor;

#define RNNRT_OP_REVERSE_IN 1      /* read the last step first (the mask with it) */
#define RNNRT_OP_REVERSE_OUT 2     /* write the last step first */
#define RNNRT_OP_SEQUENCES 4       /* an output for each step */
#define RNNRT_OP_ZERO_MASKED 8     /* zero_output_for_mask */
#define RNNRT_OP_RESET_AFTER 16
typedef struct rnnrt_plan_op {
    int64_t kind;                 /* rnnrt_op_kind of ops.def */
    int64_t region, flags;
    int64_t mask;                 /* tensor (batch, time) of bool, or -1 */
    int64_t in, n_in;             /* spans of refs: tensors read */
    int64_t out, n_out;           /* tensors made */
    int64_t weight, n_weight;     /* weights by the op's roles, -1 where absent */
    int64_t state, n_state;       /* state slots */
    int64_t init, n_init;         /* tensors that the states start from; none: zero or carried */
    int64_t attr, n_attr;         /* integers, in refs */
    int64_t real, n_real;         /* numbers, in reals */
} rnnrt_plan_op;

typedef struct rnnrt_plan_weight {
    int64_t dtype, rank, dims[4];
} rnnrt_plan_weight;

/* One slot of a state row: a row is one stream, every layer's state at a fixed offset. */
typedef struct rnnrt_plan_state {
    int64_t offset, bytes;
    int64_t restart;              /* 1: zero at the start of each call (Keras's stateless layers) */
    int64_t reserved;
} rnnrt_plan_state;

/* A span of ops; a tiled one walks the time axis tile by tile. */
typedef struct rnnrt_plan_region {
    int64_t first_op, n_ops;
    int64_t time_dim;             /* index of the dim that is walked, or -1: not tiled */
    int64_t reserved;
} rnnrt_plan_region;

typedef struct rnnrt_plan_input {
    int64_t tensor;
    int64_t dtypes;               /* bit set of accepted rnnrt_dtype; the tensor's own is among them */
} rnnrt_plan_input;

typedef struct rnnrt_plan {
    uint32_t struct_size;
    int32_t n_symbols;
    const rnnrt_plan_dim *dims; int64_t n_dims;
    const rnnrt_plan_tensor *tensors; int64_t n_tensors;
    const rnnrt_plan_op *ops; int64_t n_ops;
    const int64_t *refs; int64_t n_refs;
    const double *reals; int64_t n_reals;
    const rnnrt_plan_weight *weights; int64_t n_weights;
    const void *const *weight_data;
    const rnnrt_plan_state *states; int64_t n_states;
    int64_t row_bytes;            /* a multiple of 64 */
    const rnnrt_plan_region *regions; int64_t n_regions;
    const rnnrt_plan_input *inputs; int64_t n_inputs;
    const int64_t *outputs; int64_t n_outputs; /* tensors */
    int32_t streams;              /* 1: a session may walk any length with a fixed workspace */
} rnnrt_plan;

/* Where memory lies, in DLPack's numbers. */
typedef enum rnnrt_place { RNNRT_ON_CPU = 1, RNNRT_ON_CUDA = 2, RNNRT_ON_PINNED = 3 } rnnrt_place;
typedef struct rnnrt_buffer {
    void *data;
    int32_t dtype;
    int32_t device;               /* rnnrt_place; CUDA: on the device of the model. RNNRT_EINVAL where it is not reached */
} rnnrt_buffer;

/* A host op (a class of the user's own) as its function sees one tile: dense rows, batch_stride elements apart. */
typedef struct rnnrt_host_tensor {
    void *data;
    int32_t dtype, rank;
    int64_t shape[RNNRT_MAX_RANK];
    int64_t batch_stride;
} rnnrt_host_tensor;

typedef struct rnnrt_host_call {
    uint32_t struct_size;
    int32_t op;                   /* index in the plan */
    const rnnrt_host_tensor *in; int64_t n_in;
    const rnnrt_host_tensor *out; int64_t n_out;
    const rnnrt_host_tensor *init; int64_t n_init; /* where the states start, in the first tile of a pure run */
    const rnnrt_host_tensor *mask;                 /* or NULL */
    char *rows; int64_t row_bytes;                 /* state rows; slots lie at these offsets */
    const int64_t *state_offset, *state_floats; int64_t n_state;
    int64_t has_output;           /* offset of an int32, or -1 */
    int64_t position;             /* index of the tile's first step in the call */
} rnnrt_host_call;

/* Non-zero: it failed, and the host knows why. */
typedef int32_t rnnrt_host_fn(void *context, const rnnrt_host_call *call);

/* One predict or one session call. Buffers are dense, row-major, of the sizes that the symbols imply. */
typedef struct rnnrt_call {
    uint32_t struct_size;
    uint32_t flags;
    const int64_t *symbols;       /* values by index; symbol 0 is the batch */
    const rnnrt_buffer *inputs;
    const rnnrt_buffer *outputs;
    int (*poll)(void *context);   /* non-zero: stop; may be NULL */
    void *poll_context;
    rnnrt_host_fn *host;          /* runs the host ops; may be NULL where the plan has none */
    void *host_context;
    /* since 1.1 */
    /* A stream of the caller's (CUDA: a cudaStream_t; 1 the legacy default one, 2 the thread's): the call's work is
     * queued there, behind what is queued already, and where all buffers lie on the device the call may return
     * before it is done; whoever reads on that stream afterwards sees it. Buffers of the host are read and written
     * before it returns. NULL: everything is done when the call returns. What a call can find wrong with its values is
     * found before it returns in either case; what the device reports late is the error of a later call. Calls of
     * one session on different streams keep their order, and reading its rows waits for them. */
    void *stream;
    int64_t *op_ns;               /* by op: nanoseconds spent in it are added, where the backend can; NULL: not asked for */
} rnnrt_call;

/* How products of float32 are formed. */
typedef enum rnnrt_math {
    RNNRT_MATH_FP32 = 0,          /* within 1e-5 of the CPU's */
    RNNRT_MATH_TF32 = 1,          /* factors may be rounded to TF32 (about 1e-3); a backend without it takes it as fp32 */
} rnnrt_math;

typedef struct rnnrt_model_options {
    uint32_t struct_size;
    int32_t device;               /* 0 <= device < device_count */
    int32_t threads;
    const char *kernels;          /* cpu: name of the kernel table, NULL: the best */
    /* since 1.1 */
    int32_t math;                 /* rnnrt_math */
    int32_t reserved;
} rnnrt_model_options;

/* The caller sets struct_size; the backend fills the members that fit. */
typedef struct rnnrt_device_info {
    uint32_t struct_size;
    char name[124];
    int64_t memory_bytes;
    /* since 1.1 */
    int64_t free_bytes;           /* 0: not known */
    int32_t place;                /* rnnrt_place of device_alloc's memory */
    int32_t capability;           /* CUDA: 90 for sm_90 */
    int32_t driver, runtime;      /* CUDA: 12080 for 12.8 */
} rnnrt_device_info;

/* Bytes on the device. The caller sets struct_size. */
typedef struct rnnrt_memory {
    uint32_t struct_size;
    int32_t place;                /* rnnrt_place */
    int64_t weights;              /* as packed; shared by all runs, sessions and pools */
    int64_t kept;                 /* workspaces kept for later runs */
} rnnrt_memory;

typedef struct rnnrt_model rnnrt_model;
typedef struct rnnrt_session rnnrt_session;
typedef struct rnnrt_pool rnnrt_pool;

typedef struct rnnrt_backend {
    uint32_t struct_size;
    uint32_t abi;                 /* RNNRT_ABI of the builder */
    const char *name;             /* "cpu", "cuda", ... */
    const char *build_info;
    /* 0 with err->code RNNRT_EDEVICE and a text that names cause and remedy where no device can be reached */
    int32_t (*device_count)(rnnrt_error *err);
    int32_t (*device_info)(int32_t device, rnnrt_device_info *out, rnnrt_error *err);
    /* RNNRT_OK, or RNNRT_EUNSUPPORTED with err->op = the first op that it cannot do */
    int32_t (*supports)(const rnnrt_plan *plan, rnnrt_error *err);
    /* Copies what it needs from the plan; counted, so that sessions may outlive the caller's reference. */
    int32_t (*model_create)(const rnnrt_plan *plan, const rnnrt_model_options *opt, rnnrt_model **out, rnnrt_error *err);
    void (*model_release)(rnnrt_model *model);
    /* A pure run from the zero state; any number of threads at once. */
    int32_t (*model_run)(rnnrt_model *model, const rnnrt_call *call, rnnrt_error *err);
    /* Bytes of workspace that a run of these sizes takes (0 on error). */
    int64_t (*model_workspace)(rnnrt_model *model, const int64_t *symbols, rnnrt_error *err);
    /* Estimated nanoseconds of a run of these sizes. */
    int64_t (*model_cost)(rnnrt_model *model, const int64_t *symbols, rnnrt_error *err);
    int32_t (*session_create)(rnnrt_model *model, int64_t rows, rnnrt_session **out, rnnrt_error *err);
    void (*session_release)(rnnrt_session *session);
    /* Commits the new state or, on any error, leaves the state as it was. */
    int32_t (*session_run)(rnnrt_session *session, const rnnrt_call *call, rnnrt_error *err);
    /* Rows [first, first+count) as flat bytes of row_bytes each: the same layout on every backend. */
    int32_t (*session_get_rows)(rnnrt_session *session, int64_t first, int64_t count, void *out, rnnrt_error *err);
    int32_t (*session_set_rows)(rnnrt_session *session, int64_t first, int64_t count, const void *in, rnnrt_error *err);
    /* A pool: rows of state that are run in any selection, by any number of threads at once. The caller sees to it
     * that no row is in two calls at once, and that rows are reserved (by one thread at a time) and set before
     * they are used. max_batch: the largest batch of single steps; such steps never allocate. */
    int32_t (*pool_create)(rnnrt_model *model, int64_t max_batch, rnnrt_pool **out, rnnrt_error *err);
    void (*pool_release)(rnnrt_pool *pool);
    /* Room for rows [0, rows); what is there stays where it is. */
    int32_t (*pool_reserve)(rnnrt_pool *pool, int64_t rows, rnnrt_error *err);
    /* One call on the rows named, symbol 0 of them, all different. Commits, or leaves all of them as they were. */
    int32_t (*pool_run)(rnnrt_pool *pool, const int64_t *rows, const rnnrt_call *call, rnnrt_error *err);
    int32_t (*pool_get_rows)(rnnrt_pool *pool, const int64_t *rows, int64_t count, void *out, rnnrt_error *err);
    /* in == NULL: zero rows */
    int32_t (*pool_set_rows)(rnnrt_pool *pool, const int64_t *rows, int64_t count, const void *in, rnnrt_error *err);

    /* Since 1.1. Any of these may be NULL: the host then does without. */
    int32_t (*model_memory)(rnnrt_model *model, rnnrt_memory *out, rnnrt_error *err);
    /* Bytes that a session holds on the device: its rows and its workspace so far. */
    int64_t (*session_memory)(rnnrt_session *session, rnnrt_error *err);
    /* Memory on a device, at least 64-byte aligned, for results that stay there. Freeing waits for whatever is queued on
     * the device and may still use it. NULL is freed as nothing. */
    int32_t (*device_alloc)(int32_t device, int64_t bytes, void **out, rnnrt_error *err);
    void (*device_free)(int32_t device, void *memory);
    /* Page-locked memory of the host. */
    int32_t (*host_alloc)(int64_t bytes, void **out, rnnrt_error *err);
    void (*host_free)(void *memory);
    /* Copy between places (rnnrt_place), in the order of a stream as rnnrt_call has it; NULL: done on return. */
    int32_t (*copy)(int32_t device, void *to, int32_t to_place, const void *from, int32_t from_place, int64_t bytes,
                    void *stream, rnnrt_error *err);
    /* What is queued on `waiter` from now on begins after all that is queued on `before` so far. */
    int32_t (*stream_wait)(int32_t device, void *waiter, void *before, rnnrt_error *err);
    /* Wait for a stream; NULL: for the whole device. */
    int32_t (*sync)(int32_t device, void *stream, rnnrt_error *err);
    /* device_alloc and device_free in the order of a stream: there for what is queued on it from now on, gone behind what
     * is queued on it so far; nobody waits. Memory of one may be freed by the other. */
    int32_t (*stream_alloc)(int32_t device, int64_t bytes, void *stream, void **out, rnnrt_error *err);
    void (*stream_free)(int32_t device, void *memory, void *stream);
} rnnrt_backend;

/* What a table of 1.0 holds; no table is shorter. */
#define RNNRT_BACKEND_LEAST offsetof(rnnrt_backend, model_memory)

/* The one exported symbol of a plugin: refuses a host of another major ABI with RNNRT_EABI. */
typedef int32_t rnnrt_backend_get_api_fn(uint32_t host_abi, const rnnrt_backend **out);

#endif
