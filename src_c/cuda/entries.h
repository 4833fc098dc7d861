/* The functions of the table that other files of the plugin define. */
#ifndef RNNRT_CUDA_ENTRIES_H
#define RNNRT_CUDA_ENTRIES_H

#include "../include/rnnrt_backend.h"

int32_t rnnrt_cuda_model_create(const rnnrt_plan *plan, const rnnrt_model_options *opt, rnnrt_model **out, rnnrt_error *err);
/* sessions.cu */
int32_t rnnrt_cuda_session_create(rnnrt_model *model, int64_t rows, rnnrt_session **out, rnnrt_error *err);
void rnnrt_cuda_session_release(rnnrt_session *session);
int32_t rnnrt_cuda_session_run(rnnrt_session *session, const rnnrt_call *call, rnnrt_error *err);
int32_t rnnrt_cuda_session_get_rows(rnnrt_session *s, int64_t first, int64_t count, void *out, rnnrt_error *err);
int32_t rnnrt_cuda_session_set_rows(rnnrt_session *s, int64_t first, int64_t count, const void *in, rnnrt_error *err);
int64_t rnnrt_cuda_session_memory(rnnrt_session *session, rnnrt_error *err);
int32_t rnnrt_cuda_pool_create(rnnrt_model *model, int64_t max_batch, rnnrt_pool **out, rnnrt_error *err);
void rnnrt_cuda_pool_release(rnnrt_pool *pool);
int32_t rnnrt_cuda_pool_reserve(rnnrt_pool *pool, int64_t rows, rnnrt_error *err);
int32_t rnnrt_cuda_pool_run(rnnrt_pool *pool, const int64_t *rows, const rnnrt_call *call, rnnrt_error *err);
int32_t rnnrt_cuda_pool_get_rows(rnnrt_pool *pool, const int64_t *rows, int64_t count, void *out, rnnrt_error *err);
int32_t rnnrt_cuda_pool_set_rows(rnnrt_pool *pool, const int64_t *rows, int64_t count, const void *in, rnnrt_error *err);
/* memory.cu */
int32_t rnnrt_cuda_device_alloc(int32_t device, int64_t bytes, void **out, rnnrt_error *err);
void rnnrt_cuda_device_free(int32_t device, void *memory);
int32_t rnnrt_cuda_host_alloc(int64_t bytes, void **out, rnnrt_error *err);
void rnnrt_cuda_host_free(void *memory);
int32_t rnnrt_cuda_copy(int32_t device, void *to, int32_t to_place, const void *from, int32_t from_place, int64_t bytes, void *stream,
                        rnnrt_error *err);
int32_t rnnrt_cuda_stream_wait(int32_t device, void *waiter, void *before, rnnrt_error *err);
int32_t rnnrt_cuda_sync(int32_t device, void *stream, rnnrt_error *err);
int32_t rnnrt_cuda_stream_alloc(int32_t device, int64_t bytes, void *stream, void **out, rnnrt_error *err);
void rnnrt_cuda_stream_free(int32_t device, void *memory, void *stream);

#endif
