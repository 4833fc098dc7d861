/* activation, unary, fill_like, cast; batch_normalization, normalization, rescaling, prelu. The meaning of each is said in
 * src_c/ops: elementwise.c, functions.c, move.c, affine.c. */
#include "activations.cuh"
#include "elements.cuh"
#include "rowwise.cuh"

#include <string.h>

extern "C" {
#include "../ops/axis_run.h"
}

namespace rnnrt_cuda {

/* ---- activation ---- */
struct activate_one {
    rnnrt_activation f;
    __device__ float operator()(float x, int64_t) const { return rnnrt_activate(f, x); }
};

int32_t run_ACTIVATION(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_activation f = {(int32_t)op->attr[0], {(float)op->real[0], (float)op->real[1], (float)op->real[2]}};
    if (!rnnrt_rowwise(f.kind))
        return map<float, float>(run, op, activate_one{f});
    const rnnrt_view *x = rnnrt_in(&run, op, 0), *y = rnnrt_out(&run, op, 0);
    const int64_t w = op->attr[1], wy = f.kind == RNNRT_ACT_GLU ? w / 2 : w;
    return rowwise(run, f.kind, {x->batch, x->steps * (x->width / w), 1, w}, (const float *)x->data, x->batch_stride,
                   (float *)y->data, y->batch_stride, wy);
}

/* ---- unary: the order of src_c/ops/functions.c ---- */
template <class T> struct unary_one {
    int f;
    __device__ T operator()(T x, int64_t) const
    {
        switch (f) {
        case 0: return fabs(x);
        case 1: return log(x);
        case 2: return log1p(x);
        case 3: return expm1(x);
        case 4: return sqrt(x);
        case 5: return T(1) / sqrt(x);
        case 6: return sin(x);
        case 7: return cos(x);
        case 8: return floor(x);
        case 9: return ceil(x);
        case 10: return rint(x);
        case 11: return x > 0 ? T(1) : x < 0 ? T(-1) : x;
        default: return erf(x);
        }
    }
};

template <class T> static int32_t unary(const op_run &run, const rnnrt_op *op)
{
    return map<T, T>(run, op, unary_one<T>{(int)op->attr[0]});
}

int32_t run_UNARY(const op_run &run, const rnnrt_op *op)
{
    return rnnrt_out(&run, op, 0)->dtype == RNNRT_F64 ? unary<double>(run, op) : unary<float>(run, op);
}

/* ---- fill_like ---- */
__global__ void fill_elements(int item, uint64_t value, span s, line<void> y)
{
    EACH_ELEMENT(s, b, i) copy_item(item, y.data, b * y.stride + i, &value, 0);
}

template <class T> static int32_t fill(const op_run &run, const rnnrt_view *y, T value)
{
    const span s = span_of(y, y);
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return launch_items(run, s.rows * s.n, fill_elements, (int)sizeof value, bits, s, line_of<void>(y));
}

int32_t run_FILL_LIKE(const op_run &run, const rnnrt_op *op)
{
    const rnnrt_view *y = rnnrt_out(&run, op, 0);
    const double v = op->real[0];
    switch (y->dtype) {
    case RNNRT_F32: return fill(run, y, (float)v);
    case RNNRT_F64: return fill(run, y, v);
    case RNNRT_I32: return fill(run, y, (int32_t)v);
    case RNNRT_I64: return fill(run, y, (int64_t)v);
    default: return fill(run, y, (uint8_t)(v != 0));
    }
}

/* ---- ones_mask ---- */
int32_t run_ONES_MASK(const op_run &run, const rnnrt_op *op) { return fill(run, rnnrt_out(&run, op, 0), (uint8_t)1); }

/* ---- batch_normalization: the host prepared scale and shift for each place of a row ---- */
struct scale_shift {
    const float *scale, *shift;
    int64_t width;
    __device__ float operator()(float x, int64_t i) const
    {
        const int64_t k = i % width;
        return fmaf(x, scale[k], shift[k]);
    }
};

int32_t run_BATCH_NORMALIZATION(const op_run &run, const rnnrt_op *op)
{
    const int64_t width = op->attr[0] * op->attr[1];
    const float *scale = (const float *)op->prepared;
    return map<float, float>(run, op, scale_shift{scale, scale + rnnrt_round64(width * 4) / 4, width});
}

/* ---- normalization, rescaling: prepared are two constants, for all or for each place of the run of axes ---- */
enum affine_rule { SCALE_OFFSET, TOWARDS_ZERO, BACK };

struct affine_one {
    const float *first, *second;
    int64_t count, n, inner;
    affine_rule rule;
    __device__ float operator()(float x, int64_t i) const
    {
        const int64_t k = count > 1 ? i / inner % n : 0;
        /* without contraction: the host rounds the product, too */
        return rule == SCALE_OFFSET ? __fadd_rn(__fmul_rn(x, first[k]), second[k])
             : rule == BACK ? __fadd_rn(__fmul_rn(x, second[k]), first[k]) : (x - first[k]) / second[k];
    }
};

static int32_t affine(const op_run &run, const rnnrt_op *op, affine_rule rule)
{
    const rnnrt_axes a = rnnrt_axes_of(&run, op, op->attr[0], op->attr[1]);
    const int weights = op->desc->n_weight == 2 && op->weight[0] >= 0;
    int64_t count = weights ? 1 : op->desc->n_real / 2;
    for (int64_t i = 0; weights && i < run.plan->weights[op->weight[0]].rank; i++)
        count *= run.plan->weights[op->weight[0]].dims[i];
    const float *first = (const float *)op->prepared;
    return map<float, float>(run, op, affine_one{first, first + count, count, a.n, a.inner, rule}, true);
}

int32_t run_NORMALIZATION(const op_run &run, const rnnrt_op *op) { return affine(run, op, op->attr[2] ? BACK : TOWARDS_ZERO); }
int32_t run_RESCALING(const op_run &run, const rnnrt_op *op) { return affine(run, op, SCALE_OFFSET); }

/* ---- prelu: prepared is alpha for each place behind the first axis that is not shared ---- */
struct prelu_one {
    const float *alpha;
    int64_t period;
    __device__ float operator()(float x, int64_t i) const { return x > 0 ? x : x * alpha[i % period]; }
};

int32_t run_PRELU(const op_run &run, const rnnrt_op *op)
{
    const int64_t period = rnnrt_axes_known(run.plan, op->in[0], op->attr[0], run.plan->tensors[op->in[0]].rank - 1);
    return map<float, float>(run, op, prelu_one{(const float *)op->prepared, period}, true);
}

} // namespace rnnrt_cuda
