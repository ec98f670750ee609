/* A PC after its BIOS ran, for kernels that are loaded without one: interrupt vectors whose handlers
 * acknowledge and return, the BIOS data area (IBM PC AT Technical Reference, section 5), MP and ACPI tables
 * where systems look for them, PICs at vectors 0x08 and 0x70, the PIT ticking. The BIOS's services are not
 * there: INT 13h and 15h fail with CF, 11h and 12h answer, the others return. */
#include "machine/boot/bios.h"

#include <string.h>

#include "base/le.h"
#include "machine/boot/acpi.h"
#include "machine/boot/bios_pci.h"
#include "machine/boot/mptable.h"
#include "machine/pc_map.h"

/* In the segment PC_BIOS. */
#define OFF_MP_FLOATING 0x0000u
#define OFF_RSDP        0x0020u /* systems look on 16-byte boundaries */
#define OFF_MP_TABLE    0x0100u
#define OFF_CODE        0xf000u
#define OFF_RESET       0xfff0u

#define BIOS_SEGMENT (PC_BIOS >> 4)
#define BASE_KIB     (PC_EBDA >> 10)

/* Real-mode handlers. */
static const u8 handler_code[] = {
    /* 00 timer, IRQ 0: counts ticks in the BIOS data area, a day has 0x1800b0 */
    0x50, 0x1e,                                           /* push ax; push ds */
    0x6a, 0x40, 0x1f,                                     /* push 0x40; pop ds */
    0x66, 0xff, 0x06, 0x6c, 0x00,                         /* inc dword [0x6c] */
    0x66, 0x81, 0x3e, 0x6c, 0x00, 0xb0, 0x00, 0x18, 0x00, /* cmp dword [0x6c], 0x1800b0 */
    0x72, 0x0d,                                           /* jb 22 */
    0x66, 0xc7, 0x06, 0x6c, 0x00, 0x00, 0x00, 0x00, 0x00, /* mov dword [0x6c], 0 */
    0xfe, 0x06, 0x70, 0x00,                               /* inc byte [0x70] */
    0xcd, 0x1c,                                           /* 22: int 0x1c */
    0xb0, 0x20, 0xe6, 0x20,                               /* mov al, 0x20; out 0x20, al */
    0x1f, 0x58, 0xcf,                                     /* pop ds; pop ax; iret */
    /* 2b keyboard, IRQ 1: drops the byte */
    0x50, 0xe4, 0x60, 0xeb, 0x01, /* push ax; in al, 0x60; jmp 31 */
    /* 30 the others of the first PIC */
    0x50,                               /* push ax */
    0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf, /* 31: mov al, 0x20; out 0x20, al; pop ax; iret */
    /* 37 RTC, IRQ 8: reads its register C */
    0x50, 0xb0, 0x0c, 0xe6, 0x70, 0xe4, 0x71, /* push ax; mov al, 0x0c; out 0x70, al; in al, 0x71 */
    0xeb, 0x01,                               /* jmp 41 */
    /* 40 the others of the second PIC */
    0x50,                                           /* push ax */
    0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf, /* 41: al = 0x20; out 0xa0; out 0x20; pop ax; iret */
    /* 49 a service that is not there: CF in the saved flags, AH = 0x86 */
    0x55, 0x89, 0xe5, 0x80, 0x4e, 0x06, 0x01, 0x5d, /* push bp; mov bp, sp; or byte [bp+6], 1; pop bp */
    0xb4, 0x86,                                     /* mov ah, 0x86 */
    /* 53 everything else */
    0xcf, /* iret */
    /* 54 INT 11h: equipment */
    0x1e, 0x6a, 0x40, 0x1f, 0xa1, 0x10, 0x00, 0x1f, 0xcf, /* ds = 0x40; ax = [0x10]; iret */
    /* 5d INT 12h: KiB of conventional memory */
    0x1e, 0x6a, 0x40, 0x1f, 0xa1, 0x13, 0x00, 0x1f, 0xcf, /* ds = 0x40; ax = [0x13]; iret */
    /* 66 reset vector, for who restarts by jumping there */
    0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee, /* mov al, 6; mov dx, 0xcf9; out dx, al */
    0xf4, 0xeb, 0xfd,                   /* 6c: hlt; jmp 6c */
};
enum {
    ON_TIMER = 0x00,
    ON_KEYBOARD = 0x2b,
    ON_MASTER = 0x30,
    ON_RTC = 0x37,
    ON_SLAVE = 0x40,
    ON_FAIL = 0x49,
    ON_OTHER = 0x53,
    ON_EQUIPMENT = 0x54,
    ON_MEMORY = 0x5d,
    ON_RESET = 0x66,
};

#define VECTOR_MASTER 0x08u
#define VECTOR_SLAVE  0x70u

static u8 handler_of(unsigned vector)
{
    switch (vector) {
    case VECTOR_MASTER + PC_IRQ_PIT: return ON_TIMER;
    case VECTOR_MASTER + PC_IRQ_KBD: return ON_KEYBOARD;
    case VECTOR_SLAVE + PC_IRQ_RTC - 8: return ON_RTC;
    case 0x11: return ON_EQUIPMENT;
    case 0x12: return ON_MEMORY;
    case 0x13:
    case 0x15: return ON_FAIL;
    default:
        if (vector >= VECTOR_MASTER && vector < VECTOR_MASTER + 8)
            return ON_MASTER;
        return vector >= VECTOR_SLAVE && vector < VECTOR_SLAVE + 8 ? ON_SLAVE : ON_OTHER;
    }
}

static bool bios_vectors(struct mem *m)
{
    u8 ivt[1024];
    for (unsigned v = 0; v < 256; v++) {
        st16(ivt + 4 * v, (u16)(OFF_CODE + handler_of(v)));
        st16(ivt + 4 * v + 2, BIOS_SEGMENT);
    }
    return mem_write(m, PC_IVT, ivt, sizeof ivt) &&
           mem_write(m, PC_BIOS + OFF_CODE, handler_code, sizeof handler_code);
}

/* Reset vector, date, and the model byte of the PC AT. */
static bool bios_reset_vector(struct mem *m)
{
    u8 end[PC_BIOS_END - PC_BIOS - OFF_RESET] = {0xea}; /* jmp far */
    st16(end + 1, OFF_CODE + ON_RESET);
    st16(end + 3, BIOS_SEGMENT);
    memcpy(end + 5, "01/01/00", 8);
    end[14] = 0xfc;
    return mem_write(m, PC_BIOS + OFF_RESET, end, sizeof end);
}

static bool bios_data_area(struct mem *m)
{
    enum { EQUIPMENT_FPU = 1 << 1, EQUIPMENT_ONE_SERIAL = 1 << 9 };
    u8 bda[256] = {0}, ebda[16] = {1}; /* the EBDA's first byte is its size in KiB */
    st16(bda + 0x00, PC_PORT_COM1);
    st16(bda + 0x0e, PC_EBDA >> 4);
    st16(bda + 0x10, EQUIPMENT_FPU | EQUIPMENT_ONE_SERIAL);
    st16(bda + 0x13, BASE_KIB);
    st16(bda + 0x1a, 0x1e); /* keyboard buffer: empty ring of 16 words at 0x1e */
    st16(bda + 0x1c, 0x1e);
    bda[0x7c] = 1; /* time-out of COM1 */
    st16(bda + 0x80, 0x1e);
    st16(bda + 0x82, 0x3e);
    return mem_write(m, PC_BDA, bda, sizeof bda) && mem_write(m, PC_EBDA, ebda, sizeof ebda);
}

static bool bios_tables(struct mem *m, const struct platform *p, u64 *rsdp)
{
    static const u8 nothing[0x100];
    u8 pointer[ACPI_RSDP_SIZE], mp[MP_TABLE_MAX], floating[MP_FLOATING_SIZE], acpi[0x4000];
    size_t n = acpi_build(acpi, sizeof acpi, PC_ACPI_TABLES, p, bios_pci_memory(m), pointer);
    size_t mp_len = mptable_build(mp, PC_BIOS + OFF_MP_TABLE, p->cpus, floating);
    *rsdp = PC_BIOS + OFF_RSDP;
    return n && mem_write(m, PC_ACPI_TABLES, acpi, n) && mem_write(m, PC_BIOS, nothing, sizeof nothing) &&
           mem_write(m, PC_BIOS + OFF_MP_FLOATING, floating, sizeof floating) &&
           mem_write(m, *rsdp, pointer, sizeof pointer) && mem_write(m, PC_BIOS + OFF_MP_TABLE, mp, mp_len);
}

/* What a BIOS last wrote to the chips. */
static const struct {
    u16 port;
    u8 value;
} port_writes[] = {
    {PC_PORT_PIC1, 0x11}, /* ICW1..4: edge, cascade on IRQ 2, 8086 mode */
    {PC_PORT_PIC1 + 1, VECTOR_MASTER},
    {PC_PORT_PIC1 + 1, 0x04},
    {PC_PORT_PIC1 + 1, 0x01},
    {PC_PORT_PIC2, 0x11},
    {PC_PORT_PIC2 + 1, VECTOR_SLAVE},
    {PC_PORT_PIC2 + 1, 0x02},
    {PC_PORT_PIC2 + 1, 0x01},
    {PC_PORT_PIC1 + 1, 0xf8}, /* timer, keyboard and the cascade are open */
    {PC_PORT_PIC2 + 1, 0xff},
    {PC_PORT_PIT + 3, 0x34}, /* channel 0, 16 bits, mode 2, 65536: 18.2 Hz */
    {PC_PORT_PIT, 0x00},
    {PC_PORT_PIT, 0x00},
    {PC_PORT_RTC, 0x0a}, /* register A: 32.768 kHz, 1024 Hz */
    {PC_PORT_RTC + 1, 0x26},
    {PC_PORT_RTC, 0x0b}, /* register B: 24 hours, BCD, no interrupts */
    {PC_PORT_RTC + 1, 0x02},
    {PC_PORT_RTC, 0x0d},
    {PC_PORT_PORT92, 0x02}, /* A20 open */
};

enum status bios_install(struct mem *m, const struct platform *p, u64 *rsdp, struct error *e)
{
    if (m->low_size < PC_BIOS_END || !p->cpus || p->cpus > PC_MAX_CPUS)
        return error_set(e, STATUS_USAGE, "guest memory: the pc machine has 1M or more, and 1 to %d vCPUs",
                         PC_MAX_CPUS);
    if (!bios_vectors(m) || !bios_reset_vector(m) || !bios_data_area(m) || !bios_tables(m, p, rsdp))
        return error_set(e, STATUS_HOST, "firmware tables: no room for %u vCPUs", p->cpus);
    for (size_t i = 0; i < ARRAY_LEN(port_writes); i++)
        bus_write(&m->pio, port_writes[i].port, 1, port_writes[i].value);
    if (p->pci)
        bios_pci_setup(m);
    return STATUS_OK;
}
