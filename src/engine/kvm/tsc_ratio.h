/* CPUID leaf 0x15 for a counter whose rate is the host's (SDM vol. 2, CPUID). */
#ifndef ENGINE_KVM_TSC_RATIO_H
#define ENGINE_KVM_TSC_RATIO_H

#include "cpu/model.h"

/* The counter's rate over the crystal's (EBX / EAX of leaf 0x15), as near as goes with an EBX by which Linux can multiply the crystal's kHz in 32 bits. The
 * crystal stays: it is the rate of the LAPIC's timer too. */
static inline void tsc_ratio(u32 tsc_khz, u32 *eax, u32 *ebx)
{
    const u64 crystal = CRYSTAL_HZ / 1000, most = UINT32_MAX / crystal;
    u64 best = UINT64_MAX;
    for (u64 den = 1; den <= most; den++) {
        u64 num = (tsc_khz * den + crystal / 2) / crystal, khz = crystal * num / den;
        u64 off = khz > tsc_khz ? khz - tsc_khz : tsc_khz - khz;
        if (num && num <= most && off < best)
            best = off, *eax = (u32)den, *ebx = (u32)num;
    }
}

#endif
