/* A backend for the tests of the plugin door: it answers each call with its model's number of ops.
 *
 * -DDUMMY_ABI=n: the ABI it claims. -DDUMMY_SHORT: a table that is too short. -DDUMMY_OLD: a table of 1.0. -DDUMMY_NULL: a NULL member.
 * -DDUMMY_NONE: no device, with a reason.
 * -DDUMMY_DEVICE: its memory counts as CUDA's and it keeps results there; dummy_log tells what was asked of it.
 * -DDUMMY_FULL: that memory is full.
 * -DDUMMY_REFUSE: get_api refuses. -DDUMMY_NO_SYMBOL: no exported symbol. -DDUMMY_FAIL_RUN: runs fail half-way. */
#include <stdlib.h>
#include <string.h>

#include "include/rnnrt_backend.h"

#ifndef DUMMY_ABI
#define DUMMY_ABI RNNRT_ABI
#endif

struct rnnrt_model {
    int references;
    float answer;
    int64_t row_bytes, n_outputs, sizes[16];
};
struct rnnrt_session {
    rnnrt_model *model;
    int64_t rows;
    char *state;
};

static int32_t fail(rnnrt_error *err, int32_t code, const char *msg)
{
    memset(err, 0, sizeof *err);
    err->code = code;
    err->op = -1;
    strncpy(err->msg, msg, sizeof err->msg - 1);
    return code;
}

static int32_t device_count(rnnrt_error *err)
{
#ifdef DUMMY_NONE
    fail(err, RNNRT_EDEVICE, "the dummy's driver is 1.0, it needs 2.0 or newer");
    return 0;
#endif
    (void)err;
    return 2;
}

static int32_t device_info(int32_t device, rnnrt_device_info *out, rnnrt_error *err)
{
    (void)err;
    strcpy(out->name, device ? "dummy one" : "dummy zero");
#ifdef DUMMY_DEVICE
    if (RNNRT_HAS(out, rnnrt_device_info, place))
        out->place = RNNRT_ON_CUDA;
#endif
    return RNNRT_OK;
}

static int32_t supports(const rnnrt_plan *plan, rnnrt_error *err)
{
    for (int64_t i = 0; i < plan->n_ops; i++)
        if (plan->ops[i].kind == 0) {
            fail(err, RNNRT_EUNSUPPORTED, "the dummy has no SimpleRNN");
            err->op = (int32_t)i;
            return err->code;
        }
    return RNNRT_OK;
}

static int32_t model_create(const rnnrt_plan *plan, const rnnrt_model_options *opt, rnnrt_model **out, rnnrt_error *err)
{
    (void)opt;
    rnnrt_model *m = calloc(1, sizeof *m);
    if (!m)
        return fail(err, RNNRT_ENOMEM, "");
    m->references = 1;
    m->answer = (float)plan->n_ops;
    m->row_bytes = plan->row_bytes;
    m->n_outputs = plan->n_outputs;
    *out = m;
    return RNNRT_OK;
}

static void model_release(rnnrt_model *m)
{
    if (--m->references == 0)
        free(m);
}

/* what the last call and the last wait were, and how much memory is out; read by the tests */
struct {
    int64_t stream, in_place, out_place, waiter, before, waits, syncs, allocated, freed;
} dummy_log;

#ifdef DUMMY_DEVICE
static int32_t device_alloc(int32_t device, int64_t bytes, void **out, rnnrt_error *err)
{
    (void)device;
#ifdef DUMMY_FULL
    err->a = bytes;
    return fail(err, RNNRT_ENOMEM, "");
#endif
    if (!(*out = calloc(1, (size_t)bytes)))
        return fail(err, RNNRT_ENOMEM, "");
    dummy_log.allocated++;
    return RNNRT_OK;
}

static void device_free(int32_t device, void *memory)
{
    (void)device;
    dummy_log.freed++;
    free(memory);
}

static int32_t copy(int32_t device, void *to, int32_t to_place, const void *from, int32_t from_place, int64_t bytes, void *stream,
                    rnnrt_error *err)
{
    (void)device, (void)to_place, (void)from_place, (void)stream, (void)err;
    memcpy(to, from, (size_t)bytes);
    return RNNRT_OK;
}

static int32_t stream_wait(int32_t device, void *waiter, void *before, rnnrt_error *err)
{
    (void)device, (void)err;
    dummy_log.waits++;
    dummy_log.waiter = (intptr_t)waiter;
    dummy_log.before = (intptr_t)before;
    return RNNRT_OK;
}

static int32_t sync(int32_t device, void *stream, rnnrt_error *err)
{
    (void)device, (void)err, (void)stream;
    dummy_log.syncs++;
    return RNNRT_OK;
}
#endif

static int32_t model_run(rnnrt_model *m, const rnnrt_call *call, rnnrt_error *err)
{
    dummy_log.stream = (intptr_t)call->stream;
    dummy_log.in_place = call->inputs[0].device;
    dummy_log.out_place = call->outputs[0].device;
#ifdef DUMMY_FAIL_RUN
    return fail(err, RNNRT_EDEVICE, "the dummy broke in the middle of a run");
#endif
    (void)err;
    for (int64_t i = 0; i < m->n_outputs; i++)
        *(float *)call->outputs[i].data = m->answer;
    return RNNRT_OK;
}

static int64_t model_workspace(rnnrt_model *m, const int64_t *s, rnnrt_error *e) { (void)m; (void)s; (void)e; return 64; }
static int64_t model_cost(rnnrt_model *m, const int64_t *s, rnnrt_error *e) { (void)m; (void)s; (void)e; return 1; }

static int32_t session_create(rnnrt_model *m, int64_t rows, rnnrt_session **out, rnnrt_error *err)
{
    rnnrt_session *s = calloc(1, sizeof *s);
    if (!s)
        return fail(err, RNNRT_ENOMEM, "");
    s->model = m;
    m->references++;
    s->rows = rows;
    s->state = calloc((size_t)rows, (size_t)m->row_bytes + 1);
    *out = s;
    return RNNRT_OK;
}

static void session_release(rnnrt_session *s)
{
    model_release(s->model);
    free(s->state);
    free(s);
}

static int32_t session_run(rnnrt_session *s, const rnnrt_call *call, rnnrt_error *err)
{
    s->state[0]++;
    return model_run(s->model, call, err);
}

static int32_t get_rows(rnnrt_session *s, int64_t first, int64_t count, void *out, rnnrt_error *err)
{
    (void)err;
    memcpy(out, s->state + first * s->model->row_bytes, (size_t)(count * s->model->row_bytes));
    return RNNRT_OK;
}

static int32_t set_rows(rnnrt_session *s, int64_t first, int64_t count, const void *in, rnnrt_error *err)
{
    (void)err;
    memcpy(s->state + first * s->model->row_bytes, in, (size_t)(count * s->model->row_bytes));
    return RNNRT_OK;
}

/* a pool: one block of rows, as large as the largest reservation */
struct rnnrt_pool {
    rnnrt_model *model;
    int64_t rows;
    char *state;
};

static int32_t pool_create(rnnrt_model *m, int64_t max_batch, rnnrt_pool **out, rnnrt_error *err)
{
    (void)max_batch;
    rnnrt_pool *p = calloc(1, sizeof *p);
    if (!p)
        return fail(err, RNNRT_ENOMEM, "");
    p->model = m;
    m->references++;
    *out = p;
    return RNNRT_OK;
}

static void pool_release(rnnrt_pool *p)
{
    model_release(p->model);
    free(p->state);
    free(p);
}

static int32_t pool_reserve(rnnrt_pool *p, int64_t rows, rnnrt_error *err)
{
    if (rows <= p->rows)
        return RNNRT_OK;
    char *larger = realloc(p->state, (size_t)(rows * p->model->row_bytes) + 1);
    if (!larger)
        return fail(err, RNNRT_ENOMEM, "");
    p->state = larger;
    p->rows = rows;
    return RNNRT_OK;
}

static int32_t pool_run(rnnrt_pool *p, const int64_t *rows, const rnnrt_call *call, rnnrt_error *err)
{
    int32_t rc = model_run(p->model, call, err);
    for (int64_t i = 0; !rc && i < call->symbols[0]; i++)
        p->state[rows[i] * p->model->row_bytes]++;
    return rc;
}

static int32_t pool_get_rows(rnnrt_pool *p, const int64_t *rows, int64_t count, void *out, rnnrt_error *err)
{
    size_t rb = (size_t)p->model->row_bytes;
    (void)err;
    for (int64_t i = 0; i < count; i++)
        memcpy((char *)out + (size_t)i * rb, p->state + (size_t)rows[i] * rb, rb);
    return RNNRT_OK;
}

static int32_t pool_set_rows(rnnrt_pool *p, const int64_t *rows, int64_t count, const void *in, rnnrt_error *err)
{
    size_t rb = (size_t)p->model->row_bytes;
    (void)err;
    for (int64_t i = 0; i < count; i++)
        if (in)
            memcpy(p->state + (size_t)rows[i] * rb, (const char *)in + (size_t)i * rb, rb);
        else
            memset(p->state + (size_t)rows[i] * rb, 0, rb);
    return RNNRT_OK;
}

static const rnnrt_backend api = {
#ifdef DUMMY_SHORT
    .struct_size = RNNRT_BACKEND_LEAST - 8,
#elif defined DUMMY_OLD
    .struct_size = RNNRT_BACKEND_LEAST,
#else
    .struct_size = sizeof(rnnrt_backend),
#endif
    .abi = DUMMY_ABI,
    .name = "dummy",
    .build_info = "for the tests",
    .device_count = device_count,
    .device_info = device_info,
    .supports = supports,
    .model_create = model_create,
    .model_release = model_release,
    .model_run = model_run,
    .model_workspace = model_workspace,
    .model_cost = model_cost,
    .session_create = session_create,
    .session_release = session_release,
    .session_run = session_run,
#ifndef DUMMY_NULL
    .session_get_rows = get_rows,
#endif
    .session_set_rows = set_rows,
    .pool_create = pool_create,
    .pool_release = pool_release,
    .pool_reserve = pool_reserve,
    .pool_run = pool_run,
    .pool_get_rows = pool_get_rows,
    .pool_set_rows = pool_set_rows,
#ifdef DUMMY_DEVICE
    .device_alloc = device_alloc,
    .device_free = device_free,
    .copy = copy,
    .stream_wait = stream_wait,
    .sync = sync,
#endif
};

#ifdef DUMMY_NO_SYMBOL
static int32_t hidden(uint32_t host_abi, const rnnrt_backend **out);
int32_t (*dummy_keep)(uint32_t, const rnnrt_backend **) = hidden;
static int32_t hidden(uint32_t host_abi, const rnnrt_backend **out)
#else
int32_t rnnrt_backend_get_api(uint32_t host_abi, const rnnrt_backend **out)
#endif
{
#ifdef DUMMY_REFUSE
    return RNNRT_EABI;
#endif
    if (host_abi >> 16 != DUMMY_ABI >> 16 && DUMMY_ABI == RNNRT_ABI)
        return RNNRT_EABI;
    *out = &api;
    return RNNRT_OK;
}
