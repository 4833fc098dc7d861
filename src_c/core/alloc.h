/* The one pair through which the core allocates; everything is 64-byte aligned. */
#ifndef RNNRT_ALLOC_H
#define RNNRT_ALLOC_H

#include "../include/rnnrt.h"

void *rnnrt_alloc(size_t bytes);       /* NULL where there is none; never zeroed */
void *rnnrt_alloc_zero(size_t bytes);
void rnnrt_free(void *memory);

#endif
