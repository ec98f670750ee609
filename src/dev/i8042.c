/* The 8042 keyboard controller of a PC/AT (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and
 * Auxiliary Device Controller") with an MF-II keyboard, and nothing on the auxiliary port: its loop test does
 * not come back as auxiliary data and its line test fails, so that an operating system sees at once that
 * there is no mouse.
 *
 * The command byte starts as a BIOS leaves it: self test passed, translation to scan code set 1, keyboard
 * interrupt on. Not modelled: the serial lines' time, typematic repeat, LEDs, passwords, scan code set 3's
 * per-key settings. */
#include "dev/i8042.h"

#include <string.h>

enum {
    STATUS_OBF = 0x01,
    STATUS_SYS = 0x04,
    STATUS_CMD = 0x08,
    STATUS_UNLOCKED = 0x10,
    STATUS_AUXDATA = 0x20,
    STATUS_TIMEOUT = 0x40,

    CCB_KBD_INT = 0x01,
    CCB_AUX_INT = 0x02,
    CCB_SYS = 0x04,
    CCB_KBD_DISABLE = 0x10,
    CCB_AUX_DISABLE = 0x20,
    CCB_XLATE = 0x40,

    OUT_NOT_RESET = 0x01,
    OUT_A20 = 0x02,
    OUT_KBD_OBF = 0x10,
    OUT_AUX_OBF = 0x20,

    CMD_READ_RAM = 0x20,  /* ..0x3f */
    CMD_WRITE_RAM = 0x60, /* ..0x7f */
    CMD_AUX_DISABLE = 0xa7,
    CMD_AUX_ENABLE = 0xa8,
    CMD_AUX_TEST = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_KBD_TEST = 0xab,
    CMD_KBD_DISABLE = 0xad,
    CMD_KBD_ENABLE = 0xae,
    CMD_READ_INPUT = 0xc0,
    CMD_READ_OUTPUT = 0xd0,
    CMD_WRITE_OUTPUT = 0xd1,
    CMD_WRITE_KBD_OBF = 0xd2,
    CMD_WRITE_AUX_OBF = 0xd3,
    CMD_WRITE_AUX = 0xd4,
    CMD_A20_OFF = 0xdd,
    CMD_A20_ON = 0xdf,
    CMD_READ_TEST = 0xe0,
    CMD_PULSE = 0xf0, /* ..0xff */
    SELF_TEST_PASSED = 0x55,
    AUX_CLOCK_STUCK = 0x01,

    KBD_LEDS = 0xed,
    KBD_ECHO = 0xee,
    KBD_SCAN_SET = 0xf0,
    KBD_GET_ID = 0xf2,
    KBD_RATE = 0xf3,
    KBD_ENABLE = 0xf4,
    KBD_DISABLE = 0xf5,
    KBD_DEFAULTS = 0xf6,
    KBD_ALL_KEYS = 0xf7, /* ..0xfd */
    KBD_RESEND = 0xfe,
    KBD_RESET = 0xff,
    KBD_ACK = 0xfa,
    KBD_BAT_OK = 0xaa,
    KBD_BREAK = 0xf0,
};

enum { OUT_EMPTY, OUT_KBD, OUT_AUX };

/* Scan code set 2 to set 1; codes from 0x85 on stay as they are. */
static const u8 set1_of_set2[0x85] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, 0x65,
    0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, 0x67, 0x2e,
    0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, 0x69, 0x31, 0x30,
    0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17,
    0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a,
    0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a,
    0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01,
    0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, 0x80, 0x81, 0x82, 0x41, 0x54,
};

static void update_irqs(struct i8042 *k)
{
    irq_set(&k->irq1, k->out_kind == OUT_KBD && k->ram[0] & CCB_KBD_INT);
    irq_set(&k->irq12, k->out_kind == OUT_AUX && k->ram[0] & CCB_AUX_INT);
}

/* The next byte for the output buffer out of the keyboard's queue; false: none, or only a prefix that
 * translation swallows. */
static bool next_key(struct i8042 *k, u8 *byte)
{
    while (k->count && !(k->ram[0] & CCB_KBD_DISABLE)) {
        u8 code = k->queue[k->head];
        k->head = (u8)((k->head + 1) % I8042_QUEUE);
        k->count--;
        if (!(k->ram[0] & CCB_XLATE)) {
            *byte = code;
            return true;
        }
        if (code == KBD_BREAK) {
            k->break_code = true;
            continue;
        }
        *byte = code < sizeof set1_of_set2 ? set1_of_set2[code] : code;
        if (k->break_code)
            *byte |= 0x80;
        k->break_code = false;
        return true;
    }
    return false;
}

/* Fills the output buffer when it is empty. */
static void pump(struct i8042 *k)
{
    if (k->out_kind == OUT_EMPTY) {
        if (k->reply_kind) {
            k->out = k->reply;
            k->out_kind = k->reply_kind;
            k->reply_kind = OUT_EMPTY;
        } else if (next_key(k, &k->out)) {
            k->out_kind = OUT_KBD;
        }
    }
    update_irqs(k);
}

static void reply(struct i8042 *k, u8 byte, u8 kind)
{
    k->reply = byte;
    k->reply_kind = kind;
}

static void keyboard_put(struct i8042 *k, u8 byte)
{
    if (k->count == I8042_QUEUE)
        return;
    k->queue[(k->head + k->count++) % I8042_QUEUE] = byte;
    k->last = byte;
}

bool i8042_send_keys(struct i8042 *k, const u8 *codes, size_t n)
{
    if (!k->scanning || n > (size_t)(I8042_QUEUE - k->count))
        return false;
    for (size_t i = 0; i < n; i++)
        keyboard_put(k, codes[i]);
    pump(k);
    return true;
}

static void keyboard_defaults(struct i8042 *k, bool scanning)
{
    k->count = 0;
    k->scan_set = 2;
    k->scanning = scanning;
    k->break_code = false;
}

static void keyboard_parameter(struct i8042 *k, u8 v)
{
    u8 command = k->kbd_command;
    k->kbd_command = 0;
    keyboard_put(k, KBD_ACK);
    if (command != KBD_SCAN_SET)
        return;
    if (!v)
        keyboard_put(k, k->scan_set);
    else if (v <= 3)
        k->scan_set = v;
}

static void keyboard_write(struct i8042 *k, u8 v)
{
    if (k->kbd_command && v < 0x80) {
        keyboard_parameter(k, v);
        return;
    }
    k->kbd_command = 0;
    switch (v) {
    case KBD_LEDS:
    case KBD_SCAN_SET:
    case KBD_RATE:
        k->kbd_command = v;
        keyboard_put(k, KBD_ACK);
        break;
    case KBD_ECHO: keyboard_put(k, KBD_ECHO); break;
    case KBD_GET_ID:
        keyboard_put(k, KBD_ACK);
        keyboard_put(k, 0xab);
        keyboard_put(k, 0x83);
        break;
    case KBD_ENABLE:
        k->count = 0;
        k->scanning = true;
        keyboard_put(k, KBD_ACK);
        break;
    case KBD_DISABLE:
    case KBD_DEFAULTS:
        keyboard_defaults(k, v == KBD_DEFAULTS);
        keyboard_put(k, KBD_ACK);
        break;
    case KBD_ALL_KEYS ... KBD_RESEND - 1: keyboard_put(k, KBD_ACK); break;
    case KBD_RESEND: keyboard_put(k, k->last); break;
    case KBD_RESET:
        keyboard_defaults(k, true);
        keyboard_put(k, KBD_ACK);
        keyboard_put(k, KBD_BAT_OK);
        break;
    default: keyboard_put(k, KBD_RESEND);
    }
}

bool i8042_a20(const struct i8042 *k)
{
    return k->out_port & OUT_A20;
}

static void set_a20(struct i8042 *k, bool on)
{
    k->out_port = on ? k->out_port | OUT_A20 : k->out_port & (u8)~OUT_A20;
    if (k->lines->a20)
        k->lines->a20(k->lines->opaque, on);
}

static void reset_machine(struct i8042 *k)
{
    if (k->lines->reset)
        k->lines->reset(k->lines->opaque, "keyboard controller");
}

static void write_command(struct i8042 *k, u8 v)
{
    k->command = 0;
    k->status = STATUS_CMD;
    switch (v) {
    case CMD_READ_RAM ... CMD_READ_RAM + 0x1f: reply(k, k->ram[v - CMD_READ_RAM], OUT_KBD); break;
    case CMD_WRITE_RAM ... CMD_WRITE_RAM + 0x1f:
    case CMD_WRITE_OUTPUT ... CMD_WRITE_AUX: k->command = v; break;
    case CMD_AUX_DISABLE: k->ram[0] |= CCB_AUX_DISABLE; break;
    case CMD_AUX_ENABLE: k->ram[0] &= (u8)~CCB_AUX_DISABLE; break;
    case CMD_AUX_TEST: reply(k, AUX_CLOCK_STUCK, OUT_KBD); break;
    case CMD_SELF_TEST:
        k->ram[0] |= CCB_SYS;
        reply(k, SELF_TEST_PASSED, OUT_KBD);
        break;
    case CMD_KBD_TEST: reply(k, 0, OUT_KBD); break;
    case CMD_KBD_DISABLE: k->ram[0] |= CCB_KBD_DISABLE; break;
    case CMD_KBD_ENABLE: k->ram[0] &= (u8)~CCB_KBD_DISABLE; break;
    case CMD_READ_INPUT: reply(k, 0x80, OUT_KBD); break;
    case CMD_READ_OUTPUT:
        reply(k,
              (u8)(k->out_port | (k->out_kind == OUT_KBD ? OUT_KBD_OBF : 0) |
                   (k->out_kind == OUT_AUX ? OUT_AUX_OBF : 0)),
              OUT_KBD);
        break;
    case CMD_A20_OFF: set_a20(k, false); break;
    case CMD_A20_ON: set_a20(k, true); break;
    case CMD_READ_TEST: reply(k, 0, OUT_KBD); break;
    case CMD_PULSE ... 0xff:
        if (!(v & OUT_NOT_RESET))
            reset_machine(k);
        break;
    default: break;
    }
    pump(k);
}

static void write_data(struct i8042 *k, u8 v)
{
    u8 command = k->command;
    k->command = 0;
    k->status = 0;
    switch (command) {
    case 0:
        k->ram[0] &= (u8)~CCB_KBD_DISABLE; /* talking to the keyboard switches it on */
        keyboard_write(k, v);
        break;
    case CMD_WRITE_OUTPUT:
        k->out_port = v & (OUT_NOT_RESET | OUT_A20);
        set_a20(k, v & OUT_A20);
        if (!(v & OUT_NOT_RESET))
            reset_machine(k);
        break;
    case CMD_WRITE_KBD_OBF:
    case CMD_WRITE_AUX_OBF: reply(k, v, OUT_KBD); break;
    case CMD_WRITE_AUX:
        k->status = STATUS_TIMEOUT;
        reply(k, KBD_RESEND, OUT_AUX);
        break;
    default: k->ram[command - CMD_WRITE_RAM] = v;
    }
    pump(k);
}

static u64 data_read(void *opaque, u64 off, unsigned size)
{
    struct i8042 *k = opaque;
    (void)off, (void)size;
    u8 v = k->out;
    if (k->out_kind == OUT_AUX)
        k->status &= (u8)~STATUS_TIMEOUT;
    k->out_kind = OUT_EMPTY;
    update_irqs(k); /* the next byte is a new edge */
    pump(k);
    return v;
}

static void data_write(void *opaque, u64 off, unsigned size, u64 value)
{
    (void)off, (void)size;
    write_data(opaque, (u8)value);
}

static u64 command_read(void *opaque, u64 off, unsigned size)
{
    const struct i8042 *k = opaque;
    (void)off, (void)size;
    return (u64)(k->status | STATUS_UNLOCKED | (k->ram[0] & CCB_SYS ? STATUS_SYS : 0) |
                 (k->out_kind ? STATUS_OBF : 0) | (k->out_kind == OUT_AUX ? STATUS_AUXDATA : 0));
}

static void command_write(void *opaque, u64 off, unsigned size, u64 value)
{
    (void)off, (void)size;
    write_command(opaque, (u8)value);
}

const struct bus_ops i8042_data_bus = {.read = data_read, .write = data_write, .min_size = 1, .max_size = 1};
const struct bus_ops i8042_command_bus = {
    .read = command_read, .write = command_write, .min_size = 1, .max_size = 1};

void i8042_init(struct i8042 *k, struct irq_line irq1, struct irq_line irq12,
                const struct machine_lines *lines)
{
    *k = (struct i8042){.irq1 = irq1, .irq12 = irq12, .lines = lines};
    device_reset(&(struct device){&i8042_ops, k});
}

static void i8042_reset(void *instance)
{
    struct i8042 *k = instance;
    k->ram[0] = CCB_KBD_INT | CCB_SYS | CCB_AUX_DISABLE | CCB_XLATE;
    update_irqs(k);
}

static bool i8042_after_restore(void *instance)
{
    struct i8042 *k = instance;
    bool known = !k->command || (k->command >= CMD_WRITE_RAM && k->command < CMD_WRITE_RAM + 0x20) ||
                 (k->command >= CMD_WRITE_OUTPUT && k->command <= CMD_WRITE_AUX);
    if (!known || k->status & ~(STATUS_CMD | STATUS_TIMEOUT))
        return false;
    update_irqs(k);
    return true;
}

static const struct field i8042_fields[] = {
    FIELD_ARRAY(i8042, ram, 0),
    FIELD(i8042, status, 0),
    FIELD(i8042, out, 0),
    FIELD_MAX(i8042, out_kind, OUT_EMPTY, OUT_AUX),
    FIELD(i8042, reply, 0),
    FIELD_MAX(i8042, reply_kind, OUT_EMPTY, OUT_AUX),
    FIELD_MAX(i8042, out_port, OUT_NOT_RESET | OUT_A20, OUT_NOT_RESET | OUT_A20),
    FIELD(i8042, command, 0),
    FIELD(i8042, break_code, 0),
    FIELD_ARRAY(i8042, queue, 0),
    FIELD_MAX(i8042, head, 0, I8042_QUEUE - 1),
    FIELD_MAX(i8042, count, 0, I8042_QUEUE),
    FIELD(i8042, kbd_command, 0),
    FIELD_MAX(i8042, scan_set, 2, 3),
    FIELD(i8042, last, KBD_BAT_OK),
    FIELD(i8042, scanning, 1),
};
static const struct field_table i8042_table = {
    .name = "i8042", .version = 1, .fields = i8042_fields, .count = ARRAY_LEN(i8042_fields)};

const struct device_ops i8042_ops = {
    .fields = &i8042_table, .reset = i8042_reset, .after_restore = i8042_after_restore};
