/* CPUID and the feature gates (SDM vol. 2A, CPUID; vol. 1, chapter 21).
 * One table (features.c) says from which x86-64 level on a bit is offered; leaves are made of it once per VM. Topology:
 * one package, one thread per core.
 *
 * The identity is GenuineIntel, family 6, model 0x36: an in-order core that operating systems list as free of
 * every flaw of speculative execution. Nothing here speculates, so guests rightly leave their software
 * mitigations off. IA32_ARCH_CAPABILITIES says the same to those that ask it. Not modelled: performance
 * monitoring (leaf 0xA is zero), MONITOR, RTM, MPX, CET, SGX, 5-level paging. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "cpu/feature_bits.h"
#include "cpu/model.h"
#include "cpu/msr.h"

#define SIGNATURE 0x00030661u /* family 6, model 0x36, stepping 1 */
#define BRAND     "Trine Virtual CPU"

/* CR4 bits that come with a feature; the others are always there. */
static const struct {
    u32 bit;
    u8 feat;
} cr4_bits[] = {
    {CR4_VME | CR4_PVI, FEAT_VME}, {CR4_UMIP, FEAT_UMIP},     {CR4_FSGSBASE, FEAT_FSGSBASE},
    {CR4_PCIDE, FEAT_PCID},        {CR4_OSXSAVE, FEAT_XSAVE}, {CR4_SMEP, FEAT_SMEP},
    {CR4_SMAP, FEAT_SMAP},         {CR4_PKE, FEAT_PKU},
};

/* IA32_ARCH_CAPABILITIES: RDCL_NO IBRS_ALL SKIP_L1DFL_VMENTRY SSB_NO MDS_NO PSCHANGE_MC_NO TAA_NO,
 * SBDR_SSDP_NO FBSDP_NO PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO RFDS_NO, ITS_NO. */
#define ARCH_CAPABILITIES                                                                                    \
    (BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(13) | BIT(14) | BIT(15) | BIT(20) |  \
     BIT(24) | BIT(26) | BIT(27) | BIT(62))

u32 xsave_size(u64 mask, bool compact)
{
    u32 size = 512 + 64;
    if (mask & XFEATURE_AVX)
        size = XSAVE_AVX_OFFSET + XSAVE_AVX_SIZE;
    if (mask & XFEATURE_PKRU)
        size = (compact ? size : XSAVE_PKRU_OFFSET) + XSAVE_PKRU_SIZE;
    return size;
}

static void leaf_add(struct cpu_model *m, struct cpuid_leaf l)
{
    m->leaf[m->count++] = l;
}

/* Deterministic cache parameters, leaf 4: TYPE 1 data, 2 instruction, 3 unified. Lines of 64 bytes. */
static void cache_add(struct cpu_model *m, u32 subleaf, u32 type, u32 level, u32 ways, u32 kib, u32 sharing,
                      u32 cores)
{
    u32 sets = kib * 1024 / 64 / ways;
    leaf_add(m, (struct cpuid_leaf){4, subleaf,
                                    type | level << 5 | 1 << 8 | (sharing - 1) << 14 | (cores - 1) << 26,
                                    (ways - 1) << 22 | 63, sets - 1, 0});
}

static void brand_add(struct cpu_model *m)
{
    u32 text[12] = {0};
    memcpy(text, BRAND, sizeof BRAND);
    for (u32 i = 0; i < 3; i++)
        leaf_add(m, (struct cpuid_leaf){0x80000002 + i, CPUID_ANY, text[4 * i], text[4 * i + 1],
                                        text[4 * i + 2], text[4 * i + 3]});
}

/* Four characters each in the register order in which vendor strings stand. */
static void vendor_add(struct cpu_model *m, u32 leaf, u32 max, const char text[static 13], bool hypervisor)
{
    u32 w[3];
    memcpy(w, text, 12);
    leaf_add(m, hypervisor ? (struct cpuid_leaf){leaf, CPUID_ANY, max, w[0], w[1], w[2]}
                           : (struct cpuid_leaf){leaf, CPUID_ANY, max, w[0], w[2], w[1]});
}

static void basic_leaves(struct cpu_model *m, const u32 w[WORDS], unsigned core_shift)
{
    u32 ids = 1u << core_shift;
    u32 ids8 = ids > 128 ? 128 : ids; /* fields of 8 bits; leaf 0xB has no such bound */
    u32 ids6 = ids > 64 ? 64 : ids;
    m->max_basic = 0x16;
    vendor_add(m, 0, m->max_basic, "GenuineIntel", false);
    leaf_add(m, (struct cpuid_leaf){1, CPUID_ANY, SIGNATURE, 8 << 8 | ids8 << 16, w[W1_ECX],
                                    w[W1_EDX] | (m->cpus > 1 ? 1u << 28 : 0)});
    leaf_add(m, (struct cpuid_leaf){2, CPUID_ANY, 0x0000ff01, 0, 0, 0}); /* see leaf 4 */
    cache_add(m, 0, 1, 1, 8, 32, 1, ids6);
    cache_add(m, 1, 2, 1, 8, 32, 1, ids6);
    cache_add(m, 2, 3, 2, 8, 1024, 1, ids6);
    cache_add(m, 3, 3, 3, 16, 16384, ids8, ids6);
    leaf_add(m, (struct cpuid_leaf){6, CPUID_ANY, 1 << 2, 0, 0, 0}); /* ARAT: the LAPIC timer never stops */
    leaf_add(m, (struct cpuid_leaf){7, 0, 0, w[W7_EBX], w[W7_ECX], w[W7_EDX]});
    leaf_add(m, (struct cpuid_leaf){0xb, 0, 0, 1, 1 << 8 | 0, 0});
    leaf_add(m, (struct cpuid_leaf){0xb, 1, core_shift, m->cpus, 2 << 8 | 1, 0});
    leaf_add(m, (struct cpuid_leaf){0xd, 0, (u32)m->xcr0_mask, 0, xsave_size(m->xcr0_mask, false), 0});
    leaf_add(m, (struct cpuid_leaf){0xd, 1, w[WD1_EAX], 0, 0, 0});
    if (m->xcr0_mask & XFEATURE_AVX)
        leaf_add(m, (struct cpuid_leaf){0xd, 2, XSAVE_AVX_SIZE, XSAVE_AVX_OFFSET, 0, 0});
    if (m->xcr0_mask & XFEATURE_PKRU)
        leaf_add(m, (struct cpuid_leaf){0xd, 9, XSAVE_PKRU_SIZE, XSAVE_PKRU_OFFSET, 0, 0});
    leaf_add(m, (struct cpuid_leaf){0x15, CPUID_ANY, 1, TSC_HZ / CRYSTAL_HZ, CRYSTAL_HZ, 0});
    leaf_add(m, (struct cpuid_leaf){0x16, CPUID_ANY, TSC_HZ / 1000000, TSC_HZ / 1000000, 100, 0});
}

static void extended_leaves(struct cpu_model *m, const u32 w[WORDS])
{
    leaf_add(m, (struct cpuid_leaf){0x80000000, CPUID_ANY, 0x80000008, 0, 0, 0});
    leaf_add(m, (struct cpuid_leaf){0x80000001, CPUID_ANY, 0, 0, w[WX1_ECX], w[WX1_EDX]});
    brand_add(m);
    leaf_add(m,
             (struct cpuid_leaf){0x80000006, CPUID_ANY, 0, 0, 1024u << 16 | 6 << 12 | 64, 0}); /* L2, 8-way */
    leaf_add(m, (struct cpuid_leaf){0x80000007, CPUID_ANY, 0, 0, 0, 1 << 8}); /* invariant TSC */
    leaf_add(m, (struct cpuid_leaf){0x80000008, CPUID_ANY, m->phys_bits | 48 << 8, 0, 0, 0});
}

struct cpu_model *cpu_model_create(enum cpu_level level, u32 cpus, unsigned phys_bits)
{
    return cpu_model_create_within(level, cpus, phys_bits, ~0ull);
}

struct cpu_model *cpu_model_create_within(enum cpu_level level, u32 cpus, unsigned phys_bits, u64 allowed)
{
    struct cpu_model *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    u32 w[WORDS] = {0};
    m->features = feature_words(w, level, allowed);
    m->silicon = silicon_host();
    m->pointers = silicon_pointers_host();
    m->cpus = cpus ? cpus : 1;
    m->phys_bits = phys_bits;
    m->arch_capabilities = ARCH_CAPABILITIES;
    m->xcr0_mask = XFEATURE_X87 | XFEATURE_SSE;
    if (m->features & BIT(FEAT_AVX))
        m->xcr0_mask |= XFEATURE_AVX;
    if (m->features & BIT(FEAT_PKU))
        m->xcr0_mask |= XFEATURE_PKRU;
    m->cr4_mask =
        CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    for (size_t i = 0; i < ARRAY_LEN(cr4_bits); i++)
        if (m->features & BIT(cr4_bits[i].feat))
            m->cr4_mask |= cr4_bits[i].bit;

    unsigned core_shift = 0;
    while (core_shift < 16 && 1u << core_shift < m->cpus)
        core_shift++;
    basic_leaves(m, w, core_shift);
    m->max_hypervisor = 0x40000000;
    vendor_add(m, 0x40000000, m->max_hypervisor, "TrineTrine\0\0", true);
    extended_leaves(m, w);
    return m;
}

void cpu_model_offer_kvm(struct cpu_model *m, u32 features)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->leaf[i].leaf == 0x40000000)
            m->leaf[i] = m->leaf[--m->count];
    m->max_hypervisor = 0x40000001;
    vendor_add(m, 0x40000000, m->max_hypervisor, "KVMKVMKVM\0\0\0", true);
    leaf_add(m, (struct cpuid_leaf){0x40000001, CPUID_ANY, features, 0, 0, 0});
    m->features |= BIT(FEAT_VMCALL);
}

void cpu_model_destroy(struct cpu_model *m)
{
    free(m);
}

bool cpu_has(const struct cpu *c, enum cpu_feature f)
{
    return c->wires.model->features >> f & 1;
}

static const struct cpuid_leaf *leaf_find(const struct cpu_model *m, u32 leaf, u32 subleaf)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->leaf[i].leaf == leaf && (m->leaf[i].subleaf == subleaf || m->leaf[i].subleaf == CPUID_ANY))
            return &m->leaf[i];
    return NULL;
}

static bool leaf_exists(const struct cpu_model *m, u32 leaf)
{
    return leaf <= m->max_basic || (leaf >= 0x40000000 && leaf <= m->max_hypervisor) || (leaf >= 0x80000000 && leaf <= 0x80000008);
}

u32 cpu_model_signature(const struct cpu_model *m)
{
    const struct cpuid_leaf *l = leaf_find(m, 1, CPUID_ANY);
    return l ? l->eax : 0;
}

static bool apic_enabled(struct cpu *c)
{
    u64 base;
    return !c->wires.apic_msr_read ||
           (c->wires.apic_msr_read(c->wires.opaque, c, IA32_APIC_BASE, &base) && base & BIT(11));
}

struct cpuid_leaf cpuid_read(struct cpu *c, u32 leaf, u32 subleaf)
{
    const struct cpu_model *m = c->wires.model;
    if (!leaf_exists(m, leaf))
        leaf = m->max_basic; /* as silicon answers out of range */
    const struct cpuid_leaf *found = leaf_find(m, leaf, subleaf);
    struct cpuid_leaf r = {.leaf = leaf, .subleaf = subleaf};
    if (found)
        r = *found;
    switch (leaf) {
    case 1:
        r.ebx |= (c->index & 0xff) << 24;
        if (c->cr4 & CR4_OSXSAVE)
            r.ecx |= 1u << 27;
        if (!apic_enabled(c))
            r.edx &= ~(1u << 9);
        break;
    case 7:
        if (subleaf == 0 && c->cr4 & CR4_PKE)
            r.ecx |= 1u << 4;
        break;
    case 0xb:
        if (!found)
            r.ecx = subleaf & 0xff;
        r.edx = c->index;
        break;
    case 0xd:
        if (subleaf <= 1)
            r.ebx = xsave_size(c->xcr0, subleaf == 1);
        break;
    case 0x80000001:
        if (c->code_size != 8)
            r.edx &= ~(1u << 11); /* SYSCALL exists in 64-bit mode only */
        break;
    default: break;
    }
    return r;
}

void op_cpuid(struct cpu *c)
{
    struct cpuid_leaf l = cpuid_read(c, c->gpr[RAX].d, c->gpr[RCX].d);
    c->gpr[RAX].q = l.eax;
    c->gpr[RBX].q = l.ebx;
    c->gpr[RCX].q = l.ecx;
    c->gpr[RDX].q = l.edx;
}
