/* Activation and BatchNormalization (at inference: a scale and a shift for each channel).
 *
 * activation: in = x; out = y; attr = function, width of a row; real = 3 parameters.
 * batch_normalization: in = x; out = y; weight = gamma or -1, beta or -1, moving_mean, moving_variance;
 *   attr = channels, inner (elements that follow the channel axis); real = epsilon. */
#include <math.h>
#include <string.h>

#include "typed.h"

/* ---- activation ---- */
enum { A_ACT, A_WIDTH, A_COUNT };

enum { B_CHANNELS, B_INNER, B_COUNT };

#include "real32.h"
#include "elementwise_body.h"
#include "real64.h"
#include "elementwise_body.h"

RNNRT_TYPED_CHECK(activation_check)
RNNRT_TYPED_SIZE(activation_size)
RNNRT_TYPED_RUN(activation_run)
RNNRT_TYPED_CHECK(bn_check)
RNNRT_TYPED_BYTES(bn_prepared_bytes)
RNNRT_TYPED_PREPARE(bn_prepare)
RNNRT_TYPED_RUN(bn_run)

static int32_t bn_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]];
    int64_t n = 1;
    for (int i = 0; i < x->rank; i++)
        n *= s->dims[x->dims[i]];
    *scratch = 0;
    *cost = n / 8 + 10;
    return rnnrt_axes_agree(s, op, x->rank, err);
}

const rnnrt_op_class rnnrt_op_activation = {"activation", activation_check, NULL, NULL, activation_size, NULL,
                                            activation_run, 0};

const rnnrt_op_class rnnrt_op_batch_normalization = {"batch_normalization", bn_check, bn_prepared_bytes, bn_prepare,
                                                     bn_size, NULL, bn_run, 0};
