/* CPUID leaf 0x15 as engine kvm gives it: what Linux makes of it (native_calibrate_tsc: the crystal's kHz times EBX, in 32 bits, by EAX) is the
 * counter's rate to 1/4000, for every rate that processors have. */
#include "engine/kvm/tsc_ratio.h"

#include "check.h"

int main(void)
{
    const u32 crystal_khz = CRYSTAL_HZ / 1000;
    for (u32 khz = 800000; khz <= 4200000; khz += 9973) {
        u32 eax = 0, ebx = 0;
        tsc_ratio(khz, &eax, &ebx);
        CHECK(eax && ebx);
        CHECK((u64)crystal_khz * ebx <= UINT32_MAX);
        u32 linux_khz = eax ? crystal_khz * ebx / eax : 0;
        u32 off = linux_khz > khz ? linux_khz - khz : khz - linux_khz;
        CHECK(off <= khz / 4000); /* numbers up to 4294 make a ratio: the worst are next to a whole one */
    }
    return check_done();
}
