/* The 8254 timer and port 0x61 beside it. See i8254.c. */
#ifndef DEV_I8254_H
#define DEV_I8254_H

#include "dev/device.h"

#define I8254_HZ 1193182u

struct i8254_channel {
    u8 mode;   /* 0..5 */
    u8 access; /* RW of the control word: 1 LSB, 2 MSB, 3 both */
    bool bcd, gate;
    bool write_msb, read_msb; /* access 3: the next byte is the MSB */
    u8 write_lsb;
    bool count_latched, status_latched;
    u16 latch;
    u8 status;
    u32 reload;   /* what was written last, 1..65536 (BCD: 1..10000, garbage digits up to 16665) */
    bool written; /* a count was written since the control word */
    bool pending; /* `reload` waits for the end of the (half) cycle, or for GATE to rise */
    bool loaded;  /* counting, or paused by GATE */
    bool paused;
    bool half_low; /* mode 3: OUT is low in the half cycle that began at `start`; mode 1: it was low when GATE
                      rose again */
    u32 count;     /* loaded at `start` */
    u64 start;     /* tick of the CLK pulse that loaded it; paused: ticks counted so far */
};

struct i8254 {
    struct clock *clock;
    struct irq_line irq0;
    struct i8254_channel ch[3];
    struct timer timer; /* next change of OUT0 */
    bool out0;
    u64 fired_tick; /* changes of OUT0 up to here are done */
    u8 port61;      /* bits 0..3 as written */
};

extern const struct device_ops i8254_ops;
extern const struct bus_ops i8254_bus;        /* four ports */
extern const struct bus_ops i8254_port61_bus; /* one port */

void i8254_init(struct i8254 *p, struct clock *clock, struct irq_line irq0);

#endif
