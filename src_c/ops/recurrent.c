/* SimpleRNN, LSTM, GRU: the loop over time around the fused cell kernels.
 *
 * Semantics: keras/src/backend/tensorflow/rnn.py `rnn`. A masked step keeps the state and repeats the previous
 * output, which is zero before the first unmasked step even where the state is not; therefore a masked layer keeps
 * `has_output` in its row. The input projection of a tile is hoisted (same bits: the chain goes on from z).
 *
 * A layer inside a TimeDistributed has another batch than the model (batch * time rows): it keeps no state between
 * calls, n_state is 0, and its rows lie in scratch.
 *
 * refs: in = x; out = y, then the states where return_state; weight = kernel, recurrent_kernel, bias or -1;
 * state = h [, c] [, has_output where masked]; init = tensors for h [, c];
 * attr = units, features, activation, recurrent_activation; real = 3 parameters of each activation. */
#include <string.h>

#include "op.h"

enum { A_UNITS, A_FEATURES, A_ACT, A_RACT, A_COUNT };

/* A hoisted tile should be long enough for the matrix kernel and short enough for the cache. */
#define HOIST_ROWS 48
#define HOIST_BYTES (256 * 1024)

static int32_t kind_of(const rnnrt_op *op)
{
    return op->desc->kind == RNNRT_OP_LSTM ? RNNRT_CELL_LSTM
         : op->desc->kind == RNNRT_OP_GRU ? RNNRT_CELL_GRU : RNNRT_CELL_SIMPLE_RNN;
}

static int gates_of(int32_t kind) { return kind == RNNRT_CELL_LSTM ? 4 : kind == RNNRT_CELL_GRU ? 3 : 1; }
static int states_of(int32_t kind) { return kind == RNNRT_CELL_LSTM ? 2 : 1; }

static rnnrt_activation activation_at(const rnnrt_op *op, int attr, int real)
{
    rnnrt_activation a = {(int32_t)op->attr[attr], {0, 0, 0}};
    for (int i = 0; i < 3; i++)
        a.param[i] = (float)op->real[real + i];
    return a;
}

static rnnrt_cell cell_of(const rnnrt_op *op)
{
    rnnrt_cell c = {0};
    c.kind = kind_of(op);
    c.reset_after = (op->desc->flags & RNNRT_OP_RESET_AFTER) != 0;
    c.dtype = RNNRT_F32;
    c.units = op->attr[A_UNITS];
    c.features = op->attr[A_FEATURES];
    c.activation = activation_at(op, A_ACT, 0);
    c.recurrent_activation = activation_at(op, A_RACT, 3);
    c.packed = op->prepared;
    return c;
}

static int valid_activation(int64_t kind, int cell)
{
    return kind >= 0 && kind < RNNRT_ACT_COUNT && !(cell && kind == RNNRT_ACT_GLU);
}

static int const_dim(const rnnrt_plan *p, const rnnrt_plan_tensor *t, int64_t axis, int64_t want)
{
    const rnnrt_plan_dim *d = &p->dims[t->dims[axis]];
    return d->kind == RNNRT_DIM_CONST && d->m == want;
}

static int weight_is(const rnnrt_plan *p, int64_t w, int64_t rank, int64_t d0, int64_t d1)
{
    if (w < 0)
        return 0;
    const rnnrt_plan_weight *x = &p->weights[w];
    return x->dtype == RNNRT_F32 && x->rank == rank && x->dims[0] == d0 && (rank < 2 || x->dims[1] == d1);
}

static int32_t check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    int32_t kind = kind_of(op);
    int gates = gates_of(kind), nstates = states_of(kind), masked = d->mask >= 0;
    if (d->n_in != 1 || d->n_weight != 3 || d->n_attr != A_COUNT || d->n_real != 6 || (d->n_state != nstates + masked && d->n_state != 0)
        || (d->n_out != 1 && d->n_out != 1 + nstates) || (d->n_init != 0 && d->n_init != nstates))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    int64_t u = op->attr[A_UNITS], f = op->attr[A_FEATURES];
    if (u < 1 || f < 1 || u > (int64_t)1 << 24 || f > (int64_t)1 << 24 || !valid_activation(op->attr[A_ACT], 1)
        || !valid_activation(op->attr[A_RACT], 1))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    int sequences = (d->flags & RNNRT_OP_SEQUENCES) != 0;
    if (x->dtype != RNNRT_F32 || x->rank != 3 || !x->timed || !const_dim(p, x, 2, f) || y->dtype != RNNRT_F32
        || y->rank != (sequences ? 3 : 2) || !const_dim(p, y, y->rank - 1, u) || (sequences && !y->timed))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, 0);
    for (int64_t i = 0; i < d->n_out - 1 + d->n_init; i++) {
        const rnnrt_plan_tensor *t = &p->tensors[i < d->n_out - 1 ? op->out[1 + i] : op->init[i - (d->n_out - 1)]];
        if (t->dtype != RNNRT_F32 || t->rank != 2 || !const_dim(p, t, 1, u))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, 0);
    }
    if (masked) {
        const rnnrt_plan_tensor *m = &p->tensors[d->mask];
        if (m->dtype != RNNRT_BOOL || m->rank != 2 || !m->timed)
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 5, 0);
    }
    for (int i = 0; i < d->n_state; i++)
        if (p->states[op->state[i]].bytes != (i < nstates ? 4 * u : 4))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 6, 0);
    int two_rows = kind == RNNRT_CELL_GRU && (d->flags & RNNRT_OP_RESET_AFTER);
    if (!weight_is(p, op->weight[0], 2, f, gates * u) || !weight_is(p, op->weight[1], 2, u, gates * u)
        || (op->weight[2] >= 0
            && !(two_rows ? weight_is(p, op->weight[2], 2, 2, gates * u) : weight_is(p, op->weight[2], 1, gates * u, 0))))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 7, 0);
    return RNNRT_OK;
}

static int64_t prepared_bytes(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    rnnrt_cell cell = cell_of(op);
    rnnrt_cell_sizes sizes;
    v->kernels->cell_sizes(&cell, &sizes);
    return sizes.packed_bytes;
}

static void prepare(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    rnnrt_cell cell = cell_of(op);
    rnnrt_cell_weights w = {RNNRT_F32, v->plan->weight_data[op->weight[0]], v->plan->weight_data[op->weight[1]],
                            op->weight[2] >= 0 ? v->plan->weight_data[op->weight[2]] : NULL, NULL};
    v->kernels->cell_pack(&cell, &w, prepared);
}

/* Steps whose projection is hoisted at once. */
static int64_t hoist_steps(int64_t steps, int64_t batch, int64_t z_width)
{
    int64_t by_rows = (HOIST_ROWS + batch - 1) / batch;
    int64_t by_bytes = HOIST_BYTES / (batch * z_width * 4);
    int64_t n = by_rows > by_bytes ? by_rows : by_bytes;
    return n < steps ? n : steps;
}

/* Scratch: z | cell scratch | two rows of h | one of c | rows of local state, each a multiple of 64 bytes. */
typedef struct layout {
    int64_t hoist, z, cell, h0, h1, c, local, local_stride, total;
} layout;

static layout scratch_layout(const rnnrt_kernels *k, const rnnrt_cell *cell, int64_t batch, int64_t steps, int masked,
                             int local)
{
    rnnrt_cell_sizes sizes;
    k->cell_sizes(cell, &sizes);
    layout l;
    int64_t at = 0, rows = rnnrt_round64(batch * cell->units * 4);
    l.hoist = steps > 1 ? hoist_steps(steps, batch, sizes.z_width) : 0;
    l.z = at;
    at += rnnrt_round64(l.hoist * batch * sizes.z_width * 4);
    l.cell = at;
    at += rnnrt_round64(k->cell_scratch_bytes(cell, batch));
    l.h0 = at;
    at += rows;
    l.h1 = at;
    at += rows;
    l.c = at;
    at += masked ? rows : 0;
    l.local = at;
    l.local_stride = 2 * rnnrt_round64(cell->units * 4) + 64; /* h | c | has_output */
    at += local ? batch * l.local_stride : 0;
    l.total = at;
    return l;
}

static int32_t size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan *p = s->plan;
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]];
    int64_t batch = s->dims[x->dims[0]], steps = s->dims[x->dims[1]];
    if (steps < 1)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, steps, 1);
    if (op->desc->mask >= 0) {
        const rnnrt_plan_tensor *m = &p->tensors[op->desc->mask];
        if (s->dims[m->dims[0]] != batch || s->dims[m->dims[1]] != steps)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[m->dims[1]], steps);
    }
    for (int64_t i = 0; i < op->desc->n_init; i++)
        if (s->dims[p->tensors[op->init[i]].dims[0]] != batch)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[p->tensors[op->init[i]].dims[0]], batch);
    rnnrt_cell cell = cell_of(op);
    *scratch = scratch_layout(s->kernels, &cell, batch, s->steps, op->desc->mask >= 0, op->desc->n_state == 0).total;
    *cost = batch * steps * (cell.units + cell.features) * cell.units * gates_of(cell.kind) / 16 + 40 * steps;
    return RNNRT_OK;
}

/* Everything of one run that the step loop needs. */
typedef struct loop {
    const rnnrt_kernels *k;
    rnnrt_cell cell;
    rnnrt_cell_sizes sizes;
    const rnnrt_view *x, *y;
    int64_t batch, units, steps;
    int reverse_in, reverse_out, sequences;
    int64_t row_floats;
    float *h, *c;                /* in the state rows, stride row_floats */
    layout l;
    char *scratch;
} loop;

static void copy_rows(float *dst, int64_t dst_stride, const float *src, int64_t src_stride, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(dst + r * dst_stride, src + r * src_stride, (size_t)n * 4);
}

/* Hoists the projection of processing steps [s, s+n) into scratch; row (step, batch) or (batch, step), whichever
 * gives the matrix kernel longer runs. Sets the two strides of z. */
static void hoist(const loop *lp, int64_t s, int64_t n, int64_t *step_stride, int64_t *row_stride)
{
    float *z = (float *)(lp->scratch + lp->l.z);
    int64_t zw = lp->sizes.z_width, f = lp->cell.features, d = lp->reverse_in ? -1 : 1;
    const float *x = (const float *)lp->x->data;
    int64_t first = lp->reverse_in ? lp->steps - 1 - s : s;
    if (n >= lp->batch) {
        *step_stride = zw;
        *row_stride = n * zw;
        for (int64_t b = 0; b < lp->batch; b++)
            lp->k->cell_project(&lp->cell, n, x + b * lp->x->batch_stride + first * f, d * f, z + b * n * zw, zw);
    } else {
        *step_stride = lp->batch * zw;
        *row_stride = zw;
        for (int64_t t = 0; t < n; t++)
            lp->k->cell_project(&lp->cell, lp->batch, x + (first + d * t) * f, lp->x->batch_stride,
                                z + t * lp->batch * zw, zw);
    }
}

/* The old h of the next step, and where the new one goes. */
typedef struct cursor {
    const float *h;
    int64_t h_stride;
} cursor;

static void fill_step(const loop *lp, rnnrt_cell_step *st, int64_t s, const float *z, int64_t z_stride)
{
    st->rows = lp->batch;
    st->scratch = (float *)(lp->scratch + lp->l.cell);
    st->zigzag = (int32_t)(s & 1);
    st->block_begin = 0;
    st->block_end = lp->sizes.blocks;
    st->x = NULL;
    st->z = z;
    st->z_stride = z_stride;
    if (!z) {
        int64_t t = lp->reverse_in ? lp->steps - 1 - s : s;
        st->x = (const float *)lp->x->data + t * lp->cell.features;
        st->x_stride = lp->x->batch_stride;
    }
}

static float *output_at(const loop *lp, int64_t s)
{
    return (float *)lp->y->data + (lp->reverse_out ? lp->steps - 1 - s : s) * lp->units;
}

/* A step without a mask: the new h goes straight to the output, where the next step finds it. */
static void plain_step(const loop *lp, rnnrt_cell_step *st, cursor *at, int64_t s)
{
    st->h = at->h;
    st->h_stride = at->h_stride;
    if (lp->sequences) {
        st->h_out = output_at(lp, s);
        st->h_out_stride = lp->y->batch_stride;
    } else {
        st->h_out = (float *)(lp->scratch + ((s & 1) ? lp->l.h1 : lp->l.h0));
        st->h_out_stride = lp->units;
    }
    st->c = lp->c;
    st->c_out = lp->c;
    st->c_stride = st->c_out_stride = lp->row_floats;
    lp->k->cell_step(&lp->cell, st);
    at->h = st->h_out;
    at->h_stride = st->h_out_stride;
}

/* A step under a mask: all rows are computed aside, the unmasked ones are taken over. */
static void masked_step(const loop *lp, rnnrt_cell_step *st, int64_t s, const rnnrt_view *mask, int32_t *has_output,
                        int zero_masked)
{
    int64_t t = lp->reverse_in ? lp->steps - 1 - s : s;
    const char *m = mask->data + t;
    float *h_new = (float *)(lp->scratch + lp->l.h0), *c_new = (float *)(lp->scratch + lp->l.c);
    float *out = lp->sequences ? output_at(lp, s) : (float *)lp->y->data;
    int64_t u = lp->units, rf = lp->row_floats, any = 0;
    for (int64_t b = 0; b < lp->batch; b++)
        any |= m[b * mask->batch_stride];
    if (any) {
        st->h = lp->h;
        st->h_stride = rf;
        st->h_out = h_new;
        st->h_out_stride = u;
        st->c = lp->c;
        st->c_stride = rf;
        st->c_out = lp->c ? c_new : NULL;
        st->c_out_stride = u;
        lp->k->cell_step(&lp->cell, st);
    }
    for (int64_t b = 0; b < lp->batch; b++) {
        float *y = out + b * lp->y->batch_stride;
        int32_t *has = (int32_t *)((char *)has_output + b * rf * 4);
        if (m[b * mask->batch_stride]) {
            memcpy(lp->h + b * rf, h_new + b * u, (size_t)u * 4);
            if (lp->c)
                memcpy(lp->c + b * rf, c_new + b * u, (size_t)u * 4);
            memcpy(y, h_new + b * u, (size_t)u * 4);
            *has = 1;
        } else if (*has && !zero_masked) {
            memcpy(y, lp->h + b * rf, (size_t)u * 4);
        } else {
            memset(y, 0, (size_t)u * 4);
        }
    }
}

static int32_t run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_plan_op *d = op->desc;
    loop lp;
    lp.k = run->kernels;
    lp.cell = cell_of(op);
    lp.k->cell_sizes(&lp.cell, &lp.sizes);
    lp.x = rnnrt_in(run, op, 0);
    lp.y = rnnrt_out(run, op, 0);
    lp.batch = lp.x->batch;
    lp.units = lp.cell.units;
    lp.steps = lp.x->steps;
    lp.reverse_in = (d->flags & RNNRT_OP_REVERSE_IN) != 0;
    lp.reverse_out = (d->flags & RNNRT_OP_REVERSE_OUT) != 0;
    lp.sequences = (d->flags & RNNRT_OP_SEQUENCES) != 0;
    lp.scratch = run->scratch;
    int nstates = states_of(lp.cell.kind), local = d->n_state == 0;
    lp.l = scratch_layout(lp.k, &lp.cell, lp.batch, lp.steps, d->mask >= 0, local);
    lp.row_floats = (local ? lp.l.local_stride : run->row_bytes) / 4;
    char *slot[3]; /* h, c, has_output of the first row */
    for (int i = 0; i < 3; i++) {
        int given = i < 2 ? i : nstates;
        if (local)
            slot[i] = run->scratch + lp.l.local + i * rnnrt_round64(lp.units * 4);
        else
            slot[i] = given < d->n_state ? run->rows + run->plan->states[op->state[given]].offset : NULL;
    }
    if (local && run->first_tile)
        memset(run->scratch + lp.l.local, 0, (size_t)(lp.batch * lp.l.local_stride));
    lp.h = (float *)slot[0];
    lp.c = nstates > 1 ? (float *)slot[1] : NULL;
    if (run->first_tile && d->n_init && !run->carry) {
        for (int i = 0; i < nstates; i++) {
            const rnnrt_view *v = &run->views[op->init[i]];
            copy_rows(i ? lp.c : lp.h, lp.row_floats, (const float *)v->data, v->batch_stride, lp.batch, lp.units);
        }
    }
    int32_t *has = d->mask >= 0 ? (int32_t *)slot[2] : NULL;
    cursor at = {lp.h, lp.row_floats};
    rnnrt_cell_step st = {0};
    for (int64_t s = 0; s < lp.steps;) {
        int64_t n = lp.l.hoist ? (lp.steps - s < lp.l.hoist ? lp.steps - s : lp.l.hoist) : 1;
        int64_t step_stride = 0, row_stride = 0;
        const float *z = NULL;
        if (lp.l.hoist) {
            hoist(&lp, s, n, &step_stride, &row_stride);
            z = (const float *)(lp.scratch + lp.l.z);
        }
        for (int64_t i = 0; i < n; i++) {
            fill_step(&lp, &st, s + i, z ? z + i * step_stride : NULL, row_stride);
            if (has)
                masked_step(&lp, &st, s + i, &run->views[d->mask], has, (d->flags & RNNRT_OP_ZERO_MASKED) != 0);
            else
                plain_step(&lp, &st, &at, s + i);
        }
        s += n;
    }
    if (!has) {
        copy_rows(lp.h, lp.row_floats, at.h, at.h_stride, lp.batch, lp.units);
        if (!lp.sequences)
            copy_rows((float *)lp.y->data, lp.y->batch_stride, at.h, at.h_stride, lp.batch, lp.units);
    }
    for (int i = 0; i < d->n_out - 1; i++) {
        const rnnrt_view *v = rnnrt_out(run, op, 1 + i);
        copy_rows((float *)v->data, v->batch_stride, i ? lp.c : lp.h, lp.row_floats, lp.batch, lp.units);
    }
    return RNNRT_OK;
}

#define RECURRENT(id) \
    const rnnrt_op_class rnnrt_op_##id = {#id, check, prepared_bytes, prepare, size, NULL, run, 0}
RECURRENT(simple_rnn);
RECURRENT(lstm);
RECURRENT(gru);
