/* Products of two tensors, matrix by matrix: for each index of the common first axes, (I, K) by (K, J).
 * The right side is packed anew on each run, since it is no weight; the product then is the dense kernel's.
 *
 * dot: in = x, y; out = z; attr = axis of x, axis of y that are summed over, number of common axes. */
#include <string.h>

#include "nest.h"

enum { D_AXIS_X, D_AXIS_Y, D_COMMON, D_COUNT };

typedef struct sizes {
    int64_t groups, rows, sum, columns; /* of x: (groups, rows.., sum, rows..), of y likewise */
    int64_t x_inner, y_inner;           /* elements behind the summed axis */
} sizes;

static sizes sizes_of(const rnnrt_plan *p, const rnnrt_op *op, const int64_t *dims)
{
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->in[1]];
    sizes s = {1, 1, dims[x->dims[op->attr[D_AXIS_X]]], 1, 1, 1};
    for (int64_t k = 0; k < x->rank; k++) {
        int64_t n = dims[x->dims[k]];
        if (k < op->attr[D_COMMON])
            s.groups *= n;
        else if (k != op->attr[D_AXIS_X])
            s.rows *= n;
        if (k > op->attr[D_AXIS_X])
            s.x_inner *= n;
    }
    for (int64_t k = op->attr[D_COMMON]; k < y->rank; k++) {
        int64_t n = dims[y->dims[k]];
        if (k != op->attr[D_AXIS_Y])
            s.columns *= n;
        if (k > op->attr[D_AXIS_Y])
            s.y_inner *= n;
    }
    return s;
}

static rnnrt_dense dense_of(const sizes *s)
{
    rnnrt_dense d = {.dtype = RNNRT_F32, .inputs = s->sum, .outputs = s->columns,
                     .activation = {RNNRT_ACT_LINEAR, {0, 0, 0}}, .packed = NULL};
    return d;
}

static int32_t check(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    if (d->n_in != 2 || d->n_out != 1 || d->n_attr != D_COUNT || p->regions[d->region].time_dim >= 0
        || !rnnrt_nest_fits(p, op, 0))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->in[1]], *z = &p->tensors[op->out[0]];
    int64_t n = op->attr[D_COMMON];
    if ((x->dtype != RNNRT_F32 && x->dtype != RNNRT_F64) || y->dtype != x->dtype || z->dtype != x->dtype || n < 1 || op->attr[D_AXIS_X] < n
        || op->attr[D_AXIS_X] >= x->rank || op->attr[D_AXIS_Y] < n || op->attr[D_AXIS_Y] >= y->rank)
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    for (int64_t k = 0; k < n; k++)
        if (x->dims[k] != y->dims[k])
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, k);
    return RNNRT_OK;
}

static int32_t size(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan_tensor *y = &s->plan->tensors[op->in[1]];
    sizes n = sizes_of(s->plan, op, s->dims);
    int64_t sum = s->dims[y->dims[op->attr[D_AXIS_Y]]];
    if (n.sum != sum || n.sum < 1)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, sum, n.sum);
    if (n.groups * n.rows * n.columns != rnnrt_elements(s, op->out[0]))
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, rnnrt_elements(s, op->out[0]), n.groups * n.rows * n.columns);
    *scratch = 0;
    *cost = n.groups * n.sum * (n.rows * n.columns / 16 + n.columns) + 50;
    if (n.columns < 1 || y->dtype == RNNRT_F64)
        return RNNRT_OK;
    rnnrt_dense d = dense_of(&n);
    *scratch = rnnrt_round64(n.rows * n.sum * 4) + rnnrt_round64(n.sum * n.columns * 4)
             + rnnrt_round64(s->kernels->dense_packed_bytes(&d));
    return RNNRT_OK;
}

/* (outer, k, inner) as rows of k */
static void rows_of(int64_t rows, int64_t k, int64_t inner, const float *x, float *out)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < k; i++)
            out[r * k + i] = x[(r / inner * k + i) * inner + r % inner];
}

/* (outer, k, inner) as k rows */
static void columns_of(int64_t columns, int64_t k, int64_t inner, const float *y, float *out)
{
    for (int64_t o = 0; o < columns / inner; o++)
        for (int64_t i = 0; i < k; i++)
            memcpy(out + i * columns + o * inner, y + (o * k + i) * inner, (size_t)inner * 4);
}

/* double: each element one chain, inputs ascending */
static void run_double(const rnnrt_run *run, const rnnrt_op *op, const sizes *n)
{
    for (int64_t g = 0; g < n->groups; g++) {
        const double *x = (const double *)rnnrt_in(run, op, 0)->data + g * n->rows * n->sum;
        const double *y = (const double *)rnnrt_in(run, op, 1)->data + g * n->columns * n->sum;
        double *z = (double *)rnnrt_out(run, op, 0)->data + g * n->rows * n->columns;
        for (int64_t r = 0; r < n->rows; r++)
            for (int64_t c = 0; c < n->columns; c++) {
                const double *a = x + r / n->x_inner * n->sum * n->x_inner + r % n->x_inner;
                const double *b = y + c / n->y_inner * n->sum * n->y_inner + c % n->y_inner;
                double sum = 0;
                for (int64_t k = 0; k < n->sum; k++)
                    sum += a[k * n->x_inner] * b[k * n->y_inner];
                z[r * n->columns + c] = sum;
            }
    }
}

static int32_t run(const rnnrt_run *run, const rnnrt_op *op)
{
    sizes n = sizes_of(run->plan, op, run->dims);
    if (n.rows < 1 || n.columns < 1)
        return RNNRT_OK;
    if (rnnrt_out(run, op, 0)->dtype == RNNRT_F64) {
        run_double(run, op, &n);
        return RNNRT_OK;
    }
    rnnrt_dense d = dense_of(&n);
    float *left = (float *)run->scratch, *right = (float *)((char *)left + rnnrt_round64(n.rows * n.sum * 4));
    char *packed = (char *)right + rnnrt_round64(n.sum * n.columns * 4);
    d.packed = packed;
    for (int64_t g = 0; g < n.groups; g++) {
        const float *x = (const float *)rnnrt_in(run, op, 0)->data + g * n.rows * n.sum;
        const float *y = (const float *)rnnrt_in(run, op, 1)->data + g * n.columns * n.sum;
        if (n.x_inner > 1) {
            rows_of(n.rows, n.sum, n.x_inner, x, left);
            x = left;
        }
        if (n.y_inner < n.columns) {
            columns_of(n.columns, n.sum, n.y_inner, y, right);
            y = right;
        }
        run->kernels->dense_pack(&d, y, NULL, NULL, packed);
        run->kernels->dense(&d, n.rows, x, n.sum, (float *)rnnrt_out(run, op, 0)->data + g * n.rows * n.columns, n.columns,
                            0, RNNRT_ALL_BLOCKS);
    }
    return RNNRT_OK;
}

const rnnrt_op_class rnnrt_op_dot = {"dot", check, NULL, NULL, size, NULL, run, 0};
