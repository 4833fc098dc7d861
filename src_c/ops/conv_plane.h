/* What the convolutions of both types share; see conv_plane_body.h. */
#ifndef RNNRT_CONV_PLANE_H
#define RNNRT_CONV_PLANE_H

#include "typed.h"
#include "whole.h"

/* Rows that are gathered before the dense kernel runs. */
#define RNNRT_GATHER_ROWS 48

/* Elements of the context that a causal window needs from before a tile. */
static inline int64_t rnnrt_context_steps(const rnnrt_window *w) { return (w->k[1] - 1) * w->dilation[1]; }

#endif
