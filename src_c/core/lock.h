/* The one short lock of the core: held for a few loads and stores of a list, never while anything runs. */
#ifndef RNNRT_LOCK_H
#define RNNRT_LOCK_H

#include <stdint.h>

/* One lock for all models, so that fork() can take it: a child never finds it held by a thread that it has not. */
void rnnrt_lock(void);
void rnnrt_unlock(void);

/* A number that is another one in each forked child: what was made under another number had its threads elsewhere.
 * Read without a lock; processes are counted from the first rnnrt_lock on. */
int64_t rnnrt_generation(void);

#endif
