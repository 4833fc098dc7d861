/* Of an embedding that feeds only recurrent layers each row is multiplied by their kernels once, when it is first read: a
 * step then starts from a row of that table, which is the same chain (bias, inputs ascending) and so the same bits. The
 * embedding still runs, for its checks, and writes the numbers of rows in place of the rows. */
#include "op.h"

static int recurrent(const rnnrt_op *op)
{
    return op->desc->kind == RNNRT_OP_LSTM || op->desc->kind == RNNRT_OP_GRU || op->desc->kind == RNNRT_OP_SIMPLE_RNN;
}

static int reads(const rnnrt_op *op, int64_t t)
{
    int n = op->desc->mask == t;
    for (int64_t i = 0; i < op->desc->n_in; i++)
        n += op->in[i] == t;
    for (int64_t i = 0; i < op->desc->n_init; i++)
        n += op->init[i] == t;
    return n;
}

/* whether each reader of t is a recurrent op that takes it as its input and gains by a table of these rows */
static int only_tables(const rnnrt_plan *p, const rnnrt_kernels *kernels, const rnnrt_op *ops, const rnnrt_op *rows, int64_t t)
{
    const rnnrt_plan_view view = {p, kernels};
    int readers = 0;
    for (int64_t i = 0; i < p->n_ops; i++) {
        if (!reads(&ops[i], t))
            continue;
        if (!recurrent(&ops[i]) || ops[i].in[0] != t || reads(&ops[i], t) != 1
            || !rnnrt_recurrent_table_bytes(&view, &ops[i], rows))
            return 0;
        readers++;
    }
    for (int64_t i = 0; i < p->n_tensors; i++)
        if (p->tensors[i].alias == t)
            return 0;
    return readers > 0 && p->tensors[t].role == RNNRT_TENSOR_TEMP;
}

void rnnrt_ops_link(const rnnrt_plan *p, const rnnrt_kernels *kernels, rnnrt_op *ops)
{
    for (int64_t e = 0; e < p->n_ops; e++) {
        if (ops[e].desc->kind != RNNRT_OP_EMBEDDING || !only_tables(p, kernels, ops, &ops[e], ops[e].out[0]))
            continue;
        ops[e].numbers = 1;
        for (int64_t i = 0; i < p->n_ops; i++)
            if (reads(&ops[i], ops[e].out[0]))
                ops[i].rows = &ops[e];
    }
}
