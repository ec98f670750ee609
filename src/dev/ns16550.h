/* The NS16550A serial port. See ns16550.c. */
#ifndef DEV_NS16550_H
#define DEV_NS16550_H

#include "dev/device.h"

#define NS16550_FIFO 16

struct ns16550 {
    struct clock *clock;
    struct irq_line irq;
    struct char_backend backend;

    u8 ier, fcr, lcr, mcr, scr;
    u8 lsr; /* OE only: the other bits follow from the rest */
    u8 msr; /* with the delta bits */
    u8 dll, dlm;
    u8 rx[NS16550_FIFO], rx_error[NS16550_FIFO]; /* ring; LSR error bits that came with each byte */
    u8 rx_head, rx_count;
    u8 top_error; /* LSR error bits shown of the byte on top, cleared by a read of LSR */
    u8 tx[NS16550_FIFO];
    u8 tx_count;
    bool thre_pending; /* THR became empty, and IIR has not told it yet */
    bool timeout_pending;
    u64 timeout_ns; /* when the character timeout is due; TIME_NEVER */
    struct timer timeout;
};

extern const struct device_ops ns16550_ops;
extern const struct bus_ops ns16550_bus; /* eight ports */

void ns16550_init(struct ns16550 *u, struct clock *clock, struct irq_line irq, struct char_backend backend);
/* Bytes of input that fit now. When it was 0 and no longer is, backend.drained is called. */
size_t ns16550_can_receive(const struct ns16550 *u);
/* Takes up to can_receive bytes; returns how many. */
size_t ns16550_receive(struct ns16550 *u, const u8 *data, size_t n);
/* A break on the line. */
void ns16550_receive_break(struct ns16550 *u);
/* The back end has room again: sends what was kept. */
void ns16550_writable(struct ns16550 *u);

#endif
