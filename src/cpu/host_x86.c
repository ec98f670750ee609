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

enum silicon silicon_host(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d))
        return SILICON_INTEL;
    return b == signature_AMD_ebx ? SILICON_AMD : SILICON_INTEL;
}
