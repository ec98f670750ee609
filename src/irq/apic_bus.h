/* The bus on which local APICs, IOAPICs and MSIs exchange interrupt messages (SDM vol. 3, chapter 11 "APIC").
 * Delivery is immediate: there is no arbitration, and a message is never refused. All calls run under the
 * VM's big lock. */
#ifndef IRQ_APIC_BUS_H
#define IRQ_APIC_BUS_H

#include "base/clock.h"
#include "base/types.h"

#define APIC_MAX_CPUS 255

struct lapic;

/* SDM vol. 3, 11.6.1: delivery modes, as LVT, ICR, IOAPIC entries and MSI data spell them. */
enum apic_delivery {
    APIC_DM_FIXED = 0,
    APIC_DM_LOWEST = 1,
    APIC_DM_SMI = 2,
    APIC_DM_NMI = 4,
    APIC_DM_INIT = 5,
    APIC_DM_STARTUP = 6,
    APIC_DM_EXTINT = 7,
};

struct apic_message {
    u32 dest;
    bool wide; /* a 32-bit x2APIC destination: broadcast is 0xffffffff, not 0xff */
    bool logical;
    bool level;  /* level-triggered: its EOI is broadcast */
    u8 delivery; /* enum apic_delivery */
    u8 vector;
};

/* What a local APIC tells its processor. */
enum apic_signal {
    APIC_SIGNAL_INTR, /* lapic_ack has something to give */
    APIC_SIGNAL_NMI,
    APIC_SIGNAL_SMI,
    APIC_SIGNAL_INIT, /* the LAPIC itself has had its INIT already */
    APIC_SIGNAL_STARTUP,
};

struct apic_wires {
    /* VECTOR is the start-up vector; 0 otherwise. */
    void (*signal)(void *opaque, unsigned cpu, enum apic_signal s, u8 vector);
    /* Clock time at which the vCPU's TSC reaches TSC; any past time when it has already; TIME_NEVER when it
     * is out of reach.
     * Asked while the vCPU itself accesses its LAPIC, or while it stands still. */
    u64 (*tsc_ns)(void *opaque, unsigned cpu, u64 tsc);
    void *opaque;
};

/* Who keeps the local APICs while the guest runs, if not this folder (KVM, with its own in the kernel). `struct lapic` is a copy then: no
 * timer runs, nothing is signalled but the 8259's INT. */
struct apic_keeper {
    void (*message)(void *opaque, const struct apic_message *m);
    /* What IOAPIC pin N sends changed: the EOI of level-triggered ones must come back. */
    void (*pin)(void *opaque, unsigned n, const struct apic_message *m);
    void *opaque;
};

struct apic_bus {
    struct clock *clock;
    struct apic_wires wires;
    const struct apic_keeper *keeper; /* null: the local APICs are here */
    struct lapic *lapics[APIC_MAX_CPUS];
    unsigned count;
    bool x2apic; /* CPUID offers it */
    /* Set by irq_router_init: INTA to the 8259 pair, and EOI of a level-triggered vector to the IOAPIC. */
    u8 (*inta)(void *opaque);
    void (*eoi)(void *opaque, u8 vector);
    void *router;
};

void apic_bus_init(struct apic_bus *b, struct clock *clock, const struct apic_wires *wires, bool x2apic);
void apic_bus_deliver(struct apic_bus *b, const struct apic_message *m);
/* From now on KEEPER has the local APICs, or, when it is null, this folder: timers run again from what the registers say. */
void apic_bus_keep(struct apic_bus *b, const struct apic_keeper *keeper);
/* A message-signalled interrupt: a write of DATA to ADDR in 0xfee00000..0xfeefffff (SDM vol. 3, 11.11). */
void apic_bus_msi(struct apic_bus *b, u64 addr, u32 data);
/* Drives the LINT0 (PIN 0) or LINT1 (PIN 1) wire, which all processors share. */
void apic_bus_lint(struct apic_bus *b, unsigned pin, bool level);

#endif
