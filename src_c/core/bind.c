/* From symbols to sizes: evaluates the plan's dimensions, chooses tiles, places temporaries in one arena. */
#include <string.h>

#include "program.h"

/* A tile should keep its activations in the second-level cache and give the matrix kernel enough rows. */
const rnnrt_heap rnnrt_host_heap = {rnnrt_alloc, rnnrt_free, 256 * 1024, 48};

rnnrt_workspace *rnnrt_workspace_create(const rnnrt_model *m)
{
    const rnnrt_plan *p = &m->plan;
    rnnrt_workspace *ws = rnnrt_alloc_zero(sizeof *ws);
    if (!ws)
        return NULL;
    ws->heap = m->heap;
    ws->symbols = rnnrt_alloc((size_t)p->n_symbols * 8);
    ws->dims = rnnrt_alloc((size_t)p->n_dims * 8);
    ws->offset = rnnrt_alloc((size_t)p->n_tensors * 8);
    ws->views = rnnrt_alloc_zero((size_t)p->n_tensors * 2 * sizeof *ws->views); /* full, then one tile's */
    ws->region_tile = rnnrt_alloc((size_t)p->n_regions * 8);
    if (!ws->symbols || !ws->dims || !ws->offset || !ws->views || !ws->region_tile) {
        rnnrt_workspace_free(ws);
        return NULL;
    }
    return ws;
}

void rnnrt_workspace_free(rnnrt_workspace *ws)
{
    if (!ws)
        return;
    rnnrt_free(ws->symbols);
    rnnrt_free(ws->dims);
    rnnrt_free(ws->offset);
    rnnrt_free(ws->views);
    rnnrt_free(ws->region_tile);
    ws->heap->release(ws->arena);
    ws->heap->release(ws->rows);
    rnnrt_free(ws);
}

/* No length is larger: sums and roundings of lengths need no check. */
#define LONGEST ((int64_t)1 << 52)

/* The first op with an output that is so long; -1: none. */
static int32_t maker(const rnnrt_plan *p, int64_t dim)
{
    for (int32_t i = 0; i < p->n_ops; i++)
        for (int64_t k = 0; k < p->ops[i].n_out; k++) {
            const rnnrt_plan_tensor *t = &p->tensors[p->refs[p->ops[i].out + k]];
            for (int64_t axis = 0; axis < t->rank; axis++)
                if (t->dims[axis] == dim)
                    return i;
        }
    return -1;
}

static int32_t evaluate(const rnnrt_plan *p, const int64_t *symbols, int64_t *dims, rnnrt_error *err)
{
    for (int64_t i = 0; i < p->n_dims; i++) {
        const rnnrt_plan_dim *d = &p->dims[i];
        int64_t v = 0;
        int bad = 0;
        switch (d->kind) {
        case RNNRT_DIM_CONST: v = d->m; break;
        case RNNRT_DIM_SYMBOL: v = symbols[d->a]; break;
        case RNNRT_DIM_AFFINE:
            bad = __builtin_mul_overflow(dims[d->a], d->m, &v) || __builtin_add_overflow(v, d->c, &v);
            v = v / d->d - (v % d->d < 0); /* rounded down */
            break;
        case RNNRT_DIM_MUL: bad = __builtin_mul_overflow(dims[d->a], dims[d->b], &v); break;
        case RNNRT_DIM_ADD: bad = __builtin_add_overflow(dims[d->a], dims[d->b], &v); break;
        }
        if (bad || v < 0 || v > LONGEST)
            return rnnrt_fail(err, RNNRT_ESHAPE, maker(p, i), v, v < 0 ? 0 : LONGEST);
        dims[i] = v;
    }
    return RNNRT_OK;
}

static int32_t product(int64_t *acc, int64_t v) { return __builtin_mul_overflow(*acc, v, acc); }

/* Elements of one step (or of one batch row where the tensor is not timed). */
static int32_t row_width(const rnnrt_plan_tensor *t, const int64_t *dims, int64_t *width)
{
    *width = 1;
    for (int64_t k = t->timed ? 2 : 1; k < t->rank; k++)
        if (product(width, dims[t->dims[k]]))
            return 1;
    return 0;
}

static void choose_tiles(const rnnrt_model *m, const int64_t *dims, int64_t *region_tile, int64_t *n_tiles)
{
    const rnnrt_plan *p = &m->plan;
    *n_tiles = 1;
    for (int64_t r = 0; r < p->n_regions; r++) {
        const rnnrt_plan_region *g = &p->regions[r];
        region_tile[r] = 1;
        if (g->time_dim < 0)
            continue;
        int64_t steps = dims[g->time_dim], bytes = 1, batch = 1;
        for (int64_t i = g->first_op; i < g->first_op + g->n_ops; i++)
            for (int64_t k = 0; k < p->ops[i].n_out; k++) {
                const rnnrt_plan_tensor *t = &p->tensors[p->refs[p->ops[i].out + k]];
                int64_t width, b = dims[t->dims[0]];
                if (t->timed && b > batch)
                    batch = b;
                if (t->storage == RNNRT_STORE_TILE && !row_width(t, dims, &width) && width < ((int64_t)1 << 40) / (b + 1))
                    bytes += b * width * rnnrt_dtype_size(t->dtype);
            }
        int64_t by_rows = (m->heap->tile_rows + batch - 1) / batch, by_bytes = m->heap->tile_bytes / bytes;
        int64_t tile = by_rows > by_bytes ? by_rows : by_bytes;
        region_tile[r] = tile < steps ? tile : steps < 1 ? 1 : steps;
        int64_t n = (steps + region_tile[r] - 1) / region_tile[r];
        if (n > *n_tiles)
            *n_tiles = n;
    }
}

/* The region in which a tile tensor lives is that of the op that makes it. */
static int64_t tile_of(const rnnrt_model *m, const int64_t *region_tile, int64_t tensor)
{
    return m->maker[tensor] < 0 ? 1 : region_tile[m->plan.ops[m->maker[tensor]].region];
}

static int32_t make_views(const rnnrt_model *m, rnnrt_view *views, const int64_t *dims, const int64_t *region_tile,
                          rnnrt_error *err)
{
    const rnnrt_plan *p = &m->plan;
    for (int64_t i = 0; i < p->n_tensors; i++) {
        const rnnrt_plan_tensor *t = &p->tensors[i];
        rnnrt_view *v = &views[i];
        int64_t all;
        v->dtype = (int32_t)t->dtype;
        v->batch = dims[t->dims[0]];
        v->steps = !t->timed ? 1 : t->storage == RNNRT_STORE_TILE ? tile_of(m, region_tile, i) : dims[t->dims[1]];
        if (row_width(t, dims, &v->width) || __builtin_mul_overflow(v->steps, v->width, &v->batch_stride)
            || __builtin_mul_overflow(v->batch_stride, v->batch, &all) || all > (int64_t)1 << 45)
            return rnnrt_fail(err, RNNRT_ENOMEM, -1, INT64_MAX, 0);
        if (t->alias >= 0) {
            const rnnrt_view *root = &views[t->alias];
            if (v->batch * v->batch_stride != root->batch * root->batch_stride
                || (t->storage == RNNRT_STORE_TILE && (v->batch != root->batch || v->steps != root->steps)))
                return rnnrt_fail(err, RNNRT_ESHAPE, -1, v->batch_stride, root->batch_stride);
        }
    }
    return RNNRT_OK;
}

static int64_t storage_bytes(const rnnrt_view *v) { return rnnrt_round64(v->batch * v->batch_stride * rnnrt_dtype_size(v->dtype)); }

/* First fit by lifetime: tensors that never live together share memory. */
static int64_t place(const rnnrt_model *m, const rnnrt_view *views, int64_t *offset)
{
    const rnnrt_plan *p = &m->plan;
    const int64_t *maker = m->maker;
    int64_t end = 0;
    for (int64_t i = 0; i < p->n_tensors; i++) {
        offset[i] = -1;
        if (m->root[i] != i || p->tensors[i].role != RNNRT_TENSOR_TEMP || maker[i] < 0)
            continue;
        const rnnrt_plan_region *r = &p->regions[p->ops[maker[i]].region];
        int64_t born = r->time_dim >= 0 ? r->first_op : maker[i], size = storage_bytes(&views[i]), at = 0;
        for (int moved = 1; moved;) {
            moved = 0;
            for (int64_t j = 0; j < i; j++) {
                if (offset[j] < 0 || m->last_use[j] < born)
                    continue;
                int64_t other = storage_bytes(&views[j]);
                const rnnrt_plan_region *rj = &p->regions[p->ops[maker[j]].region];
                if ((rj->time_dim >= 0 ? rj->first_op : maker[j]) > m->last_use[i])
                    continue;
                if (at < offset[j] + other && offset[j] < at + size) {
                    at = offset[j] + other;
                    moved = 1;
                }
            }
        }
        offset[i] = at;
        if (at + size > end)
            end = at + size;
    }
    return end;
}

static int32_t sizes_of_ops(const rnnrt_model *m, const int64_t *dims, const int64_t *region_tile, int64_t *scratch,
                            int64_t *cost, rnnrt_error *err)
{
    rnnrt_sizes s = {&m->plan, m->kernels, dims, 1, m->threads};
    *scratch = 0;
    *cost = 0;
    for (int64_t i = 0; i < m->plan.n_ops; i++) {
        const rnnrt_op *op = &m->ops[i];
        const rnnrt_plan_region *r = &m->plan.regions[op->desc->region];
        int64_t bytes = 0, ns = 10;
        s.steps = region_tile[op->desc->region];
        if (r->time_dim < 0 && op->desc->n_in) {
            const rnnrt_plan_tensor *x = &m->plan.tensors[op->in[0]];
            s.steps = x->timed ? dims[x->dims[1]] : 1;
        }
        if (r->time_dim >= 0 && !dims[r->time_dim])
            for (int64_t k = 0; k < op->desc->n_out; k++)
                if (!m->plan.tensors[op->out[k]].timed) /* no tile would make it */
                    return rnnrt_fail(err, RNNRT_ESHAPE, op->index, 0, 1);
        int32_t rc = op->cls->size ? op->cls->size(&s, op, &bytes, &ns, err) : RNNRT_OK;
        if (rc)
            return rc;
        if (bytes > *scratch)
            *scratch = bytes;
        *cost += ns;
    }
    return RNNRT_OK;
}

typedef struct binding {
    int64_t arena, scratch_at, cost, n_tiles;
} binding;

static int32_t bind(const rnnrt_model *m, rnnrt_workspace *ws, const int64_t *symbols, int keep_places, binding *out,
                    rnnrt_error *err)
{
    const rnnrt_plan *p = &m->plan;
    int32_t rc = evaluate(p, symbols, ws->dims, err);
    if (rc)
        return rc;
    for (int64_t i = 0; i < p->n_inputs; i++) {
        const rnnrt_plan_tensor *t = &p->tensors[p->inputs[i].tensor];
        for (int64_t k = 0; k < t->rank; k++)
            if (ws->dims[t->dims[k]] < 1)
                return rnnrt_fail(err, RNNRT_ESHAPE, -1, ws->dims[t->dims[k]], 1);
    }
    choose_tiles(m, ws->dims, ws->region_tile, &out->n_tiles);
    if ((rc = make_views(m, ws->views, ws->dims, ws->region_tile, err)))
        return rc;
    int64_t scratch;
    if ((rc = sizes_of_ops(m, ws->dims, ws->region_tile, &scratch, &out->cost, err)))
        return rc;
    out->scratch_at = keep_places ? ws->scratch_at : place(m, ws->views, ws->offset);
    out->arena = out->scratch_at + rnnrt_round64(scratch) + 64;
    return RNNRT_OK;
}

static int64_t rows_bytes(const rnnrt_model *m, int64_t batch) { return batch * m->plan.row_bytes; }

int32_t rnnrt_workspace_bind(const rnnrt_model *m, rnnrt_workspace *ws, const int64_t *symbols, rnnrt_error *err)
{
    const rnnrt_plan *p = &m->plan;
    if (ws->bound && memcmp(ws->symbols, symbols, (size_t)p->n_symbols * 8) == 0)
        return RNNRT_OK;
    binding b;
    ws->bound = 0;
    int32_t rc = bind(m, ws, symbols, ws->keep_places, &b, err);
    if (rc)
        return rc;
    if (b.arena > ws->arena_bytes) {
        ws->heap->release(ws->arena);
        ws->arena = ws->heap->alloc((size_t)b.arena);
        ws->arena_bytes = ws->arena ? b.arena : 0;
        if (!ws->arena)
            return rnnrt_fail(err, RNNRT_ENOMEM, -1, b.arena, 0);
    }
    int64_t batch = symbols[0], rows = rows_bytes(m, batch);
    if (rows > ws->rows_bytes || !ws->rows) { /* without a state, too: an address to copy nothing from */
        ws->heap->release(ws->rows);
        ws->rows = ws->heap->alloc((size_t)rows);
        ws->rows_bytes = ws->rows ? rows : 0;
        if (!ws->rows)
            return rnnrt_fail(err, RNNRT_ENOMEM, -1, rows, 0);
    }
    for (int64_t i = 0; i < p->n_tensors; i++) {
        int64_t at = ws->offset[m->root[i]];
        ws->views[i].data = at >= 0 ? ws->arena + at : NULL;
    }
    ws->scratch_at = b.scratch_at;
    ws->batch = batch;
    ws->cost = b.cost;
    ws->n_tiles = b.n_tiles;
    memcpy(ws->symbols, symbols, (size_t)p->n_symbols * 8);
    ws->bound = 1;
    return RNNRT_OK;
}

int32_t rnnrt_workspace_measure(const rnnrt_model *m, const int64_t *symbols, int64_t *bytes, int64_t *cost, rnnrt_error *err)
{
    rnnrt_workspace *ws = rnnrt_workspace_create(m);
    if (!ws)
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, 0, 0);
    binding b;
    int32_t rc = bind(m, ws, symbols, 0, &b, err);
    rnnrt_workspace_free(ws);
    if (!rc) {
        *bytes = b.arena + rows_bytes(m, symbols[0]);
        *cost = b.cost;
    }
    return rc;
}
