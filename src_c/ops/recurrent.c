/* SimpleRNN, LSTM, GRU: the loop over time around the fused cell kernels.
 *
 * Semantics: keras/src/backend/tensorflow/rnn.py `rnn`. A masked step keeps the state and repeats the previous
 * output, which is zero before the first unmasked step even where the state is not; therefore a masked layer keeps
 * `has_output` in its row. The input projection of few rows is hoisted (same bits: the chain goes on from z).
 *
 * A layer inside a TimeDistributed has another batch than the model (batch * time rows): it keeps no state between
 * calls, n_state is 0, and its rows lie in scratch.
 *
 * refs: in = x; out = y, then the states where return_state; weight = kernel, recurrent_kernel, bias or -1,
 * and where these two are int8 their scales (gates * units);
 * state = h [, c] [, has_output where masked]; init = tensors for h [, c];
 * attr = units, features, activation, recurrent_activation; real = 3 parameters of each activation. */
#include <stdatomic.h>
#include <string.h>

#include "typed.h"

enum { A_UNITS, A_FEATURES, A_ACT, A_RACT, A_COUNT };
enum { W_KERNEL, W_RECURRENT, W_BIAS, W_COUNT, W_KERNEL_SCALE = W_COUNT, W_RECURRENT_SCALE, W_SCALED };

/* A hoisted tile should be long enough for the matrix kernel and short enough for the cache. */
#define HOIST_ROWS 48
#define HOIST_BYTES (256 * 1024)
/* A hoisted projection reads the kernel once for many steps. From so many rows on reading it in each step hides behind
 * the arithmetic, and one chain over inputs and state is faster than two with z between them (by 5 to 10 %). */
#define CACHED_ROWS 4
#define READING_ROWS 16
#define CACHED_BYTES (1024 * 1024)

/* Steps of one job of the threads: handing a job out costs as much as a step's meeting. */
#define JOB_STEPS 16
/* Rows of a thread from which on rows may be shared out, see by_rows: one tile of the matrix kernels. */
#define SHARED_ROWS 6
/* Where rows are shared out, threads meet after about so many multiply-adds of all of them, some 100 us: a thread that
 * loses its core holds up no more. */
#define MEET_WORK (20 * 1024 * 1024)
#define MEETINGS 8
/* An integer product takes about so much less time than one of floats. */
#define INT8_TIMES 4

static int32_t kind_of(const rnnrt_op *op)
{
    return op->desc->kind == RNNRT_OP_LSTM ? RNNRT_CELL_LSTM
         : op->desc->kind == RNNRT_OP_GRU ? RNNRT_CELL_GRU : RNNRT_CELL_SIMPLE_RNN;
}

static int gates_of(int32_t kind) { return kind == RNNRT_CELL_LSTM ? 4 : kind == RNNRT_CELL_GRU ? 3 : 1; }
static int states_of(int32_t kind) { return kind == RNNRT_CELL_LSTM ? 2 : 1; }

static int64_t most_blocks(const rnnrt_cell_sizes *sizes)
{
    int64_t most = 1;
    for (int i = 0; i < sizes->phases; i++)
        most = sizes->blocks[i] > most ? sizes->blocks[i] : most;
    return most;
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

/* A table of projected rows pays from this many features on, where it stays small beside the weights and in itself. */
#define TABLE_FEATURES 16
#define TABLE_GROWTH 16
#define TABLE_BYTES ((int64_t)8 << 20)

/* How far a row is; of threads that want the same one the first makes it. */
typedef _Atomic unsigned char rnnrt_row_state;
enum { ROW_FRESH, ROW_TAKEN, ROW_MADE };
/* How often a thread looks whether another has made the row, some 50 us in all: that takes 2, so the other one has lost
 * its core, or was left behind by a fork. */
#define ROW_PATIENCE 2000

/* Scratch: z | cell scratch | two rows of h | one of c | rows of local state, each a multiple of 64 bytes. Where rows are
 * shared out, each thread has a z and a cell scratch of its own for its rows, one after the other. */
typedef struct layout {
    int64_t hoist, z, cell, h0, h1, c, local, local_stride, total;
} layout;

#include "real32.h"
#include "recurrent_body.h"
#include "recurrent_loop_body.h"
#include "real64.h"
#include "recurrent_body.h"
#include "recurrent_loop_body.h"

int64_t rnnrt_recurrent_table_bytes(const rnnrt_plan_view *v, const rnnrt_op *op, const rnnrt_op *rows)
{
    return rnnrt_is_double(v->plan, op) ? table_bytes_64(v, op, rows) : table_bytes_32(v, op, rows);
}

RNNRT_TYPED_CHECK(check)
RNNRT_TYPED_BYTES(prepared_bytes)
RNNRT_TYPED_PREPARE(prepare)
RNNRT_TYPED_SIZE(size)
RNNRT_TYPED_RUN(run)

#define RECURRENT(id) \
    const rnnrt_op_class rnnrt_op_##id = {#id, check, prepared_bytes, prepare, size, NULL, run, 0}
RECURRENT(simple_rnn);
RECURRENT(lstm);
RECURRENT(gru);
