/* Device threads as fibers: what runs one launch. Only one launch runs at a time (streams.cc holds the lock), so the
 * machine is one set of globals. A fiber runs until it waits, polls or ends; who runs next is drawn from the seed. */
#ifndef RNNRT_EMU_FIBERS_H
#define RNNRT_EMU_FIBERS_H

#include <cstdint>
#include <functional>
#include <vector>

#include "cuda_runtime.h"

namespace emu {

struct launch {
    dim3 grid, block, cluster; /* cluster: blocks in each direction */
    size_t shared;
    bool cooperative;          /* all blocks are there at once */
    const std::function<void()> *body;
};

/* Runs the launch to its end. False: a barrier that can not complete, or polling without end. */
bool run_launch(const launch &l);

/* xorshift: the one source of chance */
struct dice {
    uint64_t s;
    uint32_t roll()
    {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        return (uint32_t)(s >> 32);
    }
    uint32_t below(uint32_t n) { return (uint32_t)(((uint64_t)roll() * n) >> 32); }
};

struct counters {
    int64_t launches, threads, switches;
};
extern counters count;

} // namespace emu

#endif
