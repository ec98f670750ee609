/* Was a fault of translated code the guest's? Then the interpreter has found the same exception at the same instruction: a divide error, an
 * unmasked SIMD exception (#UD where CR4.OSXMMEXCPT is clear: SDM vol. 3, 2.5), a misaligned vector operand, an operation that the host lacks and
 * so is not offered. A page fault never is: translated code reaches only what the soft TLB led it to, so an address was wrong, one that perhaps the
 * guest chose, and the next may be mapped. The guest is not to try again. */
#include <inttypes.h>

#include "base/bits.h"
#include "engine/bt/bt.h"

void bt_refused_note(struct bt *b, u64 rip, unsigned vector, u64 address)
{
    const u64 *seen = b->cpu->stats.exceptions;
    b->host_faults++;
    b->refused = (struct bt_refused){
        .open = true, .vector = vector & 31, .rip = rip, .address = address, .seen = seen[vector & 31], .seen_ud = seen[VEC_UD]};
}

/* Of those that have to do with an address, the guest's is a #GP alone. */
static bool of_address(u8 vector)
{
    return vector == VEC_SS || vector == VEC_GP || vector == VEC_PF || vector == VEC_AC;
}

static bool is_guests(const struct bt *b, const struct bt_refused *r)
{
    const u64 *now = b->cpu->stats.exceptions;
    if (b->settings.sensitive == SENSITIVE_TRAP && (r->vector == VEC_GP || r->vector == VEC_UD)) /* STAC and CLAC are #UD */
        return true;
    if (of_address(r->vector) && r->vector != VEC_GP)
        return false;
    return now[r->vector] != r->seen || (r->vector == VEC_XM && now[VEC_UD] != r->seen_ud);
}

bool bt_refused_settle(struct bt *b, struct error *e)
{
    const struct bt_refused r = b->refused;
    b->refused.open = false;
    if (is_guests(b, &r))
        return true;
    b->stray_faults++;
    /* An operand may have been another when the interpreter read it: other vCPUs and devices write, too. An address is made of registers. */
    if (!of_address(r.vector))
        return true;
    error_set(e, STATUS_HOST, "bt: the translation of the instruction at 0x%" PRIx64 " faulted on the host, which is the translator's fault: vector %u, address 0x%" PRIx64,
              r.rip, r.vector, r.address);
    return false;
}
