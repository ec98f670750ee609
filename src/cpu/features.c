/* The features of the CPU model, by x86-64 level (System V ABI, AMD64 supplement, 3.1.1), and what of them
 * the host has. Features of level 1 are the monitor's own work on every engine; those of level 2 and 3 are
 * computation, which an engine may leave to the host's processor. */
#include "cpu/feature_bits.h"

#include "base/bits.h"
#include "cpu/model.h"

#define NO_FEAT FEAT_COUNT

struct feature_bit {
    u8 word, bit, level, feat;
};

/* One row per bit: register, bit, least level, gate. */
/* clang-format off */
static const struct feature_bit feature_bits[] = {
    {W1_EDX, 0, 1, NO_FEAT},        /* FPU */
    {W1_EDX, 1, 1, FEAT_VME},
    {W1_EDX, 2, 1, NO_FEAT},        /* DE */
    {W1_EDX, 3, 1, NO_FEAT},        /* PSE */
    {W1_EDX, 4, 1, NO_FEAT},        /* TSC */
    {W1_EDX, 5, 1, NO_FEAT},        /* MSR */
    {W1_EDX, 6, 1, NO_FEAT},        /* PAE */
    {W1_EDX, 7, 1, NO_FEAT},        /* MCE */
    {W1_EDX, 8, 1, NO_FEAT},        /* CX8 */
    {W1_EDX, 9, 1, NO_FEAT},        /* APIC */
    {W1_EDX, 11, 1, NO_FEAT},       /* SEP */
    {W1_EDX, 12, 1, NO_FEAT},       /* MTRR */
    {W1_EDX, 13, 1, NO_FEAT},       /* PGE */
    {W1_EDX, 14, 1, NO_FEAT},       /* MCA */
    {W1_EDX, 15, 1, NO_FEAT},       /* CMOV */
    {W1_EDX, 16, 1, NO_FEAT},       /* PAT */
    {W1_EDX, 17, 1, FEAT_PSE36},
    {W1_EDX, 19, 1, NO_FEAT},       /* CLFSH */
    {W1_EDX, 23, 1, NO_FEAT},       /* MMX */
    {W1_EDX, 24, 1, NO_FEAT},       /* FXSR */
    {W1_EDX, 25, 1, NO_FEAT},       /* SSE */
    {W1_EDX, 26, 1, NO_FEAT},       /* SSE2 */
    {W1_EDX, 27, 1, NO_FEAT},       /* SS: caches snoop themselves */
    {W1_ECX, 0, 2, FEAT_SSE3},
    {W1_ECX, 1, 2, FEAT_PCLMUL},
    {W1_ECX, 9, 2, FEAT_SSSE3},
    {W1_ECX, 12, 3, FEAT_FMA},
    {W1_ECX, 13, 2, FEAT_CX16},
    {W1_ECX, 17, 1, FEAT_PCID},
    {W1_ECX, 19, 2, FEAT_SSE41},
    {W1_ECX, 20, 2, FEAT_SSE42},
    {W1_ECX, 21, 1, FEAT_X2APIC},
    {W1_ECX, 22, 2, FEAT_MOVBE},
    {W1_ECX, 23, 2, FEAT_POPCNT},
    {W1_ECX, 24, 1, FEAT_TSC_DEADLINE},
    {W1_ECX, 25, 2, FEAT_AES},
    {W1_ECX, 26, 1, FEAT_XSAVE},
    {W1_ECX, 28, 3, FEAT_AVX},
    {W1_ECX, 29, 3, FEAT_F16C},
    {W1_ECX, 30, 1, FEAT_RDRAND},
    {W1_ECX, 31, 1, NO_FEAT},       /* a hypervisor is present */
    {W7_EBX, 0, 1, FEAT_FSGSBASE},
    {W7_EBX, 1, 1, NO_FEAT},        /* TSC_ADJUST */
    {W7_EBX, 3, 3, FEAT_BMI1},
    {W7_EBX, 5, 3, FEAT_AVX2},
    {W7_EBX, 6, 1, NO_FEAT},        /* FDP_EXCPTN_ONLY */
    {W7_EBX, 7, 1, FEAT_SMEP},
    {W7_EBX, 8, 3, FEAT_BMI2},
    {W7_EBX, 9, 1, NO_FEAT},        /* ERMS */
    {W7_EBX, 10, 1, FEAT_INVPCID},
    {W7_EBX, 13, 1, NO_FEAT},       /* FCS and FDS are not kept */
    {W7_EBX, 18, 1, FEAT_RDSEED},
    {W7_EBX, 19, 2, FEAT_ADX},
    {W7_EBX, 20, 1, FEAT_SMAP},
    {W7_EBX, 23, 1, FEAT_CLFLUSHOPT},
    {W7_EBX, 29, 2, FEAT_SHA},
    {W7_ECX, 2, 1, FEAT_UMIP},
    {W7_ECX, 3, 1, FEAT_PKU},
    {W7_ECX, 22, 1, FEAT_RDPID},
    {W7_EDX, 4, 1, NO_FEAT},        /* FSRM */
    {W7_EDX, 26, 1, NO_FEAT},       /* IBRS, IBPB */
    {W7_EDX, 27, 1, NO_FEAT},       /* STIBP */
    {W7_EDX, 29, 1, NO_FEAT},       /* IA32_ARCH_CAPABILITIES */
    {W7_EDX, 31, 1, NO_FEAT},       /* SSBD */
    {WD1_EAX, 0, 1, FEAT_XSAVEOPT},
    {WD1_EAX, 1, 1, FEAT_XSAVEC},
    {WD1_EAX, 2, 1, NO_FEAT},       /* XGETBV with ECX = 1 */
    {WX1_ECX, 0, 2, NO_FEAT},       /* LAHF and SAHF in 64-bit mode */
    {WX1_ECX, 5, 3, FEAT_LZCNT},
    {WX1_EDX, 11, 1, NO_FEAT},      /* SYSCALL */
    {WX1_EDX, 20, 1, NO_FEAT},      /* NX */
    {WX1_EDX, 26, 1, FEAT_1G},
    {WX1_EDX, 27, 1, FEAT_RDTSCP},
    {WX1_EDX, 29, 1, NO_FEAT},      /* Intel 64 */
};
/* clang-format on */

static const struct {
    u32 leaf, subleaf;
    u8 reg;
} word_place[WORDS] = {
    [W1_ECX] = {1, 0, 2},           [W1_EDX] = {1, 0, 3},           [W7_EBX] = {7, 0, 1},
    [W7_ECX] = {7, 0, 2},           [W7_EDX] = {7, 0, 3},           [WD1_EAX] = {0xd, 1, 0},
    [WX1_ECX] = {0x80000001, 0, 2}, [WX1_EDX] = {0x80000001, 0, 3},
};

#define VECTOR_FEATURES (BIT(FEAT_AVX) | BIT(FEAT_AVX2) | BIT(FEAT_FMA) | BIT(FEAT_F16C))

u64 cpu_level_needs(enum cpu_level level)
{
    u64 v2 = BIT(FEAT_CX16) | BIT(FEAT_POPCNT) | BIT(FEAT_SSE3) | BIT(FEAT_SSE41) | BIT(FEAT_SSE42) |
             BIT(FEAT_SSSE3);
    u64 v3 = v2 | VECTOR_FEATURES | BIT(FEAT_BMI1) | BIT(FEAT_BMI2) | BIT(FEAT_LZCNT) | BIT(FEAT_MOVBE) |
             BIT(FEAT_XSAVE);
    return level == CPU_LEVEL_V2 ? v2 : level == CPU_LEVEL_V3 ? v3 : 0;
}

u64 feature_words(u32 w[WORDS], enum cpu_level level, u64 allowed)
{
    unsigned limit = level == CPU_LEVEL_HOST ? CPU_LEVEL_V3 : level; /* v3 is all that is built */
    u64 features = 0;
    if (level == CPU_LEVEL_HOST)
        allowed &= cpu_features_host();
    if (!(allowed & BIT(FEAT_AVX)))
        allowed &= ~VECTOR_FEATURES; /* they are nothing without its registers */
    for (size_t i = 0; i < ARRAY_LEN(feature_bits); i++) {
        const struct feature_bit *b = &feature_bits[i];
        if (b->level > limit || (b->feat != NO_FEAT && !(allowed >> b->feat & 1)))
            continue;
        w[b->word] |= 1u << b->bit;
        if (b->feat != NO_FEAT)
            features |= BIT(b->feat);
    }
    return features;
}

static u64 features_from(unsigned level, cpuid_source *source, void *opaque, u64 xcr0)
{
    u64 have = ~0ull;
    for (size_t i = 0; i < ARRAY_LEN(feature_bits); i++) {
        const struct feature_bit *b = &feature_bits[i];
        u32 reg[4];
        if (b->level < level || b->feat == NO_FEAT)
            continue;
        if (!source(opaque, word_place[b->word].leaf, word_place[b->word].subleaf, reg) ||
            !(reg[word_place[b->word].reg] >> b->bit & 1))
            have &= ~BIT(b->feat);
    }
    if ((xcr0 & (XFEATURE_SSE | XFEATURE_AVX)) != (XFEATURE_SSE | XFEATURE_AVX))
        have &= ~VECTOR_FEATURES;
    return have;
}

static bool host_source(void *opaque, u32 leaf, u32 subleaf, u32 reg[4])
{
    (void)opaque;
    return host_cpuid(leaf, subleaf, reg);
}

u64 cpu_features_host(void)
{
    return features_from(CPU_LEVEL_V2, host_source, NULL, host_xcr0());
}

u64 cpu_features_found(cpuid_source *source, void *opaque, u64 xcr0)
{
    return features_from(CPU_LEVEL_V1, source, opaque, xcr0);
}
