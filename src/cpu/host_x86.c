/* What the host's processor is and has: its CPUID, XCR0 and silicon, on x86 hosts. */
#include <cpuid.h>

#include "cpu/feature_bits.h"
#include "cpu/silicon.h"

bool host_cpuid(u32 leaf, u32 subleaf, u32 reg[4])
{
    return __get_cpuid_count(leaf, subleaf, &reg[0], &reg[1], &reg[2], &reg[3]);
}

u64 host_xcr0(void)
{
    u32 reg[4], low, high;
    if (!host_cpuid(1, 0, reg) || !(reg[2] & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (u64)high << 32 | low;
}

/* Zen 4's BSF leaves OF clear, Zen 3's leaves it alone; asked of the CPU, because where between them it
 * changed is nowhere written. */
static bool scan_clears_of(void)
{
    u64 r = 0;
    bool of;
    __asm__("movb $0x7f, %b0\n\taddb $1, %b0\n\tbsfq %2, %0" : "+&r"(r), "=@cco"(of) : "r"(2ull));
    return !of;
}

/* AMD's CPUID specification, Fn0000_0001_EAX. */
static unsigned family_of(unsigned version)
{
    unsigned base = version >> 8 & 15;
    return base == 15 ? base + (version >> 20 & 255) : base;
}

enum silicon silicon_host(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d))
        return SILICON_INTEL;
    if (b != signature_AMD_ebx)
        return SILICON_INTEL;
    if (!scan_clears_of() || !__get_cpuid(1, &a, &b, &c, &d))
        return SILICON_AMD;
    return family_of(a) >= 0x1a ? SILICON_AMD_ZEN5 : SILICON_AMD_ZEN4;
}
