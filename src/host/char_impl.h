/* Between char.c and its kinds. */
#ifndef HOST_CHAR_IMPL_H
#define HOST_CHAR_IMPL_H

#include "host/char.h"

enum status char_stdio_open(struct char_dev *c, bool input, struct error *e);
/* Takes Ctrl-A's commands out of N bytes that a terminal gave; returns how many are left for the guest. */
size_t char_stdio_filter(struct char_dev *c, u8 *buf, size_t n);

enum status char_unix_open(struct char_dev *c, const char *path, struct error *e);
/* Takes the next client, if there is one, in place of the present one. */
void char_unix_accept(struct char_dev *c);
void char_unix_hang_up(struct char_dev *c);

#endif
