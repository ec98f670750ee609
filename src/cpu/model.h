/* The CPU model: what CPUID answers and which features exist. Built once per VM by cpu_model_create, constant
 * from then on. */
#ifndef CPU_MODEL_H
#define CPU_MODEL_H

#include "cpu/system.h"
#include "cpu/silicon.h"

/* XSAVE state components. */
enum {
    XFEATURE_X87 = 1 << 0,
    XFEATURE_SSE = 1 << 1,
    XFEATURE_AVX = 1 << 2,
    XFEATURE_PKRU = 1 << 9,
};

#define XSAVE_AVX_OFFSET  576u /* standard format */
#define XSAVE_AVX_SIZE    256u
#define XSAVE_PKRU_OFFSET 2688u
#define XSAVE_PKRU_SIZE   8u

#define MXCSR_MASK 0xffffu /* all of MXCSR's bits, DAZ included */

#define TSC_HZ     1000000000u /* one tick is one nanosecond of the machine's clock */
#define CRYSTAL_HZ TSC_HZ      /* feeds the LAPIC timer: guests derive its rate from leaf 0x15 */

/* A register set of CPUID. A leaf whose answer depends on ECX has one row per subleaf; the others have
 * subleaf CPUID_ANY. */
#define CPUID_ANY 0xffffffffu
struct cpuid_leaf {
    u32 leaf, subleaf;
    u32 eax, ebx, ecx, edx;
};

#define CPUID_MAX_LEAVES 64

struct cpu_model {
    u64 features;          /* bit per enum cpu_feature */
    u64 xcr0_mask;         /* bits that XCR0 may hold */
    u64 cr4_mask;          /* bits that CR4 may hold */
    u64 arch_capabilities; /* IA32_ARCH_CAPABILITIES */
    enum silicon silicon;  /* what is left to the silicon follows it */
    struct silicon_pointers pointers;
    u32 phys_bits, cpus;
    u32 max_basic, max_hypervisor;
    size_t count;
    struct cpuid_leaf
        leaf[CPUID_MAX_LEAVES]; /* the constant part; op_cpuid adds what depends on the vCPU's state */
};

/* CPUID as the guest would see it on C now, without touching registers. */
struct cpuid_leaf cpuid_read(struct cpu *c, u32 leaf, u32 subleaf);

/* Offers KVM's paravirtual interface: its signature, its FEATURES (leaf 0x40000001), VMCALL and VMMCALL. Before the first use of M. */
void cpu_model_offer_kvm(struct cpu_model *m, u32 features);

/* Family, model and stepping as leaf 1 gives them in EAX, and RESET in EDX. */
u32 cpu_model_signature(const struct cpu_model *m);

/* Bytes of an XSAVE area that holds the components in MASK, legacy region and header included. */
u32 xsave_size(u64 mask, bool compact);

static inline u64 cpu_phys_mask(const struct cpu *c)
{
    return (1ull << c->wires.model->phys_bits) - 1;
}

/* XINUSE: components of C that are not in their initial configuration, found by looking at them. */
u64 xsave_in_use(const struct cpu *c);
/* Sets PKRU and drops what the soft TLB knew under the old one. */
void pkru_write(struct cpu *c, u32 v);

/* The time-stamp counter as the guest reads it. */
static inline u64 cpu_tsc(const struct cpu *c)
{
    return c->wires.tsc(c->wires.opaque, c) + c->tsc_offset;
}

#endif
