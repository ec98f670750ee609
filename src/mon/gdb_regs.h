/* The vCPU's registers as gdb numbers and describes them: one table makes the target description, the numbers
 * of `p` and `P`, and the layout of `g`. Names and order of the standard features are gdb's
 * (org.gnu.gdb.i386.core, .sse, .avx, .segments); the system registers have a feature of their own. */
#ifndef MON_GDB_REGS_H
#define MON_GDB_REGS_H

#include "base/types.h"
#include "cpu/cpu.h"

#define GDB_REG_MAX 32 /* bytes of the largest register */

unsigned gdb_regs_count(void);
/* Size in bytes of register N (below the count). */
unsigned gdb_reg_size(unsigned n);
/* Register N, little-endian, gdb_reg_size(N) bytes. */
void gdb_reg_get(struct cpu *c, unsigned n, u8 *out);
/* False: this register cannot be set to that value. What depends on it (mode, soft TLB) follows. */
bool gdb_reg_set(struct cpu *c, unsigned n, const u8 *in) MUST_CHECK;

/* The description in XML, of at most SIZE - 1 bytes and a 0; returns its length, or 0: SIZE is too small. */
size_t gdb_regs_xml(char *out, size_t size);

#endif
