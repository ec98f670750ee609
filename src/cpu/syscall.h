/* SYSCALL and SYSRET behind their checks, for who keeps the arithmetic flags elsewhere than in struct cpu, whose `fl` they leave alone. */
#ifndef CPU_SYSCALL_H
#define CPU_SYSCALL_H

#include "cpu/cpu.h"

/* FLAGS: RFLAGS as a whole. What of it comes in RFLAGS then. */
u64 syscall_enter(struct cpu *c, u64 next, u64 flags);
/* To RIP, with the flags in R11; SIZE: 8, or 4 for 32-bit code. What of them comes in RFLAGS. */
u64 syscall_return(struct cpu *c, unsigned size, u64 rip);
/* As cpu_set_rflags, but for the arithmetic flags. */
void cpu_set_rflags_sys(struct cpu *c, u64 v);

#endif
