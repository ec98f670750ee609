/* SYSCALL, SYSRET, SYSENTER, SYSEXIT as Intel's processors do them: SDM vol. 2; vol. 3, 6.8.7 and 6.8.8. Code
 * and stack segments are not read from the descriptor table. */
#include "cpu/model.h"
#include "cpu/segment.h"
#include "cpu/syscall.h"

#define CODE_TYPE (SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_ACCESSED | SEG_G)
#define DATA_TYPE (SEG_P | SEG_S | SEG_RW | SEG_ACCESSED | SEG_G | SEG_DB)

static struct seg flat_seg(u16 sel, unsigned cpl, unsigned type)
{
    return (struct seg){
        .sel = (u16)((sel & ~SEL_RPL) | cpl),
        .attr = (u16)(type | cpl << SEG_DPL_SHIFT),
        .limit = 0xffffffff,
    };
}

static void flat_enter(struct cpu *c, u16 cs, u16 ss, unsigned cpl, bool code64, u64 rip)
{
    c->seg[SEG_CS] = flat_seg(cs, cpl, CODE_TYPE | (code64 ? SEG_L : SEG_DB));
    c->seg[SEG_SS] = flat_seg(ss, cpl, DATA_TYPE);
    c->rip = rip;
    cpu_update_mode(c);
}

u64 syscall_enter(struct cpu *c, u64 next, u64 flags)
{
    u16 cs = (u16)(c->star >> 32);
    flags &= ~(u64)RFLAGS_RF;
    c->gpr[RCX].q = next;
    c->gpr[R11].q = flags;
    flags &= ~c->sfmask;
    cpu_set_rflags_sys(c, flags);
    flat_enter(c, cs, (u16)((cs & ~SEL_RPL) + 8), 0, true, c->lstar);
    return flags;
}

u64 syscall_return(struct cpu *c, unsigned size, u64 rip)
{
    u64 flags = c->gpr[R11].q & 0x3c7fd7;
    u16 base = (u16)(c->star >> 48);
    cpu_set_rflags_sys(c, flags);
    flat_enter(c, (u16)(size == 8 ? base + 16 : base), (u16)(base + 8), 3, size == 8, rip);
    return flags;
}

bool op_syscall(struct cpu *c, u64 next)
{
    if (!cpu_code64(c) || !(c->efer & EFER_SCE))
        return cpu_raise_ud(c);
    flags_load(&c->fl, syscall_enter(c, next, cpu_rflags(c)));
    return true;
}

bool op_sysret(struct cpu *c, unsigned size)
{
    /* AMD's silicon knows the instruction outside 64-bit mode too; Trine offers it as Intel does, but for the fault. */
    bool known = cpu_code64(c) || (c->cpl != 0 && silicon_is_amd(c->wires.model->silicon));
    if (!known || !(c->efer & EFER_SCE))
        return cpu_raise_ud(c);
    if (c->cpl != 0)
        return cpu_raise_gp(c, 0);
    u64 rip = size == 8 ? c->gpr[RCX].q : c->gpr[RCX].d;
    if (!cpu_canonical(rip))
        return cpu_raise_gp(c, 0);
    flags_load(&c->fl, syscall_return(c, size, rip));
    /* Unlike after IRET and POPF, the trap comes at once. */
    if (UNLIKELY(c->rflags_sys & RFLAGS_TF)) {
        c->pending_db |= DR6_BS;
        cpu_attend(c, ATTN_TRAP);
    }
    return true;
}

bool op_sysenter(struct cpu *c)
{
    bool wide = cpu_long_mode(c);
    u16 cs = (u16)c->sysenter_cs;
    if (!cpu_protected(c) || sel_null(cs))
        return cpu_raise_gp(c, 0);
    c->rflags_sys &= ~(u64)(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF);
    c->gpr[RSP].q = wide ? c->sysenter_esp : (u32)c->sysenter_esp;
    flat_enter(c, cs, (u16)((cs & ~SEL_RPL) + 8), 0, wide, wide ? c->sysenter_eip : (u32)c->sysenter_eip);
    return true;
}

bool op_sysexit(struct cpu *c, unsigned size)
{
    u16 cs = (u16)(c->sysenter_cs & ~SEL_RPL);
    if (!cpu_protected(c) || sel_null((u16)c->sysenter_cs) || c->cpl != 0)
        return cpu_raise_gp(c, 0);
    bool wide = size == 8;
    u64 rip = wide ? c->gpr[RDX].q : c->gpr[RDX].d, rsp = wide ? c->gpr[RCX].q : c->gpr[RCX].d;
    if (!cpu_canonical(rip) || !cpu_canonical(rsp))
        return cpu_raise_gp(c, 0);
    cs = (u16)(cs + (wide ? 32 : 16));
    c->gpr[RSP].q = rsp;
    flat_enter(c, cs, (u16)(cs + 8), 3, wide, rip);
    return true;
}
