/* Who runs next, from the first block of a launch to the last. */
#include "fibers.h"

#include <sys/mman.h>

#include "machine.h"
#include "settings.h"
#include "switch.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FORGET_POISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define FORGET_POISON(p, n) ((void)0)
#endif

namespace emu {

int lane;
counters count;
machine m;

static const size_t STACK = 128 * 1024;

static void queue(warp *w)
{
    if (w->queued || !w->ready)
        return;
    w->queued = true;
    (w->starved ? m.starved : m.ready).push_back(w);
}

static void wake(thread *t)
{
    t->state = RUNNABLE;
    t->w->ready |= 1u << t->lane;
    queue(t->w);
}

/* Leaves the current thread, which has set its state. */
void leave()
{
    thread *t = m.current;
    count.switches++;
    context_switch(&t->context, m.host);
}

void stop_at(waiting state)
{
    thread *t = m.current;
    m.idle = 0;
    t->state = state;
    t->w->ready &= ~(1u << t->lane);
    leave();
}

void stop_all()
{
    m.broken = true;
    stop_at(AT_BLOCK);
    __builtin_unreachable();
}

void release_block(block *b)
{
    b->waiting = 0;
    memcpy(b->reduced, b->reduce, sizeof b->reduce);
    b->reduce[0] = b->reduce[2] = 0;
    b->reduce[1] = 1;
    for (thread &t : b->threads)
        if (t.state == AT_BLOCK)
            wake(&t);
}

void release_cluster(cluster *c)
{
    c->arrived = 0;
    c->round++;
    for (block *b : c->blocks)
        for (thread &t : b->threads)
            if (t.state == AT_CLUSTER && t.cluster_round != c->round)
                wake(&t);
}

void release_meeting(warp *w, meeting *at)
{
    const unsigned mask = at->mask;
    *at = {0, 0, nullptr};
    for (int i = 0; i < 32; i++)
        if ((mask >> i & 1) && w->threads[i].state == AT_WARP)
            wake(&w->threads[i]);
}

/* from == nullptr: zeros */
void land(const std::vector<pending_copy> &group)
{
    for (auto &c : group) {
        if (c.from)
            memcpy(c.to, c.from, (size_t)c.bytes);
        else
            memset(c.to, 0, (size_t)c.bytes);
    }
}

static void thread_main()
{
    thread *t = m.current;
    (*m.l.body)();
    for (auto &group : t->copies)
        land(group);
    stop_at(ENDED);
    __builtin_unreachable();
}

void let_go(thread *t)
{
    if (t->held && !--t->held->readers)
        m.shows.push_back(t->held);
    t->held = nullptr;
}

static void end_thread(thread *t)
{
    m.idle = 0;
    let_go(t);
    warp *w = t->w;
    block *b = w->b;
    w->live &= ~(1u << t->lane);
    m.stacks.push_back(t->stack);
    t->stack = nullptr;
    if (--b->live && b->waiting == b->live)
        release_block(b);
    if (--b->c->live && b->c->arrived == b->c->live)
        release_cluster(b->c);
}

static char *stack_take()
{
    if (m.stacks.empty()) {
        void *p = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        return p == MAP_FAILED ? nullptr : (char *)p;
    }
    char *s = m.stacks.back();
    m.stacks.pop_back();
    FORGET_POISON(s, STACK);
    return s;
}

/* Runs one thread until it waits, rests or ends. */
static void run_thread(thread *t)
{
    m.current = t;
    threadIdx = t->index;
    blockIdx = t->w->b->index;
    lane = t->lane;
    if (!t->stack) {
        t->stack = stack_take();
        if (!t->stack) {
            m.broken = true;
            return;
        }
        t->context = context_make(t->stack, STACK, thread_main);
    }
    context_switch(&m.host, t->context);
    if (t->state == ENDED)
        end_thread(t);
}

static cluster *cluster_start(dim3 at)
{
    auto *c = new cluster{};
    const dim3 n = m.l.cluster;
    for (unsigned z = 0; z < n.z; z++)
        for (unsigned y = 0; y < n.y; y++)
            for (unsigned x = 0; x < n.x; x++) {
                auto *b = new block{};
                b->index = {at.x * n.x + x, at.y * n.y + y, at.z * n.z + z};
                b->c = c;
                b->rank = (unsigned)c->blocks.size();
                b->live = m.per_block;
                b->reduce[1] = 1;
                b->shared = (char *)aligned_alloc(1024, (m.l.shared + STATIC_SHARED + 1023) & ~(size_t)1023);
                memset(b->shared, 0xA5, m.l.shared + STATIC_SHARED);
                b->threads.resize(m.per_block);
                b->warps.resize((m.per_block + 31) / 32);
                for (unsigned i = 0; i < m.per_block; i++) {
                    thread &t = b->threads[i];
                    const dim3 d = m.l.block;
                    t.index = {i % d.x, i / d.x % d.y, i / d.x / d.y};
                    t.lane = (int)(i % 32);
                    t.w = &b->warps[i / 32];
                    t.w->live |= 1u << (i % 32);
                    t.w->lanes = t.w->live;
                }
                for (size_t i = 0; i < b->warps.size(); i++) {
                    warp &w = b->warps[i];
                    w.b = b;
                    w.threads = &b->threads[i * 32];
                    w.ready = w.live;
                    w.starved = m.d.below(3) == 0;
                    queue(&w);
                }
                c->live += b->live;
                c->blocks.push_back(b);
                count.threads += m.per_block;
            }
    m.resident.push_back(c);
    return c;
}

static void cluster_end(cluster *c)
{
    for (block *b : c->blocks) {
        for (thread &t : b->threads)
            if (t.stack)
                m.stacks.push_back(t.stack);
        ::free(b->shared);
        delete b;
    }
    delete c;
}

static warp *take(std::vector<warp *> &from)
{
    size_t i = m.style == 0 ? 0 : m.style == 1 ? from.size() - 1 : m.d.below((unsigned)from.size());
    warp *w = from[i];
    if (m.style == 0)
        from.erase(from.begin());
    else {
        from[i] = from.back();
        from.pop_back();
    }
    w->queued = false;
    return w;
}

/* Who is starved changes now and then: a block, or single warps. */
static void draw_starved()
{
    const bool whole_blocks = m.d.below(2);
    for (cluster *c : m.resident)
        for (block *b : c->blocks) {
            const bool all = m.d.below(3) == 0;
            for (warp &w : b->warps)
                w.starved = whole_blocks ? all : m.d.below(3) == 0;
        }
}

/* One warp runs, in an order of lanes of its own, until it can not go on or the dice say so. */
static void run_warp(warp *w)
{
    const unsigned how = m.d.below(3), first = m.d.below(32);
    const bool through = m.d.below(4) != 0;
    for (unsigned i = 0; i < 32 && w->ready && !m.broken; i++) {
        const unsigned at = how == 0 ? i : how == 1 ? 31 - i : (i + first) & 31;
        if (w->ready >> at & 1) {
            run_thread(&w->threads[at]);
            if (!through && m.d.below(8) == 0)
                break;
        }
    }
    queue(w);
}

static bool step()
{
    if (m.ready.empty() && m.starved.empty()) {
        if (m.resting.empty())
            return false;
        for (warp *w : m.resting)
            (w->starved ? m.starved : m.ready).push_back(w);
        m.resting.clear();
    }
    if (m.d.below(64) == 0)
        draw_starved();
    run_warp(take(m.ready.empty() ? m.starved : m.ready));
    return true;
}

static bool reap()
{
    for (size_t i = 0; i < m.resident.size();) {
        if (m.resident[i]->live == 0) {
            cluster_end(m.resident[i]);
            m.resident[i] = m.resident.back();
            m.resident.pop_back();
        } else
            i++;
    }
    return m.resident.empty();
}


bool run_launch(const launch &l)
{
    static uint64_t number;
    m.l = l;
    blockDim = l.block;
    gridDim = l.grid;
    m.per_block = l.block.x * l.block.y * l.block.z;
    m.d.s = (uint64_t)(setting(SEED) + 1) * 0x9E3779B97F4A7C15u ^ ++number * 0xD1B54A32D192ED03u;
    m.d.roll();
    m.style = (int)m.d.below(4);
    m.statics.clear();
    m.static_bytes = 0;
    m.idle = 0;
    m.broken = false;
    count.launches++;
    const dim3 n = {l.grid.x / l.cluster.x, l.grid.y / l.cluster.y, l.grid.z / l.cluster.z};
    const uint64_t clusters = (uint64_t)n.x * n.y * n.z;
    const uint64_t at_once = l.cooperative ? clusters : 1 + m.d.below(3);
    const bool backwards = m.d.below(2);
    for (uint64_t next = 0; !m.broken;) {
        while (next < clusters && m.resident.size() < at_once) {
            const uint64_t i = backwards ? clusters - 1 - next : next;
            cluster_start({(unsigned)(i % n.x), (unsigned)(i / n.x % n.y), (unsigned)(i / n.x / n.y)});
            next++;
        }
        const bool ran = step();
        if (m.ready.empty() && m.starved.empty() && m.resting.empty() && reap() && next == clusters)
            break;
        if (!ran && (next == clusters || m.resident.size() >= at_once))
            m.broken = true; /* everybody waits */
    }
    for (cluster *c : m.resident)
        cluster_end(c);
    m.resident.clear();
    m.ready.clear();
    m.starved.clear();
    m.resting.clear();
    return !m.broken;
}

} // namespace emu
