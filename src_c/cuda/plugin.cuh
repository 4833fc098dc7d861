/* What every file of the plugin sees: the model on a device, the lane that a call runs in, one run of one op.
 *
 * The host's own code checks the plan, evaluates sizes, places temporaries and packs weights (core/program.h and the ops'
 * check, size and prepare functions are linked in); what differs is where the values live (rnnrt_heap) and `run`. */
#ifndef RNNRT_CUDA_PLUGIN_CUH
#define RNNRT_CUDA_PLUGIN_CUH

#include <cuda_runtime.h>
#include <sys/types.h>

extern "C" {
#include "../core/lock.h"
}
#include "../core/program.h"
#include "launch.cuh"
#include "recurrent.cuh"

namespace rnnrt_cuda {

/* ---- errors ---- */
int32_t fail(rnnrt_error *err, int32_t code, const char *text, ...);
/* RNNRT_OK, or RNNRT_EDEVICE (RNNRT_ENOMEM for a failed allocation) with CUDA's own words. */
int32_t check(cudaError_t e, const char *what, rnnrt_error *err);
/* An error after which every later call fails, whatever it does. */
int loses_context(int32_t code);
/* After a failure: where the heap gave nothing for another reason than want of memory, that reason. The code of err. */
int32_t why_no_memory(rnnrt_error *err);

/* ---- devices ---- */
typedef struct device_facts {
    int32_t device, capability, sms;
} device_facts;

/* 0, and err filled with cause and remedy, where no device can be reached. */
int32_t count_devices(rnnrt_error *err);
int32_t device_facts_of(int32_t device, device_facts *out, rnnrt_error *err);

/* Makes a device current and puts the caller's back. */
class device_guard {
    int before = -1;

public:
    int32_t enter(int32_t device, rnnrt_error *err);
    ~device_guard();
};

/* What the ops' checks and sizes take for a kernel table: none of its functions are here, but what the device is. */
struct device_table : rnnrt_kernels {
    rnnrt::recurrent_device gpu;
    rnnrt::math_mode math;
};
/* Of the current device. */
int32_t device_table_make(device_table *t, int32_t device, int32_t math, rnnrt_error *err);
/* Weights as floats: where they lie, or in memory of their own (`made`, to be freed), or NULL. */
const float *widened(int32_t dtype, int64_t n, const void *from, float **made);
/* A pack function of this thread ran out of memory since it was last asked. */
bool packing_failed();

static inline const device_table *table_of(const rnnrt_kernels *k) { return static_cast<const device_table *>(k); }

/* ---- the model ---- */
struct lane;

struct model {
    int32_t references;          /* atomic */
    int32_t dead;                /* atomic: the cudaError_t after which the context is lost, or 0 */
    rnnrt_model *program;        /* the host's: checked plan, views, placement */
    device_facts gpu;
    device_table table;
    char *weights;               /* what the ops' prepare functions made, on the device */
    int64_t weight_bytes;
    int32_t restarts;            /* some state starts anew on each call */
    int32_t finds;               /* some op may find a wrong value on the device */
    pid_t owner;
    lane *free_lanes;            /* under the host's lock */
    int64_t n_free;
};

/* A model may be used: not in a forked child, not after the context was lost. */
int32_t usable(model *m, rnnrt_error *err);
/* After a failure: remembers whether it lost the context. Returns the code of err. */
int32_t failed(model *m, rnnrt_error *err);
void retain(model *m);
void release(model *m);

/* What an op found in its values; the first one counts. On the device, in the lane's block. */
struct finding {
    int32_t code, op;            /* rnnrt_status */
    int64_t a, b;
};

/* What a call's ops need beside the host's rnnrt_run; it rides in host_context, which no op of a device uses. */
struct call_context {
    cudaStream_t stream;
    const model *m;
    const rnnrt_call *call;      /* the caller's */
    finding *found;
};

/* ---- one run of one op over one tile: the host's, with device pointers in its views ---- */
struct op_run : rnnrt_run {
    cudaStream_t stream;
    const device_facts *gpu;
    const call_context *context;
};

/* Queues the op's kernels; a status. */
typedef int32_t op_runner(const op_run &run, const rnnrt_op *op);

/* What the plugin does with an op of each kind. Checks, and whatever is NULL here, are the host's. */
struct op_entry {
    op_runner *run;              /* NULL: refused */
    const char *refusal;
    int64_t (*scratch)(const rnnrt_sizes *s, const rnnrt_op *op); /* on the device; NULL: none */
    int32_t (*size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err);
    int64_t (*packed_bytes)(const rnnrt_plan_view *p, const rnnrt_op *op);
    void (*pack)(const rnnrt_plan_view *p, const rnnrt_op *op, void *packed);
};
const op_entry *entry_of(int64_t kind);
/* What a program's ops are here, by kind. */
const rnnrt_op_class *const *device_classes();

/* RNNRT_OK, or RNNRT_EUNSUPPORTED with the first op and why. */
int32_t supports(const rnnrt_plan *plan, rnnrt_error *err);

/* ---- calls (calls.cu) and the lanes that they run in (lanes.cuh) ---- */
struct tail;

/* State rows on the device of a session (first + i * stride) or a pool (chunks, rows); neither: from zero, kept nowhere. */
struct row_source {
    char *first;
    int64_t stride;
    char *const *chunks;
    const int64_t *rows;
    int32_t log2_rows;
    tail *order;                 /* of the calls on these rows, where not all of them are waited for */
};

/* RNNRT_OK where work may be queued on a caller's stream. */
int32_t refuse_captured(cudaStream_t stream, rnnrt_error *err);
int32_t run_call(model *m, const row_source &rows, const rnnrt_call *call, int32_t carry, rnnrt_error *err);
void lane_free(lane *l);
/* A lane bound for these sizes, kept for the calls that come. */
int32_t lane_reserve(model *m, const int64_t *symbols, rnnrt_error *err);
int64_t lanes_kept(model *m);

/* What the host's bind places arenas in. */
extern const rnnrt_heap device_heap;

/* ---- launches ---- */
using rnnrt::launch;

/* One thread for each of n items, in a loop where there are more than a grid should have. */
template <class... P, class... A>
static inline int32_t launch_items(const op_run &run, int64_t n, void (*kernel)(P...), A &&...args)
{
    if (n <= 0)
        return RNNRT_OK;
    const unsigned threads = n < 256 ? (unsigned)(n + 31) / 32 * 32 : 256;
    const int64_t blocks = (n + threads - 1) / threads, most = (int64_t)run.gpu->sms * 16;
    return check(launch(kernel, dim3((unsigned)(blocks < most ? blocks : most)), dim3(threads), 0, run.stream,
                        static_cast<P>(args)...), "a kernel launch", run.err);
}

/* One block for each of n rows, likewise. */
template <class... P, class... A>
static inline int32_t launch_rows(const op_run &run, int64_t n, unsigned threads, void (*kernel)(P...), A &&...args)
{
    if (n <= 0)
        return RNNRT_OK;
    const int64_t most = (int64_t)run.gpu->sms * 32;
    return check(launch(kernel, dim3((unsigned)(n < most ? n : most)), dim3(threads), 0, run.stream,
                        static_cast<P>(args)...), "a kernel launch", run.err);
}

} // namespace rnnrt_cuda

#endif
