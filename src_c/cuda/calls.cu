/* One call: what comes in is copied to the device, the state rows are gathered into the workspace, the host's executor
 * walks the program (each op queues its kernels), the rows are put back by a kernel that does so only where nothing was
 * found wrong, what goes out is copied back. Whatever fails on the way leaves every row as it was.
 *
 * A call that has nothing to tell or to bring to the host returns when all of it is queued on its caller's stream; the
 * lane and the rows remember how far they are in use. Others wait.
 *
 * A shape that comes again is captured as a graph the second time and replayed from then on. */
#include "lanes.cuh"

#include <string.h>

namespace rnnrt_cuda {

/* Whether the call is like the last one in all that a graph fixes. */
static void compare_key(const model *m, lane *l, const rnnrt_call *call, int32_t carry)
{
    const rnnrt_plan *p = &m->program->plan;
    int64_t *mine = l->key + l->key_length;
    memcpy(mine, call->symbols, (size_t)p->n_symbols * 8);
    mine[p->n_symbols] = carry;
    for (int64_t i = 0; i < p->n_inputs; i++)
        mine[p->n_symbols + 1 + i] = call->inputs[i].dtype;
    if (memcmp(mine, l->key, (size_t)l->key_length * 8) == 0) {
        l->repeats += l->repeats >= 0;
        return;
    }
    lane_drop_graph(l);
    memcpy(l->key, mine, (size_t)l->key_length * 8);
}

/* ---- checks of values before anything moves ---- */
static int32_t check_buffers(const model *m, const rnnrt_call *call, rnnrt_error *err)
{
    const rnnrt_plan *p = &m->program->plan;
    for (int64_t i = 0; i < p->n_inputs; i++)
        if (call->inputs[i].dtype < 0 || call->inputs[i].dtype > RNNRT_BOOL || !(p->inputs[i].dtypes >> call->inputs[i].dtype & 1))
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 30, i);
    for (int64_t i = 0; i < p->n_inputs + p->n_outputs; i++) {
        const rnnrt_buffer *b = i < p->n_inputs ? &call->inputs[i] : &call->outputs[i - p->n_inputs];
        if (b->device != RNNRT_ON_CPU && b->device != RNNRT_ON_PINNED && b->device != RNNRT_ON_CUDA)
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 31, i);
    }
    return RNNRT_OK;
}

/* Points the views of inputs, outputs and their aliases at these buffers. */
static void attach(const model *m, lane *l, const rnnrt_buffer *inputs, const rnnrt_buffer *outputs)
{
    const rnnrt_model *p = m->program;
    for (int64_t i = 0; i < p->n_lent; i++) {
        rnnrt_view *v = &l->ws->views[p->lent[i]];
        const rnnrt_plan_tensor *t = &p->plan.tensors[p->root[p->lent[i]]];
        const rnnrt_buffer *b = t->role == RNNRT_TENSOR_INPUT ? &inputs[t->io] : &outputs[t->io];
        v->data = (char *)b->data;
        if (t->role == RNNRT_TENSOR_INPUT)
            v->dtype = b->dtype;
    }
}

/* Ids in host memory are checked by the host's own functions; ids on the device by a kernel (embedding.cu). */
static int32_t check_ids(const model *m, lane *l, const rnnrt_call *call, rnnrt_error *err)
{
    const rnnrt_model *p = m->program;
    if (!p->n_prechecked)
        return RNNRT_OK;
    attach(m, l, call->inputs, call->outputs);
    rnnrt_run run = {};
    run.plan = &p->plan;
    run.kernels = p->kernels;
    run.views = l->ws->views;
    run.carry = run.first_tile = run.last_tile = 1;
    run.err = err;
    run.dims = l->ws->dims;
    int32_t rc = RNNRT_OK;
    for (int64_t i = 0; !rc && i < p->n_prechecked; i++) {
        const rnnrt_op *op = &p->ops[p->prechecked[i]];
        if (!on_device(&call->inputs[p->plan.tensors[p->root[op->in[0]]].io]))
            rc = op->cls->precheck(&run, op);
    }
    return rc;
}

/* ---- the first and the last kernel ---- */
/* Words of 16 bytes between the mirror and the block on the device; 0: a copy of the stream moves them. */
struct transfer {
    const uint4 *from;
    uint4 *to;
    int64_t words;
};

/* Where rows lie: at addresses, or side by side; neither: nowhere, they are zero. */
struct row_places {
    const uint64_t *addresses;
    char *first;
    int64_t stride;

    __device__ uint4 *of(int64_t i) const { return (uint4 *)(addresses ? (char *)addresses[i] : first ? first + i * stride : nullptr); }
};

__global__ void begin_call(transfer in, row_places at, uint4 *rows, int64_t words, int64_t count)
{
    const int64_t me = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, all = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = me; i < in.words; i += all)
        in.to[i] = in.from[i];
    for (int64_t i = me; i < count * words; i += all) {
        const uint4 *from = at.of(i / words);
        rows[i] = from ? from[i % words] : make_uint4(0, 0, 0, 0);
    }
}

/* The one place where state changes. found == NULL: nothing can be wrong. */
__global__ void end_call(transfer out, row_places at, const uint4 *rows, int64_t words, int64_t count, const finding *found)
{
    const int64_t me = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, all = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = me; i < out.words; i += all)
        out.to[i] = out.from[i];
    if (found && found->code)
        return;
    for (int64_t i = me; i < count * words; i += all)
        at.of(i / words)[i % words] = rows[i];
}

static int keeps_rows(const row_source &r) { return r.first || r.chunks; }

static void write_addresses(const model *m, const row_source &r, int64_t count, uint64_t *out)
{
    const int64_t row_bytes = m->program->plan.row_bytes;
    for (int64_t i = 0; i < count; i++) {
        if (r.first)
            out[i] = (uint64_t)(uintptr_t)(r.first + i * r.stride);
        else
            out[i] = (uint64_t)(uintptr_t)(r.chunks[r.rows[i] >> r.log2_rows]
                                           + (r.rows[i] & (((int64_t)1 << r.log2_rows) - 1)) * row_bytes);
    }
}

/* Keras's stateless layers start each call from zero. */
static int32_t restart(const model *m, char *rows, int64_t count, cudaStream_t stream, rnnrt_error *err)
{
    const rnnrt_plan *p = &m->program->plan;
    for (int64_t i = 0; i < p->n_states; i++)
        if (p->states[i].restart) {
            const int32_t rc = check(cudaMemset2DAsync(rows + p->states[i].offset, (size_t)p->row_bytes, 0,
                                                       (size_t)p->states[i].bytes, (size_t)count, stream), "clearing states", err);
            if (rc)
                return rc;
        }
    return RNNRT_OK;
}

/* ---- queueing ---- */
struct task {
    model *m;
    lane *l;
    const rnnrt_call *call;
    const row_source *rows;
    int32_t carry;
    cudaStream_t stream;
    int32_t later;               /* the call returns before it is done */
    int32_t recorded;            /* into a graph */
    rnnrt_error *err;
};

static int poll_between(void *context)
{
    const task *t = (const task *)context;
    if (!t->later)
        cudaStreamSynchronize(t->stream); /* so that a long call stops near where it is */
    return t->call->poll(t->call->poll_context);
}

static int32_t copy_in(const task &t)
{
    const rnnrt_plan *p = &t.m->program->plan;
    lane *l = t.l;
    if (t.later || l->fetched)
        return RNNRT_OK;
    if (l->small)
        return check(cudaMemcpyAsync(l->io, l->mirror, (size_t)l->found + sizeof(finding), cudaMemcpyHostToDevice, t.stream),
                     "copying the inputs", t.err);
    int32_t rc = check(cudaMemcpyAsync(l->io, l->mirror, (size_t)l->found + sizeof(finding), cudaMemcpyHostToDevice, t.stream),
                       "copying the rows' addresses", t.err);
    for (int64_t i = 0; !rc && i < p->n_inputs; i++)
        if (l->at[i] >= 0)
            rc = check(cudaMemcpyAsync(l->io + l->at[i], t.call->inputs[i].data,
                                       (size_t)bytes_of(l, p->inputs[i].tensor, t.call->inputs[i].dtype), cudaMemcpyHostToDevice,
                                       t.stream), "copying an input", t.err);
    return rc;
}

static int32_t copy_out(const task &t)
{
    const rnnrt_plan *p = &t.m->program->plan;
    lane *l = t.l;
    if (t.later || l->fetched)
        return RNNRT_OK;
    const size_t length = l->small ? (size_t)(l->end - l->found) : sizeof(finding);
    int32_t rc = check(cudaMemcpyAsync(l->mirror + l->found, l->io + l->found, length, cudaMemcpyDeviceToHost, t.stream),
                       "copying the outputs", t.err);
    for (int64_t i = 0; !rc && !l->small && i < p->n_outputs; i++)
        if (l->at[p->n_inputs + i] >= 0)
            rc = check(cudaMemcpyAsync(t.call->outputs[i].data, l->io + l->at[p->n_inputs + i],
                                       (size_t)bytes_of(l, p->outputs[i], (int32_t)p->tensors[p->outputs[i]].dtype),
                                       cudaMemcpyDeviceToHost, t.stream), "copying an output", t.err);
    return rc;
}

/* Where the time of each op is asked for: they are waited for one by one. */
static int64_t *timed(const rnnrt_call *call) { return RNNRT_HAS(call, rnnrt_call, op_ns) ? call->op_ns : NULL; }

/* The call as the host's executor sees it: buffers on the device. */
static int32_t walk(const task &t)
{
    const rnnrt_plan *p = &t.m->program->plan;
    const int64_t n = p->n_inputs + p->n_outputs;
    rnnrt_buffer few[32], *buffers = n <= 32 ? few : (rnnrt_buffer *)rnnrt_alloc((size_t)n * sizeof *buffers);
    if (!buffers)
        return rnnrt_fail(t.err, RNNRT_ENOMEM, -1, n * (int64_t)sizeof *buffers, 0);
    for (int64_t i = 0; i < n; i++) {
        buffers[i] = i < p->n_inputs ? t.call->inputs[i] : t.call->outputs[i - p->n_inputs];
        if (t.l->at[i] >= 0)
            buffers[i].data = t.l->io + t.l->at[i];
    }
    attach(t.m, t.l, buffers, buffers + p->n_inputs);
    call_context context = {t.stream, t.m, t.call, (finding *)(t.l->io + t.l->found)};
    rnnrt_call inner = {};
    inner.struct_size = sizeof inner;
    inner.symbols = t.call->symbols;
    inner.inputs = buffers;
    inner.outputs = buffers + p->n_inputs;
    inner.poll = t.call->poll && !t.recorded ? poll_between : NULL;
    inner.poll_context = (void *)&t;
    inner.host_context = &context;
    inner.op_ns = timed(t.call);
    const int32_t rc = rnnrt_execute(t.m->program, t.l->ws, &inner, t.l->ws->rows, t.carry, t.err);
    if (buffers != few)
        rnnrt_free(buffers);
    return rc;
}

static int32_t queue(const task &t)
{
    lane *l = t.l;
    const int64_t row_bytes = t.m->program->plan.row_bytes, count = t.call->symbols[0], words = row_bytes / 16;
    const int keeps = row_bytes && keeps_rows(*t.rows);
    const int64_t before = l->fetched && !t.later ? (l->found + 256) / 16 : 0, after = before ? (l->end - l->found) / 16 : 0;
    const transfer in = {(const uint4 *)l->mirror, (uint4 *)l->io, before};
    const transfer out = {(const uint4 *)(l->io + l->found), (uint4 *)(l->mirror + l->found), after};
    row_places at = {};
    if (keeps && t.later) {
        at.first = t.rows->first;
        at.stride = t.rows->stride;
    } else if (keeps)
        at.addresses = (const uint64_t *)((before ? l->mirror : l->io) + l->addresses);
    const auto blocks = [&](int64_t copied) {
        const int64_t n = (count * words > copied ? count * words : copied) + 255;
        return dim3((unsigned)(n / 256 < 4096 ? n / 256 : 4096));
    };
    int32_t rc = copy_in(t);
    if (!rc && (row_bytes || before))
        rc = check(launch(begin_call, blocks(before), dim3(256), 0, t.stream, in, at, (uint4 *)l->ws->rows, words, count),
                   "gathering the states", t.err);
    if (!rc && row_bytes && t.carry && t.m->restarts)
        rc = restart(t.m, l->ws->rows, count, t.stream, t.err);
    if (!rc)
        rc = walk(t);
    if (before)
        at.addresses = at.addresses ? (const uint64_t *)(l->io + l->addresses) : NULL;
    if (!rc && (keeps || before))
        rc = check(launch(end_call, blocks(after), dim3(256), 0, t.stream, out, at, (const uint4 *)l->ws->rows, words,
                          keeps ? count : 0, t.later ? NULL : (const finding *)(l->io + l->found)), "keeping the states", t.err);
    return rc ? rc : copy_out(t);
}

/* Records the call's work and starts it; 0 where that cannot be done, and it has to be queued plainly. */
static int replay_new(const task &t)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t made = NULL;
    if (cudaStreamBeginCapture(t.stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
        cudaGetLastError();
        return 0;
    }
    rnnrt_error unused = {};
    task recorded = t;
    recorded.err = &unused;
    recorded.recorded = 1;
    const int32_t rc = queue(recorded);
    const cudaError_t ended = cudaStreamEndCapture(t.stream, &graph);
    if (!rc && ended == cudaSuccess && cudaGraphInstantiate(&made, graph, 0) != cudaSuccess)
        made = NULL;
    if (graph)
        cudaGraphDestroy(graph);
    cudaGetLastError();
    t.l->graph = made;
    return made != NULL;
}

static int32_t start(const task &t)
{
    lane *l = t.l;
    const int fits = l->small && l->ws->n_tiles == 1 && t.stream == l->stream && !timed(t.call);
    int host_only = 1;
    for (int64_t i = 0; i < t.m->program->plan.n_inputs + t.m->program->plan.n_outputs; i++)
        host_only &= l->at[i] >= 0;
    if (!fits || !host_only || l->repeats < 1)
        return queue(t);
    if (!l->graph && !replay_new(t)) {
        l->repeats = -1; /* not to be tried again for this shape */
        return queue(t);
    }
    return check(cudaGraphLaunch(l->graph, t.stream), "replaying a graph", t.err);
}

/* Behind whatever still uses the lane or the rows; what of this call they have to be waited for is noted. */
static int32_t start_in_order(const task &t)
{
    lane *l = t.l;
    tail *order = t.rows->order;
    int32_t rc = tail_follow(&l->busy, t.stream, t.err);
    if (!rc && order)
        rc = tail_follow(order, t.stream, t.err);
    if (!rc && t.later && !(rc = tail_prepare(&l->busy, t.err)) && order)
        rc = tail_prepare(order, t.err);
    if (!rc)
        rc = start(t);
    if (!rc && t.later) {
        l->last = t.stream;
        if (!(rc = tail_mark(&l->busy, t.stream, t.err)) && order)
            rc = tail_mark(order, t.stream, t.err);
    }
    if (rc) /* nothing may still write where the caller reads */
        cudaStreamSynchronize(t.stream);
    else if (!t.later)
        rc = check(cudaStreamSynchronize(t.stream), "running the model", t.err);
    if (rc || !t.later) {
        l->busy.open = 0;
        if (order)
            order->open = 0;
    }
    return rc;
}

static int32_t run_in(const task &t)
{
    model *m = t.m;
    lane *l = t.l;
    const rnnrt_plan *p = &m->program->plan;
    int32_t rc = lane_bind(m, l, t.call->symbols, t.err);
    if (rc || (rc = check_ids(m, l, t.call, t.err)))
        return rc;
    compare_key(m, l, t.call, t.carry + 2 * keeps_rows(*t.rows));
    if ((rc = lane_lay_out(m, l, t.call, t.err)))
        return rc;
    if (t.later) /* the mirror may not be touched while somebody else's copy is queued */
        return start_in_order(t);
    if (keeps_rows(*t.rows) && p->row_bytes)
        write_addresses(m, *t.rows, t.call->symbols[0], (uint64_t *)(l->mirror + l->addresses));
    memset(l->mirror + l->found, 0, sizeof(finding));
    for (int64_t i = 0; l->small && i < p->n_inputs; i++)
        if (l->at[i] >= 0)
            memcpy(l->mirror + l->at[i], t.call->inputs[i].data,
                   (size_t)bytes_of(l, p->inputs[i].tensor, t.call->inputs[i].dtype));
    if ((rc = start_in_order(t)))
        return rc;
    const finding *found = (const finding *)(l->mirror + l->found);
    if (found->code)
        return rnnrt_fail(t.err, found->code, found->op, found->a, found->b);
    for (int64_t i = 0; l->small && i < p->n_outputs; i++)
        if (l->at[p->n_inputs + i] >= 0)
            memcpy(t.call->outputs[i].data, l->mirror + l->at[p->n_inputs + i],
                   (size_t)bytes_of(l, p->outputs[i], (int32_t)p->tensors[p->outputs[i]].dtype));
    return RNNRT_OK;
}

/* Whoever captures a stream wants our work in a graph of his own, where it would use a lane that is not his. */
int32_t refuse_captured(cudaStream_t stream, rnnrt_error *err)
{
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    const int32_t rc = check(cudaStreamIsCapturing(stream, &status), "asking for the stream", err);
    if (rc || status == cudaStreamCaptureStatusNone)
        return rc;
    return fail(err, RNNRT_EDEVICE, "this stream is being captured into a CUDA graph; call the model before or after, or give "
                                    "another stream=");
}

int32_t run_call(model *m, const row_source &rows, const rnnrt_call *call, int32_t carry, rnnrt_error *err)
{
    const rnnrt_plan *p = &m->program->plan;
    cudaStream_t stream = RNNRT_HAS(call, rnnrt_call, stream) ? (cudaStream_t)call->stream : NULL;
    int32_t rc = usable(m, err);
    device_guard guard;
    if (rc || (rc = check_buffers(m, call, err)) || (rc = guard.enter(m->gpu.device, err)))
        return rc;
    if (stream && (rc = refuse_captured(stream, err)))
        return failed(m, err);
    int32_t later = stream && !m->finds && !rows.chunks && !timed(call);
    for (int64_t i = 0; i < p->n_inputs + p->n_outputs; i++)
        later &= on_device(i < p->n_inputs ? &call->inputs[i] : &call->outputs[i - p->n_inputs]);
    lane *l = lane_take(m, call->symbols, stream, err);
    if (!l)
        return failed(m, err);
    if ((rc = run_in({m, l, call, &rows, carry, stream ? stream : l->stream, later, 0, err})))
        rc = failed(m, err);
    lane_give_back(m, l);
    return rc;
}

} // namespace rnnrt_cuda
