/* Not modelled: fonts that the guest loads (a character is code page 437's), the cursor's shape, underlining of the monochrome adapter. */
#include "machine/console/text_screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The longest that a cell can become: "ESC[r;cH" "ESC[0;5;97;107m" and three bytes of UTF-8. */
#define CELL_BYTES 40u

/* Code page 437 as a PC's character generator draws it. */
static const u16 cp437[256] = {
    ' ',    0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9, 0x2642, 0x2640, 0x266a, 0x266b, 0x263c,
    0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7, 0x25ac, 0x21a8, 0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
    [127] = 0x2302,
    [128] = 0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
    0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192,
    0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
    0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567,
    0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
    0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
    0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248, 0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

struct text {
    char bytes[TEXT_SCREEN_COLUMNS * CELL_BYTES];
    size_t n;
};

PRINTF(2, 3) static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->bytes + t->n, sizeof t->bytes - t->n, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof t->bytes - t->n)
        t->n += (size_t)n;
}

static void put_character(struct text *t, u8 code)
{
    unsigned u = cp437[code] ? cp437[code] : code;
    if (u < 0x80)
        put(t, "%c", (int)u);
    else if (u < 0x800)
        put(t, "%c%c", (int)(0xc0 | u >> 6), (int)(0x80 | (u & 0x3f)));
    else
        put(t, "%c%c%c", (int)(0xe0 | u >> 12), (int)(0x80 | (u >> 6 & 0x3f)), (int)(0x80 | (u & 0x3f)));
}

/* The adapter counts blue, green, red; ANSI red, green, blue. */
static unsigned ansi(unsigned color)
{
    return (color & 1) << 2 | (color & 2) | (color >> 2 & 1);
}

static void put_colors(struct text *t, u8 attribute, bool blinks)
{
    bool bright = attribute & 8, high = attribute & 0x80;
    put(t, "\033[0;%s%u;%um", high && blinks ? "5;" : "", (bright ? 90 : 30) + ansi(attribute & 7u),
        (high && !blinks ? 100 : 40) + ansi(attribute >> 4 & 7u));
}

static bool room_for_row(const struct char_dev *out)
{
    return char_room(out) > TEXT_SCREEN_COLUMNS * CELL_BYTES;
}

static void send(struct char_dev *out, const struct text *t)
{
    if (t->n)
        char_write(out, (const u8 *)t->bytes, t->n);
}

/* The cells of row Y that differ. */
static void draw_row(struct text_screen *s, const struct vga *v, u32 y, struct text *t)
{
    bool blinks = v->attr[0x10] & 8;
    u32 next = UINT32_MAX; /* where the terminal's cursor is */
    int colors = -1;
    for (u32 x = 0; x < s->window.width; x++) {
        u16 cell = vga_text_cell(v, x, y);
        if (s->drawn && cell == s->shown[y][x])
            continue;
        if (x != next)
            put(t, "\033[%u;%uH", y + 1, x + 1);
        if (colors != cell >> 8)
            put_colors(t, (u8)(cell >> 8), blinks);
        colors = cell >> 8;
        put_character(t, (u8)cell);
        s->shown[y][x] = cell;
        next = x + 1;
    }
}

static void draw_cursor(struct text_screen *s, const struct vga *v, bool always, struct text *t)
{
    u32 x = 0, y = 0;
    bool on = vga_text_cursor(v, &x, &y) && x < s->window.width && y < s->window.height;
    if (!always && on == s->cursor && x == s->cursor_x && y == s->cursor_y)
        return;
    put(t, on ? "\033[%u;%uH\033[?25h" : "\033[?25l", y + 1, x + 1);
    s->cursor = on;
    s->cursor_x = x;
    s->cursor_y = y;
}

static struct vga_size smaller(struct vga_size a, struct vga_size b)
{
    return (struct vga_size){a.width < b.width ? a.width : b.width, a.height < b.height ? a.height : b.height};
}

/* The terminal is cleared, and everything on it is what a space of grey on black looks like. */
static void clear(struct text_screen *s, const struct vga *v, struct text *t)
{
    put(t, "\033[0m\033[2J\033[H");
    if (!s->window.width) {
        struct vga_size picture = vga_size(v);
        put(t, "[graphics, %u x %u: Ctrl-A c, or QMP's screendump for a picture]", picture.width, picture.height);
    }
    for (u32 y = 0; y < TEXT_SCREEN_ROWS; y++)
        for (u32 x = 0; x < TEXT_SCREEN_COLUMNS; x++)
            s->shown[y][x] = 0x0720;
    s->drawn = true;
}

void text_screen_draw(struct text_screen *s, const struct vga *v, struct vga_size terminal, struct char_dev *out)
{
    static const struct vga_size most = {TEXT_SCREEN_COLUMNS, TEXT_SCREEN_ROWS};
    struct vga_size window = smaller(smaller(vga_text_size(v), terminal), most);
    struct text t = {.n = 0};
    bool fresh = !s->drawn || memcmp(&window, &s->window, sizeof window) != 0 || memcmp(&terminal, &s->terminal, sizeof terminal) != 0;
    if (!room_for_row(out))
        return;
    if (fresh) {
        s->window = window;
        s->terminal = terminal;
        clear(s, v, &t);
        send(out, &t);
    }
    bool any = fresh;
    for (u32 y = 0; y < window.height && room_for_row(out); y++) {
        t.n = 0;
        draw_row(s, v, y, &t);
        send(out, &t);
        any |= t.n > 0;
    }
    t.n = 0;
    if (window.width && room_for_row(out))
        draw_cursor(s, v, any, &t);
    send(out, &t);
}

void text_screen_leave(struct text_screen *s, struct char_dev *out)
{
    struct text t = {.n = 0};
    put(&t, "\033[0m\033[?25h\033[%u;1H\r\n", s->window.height ? s->window.height : 1);
    send(out, &t);
    s->drawn = false;
}
