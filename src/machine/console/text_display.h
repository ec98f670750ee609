/* --display text: the VGA's text screen on the terminal, the terminal's keys on the PS/2 keyboard. Called on the loop's thread under the big lock. */
#ifndef MACHINE_CONSOLE_TEXT_DISPLAY_H
#define MACHINE_CONSOLE_TEXT_DISPLAY_H

#include "base/error.h"
#include "host/loop.h"

struct vm;
struct text_display;
struct char_dev;

/* VM has a display. Standard input and output must be a terminal. */
enum status text_display_create(struct vm *vm, struct error *e);
void text_display_destroy(struct vm *vm);
/* Around the run. */
void text_display_start(struct vm *vm);
void text_display_stop(struct vm *vm);

/* The terminal that the prompt of Ctrl-A c is on. */
struct char_dev *text_display_terminal(struct text_display *d);

#define TEXT_DISPLAY_FDS 2
void text_display_prepare(struct vm *vm, struct loop_fd fds[TEXT_DISPLAY_FDS]);
/* Draws if it is time, takes keys. True: the person at the terminal wants the end. */
bool text_display_serve(struct vm *vm, const struct loop_fd fds[TEXT_DISPLAY_FDS]);
/* Host's clock: when to look again; UINT64_MAX without one. */
u64 text_display_next(const struct vm *vm);

#endif
