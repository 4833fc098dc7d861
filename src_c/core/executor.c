/* Walks the program: regions in order, a tiled one tile by tile, in each tile its ops in order. It never switches
 * on an op's kind and never allocates. */
#include <string.h>
#include <time.h>

#include "../kernels/fpenv.h"
#include "program.h"

/* Estimated nanoseconds between two polls for an interrupt. */
#define POLL_NS 20000000

/* Points inputs, outputs and their aliases at the caller's buffers. */
static void attach(const rnnrt_model *m, rnnrt_workspace *ws, const rnnrt_call *call)
{
    for (int64_t i = 0; i < m->n_lent; i++) {
        rnnrt_view *v = &ws->views[m->lent[i]];
        const rnnrt_plan_tensor *t = &m->plan.tensors[m->root[m->lent[i]]];
        if (t->role == RNNRT_TENSOR_INPUT) {
            v->data = call->inputs[t->io].data;
            v->dtype = call->inputs[t->io].dtype;
        } else {
            v->data = call->outputs[t->io].data;
        }
    }
}

int32_t rnnrt_execute_precheck(const rnnrt_model *m, rnnrt_workspace *ws, const rnnrt_call *call, rnnrt_error *err)
{
    const rnnrt_plan *p = &m->plan;
    for (int64_t i = 0; i < p->n_inputs; i++)
        if (call->inputs[i].dtype < 0 || call->inputs[i].dtype > RNNRT_BOOL || !(p->inputs[i].dtypes >> call->inputs[i].dtype & 1))
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 30, i);
    for (int64_t i = 0; i < p->n_inputs + p->n_outputs; i++) {
        const rnnrt_buffer *b = i < p->n_inputs ? &call->inputs[i] : &call->outputs[i - p->n_inputs];
        if (b->device != RNNRT_ON_CPU && b->device != RNNRT_ON_PINNED)
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 31, i);
    }
    attach(m, ws, call);
    if (!m->n_prechecked)
        return RNNRT_OK;
    rnnrt_run run = {p, m->kernels, ws->views, NULL, 0, NULL, 0, 1, 1, 0, err, ws->dims, NULL, NULL, NULL, NULL, 0, m->threads};
    for (int64_t i = 0; i < m->n_prechecked; i++) {
        const rnnrt_op *op = &m->ops[m->prechecked[i]];
        int32_t rc = op->cls->precheck(&run, op);
        if (rc)
            return rc;
    }
    return RNNRT_OK;
}

/* The views of one tile: temporaries shrink to its steps, whole tensors move to its first step. */
static void slide(const rnnrt_model *m, const rnnrt_workspace *ws, rnnrt_view *tile, int64_t time_dim, int64_t first, int64_t n)
{
    const rnnrt_plan *p = &m->plan;
    for (int64_t i = 0; i < p->n_tensors; i++) {
        const rnnrt_plan_tensor *t = &p->tensors[i];
        if (!t->timed || t->dims[1] != time_dim)
            continue;
        tile[i].steps = n;
        if (t->storage == RNNRT_STORE_TILE)
            tile[i].batch_stride = n * tile[i].width;
        else
            tile[i].data = ws->views[i].data + first * tile[i].width * rnnrt_dtype_size(tile[i].dtype);
    }
}

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* run_ops with a clock around each op. */
static int32_t profile_ops(const rnnrt_model *m, const rnnrt_plan_region *r, const rnnrt_run *run)
{
    int64_t begin = clock_ns();
    for (int64_t i = r->first_op; i < r->first_op + r->n_ops; i++) {
        const rnnrt_op *op = &m->ops[i];
        int32_t rc = op->cls->run(run, op);
        if (rc)
            return rc;
        int64_t end = clock_ns();
        run->op_ns[i] += end - begin;
        begin = end;
    }
    return RNNRT_OK;
}

static int32_t run_ops(const rnnrt_model *m, const rnnrt_plan_region *r, const rnnrt_run *run)
{
    for (int64_t i = r->first_op; i < r->first_op + r->n_ops; i++) {
        const rnnrt_op *op = &m->ops[i];
        int32_t rc = op->cls->run(run, op);
        if (rc)
            return rc;
    }
    return RNNRT_OK;
}

static int32_t walk(const rnnrt_model *m, rnnrt_workspace *ws, const rnnrt_call *call, rnnrt_run *run)
{
    const rnnrt_plan *p = &m->plan;
    rnnrt_view *tile = ws->views + p->n_tensors;
    int64_t unpolled = 0, longest = 0;
    for (int64_t g = 0; g < p->n_regions; g++) {
        const rnnrt_plan_region *r = &p->regions[g];
        int64_t steps = r->time_dim >= 0 ? ws->dims[r->time_dim] : 1, n = ws->region_tile[g];
        /* nothing to walk: nothing made */
        int64_t tile_cost = steps && call->poll ? ws->cost / p->n_regions * n / steps : 0;
        int sliding = n < steps;
        longest = steps > longest ? steps : longest;
        if (sliding)
            memcpy(tile, ws->views, (size_t)p->n_tensors * sizeof *tile);
        run->views = sliding ? tile : ws->views;
        for (int64_t first = 0; first < steps; first += n) {
            int64_t here = steps - first < n ? steps - first : n;
            if (sliding)
                slide(m, ws, tile, r->time_dim, first, here);
            run->first_tile = first == 0;
            run->last_tile = first + here == steps;
            run->position = first;
            int32_t rc = run->op_ns ? profile_ops(m, r, run) : run_ops(m, r, run);
            if (rc)
                return rc;
            if ((unpolled += tile_cost) > POLL_NS && call->poll) {
                unpolled = 0;
                if (call->poll(call->poll_context))
                    return rnnrt_fail(run->err, RNNRT_EINTERRUPT, -1, 0, 0);
            }
        }
    }
    ws->walked += longest;
    return RNNRT_OK;
}

int32_t rnnrt_execute(const rnnrt_model *m, rnnrt_workspace *ws, const rnnrt_call *call, char *rows, int32_t carry,
                      rnnrt_error *err)
{
    rnnrt_run run = {&m->plan, m->kernels, ws->views, rows, m->plan.row_bytes, ws->arena + ws->scratch_at, carry, 1, 1, 0, err, ws->dims,
                     call->host, call->host_context, RNNRT_HAS(call, rnnrt_call, op_ns) ? call->op_ns : NULL, NULL, ws->walked, m->threads};
    if (m->team)
        run.team = rnnrt_team_enter((_Atomic(rnnrt_team *) *)&m->team, ws->cost);
    rnnrt_fpenv env = rnnrt_fpenv_enter();
    int32_t rc = walk(m, ws, call, &run);
    rnnrt_fpenv_leave(env);
    if (run.team)
        rnnrt_team_leave(run.team);
    return rc;
}
