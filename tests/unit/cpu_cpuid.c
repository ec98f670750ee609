/* CPUID: leaves agree with each other, with the vCPU's state, and with what the levels promise. */
#include "control_rig.h"

static bool bit(u32 reg, unsigned n)
{
    return reg >> n & 1;
}

static void text(struct cpu *c, u32 leaf, char *out)
{
    struct cpuid_leaf l = cpuid_read(c, leaf, 0);
    st32(out, l.eax), st32(out + 4, l.ebx), st32(out + 8, l.ecx), st32(out + 12, l.edx);
}

static void test_identity(struct cpu *c)
{
    char s[49] = "";
    struct cpuid_leaf l = cpuid_read(c, 0, 0);
    CHECK_EQ(l.eax, 0x16);
    st32(s, l.ebx), st32(s + 4, l.edx), st32(s + 8, l.ecx);
    CHECK_STR(s, "GenuineIntel");
    for (unsigned k = 0; k < 3; k++)
        text(c, 0x80000002 + k, s + 16 * k);
    CHECK_STR(s, "Trine Virtual CPU");
    l = cpuid_read(c, 0x40000000, 0);
    memset(s, 0, sizeof s);
    st32(s, l.ebx), st32(s + 4, l.ecx), st32(s + 8, l.edx);
    CHECK_STR(s, "TrineTrine");
    CHECK_EQ(l.eax, 0x40000000);
    CHECK(bit(cpuid_read(c, 1, 0).ecx, 31));
    l = cpuid_read(c, 0x80000008, 0);
    CHECK_EQ(l.eax, MEM_PHYS_BITS | 48 << 8);
    CHECK_EQ(cpuid_read(c, 0x80000000, 0).eax, 0x80000008);
}

/* Leaf 0x15 is the rate of the counter that the vCPU really has. */
static void test_tsc(struct cpu *c)
{
    struct cpuid_leaf l = cpuid_read(c, 0x15, 0);
    CHECK_EQ((u64)l.ecx * l.ebx / l.eax, NS_PER_S);
    CHECK_EQ(cpuid_read(c, 0x16, 0).eax, 1000);
    CHECK(bit(cpuid_read(c, 0x80000007, 0).edx, 8));
}

static void test_out_of_range(struct cpu *c)
{
    struct cpuid_leaf last = cpuid_read(c, 0x16, 0);
    static const u32 out[] = {0x17, 0x3fffffff, 0x40000001, 0x7fffffff, 0x80000009, 0xffffffff};
    for (size_t k = 0; k < ARRAY_LEN(out); k++)
        CHECK_EQ(cpuid_read(c, out[k], 0).eax, last.eax); /* as silicon does */
    static const u32 empty[] = {3, 5, 8, 9, 0xa, 0xc, 0xe, 0x14};
    for (size_t k = 0; k < ARRAY_LEN(empty); k++) {
        struct cpuid_leaf l = cpuid_read(c, empty[k], 0);
        CHECK_EQ(l.eax | l.ebx | l.ecx | l.edx, 0);
    }
    struct cpuid_leaf l = cpuid_read(c, 7, 1);
    CHECK_EQ(l.eax | l.ebx | l.ecx | l.edx, 0);
    CHECK_EQ(cpuid_read(c, 4, 4).eax & 0x1f, 0); /* no more caches */
}

static void test_dynamic(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    CHECK(!bit(cpuid_read(c, 1, 0).ecx, 27));
    CHECK(!bit(cpuid_read(c, 7, 0).ecx, 4));
    c->cr4 |= CR4_OSXSAVE | CR4_PKE;
    CHECK(bit(cpuid_read(c, 1, 0).ecx, 27));
    CHECK(bit(cpuid_read(c, 7, 0).ecx, 4));
    CHECK(bit(cpuid_read(c, 1, 0).edx, 9));
    r->apic_base &= ~BIT(11);
    CHECK(!bit(cpuid_read(c, 1, 0).edx, 9));
    r->apic_base |= BIT(11);
    CHECK(bit(cpuid_read(c, 0x80000001, 0).edx, 11));
    c->code_size = 4;
    CHECK(!bit(cpuid_read(c, 0x80000001, 0).edx, 11)); /* SYSCALL, outside 64-bit mode */
    c->code_size = 8;
    /* Writes all four registers, upper halves zero. */
    memset(c->gpr, 0xff, 4 * sizeof c->gpr[0]);
    c->gpr[RAX].d = 7, c->gpr[RCX].d = 0;
    op_cpuid(c);
    CHECK_EQ(c->gpr[RAX].q, 0);
    CHECK_EQ(c->gpr[RDX].q >> 32, 0);
    CHECK_EQ(c->gpr[RBX].q, cpuid_read(c, 7, 0).ebx);
}

/* Leaf 0xD: sizes follow XCR0, components do not overlap and end where the sizes say. */
static void test_xsave(struct cpu *c)
{
    struct cpuid_leaf d0 = cpuid_read(c, 0xd, 0);
    u64 all = (u64)d0.edx << 32 | d0.eax;
    CHECK_EQ(all, c->wires.model->xcr0_mask);
    u32 end = 576, compact = 576;
    for (unsigned k = 2; k < 63; k++) {
        struct cpuid_leaf l = cpuid_read(c, 0xd, k);
        if (!(all >> k & 1)) {
            CHECK_EQ(l.eax | l.ebx | l.ecx | l.edx, 0);
            continue;
        }
        CHECK(l.ebx >= end);
        end = l.ebx + l.eax;
        compact += l.eax;
        CHECK_EQ(l.ecx, 0); /* no alignment in the compacted form, a user component */
        CHECK_EQ(xsave_size(1ull << k, false), end);
    }
    CHECK_EQ(d0.ecx, end);
    c->xcr0 = all;
    CHECK_EQ(cpuid_read(c, 0xd, 0).ebx, end);
    CHECK_EQ(cpuid_read(c, 0xd, 1).ebx, compact);
    c->xcr0 = 3;
    CHECK_EQ(cpuid_read(c, 0xd, 0).ebx, 576);
    CHECK_EQ(cpuid_read(c, 0xd, 1).ebx, 576);
    CHECK_EQ(cpuid_read(c, 0xd, 1).eax & 8, 0); /* no XSAVES */
}

/* XSAVE's leaf and the feature bits tell one story. */
static void test_xsave_features(struct cpu *c)
{
    u64 xcr0 = c->wires.model->xcr0_mask;
    CHECK_EQ(!!(xcr0 & XFEATURE_AVX), cpu_has(c, FEAT_AVX));
    CHECK_EQ(!!(xcr0 & XFEATURE_PKRU), cpu_has(c, FEAT_PKU));
    CHECK_EQ(xcr0 & ~(u64)(XFEATURE_X87 | XFEATURE_SSE | XFEATURE_AVX | XFEATURE_PKRU), 0);
    u32 ways = cpuid_read(c, 0xd, 1).eax;
    CHECK_EQ(bit(ways, 0), cpu_has(c, FEAT_XSAVEOPT));
    CHECK_EQ(bit(ways, 1), cpu_has(c, FEAT_XSAVEC));
    CHECK(!(c->wires.model->features & (BIT(FEAT_AVX2) | BIT(FEAT_FMA) | BIT(FEAT_F16C))) ||
          cpu_has(c, FEAT_AVX));
    CHECK_EQ(!!(c->wires.model->cr4_mask & CR4_PKE), cpu_has(c, FEAT_PKU));
    CHECK(bit(cpuid_read(c, 7, 0).ebx, 9) && bit(cpuid_read(c, 7, 0).edx, 4)); /* ERMS, FSRM */
}

/* Every gate agrees with its bit. */
static void test_gates(struct cpu *c, unsigned level)
{
    static const struct {
        u32 leaf;
        u8 reg, bit, feat, level;
    } rows[] = {
        {1, 2, 0, FEAT_SSE3, 2},         {1, 2, 1, FEAT_PCLMUL, 2},
        {1, 2, 9, FEAT_SSSE3, 2},        {1, 2, 12, FEAT_FMA, 3},
        {1, 2, 13, FEAT_CX16, 2},        {1, 2, 17, FEAT_PCID, 1},
        {1, 2, 19, FEAT_SSE41, 2},       {1, 2, 20, FEAT_SSE42, 2},
        {1, 2, 21, FEAT_X2APIC, 1},      {1, 2, 23, FEAT_POPCNT, 2},
        {1, 2, 25, FEAT_AES, 2},         {1, 2, 26, FEAT_XSAVE, 1},
        {1, 2, 28, FEAT_AVX, 3},         {1, 2, 29, FEAT_F16C, 3},
        {1, 2, 30, FEAT_RDRAND, 1},      {1, 2, 3, FEAT_MONITOR, 9},
        {7, 1, 0, FEAT_FSGSBASE, 1},     {7, 1, 3, FEAT_BMI1, 3},
        {7, 1, 5, FEAT_AVX2, 3},         {7, 1, 7, FEAT_SMEP, 1},
        {7, 1, 8, FEAT_BMI2, 3},         {7, 1, 10, FEAT_INVPCID, 1},
        {7, 1, 18, FEAT_RDSEED, 1},      {7, 1, 19, FEAT_ADX, 2},
        {7, 1, 20, FEAT_SMAP, 1},        {7, 1, 23, FEAT_CLFLUSHOPT, 1},
        {7, 1, 29, FEAT_SHA, 2},         {7, 2, 2, FEAT_UMIP, 1},
        {7, 2, 3, FEAT_PKU, 1},          {7, 2, 22, FEAT_RDPID, 1},
        {1, 2, 22, FEAT_MOVBE, 2},       {0x80000001, 2, 5, FEAT_LZCNT, 3},
        {0x80000001, 3, 26, FEAT_1G, 1}, {0x80000001, 3, 27, FEAT_RDTSCP, 1},
    };
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        struct cpuid_leaf l = cpuid_read(c, rows[k].leaf, 0);
        u32 reg[] = {l.eax, l.ebx, l.ecx, l.edx};
        bool offered = bit(reg[rows[k].reg], rows[k].bit);
        if (offered != cpu_has(c, rows[k].feat) || offered != (level >= rows[k].level)) {
            check_failures++;
            fprintf(stderr, "level v%u: leaf %#x register %u bit %u is %d\n", level, rows[k].leaf,
                    rows[k].reg, rows[k].bit, offered);
        }
    }
    /* Never: HLE, RTM, MPX, SGX, CET, LA57, WAITPKG. */
    struct cpuid_leaf l = cpuid_read(c, 7, 0);
    CHECK_EQ(l.ebx & (BIT(2) | BIT(4) | BIT(11) | BIT(14)), 0);
    CHECK_EQ(l.ecx & (BIT(5) | BIT(7) | BIT(16)), 0);
    CHECK_EQ(l.edx & BIT(20), 0);
}

/* What an engine lacks is not offered, and drags along what is nothing without it; levels are kept or not. */
static void test_within(void)
{
    static const struct {
        u64 lacking;
        bool avx, fma, sha, v2, v3;
    } rows[] = {
        {0, true, true, true, true, true},
        {BIT(FEAT_SHA), true, true, false, true, true},
        {BIT(FEAT_AVX), false, false, true, true, false},
        {BIT(FEAT_BMI2), true, true, true, true, false},
        {BIT(FEAT_SSE42) | BIT(FEAT_AVX2), true, true, true, false, false},
    };
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        struct cpu_model *m = cpu_model_create_within(CPU_LEVEL_V3, 1, MEM_PHYS_BITS, ~rows[k].lacking);
        if (!m)
            exit(1);
        CHECK_EQ(m->features & rows[k].lacking, 0);
        CHECK_EQ(m->features >> FEAT_AVX & 1, rows[k].avx);
        CHECK_EQ(m->features >> FEAT_FMA & 1, rows[k].fma);
        CHECK_EQ(m->features >> FEAT_SHA & 1, rows[k].sha);
        CHECK_EQ(m->xcr0_mask & XFEATURE_AVX, rows[k].avx ? XFEATURE_AVX : 0);
        CHECK_EQ(!(cpu_level_needs(CPU_LEVEL_V2) & rows[k].lacking), rows[k].v2);
        CHECK_EQ(!(cpu_level_needs(CPU_LEVEL_V3) & rows[k].lacking), rows[k].v3);
        cpu_model_destroy(m);
    }
    CHECK_EQ(cpu_level_needs(CPU_LEVEL_V2) & ~cpu_level_needs(CPU_LEVEL_V3), 0);
    struct cpu_model *v3 = cpu_model_create(CPU_LEVEL_V3, 1, MEM_PHYS_BITS);
    CHECK_EQ(cpu_level_needs(CPU_LEVEL_V3) & ~v3->features, 0);
    cpu_model_destroy(v3);
}

/* `host` offers no computation that the compiler's own look at the host does not find. */
static void test_host(void)
{
    struct cpu_model *m = cpu_model_create(CPU_LEVEL_HOST, 1, MEM_PHYS_BITS);
    u64 have = m->features;
    cpu_model_destroy(m);
#if defined(__x86_64__)
    static const u8 feats[] = {FEAT_AVX,  FEAT_AVX2,  FEAT_FMA,    FEAT_BMI1,
                               FEAT_BMI2, FEAT_SSE42, FEAT_POPCNT, FEAT_SSSE3};
    const bool host[] = {__builtin_cpu_supports("avx"),    __builtin_cpu_supports("avx2"),
                         __builtin_cpu_supports("fma"),    __builtin_cpu_supports("bmi"),
                         __builtin_cpu_supports("bmi2"),   __builtin_cpu_supports("sse4.2"),
                         __builtin_cpu_supports("popcnt"), __builtin_cpu_supports("ssse3")};
    for (size_t k = 0; k < ARRAY_LEN(feats); k++)
        CHECK_EQ(have >> feats[k] & 1, host[k]);
#else
    CHECK_EQ(have & cpu_level_needs(CPU_LEVEL_V2), 0);
#endif
    CHECK(have >> FEAT_PKU & 1); /* the monitor's own work */
}

static void test_topology(void)
{
    static const u32 counts[] = {1, 2, 3, 8, 200};
    for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
        struct control_rig r;
        if (!control_create(&r, CPU_LEVEL_V2))
            exit(1);
        struct cpu *c = r.rig.c;
        u32 n = counts[k];
        cpu_model_destroy((struct cpu_model *)(uintptr_t)c->wires.model);
        c->wires.model = cpu_model_create(CPU_LEVEL_V2, n, MEM_PHYS_BITS);
        c->index = n - 1;
        struct cpuid_leaf smt = cpuid_read(c, 0xb, 0), core = cpuid_read(c, 0xb, 1),
                          none = cpuid_read(c, 0xb, 2);
        CHECK_EQ(smt.eax, 0);
        CHECK_EQ(core.ebx, n);
        CHECK(1u << core.eax >= n && (core.eax == 0 || 1u << (core.eax - 1) < n));
        CHECK_EQ(core.edx, n - 1);
        CHECK_EQ(none.ebx | none.eax, 0);
        CHECK_EQ(none.ecx, 2);
        CHECK_EQ(cpuid_read(c, 1, 0).ebx >> 24, n - 1);
        CHECK_EQ(bit(cpuid_read(c, 1, 0).edx, 28), n > 1);
        control_destroy(&r);
    }
}

int main(void)
{
    for (unsigned level = CPU_LEVEL_V1; level <= CPU_LEVEL_V3; level++) {
        struct control_rig r;
        if (!control_create(&r, (enum cpu_level)level))
            return 1;
        rig_reset(&r.rig, true, 0);
        struct cpu *c = r.rig.c;
        CHECK(c->wires.model->count <= CPUID_MAX_LEAVES);
        test_identity(c);
        test_tsc(c);
        test_out_of_range(c);
        test_gates(c, level);
        test_dynamic(&r);
        test_xsave_features(c);
        test_xsave(c);
        control_destroy(&r);
    }
    test_within();
    test_host();
    test_topology();
    return check_done();
}
