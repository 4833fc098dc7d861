/* Where calls run: workspaces that are kept for the calls that come, and the order of those that nobody waits for. */
#ifndef RNNRT_CUDA_LANES_CUH
#define RNNRT_CUDA_LANES_CUH

#include "plugin.cuh"

namespace rnnrt_cuda {

/* What was queued last on something that calls share (a lane, the rows of a session) and may still be under way. */
struct tail {
    cudaEvent_t event;
    int32_t open;                /* somebody has to wait for the event before he touches it */
};
/* The event is there, so that marking needs no memory. */
int32_t tail_prepare(tail *t, rnnrt_error *err);
/* All that is queued on the stream so far. */
int32_t tail_mark(tail *t, cudaStream_t stream, rnnrt_error *err);
/* What is queued on the stream from now on comes behind it. */
int32_t tail_follow(const tail *t, cudaStream_t stream, rnnrt_error *err);
/* The host waits. */
int32_t tail_wait(tail *t, rnnrt_error *err);
/* Waits, and gives the event back. */
void tail_free(tail *t);

/* A workspace, a stream, a block for what goes in and comes out, the graph of its last shape. */
struct lane {
    lane *next;
    rnnrt_workspace *ws;
    cudaStream_t stream;
    tail busy;                   /* calls that returned before they were done */
    cudaStream_t last;           /* the stream of the last of them */
    char *io, *mirror;           /* on the device; page-locked on the host, where kernels read and write it too */
    int64_t io_bytes, mirror_bytes;
    int64_t *at;                 /* offset in io of each input, then of each output; -1: the caller's own device memory */
    int64_t addresses, found, first_out, end; /* offsets in io */
    int32_t small;               /* all of io goes through the mirror */
    int32_t fetched;             /* by the first and the last kernel of the call: it is that small */
    int64_t *key;                /* what the graph was made for: symbols, carry, dtypes of the inputs */
    int64_t key_length;
    int32_t repeats;             /* calls in a row with this key; a graph is worth making from the second on */
    cudaGraphExec_t graph;
};

/* A lane for a call on that stream (NULL: the lane's own): one bound for these sizes and not in use, where there is one. */
lane *lane_take(model *m, const int64_t *symbols, cudaStream_t stream, rnnrt_error *err);
void lane_give_back(model *m, lane *l);
/* Bound for these sizes. Nothing that an earlier call or graph uses is moved under it. */
int32_t lane_bind(model *m, lane *l, const int64_t *symbols, rnnrt_error *err);
/* Places the call's buffers in the block, which grows as needed. */
int32_t lane_lay_out(const model *m, lane *l, const rnnrt_call *call, rnnrt_error *err);
void lane_drop_graph(lane *l);

static inline int on_device(const rnnrt_buffer *b) { return b->device == RNNRT_ON_CUDA; }

/* Of one tensor of the plan, in this dtype, at the sizes that the lane is bound for. */
static inline int64_t bytes_of(const lane *l, int64_t tensor, int32_t dtype)
{
    const rnnrt_view *v = &l->ws->views[tensor];
    return v->batch * v->batch_stride * rnnrt_dtype_size(dtype);
}

} // namespace rnnrt_cuda

#endif
