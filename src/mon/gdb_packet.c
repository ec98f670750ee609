/* GDB's remote protocol: framing and hexadecimal. See gdb_packet.h. */
#include "mon/gdb_packet.h"

enum { IDLE, BODY, SUM_HIGH, SUM_LOW };

#define ESCAPE 0x7d
#define BREAK  0x03

int gdb_hex_digit(u8 c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool gdb_hex_number(const char **p, u64 *v)
{
    unsigned n = 0;
    for (*v = 0; gdb_hex_digit((u8) * *p) >= 0; ++*p, n++) {
        if (n == 16)
            return false;
        *v = *v << 4 | (u64)gdb_hex_digit((u8) * *p);
    }
    return n;
}

bool gdb_hex_bytes(const char *p, u8 *out, size_t n)
{
    for (; n; n--, p += 2) {
        int high = gdb_hex_digit((u8)p[0]);
        int low = high < 0 ? -1 : gdb_hex_digit((u8)p[1]);
        if (low < 0)
            return false;
        *out++ = (u8)(high << 4 | low);
    }
    return true;
}

void gdb_hex_put(char *out, const u8 *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (; n; n--, bytes++) {
        *out++ = digits[*bytes >> 4];
        *out++ = digits[*bytes & 15];
    }
}

static enum gdb_event idle_byte(struct gdb_input *in, u8 byte)
{
    if (byte == '$') {
        in->state = BODY;
        in->sum = 0;
        in->len = 0;
        in->escaped = in->overflow = false;
    }
    return byte == BREAK ? GDB_INTERRUPT : byte == '-' ? GDB_AGAIN : GDB_NOTHING;
}

static void body_byte(struct gdb_input *in, u8 byte)
{
    if (byte == '#') {
        in->body[in->len] = 0;
        in->state = SUM_HIGH;
        return;
    }
    in->sum = (u8)(in->sum + byte);
    if (byte == ESCAPE && !in->escaped) {
        in->escaped = true;
        return;
    }
    if (in->len == GDB_PACKET_MAX)
        in->overflow = true;
    else
        in->body[in->len++] = in->escaped ? byte ^ 0x20 : byte;
    in->escaped = false;
}

enum gdb_event gdb_input_byte(struct gdb_input *in, u8 byte)
{
    int digit = gdb_hex_digit(byte);
    switch (in->state) {
    case IDLE: return idle_byte(in, byte);
    case BODY: body_byte(in, byte); return GDB_NOTHING;
    case SUM_HIGH:
        in->want = (u8)((unsigned)digit << 4);
        in->state = digit < 0 ? IDLE : SUM_LOW;
        return digit < 0 ? GDB_BAD : GDB_NOTHING;
    default:
        in->state = IDLE;
        return digit < 0 || (in->want | digit) != in->sum || in->overflow ? GDB_BAD : GDB_PACKET;
    }
}

size_t gdb_frame(u8 *out, const u8 *body, size_t len)
{
    u8 sum = 0, *p = out;
    *p++ = '$';
    for (; len; len--, body++) {
        u8 b = *body;
        if (b == '#' || b == '$' || b == ESCAPE || b == '*') {
            *p++ = ESCAPE;
            sum = (u8)(sum + ESCAPE);
            b ^= 0x20;
        }
        *p++ = b;
        sum = (u8)(sum + b);
    }
    *p++ = '#';
    gdb_hex_put((char *)p, &sum, 1);
    return (size_t)(p + 2 - out);
}
