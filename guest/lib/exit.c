/* Ending the machine: QEMU's isa-debug-exit, then ACPI S5 where QEMU (i440FX) and Bochs have their
 * PM1a control register, then Bochs' own port, then a halt with interrupts off. */
#include "guest.h"

enum { DEBUG_EXIT = 0xf4, PM1A_CNT = 0x604, PM1A_CNT_BOCHS = 0xb004, BOCHS_SHUTDOWN = 0x8900 };
#define SLP_EN (1u << 13)

void power_off(void)
{
    outw(PM1A_CNT, SLP_EN);
    outw(PM1A_CNT_BOCHS, SLP_EN);
    for (const char *s = "Shutdown"; *s; s++)
        outb(BOCHS_SHUTDOWN, (uint8_t)*s);
}

void exit_with(unsigned status)
{
    outb(DEBUG_EXIT, (uint8_t)status);
    power_off();
    for (;;)
        __asm__ volatile("cli; hlt");
}
