/* Several processors in world 64: starting them, handing them work, interprocessor interrupts.
 * SDM 3A 9.4.4 (MP initialization), 11.6 (IPIs). */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include "guest.h"

enum { CPUS_MAX = 32 };

/* ICR, low half. */
enum {
    ICR_FIXED = 0 << 8,
    ICR_LOWEST = 1 << 8,
    ICR_NMI = 4 << 8,
    ICR_INIT = 5 << 8,
    ICR_SIPI = 6 << 8,
    ICR_LOGICAL = 1 << 11,
    ICR_ASSERT = 1 << 14,
    ICR_SELF = 1 << 18,
    ICR_ALL = 2 << 18,
    ICR_OTHERS = 3 << 18,
};
enum { APIC_ID = 0x20, APIC_EOI = 0xb0, APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ICR = 0x300 };

/* smp_start_64.c */
extern unsigned cpus;            /* as the MP table says */
extern unsigned volatile online; /* have come up since the last INIT of all */
extern bool x2apic;              /* mode of all local APICs */
/* Starts the other processors, once. False: they did not come. */
bool smp_start(void);
/* Which one am I: the initial APIC id. */
unsigned me(void);
/* Runs JOB on all of them at once, and comes back when all are done. */
void on_all(void (*job)(unsigned cpu));
/* The same on all others, without waiting. */
void post(void (*job)(unsigned cpu));
/* Sends INIT to CPU, lets it be for a moment or not, then sends SIPIs, and waits until it has come up. */
void restart(unsigned cpu, bool pause);
uint32_t apic_read(uint32_t reg);
void apic_write(uint32_t reg, uint32_t value);
void ipi(uint32_t low, uint32_t dest);
void barrier(void); /* all of them */

static inline void relax(void)
{
    __asm__ volatile("pause" : : : "memory");
}
static inline uint64_t add_fetch(volatile uint64_t *p, uint64_t n)
{
    return __atomic_add_fetch(p, n, __ATOMIC_SEQ_CST);
}

#endif
