#include <string.h>

#include "nest.h"

#define COPY(type)                                                                                                     \
    static void copy_##type(int64_t n, type *y, int64_t sy, const type *x, int64_t sx)                                 \
    {                                                                                                                  \
        if (sy == 1 && sx == 0) {                                                                                      \
            type v = *x;                                                                                               \
            for (int64_t i = 0; i < n; i++)                                                                            \
                y[i] = v;                                                                                              \
        } else {                                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                                            \
                y[i * sy] = x[i * sx];                                                                                 \
        }                                                                                                              \
    }
COPY(uint8_t)
COPY(uint16_t)
COPY(uint32_t)
COPY(uint64_t)

void rnnrt_nest_copy(const rnnrt_nest *nest, int64_t item, char *dst, const char *src)
{
    int64_t index[RNNRT_MAX_RANK + 1] = {0}, at[NEST_OPERANDS] = {0};
    int last = nest->rank - 1;
    int64_t n = nest->dim[last], sy = nest->stride[0][last], sx = nest->stride[1][last];
    for (int k = 0; k <= last; k++)
        if (nest->dim[k] < 1)
            return;
    do {
        char *y = dst + at[0] * item;
        const char *x = src + at[1] * item;
        if (sy == 1 && sx == 1)
            memcpy(y, x, (size_t)(n * item));
        else if (item == 4)
            copy_uint32_t(n, (uint32_t *)y, sy, (const uint32_t *)x, sx);
        else if (item == 8)
            copy_uint64_t(n, (uint64_t *)y, sy, (const uint64_t *)x, sx);
        else if (item == 1)
            copy_uint8_t(n, (uint8_t *)y, sy, (const uint8_t *)x, sx);
        else
            copy_uint16_t(n, (uint16_t *)y, sy, (const uint16_t *)x, sx);
    } while (rnnrt_nest_next(nest, index, at));
}
