/* The exit record: how a vCPU tells the rest of the machine that it needs something, whichever engine runs it
 * (DESIGN section 4). engine/exit.c has the one table that handles, counts and times them. */
#ifndef CPU_EXIT_H
#define CPU_EXIT_H

#include "base/types.h"

enum exit_kind {
    EXIT_PIO,
    EXIT_MMIO,
    EXIT_HALT,
    EXIT_HYPERCALL,
    EXIT_INTR_WINDOW,
    EXIT_SHUTDOWN, /* triple fault */
    EXIT_DEBUG,
    EXIT_KINDS,
};

struct exit {
    enum exit_kind kind;
    bool write;  /* PIO, MMIO: the guest writes */
    u8 size;     /* PIO 1, 2, 4; MMIO 1, 2, 4, 8 */
    u64 addr;    /* port or gpa; hypercall: number */
    u64 data;    /* in or out; hypercall: result */
    u64 args[4]; /* hypercall */
};

#endif
