/* MultiProcessor Specification 1.4, chapter 4: processors, the ISA bus, the IOAPIC, its 16 ISA interrupts
 * (IRQ 0 on pin 2), ExtINT on LINT0 of the first processor, NMI on LINT1 of all. */
#include "machine/boot/mptable.h"

#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "machine/pc_map.h"

enum { MP_PROCESSOR, MP_BUS, MP_IOAPIC, MP_IO_INT, MP_LOCAL_INT };
enum { INT_VECTORED = 0, INT_NMI = 1, INT_EXTINT = 3 };
enum { INT_LEVEL_HIGH = 0xd };

#define APIC_VERSION   0x14
#define IOAPIC_VERSION 0x20
#define IOAPIC_ID      0
#define BUS_ISA        0
#define ALL_APICS      0xff
#define SIGNATURE      0x600 /* family 6 */
#define FEATURES       0x201 /* FPU, APIC */

struct mp {
    u8 *buf;
    size_t len;
    u16 entries;
};

static u8 *mp_entry(struct mp *t, u8 type, size_t size)
{
    u8 *p = t->buf + t->len;
    memset(p, 0, size);
    p[0] = type;
    t->len += size;
    t->entries++;
    return p;
}

static void mp_interrupt(struct mp *t, u8 entry, u8 kind, u16 flags, u8 irq, u8 apic, u8 pin)
{
    u8 *p = mp_entry(t, entry, 8);
    p[1] = kind;
    st16(p + 2, flags);
    p[4] = BUS_ISA;
    p[5] = irq;
    p[6] = apic;
    p[7] = pin;
}

size_t mptable_build(u8 buf[MP_TABLE_MAX], u32 base, u32 cpus, u8 floating[MP_FLOATING_SIZE])
{
    struct mp t = {.buf = buf, .len = 44};
    memset(buf, 0, t.len);
    memcpy(buf, "PCMP", 4);
    buf[6] = 4; /* version 1.4 */
    memcpy(buf + 8, "TRINE   PC          ", 20);
    st32(buf + 36, PC_LAPIC_BASE);
    for (u32 i = 0; i < cpus; i++) {
        u8 *p = mp_entry(&t, MP_PROCESSOR, 20);
        p[1] = (u8)i;
        p[2] = APIC_VERSION;
        p[3] = i ? 1 : 3; /* enabled; the first boots */
        st32(p + 4, SIGNATURE);
        st32(p + 8, FEATURES);
    }
    u8 *bus = mp_entry(&t, MP_BUS, 8);
    memcpy(bus + 2, "ISA   ", 6);
    u8 *io = mp_entry(&t, MP_IOAPIC, 8);
    io[1] = IOAPIC_ID;
    io[2] = IOAPIC_VERSION;
    io[3] = 1;
    st32(io + 4, PC_IOAPIC_BASE);
    for (u8 irq = 0; irq < PC_IRQS; irq++)
        if (irq != 2) /* the cascade */
            mp_interrupt(&t, MP_IO_INT, INT_VECTORED, irq == PC_IRQ_SCI ? INT_LEVEL_HIGH : 0, irq, IOAPIC_ID,
                         irq == PC_IRQ_PIT ? PC_GSI_PIT : irq);
    mp_interrupt(&t, MP_LOCAL_INT, INT_EXTINT, 0, 0, 0, 0);
    mp_interrupt(&t, MP_LOCAL_INT, INT_NMI, 0, 0, ALL_APICS, 1);
    st16(buf + 4, (u16)t.len);
    st16(buf + 34, t.entries);
    buf[7] = bytes_checksum(buf, t.len);

    memset(floating, 0, MP_FLOATING_SIZE);
    memcpy(floating, "_MP_", 4);
    st32(floating + 4, base);
    floating[8] = 1; /* paragraphs */
    floating[9] = 4;
    floating[10] = bytes_checksum(floating, MP_FLOATING_SIZE);
    return t.len;
}
