/* The machine-check architecture as far as a machine without faults of its own needs it: errors come from
 * outside (machine_check_inject). SDM vol. 3, 16.3 (registers), 16.3.2.2 (overwriting), 6.15 vector 18: with
 * CR4.MCE clear, or while MCG_STATUS.MCIP is set, an uncorrected error shuts the processor down. Not
 * modelled: CMCI, local machine checks, recovery signatures beyond what the injector writes into STATUS. */
#include "cpu/machine_check.h"

#include "base/bits.h"
#include "cpu/msr.h"
#include "cpu/segment.h"

#define STATUS_VAL   BIT(63)
#define STATUS_OVER  BIT(62)
#define STATUS_UC    BIT(61)
#define STATUS_EN    BIT(60)
#define STATUS_MISCV BIT(59)
#define STATUS_ADDRV BIT(58)

bool machine_check_inject(struct cpu *c, const struct mc_error *e)
{
    if (e->bank >= MC_BANKS || atomic_load(&c->attention) & ATTN_MC)
        return false;
    c->mc_pending = *e;
    cpu_attend(c, ATTN_MC);
    return true;
}

/* Into the bank, or over what is there (16.3.2.2.1: an uncorrected error replaces a corrected one; else the
 * first stays; both set OVER). */
static void bank_log(u64 *bank, const struct mc_error *e)
{
    bool full = bank[MC_STATUS] & STATUS_VAL;
    bool keep = full && (bank[MC_STATUS] & STATUS_UC || !(e->status & STATUS_UC));
    if (!keep) {
        bank[MC_STATUS] = e->status | STATUS_VAL;
        bank[MC_ADDR] = e->status & STATUS_ADDRV ? e->addr : 0;
        bank[MC_MISC] = e->status & STATUS_MISCV ? e->misc : 0;
    }
    if (full)
        bank[MC_STATUS] |= STATUS_OVER;
}

bool machine_check_take(struct cpu *c)
{
    struct mc_error e = c->mc_pending;
    u64 *bank = c->mc_bank[e.bank & (MC_BANKS - 1)];
    bool enabled = c->mcg_ctl == ~0ull && bank[MC_CTL];
    e.status = (e.status & ~STATUS_EN) | (enabled ? STATUS_EN : 0);
    bool fatal = e.status & STATUS_UC && enabled;
    if (fatal && (!(c->cr4 & CR4_MCE) || c->mcg_status & MCG_MCIP)) {
        log_guest(c->wires.log, "uncorrected machine check in bank %u with %s: shutdown", e.bank,
                  c->cr4 & CR4_MCE ? "another in progress" : "CR4.MCE clear");
        bank_log(bank, &e);
        cpu_shutdown(c);
        return true;
    }
    bank_log(bank, &e);
    if (!fatal)
        return false;
    c->mcg_status = MCG_MCIP | (e.mcg_status & (MCG_RIPV | MCG_EIPV));
    c->stats.exceptions[VEC_MC]++;
    return true;
}
