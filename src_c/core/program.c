/* Checks a plan once, copies it, packs its weights. After this nothing is checked again. */
#include "program.h"

#include <string.h>

#include "kernel_table.h"

const rnnrt_op_class *const rnnrt_host_classes[] = {
#define RNNRT_OP(id, name, cls) &cls,
#include "../ops/ops.def"
#undef RNNRT_OP
};

const char *rnnrt_op_name(int kind) { return kind >= 0 && kind < RNNRT_OP_COUNT ? rnnrt_host_classes[kind]->name : NULL; }

static int span_ok(int64_t start, int64_t n, int64_t limit) { return n >= 0 && start >= 0 && n <= limit && start <= limit - n; }

static int32_t check_dims(const rnnrt_plan *p, rnnrt_error *err)
{
    const int64_t big = (int64_t)1 << 48;
    for (int64_t i = 0; i < p->n_dims; i++) {
        const rnnrt_plan_dim *d = &p->dims[i];
        int ok = 0;
        switch (d->kind) {
        case RNNRT_DIM_CONST: ok = d->m >= 0 && d->m < big; break;
        case RNNRT_DIM_SYMBOL: ok = d->a >= 0 && d->a < p->n_symbols; break;
        case RNNRT_DIM_AFFINE:
            ok = d->a >= 0 && d->a < i && d->d >= 1 && d->d < big && d->m > -big && d->m < big && d->c > -big && d->c < big;
            break;
        case RNNRT_DIM_MUL: case RNNRT_DIM_ADD: ok = d->a >= 0 && d->a < i && d->b >= 0 && d->b < i; break;
        }
        if (!ok)
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 10, i);
    }
    return RNNRT_OK;
}

static int32_t check_tensors(const rnnrt_plan *p, rnnrt_error *err)
{
    for (int64_t i = 0; i < p->n_tensors; i++) {
        const rnnrt_plan_tensor *t = &p->tensors[i];
        int ok = t->dtype >= 0 && t->dtype <= RNNRT_BOOL && t->rank >= 1 && t->rank <= RNNRT_MAX_RANK && t->alias >= -1
              && t->alias < i && t->role >= 0 && t->role <= RNNRT_TENSOR_OUTPUT && (t->timed == 0 || t->timed == 1)
              && (t->storage == RNNRT_STORE_WHOLE || t->storage == RNNRT_STORE_TILE) && (!t->timed || t->rank >= 2)
              && (t->storage == RNNRT_STORE_WHOLE || t->timed);
        for (int64_t k = 0; ok && k < t->rank; k++)
            ok = t->dims[k] >= 0 && t->dims[k] < p->n_dims;
        if (ok && t->alias >= 0) {
            const rnnrt_plan_tensor *a = &p->tensors[t->alias];
            ok = a->dtype == t->dtype && a->storage == t->storage
              && (a->timed == t->timed || t->storage == RNNRT_STORE_WHOLE) && t->role != RNNRT_TENSOR_INPUT;
        }
        if (ok && t->role == RNNRT_TENSOR_INPUT)
            ok = t->io >= 0 && t->io < p->n_inputs && p->inputs[t->io].tensor == i && t->storage == RNNRT_STORE_WHOLE;
        if (ok && t->role == RNNRT_TENSOR_OUTPUT)
            ok = t->io >= 0 && t->io < p->n_outputs && p->outputs[t->io] == i && t->storage == RNNRT_STORE_WHOLE;
        if (!ok)
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 11, i);
    }
    for (int64_t i = 0; i < p->n_inputs; i++) {
        int64_t t = p->inputs[i].tensor;
        if (t < 0 || t >= p->n_tensors || p->tensors[t].role != RNNRT_TENSOR_INPUT || p->tensors[t].io != i
            || !(p->inputs[i].dtypes >> p->tensors[t].dtype & 1))
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 12, i);
    }
    for (int64_t i = 0; i < p->n_outputs; i++) {
        int64_t t = p->outputs[i];
        if (t < 0 || t >= p->n_tensors || p->tensors[t].role != RNNRT_TENSOR_OUTPUT || p->tensors[t].io != i)
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 13, i);
    }
    return RNNRT_OK;
}

static int32_t check_regions(const rnnrt_plan *p, rnnrt_error *err)
{
    int64_t next = 0;
    for (int64_t i = 0; i < p->n_regions; i++) {
        const rnnrt_plan_region *r = &p->regions[i];
        if (r->first_op != next || r->n_ops < 1 || r->n_ops > p->n_ops - next || r->time_dim < -1 || r->time_dim >= p->n_dims)
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 14, i);
        next += r->n_ops;
    }
    return next == p->n_ops ? RNNRT_OK : rnnrt_fail(err, RNNRT_EINVAL, -1, 14, p->n_regions);
}

static int64_t root_of(const rnnrt_plan *p, int64_t t)
{
    while (p->tensors[t].alias >= 0)
        t = p->tensors[t].alias;
    return t;
}

/* A tensor as op `i` may use it: tile storage stays inside its region and walks that region's time. */
static int usable(const rnnrt_plan *p, const rnnrt_plan_op *o, int64_t t)
{
    const rnnrt_plan_tensor *x = &p->tensors[t];
    const rnnrt_plan_region *r = &p->regions[o->region];
    if (x->storage == RNNRT_STORE_TILE && r->time_dim < 0)
        return 0;
    return !(x->timed && r->time_dim >= 0 && x->dims[1] != r->time_dim);
}

static int32_t check_op_refs(const rnnrt_plan *p, int64_t i, int64_t *made_by, rnnrt_error *err)
{
    const rnnrt_plan_op *o = &p->ops[i];
    int32_t op = (int32_t)i;
    if (o->kind < 0 || o->kind >= RNNRT_OP_COUNT || o->region < 0 || o->region >= p->n_regions
        || i < p->regions[o->region].first_op || i >= p->regions[o->region].first_op + p->regions[o->region].n_ops)
        return rnnrt_fail(err, RNNRT_EINVAL, op, 20, o->kind);
    const int64_t spans[][2] = {{o->in, o->n_in}, {o->out, o->n_out}, {o->weight, o->n_weight}, {o->state, o->n_state},
                                {o->init, o->n_init}, {o->attr, o->n_attr}};
    for (int k = 0; k < 6; k++)
        if (!span_ok(spans[k][0], spans[k][1], p->n_refs))
            return rnnrt_fail(err, RNNRT_EINVAL, op, 21, k);
    if (!span_ok(o->real, o->n_real, p->n_reals) || o->mask < -1 || o->mask >= p->n_tensors)
        return rnnrt_fail(err, RNNRT_EINVAL, op, 22, 0);
    for (int64_t k = 0; k < o->n_in + o->n_init + (o->mask >= 0); k++) {
        int64_t t = k < o->n_in ? p->refs[o->in + k] : k < o->n_in + o->n_init ? p->refs[o->init + k - o->n_in] : o->mask;
        if (t < 0 || t >= p->n_tensors || !usable(p, o, t))
            return rnnrt_fail(err, RNNRT_EINVAL, op, 23, t);
        int64_t root = root_of(p, t);
        if (p->tensors[root].role != RNNRT_TENSOR_INPUT && made_by[root] < 0)
            return rnnrt_fail(err, RNNRT_EINVAL, op, 24, t);
        if (p->tensors[t].storage == RNNRT_STORE_TILE && p->ops[made_by[root]].region != o->region)
            return rnnrt_fail(err, RNNRT_EINVAL, op, 25, t);
    }
    for (int64_t k = 0; k < o->n_out; k++) {
        int64_t t = p->refs[o->out + k];
        if (t < 0 || t >= p->n_tensors || !usable(p, o, t) || p->tensors[t].alias >= 0
            || p->tensors[t].role == RNNRT_TENSOR_INPUT || made_by[t] >= 0)
            return rnnrt_fail(err, RNNRT_EINVAL, op, 26, t);
    }
    for (int64_t k = 0; k < o->n_out; k++)
        made_by[p->refs[o->out + k]] = i;
    for (int64_t k = 0; k < o->n_weight; k++)
        if (p->refs[o->weight + k] < -1 || p->refs[o->weight + k] >= p->n_weights)
            return rnnrt_fail(err, RNNRT_EINVAL, op, 27, k);
    for (int64_t k = 0; k < o->n_state; k++)
        if (p->refs[o->state + k] < 0 || p->refs[o->state + k] >= p->n_states)
            return rnnrt_fail(err, RNNRT_EINVAL, op, 28, k);
    /* a state row is a stream: what keeps state has the call's own batch */
    if (o->n_state) {
        const rnnrt_plan_dim *rows = o->n_in ? &p->dims[p->tensors[p->refs[o->in]].dims[0]] : NULL;
        if (!rows || rows->kind != RNNRT_DIM_SYMBOL || rows->a != 0)
            return rnnrt_fail(err, RNNRT_EINVAL, op, 29, 0);
    }
    return RNNRT_OK;
}

static int32_t check_states(const rnnrt_plan *p, rnnrt_error *err)
{
    if (p->row_bytes < 0 || p->row_bytes % 64 || p->row_bytes > (int64_t)1 << 40)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, 15, p->row_bytes);
    int64_t end = 0;
    for (int64_t i = 0; i < p->n_states; i++) {
        const rnnrt_plan_state *s = &p->states[i];
        if (s->offset < end || s->offset % 4 || !span_ok(s->offset, s->bytes, p->row_bytes))
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 16, i);
        end = s->offset + s->bytes;
    }
    /* a row is its slots: no more memory than they need */
    return p->row_bytes == rnnrt_round64(end) ? RNNRT_OK : rnnrt_fail(err, RNNRT_EINVAL, -1, 15, p->row_bytes);
}

void rnnrt_ops_fill(const rnnrt_plan *p, const rnnrt_op_class *const *classes, rnnrt_op *ops)
{
    for (int64_t i = 0; i < p->n_ops; i++) {
        const rnnrt_plan_op *d = &p->ops[i];
        ops[i] = (rnnrt_op){.desc = d, .cls = classes[d->kind], .index = (int32_t)i, .in = p->refs + d->in,
                            .out = p->refs + d->out, .weight = p->refs + d->weight, .state = p->refs + d->state,
                            .init = p->refs + d->init, .attr = p->refs + d->attr, .real = p->reals + d->real};
    }
}

int32_t rnnrt_program_check(const rnnrt_plan *p, const rnnrt_target *target, rnnrt_op *ops, rnnrt_error *err)
{
    int32_t rc;
    if (p->struct_size < sizeof(rnnrt_plan) || p->n_symbols < 1 || p->n_ops < 0 || p->n_tensors < 1 || p->n_outputs < 1
        || p->n_ops > (int64_t)1 << 30)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, 1, 0);
    if ((rc = check_dims(p, err)) || (rc = check_tensors(p, err)) || (rc = check_regions(p, err)) || (rc = check_states(p, err)))
        return rc;
    int64_t *made_by = rnnrt_alloc((size_t)p->n_tensors * 8);
    if (!made_by)
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, p->n_tensors * 8, 0);
    memset(made_by, 0xff, (size_t)p->n_tensors * 8);
    for (int64_t i = 0; !rc && i < p->n_ops; i++)
        rc = check_op_refs(p, i, made_by, err);
    /* each output, and each root of an alias, is made by someone */
    for (int64_t i = 0; !rc && i < p->n_outputs; i++)
        if (made_by[root_of(p, p->outputs[i])] < 0)
            rc = rnnrt_fail(err, RNNRT_EINVAL, -1, 17, i);
    rnnrt_free(made_by);
    if (rc)
        return rc;
    rnnrt_ops_fill(p, target->classes, ops);
    rnnrt_plan_view view = {p, target->kernels};
    for (int64_t i = 0; i < p->n_ops; i++)
        if ((rc = ops[i].cls->check(&view, &ops[i], err)))
            return rc;
    return RNNRT_OK;
}

/* One block for all arrays of the plan. */
static int32_t copy_plan(rnnrt_model *m, const rnnrt_plan *p, rnnrt_error *err)
{
    const void *src[] = {p->dims, p->tensors, p->ops, p->refs, p->reals, p->weights, p->states, p->regions, p->inputs, p->outputs};
    const int64_t bytes[] = {p->n_dims * (int64_t)sizeof *p->dims, p->n_tensors * (int64_t)sizeof *p->tensors,
                             p->n_ops * (int64_t)sizeof *p->ops, p->n_refs * 8, p->n_reals * 8,
                             p->n_weights * (int64_t)sizeof *p->weights, p->n_states * (int64_t)sizeof *p->states,
                             p->n_regions * (int64_t)sizeof *p->regions, p->n_inputs * (int64_t)sizeof *p->inputs,
                             p->n_outputs * 8};
    int64_t total = 0;
    for (int i = 0; i < 10; i++)
        total += rnnrt_round64(bytes[i]);
    char *at = m->plan_memory = rnnrt_alloc((size_t)total);
    if (!at)
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, total, 0);
    char *dst[10];
    for (int i = 0; i < 10; i++) {
        if (bytes[i])
            memcpy(at, src[i], (size_t)bytes[i]);
        dst[i] = at;
        at += rnnrt_round64(bytes[i]);
    }
    m->plan = *p;
    m->plan.dims = (void *)dst[0];
    m->plan.tensors = (void *)dst[1];
    m->plan.ops = (void *)dst[2];
    m->plan.refs = (void *)dst[3];
    m->plan.reals = (void *)dst[4];
    m->plan.weights = (void *)dst[5];
    m->plan.states = (void *)dst[6];
    m->plan.regions = (void *)dst[7];
    m->plan.inputs = (void *)dst[8];
    m->plan.outputs = (void *)dst[9];
    return RNNRT_OK;
}

static int32_t prepare_ops(rnnrt_model *m, rnnrt_error *err)
{
    rnnrt_plan_view view = {&m->plan, m->kernels};
    int64_t total = 0;
    for (int64_t i = 0; i < m->plan.n_ops; i++)
        if (m->ops[i].cls->prepared_bytes)
            total += rnnrt_round64(m->ops[i].cls->prepared_bytes(&view, &m->ops[i]));
    m->prepared_bytes = total;
    m->prepared = rnnrt_alloc((size_t)total);
    if (!m->prepared)
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, total, 0);
    char *at = m->prepared;
    for (int64_t i = 0; i < m->plan.n_ops; i++) {
        rnnrt_op *op = &m->ops[i];
        if (!op->cls->prepared_bytes)
            continue;
        int64_t bytes = op->cls->prepared_bytes(&view, op);
        op->prepared = at;
        op->cls->prepare(&view, op, at);
        at += rnnrt_round64(bytes);
    }
    return RNNRT_OK;
}

/* A shared layer is packed once for each call of it; acceptable, since shared recurrent layers are rare. */
static void analyse(rnnrt_model *m)
{
    const rnnrt_plan *p = &m->plan;
    for (int64_t t = 0; t < p->n_tensors; t++) {
        m->root[t] = root_of(p, t);
        m->last_use[t] = -1;
        m->maker[t] = -1;
    }
    for (int64_t i = 0; i < p->n_ops; i++) {
        const rnnrt_plan_op *o = &p->ops[i];
        /* inside a tiled region everything lives until the region's end */
        const rnnrt_plan_region *r = &p->regions[o->region];
        int64_t until = r->time_dim >= 0 ? r->first_op + r->n_ops - 1 : i;
        for (int64_t k = 0; k < o->n_in; k++)
            m->last_use[m->root[p->refs[o->in + k]]] = until;
        for (int64_t k = 0; k < o->n_init; k++)
            m->last_use[m->root[p->refs[o->init + k]]] = until;
        for (int64_t k = 0; k < o->n_out; k++) {
            m->last_use[p->refs[o->out + k]] = until;
            m->maker[p->refs[o->out + k]] = i;
        }
        if (o->mask >= 0)
            m->last_use[m->root[o->mask]] = until;
        int early = m->ops[i].cls->precheck && p->tensors[m->root[p->refs[o->in]]].role == RNNRT_TENSOR_INPUT;
        if (early)
            m->prechecked[m->n_prechecked++] = i;
        else if (m->ops[i].cls->fallible)
            m->fallible = 1;
    }
    for (int64_t t = 0; t < p->n_tensors; t++) {
        m->maker[t] = m->maker[m->root[t]];
        if (p->tensors[m->root[t]].role != RNNRT_TENSOR_TEMP)
            m->lent[m->n_lent++] = t;
    }
}

int32_t rnnrt_program_make(const rnnrt_plan *plan, const rnnrt_target *target, rnnrt_model **out, rnnrt_error *err)
{
    rnnrt_model *m = rnnrt_alloc_zero(sizeof *m);
    int64_t n = plan->n_ops > 0 && plan->n_ops < (int64_t)1 << 30 ? plan->n_ops : 1;
    int64_t nt = plan->n_tensors > 0 && plan->n_tensors < (int64_t)1 << 30 ? plan->n_tensors : 1;
    if (!m)
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, (int64_t)sizeof *m, 0);
    atomic_init(&m->references, 1);
    m->kernels = target->kernels;
    m->heap = target->heap;
    m->threads = 1;
    m->ops = rnnrt_alloc_zero((size_t)n * sizeof *m->ops);
    m->root = rnnrt_alloc((size_t)nt * 8);
    m->last_use = rnnrt_alloc((size_t)nt * 8);
    m->maker = rnnrt_alloc((size_t)nt * 8);
    m->lent = rnnrt_alloc((size_t)nt * 8);
    m->prechecked = rnnrt_alloc((size_t)n * 8);
    int32_t rc = m->ops && m->root && m->last_use && m->maker && m->lent && m->prechecked ? RNNRT_OK : rnnrt_fail(err, RNNRT_ENOMEM, -1, 0, 0);
    if (!rc)
        rc = rnnrt_program_check(plan, target, m->ops, err);
    if (!rc)
        rc = copy_plan(m, plan, err);
    if (!rc) {
        rnnrt_ops_fill(&m->plan, target->classes, m->ops);
        if (target->classes == rnnrt_host_classes)
            rnnrt_ops_link(&m->plan, target->kernels, m->ops);
        rc = prepare_ops(m, err);
    }
    if (rc) {
        rnnrt_program_release(m);
        return rc;
    }
    m->plan.weight_data = NULL;
    analyse(m);
    *out = m;
    return RNNRT_OK;
}

int32_t rnnrt_program_create(const rnnrt_plan *plan, const rnnrt_model_options *opt, rnnrt_model **out, rnnrt_error *err)
{
    const rnnrt_kernels *kernels = rnnrt_kernel_table(opt ? opt->kernels : NULL);
    if (!kernels)
        return rnnrt_fail(err, RNNRT_EUNSUPPORTED, -1, 0, 0);
    const rnnrt_target host = {kernels, rnnrt_host_classes, &rnnrt_host_heap};
    int32_t rc = rnnrt_program_make(plan, &host, out, err);
    if (rc || !opt || opt->threads <= 1)
        return rc;
    rnnrt_team *team = rnnrt_team_create(opt->threads);
    if (!team) {
        rnnrt_program_release(*out);
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, 0, 0);
    }
    (*out)->team = team;
    (*out)->threads = opt->threads < RNNRT_MOST_THREADS ? opt->threads : RNNRT_MOST_THREADS;
    return RNNRT_OK;
}

void rnnrt_program_release(rnnrt_model *m)
{
    if (!m || atomic_fetch_sub(&m->references, 1) != 1)
        return;
    for (rnnrt_workspace *ws = m->free_list; ws;) {
        rnnrt_workspace *next = ws->next;
        rnnrt_workspace_free(ws);
        ws = next;
    }
    rnnrt_team_free(m->team);
    rnnrt_free(m->plan_memory);
    rnnrt_free(m->prepared);
    rnnrt_free(m->ops);
    rnnrt_free(m->root);
    rnnrt_free(m->last_use);
    rnnrt_free(m->maker);
    rnnrt_free(m->lent);
    rnnrt_free(m->prechecked);
    rnnrt_free(m);
}
