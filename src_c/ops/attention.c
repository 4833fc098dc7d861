/* Attention: scores of each query against each key, softmax, the values' weighted sum. A matrix product of two tensors
 * packs its second factor into scratch, so that it goes through the dense kernel like any other.
 *
 * attention: in = query (batch, T, H * D), value (batch, S, H * E), key (batch, S, H * D), then those of the masks that
 *   the flags name: of values (batch, S), of queries (batch, T), of pairs (batch, T, S), all bool;
 *   out = y (batch, T, H * E) [, scores (batch, [H,] T, S)]; weight = scale or -1 (1 or D values), concat weight or -1;
 *   attr = heads, score (0 dot, 1 concat, 2 additive), masked (0 subtract 1e9, 1 select, 2 select and zero), flags;
 *   real = factor on dot scores. */
#include <string.h>

#include "axis_run.h"

enum { A_HEADS, A_SCORE, A_MASKED, A_FLAGS, A_COUNT };
enum { SCORE_DOT, SCORE_CONCAT, SCORE_ADDITIVE };
enum { MASKED_SUBTRACT, MASKED_SELECT, MASKED_ZERO };
enum { CAUSAL = 1, VALUE_MASK = 2, QUERY_MASK = 4, PAIR_MASK = 8, QUERY_ZEROES = 16 };

static int bits(int64_t flags) { return !!(flags & VALUE_MASK) + !!(flags & QUERY_MASK) + !!(flags & PAIR_MASK); }

/* Which input a mask is, or -1. */
static int mask_at(const rnnrt_op *op, int64_t flag)
{
    return op->attr[A_FLAGS] & flag ? 3 + bits(op->attr[A_FLAGS] & (flag - 1) & (VALUE_MASK | QUERY_MASK | PAIR_MASK)) : -1;
}

static int32_t check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_attr != A_COUNT || d->n_real != 1 || d->n_weight != 2 || d->mask >= 0 || !rnnrt_sees_all(p, op)
        || op->attr[A_HEADS] < 1 || op->attr[A_SCORE] < SCORE_DOT || op->attr[A_SCORE] > SCORE_ADDITIVE
        || op->attr[A_MASKED] < MASKED_SUBTRACT || op->attr[A_MASKED] > MASKED_ZERO || op->attr[A_FLAGS] < 0
        || op->attr[A_FLAGS] > 31 || d->n_in != 3 + bits(op->attr[A_FLAGS]) || (d->n_out != 1 && d->n_out != 2))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    for (int64_t i = 0; i < 3 + d->n_out; i++) {
        int64_t t = i < 3 ? op->in[i] : op->out[i - 3];
        if (!rnnrt_is_float(p, t) || (i < 4 && p->tensors[t].rank != 3) || (i == 4 && p->tensors[t].rank < 3))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, i);
    }
    int64_t heads = op->attr[A_HEADS];
    int64_t q = rnnrt_known(p, &p->tensors[op->in[0]], 2), e = rnnrt_known(p, &p->tensors[op->in[1]], 2);
    if (q < 1 || e < 1 || q % heads || e % heads || q > 1 << 24 || e > 1 << 24
        || rnnrt_known(p, &p->tensors[op->in[2]], 2) != q || rnnrt_known(p, &p->tensors[op->out[0]], 2) != e)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, q);
    for (int64_t i = 3; i < d->n_in; i++)
        if (p->tensors[op->in[i]].dtype != RNNRT_BOOL
            || p->tensors[op->in[i]].rank != (i == mask_at(op, PAIR_MASK) ? 3 : 2))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, i);
    int64_t n = op->attr[A_SCORE] == SCORE_ADDITIVE ? q : 1;
    if ((op->weight[0] >= 0 && !rnnrt_weight_holds(p, op->weight[0], n))
        || (op->attr[A_SCORE] == SCORE_CONCAT) != (op->weight[1] >= 0)
        || (op->weight[1] >= 0 && !rnnrt_weight_holds(p, op->weight[1], 1)) || (op->attr[A_SCORE] != SCORE_DOT && heads != 1))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 5, 0);
    return RNNRT_OK;
}

/* scale (D values where additive, ones where there is none) | concat weight */
static int64_t scale_count(const rnnrt_plan *p, const rnnrt_op *op)
{
    return op->attr[A_SCORE] == SCORE_ADDITIVE ? rnnrt_known(p, &p->tensors[op->in[0]], 2) : 1;
}

static int64_t prepared_bytes(const rnnrt_plan_view *v, const rnnrt_op *op) { return (scale_count(v->plan, op) + 1) * 4; }

static void prepare(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    float *out = prepared;
    int64_t n = scale_count(v->plan, op);
    for (int64_t i = 0; i < n; i++)
        out[i] = op->weight[0] >= 0 ? ((const float *)v->plan->weight_data[op->weight[0]])[i] : 1.0f;
    out[n] = op->weight[1] >= 0 ? *(const float *)v->plan->weight_data[op->weight[1]] : 1.0f;
}

static rnnrt_dense product(int64_t inputs, int64_t outputs, const void *packed)
{
    rnnrt_dense d = {0};
    d.dtype = RNNRT_F32;
    d.inputs = inputs;
    d.outputs = outputs;
    d.activation.kind = RNNRT_ACT_LINEAR;
    d.packed = packed;
    return d;
}

/* Scratch: the factor in rows | packed | scores (T, S) | a line for softmax */
typedef struct layout {
    int64_t factor, packed, scores, line, total;
} layout;

static layout layout_of(const rnnrt_kernels *k, int64_t t, int64_t s, int64_t d, int64_t e)
{
    layout l;
    rnnrt_dense by_key = product(d, s, NULL), by_value = product(s, e, NULL);
    int64_t a = k->dense_packed_bytes(&by_key), b = k->dense_packed_bytes(&by_value);
    l.factor = 0;
    l.packed = rnnrt_round64((d > e ? d : e) * s * 4);
    l.scores = l.packed + rnnrt_round64(a > b ? a : b);
    l.line = l.scores + rnnrt_round64(t * s * 4);
    l.total = l.line + rnnrt_round64(s * 4);
    return l;
}

static int32_t size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan *p = s->plan;
    int64_t heads = op->attr[A_HEADS], shape[4][3];
    for (int i = 0; i < 4; i++)
        for (int a = 0; a < 3; a++)
            shape[i][a] = s->dims[p->tensors[i < 3 ? op->in[i] : op->out[0]].dims[a]];
    int64_t batch = shape[0][0], t = shape[0][1], n = shape[1][1];
    if (t < 1 || n < 1 || t > 1 << 24 || n > 1 << 24 || shape[2][1] != n || shape[3][1] != t || shape[1][0] != batch
        || shape[2][0] != batch || shape[3][0] != batch)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, shape[2][1], n);
    for (int64_t i = 3; i < op->desc->n_in; i++) {
        const rnnrt_plan_tensor *m = &p->tensors[op->in[i]];
        int pairs = i == mask_at(op, PAIR_MASK), of_queries = i == mask_at(op, QUERY_MASK);
        int64_t last = s->dims[m->dims[m->rank - 1]], want = of_queries ? t : n;
        if (s->dims[m->dims[0]] != batch || last != want || (pairs && s->dims[m->dims[1]] != t))
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, last, want);
    }
    if (op->desc->n_out == 2 && rnnrt_elements(s, op->out[1]) != batch * heads * t * n)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, rnnrt_elements(s, op->out[1]), batch * heads * t * n);
    if (op->desc->n_out == 2 && s->dims[p->tensors[op->out[1]].dims[0]] != batch)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[p->tensors[op->out[1]].dims[0]], batch);
    *scratch = layout_of(s->kernels, t, n, shape[0][2] / heads, shape[1][2] / heads).total;
    *cost = batch * t * n * (shape[0][2] + shape[1][2]) / 16 + 40;
    return RNNRT_OK;
}

/* One head of one batch row. */
typedef struct head {
    const rnnrt_kernels *k;
    int64_t t, s, d, e, heads;
    const float *query, *value, *key;
    const char *value_mask, *query_mask, *pair_mask;
    float *scores, *y;
    char *scratch;
    layout l;
} head;

static void dot_scores(const head *h, float factor)
{
    float *rows = (float *)(h->scratch + h->l.factor);
    for (int64_t s = 0; s < h->s; s++)
        for (int64_t i = 0; i < h->d; i++)
            rows[i * h->s + s] = h->key[s * h->d * h->heads + i];
    rnnrt_dense by_key = product(h->d, h->s, h->scratch + h->l.packed);
    h->k->dense_pack(&by_key, rows, NULL, NULL, h->scratch + h->l.packed);
    h->k->dense(&by_key, h->t, h->query, h->d * h->heads, h->scores, h->s);
    if (factor != 1.0f)
        for (int64_t i = 0; i < h->t * h->s; i++)
            h->scores[i] *= factor;
}

/* sum over d of scale * tanh(q + k), or weight * sum of tanh(scale * (q + k)) */
static void tanh_scores(const head *h, int additive, const float *scale, float weight)
{
    float *rows = (float *)(h->scratch + h->l.factor);
    rnnrt_activation tanh = {RNNRT_ACT_TANH, {0, 0, 0}};
    for (int64_t t = 0; t < h->t; t++) {
        for (int64_t s = 0; s < h->s; s++)
            for (int64_t i = 0; i < h->d; i++) {
                float sum = h->query[t * h->d + i] + h->key[s * h->d + i];
                rows[s * h->d + i] = additive ? sum : scale[0] * sum;
            }
        h->k->activate(&tanh, h->s * h->d, rows, rows);
        for (int64_t s = 0; s < h->s; s++) {
            float *line = rows + s * h->d;
            if (additive)
                for (int64_t i = 0; i < h->d; i++)
                    line[i] *= scale[i];
            h->scores[t * h->s + s] = weight * rnnrt_lanes_sum(line, h->d);
        }
    }
}

static int counts(const head *h, int64_t flags, int64_t t, int64_t s)
{
    return (!(flags & CAUSAL) || s <= t) && (!h->value_mask || h->value_mask[s])
        && (!h->query_mask || (flags & QUERY_ZEROES) || h->query_mask[t]) && (!h->pair_mask || h->pair_mask[t * h->s + s]);
}

static void normalise(const head *h, int64_t flags, int64_t masked)
{
    rnnrt_activation softmax = {RNNRT_ACT_SOFTMAX, {0, 0, 0}};
    int any = (flags & CAUSAL) || h->value_mask || h->pair_mask || (h->query_mask && !(flags & QUERY_ZEROES));
    for (int64_t t = 0; any && t < h->t; t++)
        for (int64_t s = 0; s < h->s; s++)
            if (!counts(h, flags, t, s)) {
                float *at = h->scores + t * h->s + s;
                *at = masked == MASKED_SUBTRACT ? *at - 1e9f : -1e9f;
            }
    h->k->activate_rows(&softmax, h->t, h->s, h->scores, h->s, h->scores, h->s, (float *)(h->scratch + h->l.line));
    for (int64_t t = 0; any && masked == MASKED_ZERO && t < h->t; t++)
        for (int64_t s = 0; s < h->s; s++)
            if (!counts(h, flags, t, s))
                h->scores[t * h->s + s] = 0;
}

static void weigh(const head *h, int64_t flags)
{
    const float *rows = h->value;
    if (h->heads > 1) {
        float *own = (float *)(h->scratch + h->l.factor);
        for (int64_t s = 0; s < h->s; s++)
            memcpy(own + s * h->e, h->value + s * h->e * h->heads, (size_t)h->e * 4);
        rows = own;
    }
    rnnrt_dense by_value = product(h->s, h->e, h->scratch + h->l.packed);
    h->k->dense_pack(&by_value, rows, NULL, NULL, h->scratch + h->l.packed);
    h->k->dense(&by_value, h->t, h->scores, h->s, h->y, h->e * h->heads);
    if (h->query_mask && (flags & QUERY_ZEROES))
        for (int64_t t = 0; t < h->t; t++)
            if (!h->query_mask[t])
                memset(h->y + t * h->e * h->heads, 0, (size_t)h->e * 4);
}

static const char *mask_row(const rnnrt_run *run, const rnnrt_op *op, int64_t flag, int64_t b)
{
    int i = mask_at(op, flag);
    if (i < 0)
        return NULL;
    const rnnrt_view *v = rnnrt_in(run, op, i);
    return v->data + b * v->batch_stride;
}

static int32_t run(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *q = rnnrt_in(run, op, 0), *v = rnnrt_in(run, op, 1), *k = rnnrt_in(run, op, 2), *y = rnnrt_out(run, op, 0);
    const rnnrt_view *shown = op->desc->n_out == 2 ? rnnrt_out(run, op, 1) : NULL;
    int64_t heads = op->attr[A_HEADS], width = rnnrt_known(run->plan, &run->plan->tensors[op->in[0]], 2);
    int64_t wide = rnnrt_known(run->plan, &run->plan->tensors[op->in[1]], 2), flags = op->attr[A_FLAGS];
    head h = {.k = run->kernels, .t = q->steps * q->width / width, .s = v->steps * v->width / wide, .d = width / heads,
              .e = wide / heads, .heads = heads, .scratch = run->scratch};
    h.l = layout_of(run->kernels, h.t, h.s, h.d, h.e);
    const float *scale = op->prepared;
    float weight = scale[scale_count(run->plan, op)];
    for (int64_t b = 0; b < q->batch; b++) {
        h.value_mask = mask_row(run, op, VALUE_MASK, b);
        h.query_mask = mask_row(run, op, QUERY_MASK, b);
        h.pair_mask = mask_row(run, op, PAIR_MASK, b);
        for (int64_t i = 0; i < heads; i++) {
            h.query = (const float *)q->data + b * q->batch_stride + i * h.d;
            h.key = (const float *)k->data + b * k->batch_stride + i * h.d;
            h.value = (const float *)v->data + b * v->batch_stride + i * h.e;
            h.y = (float *)y->data + b * y->batch_stride + i * h.e;
            h.scores = shown ? (float *)shown->data + b * shown->batch_stride + i * h.t * h.s
                             : (float *)(run->scratch + h.l.scores);
            if (op->attr[A_SCORE] == SCORE_DOT)
                dot_scores(&h, (float)op->real[0] * scale[0]);
            else
                tanh_scores(&h, op->attr[A_SCORE] == SCORE_ADDITIVE, scale, weight);
            normalise(&h, flags, op->attr[A_MASKED]);
            weigh(&h, flags);
        }
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_attention = {"attention", check, prepared_bytes, prepare, size, NULL, run, 0};
