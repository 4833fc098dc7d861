/* Convolution over channels-last data, and the depthwise one. A window whose taps lie together in memory is a row of a
 * dense layer as it stands; the others are gathered into scratch first, zeros where they reach beyond the data. Either
 * way each output is one chain over (taps, channels), so both give the same bits.
 *
 * conv: in = x; out = y; weight = kernel (taps..., channels / groups, filters), bias or -1;
 *   state = none | context ((k - 1) * dilation steps of x before the tile): causal over one axis, stride 1;
 *   attr = window (8), channels, filters, groups, activation; real = 3 parameters.
 * depthwise_conv: weight = kernel (taps..., channels, multiplier), bias or -1; attr = window, channels, multiplier,
 *   activation; real = 3 parameters. Output channel = channel * multiplier + m. */
#include <string.h>

#include "conv_plane.h"

enum { C_CHANNELS = RNNRT_WINDOW_ATTRS, C_FILTERS, C_GROUPS, C_ACT, C_COUNT };
enum { D_CHANNELS = RNNRT_WINDOW_ATTRS, D_MULTIPLIER, D_ACT, D_COUNT };

static int64_t elements(const rnnrt_sizes *s, int64_t tensor)
{
    const rnnrt_plan_tensor *t = &s->plan->tensors[tensor];
    int64_t n = 1;
    for (int64_t i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(n, s->dims[t->dims[i]], &n))
            return INT64_MAX >> 8;
    return n;
}

static int64_t depthwise_taps(const rnnrt_op *op)
{
    return op->attr[1] * op->attr[2] * op->attr[D_CHANNELS] * op->attr[D_MULTIPLIER];
}

#include "real32.h"
#include "conv_plane_body.h"
#include "conv_body.h"
#include "real64.h"
#include "conv_plane_body.h"
#include "conv_body.h"

RNNRT_TYPED_CHECK(conv_check)
RNNRT_TYPED_BYTES(conv_prepared_bytes)
RNNRT_TYPED_PREPARE(conv_prepare)
RNNRT_TYPED_SIZE(conv_size)
RNNRT_TYPED_RUN(conv_run)
RNNRT_TYPED_CHECK(depthwise_check)
RNNRT_TYPED_BYTES(depthwise_prepared_bytes)
RNNRT_TYPED_PREPARE(depthwise_prepare)
RNNRT_TYPED_SIZE(depthwise_size)
RNNRT_TYPED_RUN(depthwise_run)

const rnnrt_op_class rnnrt_op_conv = {"conv", conv_check, conv_prepared_bytes, conv_prepare, conv_size, NULL, conv_run, 0};

const rnnrt_op_class rnnrt_op_depthwise_conv = {"depthwise_conv", depthwise_check, depthwise_prepared_bytes,
                                                depthwise_prepare, depthwise_size, NULL, depthwise_run, 0};
