/* Half precision (IEEE binary16) widened to float by bit arithmetic: exact for every value, denormal ones included,
 * whatever the floating point environment says; a NaN stays one. */
#ifndef RNNRT_HALF_H
#define RNNRT_HALF_H

#include <stdint.h>
#include <string.h>

static inline float rnnrt_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;
    uint32_t bits;
    float f;
    if (rest < 0x400u) { /* zero and denormals: a count of 2^-24 */
        f = (float)(int32_t)rest * 0x1p-24f;
        memcpy(&bits, &f, sizeof bits);
    } else {
        bits = (rest << 13) + ((rest < 0x7c00u ? 112u : 224u) << 23);
    }
    bits |= sign;
    memcpy(&f, &bits, sizeof f);
    return f;
}

#endif
