/* Pooling over one or two axes of channels-last data, and over all of them.
 *
 * pool: in = x; out = y; attr = window (8), channels, kind (0 max, 1 average). Padding is no element: a maximum
 *   ignores it, an average divides by what is there.
 * global_pool: in = x (batch, spatial..., channels); out = y (any shape of batch * channels values); mask: the steps
 *   that count, for averages over one axis; attr = channels, kind, multiplies (Keras 2 multiplies by the mask, so that
 *   infinities beyond it come through; Keras 3 selects). Averages are summed in double, step after step. */
#include <string.h>

#include "typed.h"
#include "whole.h"

enum { KIND_MAX, KIND_AVERAGE };
enum { P_CHANNELS = RNNRT_WINDOW_ATTRS, P_KIND, P_COUNT };
enum { G_CHANNELS, G_KIND, G_MULTIPLIES, G_COUNT };

#include "real32.h"
#include "pool_body.h"
#include "real64.h"
#include "pool_body.h"

RNNRT_TYPED_CHECK(pool_check)
RNNRT_TYPED_RUN(pool_run)
RNNRT_TYPED_CHECK(global_check)
RNNRT_TYPED_RUN(global_run)

static int32_t pool_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    rnnrt_window w = rnnrt_window_of(op->attr);
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]];
    *scratch = 0;
    *cost = 20;
    int32_t rc = rnnrt_window_fits(s, op, &w, err);
    if (!rc)
        *cost += s->dims[x->dims[0]] * s->dims[x->dims[1]] / 2 * op->attr[P_CHANNELS];
    return rc;
}

const rnnrt_op_class rnnrt_op_pool = {"pool", pool_check, NULL, NULL, pool_size, NULL, pool_run, 0};

/* ---- global_pool ---- */
static int32_t global_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]], *y = &s->plan->tensors[op->out[0]];
    int64_t batch = s->dims[x->dims[0]], n = 1;
    for (int64_t i = 1; i < y->rank; i++)
        if (__builtin_mul_overflow(n, s->dims[y->dims[i]], &n))
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, n, op->attr[G_CHANNELS]);
    if (n != op->attr[G_CHANNELS] || s->dims[y->dims[0]] != batch)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, n, op->attr[G_CHANNELS]);
    *cost = 20;
    for (int64_t i = 1; i + 1 < x->rank; i++) {
        if (s->dims[x->dims[i]] < 1)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[x->dims[i]], 1);
        *cost += batch * s->dims[x->dims[i]];
    }
    if (op->desc->mask >= 0) {
        const rnnrt_plan_tensor *m = &s->plan->tensors[op->desc->mask];
        if (s->dims[m->dims[0]] != batch || s->dims[m->dims[1]] != s->dims[x->dims[1]])
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[m->dims[1]], s->dims[x->dims[1]]);
    }
    *scratch = op->attr[G_CHANNELS] * 8;
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_global_pool = {"global_pool", global_check, NULL, NULL, global_size, NULL, global_run, 0};
