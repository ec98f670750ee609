/* Intel's basic command set (CFI publication 100, vendor set 0x0001; the 28F640J3's datasheet) as QEMU's pflash_cfi01 offers it: programming of bytes
 * and of buffers, erasure of blocks, status, identifiers, the query. A program clears bits and sets none. All is done when the command ends, and on
 * the disk's file then: what the disk cannot do is an error in the status. Not modelled: time, locks of single blocks (commands are taken), suspension. */
#include "dev/cfi_flash.h"

#include <string.h>

enum {
    CMD_PROGRAM_OLD = 0x10,
    CMD_ERASE = 0x20,
    CMD_PROGRAM = 0x40,
    CMD_CLEAR_STATUS = 0x50,
    CMD_LOCK = 0x60,
    CMD_STATUS = 0x70,
    CMD_ID = 0x90,
    CMD_QUERY = 0x98,
    CMD_CONFIRM = 0xd0,
    CMD_BUFFER = 0xe8,
    CMD_ARRAY = 0xff,
};

enum { SR_LOCKED = 0x02, SR_PROGRAM = 0x10, SR_ERASE = 0x20, SR_READY = 0x80 };

/* Steps of commands. */
enum { STEP_COMMAND, STEP_SECOND, STEP_DATA, STEP_CONFIRM };

#define SECTOR 512u

static bool is_readonly(struct cfi_flash *f, u8 error)
{
    if (f->wires.store->readonly)
        f->status |= error | SR_LOCKED;
    return f->wires.store->readonly;
}

/* [off, off + len) has changed and goes to the disk; ERROR: the status bit that says it did not. */
static void keep(struct cfi_flash *f, u32 off, u32 len, u8 error)
{
    f->wires.changed(f->wires.opaque, off, len);
    u32 from = off & ~(SECTOR - 1), to = (off + len + SECTOR - 1) & ~(SECTOR - 1);
    if (block_at_once(f->wires.store, BLOCK_WRITE, from, to - from, f->wires.data + from))
        f->status |= error;
}

static void finish(struct cfi_flash *f)
{
    f->command = CMD_STATUS;
    f->step = STEP_COMMAND;
    f->status |= SR_READY;
}

static void wrong_sequence(struct cfi_flash *f)
{
    f->status |= SR_PROGRAM | SR_ERASE;
    finish(f);
}

static void program_byte(struct cfi_flash *f, u32 off, u8 value)
{
    finish(f);
    if (is_readonly(f, SR_PROGRAM))
        return;
    f->wires.data[off] &= value;
    keep(f, off, 1, SR_PROGRAM);
}

static void erase_block(struct cfi_flash *f, u32 off)
{
    finish(f);
    if (is_readonly(f, SR_ERASE))
        return;
    off &= ~(CFI_FLASH_BLOCK - 1);
    memset(f->wires.data + off, 0xff, CFI_FLASH_BLOCK);
    keep(f, off, CFI_FLASH_BLOCK, SR_ERASE);
}

/* The first byte says where the buffer begins; what is not inside it ends the command. */
static void buffer_byte(struct cfi_flash *f, u32 off, u8 value)
{
    if (!f->given_n)
        f->first = off;
    if (off - f->first >= CFI_FLASH_BUFFER) { /* below it, the difference wraps */
        wrong_sequence(f);
        return;
    }
    f->buffer[off - f->first] = value;
    f->given[off - f->first] = true;
    f->given_n++;
    if (!--f->left)
        f->step = STEP_CONFIRM;
}

static void program_buffer(struct cfi_flash *f)
{
    finish(f);
    if (is_readonly(f, SR_PROGRAM))
        return;
    for (u32 i = 0; i < CFI_FLASH_BUFFER; i++)
        if (f->given[i])
            f->wires.data[f->first + i] &= f->buffer[i];
    u32 end = f->first + CFI_FLASH_BUFFER;
    keep(f, f->first, (end < f->size ? end : f->size) - f->first, SR_PROGRAM);
}

static void first_write(struct cfi_flash *f, u8 value)
{
    f->command = value == CMD_PROGRAM_OLD ? CMD_PROGRAM : value;
    switch (f->command) {
    case CMD_PROGRAM:
    case CMD_ERASE:
    case CMD_LOCK:
    case CMD_BUFFER: f->step = STEP_SECOND; break;
    case CMD_CLEAR_STATUS:
        f->status = 0; /* the ready bit too, as in QEMU: by that OVMF knows a flash. The end of the next command sets it */
        f->command = CMD_ARRAY;
        break;
    case CMD_STATUS:
    case CMD_ID:
    case CMD_QUERY: break;
    default: f->command = CMD_ARRAY; break;
    }
}

static void second_write(struct cfi_flash *f, u32 off, u8 value)
{
    if (f->command == CMD_PROGRAM) {
        program_byte(f, off, value);
    } else if (f->command == CMD_BUFFER) {
        f->left = value + 1u;
        f->given_n = 0;
        memset(f->given, 0, sizeof f->given);
        f->step = STEP_DATA;
    } else if (f->command == CMD_LOCK) {
        finish(f);
    } else if (value == CMD_CONFIRM) {
        erase_block(f, off);
    } else {
        wrong_sequence(f);
    }
}

/* Reads are the contents', or come here. */
static void settle(struct cfi_flash *f)
{
    bool answers = f->command != CMD_ARRAY;
    if (answers != f->answers)
        f->wires.answer(f->wires.opaque, answers);
    f->answers = answers;
}

static void flash_write(void *opaque, u64 off, unsigned size, u64 data)
{
    struct cfi_flash *f = opaque;
    u8 value = (u8)data;
    (void)size;
    switch (f->step) {
    case STEP_COMMAND: first_write(f, value); break;
    case STEP_SECOND: second_write(f, (u32)off, value); break;
    case STEP_DATA: buffer_byte(f, (u32)off, value); break;
    default:
        if (value == CMD_CONFIRM)
            program_buffer(f);
        else
            wrong_sequence(f);
    }
    settle(f);
}

/* The query (JESD68.01): geometry is what firmware and Linux go by; voltages and times are those of the part. */
static u8 query(const struct cfi_flash *f, u32 at)
{
    static const u8 table[] = {
        [0x10] = 'Q', 'R', 'Y', [0x13] = 0x01, [0x15] = 0x31, [0x1b] = 0x45, 0x55, [0x1f] = 0x07, 0x07, 0x0a, [0x23] = 0x04, 0x04, 0x04,
        [0x2a] = 8 /* log2 of the buffer */, [0x2c] = 1 /* all blocks are alike */, [0x2f] = CFI_FLASH_BLOCK >> 8 & 0xff, CFI_FLASH_BLOCK >> 16,
        [0x31] = 'P', 'R', 'I', '1', '0',
    };
    u32 blocks = f->size / CFI_FLASH_BLOCK - 1;
    if (at == 0x27)
        return (u8)(31 - __builtin_clz(f->size));
    if (at == 0x2d || at == 0x2e)
        return (u8)(blocks >> 8 * (at - 0x2d));
    return at < sizeof table ? table[at] : 0;
}

static u64 flash_read(void *opaque, u64 off, unsigned size)
{
    static const u8 id[] = {0x89, 0x18}; /* Intel */
    const struct cfi_flash *f = opaque;
    (void)size;
    switch (f->command) {
    case CMD_ARRAY: return f->wires.data[off];
    case CMD_ID: return off < sizeof id ? id[off] : 0;
    case CMD_QUERY: return query(f, (u32)off);
    default: return f->status;
    }
}

const struct bus_ops cfi_flash_bus = {.read = flash_read, .write = flash_write, .min_size = 1, .max_size = 1};

static void reset(void *instance)
{
    settle(instance);
}

static bool after_restore(void *instance)
{
    struct cfi_flash *f = instance;
    settle(f);
    return f->first < f->size && f->left <= CFI_FLASH_BUFFER && (f->step != STEP_DATA || f->left);
}

/* Its contents are the disk's. */
static const struct field fields[] = {
    FIELD(cfi_flash, command, CMD_ARRAY), FIELD_MAX(cfi_flash, step, STEP_COMMAND, STEP_CONFIRM), FIELD(cfi_flash, status, SR_READY),
    FIELD(cfi_flash, first, 0),           FIELD(cfi_flash, left, 0),                              FIELD(cfi_flash, given_n, 0),
    FIELD_ARRAY(cfi_flash, buffer, 0),    FIELD_ARRAY(cfi_flash, given, false),
};
static const struct field_table table = {"cfi_flash", 1, fields, ARRAY_LEN(fields)};
const struct device_ops cfi_flash_ops = {.fields = &table, .reset = reset, .after_restore = after_restore};

void cfi_flash_init(struct cfi_flash *f, u32 size, const struct cfi_flash_wires *wires)
{
    *f = (struct cfi_flash){.wires = *wires, .size = size, .command = CMD_ARRAY, .status = SR_READY};
}
