/* Where the 16-bit guests of `modes` live below 1 MiB. 0x6000-0x6fff is real_32.S's. */
#ifndef MODES_LOW_H
#define MODES_LOW_H

#include "guest.h"

enum {
    LOW_STACK = 0x5ff0, /* SS 0 */
    LOW_CODE = 0x8000,  /* CS LOW_CODE / 16 */
    LOW_DATA = 0x10000, /* DS LOW_DATA / 16, 64 KiB */
    LOW_CODE_SEG = LOW_CODE / 16,
    LOW_DATA_SEG = LOW_DATA / 16,
};

/* Copies a 16-bit snippet to LOW_CODE and sets a context to it, DS and ES at LOW_DATA. For real_run;
 * for v86 the caller adds VM to the flags. */
static inline void low_set(struct context *c, const struct snip *s)
{
    memory_copy((void *)LOW_CODE, (const void *)s->start, s->end + 2 - s->start);
    memory_set(c, 0, sizeof(*c));
    c->cs = LOW_CODE_SEG;
    c->ds = c->es = c->fs = c->gs = LOW_DATA_SEG;
    c->sp = LOW_STACK;
    c->flags = FLAG_1;
}
/* Offsets of a snippet's marks in the segment. */
#define LOW_AT(s)         ((s)->at - (s)->start)
#define LOW_END(s)        ((s)->end - (s)->start)
#define LOW_WORD(address) (*(volatile uint16_t *)(address))
#define LOW_LONG(address) (*(volatile uint32_t *)(address))

#endif
