/* Between the first serial port, or the virtio console, and the host: output waits here until the host takes it, input comes from the
 * host or, under --time virtual, from a log.
 *
 * Under --time real the loop thread alone calls the host's side; a vCPU only appends to the ring (under the
 * big lock) and, once per burst, wakes the loop. Under --time virtual the one thread does both, and waits for
 * a slow reader: how fast the host takes output must not show in the guest. */
#ifndef MACHINE_CONSOLE_CONSOLE_H
#define MACHINE_CONSOLE_CONSOLE_H

#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "dev/device.h"
#include "host/char.h"
#include "host/loop.h"
#include "host/wake.h"
#include "machine/console/input_log.h"
#include "trine.h"

#define CONSOLE_RING 4096u

/* The chip's side: how many bytes of input it has room for, giving it some, and telling it that output has
 * room again. */
struct console_chip {
    size_t (*room)(void *opaque);
    void (*receive)(void *opaque, const u8 *data, size_t n);
    void (*writable)(void *opaque);
    void *opaque;
};

struct console {
    struct console_chip chip;
    struct clock *clock;
    const struct wake *wake; /* the loop's; also ends the wait for a slow reader */
    const _Atomic bool *stop;
    bool is_virtual;
    u64 deadline_ns; /* host's clock: no wait goes on for longer */
    struct char_dev host;
    void (*output)(void *opaque, const u8 *data, size_t n); /* TRINE_SERIAL_CALLBACK; else null */
    void *output_opaque;
    void (*seen)(void *opaque, const u8 *data, size_t n); /* what the guest writes, at once; null: nobody wants to know */
    void *seen_opaque;

    u8 ring[CONSOLE_RING];
    size_t head, used;
    bool blocked; /* the chip was given less room than it wanted */

    struct input_log log;
    size_t piece, at; /* next byte of the log */
    struct timer input_due;
    FILE *record;
    bool record_failed;
};

/* Where the host's end is. */
struct console_end {
    const char *name; /* for messages */
    enum trine_serial kind;
    const char *path;
    bool logs; /* the log of input is its, and what is recorded */
};

/* Opens and checks what END and CFG name. CHIP is set by the machine before the first run; until then it has room for nothing. */
enum status console_init(struct console *c, const struct trine_config *cfg, const struct console_end *end, struct clock *clock,
                         const struct wake *wake, const _Atomic bool *stop, struct error *e);
void console_destroy(struct console *c);
/* Around the run. DEADLINE on the host's clock: when a wait for a slow reader ends at the latest. PATIENT:
 * the end waits for it until then, or until a stop; otherwise for a second.  */
void console_start(struct console *c, u64 deadline_ns);
void console_stop(struct console *c, bool patient);

/* The chip's back end. */
struct char_backend console_backend(struct console *c);

/* Loop thread, big lock held: descriptors to wait for. */
#define CONSOLE_FDS 2
void console_prepare(struct console *c, struct loop_fd fds[CONSOLE_FDS]);
/* Loop thread, big lock held: moves what can be moved both ways. True: the person at the terminal wants the
 * end. */
bool console_serve(struct console *c, const struct loop_fd fds[CONSOLE_FDS]);
/* Virtual time: sends what waits, as far as the host takes it. */
void console_flush(struct console *c);

#endif
