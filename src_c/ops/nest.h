/* Loops over tensors of one rank whose axes are equal or 1: the lengths of the output, and for each operand the
 * step along each axis (0 where it repeats). Neighbouring axes that lie together in all operands become one. */
#ifndef RNNRT_NEST_H
#define RNNRT_NEST_H

#include "op.h"

#define NEST_OPERANDS 4

typedef struct rnnrt_nest {
    int32_t rank, operands;
    int64_t dim[RNNRT_MAX_RANK + 1];
    int64_t stride[NEST_OPERANDS][RNNRT_MAX_RANK + 1]; /* in elements */
} rnnrt_nest;

/* The lengths of a tensor as its view stands: the tile's steps on a walked axis. */
static inline int rnnrt_lengths(const rnnrt_run *run, int64_t tensor, int64_t *dim)
{
    const rnnrt_plan_tensor *t = &run->plan->tensors[tensor];
    const rnnrt_view *v = &run->views[tensor];
    dim[0] = v->batch;
    for (int k = 1; k < t->rank; k++)
        dim[k] = run->dims[t->dims[k]];
    if (t->timed)
        dim[1] = v->steps;
    return (int)t->rank;
}

/* Row-major steps of those lengths, the batch's as the view says. */
static inline void rnnrt_strides(const rnnrt_view *v, int rank, const int64_t *dim, int64_t *stride)
{
    int64_t at = 1;
    for (int k = rank - 1; k >= 1; k--) {
        stride[k] = at;
        at *= dim[k];
    }
    stride[0] = v->batch_stride;
}

/* Drops axes of length 1 and joins axes that lie together. The last axis that is left is the inner loop, along
 * which operand 0 has the step 1 (a nest that only copies may pass over that). */
static inline void rnnrt_nest_collapse(rnnrt_nest *n)
{
    int w = 0;
    for (int k = 0; k < n->rank; k++) {
        if (n->dim[k] == 1)
            continue;
        int joins = w > 0;
        for (int o = 0; joins && o < n->operands; o++)
            joins = n->stride[o][w - 1] == n->stride[o][k] * n->dim[k];
        if (joins) {
            n->dim[w - 1] *= n->dim[k];
        } else {
            n->dim[w] = n->dim[k];
            w++;
        }
        for (int o = 0; o < n->operands; o++)
            n->stride[o][w - 1] = n->stride[o][k];
    }
    if (!w) {
        n->dim[0] = 1;
        for (int o = 0; o < n->operands; o++)
            n->stride[o][0] = 0;
        w = 1;
    }
    if (n->stride[0][w - 1] > 1) { /* single elements, one in each batch row */
        n->dim[w] = 1;
        for (int o = 0; o < n->operands; o++)
            n->stride[o][w] = o ? 0 : 1;
        w++;
    }
    n->rank = w;
}

/* Moves the offsets to the next position of all axes but the last; 0 at the end. */
static inline int rnnrt_nest_next(const rnnrt_nest *n, int64_t *index, int64_t *offset)
{
    for (int k = n->rank - 2; k >= 0; k--) {
        for (int o = 0; o < n->operands; o++)
            offset[o] += n->stride[o][k];
        if (++index[k] < n->dim[k])
            return 1;
        for (int o = 0; o < n->operands; o++)
            offset[o] -= n->stride[o][k] * n->dim[k];
        index[k] = 0;
    }
    return 0;
}

/* Copies operand 1 to operand 0, items of 1, 2, 4 or 8 bytes. */
void rnnrt_nest_copy(const rnnrt_nest *nest, int64_t item, char *dst, const char *src);

/* ---- what every op of several axes checks ---- */

/* Tensors of one op that a nest may run over: of one rank (0: any), all walked or none, in their declared dtype. */
static inline int rnnrt_nest_fits(const rnnrt_plan *p, const rnnrt_op *op, int64_t rank)
{
    int walks = p->regions[op->desc->region].time_dim >= 0;
    for (int64_t k = 0; k < op->desc->n_in + op->desc->n_out; k++) {
        int64_t at = k < op->desc->n_in ? op->in[k] : op->out[k - op->desc->n_in];
        const rnnrt_plan_tensor *t = &p->tensors[at];
        if ((rank && t->rank != rank) || (walks && !t->timed) || t->dims[0] != p->tensors[op->in[0]].dims[0])
            return 0;
        while (t->alias >= 0)
            t = &p->tensors[t->alias];
        if (t->role == RNNRT_TENSOR_INPUT && p->inputs[t->io].dtypes != (int64_t)1 << t->dtype)
            return 0;
    }
    return 1;
}

static inline int64_t rnnrt_elements(const rnnrt_sizes *s, int64_t tensor)
{
    const rnnrt_plan_tensor *t = &s->plan->tensors[tensor];
    int64_t n = 1;
    for (int k = 0; k < t->rank; k++)
        n *= s->dims[t->dims[k]];
    return n;
}

#endif
