/* simple_rnn, lstm, gru as ops: states, masks and strides of the host's record (src_c/ops/recurrent.c) for recurrent_run.
 *
 * Long tiles go in chunks, so that the projected inputs stay below SCRATCH_BYTES. A layer inside a TimeDistributed keeps no
 * state between calls: its rows lie behind the scratch. */
#include "elements.cuh"

namespace rnnrt_cuda {

using rnnrt::recurrent_args;

#define SCRATCH_BYTES ((int64_t)256 << 20)

enum { A_UNITS, A_FEATURES, A_ACT, A_RACT };

static int64_t gates_of(const rnnrt_op *op)
{
    return op->desc->kind == RNNRT_OP_LSTM ? 4 : op->desc->kind == RNNRT_OP_GRU ? 3 : 1;
}

static recurrent_args args_of(const rnnrt_kernels *kernels, const rnnrt_op *op, int64_t batch, int64_t steps)
{
    recurrent_args a = {};
    const int64_t kind = op->desc->kind, flags = op->desc->flags;
    a.cell.kind = kind == RNNRT_OP_LSTM ? RNNRT_CELL_LSTM : kind == RNNRT_OP_GRU ? RNNRT_CELL_GRU : RNNRT_CELL_SIMPLE_RNN;
    a.cell.reset_after = (flags & RNNRT_OP_RESET_AFTER) != 0;
    a.cell.units = op->attr[A_UNITS];
    a.cell.features = op->attr[A_FEATURES];
    a.cell.activation = {(int32_t)op->attr[A_ACT], {(float)op->real[0], (float)op->real[1], (float)op->real[2]}};
    a.cell.recurrent_activation = {(int32_t)op->attr[A_RACT], {(float)op->real[3], (float)op->real[4], (float)op->real[5]}};
    a.packed = (const float *)op->prepared;
    a.batch = batch;
    a.steps = steps;
    a.reverse_in = (flags & RNNRT_OP_REVERSE_IN) != 0;
    a.reverse_out = (flags & RNNRT_OP_REVERSE_OUT) != 0;
    a.sequences = (flags & RNNRT_OP_SEQUENCES) != 0;
    a.zero_masked = (flags & RNNRT_OP_ZERO_MASKED) != 0;
    /* sizes ask whether there is a mask, not where */
    a.mask = op->desc->mask >= 0 ? (const uint8_t *)kernels : NULL;
    a.math = table_of(kernels)->math;
    return a;
}

/* Steps of a chunk, and the scratch that it takes. */
static int64_t chunk_of(recurrent_args a, const rnnrt::recurrent_device &gpu, int64_t *bytes)
{
    for (;; a.steps = (a.steps + 1) / 2) {
        *bytes = ((int64_t)rnnrt::recurrent_scratch_bytes(a, gpu) + 255) & ~(int64_t)255;
        if (*bytes <= SCRATCH_BYTES || a.steps == 1)
            return a.steps;
    }
}

/* h | c | has_output */
static int64_t local_stride(int64_t units) { return 2 * rnnrt_round64(units * (int64_t)sizeof(float)) + 64; }

/* The batch and the steps are the same wherever they stand. */
int32_t size_CELL(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan *p = s->plan;
    const rnnrt_plan_op *d = op->desc;
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    const int64_t batch = s->dims[x->dims[0]], steps = s->dims[x->dims[1]];
    if (steps < 1)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, steps, 1);
    if (d->flags & RNNRT_OP_SEQUENCES && s->dims[y->dims[1]] != steps)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[y->dims[1]], steps);
    if (d->mask >= 0 && s->dims[p->tensors[d->mask].dims[1]] != steps)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[p->tensors[d->mask].dims[1]], steps);
    for (int64_t i = 0; i < d->n_init + d->n_out + (d->mask >= 0); i++) {
        const int64_t t = i < d->n_init ? op->init[i] : i < d->n_init + d->n_out ? op->out[i - d->n_init] : d->mask;
        if (s->dims[p->tensors[t].dims[0]] != batch)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[p->tensors[t].dims[0]], batch);
    }
    chunk_of(args_of(s->kernels, op, batch > 0 ? batch : 1, s->steps), table_of(s->kernels)->gpu, scratch);
    *scratch += d->n_state ? 0 : batch * local_stride(op->attr[A_UNITS]);
    *cost = rnnrt_product_ns(s->kernels, (double)steps, (double)batch, (double)(op->attr[A_FEATURES] + op->attr[A_UNITS]),
                             (double)(gates_of(op) * op->attr[A_UNITS]), RNNRT_F32);
    return RNNRT_OK;
}

int64_t packed_bytes_CELL(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return rnnrt::recurrent_packed_floats(args_of(v->kernels, op, 1, 1).cell) * (int64_t)sizeof(float);
}

void pack_CELL(const rnnrt_plan_view *v, const rnnrt_op *op, void *packed)
{
    const void *const *data = v->plan->weight_data;
    const int64_t columns = gates_of(op) * op->attr[A_UNITS];
    const int32_t dtype = (int32_t)v->plan->weights[op->weight[0]].dtype;
    float *made[2];
    const float *kernel = widened(dtype, op->attr[A_FEATURES] * columns, data[op->weight[0]], &made[0]);
    const float *recurrent = widened(dtype, op->attr[A_UNITS] * columns, data[op->weight[1]], &made[1]);
    if (kernel && recurrent)
        rnnrt::recurrent_pack(args_of(v->kernels, op, 1, 1).cell, kernel, recurrent,
                              op->weight[2] >= 0 ? (const float *)data[op->weight[2]] : NULL, (float *)packed);
    rnnrt_free(made[0]);
    rnnrt_free(made[1]);
}

static int32_t copy_states(const op_run &run, void *to, int64_t to_bytes, const void *from, int64_t from_bytes, int64_t units, int64_t rows)
{
    return check(cudaMemcpy2DAsync(to, (size_t)to_bytes, from, (size_t)from_bytes, (size_t)units * sizeof(float), (size_t)rows,
                                   cudaMemcpyDeviceToDevice, run.stream), "moving states", run.err);
}

int32_t run_CELL(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_plan_op *d = op->desc;
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    recurrent_args a = args_of(run.kernels, op, x->batch, x->steps);
    const rnnrt::recurrent_device &gpu = table_of(run.kernels)->gpu;
    const int64_t units = a.cell.units, states = a.cell.kind == RNNRT_CELL_LSTM ? 2 : 1, local = d->n_state == 0;
    int64_t scratch, n = chunk_of(a, gpu, &scratch);
    int32_t rc = RNNRT_OK;
    if (x->batch < 1)
        return RNNRT_OK;
    char *slot[3]; /* h, c, has_output of the first row */
    const int64_t row = local ? local_stride(units) : run.row_bytes;
    for (int i = 0; i < 3; i++) {
        const int64_t given = i < 2 ? i : states;
        slot[i] = local ? run.scratch + scratch + i * rnnrt_round64(units * (int64_t)sizeof(float))
                : given < d->n_state ? run.rows + run.plan->states[op->state[given]].offset : NULL;
    }
    if (local && run.first_tile)
        rc = check(cudaMemsetAsync(run.scratch + scratch, 0, (size_t)(x->batch * row), run.stream), "clearing states", run.err);
    /* a session was given its states at the reset; what starts anew in each call takes them each time */
    const int anew = !run.carry || local || (d->n_state && run.plan->states[op->state[0]].restart);
    for (int64_t i = 0; !rc && run.first_tile && d->n_init && anew && i < states; i++) {
        const rnnrt_view *v = &run.views[op->init[i]];
        rc = copy_states(run, slot[i], row, v->data, v->batch_stride * (int64_t)sizeof(float), units, x->batch);
    }
    a.x_batch = x->batch_stride;
    a.x_step = a.cell.features;
    a.y_batch = y->batch_stride;
    a.y_step = units;
    a.h = (float *)slot[0];
    a.c = states > 1 ? (float *)slot[1] : NULL;
    a.has_output = d->mask >= 0 ? (int32_t *)slot[2] : NULL;
    a.row_stride = row / (int64_t)sizeof(float);
    a.scratch = run.scratch;
    const rnnrt_view *m = d->mask >= 0 ? &run.views[d->mask] : NULL;
    a.mask_batch = m ? m->batch_stride : 0;
    for (int64_t s = 0; !rc && s < x->steps; s += n) {
        a.steps = x->steps - s < n ? x->steps - s : n;
        const int64_t in = a.reverse_in ? x->steps - s - a.steps : s, out = a.reverse_out ? x->steps - s - a.steps : s;
        a.x = (const float *)x->data + in * a.x_step;
        a.y = (float *)y->data + (a.sequences ? out * units : 0);
        a.mask = m ? (const uint8_t *)m->data + in : NULL;
        rc = check(rnnrt::recurrent_run(a, gpu, run.stream), "a recurrent layer", run.err);
    }
    for (int64_t i = 0; !rc && i < d->n_out - 1; i++) {
        const rnnrt_view *v = rnnrt_out(&run, op, (int)(1 + i));
        rc = copy_states(run, v->data, v->batch_stride * (int64_t)sizeof(float), slot[i], row, units, x->batch);
    }
    return rc;
}

} // namespace rnnrt_cuda
