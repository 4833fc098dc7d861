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

static int rowwise(int64_t act)
{
    return act == RNNRT_ACT_SOFTMAX || act == RNNRT_ACT_LOG_SOFTMAX || act == RNNRT_ACT_SPARSEMAX || act == RNNRT_ACT_GLU;
}

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

const rnnrt_op_class rnnrt_op_activation = {"activation", activation_check, NULL, NULL, activation_size, NULL,
                                            activation_run, 0};

const rnnrt_op_class rnnrt_op_batch_normalization = {"batch_normalization", bn_check, bn_prepared_bytes, bn_prepare,
                                                     NULL, NULL, bn_run, 0};
