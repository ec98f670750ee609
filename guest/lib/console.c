/* Output on COM1, polled. Models a 16550 only as far as THRE and the divisor latch. */
#include "guest.h"

#include <stdarg.h>

enum { COM1 = 0x3f8, LCR_DLAB = 0x80, LCR_8N1 = 3, LSR = 5, LSR_THRE = 0x20 };

void console_init(void)
{
    outb(COM1 + 1, 0);
    outb(COM1 + 3, LCR_DLAB);
    outb(COM1, 1);
    outb(COM1 + 1, 0);
    outb(COM1 + 3, LCR_8N1);
    outb(COM1 + 2, 7);
    outb(COM1 + 4, 3);
}

static void put(char c)
{
    /* Bounded: a broken UART must not hang the guest. */
    for (unsigned i = 0; i < 1000000 && !(inb(COM1 + LSR) & LSR_THRE); i++)
        ;
    outb(COM1, (uint8_t)c);
}

static void put_string(const char *s, unsigned width)
{
    unsigned n = 0;
    for (; s[n]; n++)
        put(s[n]);
    for (; n < width; n++)
        put(' ');
}

/* Halves of 32 bits: world 32 has no 64-bit division. */
static uint64_t divide(uint64_t value, uint32_t by, uint32_t *rest)
{
    uint64_t quotient = 0, remainder = 0;
    for (int bit = 63; bit >= 0; bit--) {
        remainder = remainder << 1 | (value >> bit & 1);
        if (remainder >= by) {
            remainder -= by;
            quotient |= (uint64_t)1 << bit;
        }
    }
    *rest = (uint32_t)remainder;
    return quotient;
}

static void put_number(uint64_t value, uint32_t base, bool negative, unsigned width, char pad)
{
    char digits[24];
    unsigned n = 0;
    do {
        uint32_t digit;
        value = divide(value, base, &digit);
        digits[n++] = "0123456789abcdef"[digit];
    } while (value);
    if (negative)
        digits[n++] = '-';
    for (unsigned i = n; i < width; i++)
        put(pad);
    while (n)
        put(digits[--n]);
}

void print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (; *format; format++) {
        if (*format != '%') {
            if (*format == '\n')
                put('\r');
            put(*format);
            continue;
        }
        char pad = ' ';
        unsigned width = 0, longs = 0;
        if (*++format == '0')
            pad = '0';
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (unsigned)(*format - '0');
        for (; *format == 'l'; format++)
            longs++;
        if (*format == 's') {
            put_string(va_arg(args, const char *), width);
        } else if (*format == 'c') {
            put((char)va_arg(args, int));
        } else if (*format == 'd') {
            int v = va_arg(args, int);
            put_number(v < 0 ? 0u - (unsigned)v : (unsigned)v, 10, v < 0, width, pad);
        } else if (*format == 'u' || *format == 'x') {
            uint64_t v = longs == 2   ? va_arg(args, unsigned long long)
                         : longs == 1 ? va_arg(args, unsigned long)
                                      : va_arg(args, unsigned);
            put_number(v, *format == 'u' ? 10 : 16, false, width, pad);
        } else {
            put(*format);
        }
    }
    va_end(args);
}
