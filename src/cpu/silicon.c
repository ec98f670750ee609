#include "cpu/silicon.h"

#if defined(__x86_64__)
#include <cpuid.h>

enum silicon silicon_host(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d))
        return SILICON_INTEL;
    return b == signature_AMD_ebx ? SILICON_AMD : SILICON_INTEL;
}
#else
enum silicon silicon_host(void)
{
    return SILICON_INTEL;
}
#endif
