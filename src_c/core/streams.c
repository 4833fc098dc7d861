/* Pools: rows of state in chunks that never move, run in any selection.
 *
 * A call gathers its rows into the workspace, runs there, and scatters them back only after success: whatever
 * fails leaves every row as it was, and a call costs the same wherever its rows lie. Running in place where rows
 * happen to lie together was measured and is not worth a second path: of a step of 64 streams, gathering and
 * scattering take 0.7 of 22 us at LSTM(64), 0.7 of 53 us at LSTM(128), 5 of 690 us at LSTM(512). */
#include <string.h>

#include "lock.h"
#include "program.h"

/* A chunk holds as many rows as fit here, a power of two, so that growing touches nothing that is there. */
#define CHUNK_BYTES ((int64_t)1 << 20)
#define CHUNK_ROWS_LOG2 12

/* Workspaces that a pool keeps: one for each thread that calls at once. */
#define KEEP_WORKSPACES 16

/* A table of chunks. A larger one takes its place; the old one lives on, since somebody may be reading it. */
typedef struct table {
    struct table *older;
    int64_t room;
    char *chunk[];
} table;

struct rnnrt_pool {
    rnnrt_model *model;
    int64_t max_batch;
    int32_t log2_rows;           /* of a chunk */
    int32_t restarts;            /* some state starts anew on each call */
    _Atomic(table *) chunks;
    atomic_llong n_chunks;
    rnnrt_workspace *free_list;
    int64_t n_free;
};

static rnnrt_workspace *new_workspace(rnnrt_pool *p, rnnrt_error *err)
{
    rnnrt_model *m = p->model;
    rnnrt_workspace *ws = rnnrt_workspace_create(m);
    if (!ws) {
        rnnrt_fail(err, RNNRT_ENOMEM, -1, (int64_t)sizeof *ws, 0);
        return NULL;
    }
    if (!m->plan.streams)
        return ws;
    /* for the largest batch of single steps, so that no later step allocates */
    int64_t *symbols = rnnrt_alloc((size_t)m->plan.n_symbols * 8);
    int32_t rc = symbols ? RNNRT_OK : rnnrt_fail(err, RNNRT_ENOMEM, -1, 8, 0);
    for (int32_t i = 0; !rc && i < m->plan.n_symbols; i++)
        symbols[i] = i ? 1 : p->max_batch;
    if (!rc)
        rc = rnnrt_workspace_bind(m, ws, symbols, err);
    rnnrt_free(symbols);
    if (rc) {
        rnnrt_workspace_free(ws);
        return NULL;
    }
    return ws;
}

static rnnrt_workspace *take(rnnrt_pool *p, rnnrt_error *err)
{
    rnnrt_lock();
    rnnrt_workspace *ws = p->free_list;
    if (ws) {
        p->free_list = ws->next;
        p->n_free--;
    }
    rnnrt_unlock();
    return ws ? ws : new_workspace(p, err);
}

static void give_back(rnnrt_pool *p, rnnrt_workspace *ws)
{
    rnnrt_lock();
    int keep = p->n_free < KEEP_WORKSPACES;
    if (keep) {
        ws->next = p->free_list;
        p->free_list = ws;
        p->n_free++;
    }
    rnnrt_unlock();
    if (!keep)
        rnnrt_workspace_free(ws);
}

int32_t rnnrt_pool_create_cpu(rnnrt_model *m, int64_t max_batch, rnnrt_pool **out, rnnrt_error *err)
{
    if (max_batch < 1 || max_batch > (int64_t)1 << 20)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, 42, max_batch);
    rnnrt_pool *p = rnnrt_alloc_zero(sizeof *p);
    if (!p)
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, (int64_t)sizeof *p, 0);
    atomic_fetch_add(&m->references, 1);
    p->model = m;
    p->max_batch = max_batch;
    while (p->log2_rows < CHUNK_ROWS_LOG2 && m->plan.row_bytes << (p->log2_rows + 1) <= CHUNK_BYTES)
        p->log2_rows++;
    for (int64_t i = 0; i < m->plan.n_states; i++)
        p->restarts |= m->plan.states[i].restart != 0;
    rnnrt_workspace *ws = new_workspace(p, err);
    if (!ws) {
        rnnrt_pool_release_cpu(p);
        return err->code;
    }
    give_back(p, ws);
    *out = p;
    return RNNRT_OK;
}

void rnnrt_pool_release_cpu(rnnrt_pool *p)
{
    if (!p)
        return;
    while (p->free_list) {
        rnnrt_workspace *ws = p->free_list;
        p->free_list = ws->next;
        rnnrt_workspace_free(ws);
    }
    table *t = atomic_load(&p->chunks);
    for (int64_t i = 0; i < atomic_load(&p->n_chunks); i++)
        rnnrt_free(t->chunk[i]);
    while (t) {
        table *older = t->older;
        rnnrt_free(t);
        t = older;
    }
    rnnrt_program_release(p->model);
    rnnrt_free(p);
}

static int32_t add_chunk(rnnrt_pool *p, rnnrt_error *err)
{
    int64_t n = atomic_load(&p->n_chunks), bytes = p->model->plan.row_bytes << p->log2_rows;
    table *t = atomic_load(&p->chunks);
    if (!t || n == t->room) {
        int64_t room = t ? 2 * t->room : 16;
        table *larger = rnnrt_alloc(sizeof *larger + (size_t)room * sizeof *larger->chunk);
        if (!larger)
            return rnnrt_fail(err, RNNRT_ENOMEM, -1, room * 8, 0);
        larger->older = t;
        larger->room = room;
        if (t)
            memcpy(larger->chunk, t->chunk, (size_t)n * sizeof *t->chunk);
        atomic_store(&p->chunks, larger);
        t = larger;
    }
    /* not cleared: pages that no row uses yet take no memory */
    if (!(t->chunk[n] = rnnrt_alloc((size_t)bytes)))
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, bytes, 0);
    atomic_store(&p->n_chunks, n + 1);
    return RNNRT_OK;
}

int32_t rnnrt_pool_reserve_cpu(rnnrt_pool *p, int64_t rows, rnnrt_error *err)
{
    if (rows < 0 || rows > (int64_t)1 << 40)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, 43, rows);
    while (atomic_load(&p->n_chunks) << p->log2_rows < rows) {
        int32_t rc = add_chunk(p, err);
        if (rc)
            return rc;
    }
    return RNNRT_OK;
}

static char *row_at(const rnnrt_pool *p, const table *t, int64_t row)
{
    int64_t in_chunk = row & (((int64_t)1 << p->log2_rows) - 1);
    return t->chunk[row >> p->log2_rows] + in_chunk * p->model->plan.row_bytes;
}

static int32_t check_rows(rnnrt_pool *p, const int64_t *rows, int64_t count, rnnrt_error *err)
{
    int64_t n = atomic_load(&p->n_chunks) << p->log2_rows;
    for (int64_t i = 0; i < count; i++)
        if (rows[i] < 0 || rows[i] >= n)
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 44, rows[i]);
    return RNNRT_OK;
}

/* Keras's stateless layers start each call from zero. */
static void restart(const rnnrt_pool *p, char *rows, int64_t count)
{
    const rnnrt_plan *plan = &p->model->plan;
    for (int64_t i = 0; i < plan->n_states; i++)
        if (plan->states[i].restart)
            for (int64_t r = 0; r < count; r++)
                memset(rows + r * plan->row_bytes + plan->states[i].offset, 0, (size_t)plan->states[i].bytes);
}

static int32_t run_in(rnnrt_pool *p, rnnrt_workspace *ws, const int64_t *rows, const rnnrt_call *call, rnnrt_error *err)
{
    rnnrt_model *m = p->model;
    size_t rb = (size_t)m->plan.row_bytes;
    int64_t count = call->symbols[0];
    int32_t rc = rnnrt_workspace_bind(m, ws, call->symbols, err);
    if (!rc)
        rc = rnnrt_execute_precheck(m, ws, call, err);
    if (rc)
        return rc;
    const table *t = atomic_load_explicit(&p->chunks, memory_order_acquire);
    for (int64_t i = 0; rb && i < count; i++)
        memcpy(ws->rows + (size_t)i * rb, row_at(p, t, rows[i]), rb);
    if (p->restarts)
        restart(p, ws->rows, count);
    if ((rc = rnnrt_execute(m, ws, call, ws->rows, 1, err)))
        return rc;
    for (int64_t i = 0; rb && i < count; i++)
        memcpy(row_at(p, t, rows[i]), ws->rows + (size_t)i * rb, rb);
    return RNNRT_OK;
}

int32_t rnnrt_pool_run_cpu(rnnrt_pool *p, const int64_t *rows, const rnnrt_call *call, rnnrt_error *err)
{
    if (call->symbols[0] < 1)
        return rnnrt_fail(err, RNNRT_ESHAPE, -1, call->symbols[0], 1);
    int32_t rc = check_rows(p, rows, call->symbols[0], err);
    if (rc)
        return rc;
    rnnrt_workspace *ws = take(p, err);
    if (!ws)
        return err->code;
    rc = run_in(p, ws, rows, call, err);
    give_back(p, ws);
    return rc;
}

int32_t rnnrt_pool_get_rows_cpu(rnnrt_pool *p, const int64_t *rows, int64_t count, void *out, rnnrt_error *err)
{
    int32_t rc = check_rows(p, rows, count, err);
    size_t rb = (size_t)p->model->plan.row_bytes;
    const table *t = atomic_load(&p->chunks);
    for (int64_t i = 0; !rc && rb && i < count; i++)
        memcpy((char *)out + (size_t)i * rb, row_at(p, t, rows[i]), rb);
    return rc;
}

int32_t rnnrt_pool_set_rows_cpu(rnnrt_pool *p, const int64_t *rows, int64_t count, const void *in, rnnrt_error *err)
{
    int32_t rc = check_rows(p, rows, count, err);
    size_t rb = (size_t)p->model->plan.row_bytes;
    const table *t = atomic_load(&p->chunks);
    for (int64_t i = 0; !rc && rb && i < count; i++) {
        if (in)
            memcpy(row_at(p, t, rows[i]), (const char *)in + (size_t)i * rb, rb);
        else
            memset(row_at(p, t, rows[i]), 0, rb);
    }
    return rc;
}
