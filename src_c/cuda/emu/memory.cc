/* Allocations: poisoned when fresh, fenced at both ends, counted, and failing when a test wants them to. */
#include <cstdlib>
#include <map>

#include "settings.h"

namespace emu {

memory_count memory;

namespace {

const size_t FENCE = 256;
struct held { size_t bytes; where w; int device; };
std::map<char *, held> &all()
{
    static auto *m = new std::map<char *, held>; /* outlives static destructors that free */
    return *m;
}

bool whole(const char *p, size_t n)
{
    for (size_t i = 0; i < FENCE; i++)
        if ((unsigned char)p[-(ptrdiff_t)FENCE + (ptrdiff_t)i] != 0xFE || (unsigned char)p[n + i] != 0xFE)
            return false;
    return true;
}

} // namespace

where memory_of(const void *q, int *device, size_t *left)
{
    auto it = all().upper_bound((char *)q);
    if (it == all().begin())
        return ELSEWHERE;
    --it;
    const size_t at = (size_t)((char *)q - it->first);
    if (at >= it->second.bytes + (it->second.bytes == 0))
        return ELSEWHERE;
    if (device)
        *device = it->second.device;
    if (left)
        *left = it->second.bytes - at;
    return it->second.w;
}

/* 0xFF everywhere is NaN as float and double, -1 as an integer. */
void *memory_take(size_t n, where w)
{
    int64_t &left = setting_ref(FAIL_AFTER);
    if (left == 0) {
        left = -1;
        return nullptr;
    }
    if (left > 0)
        left--;
    if (w == ON_DEVICE && memory.live_bytes + (int64_t)n > setting(MEMORY))
        return nullptr;
    auto *raw = (char *)::aligned_alloc(256, (n + 2 * FENCE + 255) & ~(size_t)255);
    if (!raw)
        return nullptr;
    memset(raw, 0xFE, FENCE);
    memset(raw + FENCE, 0xFF, n);
    memset(raw + FENCE + n, 0xFE, FENCE);
    all()[raw + FENCE] = {n, w, device()};
    memory.live_bytes += w == ON_DEVICE ? (int64_t)n : 0;
    memory.live++;
    memory.allocations++;
    return raw + FENCE;
}

bool memory_give(void *p, where w)
{
    auto it = all().find((char *)p);
    if (it == all().end() || it->second.w != w)
        return false;
    if (!whole(it->first, it->second.bytes)) {
        memory.torn++;
        broken = cudaErrorIllegalAddress;
    }
    memory.live_bytes -= w == ON_DEVICE ? (int64_t)it->second.bytes : 0;
    memory.live--;
    memset(p, 0xFD, it->second.bytes);
    ::free(it->first - FENCE);
    all().erase(it);
    return true;
}

} // namespace emu

using namespace emu;

cudaError_t cudaHostAlloc(void **p, size_t n, unsigned)
{
    locked guard(big_lock());
    if (broken)
        return fail(broken);
    *p = memory_take(n, PINNED);
    return fail(*p ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaMallocHost(void **p, size_t n) { return cudaHostAlloc(p, n, 0); }
cudaError_t cudaHostGetDevicePointer(void **dev, void *host, unsigned)
{
    locked guard(big_lock());
    *dev = host;
    return fail(memory_of(host) == PINNED ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p)
{
    locked guard(big_lock());
    int d = 0;
    const where w = memory_of(p, &d);
    a->type = w == ON_DEVICE ? cudaMemoryTypeDevice : w == PINNED ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    a->device = w == ELSEWHERE ? -2 : d;
    a->devicePointer = w == ELSEWHERE ? nullptr : (void *)p;
    a->hostPointer = w == ON_DEVICE ? nullptr : (void *)p;
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    locked guard(big_lock());
    *total = (size_t)setting(MEMORY);
    *free_bytes = *total - (size_t)memory.live_bytes;
    return cudaSuccess;
}
