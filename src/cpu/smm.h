/* System management mode: entering it, and the memory that is seen from it. See smm.c. */
#ifndef CPU_SMM_H
#define CPU_SMM_H

#include "cpu/access.h"

/* Takes the SMI: saves the state at SMBASE + 0xfe00 and begins at SMBASE + 0x8000. */
void smm_enter(struct cpu *c);

/* Where GPA's LEN bytes are when the SMRAM control lets an access of kind ACC by C see the memory under the
 * VGA window; null: it does not. Such places never enter the soft TLB, and blocks decoded from them are not
 * kept: so neither has to know about SMM. */
u8 *smram_hva(const struct cpu *c, u64 gpa, unsigned len, unsigned acc) COLD;

/* RAM as C sees it now. */
static inline u8 *cpu_ram(const struct cpu *c, u64 gpa, unsigned len, unsigned acc)
{
    struct mem *m = c->wires.mem;
    return LIKELY(mem_is_ram(m, gpa, len)) ? m->base + gpa : smram_hva(c, gpa, len, acc);
}

#endif
