/* Debug registers and breakpoints (SDM vol. 3, 18.2). DR6 collects the bits on delivery; here conditions are
 * found. Not modelled: debugging of RTM regions, bus-lock traps. */
#include "base/bits.h"
#include "cpu/system.h"

#define DR6_ONES 0xffff0ff0u
#define DR6_BITS 0x0000e00fu /* B0..B3 BD BS BT */
#define DR6_BD   0x2000u
#define DR7_ONE  0x00000400u
#define DR7_BITS 0xffff23ffu /* L, G, LE, GE, GD, R/W and LEN fields */
#define DR7_GD   0x2000u

/* R/W field of a breakpoint. */
enum { BP_FETCH = 0, BP_WRITE = 1, BP_IO = 2, BP_ACCESS = 3 };

static unsigned bp_type(u64 dr7, unsigned n)
{
    return (unsigned)(dr7 >> (16 + 4 * n) & 3);
}

static unsigned bp_len(u64 dr7, unsigned n)
{
    static const u8 len[4] = {1, 2, 8, 4};
    return len[dr7 >> (18 + 4 * n) & 3];
}

static bool bp_enabled(u64 dr7, unsigned n)
{
    return dr7 >> (2 * n) & 3;
}

/* True when [addr, addr + len) and the aligned range of breakpoint N share a byte; addresses wrap. */
static bool bp_hit(const struct cpu *c, unsigned n, u64 addr, u64 len)
{
    u64 blen = bp_len(c->dr7, n), base = align_down(c->dr[n], blen);
    return addr - base < blen || base - addr < len;
}

/* DR4 and DR5 are other names of DR6 and DR7 unless CR4.DE forbids them. Checks what both directions check.
 */
static bool dr_access(struct cpu *c, unsigned *dr)
{
    if (*dr > 7 || ((*dr & 6) == 4 && c->cr4 & CR4_DE))
        return cpu_raise_ud(c);
    if (c->cpl != 0)
        return cpu_raise_gp(c, 0);
    if (c->dr7 & DR7_GD) {
        c->fault = (struct fault){.vector = VEC_DB, .addr = DR6_BD};
        return false;
    }
    if ((*dr & 6) == 4)
        *dr += 2;
    return true;
}

bool op_mov_from_dr(struct cpu *c, unsigned dr, u64 *v)
{
    if (!dr_access(c, &dr))
        return false;
    *v = dr < 4 ? c->dr[dr] : dr == 6 ? c->dr6 : c->dr7;
    if (!cpu_code64(c))
        *v = (u32)*v;
    return true;
}

bool op_mov_to_dr(struct cpu *c, unsigned dr, u64 v)
{
    if (!dr_access(c, &dr))
        return false;
    if (!cpu_code64(c))
        v = (u32)v;
    if (dr < 4) {
        c->dr[dr] = v;
        return true;
    }
    if (v >> 32)
        return cpu_raise_gp(c, 0);
    if (dr == 6) {
        c->dr6 = (v & DR6_BITS) | DR6_ONES;
        return true;
    }
    c->dr7 = (v & DR7_BITS) | DR7_ONE;
    cpu_update_mode(c); /* the soft TLB is by-passed while breakpoints are armed */
    return true;
}

static void trap_add(struct cpu *c, u64 bits)
{
    if (!bits)
        return;
    c->pending_db |= bits;
    cpu_attend(c, ATTN_TRAP);
}

void debug_check_data(struct cpu *c, u64 lin, unsigned len, bool write)
{
    u64 bits = 0;
    if (c->points)
        points_check_data(c, lin, len, write);
    for (unsigned n = 0; n < 4; n++) {
        unsigned type = bp_type(c->dr7, n);
        if (bp_enabled(c->dr7, n) && (type == BP_ACCESS || (type == BP_WRITE && write)) &&
            bp_hit(c, n, lin, len))
            bits |= BIT(n);
    }
    trap_add(c, bits);
}

void debug_check_io(struct cpu *c, u16 port, unsigned len)
{
    u64 bits = 0;
    if (!(c->cr4 & CR4_DE))
        return;
    for (unsigned n = 0; n < 4; n++)
        if (bp_enabled(c->dr7, n) && bp_type(c->dr7, n) == BP_IO && bp_hit(c, n, port, len))
            bits |= BIT(n);
    trap_add(c, bits);
}

bool debug_io_armed(u64 dr7)
{
    for (unsigned n = 0; n < 4; n++)
        if (bp_enabled(dr7, n) && bp_type(dr7, n) == BP_IO)
            return true;
    return false;
}

bool debug_check_fetch(struct cpu *c, u64 lin)
{
    u64 bits = 0;
    if (c->rflags_sys & RFLAGS_RF)
        return true;
    for (unsigned n = 0; n < 4; n++)
        if (bp_enabled(c->dr7, n) && bp_type(c->dr7, n) == BP_FETCH && c->dr[n] == lin)
            bits |= BIT(n);
    if (!bits)
        return true;
    c->fault = (struct fault){.vector = VEC_DB, .addr = bits};
    return false;
}
