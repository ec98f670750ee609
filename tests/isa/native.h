/* The silicon: executes bytes on the host CPU with a register file of the test's choice, in 64-bit user mode.
 *
 * Code lies at NATIVE_CODE, data at [NATIVE_DATA, NATIVE_DATA_END), with an unmapped page before and behind;
 * all below 2 MiB, so that a guest can have the same addresses mapped to itself. Signals are caught and told
 * as the exception that the CPU raised. The bytes must not be a system call, and must not jump: whatever else
 * they do to registers and to the data window is undone by the next case. */
#ifndef ISA_NATIVE_H
#define ISA_NATIVE_H

#include <stdbool.h>

#include "base/types.h"

#define NATIVE_CODE     0x180000ull
#define NATIVE_DATA     0x1a0000ull
#define NATIVE_DATA_LEN 0x2000ull
#define NATIVE_DATA_END (NATIVE_DATA + NATIVE_DATA_LEN)
#define NATIVE_STATE    0x1c0000ull

/* A user program's registers. Both sides of a comparison fill one. */
struct world {
    unsigned bits; /* 32: compatibility mode, where the upper halves and R8..R15 do not count; else 64-bit mode */
    u64 gpr[16];
    u64 rip; /* after; before, it is where the bytes are put */
    u64 rflags;
    u16 fcw, fsw;
    u8 ftw;       /* abridged: bit set = physical register in use */
    u8 st[8][10]; /* physical registers */
    u16 fop;
    u64 fip, fdp;
    u32 mxcsr;
    u8 ymm[16][32];
    u64 fs, gs; /* bases, of 64-bit mode */
    int vector; /* after: the exception, or -1 */
    u32 error;
    u64 addr; /* CR2 of a #PF */
};

/* AddressSanitizer's shadow is mapped at 0x7fff8000 to 0x10007fff8000: where an operand leads there, the host does not fault as the guest does. */
static inline bool world_in_shadow(const struct world *guest)
{
#ifdef __SANITIZE_ADDRESS__
    return guest->addr >= 0x7fff8000 && guest->addr < 0x10007fff8000;
#else
    (void)guest;
    return false;
#endif
}

/* Maps the windows and installs the signal handlers. False: WHY says why this host cannot. */
bool native_init(const char **why);
/* Executes LEN (at most 15) bytes at W->rip, which lies in the code page. */
void native_run(struct world *w, const u8 *code, unsigned len);

#endif
