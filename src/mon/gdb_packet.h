/* The framing of GDB's remote serial protocol (gdb manual, appendix E.1): $body#checksum, acknowledgements,
 * and the interrupt byte. Bytes in, packets out; no socket. */
#ifndef MON_GDB_PACKET_H
#define MON_GDB_PACKET_H

#include "base/types.h"

#define GDB_PACKET_MAX 16384u /* bytes of a body, both ways; what PacketSize announces */

enum gdb_event {
    GDB_NOTHING,
    GDB_PACKET,    /* a whole packet with the right checksum stands in body */
    GDB_BAD,       /* wrong checksum, or too long: to be refused */
    GDB_AGAIN,     /* the other side wants the last packet once more */
    GDB_INTERRUPT, /* the byte 3 outside of any packet */
};

struct gdb_input {
    u8 state, sum, want;
    bool escaped, overflow;
    size_t len;
    u8 body[GDB_PACKET_MAX + 1]; /* unescaped; a 0 follows the last byte */
};

/* Takes one byte. */
enum gdb_event gdb_input_byte(struct gdb_input *in, u8 byte);

/* Makes a packet of the LEN bytes of BODY in OUT, which has room for GDB_FRAME_MAX; returns its length. */
#define GDB_FRAME_MAX (2 * GDB_PACKET_MAX + 4)
size_t gdb_frame(u8 *out, const u8 *body, size_t len);

/* Hexadecimal: a digit's value, or -1. */
int gdb_hex_digit(u8 c);
/* Reads a number of 1 to 16 digits and moves *P behind it; false: there is none. */
bool gdb_hex_number(const char **p, u64 *v) MUST_CHECK;
/* 2 N digits to N bytes; false: something else stands there. */
bool gdb_hex_bytes(const char *p, u8 *out, size_t n) MUST_CHECK;
/* N bytes to 2 N digits, without a 0. */
void gdb_hex_put(char *out, const u8 *bytes, size_t n);

#endif
