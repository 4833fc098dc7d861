/* layer_, unit_ and group_normalization over REAL. Included twice; see typed.h. */
#include "lanes_body.h"

static int32_t TYPED(check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || (d->n_weight != 2 && d->n_weight != 0) || d->n_attr != A_COUNT || d->n_real != 1
        || op->attr[A_RULE] < 0 || op->attr[A_RULE] >= RULE_COUNT || d->mask >= 0
        || !rnnrt_axes_ok(p, op, REAL_DTYPE, op->attr[A_FIRST], op->attr[A_LAST]))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    for (int i = 0; i < d->n_weight; i++)
        if (op->weight[i] >= 0
            && !rnnrt_weight_is(p, op->weight[i], REAL_DTYPE,
                                rnnrt_axes_known(p, op->in[0], op->attr[A_FIRST], op->attr[A_LAST])))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, i);
    return RNNRT_OK;
}

static int64_t TYPED(prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return has_weights(op) ? 2 * rnnrt_round64(run_known(v, op) * (int64_t)sizeof(REAL)) : 0;
}

static void TYPED(fill)(const rnnrt_plan_view *v, int64_t weight, int64_t n, REAL otherwise, REAL *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = weight >= 0 ? ((const REAL *)v->plan->weight_data[weight])[i] : otherwise;
}

static void TYPED(prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    if (!has_weights(op))
        return;
    int64_t n = run_known(v, op);
    TYPED(fill)(v, op->weight[0], n, 1, prepared);
    TYPED(fill)(v, op->weight[1], n, 0, (REAL *)((char *)prepared + rnnrt_round64(n * (int64_t)sizeof(REAL))));
}

static int32_t TYPED(size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    int64_t n = rnnrt_axes_length(s, op, op->attr[A_FIRST], op->attr[A_LAST]);
    if (n < 1)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, n, 1);
    *scratch = rnnrt_round64(n * (int64_t)sizeof(REAL));
    *cost = rnnrt_elements(s, op->in[0]) + 20;
    return RNNRT_OK;
}

/* y = (x - mean) * inv [* gamma + beta]; y may be x */
static void TYPED(normalize)(int64_t rule, REAL epsilon, int64_t n, const REAL *x, const REAL *gamma, const REAL *beta, REAL *y)
{
    REAL mean = 0, inv;
    if (rule == RULE_LAYER || rule == RULE_VARIANCE)
        mean = TYPED(rnnrt_lanes_sum)(x, n) / (REAL)n;
    REAL squares = TYPED(rnnrt_lanes_squares)(x, n, mean);
    if (rule == RULE_UNIT_K2) {
        inv = 1 / REAL_SQRT(squares > epsilon ? squares : squares != squares ? squares : epsilon);
    } else if (rule == RULE_UNIT_K3) {
        inv = 1 / REAL_SQRT(squares);
        REAL most = 1 / epsilon;
        inv = inv > most ? most : inv;
    } else {
        inv = 1 / REAL_SQRT(squares / (REAL)n + epsilon);
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

static int32_t TYPED(run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    rnnrt_axes a = rnnrt_axes_of(run, op, op->attr[A_FIRST], op->attr[A_LAST]);
    const REAL *gamma = has_weights(op) ? op->prepared : NULL;
    const REAL *beta = gamma ? (const REAL *)((const char *)op->prepared + rnnrt_round64(a.n * (int64_t)sizeof(REAL))) : NULL;
    REAL epsilon = (REAL)op->real[0], *line = (REAL *)run->scratch;
    for (int64_t b = 0; b < x->batch; b++) {
        const REAL *src = (const REAL *)x->data + b * x->batch_stride;
        REAL *dst = (REAL *)y->data + b * y->batch_stride;
        for (int64_t o = 0; o < a.outer; o++, src += a.n * a.inner, dst += a.n * a.inner) {
            if (a.inner == 1) {
                TYPED(normalize)(op->attr[A_RULE], epsilon, a.n, src, gamma, beta, dst);
                continue;
            }
            for (int64_t i = 0; i < a.inner; i++) {
                for (int64_t k = 0; k < a.n; k++)
                    line[k] = src[k * a.inner + i];
                TYPED(normalize)(op->attr[A_RULE], epsilon, a.n, line, gamma, beta, line);
                for (int64_t k = 0; k < a.n; k++)
                    dst[k * a.inner + i] = line[k];
            }
        }
    }
    return RNNRT_OK;
}

/* ---- group_normalization ---- */
static int32_t TYPED(group_check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 1 || d->n_out != 1 || d->n_weight != 2 || d->n_attr != G_COUNT || d->n_real != 1 || d->mask >= 0
        || !rnnrt_sees_all(p, op) || !rnnrt_axes_ok(p, op, REAL_DTYPE, op->attr[G_AXIS], op->attr[G_AXIS]))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    int64_t channels = rnnrt_known(p, &p->tensors[op->in[0]], op->attr[G_AXIS]), groups = op->attr[G_GROUPS];
    if (channels < 1 || channels > RNNRT_BIG || groups < 1 || channels % groups)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    for (int i = 0; i < 2; i++)
        if (op->weight[i] >= 0 && !rnnrt_weight_is(p, op->weight[i], REAL_DTYPE, channels))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, i);
    return RNNRT_OK;
}

static int64_t TYPED(group_prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return 2 * group_channels(v, op) * (int64_t)sizeof(REAL);
}

static void TYPED(group_prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    int64_t n = group_channels(v, op);
    TYPED(fill)(v, op->weight[0], n, 1, prepared);
    TYPED(fill)(v, op->weight[1], n, 0, (REAL *)prepared + n);
}

/* sum of (x - shift)^power over channels [c0, c0 + n): lanes run over (outer, channel, inner) */
static REAL TYPED(group_sum)(const REAL *x, const rnnrt_axes *a, int64_t c0, int64_t n, REAL shift, int squares)
{
    TYPED(rnnrt_lanes) l = {{0}};
    int64_t k = 0;
    for (int64_t o = 0; o < a->outer; o++) {
        const REAL *src = x + (o * a->n + c0) * a->inner;
        for (int64_t i = 0; i < n * a->inner; i++, k++) {
            REAL d = src[i] - shift;
            l.lane[k & 15] += squares ? d * d : d;
        }
    }
    return TYPED(rnnrt_lanes_tree)(&l);
}

static int32_t TYPED(group_run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(run, op, 0), *y = rnnrt_out(run, op, 0);
    rnnrt_axes a = rnnrt_axes_of(run, op, op->attr[G_AXIS], op->attr[G_AXIS]);
    int64_t n = a.n / op->attr[G_GROUPS];
    const REAL *gamma = op->prepared, *beta = gamma + a.n;
    REAL count = (REAL)(a.outer * n * a.inner), epsilon = (REAL)op->real[0];
    for (int64_t b = 0; b < x->batch; b++) {
        const REAL *src = (const REAL *)x->data + b * x->batch_stride;
        REAL *dst = (REAL *)y->data + b * y->batch_stride;
        for (int64_t c0 = 0; c0 < a.n; c0 += n) {
            REAL mean = TYPED(group_sum)(src, &a, c0, n, 0, 0) / count;
            REAL inv = 1 / REAL_SQRT(TYPED(group_sum)(src, &a, c0, n, mean, 1) / count + epsilon);
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
