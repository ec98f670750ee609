/* Sensitive instructions in three ways (engine_settings.sensitive), the history of software virtualization:
 *
 *     trap     privileged instructions stand unchanged in the cache, the CPU refuses them at CPL 3, and the handler of its
 *              signal leaves the block there (trap and emulate); those that do not trap are called
 *     call     the cache is left, and the monitor executes them
 *     inline   what sensitive.c has, without leaving
 *
 * Whatever of them faults here is executed by the interpreter, so that nothing hangs on which of its checks the CPU
 * makes first. */
#include "engine/bt/tr.h"

/* In line for another reason: they run, or nothing of the system is in them. */
static bool harmless(u16 op)
{
    switch (op) {
    case OP_BT:
    case OP_BTS:
    case OP_BTR:
    case OP_BTC:
    case OP_CLD:
    case OP_STD:
    case OP_FNSTCW:
    case OP_LDMXCSR:
    case OP_VLDMXCSR: return true;
    default: return false;
    }
}

bool sensitive_in_line(const struct bt *b, const struct dec *d, u32 mode)
{
    return sensitive_can(d, mode) && (b->settings.sensitive == SENSITIVE_INLINE || harmless(d->i.op));
}

/* Refused by every CPU at CPL 3 whatever its operands are, as long as the process has no I/O privilege. */
static bool refused(u16 op)
{
    switch (op) {
    case OP_CLI:
    case OP_STI:
    case OP_HLT:
    case OP_CLTS:
    case OP_INVD:
    case OP_WBINVD:
    case OP_SWAPGS:
    case OP_STAC:
    case OP_CLAC:
    case OP_RDMSR:
    case OP_WRMSR:
    case OP_MOV_TO_CR:
    case OP_MOV_FROM_CR:
    case OP_MOV_TO_DR:
    case OP_MOV_FROM_DR: return true;
    default: return false;
    }
}

bool sensitive_traps(const struct bt *b, const struct dec *d)
{
    return b->settings.sensitive == SENSITIVE_TRAP && d->decoded && refused(d->i.op);
}

/* As it is; behind it follows the way out, for the handler goes by where it faults. */
void sensitive_trap(struct tr *t, const struct dec *d)
{
    t->b->maps[t->t->map + t->index].flags_mem = true;
    for (unsigned k = 0; k < d->i.len; k++)
        e8(&t->e, d->bytes[k]);
}
