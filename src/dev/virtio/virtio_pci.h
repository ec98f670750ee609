/* virtio over PCI. See virtio_pci.c. */
#ifndef DEV_VIRTIO_VIRTIO_PCI_H
#define DEV_VIRTIO_VIRTIO_PCI_H

#include "dev/pci/pci.h"
#include "dev/virtio/virtio.h"

struct virtio_pci {
    struct pci_function function;
    struct virtio *v;
    u8 isr;
    u8 window; /* offset of the configuration access capability */
};

extern const struct device_ops virtio_pci_ops;
extern const struct bus_ops virtio_pci_legacy_bus;

/* A transitional device in front of V. */
void virtio_pci_init(struct virtio_pci *p, struct virtio *v);

/* Where queue N is notified by a write of any length and value. False: nowhere now. */
bool virtio_pci_doorbell(const struct virtio_pci *p, unsigned n, u64 *gpa);

/* For virtio_pci_legacy.c. */
u8 virtio_pci_take_isr(struct virtio_pci *p);
void virtio_pci_set_vector(struct virtio_pci *p, u16 *to, u16 vector);

#endif
