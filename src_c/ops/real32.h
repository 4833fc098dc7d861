/* The words of a typed body: an op's file includes this, then its *_body.h, then real64.h and the body once more.
 * No guard: the words change meaning. TYPED names a function of the body, TABLE is the kernels of this type;
 * TABLE_OF the table whose kernels take weights of a dtype, STORED_DTYPE whether there are such. */
#undef REAL
#undef REAL_DTYPE
#undef TYPED
#undef TABLE
#undef TABLE_OF
#undef STORED_DTYPE
#undef SET_DTYPE
#undef SET_SCALES
#undef REAL_FMA
#undef REAL_SQRT
#undef T_CELL
#undef T_CELL_STEP
#undef T_CELL_WEIGHTS
#undef T_DENSE
#undef T_ACTIVATION
#define REAL float
#define REAL_DTYPE RNNRT_F32
#define TYPED(name) name##_32
#define TABLE(kernels) (kernels)
#define TABLE_OF(kernels, dtype) rnnrt_kernels_of(kernels, dtype)
#define STORED_DTYPE(t) rnnrt_stored_dtype(t)
#define SET_SCALES(w, k, r) ((w).kernel_scale = (k), (w).recurrent_scale = (r))
#define SET_DTYPE(layer, t) ((layer).dtype = (t))
#define REAL_FMA __builtin_fmaf
#define REAL_SQRT __builtin_sqrtf
#define T_CELL rnnrt_cell
#define T_CELL_STEP rnnrt_cell_step
#define T_CELL_WEIGHTS rnnrt_cell_weights
#define T_DENSE rnnrt_dense
#define T_ACTIVATION rnnrt_activation
