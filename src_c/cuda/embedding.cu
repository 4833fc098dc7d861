/* Rows of a table by id, and codes of ids (src_c/ops/embedding.c, affine.c).
 *
 * Ids that come in host memory were checked by the host's own functions before anything moved. Ids on the device are
 * checked here by one block, which notes the first wrong one; the rows of state are then left as they were. Kernels
 * read nothing outside the table either way. */
#include "blocks.cuh"
#include "elements.cuh"

namespace rnnrt_cuda {

struct id_rule {
    int64_t n;                   /* ids in [0, n) */
    int wrap;                    /* negative ones count from the end */
    int strict;                  /* an id outside is an error */
    int32_t dtype;
};

enum { OUTSIDE = -1, NOT_A_NUMBER = -2 };

/* The id at i, towards zero, and the row that it means: OUTSIDE, NOT_A_NUMBER. */
__device__ static inline int64_t row_of(const id_rule &r, const char *ids, int64_t i, int64_t *id)
{
    int64_t v;
    switch (r.dtype) {
    case RNNRT_I32: v = ((const int32_t *)ids)[i]; break;
    case RNNRT_I64: v = ((const int64_t *)ids)[i]; break;
    default: {
        const double f = r.dtype == RNNRT_F32 ? (double)((const float *)ids)[i] : ((const double *)ids)[i];
        if (f != f) {
            *id = 0;
            return NOT_A_NUMBER;
        }
        if (!(f > -9e18 && f < 9e18)) {
            *id = f < 0 ? INT64_MIN : INT64_MAX;
            return OUTSIDE;
        }
        v = (int64_t)f;
    }
    }
    *id = v;
    if (v < 0 && r.wrap)
        v += r.n;
    return v < 0 || v >= r.n ? (int64_t)OUTSIDE : v;
}

struct smaller {
    template <class T> __device__ T operator()(T a, T b) const { return b < a ? b : a; }
};

/* One block: the first wrong id, where nothing was found before. */
__global__ void check_ids(id_rule r, int32_t op, int64_t batch, int64_t n, const char *ids, int64_t stride, finding *found)
{
    if (found->code)
        return;
    int64_t first = INT64_MAX, id;
    for (int64_t i = threadIdx.x; i < batch * n; i += blockDim.x) {
        const int64_t row = row_of(r, ids, i / n * stride + i % n, &id);
        if (row == NOT_A_NUMBER || (row == OUTSIDE && r.strict)) {
            first = i;
            break;
        }
    }
    first = block_reduce((long long)first, smaller());
    if (threadIdx.x || first == INT64_MAX)
        return;
    const int64_t row = row_of(r, ids, first / n * stride + first % n, &id);
    found->op = op;
    found->a = id;
    found->b = first;
    found->code = row == NOT_A_NUMBER ? RNNRT_EIDNAN : RNNRT_EID;
}

static int32_t check_on_device(const op_run &run, const rnnrt_op *op, const id_rule &r)
{
    const call_context *c = run.context;
    const rnnrt_plan_tensor *t = &run.plan->tensors[c->m->program->root[op->in[0]]];
    if (t->role == RNNRT_TENSOR_INPUT && c->call->inputs[t->io].device != RNNRT_ON_CUDA)
        return RNNRT_OK; /* checked on the host */
    const rnnrt_view *x = rnnrt_in(&run, op, 0);
    const int64_t n = x->steps * x->width;
    return check(launch(check_ids, dim3(1), dim3(threads_for(x->batch * n)), 0, run.stream, r, op->index, x->batch, n,
                        (const char *)x->data, x->batch_stride, c->found), "checking ids", run.err);
}

/* ---- embedding: prepared is the table as stored ---- */
template <class T> __device__ static inline float widened(const void *table, int64_t i) { return ((const T *)table)[i]; }

struct half_bits;
template <> __device__ inline float widened<half_bits>(const void *table, int64_t i)
{
    const uint32_t h = ((const uint16_t *)table)[i], sign = (h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest < 0x400u) /* zero and denormals: a count of 2^-24 */
        return __uint_as_float(sign | __float_as_uint((float)rest * 0x1p-24f));
    return __uint_as_float(sign | ((rest << 13) + ((rest < 0x7c00u ? 112u : 224u) << 23)));
}

template <class T>
__global__ void read_rows(id_rule r, span s, int64_t width, const char *ids, int64_t id_stride, const void *table, line<float> y)
{
    EACH_ELEMENT(s, b, i)
    {
        int64_t id;
        const int64_t row = row_of(r, ids, b * id_stride + i / width, &id);
        y.data[b * y.stride + i] = widened<T>(table, (row < 0 ? 0 : row) * width + i % width);
    }
}

int32_t run_EMBEDDING(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const id_rule r = {op->attr[0], op->attr[2] != 0, 1, x->dtype};
    const int32_t rc = check_on_device(run, op, r);
    if (rc)
        return rc;
    const int64_t width = op->attr[1];
    const int dense = dense_view(x) && dense_view(y);
    const span s = {dense ? 1 : x->batch, (dense ? x->batch : 1) * x->steps * x->width * width};
    return launch_items(run, s.rows * s.n,
                        run.plan->weights[op->weight[0]].dtype == RNNRT_F16 ? read_rows<half_bits> : read_rows<float>, r, s, width,
                        (const char *)x->data, x->batch_stride, (const void *)op->prepared, line_of<float>(y));
}

/* ---- category_encoding: a thread for each place of a code counts the ids that mean it ---- */
enum { E_TOKENS, E_MODE, E_STRICT };
enum { ONE_HOT, MULTI_HOT, COUNT };

__global__ void encode(id_rule r, span s, int64_t sample, int count, const char *ids, int64_t id_stride, line<float> y)
{
    EACH_ELEMENT(s, b, i)
    {
        const int64_t token = i % r.n, first = b * id_stride + i / r.n * sample;
        float n = 0;
        UNROLL_BY(1)
        for (int64_t k = 0; k < sample; k++) {
            int64_t id;
            n += row_of(r, ids, first + k, &id) == token ? 1.0f : 0.0f;
        }
        y.data[b * y.stride + i] = count || n < 1.0f ? n : 1.0f;
    }
}

int32_t run_CATEGORY_ENCODING(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const id_rule r = {op->attr[E_TOKENS], 0, op->attr[E_STRICT] != 0, x->dtype};
    const int32_t rc = check_on_device(run, op, r);
    if (rc)
        return rc;
    const int64_t rows = y->steps * y->width / r.n, sample = rows ? x->steps * x->width / rows : 0;
    const span s = {y->batch, y->steps * y->width};
    return launch_items(run, s.rows * s.n, encode, r, s, sample, (int)(op->attr[E_MODE] == COUNT), (const char *)x->data,
                        x->batch_stride, line_of<float>(y));
}

} // namespace rnnrt_cuda
