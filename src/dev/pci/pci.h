/* A PCI bus and its functions (PCI Local Bus Specification 3.0). See pci.c. A chip embeds one struct
 * pci_function per function, describes it by pci_function_init, pci_function_bar and the pci_cap_* calls, and
 * is hung on a bus by pci_bus_add. All calls run under the VM's big lock. */
#ifndef DEV_PCI_PCI_H
#define DEV_PCI_PCI_H

#include "dev/device.h"
#include "mem/mem.h"

#define PCI_CONFIG_SIZE 256
#define PCI_BARS        7 /* six, and the expansion ROM */
#define PCI_ROM_BAR     6
#define PCI_FUNCTIONS   64
#define PCI_MSIX_MAX    16
#define PCI_PIRQS       4

/* Configuration registers (chapter 6). */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_COMMAND_IO = 0x0001,
    PCI_COMMAND_MEMORY = 0x0002,
    PCI_COMMAND_MASTER = 0x0004,
    PCI_COMMAND_SERR = 0x0100,
    PCI_COMMAND_INTX_OFF = 0x0400,
    PCI_STATUS = 0x06,
    PCI_STATUS_INTX = 0x0008,
    PCI_STATUS_CAPS = 0x0010,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09, /* programming interface, sub-class, class */
    PCI_HEADER_TYPE = 0x0e,
    PCI_HEADER_MULTI = 0x80,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_ROM = 0x30,
    PCI_ROM_ENABLE = 0x01,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_FIRST_FREE = 0x40, /* where a chip's own registers and the capabilities may stand */

    PCI_CAP_MSI = 0x05,
    PCI_CAP_VENDOR = 0x09,
    PCI_CAP_MSIX = 0x11,
};

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_ROM };

struct pci_bar {
    enum pci_bar_kind kind;
    bool prefetchable;
    u64 size; /* a power of two */
    const struct bus_ops *ops;
    void *opaque;
    const char *name;
    u64 base; /* where it is mapped */
    bool mapped;
};

/* A message-signalled interrupt's way out: a memory write of DATA to ADDR. */
struct msi_wire {
    void (*send)(void *opaque, u64 addr, u32 data);
    void *opaque;
};

struct pci_bus;

struct pci_function {
    const char *name;
    struct pci_bus *bus;
    u8 devfn; /* device << 3 | function */
    u8 config[PCI_CONFIG_SIZE];
    u8 writable[PCI_CONFIG_SIZE]; /* mask of bits that software can change */
    u8 clears[PCI_CONFIG_SIZE];   /* mask of bits that a written one clears */
    u8 preset[PCI_CONFIG_SIZE];   /* after reset */
    struct pci_bar bars[PCI_BARS];
    bool intx;             /* what the chip drives, before PCI_COMMAND_INTX_OFF */
    u8 cap_end, msi, msix; /* offsets in config; 0: none */
    u16 vectors;           /* of MSI-X */
    u32 msix_table[PCI_MSIX_MAX * 4];
    u32 msix_pending;
    /* Bytes [off, off + size) were written and hold their new value. May be null. */
    void (*written)(void *opaque, unsigned off, unsigned size);
    /* Registers that have to be looked up are about to be read. May be null. */
    void (*before_read)(void *opaque, unsigned off, unsigned size);
    void *opaque;
};

extern const struct device_ops pci_function_ops;

struct pci_bus {
    struct mem *mem;
    struct msi_wire msi;
    /* Level of PIRQ n, 0..3. */
    void (*pirq)(void *opaque, unsigned n, bool level);
    void *pirq_opaque;
    u8 pirq_levels;
    /* Windows may have moved. Null at first. */
    void (*moved)(void *opaque);
    void *moved_opaque;
    struct pci_function *functions[PCI_FUNCTIONS];
    unsigned count;
};

void pci_bus_init(struct pci_bus *b, struct mem *mem, struct msi_wire msi,
                  void (*pirq)(void *opaque, unsigned n, bool level), void *pirq_opaque);
/* Hangs F on B as function FN of device DEV; refused when that place is taken. */
enum status pci_bus_add(struct pci_bus *b, struct pci_function *f, unsigned dev, unsigned fn,
                        struct error *e);
/* Configuration space access: size 1, 2 or 4, naturally aligned. No function there: all ones. */
u32 pci_bus_config_read(struct pci_bus *b, unsigned devfn, unsigned off, unsigned size);
void pci_bus_config_write(struct pci_bus *b, unsigned devfn, unsigned off, unsigned size, u32 value);
/* Which PIRQ pin PIN (1..4) of device DEV pulls, as the PC's boards wire them. */
unsigned pci_pirq(unsigned dev, unsigned pin);

/* CLASS: class << 16 | sub-class << 8 | programming interface. */
struct pci_id {
    u16 vendor, device;
    u32 class;
    u8 revision;
    u16 subsystem_vendor, subsystem;
    u8 pin; /* interrupt pin 1..4; 0: none */
};
void pci_function_init(struct pci_function *f, const char *name, const struct pci_id *id);
/* BAR N, of SIZE bytes (a power of two; 16 bytes or more of memory, 4 or more of ports). PCI_BAR_MEM64 takes
 * BAR N + 1 too. */
void pci_function_bar(struct pci_function *f, unsigned n, enum pci_bar_kind kind, u64 size,
                      const struct bus_ops *ops, void *opaque, const char *name);
/* SIZE bytes at OFF: their value after reset, which bits software can change. */
void pci_function_register(struct pci_function *f, unsigned off, unsigned size, u32 reset, u32 writable);
/* A capability of LEN bytes behind its two common ones, which BODY gives; its offset. */
unsigned pci_cap_add(struct pci_function *f, u8 id, const u8 *body, unsigned len);

/* pci_msi.c. */
/* One vector of MSI with a 64-bit address and a mask bit. */
void pci_cap_msi(struct pci_function *f);
/* VECTORS (1..PCI_MSIX_MAX) of MSI-X; table and pending bits fill BAR, of 4 KiB. */
void pci_cap_msix(struct pci_function *f, unsigned vectors, unsigned bar);
bool pci_msi_enabled(const struct pci_function *f);
bool pci_msix_enabled(const struct pci_function *f);
/* Sends vector N, or keeps it pending while it is masked. */
void pci_msi_send(struct pci_function *f);
void pci_msix_send(struct pci_function *f, unsigned n);
/* Configuration bytes [off, off + size) were written: sends what was waiting for it. */
void pci_msi_written(struct pci_function *f, unsigned off, unsigned size);

/* Drives the function's INTx pin. */
void pci_function_intx(struct pci_function *f, bool level);

#endif
