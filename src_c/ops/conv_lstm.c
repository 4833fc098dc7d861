/* ConvLSTM over one or two axes: an LSTM whose matrix products are convolutions. Gates i, f, c, o:
 *     z = conv(x) + bias + conv(h);  c' = f * c + i * act(z_c);  h' = o * act(c')
 * Convolutions of x have the layer's window, those of h stride 1 and padding `same`.
 *
 * conv_lstm: in = x (batch, time, spatial..., channels); out = y [, h, c]; mask (batch, time) or -1; init = none | h, c;
 *   weight = kernel (taps..., channels, 4 filters), recurrent kernel (taps..., filters, 4 filters), bias or -1;
 *   state = none (what happens inside a call ends with it) | h, c (places * filters) [, has_output];
 *   attr = window (8), channels, filters, activation, recurrent activation, input's lengths (2), output's lengths (2);
 *   real = 6 parameters. */
#include <string.h>

#include "conv_plane.h"

enum { A_CHANNELS = RNNRT_WINDOW_ATTRS, A_FILTERS, A_ACT, A_RACT, A_IN, A_OUT = A_IN + 2, A_COUNT = A_OUT + 2 };

static int64_t places(const rnnrt_op *op) { return op->attr[A_OUT] * op->attr[A_OUT + 1]; }

/* Scratch: gathered rows | z of x | z of h | gates i, f, c, o, one after the other | spare line | local states */
typedef struct layout {
    int64_t gathered, zx, zh, gates, line, local, local_stride, total;
} layout;

#include "real32.h"
#include "conv_plane_body.h"
#include "conv_lstm_body.h"
#include "real64.h"
#include "conv_plane_body.h"
#include "conv_lstm_body.h"

RNNRT_TYPED_CHECK(check)
RNNRT_TYPED_BYTES(prepared_bytes)
RNNRT_TYPED_PREPARE(prepare)
RNNRT_TYPED_SIZE(size)
RNNRT_TYPED_RUN(run)

const rnnrt_op_class rnnrt_op_conv_lstm = {"conv_lstm", check, prepared_bytes, prepare, size, NULL, run, 0};
