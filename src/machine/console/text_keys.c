/* A keyboard of the United States' layout and a terminal that speaks as xterm or Linux' console does (ECMA-48, VT220). Escape before a character
 * is Alt. Bytes that are no ASCII have no key. */
#include "machine/console/text_keys.h"

#include <string.h>

enum { MOD_SHIFT = 1, MOD_CTRL = 2, MOD_ALT = 4 };
enum { ESC = 0x1b, EXTENDED = 0x100, BREAK = 0xf0 };

/* Scan codes of set 2 by what a key gives without Shift and with it. */
static const struct {
    char plain, shifted;
    u8 code;
} keys[] = {
    {'a', 'A', 0x1c}, {'b', 'B', 0x32}, {'c', 'C', 0x21}, {'d', 'D', 0x23}, {'e', 'E', 0x24}, {'f', 'F', 0x2b}, {'g', 'G', 0x34},
    {'h', 'H', 0x33}, {'i', 'I', 0x43}, {'j', 'J', 0x3b}, {'k', 'K', 0x42}, {'l', 'L', 0x4b}, {'m', 'M', 0x3a}, {'n', 'N', 0x31},
    {'o', 'O', 0x44}, {'p', 'P', 0x4d}, {'q', 'Q', 0x15}, {'r', 'R', 0x2d}, {'s', 'S', 0x1b}, {'t', 'T', 0x2c}, {'u', 'U', 0x3c},
    {'v', 'V', 0x2a}, {'w', 'W', 0x1d}, {'x', 'X', 0x22}, {'y', 'Y', 0x35}, {'z', 'Z', 0x1a}, {'1', '!', 0x16}, {'2', '@', 0x1e},
    {'3', '#', 0x26}, {'4', '$', 0x25}, {'5', '%', 0x2e}, {'6', '^', 0x36}, {'7', '&', 0x3d}, {'8', '*', 0x3e}, {'9', '(', 0x46},
    {'0', ')', 0x45}, {'-', '_', 0x4e}, {'=', '+', 0x55}, {'[', '{', 0x54}, {']', '}', 0x5b}, {'\\', '|', 0x5d}, {';', ':', 0x4c},
    {'\'', '"', 0x52}, {'`', '~', 0x0e}, {',', '<', 0x41}, {'.', '>', 0x49}, {'/', '?', 0x4a}, {' ', 0, 0x29}, {'\t', 0, 0x0d},
    {'\r', 0, 0x5a}, {0x7f, 0, 0x66}, {ESC, 0, 0x76},
};

/* What follows Escape. */
static const struct {
    const char *text;
    u16 code;
} sequences[] = {
    {"[A", EXTENDED | 0x75}, {"[B", EXTENDED | 0x72}, {"[C", EXTENDED | 0x74}, {"[D", EXTENDED | 0x6b}, {"OA", EXTENDED | 0x75},
    {"OB", EXTENDED | 0x72}, {"OC", EXTENDED | 0x74}, {"OD", EXTENDED | 0x6b}, {"[H", EXTENDED | 0x6c}, {"[F", EXTENDED | 0x69},
    {"OH", EXTENDED | 0x6c}, {"OF", EXTENDED | 0x69}, {"[1~", EXTENDED | 0x6c}, {"[2~", EXTENDED | 0x70}, {"[3~", EXTENDED | 0x71},
    {"[4~", EXTENDED | 0x69}, {"[5~", EXTENDED | 0x7d}, {"[6~", EXTENDED | 0x7a}, {"[7~", EXTENDED | 0x6c}, {"[8~", EXTENDED | 0x69},
    {"OP", 0x05}, {"OQ", 0x06}, {"OR", 0x04}, {"OS", 0x0c}, {"[[A", 0x05}, {"[[B", 0x06}, {"[[C", 0x04}, {"[[D", 0x0c}, {"[[E", 0x03},
    {"[11~", 0x05}, {"[12~", 0x06}, {"[13~", 0x04}, {"[14~", 0x0c}, {"[15~", 0x03}, {"[17~", 0x0b}, {"[18~", 0x83}, {"[19~", 0x0a},
    {"[20~", 0x01}, {"[21~", 0x09}, {"[23~", 0x78}, {"[24~", 0x07},
};

static void put(struct key_stroke *k, u8 code)
{
    k->codes[k->n++] = code;
}

static void put_key(struct key_stroke *k, u16 code, bool up)
{
    if (code & EXTENDED)
        put(k, 0xe0);
    if (up)
        put(k, BREAK);
    put(k, (u8)code);
}

/* At most 3 modifiers down and up, 3 bytes each time at the most, and the key's 5: KEY_CODES_MAX. */
static void stroke(struct key_stroke *k, unsigned modifiers, u16 code)
{
    static const u8 codes[] = {0x12, 0x14, 0x11};
    for (unsigned m = 0; m < ARRAY_LEN(codes); m++)
        if (modifiers >> m & 1)
            put_key(k, codes[m], false);
    put_key(k, code, false);
    put_key(k, code, true);
    for (unsigned m = ARRAY_LEN(codes); m-- > 0;)
        if (modifiers >> m & 1)
            put_key(k, codes[m], true);
}

static void character(struct key_stroke *k, u8 c, unsigned modifiers)
{
    if (c == '\n' || c == '\b') /* Ctrl-J, Ctrl-H: some terminals' Enter and Backspace */
        c = c == '\n' ? '\r' : 0x7f;
    else if (c && c < ' ' && c != '\t' && c != '\r' && c != ESC) {
        modifiers |= MOD_CTRL;
        c = (u8)(c <= 26 ? c + 'a' - 1 : c + '@');
    } else if (!c) {
        modifiers |= MOD_CTRL;
        c = ' ';
    }
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (keys[i].plain == (char)c || (keys[i].shifted && keys[i].shifted == (char)c))
            stroke(k, modifiers | (keys[i].plain == (char)c ? 0 : MOD_SHIFT), keys[i].code);
}

/* The sequence at BYTES, N of them behind the Escape. 0: none, or not all of it yet (*MORE). */
static size_t sequence(const u8 *bytes, size_t n, bool *more, u16 *code)
{
    for (size_t i = 0; i < ARRAY_LEN(sequences); i++) {
        size_t len = strlen(sequences[i].text), have = n < len ? n : len;
        if (memcmp(bytes, sequences[i].text, have) != 0)
            continue;
        if (have == len) {
            *code = sequences[i].code;
            return len;
        }
        *more = true;
    }
    return 0;
}

/* How long a sequence is that we have no key for: ECMA-48, 5.4. 0: it does not end here. */
static size_t unknown_sequence(const u8 *bytes, size_t n)
{
    for (size_t i = 1; bytes[0] == '[' && i < n; i++)
        if (bytes[i] >= 0x40 && bytes[i] < 0x7f)
            return i + 1;
    return bytes[0] == 'O' && n > 1 ? 2 : 0;
}

size_t text_key(const u8 *bytes, size_t n, bool last, struct key_stroke *k)
{
    bool more = false;
    u16 code = 0;
    k->n = 0;
    if (!n)
        return 0;
    if (bytes[0] != ESC) {
        character(k, bytes[0], 0);
        return 1;
    }
    size_t len = sequence(bytes + 1, n - 1, &more, &code);
    if (len) {
        stroke(k, 0, code);
        return 1 + len;
    }
    if (n == 1 || more) {
        if (!last)
            return 0;
        character(k, ESC, 0);
        return 1;
    }
    if ((len = unknown_sequence(bytes + 1, n - 1)))
        return 1 + len;
    character(k, bytes[1], MOD_ALT);
    return 2;
}
