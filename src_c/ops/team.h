/* The threads of one call, as ops see them: a job is a number of steps of a number of parts each. All parts of a step
 * run at once, and all of them before any of the next. Part 0 is the caller's; the caller also runs every part that
 * no worker has begun, so that nothing ever waits for a thread that sleeps or has no core. */
#ifndef RNNRT_TEAM_H
#define RNNRT_TEAM_H

#include <stdint.h>

typedef struct rnnrt_team rnnrt_team;

/* Runs one part of one step. Parts of a step must not touch what another part of it writes. */
typedef void rnnrt_part_fn(void *context, int64_t part, int64_t step);

/* How many parts a job had best have now, whose steps are so many multiply-adds: 1 where they are few, where no worker
 * is awake, and where the workers get no cores of their own. */
int64_t rnnrt_team_parts(rnnrt_team *team, int64_t work);

/* parts: what rnnrt_team_parts said. Returns when all is done. */
void rnnrt_team_run(rnnrt_team *team, int64_t parts, int64_t steps, rnnrt_part_fn *fn, void *context);

/* Rows of one thread from which on rows are shared out, not columns: two tiles of the matrix kernels. */
#define RNNRT_TEAM_ROWS 12

/* The same; NULL: a call on one thread. */
static inline int64_t rnnrt_parts(rnnrt_team *team, int64_t work) { return team ? rnnrt_team_parts(team, work) : 1; }

/* Where a part of n pieces begins; it ends where the next begins. A function of the layer and the number of threads
 * only, so that each core finds its weights in its own cache. */
static inline int64_t rnnrt_part_begin(int64_t n, int64_t part, int64_t parts) { return (n * part + parts - 1) / parts; }

/* Between two looks at what another thread does. */
static inline void rnnrt_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

#endif
