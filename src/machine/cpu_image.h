/* A vCPU's architectural state as plain numbers with a versioned field table: what snapshots keep and the
 * state hash covers. Nothing in it depends on the engine or the host: no lazy flags, no derived fields, no
 * soft TLB. */
#ifndef MACHINE_CPU_IMAGE_H
#define MACHINE_CPU_IMAGE_H

#include "base/fields.h"
#include "cpu/cpu.h"

struct cpu_image {
    u64 gpr[16], rip, rflags;
    u16 seg_sel[SEG_COUNT], seg_attr[SEG_COUNT];
    u32 seg_limit[SEG_COUNT];
    u64 seg_base[SEG_COUNT];
    u64 cr0, cr2, cr3, cr4, efer, xcr0;
    u64 dr[4], dr6, dr7;
    u64 pdpte[4];
    u64 gdt_base, idt_base;
    u16 gdt_limit, idt_limit;
    u64 star, lstar, cstar, sfmask, kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 tsc_offset, tsc_adjust;
    u32 tsc_aux, pkru;
    u64 pat, misc_enable, spec_ctrl, mtrr_def_type, mtrr_fixed[11], mtrr_var[16];
    u64 mcg_status, mcg_ctl, mc_bank[16], debugctl;
    u64 mc_status, mc_addr, mc_misc; /* of the pending one */
    u32 mc_number, mc_mcg_status;
    u64 smbase;

    u8 st[8 * 16];
    u16 fcw, fsw, fop, fcs, fds;
    u8 ftw;
    u64 fip, fdp;
    u32 mxcsr, xinuse;
    u8 ymm[16 * 32];

    u32 events; /* NMI, SMI, INIT, SIPI, TRAP bits of `attention`; INTR follows from the LAPIC */
    u8 activity, sipi_vector;
    bool nmi_blocked, smm, smm_nmi_blocked, shadow, shadow_ss, in_rep;
    u64 pending_db, smm_pending_db;
    u64 icount;
};

extern const struct field_table cpu_image_table;

void cpu_image_take(struct cpu_image *m, const struct cpu *c);
/* Puts M into C, which keeps its wires and statistics; the soft TLB is flushed. */
void cpu_image_put(const struct cpu_image *m, struct cpu *c);

#endif
