/* Streams: queues of work that runs when somebody needs it, or at once, as the dice say. Order within a stream and
 * between a record and those who wait for it is kept; nothing else is. Work on the null stream first ends all work
 * on blocking streams, as on the device. Copies to or from pageable memory take or wait for it at once. */
#include <chrono>
#include <deque>
#include <memory>
#include <vector>

#include "fibers.h"
#include "settings.h"

using emu::big_lock;
using emu::broken;
using emu::fail;
using emu::locked;
typedef std::function<void()> work;

struct CUgraph_st { std::vector<work> nodes; };
struct CUgraphExec_st { std::vector<work> nodes; };
struct CUstream_st {
    std::deque<work> queue;
    bool blocking;
    bool running;
    std::unique_ptr<CUgraph_st> capture;
    int device;
};
/* What a record leaves behind: it is done when its stream has come to it. */
struct moment {
    CUstream_st *stream;
    bool done;
    double ms;
};
struct CUevent_st { std::shared_ptr<moment> at; };

namespace {

std::vector<CUstream_st *> &streams()
{
    static auto *all = new std::vector<CUstream_st *>;
    return *all;
}
CUstream_st null_stream{{}, true, false, nullptr, 0};
int capturing;
emu::dice chance{0x2545F4914F6CDD1Du};

CUstream_st *named(cudaStream_t s) { return !s || s == cudaStreamLegacy || s == cudaStreamPerThread ? &null_stream : s; }

bool is(CUstream_st *s)
{
    if (s == &null_stream)
        return true;
    for (auto *x : streams())
        if (x == s)
            return true;
    return false;
}

void run_one(CUstream_st *s)
{
    work w = std::move(s->queue.front());
    s->queue.pop_front();
    s->running = true;
    if (!broken)
        w();
    s->running = false;
}

/* To its end, while others that may move on do so now and then. */
void drain(CUstream_st *s)
{
    while (!s->queue.empty()) {
        run_one(s);
        if (streams().size() > 1 && emu::setting(emu::LATE) && chance.below(3) == 0) {
            CUstream_st *other = streams()[chance.below((unsigned)streams().size())];
            if (!other->running && !other->queue.empty())
                run_one(other);
        }
    }
}

void drain_blocking()
{
    for (auto *s : streams())
        if (s->blocking)
            drain(s);
}

cudaError_t add(CUstream_st *s, work w)
{
    if (!is(s) || (s != &null_stream && s->device != emu::device())) /* the current device is another one's */
        return fail(cudaErrorInvalidResourceHandle);
    if (broken)
        return fail(broken);
    if (s->capture) {
        s->capture->nodes.push_back(std::move(w));
        return cudaSuccess;
    }
    if (s == &null_stream) {
        if (capturing)
            return fail(cudaErrorStreamCaptureUnsupported);
        drain_blocking();
        w();
        return fail(broken);
    }
    s->queue.push_back(std::move(w));
    chance.s ^= (uint64_t)emu::setting(emu::SEED) * 0x9E3779B97F4A7C15u;
    if (!chance.s)
        chance.s = 1;
    const int64_t late = emu::setting(emu::LATE); /* at 100 nothing moves by itself */
    if ((int64_t)chance.below(100) >= late)
        drain(s);
    else if (late < 100 && !streams().empty() && chance.below(8) == 0) /* or another stream moves on */
        drain(streams()[chance.below((unsigned)streams().size())]);
    return cudaSuccess;
}

double now()
{
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/* How a copy's ends must lie for its kind; 0: well. */
cudaError_t copy_ends(void *dst, const void *src, size_t n, cudaMemcpyKind kind)
{
    size_t to = n, from = n;
    const emu::where d = emu::memory_of(dst, nullptr, &to), s = emu::memory_of(src, nullptr, &from);
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind != cudaMemcpyDefault && ((to_device && d == emu::ELSEWHERE) || (!to_device && d == emu::ON_DEVICE) ||
                                      (from_device && s == emu::ELSEWHERE) || (!from_device && s == emu::ON_DEVICE)))
        return cudaErrorInvalidValue;
    return to < n || from < n ? cudaErrorInvalidValue : cudaSuccess;
}

struct rows { size_t dpitch, spitch, width, height; };

void copy_rows(void *dst, const void *src, rows r)
{
    for (size_t i = 0; i < r.height; i++)
        memmove((char *)dst + i * r.dpitch, (const char *)src + i * r.spitch, r.width);
}

cudaError_t copy(void *dst, const void *src, rows r, cudaMemcpyKind kind, CUstream_st *s, bool wait)
{
    if (!r.width || !r.height)
        return cudaSuccess;
    if (r.width > r.dpitch || r.width > r.spitch)
        return fail(cudaErrorInvalidValue);
    const size_t span = (r.height - 1) * (r.dpitch > r.spitch ? r.spitch : r.dpitch) + r.width;
    cudaError_t e = copy_ends(dst, src, span, kind);
    if (e)
        return fail(e);
    const bool pageable_to = emu::memory_of(dst) == emu::ELSEWHERE;
    if (emu::memory_of(src) == emu::ELSEWHERE && !(s->capture)) {
        auto held = std::make_shared<std::vector<char>>((const char *)src, (const char *)src + (r.height - 1) * r.spitch + r.width);
        e = add(s, [=] { copy_rows(dst, held->data(), r); });
    } else
        e = add(s, [=] { copy_rows(dst, src, r); });
    if (!e && (wait || pageable_to) && !s->capture)
        drain(s);
    return e ? e : fail(broken);
}

} // namespace

namespace emu {

void streams_forget()
{
    for (auto *s : streams())
        s->queue.clear();
}

cudaError_t enqueue(cudaStream_t s, work w) { return add(named(s), std::move(w)); }

} // namespace emu

/* ---- memory through streams ---- */
cudaError_t cudaMalloc(void **p, size_t n)
{
    locked guard(big_lock());
    *p = nullptr;
    if (broken || !emu::setting(emu::DEVICES))
        return fail(broken ? broken : cudaErrorNoDevice);
    if (capturing)
        return fail(cudaErrorStreamCaptureUnsupported);
    if (n)
        *p = emu::memory_take(n, emu::ON_DEVICE);
    return fail(*p || !n ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void *p)
{
    locked guard(big_lock());
    for (auto *s : streams())
        if (!s->capture)
            drain(s); /* the device ends its work first */
    return fail(!p || emu::memory_give(p, emu::ON_DEVICE) ? broken : cudaErrorInvalidValue);
}
cudaError_t cudaFreeHost(void *p)
{
    locked guard(big_lock());
    for (auto *s : streams())
        drain(s);
    return fail(!p || emu::memory_give(p, emu::PINNED) ? broken : cudaErrorInvalidValue);
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t *pool, const cudaMemPoolProps *)
{
    *pool = (cudaMemPool_t)new char;
    return cudaSuccess;
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool)
{
    delete (char *)pool;
    return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void *) { return cudaSuccess; }
cudaError_t cudaMallocFromPoolAsync(void **p, size_t n, cudaMemPool_t, cudaStream_t) { return cudaMalloc(p, n); }
cudaError_t cudaFreeAsync(void *p, cudaStream_t s)
{
    locked guard(big_lock());
    return add(named(s), [=] { fail(!p || emu::memory_give(p, emu::ON_DEVICE) ? broken : cudaErrorInvalidValue); });
}
cudaError_t cudaMemcpy(void *d, const void *s, size_t n, cudaMemcpyKind k)
{
    locked guard(big_lock());
    return copy(d, s, {n, n, n, 1}, k, &null_stream, true);
}
cudaError_t cudaMemcpyAsync(void *d, const void *s, size_t n, cudaMemcpyKind k, cudaStream_t stream)
{
    locked guard(big_lock());
    return copy(d, s, {n, n, n, 1}, k, named(stream), false);
}
cudaError_t cudaMemcpy2D(void *d, size_t dp, const void *s, size_t sp, size_t w, size_t h, cudaMemcpyKind k)
{
    locked guard(big_lock());
    return copy(d, s, {dp, sp, w, h}, k, &null_stream, true);
}
cudaError_t cudaMemcpy2DAsync(void *d, size_t dp, const void *s, size_t sp, size_t w, size_t h, cudaMemcpyKind k,
                              cudaStream_t stream)
{
    locked guard(big_lock());
    return copy(d, s, {dp, sp, w, h}, k, named(stream), false);
}
cudaError_t cudaMemset2DAsync(void *p, size_t pitch, int v, size_t w, size_t h, cudaStream_t s)
{
    locked guard(big_lock());
    size_t left = 0;
    if (w && h && (emu::memory_of(p, nullptr, &left) == emu::ELSEWHERE || left < (h - 1) * pitch + w))
        return fail(cudaErrorInvalidValue);
    return add(named(s), [=] {
        for (size_t i = 0; i < h; i++)
            memset((char *)p + i * pitch, v, w);
    });
}
cudaError_t cudaMemsetAsync(void *p, int v, size_t n, cudaStream_t s) { return cudaMemset2DAsync(p, n, v, n, 1, s); }
cudaError_t cudaMemset(void *p, int v, size_t n) { return cudaMemsetAsync(p, v, n, nullptr); }

/* ---- streams ---- */
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
    locked guard(big_lock());
    if (broken || !emu::setting(emu::DEVICES))
        return fail(broken ? broken : cudaErrorNoDevice);
    *s = new CUstream_st{{}, !(flags & cudaStreamNonBlocking), false, nullptr, emu::device()};
    streams().push_back(*s);
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *s) { return cudaStreamCreateWithFlags(s, 0); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned flags, int) { return cudaStreamCreateWithFlags(s, flags); }
cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    locked guard(big_lock());
    if (!is(named(s)))
        return fail(cudaErrorInvalidResourceHandle);
    if (named(s)->capture)
        return fail(cudaErrorStreamCaptureUnsupported);
    drain(named(s));
    return fail(broken);
}
cudaError_t cudaDeviceSynchronize()
{
    locked guard(big_lock());
    for (auto *s : streams())
        drain(s);
    return fail(broken);
}
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    const cudaError_t e = cudaStreamSynchronize(s);
    locked guard(big_lock());
    auto &all = streams();
    for (size_t i = 0; i < all.size(); i++)
        if (all[i] == s) {
            all.erase(all.begin() + (ptrdiff_t)i);
            delete s;
            return e;
        }
    return fail(cudaErrorInvalidResourceHandle);
}
cudaError_t cudaStreamQuery(cudaStream_t s)
{
    locked guard(big_lock());
    if (!is(named(s)))
        return fail(cudaErrorInvalidResourceHandle);
    if (!named(s)->queue.empty() && chance.below(2))
        run_one(named(s));
    return broken ? fail(broken) : named(s)->queue.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t f, void *context)
{
    locked guard(big_lock());
    return add(named(s), [=] { f(context); });
}

/* ---- events ---- */
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
    *e = new CUevent_st{};
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *e) { return cudaEventCreateWithFlags(e, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    delete e;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    locked guard(big_lock());
    auto at = std::make_shared<moment>(moment{named(s), false, 0});
    if (named(s)->capture)
        return add(named(s), [=] { at->done = true; });
    e->at = at;
    return add(named(s), [=] {
        at->done = true;
        at->ms = now();
    });
}
static void reach(const std::shared_ptr<moment> &at)
{
    while (at && !at->done && is(at->stream) && !at->stream->queue.empty())
        run_one(at->stream);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    locked guard(big_lock());
    auto at = e->at;
    return add(named(s), [=] { reach(at); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    locked guard(big_lock());
    reach(e->at);
    return fail(broken);
}
cudaError_t cudaEventQuery(cudaEvent_t e)
{
    locked guard(big_lock());
    if (e->at && !e->at->done && is(e->at->stream) && !e->at->stream->queue.empty() && chance.below(2))
        run_one(e->at->stream);
    return broken ? fail(broken) : !e->at || e->at->done ? cudaSuccess : fail(cudaErrorNotReady);
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b)
{
    locked guard(big_lock());
    if (!a->at || !b->at)
        return fail(cudaErrorInvalidResourceHandle);
    if (!a->at->done || !b->at->done)
        return cudaErrorNotReady;
    *ms = (float)(b->at->ms - a->at->ms);
    return cudaSuccess;
}

/* ---- for tests: a caller's streams ---- */
#define TEST extern "C" __attribute__((visibility("default")))
TEST void *rnnrt_emu_stream_create(int blocking)
{
    cudaStream_t s = nullptr;
    cudaStreamCreateWithFlags(&s, blocking ? cudaStreamDefault : cudaStreamNonBlocking);
    return s;
}
TEST int rnnrt_emu_stream_destroy(void *s) { return cudaStreamDestroy((cudaStream_t)s); }
TEST int rnnrt_emu_stream_sync(void *s) { return cudaStreamSynchronize((cudaStream_t)s); }
/* Pieces of work that wait on it. */
TEST int64_t rnnrt_emu_stream_pending(void *s)
{
    locked guard(big_lock());
    return (int64_t)((cudaStream_t)s)->queue.size();
}
/* 1: captures into a graph from now on; 0: no longer, and the graph is dropped. */
TEST int rnnrt_emu_stream_capture(void *s, int begin)
{
    if (begin)
        return cudaStreamBeginCapture((cudaStream_t)s, cudaStreamCaptureModeGlobal);
    cudaGraph_t g = nullptr;
    const cudaError_t e = cudaStreamEndCapture((cudaStream_t)s, &g);
    delete g;
    return e;
}

/* ---- graphs: the list of what was said while the stream was captured ---- */
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode)
{
    locked guard(big_lock());
    if (!is(s) || s->capture)
        return fail(cudaErrorInvalidValue);
    s->capture = std::make_unique<CUgraph_st>();
    capturing++;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g)
{
    locked guard(big_lock());
    if (!is(s) || !s->capture)
        return fail(cudaErrorStreamCaptureUnmatched);
    *g = s->capture.release();
    capturing--;
    return fail(broken);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *status)
{
    locked guard(big_lock());
    *status = named(s)->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *x, cudaGraph_t g, unsigned long long)
{
    locked guard(big_lock());
    *x = new CUgraphExec_st{g->nodes};
    return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t s)
{
    locked guard(big_lock());
    for (auto &w : x->nodes)
        if (const cudaError_t e = add(named(s), w))
            return e;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t x)
{
    delete x;
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    delete g;
    return cudaSuccess;
}
