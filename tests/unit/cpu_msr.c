/* MSRs: what exists, what a write refuses, what it keeps; privilege; and that CPUID promises only what
 * exists. */
#include "control_rig.h"

#define BAD 0x8000000000000000ull /* not canonical */

static u64 get(struct cpu *c, u32 msr)
{
    u64 v = 0xdead;
    CHECK(msr_read(c, msr, &v));
    return v;
}

static void keeps(struct cpu *c, u32 msr, u64 v, int line)
{
    if (!msr_write(c, msr, v) || get(c, msr) != v) {
        check_failures++;
        fprintf(stderr, "line %d: MSR %#x does not keep %#llx\n", line, msr, (unsigned long long)v);
    }
}

static void refuses(struct cpu *c, u32 msr, u64 v, int line)
{
    u64 before = 0, after = 0;
    bool readable = msr_read(c, msr, &before);
    bool done = msr_write(c, msr, v);
    if (done || (readable && (!msr_read(c, msr, &after) || after != before))) {
        check_failures++;
        fprintf(stderr, "line %d: MSR %#x takes %#llx\n", line, msr, (unsigned long long)v);
    }
}
#define KEEPS(msr, v)   keeps(c, msr, v, __LINE__)
#define REFUSES(msr, v) refuses(c, msr, v, __LINE__)

static void test_instructions(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    rig_reset(&r->rig, true, 0);
    control_set(c, IA32_LSTAR, 0xffffffff81000000);
    CHECK(op_wrmsr(c));
    control_set(c, IA32_LSTAR, 0x1122334455667788);
    c->gpr[RAX].q = c->gpr[RDX].q = ~0ull;
    CHECK(op_rdmsr(c));
    CHECK_EQ(c->gpr[RAX].q, 0x81000000);
    CHECK_EQ(c->gpr[RDX].q, 0xffffffff);
    control_set(c, IA32_LSTAR, BAD);
    EXPECT_GP(r, op_wrmsr(c));
    CHECK_EQ(c->lstar, 0xffffffff81000000);
    control_set(c, 0x12345, 0);
    EXPECT_GP(r, op_rdmsr(c));
    EXPECT_GP(r, op_wrmsr(c));
    control_set(c, IA32_ARCH_CAPABILITIES, 0);
    EXPECT_GP(r, op_wrmsr(c)); /* read-only */
    control_set(c, IA32_PRED_CMD, 1);
    CHECK(op_wrmsr(c));
    EXPECT_GP(r, op_rdmsr(c)); /* write-only */
    rig_enter(&r->rig, 3);
    control_set(c, IA32_LSTAR, 0);
    EXPECT_GP(r, op_rdmsr(c));
    EXPECT_GP(r, op_wrmsr(c));
}

static void test_system(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    rig_reset(&r->rig, true, 0);
    KEEPS(IA32_STAR, ~0ull);
    KEEPS(IA32_CSTAR, 0x7fffffffffff);
    REFUSES(IA32_CSTAR, 0x800000000000);
    KEEPS(IA32_FS_BASE, 0x1234567000);
    CHECK_EQ(c->seg[SEG_FS].base, 0x1234567000);
    KEEPS(IA32_GS_BASE, 0xffff888000000000);
    CHECK_EQ(c->seg[SEG_GS].base, 0xffff888000000000);
    REFUSES(IA32_FS_BASE, BAD);
    REFUSES(IA32_GS_BASE, BAD);
    REFUSES(IA32_KERNEL_GS_BASE, BAD);
    REFUSES(IA32_SYSENTER_EIP, BAD);
    REFUSES(IA32_SYSENTER_ESP, BAD);
    CHECK(msr_write(c, IA32_FMASK, 0xffffffff00047700));
    CHECK_EQ(get(c, IA32_FMASK), 0x47700);
    KEEPS(IA32_TSC_AUX, 0xffffffff);
    REFUSES(IA32_TSC_AUX, BIT(32));
    KEEPS(IA32_SPEC_CTRL, 5);
    REFUSES(IA32_SPEC_CTRL, 8);
    REFUSES(IA32_PRED_CMD, 2);
    KEEPS(IA32_DEBUGCTL, 2); /* BTF */
    REFUSES(IA32_DEBUGCTL, 1);
    REFUSES(IA32_MISC_ENABLE, get(c, IA32_MISC_ENABLE) | BIT(22));
    REFUSES(IA32_EFER, c->efer | BIT(14));
    CHECK(msr_write(c, IA32_EFER, (c->efer & ~(u64)EFER_LMA) | EFER_NXE)); /* LMA cannot be written */
    CHECK_EQ(c->efer, EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE);
    REFUSES(IA32_EFER, EFER_SCE); /* LME under PG */
    KEEPS(IA32_MCG_STATUS, 4);
    REFUSES(IA32_MCG_STATUS, 8);
    KEEPS(IA32_MC0_CTL + 4, ~0ull);
    KEEPS(IA32_MC0_CTL + 5, 0);
    REFUSES(IA32_MC0_CTL + 5, 1);
    u64 v;
    CHECK(msr_read(c, IA32_MC0_CTL + 4 * MC_BANKS - 1, &v));
    CHECK(!msr_read(c, IA32_MC0_CTL + 4 * MC_BANKS, &v));
    CHECK_EQ(get(c, IA32_MCG_CAP) & 0xff, MC_BANKS);
    KEEPS(IA32_APIC_BASE, 0xfee00d00);
    CHECK_EQ(r->apic_base, 0xfee00d00);
    KEEPS(IA32_TSC_DEADLINE, 99);
    CHECK(!msr_read(c, 0x803, &v)); /* the LAPIC refuses: not in x2APIC mode */
    CHECK(!msr_read(c, 0x900, &v));
    CHECK(!msr_read(c, 0x7ff, &v));
}

static void test_memory_types(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    rig_reset(&r->rig, true, 0);
    CHECK_EQ(get(c, IA32_PAT), 0x0007040600070406);
    KEEPS(IA32_PAT, 0x0007050600070106);
    REFUSES(IA32_PAT, 0x0007040600070402);
    REFUSES(IA32_PAT, 0x0307040600070406);
    REFUSES(IA32_PAT, 0x0008040600070406);
    KEEPS(IA32_MTRR_FIX64K_00000, 0x0606060606060606);
    KEEPS(IA32_MTRR_FIX16K_80000 + 1, 0x0001040506000606);
    KEEPS(IA32_MTRR_FIX4K_C0000 + 7, 0x0505050505050505);
    REFUSES(IA32_MTRR_FIX4K_C0000 + 7, 0x0505050505050507); /* UC- is the PAT's only */
    CHECK_EQ(c->mtrr_fixed[0], 0x0606060606060606);
    CHECK_EQ(c->mtrr_fixed[2], 0x0001040506000606);
    CHECK_EQ(c->mtrr_fixed[10], 0x0505050505050505);
    KEEPS(IA32_MTRR_PHYSBASE0, BIT(MEM_PHYS_BITS) - 0x1000);
    KEEPS(IA32_MTRR_PHYSBASE0 + 2, 0xc0000006);
    REFUSES(IA32_MTRR_PHYSBASE0 + 2, 0xc0000002); /* no such type */
    REFUSES(IA32_MTRR_PHYSBASE0 + 2, 0xc0000106);
    REFUSES(IA32_MTRR_PHYSBASE0 + 2, BIT(MEM_PHYS_BITS) | 6);
    KEEPS(IA32_MTRR_PHYSBASE0 + 15, 0xffc0000800);
    REFUSES(IA32_MTRR_PHYSBASE0 + 15, 0xffc0000801);
    KEEPS(IA32_MTRR_DEF_TYPE, 0xc06);
    REFUSES(IA32_MTRR_DEF_TYPE, 0xc02);
    REFUSES(IA32_MTRR_DEF_TYPE, 0x1c06);
    CHECK_EQ(get(c, IA32_MTRRCAP) & 0xff, 8);
    u64 v;
    CHECK(!msr_read(c, IA32_MTRR_PHYSBASE0 + 16, &v));
    CHECK(!msr_read(c, 0x251, &v));
}

/* No value that a guest may write reaches a bad place, and reading back never fails. */
static void test_all_numbers(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    u64 seed = 88172645463325252;
    rig_reset(&r->rig, true, 0);
    for (u32 k = 0; k < 0x4000; k++) {
        u32 msr = k < 0x2000 ? k : 0xc0000000 + (k - 0x2000);
        for (unsigned n = 0; n < 6; n++) {
            u64 v, w;
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            bool readable = msr_read(c, msr, &v);
            if (msr_write(c, msr, n < 3 ? seed : seed & seed >> 9 & 0xff) && readable)
                CHECK(msr_read(c, msr, &w));
        }
    }
}

static void test_levels(void)
{
    struct control_rig r;
    u64 v;
    if (!control_create(&r, CPU_LEVEL_V1))
        exit(1);
    rig_reset(&r.rig, true, 0);
    CHECK(msr_read(r.rig.c, IA32_TSC_AUX, &v)); /* RDTSCP is offered at every level */
    CHECK(r.rig.c->wires.model->arch_capabilities & BIT(20));
    control_destroy(&r);
}

int main(void)
{
    struct control_rig r;
    if (!control_create(&r, CPU_LEVEL_V2))
        return 1;
    r.log.guest_burst = 0;
    test_instructions(&r);
    test_system(&r);
    test_memory_types(&r);
    test_all_numbers(&r);
    test_levels();
    control_destroy(&r);
    return check_done();
}
