/* What the host's processor is and has: its CPUID, XCR0 and silicon, on x86 hosts. */
#include <cpuid.h>

#include "base/le.h"
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

/* How many bits KEPT is of an alternation that begins with 1 in bit 0. */
#define ALTERNATION 0x5555555555555555ull
static u8 bits_kept(u64 kept)
{
    static const u8 widths[] = {48, 57};
    for (unsigned k = 0; k < ARRAY_LEN(widths); k++)
        if (kept == (u64)((i64)(ALTERNATION << (64 - widths[k])) >> (64 - widths[k])))
            return widths[k];
    return 64;
}

/* AMD's silicon stores the pointers only while an x87 exception is pending, so one is while they are asked for; no waiting instruction runs meanwhile. */
struct silicon_pointers silicon_pointers_host(void)
{
    enum { FCW = 0, FSW = 2, FIP = 8, FDP = 16, MXCSR = 24 };
    _Alignas(16) u8 own[512], image[512] = {0};
    st16(image + FCW, 0x37e);
    st16(image + FSW, 0x8081);
    st64(image + FIP, ALTERNATION);
    st64(image + FDP, ALTERNATION);
    st32(image + MXCSR, 0x1f80);
    __asm__ volatile("fxsave64 %0\n\tfxrstor64 %1\n\tfxsave64 %1\n\tfxrstor64 %0" : "=m"(own), "+m"(image));
    return (struct silicon_pointers){bits_kept(ld64(image + FIP)), bits_kept(ld64(image + FDP))};
}
