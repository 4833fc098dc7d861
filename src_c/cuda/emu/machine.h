/* The machine of fibers.cc as words.cc sees it: blocks, warps and threads of one launch, and their meeting places. */
#ifndef RNNRT_EMU_MACHINE_H
#define RNNRT_EMU_MACHINE_H

#include <cstdlib>
#include <vector>

#include "fibers.h"

namespace emu {

const size_t STATIC_SHARED = 48 * 1024;

enum waiting { RUNNABLE, AT_BLOCK, AT_WARP, AT_CLUSTER, ENDED };

struct block;
struct warp;

struct pending_copy { void *to; const void *from; int bytes; };

struct thread {
    uint3 index;
    int lane;
    warp *w;
    void *context;
    char *stack;               /* nullptr: not begun */
    waiting state;
    unsigned cluster_round;
    struct shown *held;        /* what it saw last */
    std::vector<std::vector<pending_copy>> copies;
};

/* The words of one meeting; kept until all who met have gone on to another. */
struct shown { uint32_t words[32][8]; unsigned readers; };

struct meeting { unsigned mask, here; shown *show; };

struct warp {
    block *b;
    thread *threads;
    uint32_t lanes, live, ready;
    bool queued, starved;
    meeting meet[32];          /* by the lowest lane of the mask */
};

struct cluster { unsigned live, arrived, round; std::vector<block *> blocks; };

struct block {
    uint3 index;
    cluster *c;
    unsigned rank, live, waiting;
    int reduce[3], reduced[3]; /* or, and, count */
    std::vector<thread> threads;
    std::vector<warp> warps;
    char *shared;
};

struct machine {
    launch l;
    unsigned per_block;
    dice d;
    int style;                 /* of this launch: how the next warp is drawn */
    std::vector<warp *> ready, starved, resting;
    std::vector<cluster *> resident;
    std::vector<char *> stacks;
    std::vector<shown *> shows; /* free ones */
    std::vector<std::pair<const void *, size_t>> statics;
    size_t static_bytes;
    void *host;                /* the context of run_launch */
    thread *current;
    int64_t idle;
    bool broken;
};
extern machine m;

void stop_at(waiting state); /* the current thread goes to the others; somebody will wake it */
void leave();                /* it goes to the others, and may be drawn again */
[[noreturn]] void stop_all(); /* the launch has failed */
void release_block(block *b);
void release_cluster(cluster *c);
void release_meeting(warp *w, meeting *at);
void let_go(thread *t);      /* of what it saw at its last meeting */
void land(const std::vector<pending_copy> &group);

} // namespace emu

#endif
