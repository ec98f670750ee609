/* Inside the gdb stub: the session that gdb.c (commands), gdb_memory.c and gdb_server.c (socket) share. */
#ifndef MON_GDB_SESSION_H
#define MON_GDB_SESSION_H

#include "host/unix_listen.h"
#include "mon/gdb.h"

#define GDB_OUT_MAX (2 * GDB_FRAME_MAX)

struct gdb {
    struct gdb_target target;
    struct unix_listener listener; /* or a TCP socket's, which has no path */
    int client;                    /* -1: none */
    struct gdb_input in;
    u8 out[GDB_OUT_MAX];                /* framed, not sent yet */
    size_t out_used, last_at, last_len; /* the last packet, while it is still in `out` */
    u8 last[GDB_FRAME_MAX];
    char reply[GDB_PACKET_MAX + 1];
    size_t reply_len;
    char *xml;
    size_t xml_len;
    bool arriving; /* a new client waits until the guest has stopped: nothing is read from it before */
    bool no_ack, running, physical; /* physical: memory packets take guest-physical addresses */
    bool step_interrupts;
    unsigned cpu;    /* the vCPU of `g`, `m`, ... */
    unsigned listed; /* next vCPU of qsThreadInfo */
    u8 stop_signal;
    unsigned stop_cpu;
    struct point_hit stop_hit;
    enum gdb_go go[GDB_CPUS_MAX];
};

/* Replies. */
void gdb_reply_text(struct gdb *g, const char *text);
void gdb_reply_ok(struct gdb *g);
void gdb_reply_error(struct gdb *g, u8 code);
void gdb_reply_bytes(struct gdb *g, const u8 *bytes, size_t n); /* as hexadecimal; cut at the packet's size */

/* gdb_memory.c: `m`, `M`, `X`, `Z`, `z`; ARG is what follows the letter. */
void gdb_read_memory(struct gdb *g, const char *arg);
void gdb_write_memory(struct gdb *g, const char *arg, bool binary);
void gdb_point(struct gdb *g, const char *arg, bool insert);

/* gdb.c: the state of a new client's session. */
void gdb_session_start(struct gdb *g);
void gdb_session_end(struct gdb *g);

#endif
