/* The CRC-32 of zip and PNG (reflected 0x04c11db7) by carry-less products: as fast as memory is read.
 * After V. Gopal et al., "Fast CRC computation for generic polynomials using PCLMULQDQ" (Intel, 2009); the constants
 * are powers of x modulo the polynomial. */
#include "../include/rnnrt.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define CLMUL __attribute__((target("pclmul,sse4.1")))

/* the 128 bits of `a` moved on by the distance of k's two constants, onto `b` */
CLMUL static inline __m128i fold(__m128i a, __m128i k, __m128i b)
{
    return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(a, k, 0x00), _mm_clmulepi64_si128(a, k, 0x11)), b);
}

CLMUL static inline __m128i load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }

/* n >= 64, a multiple of 16; crc is inverted on the way in and out by the caller */
CLMUL static uint32_t fold_all(uint32_t crc, const uint8_t *p, size_t n)
{
    const __m128i far = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4); /* 64 bytes on */
    const __m128i near = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0); /* 16 bytes on */
    const __m128i low = _mm_setr_epi32(-1, 0, -1, 0);
    __m128i a = _mm_xor_si128(load(p), _mm_cvtsi32_si128((int)crc)), b = load(p + 16), c = load(p + 32), d = load(p + 48);
    for (p += 64, n -= 64; n >= 64; p += 64, n -= 64) {
        a = fold(a, far, load(p));
        b = fold(b, far, load(p + 16));
        c = fold(c, far, load(p + 32));
        d = fold(d, far, load(p + 48));
    }
    a = fold(fold(fold(a, near, b), near, c), near, d);
    for (; n >= 16; p += 16, n -= 16)
        a = fold(a, near, load(p));
    /* 128 bits to 64, to 32 */
    a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, near, 0x10));
    a = _mm_xor_si128(_mm_srli_si128(a, 4), _mm_clmulepi64_si128(_mm_and_si128(a, low), _mm_set_epi64x(0, 0x0163cd6124), 0x00));
    /* Barrett: the quotient by the polynomial, then the rest */
    const __m128i poly = _mm_set_epi64x(0x01f7011641, 0x01db710641);
    __m128i q = _mm_and_si128(_mm_clmulepi64_si128(_mm_and_si128(a, low), poly, 0x10), low);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(a, _mm_clmulepi64_si128(q, poly, 0x00)), 1);
}

int rnnrt_crc32(const void *data, size_t n, uint32_t *crc)
{
    if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1"))
        return 0;
    const uint8_t *p = data;
    uint32_t c = ~*crc;
    size_t whole = n & ~(size_t)15;
    if (whole >= 64) {
        c = fold_all(c, p, whole);
        p += whole;
        n -= whole;
    }
    for (; n; n--) {
        c ^= *p++;
        for (int k = 0; k < 8; k++)
            c = (c >> 1) ^ (0xedb88320u & (0u - (c & 1)));
    }
    *crc = ~c;
    return 1;
}
#else
int rnnrt_crc32(const void *data, size_t n, uint32_t *crc)
{
    (void)data;
    (void)n;
    (void)crc;
    return 0;
}
#endif
