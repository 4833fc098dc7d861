/* host_cell and host_layer: a registered class of the user's, called through the host's function for each tile.
 *
 * The function sees tensors, the rows' state slots and the position; it loops over the tile's steps itself. It may
 * fail at any step: a session then works on a copy of its rows, as with every fallible op. It runs in the plain
 * floating point environment, since it is not ours.
 *
 * refs: in = tensors; out = outputs, then the states where return_state; state = states [, held outputs]
 * [, has_output where masked], or none inside a TimeDistributed; init = tensors for the states;
 * attr = floats of each state slot (has_output left out); weights stay with the host. */
#include "../kernels/fpenv.h"
#include "whole.h"

#define MOST 64

static int plain(const rnnrt_plan *p, int64_t t) { return p->tensors[t].dtype == RNNRT_F32; }

static int32_t check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    int cell = d->kind == RNNRT_OP_HOST_CELL, masked = d->mask >= 0;
    if (d->n_in < 1 || d->n_out < 1 || d->n_weight || d->n_real || d->n_in > MOST || d->n_out > MOST || d->n_init > MOST
        || d->n_attr > MOST || (d->n_state && d->n_state != d->n_attr + masked) || (d->n_init && d->n_init > d->n_attr)
        || (!cell && (d->n_attr || d->n_init || masked)))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    for (int64_t i = 0; i < d->n_in; i++)
        if (!plain(p, op->in[i]) || (cell && (p->tensors[op->in[i]].rank < 3 || !p->tensors[op->in[i]].timed)))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, i);
    for (int64_t i = 0; i < d->n_out; i++)
        if (!plain(p, op->out[i]))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, i);
    for (int64_t i = 0; i < d->n_init; i++)
        if (!plain(p, op->init[i]))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, i);
    if (masked && (p->tensors[d->mask].dtype != RNNRT_BOOL || p->tensors[d->mask].rank != 2 || !p->tensors[d->mask].timed))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 5, 0);
    for (int64_t i = 0; i < d->n_attr; i++)
        if (op->attr[i] < 1 || op->attr[i] > (int64_t)1 << 32
            || (d->n_state && p->states[op->state[i]].bytes != 4 * op->attr[i]))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 6, i);
    if (d->n_state && masked && p->states[op->state[d->n_attr]].bytes != 4)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 7, 0);
    return RNNRT_OK;
}

static int32_t size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan *p = s->plan;
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]];
    int cell = op->desc->kind == RNNRT_OP_HOST_CELL;
    int64_t batch = s->dims[x->dims[0]], steps = cell ? s->dims[x->dims[1]] : 1;
    for (int64_t i = 0; cell && i <= op->desc->n_in; i++) {
        if (i == op->desc->n_in && op->desc->mask < 0)
            break;
        const rnnrt_plan_tensor *t = &p->tensors[i < op->desc->n_in ? op->in[i] : op->desc->mask];
        if (s->dims[t->dims[0]] != batch || s->dims[t->dims[1]] != steps)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[t->dims[1]], steps);
    }
    *scratch = 0;
    *cost = 20000 * steps; /* some calls into NumPy */
    return RNNRT_OK;
}

static rnnrt_host_tensor tensor(const rnnrt_run *run, int64_t t)
{
    const rnnrt_plan_tensor *d = &run->plan->tensors[t];
    const rnnrt_view *v = &run->views[t];
    rnnrt_host_tensor h = {v->data, v->dtype, (int32_t)d->rank, {0}, v->batch_stride};
    for (int64_t i = 0; i < d->rank; i++)
        h.shape[i] = i == 0 ? v->batch : i == 1 && d->timed ? v->steps : run->dims[d->dims[i]];
    return h;
}

static int32_t run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_plan_op *d = op->desc;
    rnnrt_host_tensor in[MOST], out[MOST], init[MOST], mask;
    int64_t offset[MOST + 1];
    if (!run->host)
        return rnnrt_fail(run->err, RNNRT_EHOST, op->index, 0, 0);
    /* a session's states were put into its rows when it was reset */
    int64_t n_init = run->first_tile && !run->carry ? d->n_init : 0;
    for (int64_t i = 0; i < d->n_in; i++)
        in[i] = tensor(run, op->in[i]);
    for (int64_t i = 0; i < d->n_out; i++)
        out[i] = tensor(run, op->out[i]);
    for (int64_t i = 0; i < n_init; i++)
        init[i] = tensor(run, op->init[i]);
    if (d->mask >= 0)
        mask = tensor(run, d->mask);
    for (int64_t i = 0; i < d->n_state; i++)
        offset[i] = run->plan->states[op->state[i]].offset;
    rnnrt_host_call call = {
        .struct_size = sizeof call, .op = op->index, .in = in, .n_in = d->n_in, .out = out, .n_out = d->n_out,
        .init = init, .n_init = n_init, .mask = d->mask >= 0 ? &mask : NULL, .rows = run->rows,
        .row_bytes = run->row_bytes, .state_offset = offset, .state_floats = op->attr, .n_state = d->n_state ? d->n_attr : 0,
        .has_output = d->n_state && d->mask >= 0 ? offset[d->n_attr] : -1, .position = run->position,
    };
    rnnrt_fpenv ours = rnnrt_fpenv_plain();
    int32_t rc = run->host(run->host_context, &call);
    rnnrt_fpenv_leave(ours);
    return rc ? rnnrt_fail(run->err, RNNRT_EHOST, op->index, rc, 0) : RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_host_cell = {"host_cell", check, NULL, NULL, size, NULL, run, 1};
const rnnrt_op_class rnnrt_op_host_layer = {"host_layer", check, NULL, NULL, size, NULL, run, 1};
