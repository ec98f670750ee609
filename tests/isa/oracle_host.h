/* The silicon for the oracle: executes bytes on the host CPU in 64-bit mode, or in 32-bit mode through a compatibility segment, with the whole user
 * state of the test's choice: GPRs, RFLAGS, x87, MXCSR, YMM, FS and GS bases. Branches are allowed: the code page is full of INT3, and a case that
 * lands there tells where. Everything the bytes may reach lies below 2 MiB, at native.h's addresses; the rest of this file's state is out of their way.
 *
 * The code page is written through another mapping; IRET enters it, and is the serializing instruction that this asks for. */
#ifndef ISA_ORACLE_HOST_H
#define ISA_ORACLE_HOST_H

#include "native.h"

#define HOST_SYSCALL (-2) /* a vector: the bytes made a system call, which the sandbox refused */

/* Bytes behind the code that lead back. They are free of side effects, and the same for every case of a mode. */
#define HOST_TAIL 14u

/* False: WHY says why this host cannot. */
bool host_init(const char **why);
/* What the code page of that kind of case holds while it runs, code apart: a gather may read it. */
void host_page(u8 *page, u64 off, unsigned len, unsigned bits);
/* From here on, the process can compute, print and end, nothing else; system calls of a case come out as HOST_SYSCALL. */
bool host_seal(void);
/* Executes LEN (at most 64) bytes at R->rip in the code page, in R->bits. They may end where the page does: then nothing stands behind them.
 * After a branch to INT3, and after a single step (RFLAGS.TF), vector is VEC_BP and VEC_DB. With RFLAGS.AC, (R->rip + LEN + 6) must be a
 * multiple of 8. */
void host_run(struct world *r, const u8 *code, unsigned len);

#endif
