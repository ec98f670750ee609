/* x87 and MMX in translated code (x87.c). */
#ifndef ENGINE_BT_X87_H
#define ENGINE_BT_X87_H

#include "engine/bt/tr.h"

/* struct dec.x87 */
enum { X87_NONE, X87_USES, X87_NOTES /* FIP too */ };

/* May x87 and MMX instructions run natively? */
bool bt_x87_native(const struct cpu *c);
/* struct cpu to the host's FPU, and back. */
void bt_x87_load(struct bt *b);
void bt_x87_save(struct bt *b);

/* The kind of an x87 instruction; COPIED: its row in isa/ops.def says COPY or MEM. */
u8 x87_kind(struct dec *d, u32 mode, bool copied);
/* Before and after an instruction with D->x87. */
void x87_before(struct tr *t);
void x87_after(struct tr *t, const struct dec *d);
void x87_late(struct tr *t, const struct late *l);
void x87_control(struct tr *t, const struct dec *d);

#endif
