/* QEMU's firmware configuration device (QEMU docs/specs/fw_cfg): selector and data ports, DMA, the directory
 * of named files. Items are read-only and borrowed from the machine. A DMA read past an item's end gives
 * zeros, as in QEMU, but for no more than FW_CFG_SLACK bytes, so that one access cannot keep the monitor busy
 * for long. Not modelled: the MMIO form, writable items (a DMA write sets the error bit). */
#include "dev/fw_cfg.h"

#include <string.h>

#include "base/bits.h"
#include "base/le.h"

enum {
    FW_CFG_WRITE_CHANNEL = 0x4000,
    ID_TRADITIONAL = 0x01,
    ID_DMA = 0x02,
    DMA_ERROR = 0x01,
    DMA_READ = 0x02,
    DMA_SKIP = 0x04,
    DMA_SELECT = 0x08,
    DMA_WRITE = 0x10,
    DIR_ENTRY = 64,
};

static void st32_be(u8 *p, u32 v)
{
    st32(p, __builtin_bswap32(v));
}

static u32 ld32_be(const u8 *p)
{
    return __builtin_bswap32(ld32(p));
}

/* The selected item's bytes; an unknown key has none. */
static const u8 *selected(const struct fw_cfg *f, u32 *len)
{
    unsigned key = f->key & ~(unsigned)FW_CFG_WRITE_CHANNEL;
    if (key == FW_CFG_FILE_DIR) {
        *len = 4 + DIR_ENTRY * (u32)f->file_count;
        return f->dir;
    }
    if (key >= FW_CFG_FILE_FIRST && key - FW_CFG_FILE_FIRST < f->file_count) {
        const struct fw_cfg_file *file = &f->files[key - FW_CFG_FILE_FIRST];
        *len = file->len;
        return file->data;
    }
    for (size_t i = 0; i < f->item_count; i++) {
        const struct fw_cfg_item *item = &f->items[i];
        if (item->key != key)
            continue;
        *len = item->len;
        return item->data ? item->data : item->small;
    }
    *len = 0;
    return NULL;
}

static struct fw_cfg_item *item_for(struct fw_cfg *f, u16 key)
{
    for (size_t i = 0; i < f->item_count; i++)
        if (f->items[i].key == key)
            return &f->items[i];
    return f->item_count < FW_CFG_MAX_ITEMS ? &f->items[f->item_count++] : NULL;
}

bool fw_cfg_add(struct fw_cfg *f, u16 key, const void *data, u32 len)
{
    struct fw_cfg_item *item = item_for(f, key);
    if (item)
        *item = (struct fw_cfg_item){.key = key, .data = data, .len = len};
    return item;
}

bool fw_cfg_add_number(struct fw_cfg *f, u16 key, u64 value, unsigned size)
{
    struct fw_cfg_item *item = size <= 8 ? item_for(f, key) : NULL;
    if (!item)
        return false;
    *item = (struct fw_cfg_item){.key = key, .len = size};
    st_n(item->small, value, size);
    return true;
}

/* The directory as the guest reads it: count, then per file size, key, two zero bytes, name; numbers
 * big-endian. */
static void build_directory(struct fw_cfg *f)
{
    memset(f->dir, 0, sizeof f->dir);
    st32_be(f->dir, (u32)f->file_count);
    for (size_t i = 0; i < f->file_count; i++) {
        u8 *entry = f->dir + 4 + DIR_ENTRY * i;
        st32_be(entry, f->files[i].len);
        st16(entry + 4, __builtin_bswap16((u16)(FW_CFG_FILE_FIRST + i)));
        memcpy(entry + 8, f->files[i].name, FW_CFG_NAME);
    }
}

bool fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, u32 len)
{
    size_t name_len = strlen(name), i = 0;
    if (!name_len || name_len >= FW_CFG_NAME)
        return false;
    while (i < f->file_count && strcmp(f->files[i].name, name) < 0)
        i++;
    bool replace = i < f->file_count && !strcmp(f->files[i].name, name);
    if (!replace) {
        if (f->file_count == FW_CFG_MAX_FILES)
            return false;
        memmove(&f->files[i + 1], &f->files[i], (f->file_count - i) * sizeof f->files[0]);
        f->file_count++;
    }
    f->files[i] = (struct fw_cfg_file){.data = data, .len = len};
    memcpy(f->files[i].name, name, name_len);
    build_directory(f);
    return true;
}

void fw_cfg_on_select(struct fw_cfg *f, const char *name, void (*hook)(void *opaque), void *opaque)
{
    for (size_t i = 0; i < f->file_count; i++)
        if (!strcmp(f->files[i].name, name)) {
            f->files[i].selected = hook;
            f->files[i].opaque = opaque;
        }
}

static void refresh(struct fw_cfg *f)
{
    unsigned n = (f->key & ~(unsigned)FW_CFG_WRITE_CHANNEL) - FW_CFG_FILE_FIRST;
    if (n < f->file_count && f->files[n].selected)
        f->files[n].selected(f->files[n].opaque);
}

static void select_item(struct fw_cfg *f, u16 key)
{
    f->key = key;
    f->offset = 0;
    refresh(f);
}

static u8 read_byte(struct fw_cfg *f)
{
    u32 len;
    const u8 *data = selected(f, &len);
    return f->offset < len ? data[f->offset++] : 0;
}

/* Copies (or skips) LEN bytes of the selected item to guest memory; false: the range or the request is wrong.
 */
static bool dma_transfer(struct fw_cfg *f, bool skip, u64 gpa, u32 len)
{
    u32 item_len;
    const u8 *data = selected(f, &item_len);
    u32 left = f->offset < item_len ? item_len - f->offset : 0;
    u32 n = len < left ? len : left;
    if (!skip) {
        if (len - n > FW_CFG_SLACK || gpa > UINT64_MAX - len || !mem_is_writable(f->mem, gpa, len))
            return false;
        if (n && !mem_write(f->mem, gpa, data + f->offset, n))
            return false;
        if (len > n && !mem_fill(f->mem, gpa + n, 0, len - n))
            return false;
    }
    f->offset += n;
    return true;
}

/* The control structure at GPA: control 32, length 32, address 64 bits, big-endian. */
static void dma_run(struct fw_cfg *f, u64 gpa)
{
    u8 raw[16], result[4];
    if (!mem_read(f->mem, gpa, raw, sizeof raw))
        return;
    u32 control = ld32_be(raw), len = ld32_be(raw + 4);
    u64 address = (u64)ld32_be(raw + 8) << 32 | ld32_be(raw + 12);
    bool ok = !(control & DMA_WRITE);
    if (control & DMA_SELECT)
        select_item(f, (u16)(control >> 16));
    if (ok && control & (DMA_READ | DMA_SKIP))
        ok = dma_transfer(f, !(control & DMA_READ), address, len);
    st32_be(result, ok ? 0 : DMA_ERROR);
    if (!mem_write(f->mem, gpa, result, sizeof result))
        return;
}

static u64 fw_cfg_read(void *opaque, u64 off, unsigned size)
{
    struct fw_cfg *f = opaque;
    (void)size;
    return off == 1 ? read_byte(f) : 0;
}

static void fw_cfg_write(void *opaque, u64 off, unsigned size, u64 value)
{
    if (!off && size == 2)
        select_item(opaque, (u16)value);
}

static u64 dma_read(void *opaque, u64 off, unsigned size)
{
    (void)opaque, (void)size;
    return ld32(off ? " CFG" : "QEMU");
}

static void dma_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct fw_cfg *f = opaque;
    (void)size;
    u32 v = __builtin_bswap32((u32)value);
    if (!off) {
        f->dma_high = v;
        return;
    }
    u64 gpa = (u64)f->dma_high << 32 | v;
    f->dma_high = 0;
    dma_run(f, gpa);
}

const struct bus_ops fw_cfg_bus = {.read = fw_cfg_read, .write = fw_cfg_write, .min_size = 1, .max_size = 2};
const struct bus_ops fw_cfg_dma_bus = {.read = dma_read, .write = dma_write, .min_size = 4, .max_size = 4};

void fw_cfg_init(struct fw_cfg *f, struct mem *mem)
{
    memset(f, 0, sizeof *f);
    f->mem = mem;
    f->items[0] = (struct fw_cfg_item){.key = FW_CFG_SIGNATURE, .small = "QEMU", .len = 4};
    f->items[1] = (struct fw_cfg_item){.key = FW_CFG_ID, .small = {ID_TRADITIONAL | ID_DMA}, .len = 4};
    f->item_count = 2;
}

static bool fw_cfg_after_restore(void *instance)
{
    refresh(instance);
    return true;
}

/* The items are the machine's configuration, not state. */
static const struct field fw_cfg_fields[] = {FIELD(fw_cfg, key, 0), FIELD(fw_cfg, offset, 0),
                                             FIELD(fw_cfg, dma_high, 0)};
static const struct field_table fw_cfg_table = {
    .name = "fw_cfg", .version = 1, .fields = fw_cfg_fields, .count = ARRAY_LEN(fw_cfg_fields)};
const struct device_ops fw_cfg_ops = {.fields = &fw_cfg_table, .after_restore = fw_cfg_after_restore};
