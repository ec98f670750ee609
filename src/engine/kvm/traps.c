/* Debug traps of instructions that leave KVM_RUN for a port or for a device's memory. KVM loses some: where its emulator has nothing left to do
 * after the exit (OUTS, a write of memory) it forgets RFLAGS.TF, and I/O breakpoints it does not know (SDM vol. 3, 18.2). So the instruction is
 * completed at once, and what KVM does not bring comes from here.
 *
 * Not here: REP INS, of which KVM reads many items for one exit and writes them together, so that a breakpoint's trap comes
 * behind them all; breakpoints on data in a device's memory. */
#include <sys/ioctl.h>

#include "cpu/msr.h"
#include "cpu/segment.h"
#include "cpu/system.h"
#include "engine/kvm/kvm.h"

static bool port_watched(const struct kvm_cpu *k)
{
    struct kvm_debugregs d;
    return ioctl(k->fd, KVM_GET_DEBUGREGS, &d) == 0 && debug_io_armed(d.dr7);
}

bool kvm_traps_expected(const struct kvm_cpu *k, struct kvm_traps *t)
{
    *t = (struct kvm_traps){.step = k->run->s.regs.regs.rflags & RFLAGS_TF};
    if (k->run->exit_reason == KVM_EXIT_IO && port_watched(k)) {
        t->port = k->run->io.port;
        t->size = k->run->io.size;
    }
    return t->step || t->size;
}

void kvm_traps_take(struct kvm_cpu *k, const struct kvm_traps *t)
{
    struct cpu *c = k->c;
    k->settled = SETTLED_NOTHING;
    kvm_publish(k);
    if (k->settled == SETTLED_OTHER) /* it faulted */
        return;
    if (t->size)
        debug_check_io(c, t->port, t->size);
    if (k->settled == SETTLED_DB) { /* the step's, at its handler already */
        c->dr6 |= c->pending_db;
        c->pending_db = 0;
        return;
    }
    if (t->step && !(c->debugctl & DEBUGCTL_BTF))
        c->pending_db |= DR6_BS;
    if (c->pending_db)
        cpu_attend(c, ATTN_TRAP);
}
