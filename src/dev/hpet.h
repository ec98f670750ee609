/* The high precision event timer, with the switch that takes IRQ 0 and IRQ 8 from PIT and RTC. See hpet.c. */
#ifndef DEV_HPET_H
#define DEV_HPET_H

#include "dev/device.h"

#define HPET_TIMERS 3
#define HPET_LEN    0x400u
#define HPET_NO_PIN 0xff

struct hpet {
    struct clock *clock;
    /* Pulls global interrupt GSI for timer N. */
    void (*set)(void *opaque, unsigned n, unsigned gsi, bool level);
    void *opaque;
    struct irq_line legacy[2]; /* IRQ 0 and IRQ 8 for PIT and RTC */
    u32 routes;                /* global interrupts that a timer may be routed to */
    u8 conf, isr;
    u64 counter; /* while halted */
    u64 base;    /* tick at which it was 0, while it counts */
    u64 config[HPET_TIMERS], comparator[HPET_TIMERS], period[HPET_TIMERS];
    u64 due[HPET_TIMERS]; /* tick of the next match */
    bool set_value[HPET_TIMERS];
    bool high[HPET_TIMERS]; /* the timer's line */
    u8 pin[HPET_TIMERS];    /* where it leads */
    bool in[2];             /* what PIT and RTC drive */
    struct timer timer;
};

extern const struct device_ops hpet_ops;
extern const struct bus_ops hpet_bus; /* HPET_LEN bytes */

/* SET is called with OPAQUE. PIT and RTC get hpet_legacy_line instead of the lines of LEGACY. */
void hpet_init(struct hpet *h, struct clock *clock, void (*set)(void *opaque, unsigned n, unsigned gsi, bool level), void *opaque,
               const struct irq_line legacy[2], u32 routes);
/* N 0: for the PIT; 1: for the RTC. */
struct irq_line hpet_legacy_line(struct hpet *h, unsigned n);
/* The low half of the capabilities, which ACPI's table repeats. */
u32 hpet_id(void);

#endif
