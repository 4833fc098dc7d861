#include "lock.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int64_t generation; /* written where there is one thread */

static void unlock_child(void)
{
    generation++;
    rnnrt_unlock();
}

static void watch_forks(void) { pthread_atfork(rnnrt_lock, rnnrt_unlock, unlock_child); }

void rnnrt_lock(void)
{
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
}

void rnnrt_unlock(void) { pthread_mutex_unlock(&lock); }

int64_t rnnrt_generation(void) { return generation; }
