/* On hosts that are not x86 there is no CPUID to ask: nothing of the guest's computation can be left to the
 * processor. */
#include "cpu/feature_bits.h"
#include "cpu/silicon.h"

bool host_cpuid(u32 leaf, u32 subleaf, u32 reg[4])
{
    (void)leaf, (void)subleaf, (void)reg;
    return false;
}

u64 host_xcr0(void)
{
    return 0;
}

enum silicon silicon_host(void)
{
    return SILICON_INTEL;
}

struct silicon_pointers silicon_pointers_host(void)
{
    return (struct silicon_pointers){64, 64};
}
