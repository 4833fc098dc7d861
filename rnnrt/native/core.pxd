# The C core as Cython sees it (src_c/include/rnnrt.h).
from libc.stdint cimport int32_t, int64_t, uint32_t

cdef extern from "include/rnnrt.h" nogil:
    ctypedef struct rnnrt_error:
        int32_t code
        int32_t op
        int64_t a
        int64_t b
        int32_t device_code
        char msg[228]

    enum: RNNRT_DIM_CONST, RNNRT_DIM_SYMBOL
    ctypedef struct rnnrt_plan_dim:
        int64_t kind
        int64_t a
        int64_t m
    ctypedef struct rnnrt_plan_tensor:
        int64_t dtype
        int64_t rank
        int64_t dims[8]
        int64_t alias
        int64_t timed
    ctypedef struct rnnrt_plan_op:
        int64_t kind
    ctypedef struct rnnrt_plan_weight:
        int64_t dtype
        int64_t rank
        int64_t dims[4]
    ctypedef struct rnnrt_plan_state:
        int64_t offset
    ctypedef struct rnnrt_plan_region:
        int64_t first_op
    ctypedef struct rnnrt_plan_input:
        int64_t tensor
        int64_t dtypes

    ctypedef struct rnnrt_plan:
        uint32_t struct_size
        int32_t n_symbols
        const rnnrt_plan_dim *dims
        int64_t n_dims
        const rnnrt_plan_tensor *tensors
        int64_t n_tensors
        const rnnrt_plan_op *ops
        int64_t n_ops
        const int64_t *refs
        int64_t n_refs
        const double *reals
        int64_t n_reals
        const rnnrt_plan_weight *weights
        int64_t n_weights
        const void *const *weight_data
        const rnnrt_plan_state *states
        int64_t n_states
        int64_t row_bytes
        const rnnrt_plan_region *regions
        int64_t n_regions
        const rnnrt_plan_input *inputs
        int64_t n_inputs
        const int64_t *outputs
        int64_t n_outputs
        int32_t streams

    ctypedef struct rnnrt_buffer:
        void *data
        int32_t dtype
        int32_t device

    ctypedef struct rnnrt_host_tensor:
        void *data
        int32_t dtype
        int32_t rank
        int64_t shape[8]
        int64_t batch_stride

    ctypedef struct rnnrt_host_call:
        uint32_t struct_size
        int32_t op
        const rnnrt_host_tensor *in_ "in"
        int64_t n_in
        const rnnrt_host_tensor *out
        int64_t n_out
        const rnnrt_host_tensor *init
        int64_t n_init
        const rnnrt_host_tensor *mask
        char *rows
        int64_t row_bytes
        const int64_t *state_offset
        const int64_t *state_floats
        int64_t n_state
        int64_t has_output
        int64_t position

    ctypedef struct rnnrt_call:
        uint32_t struct_size
        uint32_t flags
        const int64_t *symbols
        const rnnrt_buffer *inputs
        const rnnrt_buffer *outputs
        int (*poll)(void *) noexcept nogil
        void *poll_context
        int32_t (*host)(void *, const rnnrt_host_call *) noexcept nogil
        void *host_context
        void *stream
        int64_t *op_ns

    ctypedef struct rnnrt_model_options:
        uint32_t struct_size
        int32_t device
        int32_t threads
        const char *kernels
        int32_t math

    ctypedef struct rnnrt_device_info:
        uint32_t struct_size
        char name[124]
        int64_t memory_bytes
        int64_t free_bytes
        int32_t place
        int32_t capability
        int32_t driver
        int32_t runtime

    ctypedef struct rnnrt_memory:
        uint32_t struct_size
        int32_t place
        int64_t weights
        int64_t kept

    ctypedef struct rnnrt_model:
        pass
    ctypedef struct rnnrt_session:
        pass
    ctypedef struct rnnrt_pool:
        pass

    ctypedef struct rnnrt_backend:
        uint32_t struct_size
        uint32_t abi
        const char *name
        const char *build_info
        int32_t (*device_count)(rnnrt_error *) noexcept nogil
        int32_t (*device_info)(int32_t, rnnrt_device_info *, rnnrt_error *) noexcept nogil
        int32_t (*supports)(const rnnrt_plan *, rnnrt_error *) noexcept nogil
        int32_t (*model_create)(const rnnrt_plan *, const rnnrt_model_options *, rnnrt_model **, rnnrt_error *) noexcept nogil
        void (*model_release)(rnnrt_model *) noexcept nogil
        int32_t (*model_run)(rnnrt_model *, const rnnrt_call *, rnnrt_error *) noexcept nogil
        int64_t (*model_workspace)(rnnrt_model *, const int64_t *, rnnrt_error *) noexcept nogil
        int64_t (*model_cost)(rnnrt_model *, const int64_t *, rnnrt_error *) noexcept nogil
        int32_t (*session_create)(rnnrt_model *, int64_t, rnnrt_session **, rnnrt_error *) noexcept nogil
        void (*session_release)(rnnrt_session *) noexcept nogil
        int32_t (*session_run)(rnnrt_session *, const rnnrt_call *, rnnrt_error *) noexcept nogil
        int32_t (*session_get_rows)(rnnrt_session *, int64_t, int64_t, void *, rnnrt_error *) noexcept nogil
        int32_t (*session_set_rows)(rnnrt_session *, int64_t, int64_t, const void *, rnnrt_error *) noexcept nogil
        int32_t (*pool_create)(rnnrt_model *, int64_t, rnnrt_pool **, rnnrt_error *) noexcept nogil
        void (*pool_release)(rnnrt_pool *) noexcept nogil
        int32_t (*pool_reserve)(rnnrt_pool *, int64_t, rnnrt_error *) noexcept nogil
        int32_t (*pool_run)(rnnrt_pool *, const int64_t *, const rnnrt_call *, rnnrt_error *) noexcept nogil
        int32_t (*pool_get_rows)(rnnrt_pool *, const int64_t *, int64_t, void *, rnnrt_error *) noexcept nogil
        int32_t (*pool_set_rows)(rnnrt_pool *, const int64_t *, int64_t, const void *, rnnrt_error *) noexcept nogil
        int32_t (*model_memory)(rnnrt_model *, rnnrt_memory *, rnnrt_error *) noexcept nogil
        int64_t (*session_memory)(rnnrt_session *, rnnrt_error *) noexcept nogil
        int32_t (*device_alloc)(int32_t, int64_t, void **, rnnrt_error *) noexcept nogil
        void (*device_free)(int32_t, void *) noexcept nogil
        int32_t (*host_alloc)(int64_t, void **, rnnrt_error *) noexcept nogil
        void (*host_free)(void *) noexcept nogil
        int32_t (*copy)(int32_t, void *, int32_t, const void *, int32_t, int64_t, void *, rnnrt_error *) noexcept nogil
        int32_t (*stream_wait)(int32_t, void *, void *, rnnrt_error *) noexcept nogil
        int32_t (*sync)(int32_t, void *, rnnrt_error *) noexcept nogil
        int32_t (*stream_alloc)(int32_t, int64_t, void *, void **, rnnrt_error *) noexcept nogil
        void (*stream_free)(int32_t, void *, void *) noexcept nogil

    const rnnrt_backend *rnnrt_cpu_backend()
    int32_t rnnrt_backend_open(const char *, const rnnrt_backend **, rnnrt_error *)
    const char *rnnrt_kernel_name(int)
    int rnnrt_kernel_vector_floats(const char *)
    int rnnrt_kernel_bitwise_group(const char *)
    const char *rnnrt_kernel_default()
    int rnnrt_kernel_force(const char *)
    int rnnrt_crc32(const void *, size_t, uint32_t *)
    const char *rnnrt_cpu_features()
    int32_t rnnrt_ceilings(const char *, double *, double *, int, const int64_t *, double *)
    void rnnrt_blas_install(void *, void *)
    int rnnrt_blas_installed()
    int64_t rnnrt_allocations()
    void rnnrt_team_always(int)
    void rnnrt_team_counts(int64_t *, int64_t *)
    const char *rnnrt_op_name(int)
    const char *rnnrt_activation_name(int)
    int RNNRT_EINVAL, RNNRT_ESHAPE, RNNRT_EID, RNNRT_EIDNAN, RNNRT_ENOMEM, RNNRT_EBUSY, RNNRT_EINTERRUPT
    int RNNRT_EUNSUPPORTED, RNNRT_EABI, RNNRT_EDEVICE, RNNRT_EHOST
    int RNNRT_ON_CPU, RNNRT_ON_CUDA, RNNRT_ON_PINNED
    const size_t RNNRT_BACKEND_LEAST
