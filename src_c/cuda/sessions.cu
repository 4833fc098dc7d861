/* Sessions and pools: rows of state on the device, in exactly the host's layout, so that a snapshot moves between them. */
#include "lanes.cuh"

extern "C" {
#include "entries.h"
}

#include <string.h>
#include <unistd.h>

using namespace rnnrt_cuda;

/* ---- sessions ---- */
struct rnnrt_session {
    model *m;
    char busy;                   /* atomic */
    int64_t n_rows;
    char *rows;
    tail order;                  /* calls that returned before they were done */
};

/* A chunk of a pool holds as many rows as fit here, a power of two, so that growing moves nothing. */
#define CHUNK_BYTES ((int64_t)1 << 20)
#define CHUNK_ROWS_LOG2 12

/* A table of chunks. A larger one takes its place; the old one lives on, since somebody may be reading it. */
struct chunk_table {
    chunk_table *older;
    int64_t room;
    char **chunk() { return (char **)(this + 1); }
};

struct rnnrt_pool {
    model *m;
    int32_t log2_rows;
    chunk_table *chunks;         /* atomic */
    int64_t n_chunks;            /* atomic */
};

static char *zeroed(size_t bytes)
{
    char *p = (char *)device_heap.alloc(bytes);
    if (p && bytes && (cudaMemset(p, 0, bytes) != cudaSuccess || cudaStreamSynchronize(0) != cudaSuccess)) {
        cudaGetLastError();
        device_heap.release(p);
        p = NULL;
    }
    return p;
}

static void free_on_device(model *m, char *memory)
{
    rnnrt_error err = {};
    device_guard guard;
    if (memory && m->owner == getpid() && !guard.enter(m->gpu.device, &err))
        device_heap.release(memory);
}

/* The default stream's work is done: calls run on streams that do not wait for it. */
static int32_t settle(int32_t rc, rnnrt_error *err) { return rc ? rc : check(cudaStreamSynchronize(0), "moving states", err); }

/* Whatever touches rows: of a usable model, on its device. */
static int32_t enter(model *m, device_guard *guard, rnnrt_error *err)
{
    const int32_t rc = usable(m, err);
    return rc ? rc : guard->enter(m->gpu.device, err);
}

extern "C" {

int32_t rnnrt_cuda_session_create(rnnrt_model *model_, int64_t rows, rnnrt_session **out, rnnrt_error *err)
{
    model *m = (model *)model_;
    int64_t bytes;
    if (rows < 1 || __builtin_mul_overflow(rows, m->program->plan.row_bytes, &bytes) || bytes > (int64_t)1 << 45)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, 40, rows);
    device_guard guard;
    const int32_t rc = enter(m, &guard, err);
    if (rc)
        return rc;
    rnnrt_session *s = (rnnrt_session *)rnnrt_alloc_zero(sizeof *s);
    if (!s || !(s->rows = zeroed((size_t)bytes))) {
        rnnrt_free(s);
        rnnrt_fail(err, RNNRT_ENOMEM, -1, bytes, 0);
        return failed(m, err);
    }
    retain(m);
    s->m = m;
    s->n_rows = rows;
    *out = s;
    return RNNRT_OK;
}

void rnnrt_cuda_session_release(rnnrt_session *s)
{
    if (!s)
        return;
    rnnrt_error unused = {};
    device_guard guard;
    if (s->m->owner == getpid() && !guard.enter(s->m->gpu.device, &unused)) {
        tail_free(&s->order);
        device_heap.release(s->rows);
    }
    release(s->m);
    rnnrt_free(s);
}

static int32_t seize(rnnrt_session *s, rnnrt_error *err)
{
    return __atomic_test_and_set(&s->busy, __ATOMIC_ACQUIRE) ? rnnrt_fail(err, RNNRT_EBUSY, -1, 0, 0) : RNNRT_OK;
}

static void let_go(rnnrt_session *s) { __atomic_clear(&s->busy, __ATOMIC_RELEASE); }

int32_t rnnrt_cuda_session_run(rnnrt_session *s, const rnnrt_call *call, rnnrt_error *err)
{
    int32_t rc = seize(s, err);
    if (rc)
        return rc;
    if (call->symbols[0] != s->n_rows)
        rc = rnnrt_fail(err, RNNRT_ESHAPE, -1, call->symbols[0], s->n_rows);
    else
        rc = run_call(s->m, {s->rows, s->m->program->plan.row_bytes, NULL, NULL, 0, &s->order}, call, 1, err);
    let_go(s);
    return rc;
}

static int32_t move_rows(rnnrt_session *s, int64_t first, int64_t count, void *out, const void *in, rnnrt_error *err)
{
    if (first < 0 || count < 0 || first > s->n_rows || count > s->n_rows - first)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, 41, first);
    int32_t rc = seize(s, err);
    if (rc)
        return rc;
    const int64_t row = s->m->program->plan.row_bytes;
    device_guard guard;
    rc = enter(s->m, &guard, err);
    if (!rc && (rc = tail_wait(&s->order, err)))
        rc = failed(s->m, err);
    if (!rc && count > 0 && row > 0) {
        if (out)
            rc = check(cudaMemcpy(out, s->rows + first * row, (size_t)(count * row), cudaMemcpyDeviceToHost), "reading states", err);
        else if (in)
            rc = check(cudaMemcpy(s->rows + first * row, in, (size_t)(count * row), cudaMemcpyHostToDevice), "writing states", err);
        if ((rc = settle(rc, err)))
            rc = failed(s->m, err);
    }
    let_go(s);
    return rc;
}

int32_t rnnrt_cuda_session_get_rows(rnnrt_session *s, int64_t first, int64_t count, void *out, rnnrt_error *err)
{
    return move_rows(s, first, count, out, NULL, err);
}

int32_t rnnrt_cuda_session_set_rows(rnnrt_session *s, int64_t first, int64_t count, const void *in, rnnrt_error *err)
{
    return move_rows(s, first, count, NULL, in, err);
}

int64_t rnnrt_cuda_session_memory(rnnrt_session *s, rnnrt_error *err)
{
    (void)err;
    return s->n_rows * s->m->program->plan.row_bytes;
}

/* ---- pools ---- */
int32_t rnnrt_cuda_pool_create(rnnrt_model *model_, int64_t max_batch, rnnrt_pool **out, rnnrt_error *err)
{
    model *m = (model *)model_;
    const rnnrt_plan *plan = &m->program->plan;
    if (max_batch < 1 || max_batch > (int64_t)1 << 20)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, 42, max_batch);
    device_guard guard;
    int32_t rc = enter(m, &guard, err);
    if (rc)
        return rc;
    rnnrt_pool *p = (rnnrt_pool *)rnnrt_alloc_zero(sizeof *p);
    int64_t *symbols = (int64_t *)rnnrt_alloc((size_t)plan->n_symbols * 8);
    if (!p || !symbols)
        rc = rnnrt_fail(err, RNNRT_ENOMEM, -1, (int64_t)sizeof *p, 0);
    for (int32_t i = 0; !rc && i < plan->n_symbols; i++)
        symbols[i] = i ? 1 : max_batch;
    if (!rc && plan->streams) /* for the largest batch of single steps, so that no later step allocates */
        rc = lane_reserve(m, symbols, err);
    rnnrt_free(symbols);
    if (rc) {
        rnnrt_free(p);
        return failed(m, err);
    }
    retain(m);
    p->m = m;
    while (p->log2_rows < CHUNK_ROWS_LOG2 && plan->row_bytes << (p->log2_rows + 1) <= CHUNK_BYTES)
        p->log2_rows++;
    *out = p;
    return RNNRT_OK;
}

void rnnrt_cuda_pool_release(rnnrt_pool *p)
{
    if (!p)
        return;
    chunk_table *t = p->chunks;
    for (int64_t i = 0; i < p->n_chunks; i++)
        free_on_device(p->m, t->chunk()[i]);
    while (t) {
        chunk_table *older = t->older;
        rnnrt_free(t);
        t = older;
    }
    release(p->m);
    rnnrt_free(p);
}

static int32_t add_chunk(rnnrt_pool *p, rnnrt_error *err)
{
    const int64_t n = p->n_chunks, bytes = p->m->program->plan.row_bytes << p->log2_rows;
    chunk_table *t = p->chunks;
    if (!t || n == t->room) {
        const int64_t room = t ? 2 * t->room : 16;
        chunk_table *larger = (chunk_table *)rnnrt_alloc(sizeof *larger + (size_t)room * sizeof(char *));
        if (!larger)
            return rnnrt_fail(err, RNNRT_ENOMEM, -1, room * 8, 0);
        larger->older = t;
        larger->room = room;
        if (t)
            memcpy(larger->chunk(), t->chunk(), (size_t)n * sizeof(char *));
        __atomic_store_n(&p->chunks, larger, __ATOMIC_RELEASE);
        t = larger;
    }
    if (!(t->chunk()[n] = zeroed((size_t)bytes)))
        return rnnrt_fail(err, RNNRT_ENOMEM, -1, bytes, 0);
    __atomic_store_n(&p->n_chunks, n + 1, __ATOMIC_RELEASE);
    return RNNRT_OK;
}

int32_t rnnrt_cuda_pool_reserve(rnnrt_pool *p, int64_t rows, rnnrt_error *err)
{
    if (rows < 0 || rows > (int64_t)1 << 40)
        return rnnrt_fail(err, RNNRT_EINVAL, -1, 43, rows);
    device_guard guard;
    int32_t rc = enter(p->m, &guard, err);
    while (!rc && p->n_chunks << p->log2_rows < rows)
        if ((rc = add_chunk(p, err)))
            rc = failed(p->m, err);
    return rc;
}

static int32_t check_rows(rnnrt_pool *p, const int64_t *rows, int64_t count, rnnrt_error *err)
{
    const int64_t n = __atomic_load_n(&p->n_chunks, __ATOMIC_ACQUIRE) << p->log2_rows;
    for (int64_t i = 0; i < count; i++)
        if (rows[i] < 0 || rows[i] >= n)
            return rnnrt_fail(err, RNNRT_EINVAL, -1, 44, rows[i]);
    return RNNRT_OK;
}

static char *row_at(const rnnrt_pool *p, chunk_table *t, int64_t row)
{
    return t->chunk()[row >> p->log2_rows] + (row & (((int64_t)1 << p->log2_rows) - 1)) * p->m->program->plan.row_bytes;
}

int32_t rnnrt_cuda_pool_run(rnnrt_pool *p, const int64_t *rows, const rnnrt_call *call, rnnrt_error *err)
{
    if (call->symbols[0] < 1)
        return rnnrt_fail(err, RNNRT_ESHAPE, -1, call->symbols[0], 1);
    const int32_t rc = check_rows(p, rows, call->symbols[0], err);
    if (rc)
        return rc;
    chunk_table *t = __atomic_load_n(&p->chunks, __ATOMIC_ACQUIRE);
    return run_call(p->m, {NULL, 0, t->chunk(), rows, p->log2_rows, NULL}, call, 1, err);
}

/* Rows that follow each other in their chunk move together. */
static int32_t move_pool(rnnrt_pool *p, const int64_t *rows, int64_t count, char *out, const char *in, rnnrt_error *err)
{
    int32_t rc = check_rows(p, rows, count, err);
    const int64_t row = p->m->program->plan.row_bytes;
    device_guard guard;
    if (rc || !row || (rc = enter(p->m, &guard, err)))
        return rc;
    chunk_table *t = __atomic_load_n(&p->chunks, __ATOMIC_ACQUIRE);
    for (int64_t i = 0, n; !rc && i < count; i += n) {
        char *at = row_at(p, t, rows[i]);
        for (n = 1; i + n < count && row_at(p, t, rows[i + n]) == at + n * row; n++)
            ;
        const size_t bytes = (size_t)(n * row);
        if (out)
            rc = check(cudaMemcpy(out + i * row, at, bytes, cudaMemcpyDeviceToHost), "reading states", err);
        else if (in)
            rc = check(cudaMemcpy(at, in + i * row, bytes, cudaMemcpyHostToDevice), "writing states", err);
        else
            rc = check(cudaMemset(at, 0, bytes), "clearing states", err);
    }
    return settle(rc, err) ? failed(p->m, err) : RNNRT_OK;
}

int32_t rnnrt_cuda_pool_get_rows(rnnrt_pool *p, const int64_t *rows, int64_t count, void *out, rnnrt_error *err)
{
    return move_pool(p, rows, count, (char *)out, NULL, err);
}

int32_t rnnrt_cuda_pool_set_rows(rnnrt_pool *p, const int64_t *rows, int64_t count, const void *in, rnnrt_error *err)
{
    return move_pool(p, rows, count, NULL, (const char *)in, err);
}

} // extern "C"
