/* The 8042 keyboard controller with a keyboard. See i8042.c. */
#ifndef DEV_I8042_H
#define DEV_I8042_H

#include "dev/device.h"

#define I8042_QUEUE 32

struct i8042 {
    struct irq_line irq1, irq12;
    const struct machine_lines *lines;

    u8 ram[32];  /* [0] is the controller command byte */
    u8 status;   /* without OBF and AUXDATA, which follow from out_* */
    u8 out;      /* output buffer */
    u8 out_kind; /* 0 empty, 1 keyboard, 2 auxiliary port */
    u8 reply;    /* of the controller; goes before what the keyboard has to say */
    u8 reply_kind;
    u8 out_port;
    u8 command;      /* waits for its data byte; 0: none */
    bool break_code; /* translation: 0xf0 was seen */

    u8 queue[I8042_QUEUE]; /* ring: what the keyboard has to say */
    u8 head, count;
    u8 kbd_command; /* waits for its parameter; 0: none */
    u8 scan_set, last;
    bool scanning;
};

extern const struct device_ops i8042_ops;
extern const struct bus_ops i8042_data_bus, i8042_command_bus; /* ports 0x60 and 0x64, one each */

/* LINES are borrowed. */
void i8042_init(struct i8042 *k, struct irq_line irq1, struct irq_line irq12,
                const struct machine_lines *lines);
/* Its output port's wire to the A20 gate. */
bool i8042_a20(const struct i8042 *k);
/* Keys in scan code set 2, as the keyboard sends them. False, and nothing is taken, when there is no room for
 * all of them or the guest has switched scanning off. */
bool i8042_send_keys(struct i8042 *k, const u8 *codes, size_t n);

#endif
