/* What a packed weight is: a float, or a half in the units that define RNNRT_HALF, widened as it is loaded.
 * Biases are floats in both. The sums are those of numerics 1 over the widened weights. */
#ifndef RNNRT_WEIGHT_H
#define RNNRT_WEIGHT_H

#ifdef RNNRT_HALF
typedef uint16_t weight;
V_INLINE vf w_load(const weight *p) { return v_load_half(p); }
#else
typedef float weight;
V_INLINE vf w_load(const weight *p) { return v_load(p); }
#endif

#define WEIGHT_LINE (64 / (int64_t)sizeof(weight)) /* weights in a cache line */

#endif
