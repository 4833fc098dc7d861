/* Normalisation by statistics of the values themselves, over a run of axes or over groups of channels.
 *
 * layer_normalization: in = x; out = y; weight = gamma or -1, beta or -1 (one value for each place of the run);
 *   attr = first axis, last axis, rule; real = epsilon. Rules below.
 * unit_normalization: the same without weights.
 * group_normalization: weight = gamma or -1, beta or -1 (channels); attr = channel axis, groups; real = epsilon. */
#include <math.h>
#include <string.h>

#include "axis_run.h"
#include "typed.h"

enum {
    RULE_LAYER,                  /* (x - mean) / sqrt(variance + epsilon) */
    RULE_VARIANCE,               /* x / sqrt(variance + epsilon): Keras 3's rms_scaling */
    RULE_RMS,                    /* x / sqrt(mean(x^2) + epsilon) */
    RULE_UNIT_K2,                /* x / sqrt(max(sum(x^2), epsilon)) */
    RULE_UNIT_K3,                /* x * min(1 / sqrt(sum(x^2)), 1 / epsilon) */
    RULE_COUNT
};
enum { A_FIRST, A_LAST, A_RULE, A_COUNT };

enum { G_AXIS, G_GROUPS, G_COUNT };

static int64_t run_known(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return rnnrt_axes_known(v->plan, op->in[0], op->attr[A_FIRST], op->attr[A_LAST]);
}

/* gamma | beta, ones and zeros where the layer has none; nothing where it has neither */
static int has_weights(const rnnrt_op *op) { return op->desc->n_weight && (op->weight[0] >= 0 || op->weight[1] >= 0); }

static int64_t group_channels(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return rnnrt_known(v->plan, &v->plan->tensors[op->in[0]], op->attr[G_AXIS]);
}

#include "real32.h"
#include "normalize_body.h"
#include "real64.h"
#include "normalize_body.h"

RNNRT_TYPED_CHECK(check)
RNNRT_TYPED_BYTES(prepared_bytes)
RNNRT_TYPED_PREPARE(prepare)
RNNRT_TYPED_SIZE(size)
RNNRT_TYPED_RUN(run)
RNNRT_TYPED_CHECK(group_check)
RNNRT_TYPED_BYTES(group_prepared_bytes)
RNNRT_TYPED_PREPARE(group_prepare)
RNNRT_TYPED_RUN(group_run)

static int32_t group_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    (void)err;
    *scratch = 0;
    *cost = 3 * rnnrt_elements(s, op->in[0]) + 20;
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_layer_normalization = {"layer_normalization", check, prepared_bytes, prepare, size, NULL, run, 0};
const rnnrt_op_class rnnrt_op_unit_normalization = {"unit_normalization", check, prepared_bytes, prepare, size, NULL, run, 0};

const rnnrt_op_class rnnrt_op_group_normalization = {"group_normalization", group_check, group_prepared_bytes,
                                                     group_prepare, group_size, NULL, group_run, 0};
