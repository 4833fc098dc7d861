/* Teams of threads.
 *
 * Tickets number the steps of all jobs of a team, without gaps. Each worker owns a slot, which says how far its part
 * is: 2 t while somebody runs it for ticket t, 2 t + 1 when that is done. A worker takes its part of the ticket behind
 * its slot by compare-and-swap once all parts of the ticket before are done; so does the caller, with the parts that
 * nobody has taken when its own is done. Only who has taken a part reads the job, which therefore lives. Nobody
 * publishes single steps: each thread sees from the slots that the next has come.
 *
 * Measured (tools/bench/threads): fixed ranges without claims lose whole scheduler slices where a core is busy (mean of
 * a step of LSTM(512) 157 us for 110 us of one thread); ranges cut into smaller claims cost 5 us a step by lost
 * caches and gain nothing. */
#define _GNU_SOURCE /* affinity */
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "../include/rnnrt.h"
#include "../kernels/fpenv.h"
#include "alloc.h"
#include "lock.h"

/* Work below which a step is not shared out, in multiply-adds: a step of so many takes 1 to 2 us, and two threads of
 * neighbouring cores meet in a quarter of that. */
#define LEAST_WORK (40 * 1024)
/* A worker that is woken at the beginning of such a step, of some 50 us, is there before its end. */
#define LONG_WORK (2 * 1024 * 1024)
/* A worker without work looks for some for so long, then sleeps: waking it costs 5 to 50 us. While a job goes on it
 * looks longer, since the caller may be at a part that this worker came too late for. */
#define SPIN_NS 80000
#define SPIN_IN_JOB_NS 2000000
/* A call of this estimate wakes the team at once, shorter ones where they follow one another closely. */
#define LONG_CALL_NS 300000
#define SHORTEST_CALL_NS 2000
#define CLOSE_NS 60000
#define CLOSE_CALLS 3
/* The caller waits for a part that was begun: a worker that has lost its core keeps it for a slice of the scheduler, or
 * several. The team keeps an account of the time that the workers' parts have saved and waiting has cost, with at most
 * CREDIT_NS in it. Where it is overdrawn the workers are left alone for DEBT_TIMES what is missing, so that other load
 * costs a call at most about 1 / DEBT_TIMES of its time; so they are, for longer and longer, where they take less than
 * half of the parts that they could. */
#define YIELD_NS 20000
#define CREDIT_NS 32000000
#define DEBT_NS 50000
#define DEBT_TIMES 20
#define ALONE_LEAST_NS 1000000
#define ALONE_MOST_NS 32000000
#define DEBT_MOST_NS 500000000
#define JUDGE_PARTS 64
#define WAKE_AGAIN_NS 1000000
#define STACK_BYTES ((size_t)2 << 20)

/* Two cache lines, since lines are fetched in pairs. */
typedef struct slot {
    atomic_llong at;
    char apart[120];
} slot;

typedef struct worker {
    rnnrt_team *team;
    pthread_t thread;
    int32_t part;
} worker;

struct rnnrt_team {
    atomic_llong published;               /* ticket behind the last one * 256 + parts of the job */
    char apart[120];
    atomic_int awake;                     /* workers that look for work */
    char apart_too[124];
    slot slots[RNNRT_MOST_THREADS];       /* [0]: the caller's */
    /* the job: written before it is published, read by who has taken a part of it */
    rnnrt_part_fn *fn;
    void *context;
    long long first;
    /* the caller's, whoever has the team */
    atomic_flag taken;
    long long next;                       /* ticket */
    int64_t threads, started;
    int eager, close_calls;
    int64_t last_call, alone_until, alone, wake_again;
    int64_t account;                      /* nanoseconds */
    int64_t asked, missed;                /* parts that workers could have taken, and did not */
    long long next_at_wake;               /* the ticket at the last wake; 0: judged already */
#if defined(__linux__)
    int caller_cpu;                       /* + 1, of the last wake */
    cpu_set_t workers_cpus;
#endif
    /* under the mutex */
    pthread_mutex_t mutex;
    pthread_cond_t call;
    int wakes, stop;
    /* never changed */
    int64_t generation;                   /* of the process, see lock.h */
    rnnrt_team *older;                    /* of the process that this one was forked from */
    worker workers[RNNRT_MOST_THREADS];
};

static atomic_int always;                 /* for tests: everything is shared out */
static atomic_llong all_asked, all_missed;

void rnnrt_team_always(int on) { atomic_store(&always, on); }

void rnnrt_team_counts(int64_t *asked, int64_t *missed)
{
    *asked = atomic_load(&all_asked);
    *missed = atomic_load(&all_missed);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- workers ---- */

/* All parts up to ticket - 1 are done. */
static int reached(rnnrt_team *t, int64_t parts, long long ticket)
{
    for (int64_t i = 0; i < parts; i++)
        if (atomic_load_explicit(&t->slots[i].at, memory_order_acquire) < 2 * ticket - 1)
            return 0;
    return 1;
}

/* Runs this worker's part of the next ticket, if there is one and nobody has taken it. */
static int serve(rnnrt_team *t, int32_t part)
{
    long long published = atomic_load_explicit(&t->published, memory_order_acquire);
    int64_t parts = published & 255;
    long long at = atomic_load_explicit(&t->slots[part].at, memory_order_acquire), ticket = at / 2 + 1;
    if (part >= parts || ticket >= published >> 8 || !reached(t, parts, ticket))
        return 0;
    if (!atomic_compare_exchange_strong_explicit(&t->slots[part].at, &at, 2 * ticket, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return 0;
    t->fn(t->context, part, ticket - t->first);
    atomic_store_explicit(&t->slots[part].at, 2 * ticket + 1, memory_order_release);
    return 1;
}

/* The caller has not come to the end of its job: it runs parts that this worker came too late for. */
static int in_job(rnnrt_team *t)
{
    long long published = atomic_load_explicit(&t->published, memory_order_relaxed);
    return atomic_load_explicit(&t->slots[0].at, memory_order_relaxed) < 2 * (published >> 8) - 1;
}

static void *work(void *argument)
{
    worker *w = argument;
    rnnrt_team *t = w->team;
    rnnrt_fpenv_enter();
    pthread_mutex_lock(&t->mutex);
    for (int wakes = 0; !t->stop;) {
        if (wakes == t->wakes) {
            pthread_cond_wait(&t->call, &t->mutex);
            continue;
        }
        wakes = t->wakes;
        pthread_mutex_unlock(&t->mutex);
        atomic_fetch_add_explicit(&t->awake, 1, memory_order_relaxed);
        for (int64_t until = now() + SPIN_NS, idle = 0;;) {
            if (serve(t, w->part)) {
                idle = 0;
                continue;
            }
            rnnrt_relax();
            if (++idle == 32) /* not at once: looking at the clock takes as long as a hand-over */
                until = now() + SPIN_NS;
            else if (idle % 64 == 0 && now() > until + (in_job(t) ? SPIN_IN_JOB_NS : 0))
                break;
        }
        atomic_fetch_sub_explicit(&t->awake, 1, memory_order_relaxed);
        pthread_mutex_lock(&t->mutex);
    }
    pthread_mutex_unlock(&t->mutex);
    return NULL;
}

/* As many as the system gives; the others' parts are the caller's. No signal of the process ever comes to them. */
static void start(rnnrt_team *t)
{
    pthread_attr_t attr;
    sigset_t all, old;
    t->started = 1;
    if (pthread_attr_init(&attr))
        return;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; t->started < t->threads; t->started++) {
        worker *w = &t->workers[t->started];
        *w = (worker){.team = t, .part = (int32_t)t->started};
        if (pthread_create(&w->thread, &attr, work, w))
            break;
#if defined(__linux__)
        pthread_setname_np(w->thread, "rnnrt");
#endif
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
}

static void wake(rnnrt_team *t, int64_t at)
{
    t->wake_again = at + WAKE_AGAIN_NS;
    pthread_mutex_lock(&t->mutex);
    t->wakes++;
    pthread_cond_broadcast(&t->call);
    pthread_mutex_unlock(&t->mutex);
}

/* ---- the caller ---- */

rnnrt_team *rnnrt_team_create(int32_t threads)
{
    rnnrt_team *t = rnnrt_alloc_zero(sizeof *t);
    if (!t)
        return NULL;
    t->threads = threads < RNNRT_MOST_THREADS ? threads : RNNRT_MOST_THREADS;
    t->next = 1;
    for (int i = 0; i < RNNRT_MOST_THREADS; i++)
        atomic_init(&t->slots[i].at, 1);
    atomic_init(&t->published, (long long)1 << 8);
    atomic_init(&t->awake, 0);
    atomic_flag_clear(&t->taken);
    t->alone = ALONE_LEAST_NS;
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->call, NULL);
    rnnrt_lock(); /* forks are counted from here on */
    t->generation = rnnrt_generation();
    rnnrt_unlock();
    return t;
}

void rnnrt_team_free(rnnrt_team *t)
{
    while (t) {
        rnnrt_team *older = t->older;
        if (t->generation == rnnrt_generation()) {
            pthread_mutex_lock(&t->mutex);
            t->stop = 1;
            pthread_cond_broadcast(&t->call);
            pthread_mutex_unlock(&t->mutex);
            for (int64_t i = 1; i < t->started; i++)
                pthread_join(t->workers[i].thread, NULL);
            pthread_cond_destroy(&t->call);
            pthread_mutex_destroy(&t->mutex);
        }
        rnnrt_free(t);
        t = older;
    }
}

/* A forked child has the parent's memory, but none of its threads, and a call may have had the team. The old one stays
 * as it is: the child may be in the middle of that call. */
static rnnrt_team *renew(_Atomic(rnnrt_team *) *at, rnnrt_team *old)
{
    rnnrt_team *t = rnnrt_team_create((int32_t)old->threads);
    if (!t)
        return NULL;
    t->older = old;
    if (atomic_compare_exchange_strong(at, &old, t))
        return t;
    t->older = NULL;
    rnnrt_team_free(t);
    return old; /* another thread was first */
}

rnnrt_team *rnnrt_team_enter(_Atomic(rnnrt_team *) *at, int64_t cost)
{
    rnnrt_team *t = atomic_load_explicit(at, memory_order_acquire);
    int forced = atomic_load_explicit(&always, memory_order_relaxed);
    if (cost < SHORTEST_CALL_NS && !forced)
        return NULL;
    if (t->generation != rnnrt_generation() && !(t = renew(at, t)))
        return NULL;
    if (atomic_flag_test_and_set_explicit(&t->taken, memory_order_acquire))
        return NULL;
    t->close_calls = now() - t->last_call < CLOSE_NS ? t->close_calls + 1 : 0;
    t->eager = cost >= LONG_CALL_NS || t->close_calls >= CLOSE_CALLS || forced;
    return t;
}

void rnnrt_team_leave(rnnrt_team *t)
{
    t->last_call = now();
    atomic_flag_clear_explicit(&t->taken, memory_order_release);
}

static void leave_alone(rnnrt_team *t, int64_t at)
{
    t->alone_until = at + t->alone;
    t->alone = 2 * t->alone < ALONE_MOST_NS ? 2 * t->alone : ALONE_MOST_NS;
}

/* Keeps the workers off the caller's core, where a scheduler that finds no idle core likes to put them: there they
 * would stop the caller to look for work that it cannot hand out. 0: there is no other core for them. */
static int settle(rnnrt_team *t)
{
#if defined(__linux__)
    cpu_set_t set;
    int cpu = sched_getcpu();
    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof set, &set))
        return 1;
    CPU_CLR(cpu, &set);
    if (CPU_COUNT(&set) == 0)
        return 0;
    if (t->caller_cpu == cpu + 1 && CPU_EQUAL(&set, &t->workers_cpus))
        return 1;
    t->caller_cpu = cpu + 1;
    t->workers_cpus = set;
    for (int64_t i = 1; i < t->started; i++)
        pthread_setaffinity_np(t->workers[i].thread, sizeof set, &set);
#else
    (void)t;
#endif
    return 1;
}

/* Wakes the workers, not too often. */
static int rouse(rnnrt_team *t)
{
    int64_t at = now();
    if (at < t->wake_again)
        return 0;
    if (!t->started)
        start(t);
    if (!settle(t) || t->next == t->next_at_wake) { /* no core, or woken in vain */
        leave_alone(t, at);
        t->next_at_wake = 0;
        return 0;
    }
    t->next_at_wake = t->next;
    wake(t, at);
    return 1;
}

int64_t rnnrt_team_parts(rnnrt_team *t, int64_t work)
{
    int forced = atomic_load_explicit(&always, memory_order_relaxed);
    if (t->generation != rnnrt_generation()) /* forked in the middle of the call */
        return 1;
    if (forced) {
        rouse(t);
        return t->threads;
    }
    if (work < LEAST_WORK)
        return 1;
    if (t->alone_until) {
        if (now() < t->alone_until)
            return 1;
        t->alone_until = 0;
    }
    if (atomic_load_explicit(&t->awake, memory_order_relaxed) > 0)
        return t->threads;
    /* before a long step is done the worker will be there, and find its part */
    return t->eager && rouse(t) && work >= LONG_WORK ? t->threads : 1;
}

/* After a job of `ran` parts that the caller has run in all but `waited` of the time, and `served` of the workers'. */
static void judge(rnnrt_team *t, int64_t begun, int64_t waited, int64_t ran, int64_t served)
{
    int64_t at = now();
    t->account += (at - begun - waited) / ran * served - waited;
    if (t->account > CREDIT_NS)
        t->account = CREDIT_NS;
    if (t->account < -DEBT_NS) {
        int64_t rest = -t->account * DEBT_TIMES;
        t->alone_until = at + (rest < DEBT_MOST_NS ? rest : DEBT_MOST_NS);
        t->account = 0;
    }
    if (t->asked < JUDGE_PARTS)
        return;
    if (2 * t->missed > t->asked)
        leave_alone(t, at);
    else if (t->alone > ALONE_LEAST_NS)
        t->alone /= 2;
    t->asked = t->missed = 0;
}

/* Until a part that somebody has begun is done; returns how long that took, where it is worth a look at the clock. */
static int64_t await(rnnrt_team *t, int64_t part, long long done)
{
    int64_t since = 0, waited = 0;
    for (int64_t spins = 0; atomic_load_explicit(&t->slots[part].at, memory_order_acquire) < done; spins++) {
        rnnrt_relax();
        if (spins == 128)
            since = now();
        else if (spins > 128 && (waited > YIELD_NS || spins % 64 == 0)) {
            waited = now() - since;
            if (waited > YIELD_NS) /* it may wait for this core */
                sched_yield();
        }
    }
    return since ? now() - since : 0;
}

void rnnrt_team_run(rnnrt_team *t, int64_t parts, int64_t steps, rnnrt_part_fn *fn, void *context)
{
    long long first = t->next, last = first + steps;
    int64_t begun = now(), waited = 0, missed = 0, asked = steps * (parts - 1);
    t->fn = fn;
    t->context = context;
    t->first = first;
    t->next = last;
    atomic_store_explicit(&t->published, last * 256 + parts, memory_order_release);
    for (long long ticket = first; ticket < last; ticket++) {
        fn(context, 0, ticket - first);
        atomic_store_explicit(&t->slots[0].at, 2 * ticket + 1, memory_order_release);
        for (int64_t i = 1; i < parts; i++) {
            long long at = atomic_load_explicit(&t->slots[i].at, memory_order_acquire);
            if (at >= 2 * ticket
                || !atomic_compare_exchange_strong_explicit(&t->slots[i].at, &at, 2 * ticket, memory_order_acq_rel,
                                                            memory_order_relaxed))
                continue;
            fn(context, i, ticket - first);
            atomic_store_explicit(&t->slots[i].at, 2 * ticket + 1, memory_order_release);
            missed++;
        }
        for (int64_t i = 1; i < parts; i++)
            waited += await(t, i, 2 * ticket + 1);
    }
    /* a slot without a part has nothing to do in these tickets */
    for (int64_t i = parts; i < t->threads; i++)
        atomic_store_explicit(&t->slots[i].at, 2 * last - 1, memory_order_release);
    t->asked += asked;
    t->missed += missed;
    atomic_fetch_add_explicit(&all_asked, asked, memory_order_relaxed);
    atomic_fetch_add_explicit(&all_missed, missed, memory_order_relaxed);
    judge(t, begun, waited, steps + missed, asked - missed);
}
