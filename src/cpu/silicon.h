/* Where the manual leaves something to the silicon, Intel's and AMD's differ, each in its own regular way. One profile is chosen per VM, the host's own
 * (code that an engine runs natively shows it anyway); handlers are bound by it at decode time. docs/deviations.md lists the rules. */
#ifndef CPU_SILICON_H
#define CPU_SILICON_H

#include "base/types.h"

enum silicon {
    SILICON_INTEL,
    SILICON_AMD,      /* Zen 3 */
    SILICON_AMD_ZEN4, /* the same, save BSF and BSR */
    SILICON_AMD_ZEN5, /* as Zen 4, save the order in which CMPS looks at its operands */
};

INLINE bool silicon_is_amd(enum silicon s)
{
    return s != SILICON_INTEL;
}

/* The address of a store is looked at when all else is done: exceptions that the value raises come before those of the address, and what the
 * instruction changes beside memory may have changed by then (MMX, VCVTPS2PH, x87). The manual leaves the order open (SDM vol. 3, table 6-2). */
INLINE bool silicon_store_last(enum silicon s)
{
    return !silicon_is_amd(s);
}

/* The host's; Intel's where the host is no x86, or of another vendor. */
enum silicon silicon_host(void);

/* Bits of FIP and FDP that FXRSTOR64 keeps, the uppermost as the sign of what FXSAVE64 shows: 64, or those of the widest linear address that the processor
 * could be set to translate, 48 or 57. Processors of one vendor differ. */
struct silicon_pointers {
    u8 fip, fdp;
};
/* The host's; 64 where it is no x86. */
struct silicon_pointers silicon_pointers_host(void);

#endif
