/* A debugger's session in GDB's remote serial protocol, over what a machine offers it. One client at a time,
 * all-stop mode; vCPU n is thread n + 1.
 *
 * Everything here runs on one thread; but for gdb_serve it is called under the machine's lock: gdb_prepare
 * names descriptors to wait for, gdb_serve moves bytes and carries out packets, gdb_stopped tells the client
 * that the guest has stopped. The client is not trusted more than a guest is: every packet is bounded, and
 * none of them can make the monitor wait. */
#ifndef MON_GDB_H
#define MON_GDB_H

#include "base/error.h"
#include "cpu/points.h"
#include "host/loop.h"
#include "mon/gdb_packet.h"

/* What a vCPU is to do when the guest goes on. */
enum gdb_go { GDB_STAY, GDB_GO, GDB_STEP };

/* Hooks; but for interrupt and release they are called only while the guest is stopped. */
struct gdb_target {
    unsigned (*cpus)(void *opaque);
    struct cpu *(*cpu)(void *opaque, unsigned n);            /* its state, up to date */
    void (*changed)(void *opaque, unsigned n);               /* registers of vCPU n were written */
    bool (*read)(void *opaque, u64 gpa, void *buf, u64 len); /* false: not RAM */
    bool (*write)(void *opaque, u64 gpa, const void *buf, u64 len);
    struct debug_points *(*points)(void *opaque);
    void (*points_changed)(void *opaque);
    /* GO has one entry per vCPU. With INTERRUPTS false, a stepped vCPU takes none. */
    void (*resume)(void *opaque, const enum gdb_go *go, bool interrupts);
    void (*interrupt)(void *opaque); /* stop it: gdb_stopped follows */
    void (*release)(void *opaque);   /* the client has left: all points go, the guest goes on alone */
    void (*kill)(void *opaque);
    void *opaque;
};

struct gdb;

#define GDB_CPUS_MAX 256

/* Listens at ADDRESS: [HOST]:PORT (no host: 127.0.0.1), tcp:..., or unix:PATH. Null: E says why. */
struct gdb *gdb_create(const char *address, const struct gdb_target *target, struct error *e);
/* Null is allowed. */
void gdb_destroy(struct gdb *g);

#define GDB_FDS 2
void gdb_prepare(struct gdb *g, struct loop_fd fds[GDB_FDS]);
void gdb_serve(struct gdb *g, const struct loop_fd fds[GDB_FDS]);

/* The client has let the guest go on, and was not told yet that it stopped again. */
bool gdb_running(const struct gdb *g);
/* vCPU N stopped with SIGNAL (gdb's number: 5 trap, 2 interrupt), at data point HIT if its kind is not 0. */
void gdb_stopped(struct gdb *g, unsigned n, u8 signal, struct point_hit hit);
/* The VM has ended: tells the client, as far as its socket takes it at once. */
void gdb_ended(struct gdb *g, u8 status);

/* For tests and fuzzers: a session without a socket. Bytes from a client go in; output is dropped or read. */
struct gdb *gdb_create_detached(const struct gdb_target *target);
void gdb_input(struct gdb *g, const u8 *data, size_t n);
/* Takes up to N bytes of what waits for the client; returns their number. */
size_t gdb_output(struct gdb *g, u8 *buf, size_t n);

#endif
