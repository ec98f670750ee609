/* A serial line whose other end waits until somebody listens.
 *
 * Input that is there before the guest's driver (a pipe, an input log) would be lost: drivers clear the
 * receive FIFO when they start, and again whenever the port is opened or its settings change. A person at a
 * terminal types when there is a prompt; this does the same. The line brings nothing until
 *   - the guest has the receive interrupt on and has left IER, FCR, LCR alone for SETTLE_NS, or
 *   - it has read LSR POLLS times without finding data, and between them nothing but the modem's registers (as
 *     OVMF does): it polls for input. A write to one of those registers closes it again. The UART itself (ns16550.c) knows nothing of
 * this. */
#include "machine/console/com_port.h"

enum {
    REG_IER = 1,
    REG_LCR = 3,
    REG_MCR = 4,
    REG_LSR = 5,
    REG_MSR = 6,
    IER_RDI = 0x01,
    LSR_DR = 0x01,
    POLLS = 32,
};

/* Longer than a busy host keeps the guest off its cores between two writes of one driver. */
#define SETTLE_NS 20000000u

static void com_port_open(void *opaque)
{
    struct com_port *p = opaque;
    p->open = true;
    p->open_ns = TIME_NEVER;
    timer_disarm(p->clock, &p->opens);
    if (p->backend.drained)
        p->backend.drained(p->backend.opaque);
}

static void com_port_configured(struct com_port *p)
{
    p->open = false;
    p->polls = 0;
    p->open_ns = p->uart.ier & IER_RDI ? clock_now(p->clock) + SETTLE_NS : TIME_NEVER;
    timer_arm(p->clock, &p->opens, p->open_ns);
}

static u64 com_port_read(void *opaque, u64 off, unsigned size)
{
    struct com_port *p = opaque;
    u64 v = ns16550_bus.read(&p->uart, off, size);
    if (p->open || off == REG_MCR || off == REG_MSR)
        return v;
    p->polls = off == REG_LSR && !(v & LSR_DR) ? (u8)(p->polls + 1) : 0;
    if (p->polls == POLLS)
        com_port_open(p);
    return v;
}

static void com_port_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct com_port *p = opaque;
    ns16550_bus.write(&p->uart, off, size, value);
    if (off >= REG_IER && off <= REG_LCR)
        com_port_configured(p);
    else if (!p->open)
        p->polls = 0;
}

const struct bus_ops com_port_bus = {
    .read = com_port_read, .write = com_port_write, .min_size = 1, .max_size = 1};

void com_port_init(struct com_port *p, struct clock *clock, struct irq_line irq, struct char_backend backend)
{
    ns16550_init(&p->uart, clock, irq, backend);
    p->clock = clock;
    p->backend = backend;
    timer_init(&p->opens, com_port_open, p);
}

size_t com_port_room(const struct com_port *p)
{
    return p->open ? ns16550_can_receive(&p->uart) : 0;
}

static void com_port_reset(void *instance)
{
    struct com_port *p = instance;
    timer_disarm(p->clock, &p->opens);
}

static bool com_port_after_restore(void *instance)
{
    struct com_port *p = instance;
    timer_arm(p->clock, &p->opens, p->open_ns);
    return true;
}

static const struct field com_port_fields[] = {
    FIELD(com_port, open, false),
    FIELD_MAX(com_port, polls, 0, POLLS),
    FIELD(com_port, open_ns, TIME_NEVER),
};
static const struct field_table com_port_table = {"com_port", 1, com_port_fields, ARRAY_LEN(com_port_fields)};

const struct device_ops com_port_ops = {
    .fields = &com_port_table, .reset = com_port_reset, .after_restore = com_port_after_restore};
