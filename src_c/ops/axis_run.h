/* A run of neighbouring axes [first, last] in the middle of a tensor: (outer, n, inner). */
#ifndef RNNRT_AXIS_RUN_H
#define RNNRT_AXIS_RUN_H

#include "whole.h"

typedef struct rnnrt_axes {
    int64_t outer, n, inner;     /* of one batch row of the view */
} rnnrt_axes;

/* The op may run on x and y of that dtype and of the same shape: it sees all of them, or works within each step. */
static inline int rnnrt_axes_ok(const rnnrt_plan *p, const rnnrt_op *op, int64_t dtype, int64_t first, int64_t last)
{
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    if (x->dtype != dtype || y->dtype != dtype || x->rank != y->rank || first < 1 || first > last || last >= x->rank
        || !rnnrt_has_shape(p, op->in[0]))
        return 0;
    for (int64_t i = 0; i < x->rank; i++)
        if (x->dims[i] != y->dims[i])
            return 0;
    return rnnrt_sees_all(p, op) || (x->timed && y->timed && first >= 2);
}

/* The product of the axes' lengths where the plan knows them all, else -1. */
static inline int64_t rnnrt_axes_known(const rnnrt_plan *p, int64_t tensor, int64_t first, int64_t last)
{
    int64_t n = 1;
    for (int64_t i = first; i <= last; i++) {
        int64_t d = rnnrt_known(p, &p->tensors[tensor], i);
        if (d < 1 || __builtin_mul_overflow(n, d, &n) || n > RNNRT_BIG)
            return -1;
    }
    return n;
}

static inline rnnrt_axes rnnrt_axes_of(const rnnrt_run *run, const rnnrt_op *op, int64_t first, int64_t last)
{
    int64_t shape[RNNRT_MAX_RANK], rank = run->plan->tensors[op->in[0]].rank;
    const rnnrt_view *x = rnnrt_in(run, op, 0);
    rnnrt_axes a = {1, 1, 1};
    rnnrt_shape(run, op->in[0], shape);
    for (int64_t i = first; i <= last; i++)
        a.n *= shape[i];
    for (int64_t i = last + 1; i < rank; i++)
        a.inner *= shape[i];
    int64_t one = a.n * a.inner;
    a.outer = one > 0 ? x->steps * x->width / one : 0;
    return a;
}

/* The run's length once sizes are known, for scratch. */
static inline int64_t rnnrt_axes_length(const rnnrt_sizes *s, const rnnrt_op *op, int64_t first, int64_t last)
{
    int64_t n = 1;
    for (int64_t i = first; i <= last; i++)
        if (__builtin_mul_overflow(n, s->dims[s->plan->tensors[op->in[0]].dims[i]], &n) || n > (int64_t)1 << 40)
            return -1;
    return n;
}

static inline int64_t rnnrt_elements(const rnnrt_sizes *s, int64_t tensor)
{
    const rnnrt_plan_tensor *t = &s->plan->tensors[tensor];
    int64_t n = 1;
    for (int64_t i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(n, s->dims[t->dims[i]], &n))
            return INT64_MAX >> 8;
    return n;
}

#endif
