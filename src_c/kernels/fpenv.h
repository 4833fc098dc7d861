/* The floating point environment that every entry into the kernels loads, and restores after.
 *
 * Round to nearest, flush-to-zero and denormals-are-zero: denormal states cost 22-60x, and another
 * library may have changed the rounding, so the whole register is set, not single bits. */
#ifndef RNNRT_FPENV_H
#define RNNRT_FPENV_H

#if defined(__SSE__)
#include <xmmintrin.h>
typedef unsigned int rnnrt_fpenv;
static inline rnnrt_fpenv rnnrt_fpenv_enter(void)
{
    rnnrt_fpenv old = _mm_getcsr();
    _mm_setcsr(0x9fc0u); /* FTZ | DAZ | all exceptions masked, round to nearest */
    return old;
}
static inline void rnnrt_fpenv_leave(rnnrt_fpenv old) { _mm_setcsr(old); }
/* What foreign code expects: denormals kept, all exceptions masked. Leave it with rnnrt_fpenv_leave. */
static inline rnnrt_fpenv rnnrt_fpenv_plain(void)
{
    rnnrt_fpenv old = _mm_getcsr();
    _mm_setcsr(0x1f80u);
    return old;
}
#else
typedef int rnnrt_fpenv;
static inline rnnrt_fpenv rnnrt_fpenv_enter(void) { return 0; }
static inline rnnrt_fpenv rnnrt_fpenv_plain(void) { return 0; }
static inline void rnnrt_fpenv_leave(rnnrt_fpenv old) { (void)old; }
#endif

#endif
