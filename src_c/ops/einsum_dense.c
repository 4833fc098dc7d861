/* einsum_dense: the last axes of x against a kernel, new axes in their place: a dense layer with rows of several axes.
 *
 * in = x; out = y; weight = kernel (contracted axes..., new axes...), bias or -1 (the last of the new axes);
 *   attr = number of contracted axes, number of new axes, activation; real = 3 parameters. */
#include <string.h>

#include "axis_run.h"
#include "typed.h"

enum { A_CONTRACTED, A_NEW, A_ACT, A_COUNT };

static int64_t last_axes(const rnnrt_plan *p, int64_t tensor, int64_t n)
{
    int64_t rank = p->tensors[tensor].rank;
    return n < 1 || n >= rank ? -1 : rnnrt_axes_known(p, tensor, rank - n, rank - 1);
}

#include "real32.h"
#include "einsum_dense_body.h"
#include "real64.h"
#include "einsum_dense_body.h"

RNNRT_TYPED_CHECK(check)
RNNRT_TYPED_BYTES(prepared_bytes)
RNNRT_TYPED_PREPARE(prepare)
RNNRT_TYPED_SIZE(size)
RNNRT_TYPED_RUN(run)

const rnnrt_op_class rnnrt_op_einsum_dense = {"einsum_dense", check, prepared_bytes, prepare, size, NULL, run, 0};
