/* A text screen on a terminal: what the VGA shows, as UTF-8 with ANSI's colours; only what changed is sent. See text_screen.c. */
#ifndef MACHINE_CONSOLE_TEXT_SCREEN_H
#define MACHINE_CONSOLE_TEXT_SCREEN_H

#include "dev/vga/vga.h"
#include "host/char.h"

#define TEXT_SCREEN_COLUMNS 256u
#define TEXT_SCREEN_ROWS    128u

struct text_screen {
    bool drawn;                       /* `shown` is what the terminal shows; else it is cleared first */
    struct vga_size terminal, window; /* cells: the terminal, and what of the guest's screen fits; window 0, 0: graphics */
    bool cursor;
    u32 cursor_x, cursor_y;
    u16 shown[TEXT_SCREEN_ROWS][TEXT_SCREEN_COLUMNS];
};

/* Brings OUT, a terminal of TERMINAL cells, to what V shows, as far as its queue has room; the next call goes on. */
void text_screen_draw(struct text_screen *s, const struct vga *v, struct vga_size terminal, struct char_dev *out);
/* The end: colours and cursor as a shell wants them, below the picture. */
void text_screen_leave(struct text_screen *s, struct char_dev *out);

#endif
