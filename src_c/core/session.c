/* Pure runs and sessions. A session is n rows; a call commits its new state or leaves the rows as they were. */
#include <string.h>

#include "lock.h"
#include "program.h"

/* Workspaces that a model keeps for later calls, and the largest one that is worth keeping. */
#define KEEP_WORKSPACES 16
#define KEEP_BYTES ((int64_t)256 << 20)

/* Any length: what a streaming session binds its workspace for. */
#define LONG_RUN ((int64_t)1 << 20)

struct rnnrt_session {
    rnnrt_model *model;
    atomic_flag busy;
    int64_t n_rows;
    char *rows;                  /* n_rows * row_bytes */
    rnnrt_workspace *ws;
    int32_t restarts;            /* some state starts anew on each call */
};

static rnnrt_workspace *take(rnnrt_model *m, const int64_t *symbols)
{
    rnnrt_workspace *found = NULL, **at;
    rnnrt_lock();
    /* one bound for the same sizes, else the most recently used */
    for (at = &m->free_list; *at; at = &(*at)->next)
        if ((*at)->bound && memcmp((*at)->symbols, symbols, (size_t)m->plan.n_symbols * 8) == 0)
            break;
    if (!*at)
        at = &m->free_list;
    if (*at) {
        found = *at;
        *at = found->next;
        m->n_free--;
    }
    rnnrt_unlock();
    return found ? found : rnnrt_workspace_create(m);
}

static void give_back(rnnrt_model *m, rnnrt_workspace *ws)
{
    rnnrt_lock();
    int keep = m->n_free < KEEP_WORKSPACES && ws->arena_bytes + ws->rows_bytes <= KEEP_BYTES;
    if (keep) {
        ws->next = m->free_list;
        m->free_list = ws;
        m->n_free++;
    }
    rnnrt_unlock();
    if (!keep)
        rnnrt_workspace_free(ws);
}

int32_t rnnrt_model_run_cpu(rnnrt_model *m, const rnnrt_call *call, rnnrt_error *err)
{
    rnnrt_workspace *ws = take(m, call->symbols);
    if (!ws)
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, 0, 0);
    int32_t rc = rnnrt_workspace_bind(m, ws, call->symbols, err);
    if (!rc)
        rc = rnnrt_execute_precheck(m, ws, call, err);
    if (!rc) {
        memset(ws->rows, 0, (size_t)(ws->batch * m->plan.row_bytes));
        rc = rnnrt_execute(m, ws, call, ws->rows, 0, err);
    }
    give_back(m, ws);
    return rc;
}

int32_t rnnrt_session_create_cpu(rnnrt_model *m, int64_t rows, rnnrt_session **out, rnnrt_error *err)
{
    int64_t bytes;
    if (rows < 1 || __builtin_mul_overflow(rows, m->plan.row_bytes, &bytes) || bytes > (int64_t)1 << 45)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, 40, rows);
    rnnrt_session *s = rnnrt_alloc_zero(sizeof *s);
    if (!s)
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, (int64_t)sizeof *s, 0);
    atomic_flag_clear(&s->busy);
    atomic_fetch_add(&m->references, 1);
    s->model = m;
    s->n_rows = rows;
    s->rows = rnnrt_alloc_zero((size_t)bytes);
    s->ws = rnnrt_workspace_create(m);
    int32_t rc = s->rows && s->ws ? RNNRT_OK : rnnrt_fail(err, RNNRT_ENOMEM, -1, bytes, 0);
    for (int64_t i = 0; i < m->plan.n_states; i++)
        s->restarts |= m->plan.states[i].restart != 0;
    if (!rc && m->plan.streams) {
        /* bound once for its longest tile, so that no call allocates whatever its length */
        int64_t *symbols = rnnrt_alloc((size_t)m->plan.n_symbols * 8);
        if (symbols) {
            symbols[0] = rows;
            for (int32_t i = 1; i < m->plan.n_symbols; i++)
                symbols[i] = LONG_RUN;
            rc = rnnrt_workspace_bind(m, s->ws, symbols, err);
            s->ws->keep_places = 1;
            rnnrt_free(symbols);
        } else {
            rc = rnnrt_fail(err, RNNRT_ENOMEM, -1, 0, 0);
        }
    }
    if (rc) {
        rnnrt_session_release_cpu(s);
        return rc;
    }
    *out = s;
    return RNNRT_OK;
}

int64_t rnnrt_session_memory_cpu(rnnrt_session *s, rnnrt_error *err)
{
    (void)err;
    return s->n_rows * s->model->plan.row_bytes + s->ws->arena_bytes + s->ws->rows_bytes;
}

void rnnrt_session_release_cpu(rnnrt_session *s)
{
    if (!s)
        return;
    rnnrt_workspace_free(s->ws);
    rnnrt_free(s->rows);
    rnnrt_program_release(s->model);
    rnnrt_free(s);
}

/* Keras's stateless layers start each call from zero. */
static void restart(const rnnrt_session *s, char *rows)
{
    const rnnrt_plan *p = &s->model->plan;
    for (int64_t i = 0; i < p->n_states; i++)
        if (p->states[i].restart)
            for (int64_t r = 0; r < s->n_rows; r++)
                memset(rows + r * p->row_bytes + p->states[i].offset, 0, (size_t)p->states[i].bytes);
}

static int32_t run_locked(rnnrt_session *s, const rnnrt_call *call, rnnrt_error *err)
{
    rnnrt_model *m = s->model;
    if (call->symbols[0] != s->n_rows)
        return rnnrt_fail(err, RNNRT_ESHAPE, -1, call->symbols[0], s->n_rows);
    int32_t rc = rnnrt_workspace_bind(m, s->ws, call->symbols, err);
    if (!rc)
        rc = rnnrt_execute_precheck(m, s->ws, call, err);
    if (rc)
        return rc;
    /* whatever can stop in the middle works on a copy of the rows */
    int aside = m->fallible || s->ws->n_tiles > 1;
    char *rows = s->rows;
    if (aside) {
        rows = s->ws->rows;
        memcpy(rows, s->rows, (size_t)(s->n_rows * m->plan.row_bytes));
    }
    if (s->restarts)
        restart(s, rows);
    rc = rnnrt_execute(m, s->ws, call, rows, 1, err);
    if (!rc && aside) {
        s->ws->rows = s->rows;
        s->rows = rows;
    }
    return rc;
}

int32_t rnnrt_session_run_cpu(rnnrt_session *s, const rnnrt_call *call, rnnrt_error *err)
{
    if (atomic_flag_test_and_set_explicit(&s->busy, memory_order_acquire))
        return rnnrt_fail(err, RNNRT_EBUSY, -1, 0, 0);
    int32_t rc = run_locked(s, call, err);
    atomic_flag_clear_explicit(&s->busy, memory_order_release);
    return rc;
}

static int32_t move_rows(rnnrt_session *s, int64_t first, int64_t count, void *out, const void *in, rnnrt_error *err)
{
    if (first < 0 || count < 0 || first > s->n_rows || count > s->n_rows - first)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, 41, first);
    if (atomic_flag_test_and_set_explicit(&s->busy, memory_order_acquire))
        return rnnrt_fail(err, RNNRT_EBUSY, -1, 0, 0);
    int64_t rb = s->model->plan.row_bytes;
    if (out)
        memcpy(out, s->rows + first * rb, (size_t)(count * rb));
    else if (in)
        memcpy(s->rows + first * rb, in, (size_t)(count * rb));
    atomic_flag_clear_explicit(&s->busy, memory_order_release);
    return RNNRT_OK;
}

int32_t rnnrt_session_get_rows_cpu(rnnrt_session *s, int64_t first, int64_t count, void *out, rnnrt_error *err)
{
    return move_rows(s, first, count, out, NULL, err);
}

int32_t rnnrt_session_set_rows_cpu(rnnrt_session *s, int64_t first, int64_t count, const void *in, rnnrt_error *err)
{
    return move_rows(s, first, count, NULL, in, err);
}
