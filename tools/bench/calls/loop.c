/* The calls that rnnrt.native makes, made from C in a loop: what calls.py subtracts. */
#include <string.h>
#include <time.h>

#include "include/rnnrt.h"

#define EXPORT __attribute__((visibility("default")))

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* NULL where the plan is refused */
EXPORT rnnrt_model *calls_model(const rnnrt_plan *plan, const char *kernels)
{
    const rnnrt_model_options opt = {.struct_size = sizeof opt, .threads = 1, .kernels = kernels};
    rnnrt_error err;
    rnnrt_model *m = NULL;
    return rnnrt_cpu_backend()->model_create(plan, &opt, &m, &err) ? NULL : m;
}

EXPORT rnnrt_session *calls_session(rnnrt_model *m)
{
    rnnrt_error err;
    rnnrt_session *s = NULL;
    return rnnrt_cpu_backend()->session_create(m, 1, &s, &err) ? NULL : s;
}

/* ns per call over n calls: of the session, or pure ones where it is NULL; negative where one fails */
EXPORT double calls_time(rnnrt_model *m, rnnrt_session *s, const int64_t *symbols, void *x, int32_t dtype, void *y, int64_t n)
{
    const rnnrt_backend *b = rnnrt_cpu_backend();
    const rnnrt_buffer in = {x, dtype, 1}, out = {y, RNNRT_F32, 1};
    const rnnrt_call call = {.struct_size = sizeof call, .symbols = symbols, .inputs = &in, .outputs = &out};
    rnnrt_error err;
    const double begin = now_ns();
    for (int64_t i = 0; i < n; i++)
        if (s ? b->session_run(s, &call, &err) : b->model_run(m, &call, &err))
            return -1;
    return (now_ns() - begin) / (double)n;
}
