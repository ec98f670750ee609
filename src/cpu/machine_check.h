/* Machine checks: the banks' registers and the #MC abort. See machine_check.c. */
#ifndef CPU_MACHINE_CHECK_H
#define CPU_MACHINE_CHECK_H

#include "cpu/cpu.h"

#define MCG_CTL_P 0x100u                                          /* MCG_CAP */
enum { MCG_RIPV = 1 << 0, MCG_EIPV = 1 << 1, MCG_MCIP = 1 << 2 }; /* MCG_STATUS */

/* A bank's four registers are CTL, STATUS, ADDR, MISC. */
enum { MC_CTL, MC_STATUS, MC_ADDR, MC_MISC };

/* Notes the error of c->mc_pending in its bank; true: #MC is to be delivered, or the vCPU has shut down. */
bool machine_check_take(struct cpu *c);
/* An error for C, taken at its next boundary; by any thread that keeps others from doing the same. False: no
 * such bank, or one is still waiting. */
bool machine_check_inject(struct cpu *c, const struct mc_error *e);

#endif
