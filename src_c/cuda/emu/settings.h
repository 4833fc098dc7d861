/* What the emulated machine is like; control.cc has the names, the values that they begin with, and the lock. */
#ifndef RNNRT_EMU_SETTINGS_H
#define RNNRT_EMU_SETTINGS_H

#include <cstdint>
#include <mutex>

#include "cuda_runtime.h"

namespace emu {

enum setting_id { SEED, DEVICES, SMS, ARCH, MEMORY, FAIL_AFTER, FAULT_AFTER, FAULT, LATE, SETTINGS };
int64_t setting(setting_id id);
int64_t &setting_ref(setting_id id);

/* One call at a time: streams run inside the calls of whoever needs their results. */
typedef std::lock_guard<std::recursive_mutex> locked;
std::recursive_mutex &big_lock();

cudaError_t fail(cudaError_t e);   /* remembers it for cudaGetLastError */
extern cudaError_t broken;         /* the device's own error: sticks */
int device();                      /* of this thread */

struct memory_count { int64_t live_bytes, live, allocations, torn; };
extern memory_count memory;
enum where { ELSEWHERE, ON_DEVICE, PINNED };
where memory_of(const void *p, int *device = nullptr, size_t *left = nullptr); /* left: bytes from p to its end */
void *memory_take(size_t n, where w);
bool memory_give(void *p, where w);
cudaError_t enqueue(cudaStream_t s, std::function<void()> w);
void streams_forget();             /* drops what is queued */

} // namespace emu

#endif
