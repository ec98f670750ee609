/* The prompt that Ctrl-A c opens on the terminal. Called under the big lock, on the loop's thread. */
#ifndef MACHINE_CONSOLE_MONITOR_H
#define MACHINE_CONSOLE_MONITOR_H

struct vm;

/* Carries out lines that were typed, and what waited for the vCPUs to stand. */
void monitor_serve(struct vm *vm);

#endif
