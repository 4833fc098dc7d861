/* Lanes: kept, chosen and grown. A lane is used by one call of the host at a time; what that call queued may still be
 * under way when the next one takes it, which then queues behind it. */
#include "lanes.cuh"

#include <string.h>

namespace rnnrt_cuda {

#define KEEP_LANES 16
#define KEEP_BYTES ((int64_t)1 << 30)
#define SMALL_BYTES ((int64_t)1 << 20) /* inputs and outputs that go through page-locked memory */
#define FETCH_BYTES ((int64_t)32 << 10) /* and that kernels carry over */

static int64_t round256(int64_t n) { return (n + 255) & ~(int64_t)255; }

/* ---- tails ---- */
int32_t tail_prepare(tail *t, rnnrt_error *err)
{
    return t->event ? RNNRT_OK : check(cudaEventCreateWithFlags(&t->event, cudaEventDisableTiming), "an event", err);
}

int32_t tail_mark(tail *t, cudaStream_t stream, rnnrt_error *err)
{
    t->open = 1;
    return check(cudaEventRecord(t->event, stream), "an event", err);
}

int32_t tail_follow(const tail *t, cudaStream_t stream, rnnrt_error *err)
{
    return t->open ? check(cudaStreamWaitEvent(stream, t->event, 0), "waiting for a stream", err) : RNNRT_OK;
}

int32_t tail_wait(tail *t, rnnrt_error *err)
{
    if (!t->open)
        return RNNRT_OK;
    t->open = 0;
    return check(cudaEventSynchronize(t->event), "waiting for an earlier call", err);
}

/* Closes it where that is reached already. */
static int tail_reached(tail *t)
{
    if (t->open && cudaEventQuery(t->event) == cudaSuccess)
        t->open = 0;
    cudaGetLastError(); /* "not ready" is none */
    return !t->open;
}

void tail_free(tail *t)
{
    rnnrt_error unused = {};
    tail_wait(t, &unused);
    if (t->event)
        cudaEventDestroy(t->event);
    t->event = NULL;
}

/* ---- made and freed ---- */
void lane_free(lane *l)
{
    if (!l)
        return;
    tail_free(&l->busy);
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

/* ---- kept ---- */
static int bound_for(const model *m, const lane *l, const int64_t *symbols)
{
    return l->ws->bound && memcmp(l->ws->symbols, symbols, (size_t)m->program->plan.n_symbols * 8) == 0;
}

/* The most recently used lane of these sizes that is idle or on the same stream; else one that may be reused. */
static lane *choose(model *m, const int64_t *symbols, cudaStream_t stream)
{
    lane **at, **busy = NULL;
    for (at = &m->free_lanes; *at; at = &(*at)->next)
        if (bound_for(m, *at, symbols)) {
            if (!(*at)->busy.open || (stream && (*at)->last == stream))
                break;
            busy = at; /* the one longest ago is done first */
        }
    if (!*at)
        at = busy ? busy : &m->free_lanes;
    lane *l = *at;
    /* while there are few, another shape gets a lane of its own and lets this one keep its graph */
    if (!l || (!bound_for(m, l, symbols) && m->n_free < KEEP_LANES / 2 && (l->graph || l->busy.open)))
        return NULL;
    *at = l->next;
    m->n_free--;
    return l;
}

lane *lane_take(model *m, const int64_t *symbols, cudaStream_t stream, rnnrt_error *err)
{
    rnnrt_lock();
    lane *l = choose(m, symbols, stream);
    const int64_t others = m->n_free;
    rnnrt_unlock();
    /* calls on several streams run beside each other, each in a lane of its own */
    if (l && !(stream && l->last == stream) && !tail_reached(&l->busy) && others < KEEP_LANES - 1) {
        lane_give_back(m, l);
        l = NULL;
    }
    return l ? l : lane_create(m, err);
}

void lane_give_back(model *m, lane *l)
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

/* ---- sizes ---- */
void lane_drop_graph(lane *l)
{
    if (l->graph)
        cudaGraphExecDestroy(l->graph);
    l->graph = NULL;
    l->repeats = 0;
}

int32_t lane_bind(model *m, lane *l, const int64_t *symbols, rnnrt_error *err)
{
    if (!bound_for(m, l, symbols)) {
        lane_drop_graph(l);
        const int32_t rc = tail_wait(&l->busy, err);
        if (rc)
            return rc;
    }
    return rnnrt_workspace_bind(m->program, l->ws, symbols, err);
}

int32_t lane_reserve(model *m, const int64_t *symbols, rnnrt_error *err)
{
    lane *l = lane_create(m, err);
    if (!l)
        return err->code;
    const int32_t rc = lane_bind(m, l, symbols, err);
    if (rc)
        lane_free(l);
    else
        lane_give_back(m, l);
    return rc;
}

static int32_t make_room(lane *l, rnnrt_error *err)
{
    const int64_t mirror = l->small ? l->end : l->found + 256;
    if (l->end > l->io_bytes || mirror > l->mirror_bytes) {
        lane_drop_graph(l);
        const int32_t rc = tail_wait(&l->busy, err);
        if (rc)
            return rc;
    }
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

/* small: addresses | inputs | finding | outputs; else addresses | finding | inputs | outputs, so that what goes through
 * the mirror lies together at the front. */
int32_t lane_lay_out(const model *m, lane *l, const rnnrt_call *call, rnnrt_error *err)
{
    const rnnrt_plan *p = &m->program->plan;
    int64_t in = 0, out = 0, head = round256(call->symbols[0] * 8);
    for (int64_t i = 0; i < p->n_inputs; i++)
        in += on_device(&call->inputs[i]) ? 0 : round256(bytes_of(l, p->inputs[i].tensor, call->inputs[i].dtype));
    for (int64_t i = 0; i < p->n_outputs; i++)
        out += on_device(&call->outputs[i]) ? 0 : round256(bytes_of(l, p->outputs[i], (int32_t)p->tensors[p->outputs[i]].dtype));
    l->addresses = 0;
    l->small = in + out <= SMALL_BYTES;
    l->fetched = head + in + out <= FETCH_BYTES;
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
    return make_room(l, err);
}

} // namespace rnnrt_cuda
