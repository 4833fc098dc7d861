/* Ops with a body in float and one in double: the plan says which, by the dtype of the first input.
 *
 *     #include "real32.h"
 *     #include "x_body.h"       functions TYPED(check), TYPED(run), ... over REAL
 *     #include "real64.h"
 *     #include "x_body.h"
 *     RNNRT_TYPED_CHECK(check)  makes check() out of check_32() and check_64()
 */
#ifndef RNNRT_TYPED_H
#define RNNRT_TYPED_H

#include "op.h"

static inline int rnnrt_is_double(const rnnrt_plan *p, const rnnrt_op *op)
{
    return op->desc->n_in > 0 && p->tensors[op->in[0]].dtype == RNNRT_F64;
}

/* The dtype of a matrix of weights, where the plan has checked its index. */
static inline int32_t rnnrt_weight_dtype(const rnnrt_plan *p, int64_t weight) { return (int32_t)p->weights[weight].dtype; }

/* What the weights of a float layer may be stored as; a float64 layer's are doubles. */
static inline int rnnrt_stored_dtype(int64_t dtype) { return dtype == RNNRT_F32 || dtype == RNNRT_F16 || dtype == RNNRT_I8; }

#define RNNRT_TYPED_CHECK(name)                                                                       \
    static int32_t name(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)               \
    {                                                                                                 \
        return rnnrt_is_double(v->plan, op) ? name##_64(v, op, err) : name##_32(v, op, err);          \
    }
#define RNNRT_TYPED_BYTES(name)                                                                       \
    static int64_t name(const rnnrt_plan_view *v, const rnnrt_op *op)                                 \
    {                                                                                                 \
        return rnnrt_is_double(v->plan, op) ? name##_64(v, op) : name##_32(v, op);                    \
    }
#define RNNRT_TYPED_PREPARE(name)                                                                     \
    static void name(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)                    \
    {                                                                                                 \
        if (rnnrt_is_double(v->plan, op))                                                             \
            name##_64(v, op, prepared);                                                               \
        else                                                                                          \
            name##_32(v, op, prepared);                                                               \
    }
#define RNNRT_TYPED_SIZE(name)                                                                        \
    static int32_t name(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost,    \
                        rnnrt_error *err)                                                             \
    {                                                                                                 \
        return rnnrt_is_double(s->plan, op) ? name##_64(s, op, scratch, cost, err)                    \
                                            : name##_32(s, op, scratch, cost, err);                   \
    }
#define RNNRT_TYPED_RUN(name)                                                                         \
    static int32_t name(const rnnrt_run *run, const rnnrt_op *op)                                     \
    {                                                                                                 \
        return rnnrt_is_double(run->plan, op) ? name##_64(run, op) : name##_32(run, op);              \
    }

#endif
