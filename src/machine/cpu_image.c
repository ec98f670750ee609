/* struct cpu to plain numbers and back. What `struct cpu` derives (cpl, code_size, ..., view) is recomputed;
 * what it keeps relative to `icount` (the interrupt shadow) becomes a bool. */
#include "machine/cpu_image.h"

#include <string.h>

#include "cpu/tlb.h"

#define N(m) FIELD(cpu_image, m, 0)
#define A(m) FIELD_ARRAY(cpu_image, m, 0)
/* From version V of the table on; older images: 0. */
#define LATER(m, v) FIELD_SINCE(cpu_image, m, 0, v)

static const struct field image_fields[] = {
    A(gpr),
    N(rip),
    N(rflags),
    A(seg_sel),
    A(seg_attr),
    A(seg_limit),
    A(seg_base),
    N(cr0),
    N(cr2),
    N(cr3),
    N(cr4),
    N(efer),
    N(xcr0),
    A(dr),
    N(dr6),
    N(dr7),
    A(pdpte),
    N(gdt_base),
    N(idt_base),
    N(gdt_limit),
    N(idt_limit),
    N(star),
    N(lstar),
    N(cstar),
    N(sfmask),
    N(kernel_gs_base),
    N(sysenter_cs),
    N(sysenter_esp),
    N(sysenter_eip),
    N(tsc_offset),
    N(tsc_adjust),
    N(tsc_aux),
    N(pkru),
    N(pat),
    N(misc_enable),
    N(spec_ctrl),
    N(mtrr_def_type),
    A(mtrr_fixed),
    A(mtrr_var),
    N(mcg_status),
    A(mc_bank),
    FIELD_SINCE(cpu_image, mcg_ctl, ~0ull, 2),
    LATER(debugctl, 2),
    LATER(mc_status, 2),
    LATER(mc_addr, 2),
    LATER(mc_misc, 2),
    LATER(mc_number, 2),
    LATER(mc_mcg_status, 2),
    N(smbase),
    A(st),
    N(fcw),
    N(fsw),
    N(fop),
    N(fcs),
    N(fds),
    N(ftw),
    N(fip),
    N(fdp),
    N(mxcsr),
    N(xinuse),
    A(ymm),
    N(events),
    FIELD_MAX(cpu_image, activity, 0, ACTIVITY_SHUTDOWN),
    N(sipi_vector),
    N(nmi_blocked),
    N(smm),
    LATER(smm_nmi_blocked, 2),
    N(shadow),
    N(shadow_ss),
    N(in_rep),
    N(pending_db),
    LATER(smm_pending_db, 2),
    N(icount),
};

const struct field_table cpu_image_table = {"cpu", 2, image_fields, ARRAY_LEN(image_fields)};

#define EVENTS (ATTN_NMI | ATTN_SMI | ATTN_INIT | ATTN_SIPI | ATTN_TRAP | ATTN_MC)

/* The members that have the same name and type on both sides. */
#define SAME(X)                                                                                              \
    X(rip)                                                                                                   \
    X(cr0) X(cr2) X(cr3) X(cr4) X(efer) X(xcr0) X(dr6) X(dr7) X(star) X(lstar) X(cstar) X(sfmask)            \
        X(kernel_gs_base) X(sysenter_cs) X(sysenter_esp) X(sysenter_eip) X(tsc_offset) X(tsc_adjust)         \
            X(tsc_aux) X(pkru) X(pat) X(misc_enable) X(spec_ctrl) X(mtrr_def_type) X(mcg_status) X(mcg_ctl) X(debugctl) X(smbase)   \
                X(activity) X(sipi_vector) X(nmi_blocked) X(smm) X(smm_nmi_blocked) X(pending_db) X(smm_pending_db) X(icount)
#define SAME_FPU(X) X(fcw) X(fsw) X(fop) X(fcs) X(fds) X(ftw) X(fip) X(fdp) X(mxcsr) X(xinuse)
#define SAME_ARRAY(X)                                                                                        \
    X(dr, dr)                                                                                                \
    X(pdpte, pdpte) X(mtrr_fixed, mtrr_fixed) X(mtrr_var, mtrr_var) X(mc_bank, mc_bank) X(st, fpu.st)        \
        X(ymm, fpu.ymm)

void cpu_image_take(struct cpu_image *m, const struct cpu *c)
{
    memset(m, 0, sizeof *m);
    for (unsigned i = 0; i < 16; i++)
        m->gpr[i] = c->gpr[i].q;
    m->rflags = cpu_rflags(c);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        m->seg_sel[i] = c->seg[i].sel;
        m->seg_attr[i] = c->seg[i].attr;
        m->seg_limit[i] = c->seg[i].limit;
        m->seg_base[i] = c->seg[i].base;
    }
    m->gdt_base = c->gdt.base;
    m->gdt_limit = c->gdt.limit;
    m->idt_base = c->idt.base;
    m->idt_limit = c->idt.limit;
#define X(f) m->f = c->f;
    SAME(X)
#undef X
#define X(f) m->f = c->fpu.f;
    SAME_FPU(X)
#undef X
#define X(to, from)                                                                                          \
    _Static_assert(sizeof m->to == sizeof c->from, "the image holds all of " #from);                         \
    memcpy(m->to, c->from, sizeof m->to);
    SAME_ARRAY(X)
#undef X
    m->mc_number = c->mc_pending.bank;
    m->mc_mcg_status = c->mc_pending.mcg_status;
    m->mc_status = c->mc_pending.status;
    m->mc_addr = c->mc_pending.addr;
    m->mc_misc = c->mc_pending.misc;
    m->events = atomic_load(&c->attention) & EVENTS;
    m->shadow = c->shadow_at == c->icount;
    m->shadow_ss = m->shadow && c->shadow_ss;
    m->in_rep = c->rep_at == c->icount;
}

void cpu_image_put(const struct cpu_image *m, struct cpu *c)
{
    for (unsigned i = 0; i < 16; i++)
        c->gpr[i].q = m->gpr[i];
    cpu_set_rflags(c, m->rflags);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        c->seg[i] = (struct seg){m->seg_sel[i], m->seg_attr[i], m->seg_limit[i], m->seg_base[i]};
    c->gdt = (struct dtable){m->gdt_base, m->gdt_limit};
    c->idt = (struct dtable){m->idt_base, m->idt_limit};
#define X(f) c->f = m->f;
    SAME(X)
#undef X
#define X(f) c->fpu.f = m->f;
    SAME_FPU(X)
#undef X
#define X(from, to) memcpy(c->to, m->from, sizeof m->from);
    SAME_ARRAY(X)
#undef X
    c->mc_pending = (struct mc_error){.bank = m->mc_number,
                                      .mcg_status = m->mc_mcg_status,
                                      .status = m->mc_status,
                                      .addr = m->mc_addr,
                                      .misc = m->mc_misc};
    atomic_store(&c->attention, m->events & EVENTS);
    c->shadow_at = m->shadow ? m->icount : UINT64_MAX;
    c->shadow_ss = m->shadow_ss;
    c->rep_at = m->in_rep ? m->icount : UINT64_MAX;
    tlb_flush_all(c);
    cpu_update_mode(c);
}
