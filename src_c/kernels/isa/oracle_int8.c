/* The kernels over int8 weights for one float after another, with the roundings of the FMA tables. */
#ifdef __FAST_MATH__
#error "fast-math would break the summation order"
#endif
#include "../kernels.h"
#include "../simd/scalar.h"
#include "../simd/int8_plain.h"
#include "../generic/int8_plain.h"
#include "../generic/int8.h"
#include "../generic/table_struct.h"

const rnnrt_kernels rnnrt_kernels_oracle_int8 = {RNNRT_PART("oracle", 1)};
