/* Normalisation by statistics of the values themselves, over a run of axes or over groups of channels.
 *
 * layer_normalization: in = x; out = y; weight = gamma or -1, beta or -1 (one value for each place of the run);
 *   attr = first axis, last axis, rule; real = epsilon. Rules below.
 * unit_normalization: the same without weights.
 * group_normalization: weight = gamma or -1, beta or -1 (channels); attr = channel axis, groups; real = epsilon. */
#include <math.h>
#include <string.h>

#include "axis_run.h"

enum {
    RULE_LAYER,                  /* (x - mean) / sqrt(variance + epsilon) */
    RULE_VARIANCE,               /* x / sqrt(variance + epsilon): Keras 3's rms_scaling */
    RULE_RMS,                    /* x / sqrt(mean(x^2) + epsilon) */
    RULE_UNIT_K2,                /* x / sqrt(max(sum(x^2), epsilon)) */
    RULE_UNIT_K3,                /* x * min(1 / sqrt(sum(x^2)), 1 / epsilon) */
    RULE_COUNT
};
enum { A_FIRST, A_LAST, A_RULE, A_COUNT };

static int32_t check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || (d->n_weight != 2 && d->n_weight != 0) || d->n_attr != A_COUNT || d->n_real != 1
        || op->attr[A_RULE] < 0 || op->attr[A_RULE] >= RULE_COUNT || d->mask >= 0
        || !rnnrt_axes_ok(p, op, op->attr[A_FIRST], op->attr[A_LAST]))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    for (int i = 0; i < d->n_weight; i++)
        if (op->weight[i] >= 0
            && !rnnrt_weight_holds(p, op->weight[i], rnnrt_axes_known(p, op->in[0], op->attr[A_FIRST], op->attr[A_LAST])))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, i);
    return RNNRT_OK;
}

static int64_t run_known(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return rnnrt_axes_known(v->plan, op->in[0], op->attr[A_FIRST], op->attr[A_LAST]);
}

/* gamma | beta, ones and zeros where the layer has none; nothing where it has neither */
static int has_weights(const rnnrt_op *op) { return op->desc->n_weight && (op->weight[0] >= 0 || op->weight[1] >= 0); }

static int64_t prepared_bytes(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return has_weights(op) ? 2 * rnnrt_round64(run_known(v, op) * 4) : 0;
}

static void fill(const rnnrt_plan_view *v, int64_t weight, int64_t n, float otherwise, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = weight >= 0 ? ((const float *)v->plan->weight_data[weight])[i] : otherwise;
}

static void prepare(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    if (!has_weights(op))
        return;
    int64_t n = run_known(v, op);
    fill(v, op->weight[0], n, 1.0f, prepared);
    fill(v, op->weight[1], n, 0.0f, (float *)((char *)prepared + rnnrt_round64(n * 4)));
}

static int32_t size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    int64_t n = rnnrt_axes_length(s, op, op->attr[A_FIRST], op->attr[A_LAST]);
    if (n < 1)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, n, 1);
    *scratch = rnnrt_round64(n * 4);
    *cost = rnnrt_elements(s, op->in[0]) + 20;
    return RNNRT_OK;
}

/* y = (x - mean) * inv [* gamma + beta]; y may be x */
static void normalize(int64_t rule, float epsilon, int64_t n, const float *x, const float *gamma, const float *beta, float *y)
{
    float mean = 0, inv;
    if (rule == RULE_LAYER || rule == RULE_VARIANCE)
        mean = rnnrt_lanes_sum(x, n) / (float)n;
    float squares = rnnrt_lanes_squares(x, n, mean);
    if (rule == RULE_UNIT_K2) {
        inv = 1.0f / sqrtf(squares > epsilon ? squares : squares != squares ? squares : epsilon);
    } else if (rule == RULE_UNIT_K3) {
        inv = 1.0f / sqrtf(squares);
        float most = 1.0f / epsilon;
        inv = inv > most ? most : inv;
    } else {
        inv = 1.0f / sqrtf(squares / (float)n + epsilon);
    }
    if (rule == RULE_VARIANCE)
        mean = 0;
    if (gamma)
        for (int64_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * inv * gamma[i] + beta[i];
    else
        for (int64_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * inv;
}

static int32_t run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    rnnrt_axes a = rnnrt_axes_of(run, op, op->attr[A_FIRST], op->attr[A_LAST]);
    const float *gamma = has_weights(op) ? op->prepared : NULL;
    const float *beta = gamma ? (const float *)((const char *)op->prepared + rnnrt_round64(a.n * 4)) : NULL;
    float epsilon = (float)op->real[0], *line = (float *)run->scratch;
    for (int64_t b = 0; b < x->batch; b++) {
        const float *src = (const float *)x->data + b * x->batch_stride;
        float *dst = (float *)y->data + b * y->batch_stride;
        for (int64_t o = 0; o < a.outer; o++, src += a.n * a.inner, dst += a.n * a.inner) {
            if (a.inner == 1) {
                normalize(op->attr[A_RULE], epsilon, a.n, src, gamma, beta, dst);
                continue;
            }
            for (int64_t i = 0; i < a.inner; i++) {
                for (int64_t k = 0; k < a.n; k++)
                    line[k] = src[k * a.inner + i];
                normalize(op->attr[A_RULE], epsilon, a.n, line, gamma, beta, line);
                for (int64_t k = 0; k < a.n; k++)
                    dst[k * a.inner + i] = line[k];
            }
        }
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_layer_normalization = {"layer_normalization", check, prepared_bytes, prepare, size, NULL, run, 0};
const rnnrt_op_class rnnrt_op_unit_normalization = {"unit_normalization", check, prepared_bytes, prepare, size, NULL, run, 0};

/* ---- group_normalization ---- */
enum { G_AXIS, G_GROUPS, G_COUNT };

static int32_t group_check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != 2 || d->n_attr != G_COUNT || d->n_real != 1 || d->mask >= 0
        || !rnnrt_sees_all(p, op) || !rnnrt_axes_ok(p, op, op->attr[G_AXIS], op->attr[G_AXIS]))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    int64_t channels = rnnrt_known(p, &p->tensors[op->in[0]], op->attr[G_AXIS]), groups = op->attr[G_GROUPS];
    if (channels < 1 || channels > RNNRT_BIG || groups < 1 || channels % groups)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    for (int i = 0; i < 2; i++)
        if (op->weight[i] >= 0 && !rnnrt_weight_holds(p, op->weight[i], channels))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, i);
    return RNNRT_OK;
}

static int64_t group_channels(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return rnnrt_known(v->plan, &v->plan->tensors[op->in[0]], op->attr[G_AXIS]);
}

static int64_t group_prepared_bytes(const rnnrt_plan_view *v, const rnnrt_op *op) { return 2 * group_channels(v, op) * 4; }

static void group_prepare(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    int64_t n = group_channels(v, op);
    fill(v, op->weight[0], n, 1.0f, prepared);
    fill(v, op->weight[1], n, 0.0f, (float *)prepared + n);
}

static int32_t group_size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    (void)err;
    *scratch = 0;
    *cost = 3 * rnnrt_elements(s, op->in[0]) + 20;
    return RNNRT_OK;
}

/* sum of (x - shift)^power over channels [c0, c0 + n): lanes run over (outer, channel, inner) */
static float group_sum(const float *x, const rnnrt_axes *a, int64_t c0, int64_t n, float shift, int squares)
{
    rnnrt_lanes l = {{0}};
    int64_t k = 0;
    for (int64_t o = 0; o < a->outer; o++) {
        const float *src = x + (o * a->n + c0) * a->inner;
        for (int64_t i = 0; i < n * a->inner; i++, k++) {
            float d = src[i] - shift;
            l.lane[k & 15] += squares ? d * d : d;
        }
    }
    return rnnrt_lanes_tree(&l);
}

static int32_t group_run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    rnnrt_axes a = rnnrt_axes_of(run, op, op->attr[G_AXIS], op->attr[G_AXIS]);
    int64_t n = a.n / op->attr[G_GROUPS];
    const float *gamma = op->prepared, *beta = gamma + a.n;
    float count = (float)(a.outer * n * a.inner), epsilon = (float)op->real[0];
    for (int64_t b = 0; b < x->batch; b++) {
        const float *src = (const float *)x->data + b * x->batch_stride;
        float *dst = (float *)y->data + b * y->batch_stride;
        for (int64_t c0 = 0; c0 < a.n; c0 += n) {
            float mean = group_sum(src, &a, c0, n, 0.0f, 0) / count;
            float inv = 1.0f / sqrtf(group_sum(src, &a, c0, n, mean, 1) / count + epsilon);
            for (int64_t o = 0; o < a.outer; o++)
                for (int64_t c = c0; c < c0 + n; c++)
                    for (int64_t i = 0; i < a.inner; i++) {
                        int64_t at = (o * a.n + c) * a.inner + i;
                        dst[at] = (src[at] - mean) * inv * gamma[c] + beta[c];
                    }
        }
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_group_normalization = {"group_normalization", group_check, group_prepared_bytes,
                                                     group_prepare, group_size, NULL, group_run, 0};
