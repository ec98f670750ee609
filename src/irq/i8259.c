/* 8259A programmable interrupt controllers, two in cascade (Intel 8259A datasheet, 231468; edge/level control
 * registers: 82371SB "ELCR1, ELCR2"). Everything that the datasheet states for 8086 mode: ICW1-4, OCW1-3,
 * fully nested and special fully nested mode, special mask mode, rotation, automatic EOI, polling, spurious
 * IR7, IR inputs that must stay high until INTA in edge mode too. Not modelled: MCS-80/85 mode (ICW4 bit 0 =
 * 0 is treated as 8086 mode, as on every PC clone), buffered mode (no effect on a PC). */
#include "irq/i8259.h"

enum {
    MASTER,
    SLAVE,
    CASCADE = 2, /* the master's input that the slave's INT drives */
    ICW1_IC4 = 0x01,
    ICW1_SNGL = 0x02,
    ICW1_LTIM = 0x08,
    ICW1 = 0x10,
    ICW4_AEOI = 0x02,
    ICW4_SFNM = 0x10,
    OCW3 = 0x08,
    OCW3_RIS = 0x01,
    OCW3_RR = 0x02,
    OCW3_P = 0x04,
    OCW3_SMM = 0x20,
    OCW3_ESMM = 0x40,
    POLL_PENDING = 0x80,
};

/* ELCR: IRQ 0, 1, 2, 8 and 13 are edge-triggered for ever. */
static const u8 elcr_writable[2] = {0xf8, 0xde};

/* Place of the highest-priority bit of MASK in the present order, 0 highest; 8 when MASK is empty. */
static unsigned priority_of(const struct i8259_chip *c, u8 mask)
{
    for (unsigned p = 0; p < 8; p++)
        if (mask >> ((c->lowest + 1u + p) & 7) & 1)
            return p;
    return 8;
}

static unsigned input_at(const struct i8259_chip *c, unsigned priority)
{
    return (c->lowest + 1u + priority) & 7;
}

static u8 level_inputs(const struct i8259_chip *c)
{
    return c->icw1 & ICW1_LTIM ? 0xff : c->elcr;
}

/* The input that INTA would serve, or -1. */
static int pending_input(const struct i8259 *p, unsigned n)
{
    const struct i8259_chip *c = &p->chip[n];
    if (c->icw_next)
        return -1;
    u8 requests = c->irr & (u8)~c->imr;
    u8 in_service = c->isr;
    if (c->special_mask) /* inputs in service that are masked block nobody */
        in_service &= (u8)~c->imr;
    if (n == MASTER && c->icw4 & ICW4_SFNM)
        in_service &= (u8) ~(1u << CASCADE);
    unsigned want = priority_of(c, requests);
    return want < priority_of(c, in_service) ? (int)input_at(c, want) : -1;
}

static void chip_set(struct i8259_chip *c, unsigned n, bool level)
{
    u8 bit = (u8)(1u << n);
    bool was = c->lines & bit;
    c->lines = level ? c->lines | bit : c->lines & (u8)~bit;
    if (!level)
        c->irr &= (u8)~bit;
    else if (!was || level_inputs(c) & bit)
        c->irr |= bit;
}

static void update(struct i8259 *p)
{
    chip_set(&p->chip[MASTER], CASCADE, pending_input(p, SLAVE) >= 0);
    irq_set(&p->intr, pending_input(p, MASTER) >= 0);
}

void i8259_set(void *opaque, unsigned n, bool level)
{
    struct i8259 *p = opaque;
    if (n >= 16 || n == CASCADE)
        return;
    chip_set(&p->chip[n / 8], n & 7, level);
    update(p);
}

/* The chip's part of INTA: returns the input. */
static unsigned chip_ack(struct i8259 *p, unsigned n)
{
    struct i8259_chip *c = &p->chip[n];
    int input = pending_input(p, n);
    if (input < 0)
        return 7;
    u8 bit = (u8)(1u << input);
    if (!(level_inputs(c) & bit))
        c->irr &= (u8)~bit;
    if (!(c->icw4 & ICW4_AEOI))
        c->isr |= bit;
    else if (c->rotate_aeoi)
        c->lowest = (u8)input;
    return (unsigned)input;
}

u8 i8259_ack(void *opaque)
{
    struct i8259 *p = opaque;
    /* INT falls with INTA, so that the next request is an edge for whoever is behind it. */
    irq_set(&p->intr, false);
    bool cascade = pending_input(p, MASTER) == CASCADE;
    unsigned input = chip_ack(p, MASTER);
    u8 vector = (u8)(p->chip[MASTER].base | input);
    if (cascade)
        vector = (u8)(p->chip[SLAVE].base | chip_ack(p, SLAVE));
    /* The slave's INT falls too: what waits behind it is a new edge on IR2. */
    if (cascade)
        chip_set(&p->chip[MASTER], CASCADE, false);
    update(p);
    return vector;
}

static void chip_eoi(struct i8259_chip *c, u8 ocw2)
{
    /* A non-specific EOI in special mask mode does not touch inputs that are masked. */
    u8 in_service = c->special_mask ? c->isr & (u8)~c->imr : c->isr;
    unsigned p = priority_of(c, in_service);
    bool specific = ocw2 & 0x40;
    unsigned input = specific ? ocw2 & 7u : input_at(c, p & 7);
    switch (ocw2 >> 5) {
    case 0: c->rotate_aeoi = false; break;
    case 4: c->rotate_aeoi = true; break;
    case 1:
    case 5:
        if (p == 8)
            break;
        c->isr &= (u8) ~(1u << input);
        if (ocw2 & 0x80)
            c->lowest = (u8)input;
        break;
    case 3: c->isr &= (u8) ~(1u << input); break;
    case 7:
        c->isr &= (u8) ~(1u << input);
        c->lowest = (u8)input;
        break;
    case 6: c->lowest = (u8)input; break;
    default: break;
    }
}

static void chip_write_command(struct i8259_chip *c, u8 v)
{
    if (v & ICW1) {
        c->icw1 = v;
        c->icw_next = 2;
        c->icw4 = 0; /* what IC4 = 0 means; ICW4 replaces it */
        c->imr = c->isr = c->irr = 0;
        c->irr = c->lines & level_inputs(c);
        c->lowest = 7;
        c->special_mask = c->poll = c->read_isr = c->rotate_aeoi = false;
    } else if (v & OCW3) {
        c->poll = v & OCW3_P;
        if (v & OCW3_RR)
            c->read_isr = v & OCW3_RIS;
        if (v & OCW3_ESMM)
            c->special_mask = v & OCW3_SMM;
    } else {
        chip_eoi(c, v);
    }
}

static void chip_write_data(struct i8259_chip *c, u8 v)
{
    switch (c->icw_next) {
    case 0: c->imr = v; return;
    case 2:
        c->base = v & 0xf8;
        c->icw_next = !(c->icw1 & ICW1_SNGL) ? 3 : c->icw1 & ICW1_IC4 ? 4 : 0;
        return;
    case 3: /* how the cascade is wired: it is soldered */ c->icw_next = c->icw1 & ICW1_IC4 ? 4 : 0; return;
    default: c->icw4 = v & (ICW4_AEOI | ICW4_SFNM); c->icw_next = 0;
    }
}

static u64 chip_read(struct i8259 *p, unsigned n, u64 off)
{
    struct i8259_chip *c = &p->chip[n];
    if (c->poll) {
        c->poll = false;
        bool pending = pending_input(p, n) >= 0;
        u8 v = pending ? (u8)(POLL_PENDING | chip_ack(p, n)) : 7;
        if (pending && n == SLAVE)
            chip_set(&p->chip[MASTER], CASCADE, false);
        irq_set(&p->intr, false);
        update(p);
        return v;
    }
    return off ? c->imr : c->read_isr ? c->isr : c->irr;
}

static void chip_write(struct i8259 *p, unsigned n, u64 off, u8 v)
{
    if (off)
        chip_write_data(&p->chip[n], v);
    else
        chip_write_command(&p->chip[n], v);
    update(p);
}

static u64 master_read(void *opaque, u64 off, unsigned size)
{
    (void)size;
    return chip_read(opaque, MASTER, off);
}

static void master_write(void *opaque, u64 off, unsigned size, u64 value)
{
    (void)size;
    chip_write(opaque, MASTER, off, (u8)value);
}

static u64 slave_read(void *opaque, u64 off, unsigned size)
{
    (void)size;
    return chip_read(opaque, SLAVE, off);
}

static void slave_write(void *opaque, u64 off, unsigned size, u64 value)
{
    (void)size;
    chip_write(opaque, SLAVE, off, (u8)value);
}

static u64 elcr_read(void *opaque, u64 off, unsigned size)
{
    const struct i8259 *p = opaque;
    (void)size;
    return p->chip[off & 1].elcr;
}

static void elcr_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct i8259 *p = opaque;
    struct i8259_chip *c = &p->chip[off & 1];
    (void)size;
    c->elcr = (u8)value & elcr_writable[off & 1];
    c->irr |= c->lines & c->elcr;
    update(p);
}

const struct bus_ops i8259_master_bus = {
    .read = master_read, .write = master_write, .min_size = 1, .max_size = 1};
const struct bus_ops i8259_slave_bus = {
    .read = slave_read, .write = slave_write, .min_size = 1, .max_size = 1};
const struct bus_ops i8259_elcr_bus = {.read = elcr_read, .write = elcr_write, .min_size = 1, .max_size = 1};

void i8259_init(struct i8259 *p, struct irq_line intr)
{
    *p = (struct i8259){.intr = intr};
    fields_reset(i8259_ops.fields, p);
}

static void i8259_reset(void *instance)
{
    struct i8259 *p = instance;
    irq_set(&p->intr, false);
}

static bool i8259_after_restore(void *instance)
{
    update(instance);
    return true;
}

/* The wires keep their levels over a reset: whoever pulls them is reset as well. */
#define CHIP_FIELDS(n)                                                                                       \
    FIELD_KEEP(i8259, chip[n].lines), FIELD(i8259, chip[n].irr, 0), FIELD(i8259, chip[n].imr, 0),            \
        FIELD(i8259, chip[n].isr, 0), FIELD(i8259, chip[n].elcr, 0), FIELD(i8259, chip[n].base, 0),          \
        FIELD_MAX(i8259, chip[n].lowest, 7, 7), FIELD_MAX(i8259, chip[n].icw_next, 0, 4),                    \
        FIELD(i8259, chip[n].icw1, 0), FIELD(i8259, chip[n].icw4, 0), FIELD(i8259, chip[n].special_mask, 0), \
        FIELD(i8259, chip[n].poll, 0), FIELD(i8259, chip[n].read_isr, 0),                                    \
        FIELD(i8259, chip[n].rotate_aeoi, 0)

static const struct field i8259_fields[] = {CHIP_FIELDS(MASTER), CHIP_FIELDS(SLAVE)};
static const struct field_table i8259_table = {
    .name = "i8259", .version = 1, .fields = i8259_fields, .count = ARRAY_LEN(i8259_fields)};

const struct device_ops i8259_ops = {
    .fields = &i8259_table, .reset = i8259_reset, .after_restore = i8259_after_restore};
