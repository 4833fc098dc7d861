/* What a kernel says, in the machine. */
#include "machine.h"

namespace emu {

static const int64_t HOPELESS = 4000000; /* polls in a row without anything else happening */


void sync_block()
{
    block *b = m.current->w->b;
    if (++b->waiting == b->live) {
        release_block(b);
        if (m.d.below(4))
            return; /* the last one may run on before the others */
        poll();
        return;
    }
    stop_at(AT_BLOCK);
}

int sync_block_reduce(int value, int how)
{
    block *b = m.current->w->b;
    b->reduce[0] |= value != 0;
    b->reduce[1] &= value != 0;
    b->reduce[2] += value != 0;
    sync_block();
    return b->reduced[how];
}

/* The meeting of the lanes of a mask; lanes that the block does not have are not waited for, ended ones are. */
static meeting *meet_at(unsigned *mask)
{
    thread *t = m.current;
    *mask &= t->w->lanes;
    meeting *at = &t->w->meet[*mask ? __builtin_ctz(*mask) : 0];
    if (!(*mask >> t->lane & 1) || (at->mask && at->mask != *mask)) {
        stop_all(); /* a lane that is not of the mask, or two masks at once */
    }
    at->mask = *mask;
    return at;
}

static void meet(meeting *at)
{
    at->here |= 1u << m.current->lane;
    if (at->here == at->mask)
        release_meeting(m.current->w, at);
    else
        stop_at(AT_WARP);
}

void sync_warp(unsigned mask) { meet(meet_at(&mask)); }

void exchange(unsigned mask, const uint32_t *mine, int n, const uint32_t *(*seen)[32])
{
    thread *t = m.current;
    meeting *at = meet_at(&mask);
    let_go(t);
    if (!at->show) {
        if (m.shows.empty())
            m.shows.push_back(new shown);
        at->show = m.shows.back();
        m.shows.pop_back();
        at->show->readers = (unsigned)__builtin_popcount(mask);
    }
    shown *show = t->held = at->show;
    memcpy(show->words[t->lane], mine, (size_t)n * sizeof *mine);
    meet(at);
    for (int i = 0; i < 32; i++)
        (*seen)[i] = mask >> i & 1 ? show->words[i] : nullptr;
}

void poll()
{
    thread *t = m.current;
    warp *w = t->w;
    if (m.d.below(4) == 0)
        return;
    if (++m.idle > HOPELESS || m.broken) {
        stop_all();
    }
    if (m.d.below(2) && !w->queued) {
        w->queued = true; /* it rests until all others have had a turn */
        m.resting.push_back(w);
    }
    leave();
}

void *dynamic_shared() { return m.current->w->b->shared; }

void *static_shared(const void *key, size_t bytes)
{
    char *base = m.current->w->b->shared + ((m.l.shared + 127) & ~(size_t)127);
    for (auto &s : m.statics)
        if (s.first == key)
            return base + s.second;
    const size_t at = m.static_bytes;
    m.static_bytes += (bytes + 127) & ~(size_t)127;
    if (m.static_bytes > STATIC_SHARED - 128) {
        stop_all();
    }
    m.statics.push_back({key, at});
    return base + at;
}

unsigned cluster_rank() { return m.current->w->b->rank; }
unsigned cluster_size() { return (unsigned)m.current->w->b->c->blocks.size(); }

void cluster_arrive()
{
    cluster *c = m.current->w->b->c;
    m.current->cluster_round = c->round;
    if (++c->arrived == c->live)
        release_cluster(c);
}

void cluster_wait()
{
    if (m.current->cluster_round == m.current->w->b->c->round)
        stop_at(AT_CLUSTER);
}

void *cluster_map(const void *shared, unsigned rank)
{
    block *b = m.current->w->b;
    if (rank >= b->c->blocks.size() || !b->c->blocks[rank]->live) {
        stop_all(); /* no such block, or it has gone with its memory */
    }
    return b->c->blocks[rank]->shared + ((const char *)shared - b->shared);
}

/* Groups, the last of them open. Copies land as late as they may. */
void copy_async(void *shared, const void *global, int bytes)
{
    auto &groups = m.current->copies;
    if (((uintptr_t)shared | (uintptr_t)global) % (unsigned)bytes)
        stop_all(); /* a misaligned address */
    if (groups.empty())
        groups.emplace_back();
    groups.back().push_back({shared, global, bytes});
}

void copy_commit()
{
    auto &groups = m.current->copies;
    if (groups.empty())
        groups.emplace_back();
    groups.emplace_back();
}

void copy_wait(int pending)
{
    auto &groups = m.current->copies;
    while ((int)groups.size() - 1 > pending) {
        land(groups.front());
        groups.erase(groups.begin());
    }
}

} // namespace emu
