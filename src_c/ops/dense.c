/* Dense over the last axis, its activation fused behind.
 *
 * refs: in = x; out = y; weight = kernel, bias or -1, of an int8 kernel its scale (outputs); attr = inputs, outputs, activation; real = 3 parameters. */
#include <string.h>

#include "typed.h"

enum { A_INPUTS, A_OUTPUTS, A_ACT, A_COUNT };
enum { W_KERNEL, W_BIAS, W_COUNT, W_SCALE = W_COUNT, W_SCALED };

static int64_t last_dim(const rnnrt_plan *p, int64_t tensor)
{
    const rnnrt_plan_tensor *t = &p->tensors[tensor];
    const rnnrt_plan_dim *d = &p->dims[t->dims[t->rank - 1]];
    return t->rank >= 2 && d->kind == RNNRT_DIM_CONST ? d->m : -1;
}

#include "real32.h"
#include "dense_body.h"
#include "real64.h"
#include "dense_body.h"

RNNRT_TYPED_CHECK(check)
RNNRT_TYPED_BYTES(prepared_bytes)
RNNRT_TYPED_PREPARE(prepare)
RNNRT_TYPED_SIZE(size)
RNNRT_TYPED_RUN(run)

const rnnrt_op_class rnnrt_op_dense = {"dense", check, prepared_bytes, prepare, size, NULL, run, 0};
