/* The words of a typed body: an op's file includes this, then its *_body.h, then real64.h and the body once more.
 * No guard: the words change meaning. TYPED names a function of the body, TABLE is the kernels of this type. */
#undef REAL
#undef REAL_DTYPE
#undef TYPED
#undef TABLE
#undef REAL_FMA
#undef T_CELL
#undef T_CELL_STEP
#undef T_CELL_WEIGHTS
#undef T_DENSE
#undef T_ACTIVATION
#define REAL float
#define REAL_DTYPE RNNRT_F32
#define TYPED(name) name##_32
#define TABLE(kernels) (kernels)
#define REAL_FMA __builtin_fmaf
#define T_CELL rnnrt_cell
#define T_CELL_STEP rnnrt_cell_step
#define T_CELL_WEIGHTS rnnrt_cell_weights
#define T_DENSE rnnrt_dense
#define T_ACTIVATION rnnrt_activation
