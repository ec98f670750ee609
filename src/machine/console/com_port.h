/* A serial port of the PC: the UART, and whether the other end of its line sends. See com_port.c. */
#ifndef MACHINE_CONSOLE_COM_PORT_H
#define MACHINE_CONSOLE_COM_PORT_H

#include "dev/ns16550.h"

struct com_port {
    struct ns16550 uart;
    struct clock *clock;
    struct char_backend backend;
    bool open;   /* the other end sends */
    u8 polls;    /* reads of LSR in a row that found no data */
    u64 open_ns; /* when it opens; TIME_NEVER: not by itself */
    struct timer opens;
};

extern const struct device_ops com_port_ops; /* without the UART, which has its own */
extern const struct bus_ops com_port_bus;    /* eight ports */

void com_port_init(struct com_port *p, struct clock *clock, struct irq_line irq, struct char_backend backend);
/* Bytes that the line may bring now. */
size_t com_port_room(const struct com_port *p);

#endif
