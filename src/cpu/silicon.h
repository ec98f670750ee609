/* Where the manual leaves something to the silicon, Intel's and AMD's differ, each in its own regular way. One profile is chosen per VM, the host's own
 * (code that an engine runs natively shows it anyway); handlers are bound by it at decode time. docs/deviations.md lists the rules. */
#ifndef CPU_SILICON_H
#define CPU_SILICON_H

#include "base/types.h"

enum silicon {
    SILICON_INTEL,
    SILICON_AMD,      /* Zen 3 */
    SILICON_AMD_ZEN4, /* the same, save BSF, BSR and the width of FIP and FDP */
    SILICON_AMD_ZEN5, /* as Zen 4, save the order in which CMPS looks at its operands */
};

INLINE bool silicon_is_amd(enum silicon s)
{
    return s != SILICON_INTEL;
}

/* The host's; Intel's where the host is no x86, or of another vendor. */
enum silicon silicon_host(void);

#endif
