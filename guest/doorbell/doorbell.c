/* Notifications of a virtio device (virtio 1.2: 2.7 split queues, 4.1 PCI, 4.2 MMIO): the entropy device, one request at a time, `requests=` (200) of them.
 * On PCI its window moves meanwhile: what is written where it was reaches nobody, what is written where it is counts. An engine may take notifications
 * without an exit; the guest must not see it. */
#include "guest.h"

enum { QUEUE_SIZE = 8, REQUEST_BYTES = 32, ID_ENTROPY = 4, VENDOR = 0x1af4, DEVICE_ENTROPY = 0x1005 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, DESC_WRITE = 2 };
#define SPINS 200000000u

static struct {
    struct {
        volatile uint64_t addr;
        volatile uint32_t len;
        volatile uint16_t flags, next;
    } desc[QUEUE_SIZE];
    volatile uint16_t avail_flags, avail_index, avail[QUEUE_SIZE], used_event;
    volatile uint16_t used_flags __attribute__((aligned(16))), used_index;
    struct {
        volatile uint32_t id, len;
    } used[QUEUE_SIZE];
} __attribute__((aligned(4096))) queue;
static volatile uint8_t random_bytes[REQUEST_BYTES];

static void queue_reset(void)
{
    queue.avail_index = queue.used_index = queue.avail_flags = queue.used_flags = 0;
    queue.desc[0].addr = (word)random_bytes;
    queue.desc[0].len = REQUEST_BYTES;
    queue.desc[0].flags = DESC_WRITE;
    queue.avail_flags = 1; /* no interrupts */
}

static void offer(void)
{
    queue.avail[queue.avail_index % QUEUE_SIZE] = 0;
    __asm__ volatile("" : : : "memory");
    queue.avail_index++;
    __asm__ volatile("mfence" : : : "memory");
}

/* Answered within SPINS looks. */
static bool answered(uint32_t spins)
{
    for (uint32_t i = 0; i < spins; i++) {
        if (queue.used_index == queue.avail_index)
            return true;
        __asm__ volatile("pause");
    }
    return false;
}

/* So many requests; each is notified by a write of WIDTH bytes. */
static void requests(volatile void *bell, unsigned width)
{
    unsigned long n = option_number("requests", 200);
    unsigned long done = 0;
    uint32_t seen = 0;
    for (; done < n; done++) {
        offer();
        if (width == 2)
            *(volatile uint16_t *)bell = 0;
        else
            *(volatile uint32_t *)bell = 0;
        if (!answered(SPINS))
            break;
        for (unsigned i = 0; i < REQUEST_BYTES; i++)
            seen |= random_bytes[i];
    }
    CHECK_EQUAL("all requests are answered", n, done);
    CHECK("with bytes", seen);
}

/* --- MMIO */

#define SLOTS 0xfeb00000u
enum { SLOT_BYTES = 0x200, SLOT_COUNT = 8, MAGIC = 0x74726976 };
enum { M_ID = 8, M_FEATURES_SEL = 0x24, M_FEATURES = 0x20, M_QUEUE_SEL = 0x30, M_NUM = 0x38, M_READY = 0x44, M_NOTIFY = 0x50, M_STATUS = 0x70, M_DESC = 0x80, M_AVAIL = 0x90, M_USED = 0xa0 };

static volatile uint32_t *mmio(unsigned slot, unsigned reg)
{
    return (volatile uint32_t *)(word)(SLOTS + slot * SLOT_BYTES + reg);
}

TEST(mmio)
{
    unsigned slot = 0;
    while (slot < SLOT_COUNT && (*mmio(slot, 0) != MAGIC || *mmio(slot, M_ID) != ID_ENTROPY))
        slot++;
    if (slot == SLOT_COUNT) {
        skip("no entropy device on MMIO (--machine microvm)");
        return;
    }
    queue_reset();
    *mmio(slot, M_STATUS) = 0;
    *mmio(slot, M_STATUS) = ACKNOWLEDGE | DRIVER;
    *mmio(slot, M_FEATURES_SEL) = 0;
    *mmio(slot, M_FEATURES) = 0;
    *mmio(slot, M_FEATURES_SEL) = 1;
    *mmio(slot, M_FEATURES) = 1;
    *mmio(slot, M_STATUS) = ACKNOWLEDGE | DRIVER | FEATURES_OK;
    *mmio(slot, M_QUEUE_SEL) = 0;
    *mmio(slot, M_NUM) = QUEUE_SIZE;
    *mmio(slot, M_DESC) = (uint32_t)(word)queue.desc;
    *mmio(slot, M_AVAIL) = (uint32_t)(word)&queue.avail_flags;
    *mmio(slot, M_USED) = (uint32_t)(word)&queue.used_flags;
    *mmio(slot, M_READY) = 1;
    *mmio(slot, M_STATUS) = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
    requests(mmio(slot, M_NOTIFY), 4);
    offer();
    *mmio(slot, M_NOTIFY) = 1;
    *mmio(slot, M_NOTIFY) = 0x10000;
    CHECK("numbers of no queue of its own notify none", !answered(100000));
    *mmio(slot, M_NOTIFY) = 0;
    CHECK("its own does", answered(SPINS));
    *mmio(slot, M_STATUS) = 0;
}

/* --- PCI */

enum { PCI_ADDRESS = 0xcf8, PCI_DATA = 0xcfc, COMMAND_MEMORY = 2, COMMAND_MASTER = 4, BAR4 = 0x20 };
enum { C_FEATURES_SEL = 8, C_FEATURES = 12, C_STATUS = 20, C_QUEUE_SEL = 22, C_SIZE = 24, C_ENABLE = 28, C_DESC = 32, C_AVAIL = 40, C_USED = 48, NOTIFY = 0x3000 };
#define FIRST_HOME  0xe8000000u
#define SECOND_HOME 0xe9000000u

static uint32_t config_read(unsigned device, unsigned reg)
{
    outl(PCI_ADDRESS, 0x80000000u | device << 11 | reg);
    return inl(PCI_DATA);
}

static void config_write(unsigned device, unsigned reg, uint32_t v)
{
    outl(PCI_ADDRESS, 0x80000000u | device << 11 | reg);
    outl(PCI_DATA, v);
}

static void window_move(unsigned device, uint32_t to)
{
    config_write(device, 4, 0);
    config_write(device, BAR4, to);
    config_write(device, BAR4 + 4, 0);
    config_write(device, 4, COMMAND_MEMORY | COMMAND_MASTER);
}

#define REG(width, off) (*(volatile uint##width##_t *)(word)(FIRST_HOME + (off)))

TEST(pci)
{
    unsigned device = 0;
    while (device < 32 && config_read(device, 0) != (DEVICE_ENTROPY << 16 | VENDOR))
        device++;
    if (device == 32) {
        skip("no entropy device on PCI");
        return;
    }
    window_move(device, FIRST_HOME);
    queue_reset();
    REG(8, C_STATUS) = 0;
    REG(8, C_STATUS) = ACKNOWLEDGE | DRIVER;
    REG(32, C_FEATURES_SEL) = 0;
    REG(32, C_FEATURES) = 0;
    REG(32, C_FEATURES_SEL) = 1;
    REG(32, C_FEATURES) = 1;
    REG(8, C_STATUS) = ACKNOWLEDGE | DRIVER | FEATURES_OK;
    REG(16, C_QUEUE_SEL) = 0;
    REG(16, C_SIZE) = QUEUE_SIZE;
    REG(32, C_DESC) = (uint32_t)(word)queue.desc;
    REG(32, C_AVAIL) = (uint32_t)(word)&queue.avail_flags;
    REG(32, C_USED) = (uint32_t)(word)&queue.used_flags;
    REG(16, C_ENABLE) = 1;
    REG(8, C_STATUS) = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
    requests(&REG(16, NOTIFY), 2);

    window_move(device, SECOND_HOME);
    offer();
    REG(16, NOTIFY) = 0;
    CHECK("where the window was, nobody listens", !answered(100000));
    *(volatile uint16_t *)(word)(SECOND_HOME + NOTIFY) = 0;
    CHECK("where it is, the device does", answered(SPINS));
    config_write(device, 4, 0);
    offer();
    *(volatile uint16_t *)(word)(SECOND_HOME + NOTIFY) = 0;
    CHECK("no window, nobody listens", !answered(100000));
    window_move(device, FIRST_HOME);
    requests(&REG(16, NOTIFY), 2);
    REG(8, C_STATUS) = 0;
}
