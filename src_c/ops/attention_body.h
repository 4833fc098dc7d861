/* Attention over REAL. Included twice; see typed.h. */
#include "lanes_body.h"

static int32_t TYPED(check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
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
        if (p->tensors[t].dtype != REAL_DTYPE || (i < 4 && p->tensors[t].rank != 3) || (i == 4 && p->tensors[t].rank < 3))
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
    if ((op->weight[0] >= 0 && !rnnrt_weight_is(p, op->weight[0], REAL_DTYPE, n))
        || (op->attr[A_SCORE] == SCORE_CONCAT) != (op->weight[1] >= 0)
        || (op->weight[1] >= 0 && !rnnrt_weight_is(p, op->weight[1], REAL_DTYPE, 1))
        || (op->attr[A_SCORE] != SCORE_DOT && heads != 1))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 5, 0);
    return RNNRT_OK;
}

static int64_t TYPED(prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    return (scale_count(v->plan, op) + 1) * (int64_t)sizeof(REAL);
}

static void TYPED(prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    REAL *out = prepared;
    int64_t n = scale_count(v->plan, op);
    for (int64_t i = 0; i < n; i++)
        out[i] = op->weight[0] >= 0 ? ((const REAL *)v->plan->weight_data[op->weight[0]])[i] : 1;
    out[n] = op->weight[1] >= 0 ? *(const REAL *)v->plan->weight_data[op->weight[1]] : 1;
}

static T_DENSE TYPED(product)(int64_t inputs, int64_t outputs, const void *packed)
{
    T_DENSE d = {0};
    SET_DTYPE(d, RNNRT_F32);
    d.inputs = inputs;
    d.outputs = outputs;
    d.activation.kind = RNNRT_ACT_LINEAR;
    d.packed = packed;
    return d;
}

static layout TYPED(layout_of)(const rnnrt_kernels *k, int64_t t, int64_t s, int64_t d, int64_t e)
{
    layout l;
    T_DENSE by_key = TYPED(product)(d, s, NULL), by_value = TYPED(product)(s, e, NULL);
    int64_t a = TABLE(k)->dense_packed_bytes(&by_key), b = TABLE(k)->dense_packed_bytes(&by_value);
    l.factor = 0;
    l.packed = rnnrt_round64((d > e ? d : e) * s * (int64_t)sizeof(REAL));
    l.scores = l.packed + rnnrt_round64(a > b ? a : b);
    l.line = l.scores + rnnrt_round64(t * s * (int64_t)sizeof(REAL));
    l.total = l.line + rnnrt_round64(s * (int64_t)sizeof(REAL));
    return l;
}

static int32_t TYPED(size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
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
    *scratch = TYPED(layout_of)(s->kernels, t, n, shape[0][2] / heads, shape[1][2] / heads).total;
    *cost = batch * t * n * (shape[0][2] + shape[1][2]) / 16 + 40;
    return RNNRT_OK;
}

/* One head of one batch row. */
typedef struct {
    const rnnrt_kernels *k;
    int64_t t, s, d, e, heads;
    const REAL *query, *value, *key;
    const char *value_mask, *query_mask, *pair_mask;
    REAL *scores, *y;
    char *scratch;
    layout l;
} TYPED(head);

static void TYPED(dot_scores)(const TYPED(head) *h, REAL factor)
{
    REAL *rows = (REAL *)(h->scratch + h->l.factor);
    for (int64_t s = 0; s < h->s; s++)
        for (int64_t i = 0; i < h->d; i++)
            rows[i * h->s + s] = h->key[s * h->d * h->heads + i];
    T_DENSE by_key = TYPED(product)(h->d, h->s, h->scratch + h->l.packed);
    TABLE(h->k)->dense_pack(&by_key, rows, NULL, NULL, h->scratch + h->l.packed);
    TABLE(h->k)->dense(&by_key, h->t, h->query, h->d * h->heads, h->scores, h->s, 0, RNNRT_ALL_BLOCKS);
    if (factor != 1)
        for (int64_t i = 0; i < h->t * h->s; i++)
            h->scores[i] *= factor;
}

/* sum over d of scale * tanh(q + k), or weight * sum of tanh(scale * (q + k)) */
static void TYPED(tanh_scores)(const TYPED(head) *h, int additive, const REAL *scale, REAL weight)
{
    REAL *rows = (REAL *)(h->scratch + h->l.factor);
    T_ACTIVATION tanh = {RNNRT_ACT_TANH, {0, 0, 0}};
    for (int64_t t = 0; t < h->t; t++) {
        for (int64_t s = 0; s < h->s; s++)
            for (int64_t i = 0; i < h->d; i++) {
                REAL sum = h->query[t * h->d + i] + h->key[s * h->d + i];
                rows[s * h->d + i] = additive ? sum : scale[0] * sum;
            }
        TABLE(h->k)->activate(&tanh, h->s * h->d, rows, rows);
        for (int64_t s = 0; s < h->s; s++) {
            REAL *line = rows + s * h->d;
            if (additive)
                for (int64_t i = 0; i < h->d; i++)
                    line[i] *= scale[i];
            h->scores[t * h->s + s] = weight * TYPED(rnnrt_lanes_sum)(line, h->d);
        }
    }
}

static int TYPED(counts)(const TYPED(head) *h, int64_t flags, int64_t t, int64_t s)
{
    return (!(flags & CAUSAL) || s <= t) && (!h->value_mask || h->value_mask[s])
        && (!h->query_mask || (flags & QUERY_ZEROES) || h->query_mask[t]) && (!h->pair_mask || h->pair_mask[t * h->s + s]);
}

static void TYPED(normalise)(const TYPED(head) *h, int64_t flags, int64_t masked)
{
    T_ACTIVATION softmax = {RNNRT_ACT_SOFTMAX, {0, 0, 0}};
    int any = (flags & CAUSAL) || h->value_mask || h->pair_mask || (h->query_mask && !(flags & QUERY_ZEROES));
    for (int64_t t = 0; any && t < h->t; t++)
        for (int64_t s = 0; s < h->s; s++)
            if (!TYPED(counts)(h, flags, t, s)) {
                REAL *at = h->scores + t * h->s + s;
                *at = masked == MASKED_SUBTRACT ? *at - (REAL)1e9 : -(REAL)1e9;
            }
    TABLE(h->k)->activate_rows(&softmax, h->t, h->s, h->scores, h->s, h->scores, h->s, (REAL *)(h->scratch + h->l.line));
    for (int64_t t = 0; any && masked == MASKED_ZERO && t < h->t; t++)
        for (int64_t s = 0; s < h->s; s++)
            if (!TYPED(counts)(h, flags, t, s))
                h->scores[t * h->s + s] = 0;
}

static void TYPED(weigh)(const TYPED(head) *h, int64_t flags)
{
    const REAL *rows = h->value;
    if (h->heads > 1) {
        REAL *own = (REAL *)(h->scratch + h->l.factor);
        for (int64_t s = 0; s < h->s; s++)
            memcpy(own + s * h->e, h->value + s * h->e * h->heads, (size_t)h->e * sizeof(REAL));
        rows = own;
    }
    T_DENSE by_value = TYPED(product)(h->s, h->e, h->scratch + h->l.packed);
    TABLE(h->k)->dense_pack(&by_value, rows, NULL, NULL, h->scratch + h->l.packed);
    TABLE(h->k)->dense(&by_value, h->t, h->scores, h->s, h->y, h->e * h->heads, 0, RNNRT_ALL_BLOCKS);
    if (h->query_mask && (flags & QUERY_ZEROES))
        for (int64_t t = 0; t < h->t; t++)
            if (!h->query_mask[t])
                memset(h->y + t * h->e * h->heads, 0, (size_t)h->e * sizeof(REAL));
}

static int32_t TYPED(run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_view *q = rnnrt_in(run, op, 0), *v = rnnrt_in(run, op, 1), *k = rnnrt_in(run, op, 2), *y = rnnrt_out(run, op, 0);
    const rnnrt_view *shown = op->desc->n_out == 2 ? rnnrt_out(run, op, 1) : NULL;
    int64_t heads = op->attr[A_HEADS], width = rnnrt_known(run->plan, &run->plan->tensors[op->in[0]], 2);
    int64_t wide = rnnrt_known(run->plan, &run->plan->tensors[op->in[1]], 2), flags = op->attr[A_FLAGS];
    TYPED(head) h = {.k = run->kernels, .t = q->steps * q->width / width, .s = v->steps * v->width / wide,
                     .d = width / heads, .e = wide / heads, .heads = heads, .scratch = run->scratch};
    h.l = TYPED(layout_of)(run->kernels, h.t, h.s, h.d, h.e);
    const REAL *scale = op->prepared;
    REAL weight = scale[scale_count(run->plan, op)];
    for (int64_t b = 0; b < q->batch; b++) {
        h.value_mask = mask_row(run, op, VALUE_MASK, b);
        h.query_mask = mask_row(run, op, QUERY_MASK, b);
        h.pair_mask = mask_row(run, op, PAIR_MASK, b);
        for (int64_t i = 0; i < heads; i++) {
            h.query = (const REAL *)q->data + b * q->batch_stride + i * h.d;
            h.key = (const REAL *)k->data + b * k->batch_stride + i * h.d;
            h.value = (const REAL *)v->data + b * v->batch_stride + i * h.e;
            h.y = (REAL *)y->data + b * y->batch_stride + i * h.e;
            h.scores = shown ? (REAL *)shown->data + b * shown->batch_stride + i * h.t * h.s
                             : (REAL *)(run->scratch + h.l.scores);
            if (op->attr[A_SCORE] == SCORE_DOT)
                TYPED(dot_scores)(&h, (REAL)op->real[0] * scale[0]);
            else
                TYPED(tanh_scores)(&h, op->attr[A_SCORE] == SCORE_ADDITIVE, scale, weight);
            TYPED(normalise)(&h, flags, op->attr[A_MASKED]);
            TYPED(weigh)(&h, flags);
        }
    }
    return RNNRT_OK;
}
