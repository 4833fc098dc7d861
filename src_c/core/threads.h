/* A model's team of threads: made at the first call that is worth it, asleep unless calls follow one another. */
#ifndef RNNRT_THREADS_H
#define RNNRT_THREADS_H

#include "../ops/team.h"

#define RNNRT_MOST_THREADS 64

/* A team without threads yet; NULL: no memory. threads: with the caller's, 2 or more. */
rnnrt_team *rnnrt_team_create(int32_t threads);
/* Ends the threads; in a process forked since, where there are none, only frees. */
void rnnrt_team_free(rnnrt_team *team);

/* The team at *slot for a call that is estimated at so many nanoseconds, until rnnrt_team_leave; NULL: the call runs
 * on its own thread, since it is short, or another call has the team. In a forked child a new team takes the slot. */
rnnrt_team *rnnrt_team_enter(_Atomic(rnnrt_team *) *slot, int64_t cost);
void rnnrt_team_leave(rnnrt_team *team);

#endif
