/* Activation and BatchNormalization (at inference: a scale and a shift for each channel).
 *
 * activation: in = x; out = y; attr = function, width of a row; real = 3 parameters.
 * batch_normalization: in = x; out = y; weight = gamma or -1, beta or -1, moving_mean, moving_variance;
 *   attr = channels, inner (elements that follow the channel axis); real = epsilon. */
#include <math.h>
#include <string.h>

#include "op.h"

static int same_kind(const rnnrt_plan *p, const rnnrt_op *op)
{
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    return x->dtype == RNNRT_F32 && y->dtype == RNNRT_F32 && x->rank == y->rank && x->timed == y->timed;
}

/* ---- activation ---- */
enum { A_ACT, A_WIDTH, A_COUNT };

static int rowwise(int64_t act)
{
    return act == RNNRT_ACT_SOFTMAX || act == RNNRT_ACT_LOG_SOFTMAX || act == RNNRT_ACT_SPARSEMAX || act == RNNRT_ACT_GLU;
}

static int32_t activation_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_attr != A_COUNT || d->n_real != 3 || !same_kind(v->plan, op)
        || op->attr[A_ACT] < 0 || op->attr[A_ACT] >= RNNRT_ACT_COUNT)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    if (rowwise(op->attr[A_ACT])) {
        const rnnrt_plan_tensor *x = &v->plan->tensors[op->in[0]], *y = &v->plan->tensors[op->out[0]];
        const rnnrt_plan_dim *dx = &v->plan->dims[x->dims[x->rank - 1]], *dy = &v->plan->dims[y->dims[y->rank - 1]];
        int64_t w = op->attr[A_WIDTH];
        if (x->rank < 2 || w < 1 || dx->kind != RNNRT_DIM_CONST || dx->m != w || dy->kind != RNNRT_DIM_CONST
            || dy->m != (op->attr[A_ACT] == RNNRT_ACT_GLU ? w / 2 : w) || (op->attr[A_ACT] == RNNRT_ACT_GLU && w % 2))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    }
    return RNNRT_OK;
}

static int32_t activation_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    (void)err;
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]];
    int64_t n = 1;
    for (int i = 0; i < x->rank; i++)
        n *= s->dims[x->dims[i]];
    *scratch = rowwise(op->attr[A_ACT]) ? rnnrt_round64(op->attr[A_WIDTH] * 4) : 0;
    *cost = n + 10;
    return RNNRT_OK;
}

static int32_t activation_run(const rnnrt_run *run, const rnnrt_op *op)
{
    rnnrt_activation a = {(int32_t)op->attr[A_ACT], {(float)op->real[0], (float)op->real[1], (float)op->real[2]}};
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t length, spans = rnnrt_spans(x, y, &length);
    for (int64_t i = 0; i < spans; i++) {
        const float *src = (const float *)x->data + i * x->batch_stride;
        float *dst = (float *)y->data + i * y->batch_stride;
        if (rowwise(a.kind)) {
            int64_t w = op->attr[A_WIDTH], wy = a.kind == RNNRT_ACT_GLU ? w / 2 : w;
            run->kernels->activate_rows(&a, length * (x->width / w), w, src, w, dst, wy, (float *)run->scratch);
        } else {
            run->kernels->activate(&a, length * x->width, src, dst);
        }
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_activation = {"activation", activation_check, NULL, NULL, activation_size, NULL,
                                            activation_run, 0};

/* ---- batch_normalization ---- */
enum { B_CHANNELS, B_INNER, B_COUNT };

static int32_t bn_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != 4 || d->n_attr != B_COUNT || d->n_real != 1 || !same_kind(p, op)
        || op->weight[2] < 0 || op->weight[3] < 0 || op->attr[B_CHANNELS] < 1 || op->attr[B_INNER] < 1
        || op->attr[B_CHANNELS] > (int64_t)1 << 32 || op->attr[B_INNER] > (int64_t)1 << 32)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    for (int i = 0; i < 4; i++) {
        const rnnrt_plan_weight *w = op->weight[i] < 0 ? NULL : &p->weights[op->weight[i]];
        if (w && (w->dtype != RNNRT_F32 || w->rank != 1 || w->dims[0] != op->attr[B_CHANNELS]))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, i);
    }
    /* channels * inner must divide a row: the trailing dims are known */
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]];
    int64_t tail = 1;
    for (int64_t i = x->rank - 1; i >= 1 && tail < op->attr[B_CHANNELS] * op->attr[B_INNER]; i--) {
        const rnnrt_plan_dim *dim = &p->dims[x->dims[i]];
        if (dim->kind != RNNRT_DIM_CONST || dim->m < 1)
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, i);
        tail *= dim->m;
    }
    if (tail != op->attr[B_CHANNELS] * op->attr[B_INNER])
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, tail);
    return RNNRT_OK;
}

/* scale and shift, each repeated `inner` times, so that one kernel serves every axis */
static int64_t bn_prepared_bytes(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    (void)v;
    return 2 * rnnrt_round64(op->attr[B_CHANNELS] * op->attr[B_INNER] * 4);
}

static void bn_prepare(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    int64_t n = op->attr[B_CHANNELS], inner = op->attr[B_INNER];
    const float *w[4];
    for (int i = 0; i < 4; i++)
        w[i] = op->weight[i] < 0 ? NULL : v->plan->weight_data[op->weight[i]];
    float *scale = prepared, *shift = (float *)((char *)prepared + rnnrt_round64(n * inner * 4));
    for (int64_t c = 0; c < n; c++) {
        double g = (w[0] ? (double)w[0][c] : 1.0) / sqrt((double)w[3][c] + op->real[0]);
        double b = (w[1] ? (double)w[1][c] : 0.0) - (double)w[2][c] * g;
        for (int64_t i = 0; i < inner; i++) {
            scale[c * inner + i] = (float)g;
            shift[c * inner + i] = (float)b;
        }
    }
}

static int32_t bn_run(const rnnrt_run *run, const rnnrt_op *op)
{
    int64_t width = op->attr[B_CHANNELS] * op->attr[B_INNER], length;
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    const float *scale = op->prepared, *shift = (const float *)((char *)op->prepared + rnnrt_round64(width * 4));
    int64_t spans = rnnrt_spans(x, y, &length);
    for (int64_t i = 0; i < spans; i++)
        run->kernels->scale_shift(length * x->width / width, width, (const float *)x->data + i * x->batch_stride, width,
                                  scale, shift, (float *)y->data + i * y->batch_stride, width);
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_batch_normalization = {"batch_normalization", bn_check, bn_prepared_bytes, bn_prepare,
                                                     NULL, NULL, bn_run, 0};
