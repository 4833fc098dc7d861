/* One convolution of one batch row through the dense kernel of REAL: rows as they lie where a window's taps lie together,
 * else gathered into scratch with zeros where they reach beyond the data. Included twice; see typed.h. */
#include "share_body.h"

/* One batch row of one convolution. */
typedef struct TYPED(rnnrt_plane) {
    const rnnrt_kernels *k;
    rnnrt_team *team;    /* threads to share it with, or NULL */
    rnnrt_window w;
    int64_t before[2], in[2], out[2];
    int64_t channels, group_channels, filters;
    const REAL *x;
    const REAL *context; /* the steps before x, or NULL: zeros */
    REAL *y, *gathered;
} TYPED(rnnrt_plane);

/* The window of output (oy, ox), channels of group g, as one row. */
static inline void TYPED(rnnrt_gather)(const TYPED(rnnrt_plane) *p, int64_t oy, int64_t ox, int64_t g, REAL *row)
{
    int64_t c = p->group_channels, before = rnnrt_context_steps(&p->w);
    int64_t first = ox * p->w.stride[1] - p->before[1];
    int together = c == p->channels && p->w.dilation[1] == 1 && first >= 0 && first + p->w.k[1] <= p->in[1];
    for (int64_t ky = 0; ky < p->w.k[0]; ky++) {
        int64_t iy = oy * p->w.stride[0] - p->before[0] + ky * p->w.dilation[0];
        if (iy < 0 || iy >= p->in[0]) {
            memset(row, 0, (size_t)(p->w.k[1] * c) * sizeof(REAL));
            row += p->w.k[1] * c;
            continue;
        }
        const REAL *line = p->x + iy * p->in[1] * p->channels;
        if (together) {
            memcpy(row, line + first * c, (size_t)(p->w.k[1] * c) * sizeof(REAL));
            row += p->w.k[1] * c;
            continue;
        }
        for (int64_t kx = 0; kx < p->w.k[1]; kx++, row += c) {
            int64_t ix = first + kx * p->w.dilation[1];
            if (ix >= 0 && ix < p->in[1])
                memcpy(row, line + ix * p->channels + g * c, (size_t)c * sizeof(REAL));
            else if (ix < 0 && p->context)
                memcpy(row, p->context + (before + ix) * p->channels + g * c, (size_t)c * sizeof(REAL));
            else
                memset(row, 0, (size_t)c * sizeof(REAL));
        }
    }
}

/* Outputs whose window lies inside the data without gaps, as a range of one line. */
static inline void TYPED(rnnrt_direct_range)(const TYPED(rnnrt_plane) *p, int64_t *begin, int64_t *end)
{
    *begin = *end = 0;
    if (p->w.k[0] != 1 || p->group_channels != p->channels || (p->w.dilation[1] != 1 && p->w.k[1] != 1))
        return;
    int64_t s = p->w.stride[1], last = p->in[1] - p->w.k[1] + p->before[1];
    if (last < 0)
        return;
    *begin = (p->before[1] + s - 1) / s;
    *end = last / s + 1 < p->out[1] ? last / s + 1 : p->out[1];
    if (*begin > *end)
        *begin = *end;
}

static inline void TYPED(rnnrt_gather_range)(const TYPED(rnnrt_plane) *p, const T_DENSE *d, int64_t g, int64_t oy,
                                             int64_t begin, int64_t end)
{
    for (int64_t at = begin; at < end; at += RNNRT_GATHER_ROWS) {
        int64_t n = end - at < RNNRT_GATHER_ROWS ? end - at : RNNRT_GATHER_ROWS;
        for (int64_t i = 0; i < n; i++)
            TYPED(rnnrt_gather)(p, oy, at + i, g, p->gathered + i * d->inputs);
        TYPED(rnnrt_dense)(p->team, p->k, d, n, p->gathered, d->inputs,
                           p->y + (oy * p->out[1] + at) * p->filters + g * d->outputs, p->filters);
    }
}

static inline void TYPED(rnnrt_convolve)(const TYPED(rnnrt_plane) *p, const T_DENSE *d, int64_t g)
{
    int64_t begin, end;
    TYPED(rnnrt_direct_range)(p, &begin, &end);
    for (int64_t oy = 0; oy < p->out[0]; oy++) {
        TYPED(rnnrt_gather_range)(p, d, g, oy, 0, begin);
        if (begin < end) {
            /* k[0] == 1: TensorFlow pads no line, so the line is oy * stride */
            const REAL *x = p->x + (oy * p->w.stride[0] * p->in[1] + begin * p->w.stride[1] - p->before[1]) * p->channels;
            TYPED(rnnrt_dense)(p->team, p->k, d, end - begin, x, p->w.stride[1] * p->channels,
                               p->y + (oy * p->out[1] + begin) * p->filters, p->filters);
        }
        TYPED(rnnrt_gather_range)(p, d, g, oy, end, p->out[1]);
    }
}
