/* Ops that see whole tensors, with their axes by name: the shape behind a view, windows that slide over an axis. */
#ifndef RNNRT_WHOLE_H
#define RNNRT_WHOLE_H

#include "op.h"

#define RNNRT_BIG ((int64_t)1 << 32)

/* The length of an axis where the plan knows it, else -1. */
static inline int64_t rnnrt_known(const rnnrt_plan *p, const rnnrt_plan_tensor *t, int64_t axis)
{
    const rnnrt_plan_dim *d = &p->dims[t->dims[axis]];
    return d->kind == RNNRT_DIM_CONST ? d->m : -1;
}

/* Whether rnnrt_shape can tell all axes of the tensor: at most one behind the walked ones has an unknown length. */
static inline int rnnrt_has_shape(const rnnrt_plan *p, int64_t tensor)
{
    const rnnrt_plan_tensor *t = &p->tensors[tensor];
    int unknown = 0;
    for (int64_t i = t->timed ? 2 : 1; i < t->rank; i++)
        unknown += rnnrt_known(p, t, i) < 0;
    return unknown <= 1;
}

/* The shape of a tensor (RNNRT_MAX_RANK values) as the view has it. */
static inline void rnnrt_shape(const rnnrt_run *run, int64_t tensor, int64_t *shape)
{
    const rnnrt_plan_tensor *t = &run->plan->tensors[tensor];
    const rnnrt_view *v = &run->views[tensor];
    int64_t rest = 1, unknown = -1, first = t->timed ? 2 : 1;
    shape[0] = v->batch;
    if (t->timed)
        shape[1] = v->steps;
    for (int64_t i = first; i < t->rank; i++) {
        shape[i] = rnnrt_known(run->plan, t, i);
        if (shape[i] < 0)
            unknown = i;
        else
            rest *= shape[i];
    }
    if (unknown >= 0)
        shape[unknown] = rest > 0 ? v->width / rest : 0;
    for (int64_t i = t->rank; i < RNNRT_MAX_RANK; i++)
        shape[i] = 1;
}

/* The op's region does not walk: views hold all steps. */
static inline int rnnrt_sees_all(const rnnrt_plan *p, const rnnrt_op *op)
{
    return p->regions[op->desc->region].time_dim < 0;
}

static inline int rnnrt_is_float(const rnnrt_plan *p, int64_t tensor) { return p->tensors[tensor].dtype == RNNRT_F32; }

/* A weight of that dtype and of that many values, whatever its rank. */
static inline int rnnrt_weight_is(const rnnrt_plan *p, int64_t w, int64_t dtype, int64_t n)
{
    if (w < 0 || p->weights[w].dtype != dtype || p->weights[w].rank < 0 || p->weights[w].rank > 4)
        return 0;
    int64_t have = 1;
    for (int64_t i = 0; i < p->weights[w].rank; i++)
        if (__builtin_mul_overflow(have, p->weights[w].dims[i], &have))
            return 0;
    return have == n;
}

static inline int rnnrt_weight_holds(const rnnrt_plan *p, int64_t w, int64_t n) { return rnnrt_weight_is(p, w, RNNRT_F32, n); }

/* ---- windows ---- */
typedef enum rnnrt_padding { RNNRT_PAD_VALID, RNNRT_PAD_SAME, RNNRT_PAD_CAUSAL } rnnrt_padding;

/* Positions of a window of k taps, `dilation` apart, moved by `stride` over n elements; 0 where it does not fit. */
static inline int64_t rnnrt_window_count(int64_t n, int64_t k, int64_t stride, int64_t dilation, int64_t padding)
{
    int64_t span = (k - 1) * dilation + 1;
    if (padding == RNNRT_PAD_VALID)
        return n < span ? 0 : (n - span) / stride + 1;
    return (n + stride - 1) / stride;
}

/* Elements of padding before the first: TensorFlow's rule puts the odd one behind. */
static inline int64_t rnnrt_window_before(int64_t n, int64_t k, int64_t stride, int64_t dilation, int64_t padding)
{
    int64_t span = (k - 1) * dilation + 1;
    if (padding == RNNRT_PAD_CAUSAL)
        return span - 1;
    int64_t total = padding == RNNRT_PAD_SAME ? ((n + stride - 1) / stride - 1) * stride + span - n : 0;
    return total > 0 ? total / 2 : 0;
}

/* A window over one or two axes (one: the first has length 1), channels last. */
typedef struct rnnrt_window {
    int64_t rank, k[2], stride[2], dilation[2], padding;
} rnnrt_window;

/* attr: rank, k (2), stride (2), dilation (2), padding */
#define RNNRT_WINDOW_ATTRS 8
static inline rnnrt_window rnnrt_window_of(const int64_t *attr)
{
    rnnrt_window w = {attr[0], {attr[1], attr[2]}, {attr[3], attr[4]}, {attr[5], attr[6]}, attr[7]};
    return w;
}

static inline int rnnrt_window_ok(const rnnrt_window *w)
{
    if ((w->rank != 1 && w->rank != 2) || w->padding < 0 || w->padding > RNNRT_PAD_CAUSAL
        || (w->padding == RNNRT_PAD_CAUSAL && w->rank != 1))
        return 0;
    for (int i = 0; i < 2; i++)
        if (w->k[i] < 1 || w->stride[i] < 1 || w->dilation[i] < 1 || w->k[i] > 1 << 20 || w->stride[i] > 1 << 20
            || w->dilation[i] > 1 << 20)
            return 0;
    return w->rank == 2 || (w->k[0] == 1 && w->stride[0] == 1 && w->dilation[0] == 1);
}

/* (batch, spatial..., channels) -> the two spatial lengths */
static inline void rnnrt_spatial(const rnnrt_window *w, const int64_t *shape, int64_t *spatial)
{
    spatial[0] = w->rank == 2 ? shape[1] : 1;
    spatial[1] = w->rank == 2 ? shape[2] : shape[1];
}

/* The output's spatial lengths are those that the window gives: for `size`, with evaluated dims. */
static inline int32_t rnnrt_window_fits(const rnnrt_sizes *s, const rnnrt_op *op, const rnnrt_window *w, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]], *y = &s->plan->tensors[op->out[0]];
    if (s->dims[x->dims[0]] != s->dims[y->dims[0]])
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[y->dims[0]], s->dims[x->dims[0]]);
    for (int64_t i = 0; i < w->rank; i++) {
        int64_t a = i + 2 - w->rank, n = s->dims[x->dims[1 + i]];
        int64_t want = rnnrt_window_count(n, w->k[a], w->stride[a], w->dilation[a], w->padding);
        if (n > RNNRT_BIG || want < 1 || s->dims[y->dims[1 + i]] != want)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, n, (w->k[a] - 1) * w->dilation[a] + 1);
    }
    return RNNRT_OK;
}

#endif
