/* Attention: scores of each query against each key, softmax, the values' weighted sum. A matrix product of two tensors
 * packs its second factor into scratch, so that it goes through the dense kernel like any other.
 *
 * attention: in = query (batch, T, H * D), value (batch, S, H * E), key (batch, S, H * D), then those of the masks that
 *   the flags name: of values (batch, S), of queries (batch, T), of pairs (batch, T, S), all bool;
 *   out = y (batch, T, H * E) [, scores (batch, [H,] T, S)]; weight = scale or -1 (1 or D values), concat weight or -1;
 *   attr = heads, score (0 dot, 1 concat, 2 additive), masked (0 subtract 1e9, 1 select, 2 select and zero), flags;
 *   real = factor on dot scores. */
#include <string.h>

#include "axis_run.h"
#include "typed.h"

enum { A_HEADS, A_SCORE, A_MASKED, A_FLAGS, A_COUNT };
enum { SCORE_DOT, SCORE_CONCAT, SCORE_ADDITIVE };
enum { MASKED_SUBTRACT, MASKED_SELECT, MASKED_ZERO };
enum { CAUSAL = 1, VALUE_MASK = 2, QUERY_MASK = 4, PAIR_MASK = 8, QUERY_ZEROES = 16 };

static int bits(int64_t flags) { return !!(flags & VALUE_MASK) + !!(flags & QUERY_MASK) + !!(flags & PAIR_MASK); }

/* Which input a mask is, or -1. */
static int mask_at(const rnnrt_op *op, int64_t flag)
{
    return op->attr[A_FLAGS] & flag ? 3 + bits(op->attr[A_FLAGS] & (flag - 1) & (VALUE_MASK | QUERY_MASK | PAIR_MASK)) : -1;
}

/* scale (D values where additive, ones where there is none) | concat weight */
static int64_t scale_count(const rnnrt_plan *p, const rnnrt_op *op)
{
    return op->attr[A_SCORE] == SCORE_ADDITIVE ? rnnrt_known(p, &p->tensors[op->in[0]], 2) : 1;
}

/* Scratch: the factor in rows | packed | scores (T, S) | a line for softmax */
typedef struct layout {
    int64_t factor, packed, scores, line, total;
} layout;

static const char *mask_row(const rnnrt_run *run, const rnnrt_op *op, int64_t flag, int64_t b)
{
    int i = mask_at(op, flag);
    if (i < 0)
        return NULL;
    const rnnrt_view *v = rnnrt_in(run, op, i);
    return v->data + b * v->batch_stride;
}

#include "real32.h"
#include "attention_body.h"
#include "real64.h"
#include "attention_body.h"

RNNRT_TYPED_CHECK(check)
RNNRT_TYPED_BYTES(prepared_bytes)
RNNRT_TYPED_PREPARE(prepare)
RNNRT_TYPED_SIZE(size)
RNNRT_TYPED_RUN(run)

const rnnrt_op_class rnnrt_op_attention = {"attention", check, prepared_bytes, prepare, size, NULL, run, 0};
