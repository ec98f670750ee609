/* The silicon for integer code: executes bytes on the host CPU in 64-bit mode, or in 32-bit mode through a compatibility segment, with all GPRs and
 * RFLAGS of the test's choice. Branches are allowed: the code page is full of INT3, and a case that lands there tells where. Everything
 * the bytes may reach lies below 2 MiB, at native.h's addresses; the rest of this file's state is out of their way.
 *
 * The code page is written through another mapping; IRET enters it, and is the serializing instruction that this asks for. */
#ifndef ISA_ORACLE_HOST_H
#define ISA_ORACLE_HOST_H

#include "native.h"

#define HOST_SYSCALL (-2) /* a vector: the bytes made a system call, which the sandbox refused */

/* Bytes behind the code that lead back. They are free of side effects, and the same for every case of a mode. */
#define HOST_TAIL 14u

/* What a case starts with and ends with. In 32-bit code the upper halves and R8..R15 do not count. */
struct regs {
    u64 gpr[16];
    u64 rip, rflags;
    int vector; /* after: the exception, or -1 */
    u32 error;
    u64 addr; /* CR2 of a #PF */
};

/* False: WHY says why this host cannot. */
bool host_init(const char **why);
/* From here on, the process can compute, print and end, nothing else; system calls of a case come out as HOST_SYSCALL. */
bool host_seal(void);
u64 host_fs_base(void);
u64 host_gs_base(void);
/* Executes LEN (at most 64) bytes at R->rip in the code page, with BITS 32 or 64. They may end where the page does: then nothing stands behind them.
 * After a branch to INT3, and after a single step (RFLAGS.TF), vector is VEC_BP and VEC_DB. */
void host_run(struct regs *r, const u8 *code, unsigned len, unsigned bits);

#endif
