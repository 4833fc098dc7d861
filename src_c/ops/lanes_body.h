/* Sums of REAL in 16 virtual lanes (lane = k mod 16), then the tree 8-4-2-1. Included by typed bodies; no guard, see
 * typed.h. */
typedef struct {
    REAL lane[16];
} TYPED(rnnrt_lanes);

static inline REAL TYPED(rnnrt_lanes_tree)(TYPED(rnnrt_lanes) *l)
{
    for (int step = 8; step; step /= 2)
        for (int i = 0; i < step; i++)
            l->lane[i] += l->lane[i + step];
    return l->lane[0];
}

static inline REAL TYPED(rnnrt_lanes_sum)(const REAL *x, int64_t n)
{
    TYPED(rnnrt_lanes) l = {{0}};
    int64_t k = 0;
    for (; k + 16 <= n; k += 16)
        for (int i = 0; i < 16; i++)
            l.lane[i] += x[k + i];
    for (int i = 0; k + i < n; i++)
        l.lane[i] += x[k + i];
    return TYPED(rnnrt_lanes_tree)(&l);
}

/* sum of (x - shift)^2 */
static inline REAL TYPED(rnnrt_lanes_squares)(const REAL *x, int64_t n, REAL shift)
{
    TYPED(rnnrt_lanes) l = {{0}};
    int64_t k = 0;
    for (; k + 16 <= n; k += 16)
        for (int i = 0; i < 16; i++) {
            REAL d = x[k + i] - shift;
            l.lane[i] += d * d;
        }
    for (int i = 0; k + i < n; i++) {
        REAL d = x[k + i] - shift;
        l.lane[i] += d * d;
    }
    return TYPED(rnnrt_lanes_tree)(&l);
}
