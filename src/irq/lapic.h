/* The local APIC of one processor: xAPIC registers at the APIC page, x2APIC MSRs, timer. See lapic.c. */
#ifndef IRQ_LAPIC_H
#define IRQ_LAPIC_H

#include "dev/device.h"
#include "irq/apic_bus.h"

#define LAPIC_TIMER_HZ NS_PER_S /* before the divider */

enum {
    IA32_APIC_BASE = 0x1b,
    IA32_TSC_DEADLINE = 0x6e0,
    APIC_BASE_BSP = 1 << 8,
    APIC_BASE_EXTD = 1 << 10,
    APIC_BASE_EN = 1 << 11,
};

enum lapic_lvt { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

struct lapic {
    struct apic_bus *bus;
    unsigned index; /* of the vCPU; initial and x2APIC id */

    u64 apic_base;
    u32 id; /* xAPIC id */
    u32 tpr, ldr, dfr, svr;
    u32 esr, esr_pending; /* as read; gathered since the last write of ESR */
    u32 icr_low, icr_high;
    u32 lvt[LVT_COUNT];
    u32 irr[8], isr[8], tmr[8];
    bool lint[2]; /* wires */
    bool extint;  /* an ExtINT message waits for INTA */

    u32 timer_init, timer_dcr;
    u64 timer_ns; /* when the count reaches zero; TIME_NEVER: stopped */
    u64 tsc_deadline;
    struct timer timer;
};

extern const struct device_ops lapic_ops;

/* Puts L on the bus as the next processor. */
void lapic_init(struct lapic *l, struct apic_bus *bus);
/* Virtual-wire mode, as a BIOS leaves the boot processor: enabled, LINT0 = ExtINT, LINT1 = NMI. */
void lapic_enter_virtual_wire(struct lapic *l);

/* For the processor. Is there an interrupt that RFLAGS.IF = 1 would let in? */
bool lapic_has_interrupt(const struct lapic *l);
/* Acknowledges it; the vector, or -1 when there is none (any more). Signals INTR again when another waits
 * behind it. */
int lapic_ack(struct lapic *l);
/* The same, of the 8259's interrupt alone, which a keeper of L lets in. */
int lapic_ack_extint(struct lapic *l);
/* IA32_APIC_BASE, IA32_TSC_DEADLINE, 0x800..0x8ff. False: #GP. */
bool lapic_msr_read(struct lapic *l, u32 msr, u64 *value);
bool lapic_msr_write(struct lapic *l, u32 msr, u64 value);
u8 lapic_cr8_read(const struct lapic *l);
void lapic_cr8_write(struct lapic *l, u8 tpr);
/* True when GPA lies in this processor's APIC page. */
static inline bool lapic_claims(const struct lapic *l, u64 gpa)
{
    return (gpa ^ l->apic_base) >> 12 == 0 &&
           (l->apic_base & (APIC_BASE_EN | APIC_BASE_EXTD)) == APIC_BASE_EN;
}
/* Registers by offset in the page; any SIZE. Only aligned 4-byte accesses mean something. */
u64 lapic_mmio_read(struct lapic *l, u32 off, unsigned size);
void lapic_mmio_write(struct lapic *l, u32 off, unsigned size, u64 value);
/* The guest moved its TSC (IA32_TIME_STAMP_COUNTER, IA32_TSC_ADJUST): the deadline falls at another time now.
 */
void lapic_tsc_moved(struct lapic *l);
/* An event of the processor's own: LVT_PERF, LVT_THERMAL. */
void lapic_local_event(struct lapic *l, enum lapic_lvt n);

/* The registers as the page has them, LAPIC_IMAGE_BYTES, in both modes' layout (SDM vol. 3, table 11-1; in x2APIC mode the id is 32 bits wide). Of the
 * timer: the initial count only while it counts, and the current one; a deadline and IA32_APIC_BASE are not in it. */
#define LAPIC_IMAGE_BYTES 1024
void lapic_image_get(const struct lapic *l, u8 image[LAPIC_IMAGE_BYTES]);
void lapic_image_put(struct lapic *l, const u8 image[LAPIC_IMAGE_BYTES]);

/* For the bus. */
/* Timer and signals, after the registers were kept elsewhere. */
void lapic_resume(struct lapic *l);
bool lapic_matches(const struct lapic *l, const struct apic_message *m);
void lapic_receive(struct lapic *l, const struct apic_message *m);
void lapic_set_lint(struct lapic *l, unsigned pin, bool level);
u8 lapic_ppr(const struct lapic *l);

/* Between lapic.c and lapic_timer.c. */
void lapic_lvt_deliver(struct lapic *l, enum lapic_lvt n);
void lapic_timer_fire(void *opaque);
void lapic_timer_write_lvt(struct lapic *l, u32 value);
void lapic_timer_write_init(struct lapic *l, u32 value);
void lapic_timer_write_dcr(struct lapic *l, u32 value);
void lapic_timer_write_deadline(struct lapic *l, u64 tsc);
u32 lapic_timer_count(const struct lapic *l);
/* Of a timer kept elsewhere. */
u32 lapic_timer_remaining(const struct lapic *l);
void lapic_timer_resume(struct lapic *l, u32 init, u32 remaining);
u64 lapic_timer_deadline(const struct lapic *l);
/* Arms the host timer for what the registers say. */
void lapic_timer_arm(struct lapic *l);

#endif
