/* Model-specific registers (SDM vol. 4, table 2-2; vol. 3, chapters 12 for MTRRs and PAT, 16 for machine
 * checks, 18.17 for the TSC). One sorted table; what it does not list does not exist: #GP(0), and a line in
 * the guest's log. Not modelled: LBR and branch trace, performance counters, microcode loading (one constant
 * revision), thermal and power registers. */
#include "cpu/msr.h"
#include "base/bits.h"
#include "cpu/machine_check.h"
#include "cpu/model.h"
#include "cpu/tlb.h"

struct msr_row {
    u32 first, count;
    u32 offset; /* in struct cpu, of the first's u64; consecutive ones follow */
    u64 value;  /* of a constant; bits that a write may set */
    bool (*read)(struct cpu *c, const struct msr_row *r, u32 n,
                 u64 *v); /* N: number inside the row; null: cannot be read */
    bool (*write)(struct cpu *c, const struct msr_row *r, u32 n,
                  u64 v); /* null: cannot be written; false: refused */
};

static u64 *field(struct cpu *c, const struct msr_row *r, u32 n)
{
    return (u64 *)(void *)((char *)c + r->offset) + n;
}

static bool field_read(struct cpu *c, const struct msr_row *r, u32 n, u64 *v)
{
    *v = *field(c, r, n);
    return true;
}

static bool field_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    if (v & ~r->value)
        return false;
    *field(c, r, n) = v;
    return true;
}

/* Bits outside the register's width are dropped. */
static bool low_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    *field(c, r, n) = v & r->value;
    return true;
}

static bool canonical_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    if (!cpu_canonical(v))
        return false;
    *field(c, r, n) = v;
    return true;
}

static bool const_read(struct cpu *c, const struct msr_row *r, u32 n, u64 *v)
{
    (void)c, (void)n;
    *v = r->value;
    return true;
}

/* Takes bits of VALUE and forgets them. */
static bool ignore_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    (void)c, (void)n;
    return !(v & ~r->value);
}

/* Takes any value and forgets it. */
static bool forget_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    (void)c, (void)r, (void)n, (void)v;
    return true;
}

static bool zero_read(struct cpu *c, const struct msr_row *r, u32 n, u64 *v)
{
    (void)c, (void)r, (void)n;
    *v = 0;
    return true;
}

static bool wire_read(struct cpu *c, const struct msr_row *r, u32 n, u64 *v)
{
    return c->wires.apic_msr_read(c->wires.opaque, c, r->first + n, v);
}

static bool wire_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    return c->wires.apic_msr_write(c->wires.opaque, c, r->first + n, v);
}

static bool pv_read(struct cpu *c, const struct msr_row *r, u32 n, u64 *v)
{
    return c->wires.pv_msr && c->wires.pv_msr(c->wires.opaque, c, r->first + n, false, v);
}

static bool pv_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    return c->wires.pv_msr && c->wires.pv_msr(c->wires.opaque, c, r->first + n, true, &v);
}

void msr_tsc_moved(struct cpu *c)
{
    u64 clock = 0;
    if (c->wires.pv_msr && c->wires.pv_msr(c->wires.opaque, c, MSR_KVM_SYSTEM_TIME_NEW, false, &clock) && clock & 1)
        (void)!c->wires.pv_msr(c->wires.opaque, c, MSR_KVM_SYSTEM_TIME_NEW, true, &clock);
}

/* The counter moved against the machine's clock: the LAPIC computes an armed deadline again. */
static void tsc_shift(struct cpu *c, u64 by)
{
    u64 deadline = 0;
    c->tsc_offset += by;
    c->tsc_adjust += by;
    msr_tsc_moved(c);
    if (c->wires.apic_msr_read(c->wires.opaque, c, IA32_TSC_DEADLINE, &deadline) && deadline &&
        !c->wires.apic_msr_write(c->wires.opaque, c, IA32_TSC_DEADLINE, deadline))
        log_dev(c->wires.log, "the LAPIC refused its own deadline %llx", (unsigned long long)deadline);
}

static bool tsc_read(struct cpu *c, const struct msr_row *r, u32 n, u64 *v)
{
    (void)r, (void)n;
    *v = cpu_tsc(c);
    return true;
}

static bool tsc_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    (void)r, (void)n;
    tsc_shift(c, v - cpu_tsc(c));
    return true;
}

static bool tsc_adjust_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    (void)r, (void)n;
    tsc_shift(c, v - c->tsc_adjust);
    return true;
}

static bool tsc_aux_read(struct cpu *c, const struct msr_row *r, u32 n, u64 *v)
{
    (void)r, (void)n;
    *v = c->tsc_aux;
    return cpu_has(c, FEAT_RDTSCP);
}

static bool tsc_aux_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    (void)r, (void)n;
    if (!cpu_has(c, FEAT_RDTSCP) || v >> 32)
        return false;
    c->tsc_aux = (u32)v;
    return true;
}

static bool deadline_read(struct cpu *c, const struct msr_row *r, u32 n, u64 *v)
{
    return cpu_has(c, FEAT_TSC_DEADLINE) && wire_read(c, r, n, v);
}

static bool deadline_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    return cpu_has(c, FEAT_TSC_DEADLINE) && wire_write(c, r, n, v);
}

static bool x2apic_read(struct cpu *c, const struct msr_row *r, u32 n, u64 *v)
{
    return cpu_has(c, FEAT_X2APIC) && wire_read(c, r, n, v);
}

static bool x2apic_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    return cpu_has(c, FEAT_X2APIC) && wire_write(c, r, n, v);
}

static bool efer_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    (void)n;
    v = (v & ~(u64)EFER_LMA) | (c->efer & EFER_LMA); /* LMA cannot be written */
    if (v & ~r->value || ((v ^ c->efer) & EFER_LME && c->cr0 & CR0_PG))
        return false;
    if ((v ^ c->efer) & EFER_NXE)
        tlb_flush_all(c);
    c->efer = v;
    return true;
}

static bool seg_base_read(struct cpu *c, const struct msr_row *r, u32 n, u64 *v)
{
    (void)r;
    *v = c->seg[n ? SEG_GS : SEG_FS].base;
    return true;
}

static bool seg_base_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    (void)r;
    if (!cpu_canonical(v))
        return false;
    c->seg[n ? SEG_GS : SEG_FS].base = v;
    return true;
}

static bool arch_cap_read(struct cpu *c, const struct msr_row *r, u32 n, u64 *v)
{
    (void)r, (void)n;
    *v = c->wires.model->arch_capabilities;
    return true;
}

/* UC WC WT WP WB, and for the PAT UC- too. */
#define TYPES_MTRR 0x73u
#define TYPES_PAT  0xf3u

static bool types_ok(u64 v, u32 legal)
{
    for (unsigned k = 0; k < 8; k++)
        if ((v >> 8 * k & 0xff) > 7 || !(legal >> (v >> 8 * k & 0xff) & 1))
            return false;
    return true;
}

/* Eight memory types, one a byte. */
static bool types_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    if (!types_ok(v, (u32)r->value))
        return false;
    *field(c, r, n) = v;
    return true;
}

static bool mtrr_var_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    u64 frames = cpu_phys_mask(c) & PAGE_MASK;
    u64 low = n & 1 ? v & BIT(11) : v & 0xff; /* mask: V; base: type */
    if (v & ~(frames | low) || (!(n & 1) && !types_ok(low, TYPES_MTRR)))
        return false;
    *field(c, r, n) = v;
    return true;
}

static bool mtrr_def_type_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    (void)n;
    if (v & ~(BIT(11) | BIT(10) | 0xff) || !types_ok(v & 0xff, TYPES_MTRR))
        return false;
    *field(c, r, 0) = v;
    return true;
}

/* All ones enables, zero disables; nothing else is defined (SDM vol. 3, 16.3.1.3). */
static bool mcg_ctl_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    (void)r, (void)n;
    if (v && ~v)
        return false;
    c->mcg_ctl = v;
    return true;
}

/* CTL takes anything; STATUS, ADDR and MISC can only be cleared. */
static bool mc_bank_write(struct cpu *c, const struct msr_row *r, u32 n, u64 v)
{
    if (n % 4 && v)
        return false;
    *field(c, r, n) = v;
    return true;
}

#define BIOS_SIGNATURE BIT(32) /* microcode revision 1 */

#define AT(m)       offsetof(struct cpu, m)
#define FIELD(m, w) .offset = AT(m), .value = (w), .read = field_read, .write = field_write
#define CANON(m)    .offset = AT(m), .read = field_read, .write = canonical_write
#define TYPES(m, t) .offset = AT(m), .value = (t), .read = field_read, .write = types_write

static const struct msr_row rows[] = {
    {IA32_TIME_STAMP_COUNTER, 1, .read = tsc_read, .write = tsc_write},
    {MSR_KVM_WALL_CLOCK, 2, .read = pv_read, .write = pv_write},
    {IA32_PLATFORM_ID, 1, .read = zero_read},
    {IA32_APIC_BASE, 1, .read = wire_read, .write = wire_write},
    {IA32_FEATURE_CONTROL, 1, .value = BIT(0), .read = const_read}, /* locked, everything off */
    {IA32_TSC_ADJUST, 1, .offset = AT(tsc_adjust), .read = field_read, .write = tsc_adjust_write},
    {IA32_SPEC_CTRL, 1, FIELD(spec_ctrl, BIT(0) | BIT(1) | BIT(2))}, /* IBRS STIBP SSBD */
    {IA32_PRED_CMD, 1, .value = BIT(0), .write = ignore_write},      /* IBPB */
    {IA32_BIOS_SIGN_ID, 1, .value = BIOS_SIGNATURE, .read = const_read, .write = forget_write},
    {MSR_PLATFORM_INFO, 1, .value = 10ull << 40 | 10 << 8, .read = const_read}, /* ratios to 100 MHz */
    {IA32_MTRRCAP, 1, .value = BIT(10) | BIT(8) | 8,
     .read = const_read}, /* WC, fixed ranges, 8 variable ones */
    {IA32_ARCH_CAPABILITIES, 1, .read = arch_cap_read},
    {MSR_MISC_FEATURES_ENABLES, 1, .read = zero_read,
     .write = ignore_write}, /* zero only: no CPUID faulting */
    {IA32_SYSENTER_CS, 1, .offset = AT(sysenter_cs), .value = ~0u, .read = field_read, .write = low_write},
    {IA32_SYSENTER_ESP, 1, CANON(sysenter_esp)},
    {IA32_SYSENTER_EIP, 1, CANON(sysenter_eip)},
    {IA32_MCG_CAP, 1, .value = MCG_CTL_P | MC_BANKS, .read = const_read},
    {IA32_MCG_STATUS, 1, FIELD(mcg_status, 7)},
    {IA32_MCG_CTL, 1, .offset = AT(mcg_ctl), .read = field_read, .write = mcg_ctl_write},
    {IA32_MISC_ENABLE, 1, FIELD(misc_enable, MISC_ENABLE_RESET)},
    {IA32_DEBUGCTL, 1, FIELD(debugctl, DEBUGCTL_BTF)}, /* no LBR, no trace messages */
    {IA32_MTRR_PHYSBASE0, 16, .offset = AT(mtrr_var), .read = field_read, .write = mtrr_var_write},
    {IA32_MTRR_FIX64K_00000, 1, TYPES(mtrr_fixed[0], TYPES_MTRR)},
    {IA32_MTRR_FIX16K_80000, 2, TYPES(mtrr_fixed[1], TYPES_MTRR)},
    {IA32_MTRR_FIX4K_C0000, 8, TYPES(mtrr_fixed[3], TYPES_MTRR)},
    {IA32_PAT, 1, TYPES(pat, TYPES_PAT)},
    {IA32_MTRR_DEF_TYPE, 1, .offset = AT(mtrr_def_type), .read = field_read, .write = mtrr_def_type_write},
    {IA32_MC0_CTL, 4 * MC_BANKS, .offset = AT(mc_bank), .read = field_read, .write = mc_bank_write},
    {IA32_TSC_DEADLINE, 1, .read = deadline_read, .write = deadline_write},
    {IA32_X2APIC_FIRST, 256, .read = x2apic_read, .write = x2apic_write},
    {MSR_KVM_WALL_CLOCK_NEW, 2, .read = pv_read, .write = pv_write},
    {MSR_KVM_STEAL_TIME, 1, .read = pv_read, .write = pv_write},
    {IA32_EFER, 1, .offset = AT(efer), .value = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE, .read = field_read,
     .write = efer_write},
    {IA32_STAR, 1, FIELD(star, ~0ull)},
    {IA32_LSTAR, 1, CANON(lstar)},
    {IA32_CSTAR, 1, CANON(cstar)},
    {IA32_FMASK, 1, .offset = AT(sfmask), .value = ~0u, .read = field_read, .write = low_write},
    {IA32_FS_BASE, 2, .read = seg_base_read, .write = seg_base_write},
    {IA32_KERNEL_GS_BASE, 1, CANON(kernel_gs_base)},
    {IA32_TSC_AUX, 1, .read = tsc_aux_read, .write = tsc_aux_write},
};

static const struct msr_row *row_find(u32 msr)
{
    size_t lo = 0, hi = ARRAY_LEN(rows);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (msr < rows[mid].first)
            hi = mid;
        else if (msr - rows[mid].first >= rows[mid].count)
            lo = mid + 1;
        else
            return &rows[mid];
    }
    return NULL;
}

bool msr_read(struct cpu *c, u32 msr, u64 *v)
{
    const struct msr_row *r = row_find(msr);
    return r && r->read && r->read(c, r, msr - r->first, v);
}

bool msr_write(struct cpu *c, u32 msr, u64 v)
{
    const struct msr_row *r = row_find(msr);
    return r && r->write && r->write(c, r, msr - r->first, v);
}

bool op_rdmsr(struct cpu *c)
{
    u32 msr = c->gpr[RCX].d;
    u64 v;
    if (c->cpl != 0)
        return cpu_raise_gp(c, 0);
    if (!msr_read(c, msr, &v)) {
        log_guest(c->wires.log, "RDMSR of %#x, which does not exist: #GP", msr);
        return cpu_raise_gp(c, 0);
    }
    c->gpr[RAX].q = (u32)v;
    c->gpr[RDX].q = v >> 32;
    return true;
}

bool op_wrmsr(struct cpu *c)
{
    u32 msr = c->gpr[RCX].d;
    u64 v = (u64)c->gpr[RDX].d << 32 | c->gpr[RAX].d;
    if (c->cpl != 0)
        return cpu_raise_gp(c, 0);
    if (!msr_write(c, msr, v)) {
        log_guest(c->wires.log, "WRMSR of %#x to %#llx is refused: #GP", msr, (unsigned long long)v);
        return cpu_raise_gp(c, 0);
    }
    return true;
}
