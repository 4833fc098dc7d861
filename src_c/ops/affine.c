/* Elementwise layers with constants along some axes, softmax over any axes, and one-hot codes of ids.
 *
 * normalization: in = x; out = y; weight = mean, variance, or both -1 and real = means, variances; attr = first axis,
 *   last axis, invert. y = (x - mean) / max(sqrt(variance), 1e-7); inverted: x * that + mean.
 * rescaling: attr = first axis, last axis; real = scales, offsets. y = x * scale + offset.
 *   Both: one value for each place of the run of axes, or one for all.
 * prelu: weight = alpha (one axis for each of x's but the batch, 1 where shared); attr = first axis that is not shared.
 * softmax: attr = first axis, last axis: over the run together.
 * category_encoding: in = ids; out = y; attr = tokens, mode (0 one_hot, 1 multi_hot, 2 count), strict. */
#include <math.h>
#include <string.h>

#include "axis_run.h"
#include "typed.h"

enum { N_FIRST, N_LAST, N_INVERT };

static int rescales(const rnnrt_op *op) { return op->desc->kind == RNNRT_OP_RESCALING; }
static int has_weights(const rnnrt_op *op) { return op->desc->n_weight == 2 && op->weight[0] >= 0; }

/* Values of each constant: one for all, or one for each place. */
static int64_t constants(const rnnrt_op *op) { return op->desc->n_real / 2; }

static int64_t prelu_period(const rnnrt_plan *p, const rnnrt_op *op)
{
    return rnnrt_axes_known(p, op->in[0], op->attr[0], p->tensors[op->in[0]].rank - 1);
}

#include "real32.h"
#include "affine_body.h"
#include "real64.h"
#include "affine_body.h"

RNNRT_TYPED_CHECK(affine_check)
RNNRT_TYPED_BYTES(affine_prepared_bytes)
RNNRT_TYPED_PREPARE(affine_prepare)
RNNRT_TYPED_RUN(affine_run)
RNNRT_TYPED_CHECK(prelu_check)
RNNRT_TYPED_BYTES(prelu_prepared_bytes)
RNNRT_TYPED_PREPARE(prelu_prepare)
RNNRT_TYPED_RUN(prelu_run)
RNNRT_TYPED_CHECK(softmax_check)
RNNRT_TYPED_SIZE(softmax_size)
RNNRT_TYPED_RUN(softmax_run)

static int32_t elementwise_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    (void)err;
    *scratch = 0;
    *cost = rnnrt_elements(s, op->in[0]) / 2 + 10;
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_normalization = {"normalization", affine_check, affine_prepared_bytes, affine_prepare,
                                               elementwise_size, NULL, affine_run, 0};
const rnnrt_op_class rnnrt_op_rescaling = {"rescaling", affine_check, affine_prepared_bytes, affine_prepare,
                                           elementwise_size, NULL, affine_run, 0};

const rnnrt_op_class rnnrt_op_prelu = {"prelu", prelu_check, prelu_prepared_bytes, prelu_prepare, elementwise_size, NULL,
                                       prelu_run, 0};

const rnnrt_op_class rnnrt_op_softmax = {"softmax", softmax_check, NULL, NULL, softmax_size, NULL, softmax_run, 0};

/* ---- category_encoding ---- */
enum { E_TOKENS, E_MODE, E_STRICT, E_COUNT };
enum { MODE_ONE_HOT, MODE_MULTI_HOT, MODE_ENCODE_COUNT };

static int32_t encode_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_attr != E_COUNT || d->mask >= 0 || !rnnrt_sees_all(p, op)
        || op->attr[E_TOKENS] < 1 || op->attr[E_TOKENS] > RNNRT_BIG || op->attr[E_MODE] < 0
        || op->attr[E_MODE] > MODE_ENCODE_COUNT)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    int64_t dtype = p->tensors[op->in[0]].dtype;
    const rnnrt_plan_tensor *y = &p->tensors[op->out[0]];
    if ((dtype != RNNRT_F32 && dtype != RNNRT_F64 && dtype != RNNRT_I32 && dtype != RNNRT_I64)
        || p->tensors[op->in[0]].rank < 2 || y->dtype != RNNRT_F32
        || rnnrt_known(p, y, y->rank - 1) != op->attr[E_TOKENS])
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    return RNNRT_OK;
}

/* ids of one output row; the batch rows of both tensors hold whole numbers of them */
static int32_t encode_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *x = &s->plan->tensors[op->in[0]], *y = &s->plan->tensors[op->out[0]];
    int64_t ids = rnnrt_elements(s, op->in[0]), rows = rnnrt_elements(s, op->out[0]) / op->attr[E_TOKENS];
    int64_t sample = op->attr[E_MODE] == MODE_ONE_HOT ? 1 : s->dims[x->dims[x->rank - 1]];
    *scratch = 0;
    *cost = rows * op->attr[E_TOKENS] / 8 + ids + 20;
    return s->dims[x->dims[0]] == s->dims[y->dims[0]] && sample >= 1 && rows * sample == ids
        ? RNNRT_OK : rnnrt_fail(err, RNNRT_ESHAPE, op->index, rows, sample);
}

/* The id at i, towards zero; `nan` where it is no number that an id could be. */
static int64_t id_at(const char *x, int64_t i, int32_t dtype, int *nan)
{
    double v;
    *nan = 0;
    switch (dtype) {
    case RNNRT_I32: return ((const int32_t *)x)[i];
    case RNNRT_I64: return ((const int64_t *)x)[i];
    case RNNRT_F32: v = (double)((const float *)x)[i]; break;
    case RNNRT_F64: v = ((const double *)x)[i]; break;
    default: return ((const uint8_t *)x)[i * rnnrt_dtype_size(dtype)];
    }
    *nan = !(v > -9.2e18 && v < 9.2e18);
    return *nan ? -1 : (int64_t)v;
}

static int32_t encode_precheck(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0);
    int64_t item = rnnrt_dtype_size(x->dtype);
    for (int64_t b = 0; b < x->batch; b++)
        for (int64_t i = 0; i < x->steps * x->width; i++) {
            int nan;
            int64_t id = id_at(x->data + b * x->batch_stride * item, i, x->dtype, &nan);
            if (nan)
                return rnnrt_fail(run->err, RNNRT_EIDNAN, op->index, 0, b * x->steps * x->width + i);
            if (op->attr[E_STRICT] && (id < 0 || id >= op->attr[E_TOKENS]))
                return rnnrt_fail(run->err, RNNRT_EID, op->index, id, b * x->steps * x->width + i);
        }
    return RNNRT_OK;
}

static int32_t encode_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    int64_t item = rnnrt_dtype_size(x->dtype), tokens = op->attr[E_TOKENS];
    int64_t rows = y->steps * y->width / tokens, sample = rows ? x->steps * x->width / rows : 0;
    int32_t rc = encode_precheck(run, op);
    if (rc)
        return rc;
    for (int64_t b = 0; b < x->batch; b++) {
        float *dst = (float *)y->data + b * y->batch_stride;
        memset(dst, 0, (size_t)(rows * tokens) * 4);
        for (int64_t i = 0; i < rows * sample; i++) {
            int nan;
            int64_t id = id_at(x->data + b * x->batch_stride * item, i, x->dtype, &nan);
            if (id < 0 || id >= tokens)
                continue;
            float *at = dst + i / sample * tokens + id;
            *at = op->attr[E_MODE] == MODE_ENCODE_COUNT ? *at + 1.0f : 1.0f;
        }
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_category_encoding = {"category_encoding", encode_check, NULL, NULL, encode_size,
                                                   encode_precheck, encode_run, 1};
