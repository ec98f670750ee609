/* The wires between chips and interrupt controllers of a PC. ISA interrupts reach both the 8259 pair and the
 * IOAPIC; which of the two the guest listens to is its affair. */
#include "irq/router.h"

#include "irq/lapic.h"

enum {
    ISA_IRQS = 16,
    GSI_TIMER = 2, /* IRQ 0 arrives at the IOAPIC's pin 2; the 8259's INT has pin 0 */
};

static void router_set(void *opaque, unsigned n, bool level)
{
    struct irq_router *r = opaque;
    unsigned gsi = n % IOAPIC_PINS, source = n / IOAPIC_PINS % ROUTER_SOURCES;
    u32 bit = 1u << source;
    r->sources[gsi] = level ? r->sources[gsi] | bit : r->sources[gsi] & ~bit;
    bool high = r->sources[gsi];
    if (gsi < ISA_IRQS)
        i8259_set(r->pic, gsi, high);
    if (gsi == 0)
        ioapic_set(r->ioapic, GSI_TIMER, high);
    else if (gsi != GSI_TIMER)
        ioapic_set(r->ioapic, gsi, high);
}

struct irq_line irq_router_line(struct irq_router *r, unsigned gsi, unsigned source)
{
    return (struct irq_line){.set = router_set, .opaque = r, .n = gsi + IOAPIC_PINS * source};
}

static void intr_set(void *opaque, unsigned n, bool level)
{
    struct irq_router *r = opaque;
    (void)n;
    ioapic_set(r->ioapic, 0, level);
    apic_bus_lint(r->bus, 0, level);
}

static u8 router_inta(void *opaque)
{
    struct irq_router *r = opaque;
    return i8259_ack(r->pic);
}

static void router_eoi(void *opaque, u8 vector)
{
    struct irq_router *r = opaque;
    ioapic_eoi(r->ioapic, vector);
}

void irq_router_init(struct irq_router *r, struct i8259 *pic, struct ioapic *ioapic, struct apic_bus *bus)
{
    *r = (struct irq_router){.pic = pic, .ioapic = ioapic, .bus = bus};
    i8259_init(pic, (struct irq_line){.set = intr_set, .opaque = r});
    ioapic_init(ioapic, bus);
    bus->inta = router_inta;
    bus->eoi = router_eoi;
    bus->router = r;
}

/* Not reset: the levels are the sources', which reset their own wires. */
static const struct field router_fields[] = {FIELD_ARRAY_KEEP(irq_router, sources)};
static const struct field_table router_table = {
    .name = "irq_router", .version = 1, .fields = router_fields, .count = ARRAY_LEN(router_fields)};

const struct device_ops irq_router_ops = {.fields = &router_table};
