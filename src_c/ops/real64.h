/* The words of a typed body in double; see real32.h. */
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
#define REAL double
#define REAL_DTYPE RNNRT_F64
#define TYPED(name) name##_64
#define TABLE(kernels) ((kernels)->doubles)
#define TABLE_OF(kernels, dtype) ((void)(dtype), (kernels))
#define STORED_DTYPE(t) ((t) == RNNRT_F64)
#define SET_SCALES(w, k, r) ((void)(k), (void)(r))
#define SET_DTYPE(layer, t) ((void)(t))
#define REAL_FMA __builtin_fma
#define REAL_SQRT __builtin_sqrt
#define T_CELL rnnrt_cell64
#define T_CELL_STEP rnnrt_cell_step64
#define T_CELL_WEIGHTS rnnrt_cell_weights64
#define T_DENSE rnnrt_dense64
#define T_ACTIVATION rnnrt_activation64
