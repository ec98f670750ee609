/* The vCPU as a whole: reset, INIT, RFLAGS, what is derived from the mode, raising of exceptions.
 * SDM vol. 3, table 10-1 (state after power-up, reset, INIT), 3.4 (CPL), 6.8 (RFLAGS). */
#include "cpu/cpu.h"
#include "cpu/model.h"

#include <string.h>

#include "cpu/msr.h"
#include "cpu/segment.h"
#include "cpu/syscall.h"
#include "cpu/system.h"
#include "cpu/tlb.h"

#define RFLAGS_SYS                                                                                           \
    (RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM | RFLAGS_AC |       \
     RFLAGS_VIF | RFLAGS_VIP | RFLAGS_ID)

u64 cpu_rflags(const struct cpu *c)
{
    return c->rflags_sys | flags_value(&c->fl);
}

void cpu_set_rflags_sys(struct cpu *c, u64 v)
{
    c->rflags_sys = (v & RFLAGS_SYS) | RFLAGS_ONE;
}

void cpu_set_rflags(struct cpu *c, u64 v)
{
    flags_load(&c->fl, v);
    cpu_set_rflags_sys(c, v);
}

static u32 view_at(const struct cpu *c, unsigned cpl)
{
    bool ac = c->rflags_sys & RFLAGS_AC;
    if (UNLIKELY(debug_data_armed(c)))
        return TLB_VIEW_NONE;
    if (cpl == 3)
        return ac && c->cr0 & CR0_AM ? TLB_VIEW_NONE : TLB_VIEW_USER;
    return ac || !(c->cr4 & CR4_SMAP) ? TLB_VIEW_KERNEL_AC : TLB_VIEW_KERNEL;
}

/* Base 0, 4 GiB, usable and not expand-down, with the bits of WANT in the type. */
static bool seg_flat(const struct seg *s, u16 mask, u16 want)
{
    return s->base == 0 && s->limit == 0xffffffff &&
           (s->attr & (SEG_UNUSABLE | SEG_P | SEG_S | mask)) == (SEG_P | SEG_S | want);
}

static bool world_flat(const struct cpu *c)
{
    const u16 data = SEG_CODE | SEG_DC | SEG_RW;
    return seg_flat(&c->seg[SEG_CS], SEG_CODE | SEG_RW, SEG_CODE | SEG_RW) &&
           seg_flat(&c->seg[SEG_SS], data, SEG_RW) && seg_flat(&c->seg[SEG_DS], data, SEG_RW) &&
           seg_flat(&c->seg[SEG_ES], data, SEG_RW);
}

void cpu_update_mode(struct cpu *c)
{
    const struct seg *cs = &c->seg[SEG_CS];
    bool v86 = cpu_v86(c);
    c->cpl = !cpu_protected(c) ? 0 : v86 ? 3 : (u8)(c->seg[SEG_SS].attr >> SEG_DPL_SHIFT & 3);
    if (LIKELY(cpu_long_mode(c) && cs->attr & SEG_L)) {
        c->code_size = c->stack_size = 8;
        c->flat = true;
    } else {
        c->code_size = cs->attr & SEG_DB ? 4 : 2;
        c->stack_size = c->seg[SEG_SS].attr & SEG_DB ? 4 : 2;
        c->flat = c->code_size == 4 && cpu_protected(c) && !v86 && world_flat(c);
    }
    c->view = view_at(c, c->cpl);
    tlb_select_view(c);
}

void cpu_assume(struct cpu *c, unsigned cpl, unsigned code_size)
{
    c->cpl = (u8)cpl;
    c->code_size = (u8)code_size;
    c->view = view_at(c, cpl);
    tlb_select_view(c);
}

bool cpu_raise(struct cpu *c, u8 vector)
{
    c->fault = (struct fault){.vector = vector};
    return false;
}

bool cpu_raise_error(struct cpu *c, u8 vector, u32 error)
{
    c->fault = (struct fault){.vector = vector, .has_error = true, .error = error};
    return false;
}

bool cpu_raise_pf(struct cpu *c, u64 lin, u32 error)
{
    c->fault = (struct fault){.vector = VEC_PF, .has_error = true, .error = error, .addr = lin};
    return false;
}

/* What RESET and INIT have in common. CR0 comes from the caller, EDX is the processor's signature. */
static void common_reset(struct cpu *c)
{
    u32 signature = c->wires.model ? cpu_model_signature(c->wires.model) : 0;
    memset(c->gpr, 0, sizeof c->gpr);
    c->gpr[RDX].q = signature;
    c->rip = 0xfff0;
    cpu_set_rflags(c, RFLAGS_ONE);
    for (unsigned s = 0; s < SEG_LDTR; s++)
        c->seg[s] = (struct seg){.attr = SEG_P | SEG_S | SEG_RW | SEG_ACCESSED, .limit = 0xffff};
    c->seg[SEG_CS] = (struct seg){
        .sel = 0xf000,
        .attr = SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_ACCESSED,
        .limit = 0xffff,
        .base = 0xffff0000,
    };
    c->seg[SEG_LDTR] = (struct seg){.attr = SEG_P | TYPE_LDT, .limit = 0xffff};
    c->seg[SEG_TR] = (struct seg){.attr = SEG_P | TYPE_TSS_BUSY, .limit = 0xffff};
    c->gdt = c->idt = (struct dtable){.limit = 0xffff};
    c->cr2 = c->cr3 = c->cr4 = c->efer = 0;
    memset(c->dr, 0, sizeof c->dr);
    c->dr6 = 0xffff0ff0;
    c->dr7 = 0x400;
    c->debugctl = 0;
    c->nmi_blocked = c->smm = c->smm_nmi_blocked = c->shadow_ss = false;
    c->shadow_at = c->rep_at = UINT64_MAX;
    c->pending_db = c->smm_pending_db = 0;
    memset(&c->fault, 0, sizeof c->fault);
    c->activity = c->index ? ACTIVITY_WAIT_SIPI : ACTIVITY_RUNNING;
    tlb_load_cr3(c, 0, false);
    tlb_flush_all(c);
    cpu_update_mode(c);
}

void cpu_reset(struct cpu *c)
{
    c->cr0 = CR0_CD | CR0_NW | CR0_ET;
    atomic_fetch_and(&c->attention, ~(u32)(ATTN_NMI | ATTN_SMI | ATTN_INIT | ATTN_SIPI | ATTN_TRAP | ATTN_MC));
    common_reset(c);
    c->star = c->lstar = c->cstar = c->sfmask = c->kernel_gs_base = 0;
    c->sysenter_cs = c->sysenter_esp = c->sysenter_eip = 0;
    c->tsc_adjust = 0;
    c->tsc_offset = c->wires.tsc ? 0 - c->wires.tsc(c->wires.opaque, c) : 0;
    c->tsc_aux = c->pkru = 0;
    c->xcr0 = 1;
    c->pat = 0x0007040600070406;
    c->misc_enable = MISC_ENABLE_RESET;
    c->spec_ctrl = c->mtrr_def_type = 0;
    memset(c->mtrr_fixed, 0, sizeof c->mtrr_fixed);
    memset(c->mtrr_var, 0, sizeof c->mtrr_var);
    c->mcg_status = 0;
    c->mcg_ctl = ~0ull;
    memset(c->mc_bank, 0, sizeof c->mc_bank);
    c->smbase = 0x30000;
    memset(&c->fpu, 0, sizeof c->fpu);
    c->fpu.fcw = 0x40;
    c->fpu.ftw = 0xff; /* tag word 5555h: all hold zero */
    c->fpu.mxcsr = 0x1f80;
    c->fpu.xinuse = 1;
}

void cpu_init_signal(struct cpu *c)
{
    c->cr0 = CR0_ET | (c->cr0 & (CR0_CD | CR0_NW));
    /* A SIPI stays: it came after this INIT (machine/vm.c, apic_signal). */
    atomic_fetch_and(&c->attention, ~(u32)(ATTN_NMI | ATTN_SMI | ATTN_INIT | ATTN_TRAP | ATTN_MC));
    common_reset(c);
}
