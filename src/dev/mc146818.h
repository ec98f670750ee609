/* The MC146818 real-time clock with its battery-backed memory. See mc146818.c. */
#ifndef DEV_MC146818_H
#define DEV_MC146818_H

#include "dev/device.h"

#define RTC_CENTURY 0x32

/* Nanoseconds since 1970-01-01 UTC: under --time real the host's, under --time virtual the start date plus
 * virtual time. Must advance with the clock; a jump is followed at the next look. */
struct rtc_source {
    i64 (*wall_ns)(void *opaque);
    void *opaque;
};

struct mc146818 {
    struct clock *clock;
    struct rtc_source source;
    struct irq_line irq;
    u8 cmos[128];
    u8 index;      /* as written, with the NMI mask in bit 7 */
    i64 offset_s;  /* the guest's time is the source's plus this, ... */
    u32 offset_ns; /* ... and this, below 1 s */
    u64 seen_tick; /* 32.768 kHz ticks up to which PF was looked at */
    i64 seen_s;    /* second up to which UF and AF were looked at */
    struct timer timer;
};

extern const struct device_ops mc146818_ops;
extern const struct bus_ops mc146818_bus; /* two ports: index, data */

void mc146818_init(struct mc146818 *r, struct clock *clock, struct rtc_source source, struct irq_line irq);
/* A byte of the memory, from the machine (sizes, century, ...). INDEX < 128, not one of the clock's registers
 * 0..0xd. */
void mc146818_set(struct mc146818 *r, u8 index, u8 value);
static inline bool mc146818_nmi_masked(const struct mc146818 *r)
{
    return r->index & 0x80;
}

#endif
