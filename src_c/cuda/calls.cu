/* One call: what comes in is copied to the device, the state rows are gathered into the workspace, the host's executor
 * walks the program (each op queues its kernels), the rows are put back by a kernel that does so only where nothing was
 * found wrong, what goes out is copied back. Whatever fails on the way leaves every row as it was.
 *
 * A shape that comes again is captured as a graph the second time and replayed from then on. */
#include "plugin.cuh"

#include <string.h>

namespace rnnrt_cuda {

#define KEEP_LANES 16
#define KEEP_BYTES ((int64_t)1 << 30)
#define SMALL_BYTES ((int64_t)1 << 20) /* inputs and outputs that go through page-locked memory */

static int64_t round256(int64_t n) { return (n + 255) & ~(int64_t)255; }

/* ---- lanes ---- */
void lane_free(lane *l)
{
    if (!l)
        return;
    if (l->graph)
        cudaGraphExecDestroy(l->graph);
    if (l->stream)
        cudaStreamDestroy(l->stream);
    device_heap.release(l->io);
    if (l->mirror)
        cudaFreeHost(l->mirror);
    rnnrt_workspace_free(l->ws);
    rnnrt_free(l->at);
    rnnrt_free(l->key);
    rnnrt_free(l);
}

static lane *lane_create(model *m, rnnrt_error *err)
{
    const rnnrt_plan *p = &m->program->plan;
    lane *l = (lane *)rnnrt_alloc_zero(sizeof *l);
    if (l) {
        l->key_length = p->n_symbols + 1 + p->n_inputs;
        l->ws = rnnrt_workspace_create(m->program);
        l->at = (int64_t *)rnnrt_alloc_zero((size_t)(p->n_inputs + p->n_outputs) * 8);
        l->key = (int64_t *)rnnrt_alloc_zero((size_t)(2 * l->key_length) * 8); /* the second half: of the call at hand */
    }
    if (!l || !l->ws || !l->at || !l->key)
        rnnrt_fail(err, RNNRT_ENOMEM, -1, (int64_t)sizeof *l, 0);
    else if (!check(cudaStreamCreateWithFlags(&l->stream, cudaStreamNonBlocking), "making a stream", err))
        return l;
    lane_free(l);
    return NULL;
}

static int64_t lane_bytes(const lane *l) { return l->io_bytes + l->ws->arena_bytes + l->ws->rows_bytes; }

static lane *take(model *m, const int64_t *symbols, rnnrt_error *err)
{
    lane **at, *found = NULL;
    rnnrt_lock();
    /* one bound for the same sizes, else the most recently used */
    for (at = &m->free_lanes; *at; at = &(*at)->next)
        if ((*at)->ws->bound && memcmp((*at)->ws->symbols, symbols, (size_t)m->program->plan.n_symbols * 8) == 0)
            break;
    if (!*at)
        at = &m->free_lanes;
    /* while there are few, another shape gets a lane of its own and lets this one keep its graph */
    if (*at && (at != &m->free_lanes || m->n_free >= KEEP_LANES / 2 || !(*at)->graph
                || memcmp((*at)->ws->symbols, symbols, (size_t)m->program->plan.n_symbols * 8) == 0)) {
        found = *at;
        *at = found->next;
        m->n_free--;
    }
    rnnrt_unlock();
    return found ? found : lane_create(m, err);
}

static void give_back(model *m, lane *l)
{
    rnnrt_lock();
    const int keep = m->n_free < KEEP_LANES && lane_bytes(l) <= KEEP_BYTES;
    if (keep) {
        l->next = m->free_lanes;
        m->free_lanes = l;
        m->n_free++;
    }
    rnnrt_unlock();
    if (!keep)
        lane_free(l);
}

int64_t lanes_kept(model *m)
{
    int64_t n = 0;
    rnnrt_lock();
    for (const lane *l = m->free_lanes; l; l = l->next)
        n += lane_bytes(l);
    rnnrt_unlock();
    return n;
}

/* ---- the block of inputs and outputs ---- */
static int on_device(const rnnrt_buffer *b) { return b->device == RNNRT_ON_CUDA; }

static int64_t bytes_of(const lane *l, int64_t tensor, int32_t dtype)
{
    const rnnrt_view *v = &l->ws->views[tensor];
    return v->batch * v->batch_stride * rnnrt_dtype_size(dtype);
}

/* small: addresses | inputs | finding | outputs; else addresses | finding | inputs | outputs, so that what goes through
 * the mirror lies together at the front. */
static void lay_out(const model *m, lane *l, const rnnrt_call *call)
{
    const rnnrt_plan *p = &m->program->plan;
    int64_t in = 0, out = 0, head = round256(call->symbols[0] * 8);
    for (int64_t i = 0; i < p->n_inputs; i++)
        in += on_device(&call->inputs[i]) ? 0 : round256(bytes_of(l, p->inputs[i].tensor, call->inputs[i].dtype));
    for (int64_t i = 0; i < p->n_outputs; i++)
        out += on_device(&call->outputs[i]) ? 0 : round256(bytes_of(l, p->outputs[i], (int32_t)p->tensors[p->outputs[i]].dtype));
    l->addresses = 0;
    l->small = in + out <= SMALL_BYTES;
    l->found = l->small ? head + in : head;
    int64_t at = l->small ? head : head + 256;
    for (int64_t i = 0; i < p->n_inputs; i++) {
        l->at[i] = on_device(&call->inputs[i]) ? -1 : at;
        at += l->at[i] < 0 ? 0 : round256(bytes_of(l, p->inputs[i].tensor, call->inputs[i].dtype));
    }
    at += l->small ? 256 : 0;
    l->first_out = at;
    for (int64_t i = 0; i < p->n_outputs; i++) {
        l->at[p->n_inputs + i] = on_device(&call->outputs[i]) ? -1 : at;
        if (!on_device(&call->outputs[i]))
            at += round256(bytes_of(l, p->outputs[i], (int32_t)p->tensors[p->outputs[i]].dtype));
    }
    l->end = at;
}

static int32_t make_room(lane *l, rnnrt_error *err)
{
    const int64_t mirror = l->small ? l->end : l->found + 256;
    if (l->end > l->io_bytes) {
        device_heap.release(l->io);
        l->io = (char *)device_heap.alloc((size_t)l->end);
        l->io_bytes = l->io ? l->end : 0;
        if (!l->io)
            return rnnrt_fail(err, RNNRT_ENOMEM, -1, l->end, 0);
    }
    if (mirror > l->mirror_bytes) {
        if (l->mirror)
            cudaFreeHost(l->mirror);
        l->mirror = NULL;
        l->mirror_bytes = 0;
        const int32_t rc = check(cudaMallocHost((void **)&l->mirror, (size_t)mirror), "page-locked memory", err);
        if (rc)
            return rc;
        l->mirror_bytes = mirror;
    }
    return RNNRT_OK;
}

static void drop_graph(lane *l)
{
    if (l->graph)
        cudaGraphExecDestroy(l->graph);
    l->graph = NULL;
    l->repeats = 0;
}

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
    drop_graph(l);
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

/* ---- rows ---- */
/* Copies words of 16 bytes; an address of 0 stands for zeros. */
__global__ void gather_rows(const uint64_t *addresses, uint4 *rows, int64_t words, int64_t count)
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < count * words; i += (int64_t)gridDim.x * blockDim.x) {
        const uint4 *from = (const uint4 *)addresses[i / words];
        rows[i] = from ? from[i % words] : make_uint4(0, 0, 0, 0);
    }
}

/* The one place where state changes. */
__global__ void commit_rows(const uint64_t *addresses, const uint4 *rows, int64_t words, int64_t count, const finding *found)
{
    if (found->code)
        return;
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < count * words; i += (int64_t)gridDim.x * blockDim.x) {
        uint4 *to = (uint4 *)addresses[i / words];
        if (to)
            to[i % words] = rows[i];
    }
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
    rnnrt_error *err;
};

static int poll_between(void *context)
{
    const task *t = (const task *)context;
    cudaStreamSynchronize(t->stream); /* so that a long call stops near where it is */
    return t->call->poll(t->call->poll_context);
}

static int32_t copy_in(const task &t)
{
    const rnnrt_plan *p = &t.m->program->plan;
    lane *l = t.l;
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
    inner.poll = t.call->poll ? poll_between : NULL;
    inner.poll_context = (void *)&t;
    inner.host_context = &context;
    const int32_t rc = rnnrt_execute(t.m->program, t.l->ws, &inner, t.l->ws->rows, t.carry, t.err);
    if (buffers != few)
        rnnrt_free(buffers);
    return rc;
}

static int32_t queue(const task &t)
{
    const int64_t row_bytes = t.m->program->plan.row_bytes, count = t.call->symbols[0], words = row_bytes / 16;
    const uint64_t *addresses = (const uint64_t *)(t.l->io + t.l->addresses);
    const finding *found = (const finding *)(t.l->io + t.l->found);
    const unsigned blocks = (unsigned)((count * words + 255) / 256 < 4096 ? (count * words + 255) / 256 : 4096);
    int32_t rc = copy_in(t);
    if (!rc && row_bytes) {
        if (keeps_rows(*t.rows))
            rc = check(launch(gather_rows, dim3(blocks), dim3(256), 0, t.stream, addresses, (uint4 *)t.l->ws->rows, words, count),
                       "gathering the states", t.err);
        else
            rc = check(cudaMemsetAsync(t.l->ws->rows, 0, (size_t)(count * row_bytes), t.stream), "clearing states", t.err);
        if (!rc && t.carry && t.m->restarts)
            rc = restart(t.m, t.l->ws->rows, count, t.stream, t.err);
    }
    if (!rc)
        rc = walk(t);
    if (!rc && row_bytes && keeps_rows(*t.rows))
        rc = check(launch(commit_rows, dim3(blocks), dim3(256), 0, t.stream, addresses, (const uint4 *)t.l->ws->rows, words, count,
                          found), "keeping the states", t.err);
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
    const int fits = l->small && l->ws->n_tiles == 1 && t.stream == l->stream && l->first_out <= l->end;
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

static int32_t run_in(const task &t)
{
    model *m = t.m;
    lane *l = t.l;
    const rnnrt_plan *p = &m->program->plan;
    int32_t rc = rnnrt_workspace_bind(m->program, l->ws, t.call->symbols, t.err);
    if (rc || (rc = check_buffers(m, t.call, t.err)) || (rc = check_ids(m, l, t.call, t.err)))
        return rc;
    compare_key(m, l, t.call, t.carry + 2 * keeps_rows(*t.rows));
    lay_out(m, l, t.call);
    if ((rc = make_room(l, t.err)))
        return rc;
    if (keeps_rows(*t.rows) && p->row_bytes)
        write_addresses(m, *t.rows, t.call->symbols[0], (uint64_t *)(l->mirror + l->addresses));
    memset(l->mirror + l->found, 0, sizeof(finding));
    for (int64_t i = 0; l->small && i < p->n_inputs; i++)
        if (l->at[i] >= 0)
            memcpy(l->mirror + l->at[i], t.call->inputs[i].data,
                   (size_t)bytes_of(l, p->inputs[i].tensor, t.call->inputs[i].dtype));
    rc = start(t);
    if (rc) { /* nothing may still write where the caller reads */
        cudaStreamSynchronize(t.stream);
        return rc;
    }
    if ((rc = check(cudaStreamSynchronize(t.stream), "running the model", t.err)))
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

int32_t run_call(model *m, const row_source &rows, const rnnrt_call *call, int32_t carry, rnnrt_error *err)
{
    int32_t rc = usable(m, err);
    device_guard guard;
    if (rc || (rc = guard.enter(m->gpu.device, err)))
        return rc;
    lane *l = take(m, call->symbols, err);
    if (!l)
        return failed(m, err);
    cudaStream_t stream = l->stream;
    if (RNNRT_HAS(call, rnnrt_call, stream) && call->stream)
        stream = (cudaStream_t)call->stream;
    if ((rc = run_in({m, l, call, &rows, carry, stream, err})))
        rc = failed(m, err);
    give_back(m, l);
    return rc;
}

int32_t lane_reserve(model *m, const int64_t *symbols, rnnrt_error *err)
{
    lane *l = lane_create(m, err);
    if (!l)
        return err->code;
    const int32_t rc = rnnrt_workspace_bind(m->program, l->ws, symbols, err);
    if (rc)
        lane_free(l);
    else
        give_back(m, l);
    return rc;
}

} // namespace rnnrt_cuda
