/* A wire: what a chip pulls to signal an interrupt, and what the machine connects. */
#ifndef BASE_IRQ_H
#define BASE_IRQ_H

#include "base/types.h"

struct irq_line {
    void (*set)(void *opaque, unsigned n, bool level); /* null: not connected */
    void *opaque;
    unsigned n;
};

static inline void irq_set(const struct irq_line *l, bool level)
{
    if (l->set)
        l->set(l->opaque, l->n, level);
}

#endif
