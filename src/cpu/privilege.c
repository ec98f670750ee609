/* Instructions whose rights depend on CPL, IOPL and the TSS: CLI, STI, PUSHF, POPF, I/O permission, UMIP.
 * SDM vol. 2 (table 3-7 STI, table 4-16 POPF), vol. 3, 21.2 and 21.4 (VME, PVI); vol. 1, 19.5 (I/O permission
 * bitmap). */
#include "base/le.h"
#include "cpu/segment.h"

bool cpl0_check(struct cpu *c)
{
    return LIKELY(c->cpl == 0) || cpu_raise_gp(c, 0);
}

bool umip_check(struct cpu *c)
{
    return c->cpl == 0 || !(c->cr4 & CR4_UMIP) || cpu_raise_gp(c, 0);
}

enum if_right { IF_REAL, IF_VIRTUAL, IF_NONE };

/* Does CLI or STI act on IF, on VIF, or not at all? */
static enum if_right if_right(const struct cpu *c)
{
    if (cpu_iopl(c) >= c->cpl) /* real mode and CPL 0 among others */
        return IF_REAL;
    bool virtual_if = cpu_v86(c) ? c->cr4 & CR4_VME : c->cpl == 3 && c->cr4 & CR4_PVI;
    return virtual_if ? IF_VIRTUAL : IF_NONE;
}

bool op_cli(struct cpu *c)
{
    switch (if_right(c)) {
    case IF_REAL: c->rflags_sys &= ~(u64)RFLAGS_IF; return true;
    case IF_VIRTUAL: c->rflags_sys &= ~(u64)RFLAGS_VIF; return true;
    case IF_NONE: break;
    }
    return cpu_raise_gp(c, 0);
}

bool op_sti(struct cpu *c)
{
    switch (if_right(c)) {
    case IF_REAL: c->rflags_sys |= RFLAGS_IF; return true;
    case IF_VIRTUAL:
        if (c->rflags_sys & RFLAGS_VIP)
            break;
        c->rflags_sys |= RFLAGS_VIF;
        return true;
    case IF_NONE: break;
    }
    return cpu_raise_gp(c, 0);
}

bool op_pushf_image(struct cpu *c, unsigned size, u64 *v)
{
    u64 f = cpu_rflags(c) & ~(u64)(RFLAGS_RF | RFLAGS_VM);
    if (cpu_v86(c) && cpu_iopl(c) < 3) {
        if (size != 2 || !(c->cr4 & CR4_VME))
            return cpu_raise_gp(c, 0);
        f = (f & ~(u64)RFLAGS_IF) | RFLAGS_IOPL | (f & RFLAGS_VIF ? RFLAGS_IF : 0);
    }
    *v = f;
    return true;
}

bool op_popf_image(struct cpu *c, unsigned size, u64 v)
{
    u64 mask = RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;
    if (size >= 4)
        mask |= RFLAGS_AC | RFLAGS_ID;
    if (cpu_v86(c) && cpu_iopl(c) < 3) {
        bool bad = v & RFLAGS_TF || (v & RFLAGS_IF && c->rflags_sys & RFLAGS_VIP);
        if (size != 2 || !(c->cr4 & CR4_VME) || bad)
            return cpu_raise_gp(c, 0);
        v = (v & ~(u64)RFLAGS_VIF) | (v & RFLAGS_IF ? RFLAGS_VIF : 0);
        mask |= RFLAGS_VIF;
    } else {
        if (c->cpl <= cpu_iopl(c))
            mask |= RFLAGS_IF;
        if (c->cpl == 0)
            mask |= RFLAGS_IOPL;
    }
    u64 old = cpu_rflags(c);
    cpu_set_rflags(c, (old & ~(mask | RFLAGS_RF)) | (v & mask));
    if ((old ^ c->rflags_sys) & RFLAGS_AC)
        cpu_update_mode(c);
    return true;
}

bool io_check(struct cpu *c, u16 port, unsigned size)
{
    const struct seg *tr = &c->seg[SEG_TR];
    u8 raw[2];
    if (!cpu_protected(c) || (!cpu_v86(c) && c->cpl <= cpu_iopl(c)))
        return true;
    if (!attr_system(tr->attr, TYPE_TSS_BUSY) || tr->limit < 103)
        return cpu_raise_gp(c, 0);
    if (!lin_read(c, system_linear(c, tr->base + 102), raw, 2, ACC_IMPLICIT))
        return false;
    u32 at = ld16(raw) + port / 8u; /* two bytes are read whatever the port */
    if (at + 1 > tr->limit)
        return cpu_raise_gp(c, 0);
    if (!lin_read(c, system_linear(c, tr->base + at), raw, 2, ACC_IMPLICIT))
        return false;
    return !(ld16(raw) >> (port & 7) & ((1u << size) - 1)) || cpu_raise_gp(c, 0);
}
