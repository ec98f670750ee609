/* NS16550A UART with FIFOs (National Semiconductor PC16550D datasheet), as wired in a PC with a terminal that
 * is always ready: DCD, DSR and CTS on.
 *
 * The line has no speed of its own: THR or the transmit FIFO empties into the back end at once, for as long
 * as that takes it. When the back end is full the bytes stay here, THRE and TEMT stay clear until
 * ns16550_writable, and nothing is lost. Input is taken only when it fits (ns16550_can_receive); while the
 * chip is in loop-back mode none is. Baud rate and format only set the length of the character timeout.
 *
 * As in QEMU, and unlike a PC, OUT2 does not gate the interrupt line (kernels written on QEMU rely on it),
 * and words are never cut to 5-7 bits. Not modelled: DMA mode, parity and framing errors. */
#include "dev/ns16550.h"

#include <string.h>

enum {
    RBR_THR = 0,
    IER = 1,
    IIR_FCR = 2,
    LCR = 3,
    MCR = 4,
    LSR = 5,
    MSR = 6,

    IER_RDI = 0x01,
    IER_THRI = 0x02,
    IER_RLSI = 0x04,
    IER_MSI = 0x08,
    IIR_NONE = 0x01,
    IIR_MSI = 0x00,
    IIR_THRI = 0x02,
    IIR_RDI = 0x04,
    IIR_RLSI = 0x06,
    IIR_CTI = 0x0c,
    IIR_FIFO = 0xc0,
    FCR_ENABLE = 0x01,
    FCR_CLEAR_RX = 0x02,
    FCR_CLEAR_TX = 0x04,
    FCR_KEPT = 0xc9,
    LCR_STOP = 0x04,
    LCR_PARITY = 0x08,
    LCR_BREAK = 0x40,
    LCR_DLAB = 0x80,
    MCR_DTR = 0x01,
    MCR_RTS = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08,
    MCR_LOOP = 0x10,
    LSR_DR = 0x01,
    LSR_OE = 0x02,
    LSR_BI = 0x10,
    LSR_ERRORS = 0x1e,
    LSR_THRE = 0x20,
    LSR_TEMT = 0x40,
    LSR_FIFO_ERROR = 0x80,
    MSR_DELTAS = 0x0f,
    MSR_TERI = 0x04,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,

    BAUD_CLOCK_HZ = 1843200 / 16,
};

static const u8 trigger_levels[4] = {1, 4, 8, 14};

static unsigned capacity(const struct ns16550 *u)
{
    return u->fcr & FCR_ENABLE ? NS16550_FIFO : 1;
}

static unsigned trigger(const struct ns16550 *u)
{
    return u->fcr & FCR_ENABLE ? trigger_levels[u->fcr >> 6] : 1;
}

static u8 line_status(const struct ns16550 *u)
{
    u8 s = u->lsr | u->top_error;
    if (u->rx_count)
        s |= LSR_DR;
    if (!u->tx_count)
        s |= LSR_THRE | LSR_TEMT;
    bool error = u->top_error;
    for (unsigned i = 0; i < u->rx_count; i++)
        error |= u->rx_error[(u->rx_head + i) % NS16550_FIFO] != 0;
    return error && u->fcr & FCR_ENABLE ? s | LSR_FIFO_ERROR : s;
}

static u8 interrupt_id(const struct ns16550 *u)
{
    if (u->ier & IER_RLSI && line_status(u) & LSR_ERRORS)
        return IIR_RLSI;
    if (u->ier & IER_RDI && u->rx_count >= trigger(u))
        return IIR_RDI;
    if (u->ier & IER_RDI && u->timeout_pending)
        return IIR_CTI;
    if (u->ier & IER_THRI && u->thre_pending)
        return IIR_THRI;
    if (u->ier & IER_MSI && u->msr & MSR_DELTAS)
        return IIR_MSI;
    return IIR_NONE;
}

static void update_irq(struct ns16550 *u)
{
    irq_set(&u->irq, interrupt_id(u) != IIR_NONE);
}

static u64 character_ns(const struct ns16550 *u)
{
    u64 divisor = u->dll | u->dlm << 8;
    u64 bits = 7u + (u->lcr & 3) + !!(u->lcr & LCR_STOP) + !!(u->lcr & LCR_PARITY);
    return bits * (divisor ? divisor : 1) * NS_PER_S / BAUD_CLOCK_HZ;
}

/* Bytes below the trigger level that nobody fetches for four character times raise the timeout interrupt. */
static void restart_timeout(struct ns16550 *u)
{
    bool waits = u->fcr & FCR_ENABLE && u->rx_count && u->rx_count < trigger(u);
    u->timeout_pending = false;
    u->timeout_ns = waits ? clock_now(u->clock) + 4 * character_ns(u) : TIME_NEVER;
    timer_arm(u->clock, &u->timeout, u->timeout_ns);
}

static void timeout_fire(void *opaque)
{
    struct ns16550 *u = opaque;
    u->timeout_ns = TIME_NEVER;
    u->timeout_pending = true;
    update_irq(u);
}

static void show_top(struct ns16550 *u)
{
    if (!u->rx_count)
        return;
    u->top_error |= u->rx_error[u->rx_head] & LSR_ERRORS;
    u->rx_error[u->rx_head] = 0;
}

static void rx_push(struct ns16550 *u, u8 byte, u8 error)
{
    if (u->rx_count == capacity(u)) {
        u->lsr |= LSR_OE;
        if (u->fcr & FCR_ENABLE)
            return; /* lost in the shift register */
        u->rx_count = 0;
    }
    unsigned at = (u->rx_head + u->rx_count) % NS16550_FIFO;
    u->rx[at] = byte;
    u->rx_error[at] = error;
    if (!u->rx_count++)
        show_top(u);
}

static u8 rx_pop(struct ns16550 *u)
{
    if (!u->rx_count)
        return 0;
    u8 byte = u->rx[u->rx_head];
    u->rx_head = (u8)((u->rx_head + 1) % NS16550_FIFO);
    u->rx_count--;
    show_top(u);
    restart_timeout(u);
    return byte;
}

static void rx_clear(struct ns16550 *u)
{
    u->rx_head = u->rx_count = 0;
    u->top_error = 0;
    memset(u->rx_error, 0, sizeof u->rx_error);
    restart_timeout(u);
}

size_t ns16550_can_receive(const struct ns16550 *u)
{
    return u->mcr & MCR_LOOP ? 0 : capacity(u) - u->rx_count;
}

size_t ns16550_receive(struct ns16550 *u, const u8 *data, size_t n)
{
    size_t room = ns16550_can_receive(u);
    if (n > room)
        n = room;
    for (size_t i = 0; i < n; i++)
        rx_push(u, data[i], 0);
    if (n)
        restart_timeout(u);
    update_irq(u);
    return n;
}

void ns16550_receive_break(struct ns16550 *u)
{
    if (u->mcr & MCR_LOOP)
        return;
    rx_push(u, 0, LSR_BI);
    restart_timeout(u);
    update_irq(u);
}

/* Hands to the back end what it takes. */
static void tx_flush(struct ns16550 *u)
{
    if (!u->tx_count)
        return;
    size_t n = u->backend.write ? u->backend.write(u->backend.opaque, u->tx, u->tx_count) : u->tx_count;
    if (n > u->tx_count)
        n = u->tx_count;
    u->tx_count -= (u8)n;
    memmove(u->tx, u->tx + n, u->tx_count);
    if (!u->tx_count)
        u->thre_pending = true;
}

void ns16550_writable(struct ns16550 *u)
{
    tx_flush(u);
    update_irq(u);
}

static void tx_write(struct ns16550 *u, u8 byte)
{
    u->thre_pending = false;
    if (u->mcr & MCR_LOOP) {
        rx_push(u, byte, 0);
        restart_timeout(u);
        u->thre_pending = true;
        return;
    }
    if (u->tx_count < capacity(u))
        u->tx[u->tx_count++] = byte;
    else if (!(u->fcr & FCR_ENABLE))
        u->tx[u->tx_count - 1] = byte; /* the guest did not look at THRE: THR is overwritten */
    tx_flush(u);
}

/* Modem status from the terminal, or from MCR in loop-back mode; changes set the delta bits. */
static void update_modem(struct ns16550 *u)
{
    u8 now = MSR_DCD | MSR_DSR | MSR_CTS;
    if (u->mcr & MCR_LOOP)
        now = (u8)((u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
                   (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
    u8 changed = (now ^ u->msr) & 0xf0;
    u8 deltas = (changed >> 4) & (MSR_DELTAS & ~MSR_TERI);
    if (changed & MSR_RI && !(now & MSR_RI))
        deltas |= MSR_TERI;
    u->msr = (u8)(now | (u->msr & MSR_DELTAS) | deltas);
}

static void write_fcr(struct ns16550 *u, u8 v)
{
    bool toggled = (v ^ u->fcr) & FCR_ENABLE;
    u->fcr = v & FCR_ENABLE ? v & FCR_KEPT : 0;
    if (toggled || (v & FCR_ENABLE && v & FCR_CLEAR_RX))
        rx_clear(u);
    if (u->tx_count && (toggled || (v & FCR_ENABLE && v & FCR_CLEAR_TX))) {
        u->tx_count = 0;
        u->thre_pending = true;
    }
    if (u->rx_count >= trigger(u) || (u->rx_count && !u->timeout_pending))
        restart_timeout(u);
}

static void write_lcr(struct ns16550 *u, u8 v)
{
    bool begins = v & ~u->lcr & LCR_BREAK;
    u->lcr = v;
    if (begins && u->mcr & MCR_LOOP) {
        rx_push(u, 0, LSR_BI);
        restart_timeout(u);
    }
}

static u8 read_register(struct ns16550 *u, unsigned reg)
{
    u8 v;
    switch (reg) {
    case RBR_THR: return u->lcr & LCR_DLAB ? u->dll : rx_pop(u);
    case IER: return u->lcr & LCR_DLAB ? u->dlm : u->ier;
    case IIR_FCR:
        v = interrupt_id(u);
        if (v == IIR_THRI)
            u->thre_pending = false;
        return u->fcr & FCR_ENABLE ? v | IIR_FIFO : v;
    case LCR: return u->lcr;
    case MCR: return u->mcr;
    case LSR:
        v = line_status(u);
        u->lsr = u->top_error = 0;
        return v;
    case MSR:
        v = u->msr;
        u->msr &= (u8)~MSR_DELTAS;
        return v;
    default: return u->scr;
    }
}

static void write_register(struct ns16550 *u, unsigned reg, u8 v)
{
    switch (reg) {
    case RBR_THR:
        if (u->lcr & LCR_DLAB)
            u->dll = v;
        else
            tx_write(u, v);
        break;
    case IER:
        if (u->lcr & LCR_DLAB) {
            u->dlm = v;
            break;
        }
        /* Enabling THRI while THR is empty raises it. */
        if (v & ~u->ier & IER_THRI && !u->tx_count)
            u->thre_pending = true;
        u->ier = v & 0x0f;
        break;
    case IIR_FCR: write_fcr(u, v); break;
    case LCR: write_lcr(u, v); break;
    case MCR:
        u->mcr = v & 0x1f;
        update_modem(u);
        break;
    case LSR:
    case MSR: break; /* read-only */
    default: u->scr = v;
    }
}

static u64 ns16550_read(void *opaque, u64 off, unsigned size)
{
    struct ns16550 *u = opaque;
    (void)size;
    bool held = !ns16550_can_receive(u);
    u8 v = read_register(u, off & 7);
    update_irq(u);
    if (held && ns16550_can_receive(u) && u->backend.drained)
        u->backend.drained(u->backend.opaque);
    return v;
}

static void ns16550_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct ns16550 *u = opaque;
    (void)size;
    bool held = !ns16550_can_receive(u);
    write_register(u, off & 7, (u8)value);
    update_irq(u);
    if (held && ns16550_can_receive(u) && u->backend.drained)
        u->backend.drained(u->backend.opaque);
}

const struct bus_ops ns16550_bus = {
    .read = ns16550_read, .write = ns16550_write, .min_size = 1, .max_size = 1};

void ns16550_init(struct ns16550 *u, struct clock *clock, struct irq_line irq, struct char_backend backend)
{
    *u = (struct ns16550){.clock = clock, .irq = irq, .backend = backend};
    timer_init(&u->timeout, timeout_fire, u);
    fields_reset(ns16550_ops.fields, u);
}

static void ns16550_reset(void *instance)
{
    struct ns16550 *u = instance;
    timer_disarm(u->clock, &u->timeout);
    update_irq(u);
}

static bool ns16550_after_restore(void *instance)
{
    struct ns16550 *u = instance;
    if (u->rx_count > capacity(u) || u->tx_count > capacity(u) || u->lsr & ~LSR_OE ||
        u->top_error & ~LSR_ERRORS)
        return false;
    timer_arm(u->clock, &u->timeout, u->timeout_ns);
    update_irq(u);
    return true;
}

static const struct field ns16550_fields[] = {
    FIELD_MAX(ns16550, ier, 0, 0x0f),
    FIELD_MAX(ns16550, fcr, 0, FCR_KEPT),
    FIELD(ns16550, lcr, 0),
    FIELD_MAX(ns16550, mcr, 0, 0x1f),
    FIELD(ns16550, scr, 0),
    FIELD_MAX(ns16550, lsr, 0, LSR_OE),
    FIELD(ns16550, msr, MSR_DCD | MSR_DSR | MSR_CTS),
    FIELD(ns16550, dll, 12), /* 9600 baud */
    FIELD(ns16550, dlm, 0),
    FIELD_ARRAY(ns16550, rx, 0),
    FIELD_ARRAY(ns16550, rx_error, 0),
    FIELD_MAX(ns16550, rx_head, 0, NS16550_FIFO - 1),
    FIELD_MAX(ns16550, rx_count, 0, NS16550_FIFO),
    FIELD_MAX(ns16550, top_error, 0, LSR_ERRORS),
    FIELD_ARRAY(ns16550, tx, 0),
    FIELD_MAX(ns16550, tx_count, 0, NS16550_FIFO),
    FIELD(ns16550, thre_pending, 0),
    FIELD(ns16550, timeout_pending, 0),
    FIELD(ns16550, timeout_ns, TIME_NEVER),
};
static const struct field_table ns16550_table = {
    .name = "ns16550", .version = 1, .fields = ns16550_fields, .count = ARRAY_LEN(ns16550_fields)};

const struct device_ops ns16550_ops = {
    .fields = &ns16550_table, .reset = ns16550_reset, .after_restore = ns16550_after_restore};
