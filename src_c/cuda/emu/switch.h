/* From one stack to another. Kernels keep nothing in the control words, so the callee-saved registers are all. */
#ifndef RNNRT_EMU_SWITCH_H
#define RNNRT_EMU_SWITCH_H

#include <cstdint>

#if defined(__x86_64__)
extern "C" void rnnrt_emu_switch(void **save, void *to);
asm(".text\n.globl rnnrt_emu_switch\n.hidden rnnrt_emu_switch\n.type rnnrt_emu_switch,@function\n"
    "rnnrt_emu_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size rnnrt_emu_switch,.-rnnrt_emu_switch\n");

/* A context that begins in `entry`, which must not return. */
static inline void *context_make(char *stack, size_t bytes, void (*entry)())
{
    auto *top = (uint64_t *)((uintptr_t)(stack + bytes) & ~(uintptr_t)15);
    *--top = 0;
    *--top = (uint64_t)entry;
    for (int i = 0; i < 6; i++)
        *--top = 0;
    return top;
}
static inline void context_switch(void **save, void *to) { rnnrt_emu_switch(save, to); }
#else
#include <ucontext.h>
/* The context lies at the low end of its stack; the one who runs the launch has one of its own. */
static inline void *context_make(char *stack, size_t bytes, void (*entry)())
{
    auto *c = (ucontext_t *)stack;
    const size_t head = (sizeof *c + 63) & ~(size_t)63;
    getcontext(c);
    c->uc_stack.ss_sp = stack + head;
    c->uc_stack.ss_size = bytes - head;
    c->uc_link = nullptr;
    makecontext(c, entry, 0);
    return c;
}
static inline void context_switch(void **save, void *to)
{
    ucontext_t here;
    *save = &here;
    swapcontext(&here, (ucontext_t *)to);
}
#endif

#endif
