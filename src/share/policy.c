/* Shares by the idle memory tax of Waldspurger's ESX (OSDI 2002, section 5): a page that is used counts once, an idle one counts 1 / (1 - TAX) times, so
 * that memory goes from who does not use it to who does, and not all of it. Every VM keeps a floor. */
#include "share/policy.h"

#define TAX_PERCENT 75u
#define FLOOR MIB(48) /* less, and Linux is busy with nothing but getting along */

static u64 least(u64 a, u64 b)
{
    return a < b ? a : b;
}

/* What a member is worth: its working set, and a sixteenth of what is idle beyond. */
static u64 worth(const struct share_report *r)
{
    u64 used = least(r->working_bytes, r->guest_bytes), idle = r->guest_bytes - used;
    return FLOOR + used + idle * (100 - TAX_PERCENT) / 100 / 4;
}

u64 policy_target(const struct share_report *all, u32 n, u32 pid, u64 pool, u64 limit)
{
    u64 sum = 0, taken = pool;
    const struct share_report *own = NULL;
    for (u32 i = 0; i < n; i++) {
        sum += worth(&all[i]);
        taken += all[i].resident_bytes;
        if (all[i].pid == pid)
            own = &all[i];
    }
    if (!limit || !own || !own->has_balloon || !sum)
        return 0;
    if (taken < limit - limit / 8) /* nobody is short: all keep what they have, and get a piece back */
        return least(own->guest_bytes - least(own->ballooned_bytes, own->guest_bytes) + own->guest_bytes / 16, own->guest_bytes);
    u64 room = limit > pool ? limit - pool : 0;
    u64 share = (u64)((u128)(room - room / 16) * worth(own) / sum);
    u64 target = share + own->shared_bytes; /* what is shared costs the group once, in the pool */
    target = target > FLOOR ? target : FLOOR;
    return least(target, own->guest_bytes) & PAGE_MASK;
}

static u64 has_bytes(const struct share_report *r)
{
    return r->guest_bytes - least(r->ballooned_bytes, r->guest_bytes);
}

/* What the guest may still give up by its balloon, without swapping. */
static u64 yield(const struct share_report *r)
{
    u64 has = has_bytes(r);
    u64 spare = r->free_bytes > FLOOR ? r->free_bytes - FLOOR : 0;
    return r->has_balloon && r->target_bytes && has > r->target_bytes ? least(has - r->target_bytes, spare) : 0;
}

/* Of what it holds alone, the part that its balloon could give back: free pages that are holes already bring nothing. */
static u64 unused(const struct share_report *r)
{
    u64 holds = r->resident_bytes + r->shared_bytes + r->paged_bytes, has = has_bytes(r), needs = has - least(r->free_bytes, has);
    return least(holds > needs ? holds - needs : 0, r->resident_bytes);
}

i64 policy_room(const struct share_report *all, u32 n, u32 pid, u64 pool, u64 limit)
{
    u64 taken = pool, own = 0, goal = limit - limit / 32;
    for (u32 i = 0; i < n; i++) {
        taken += all[i].resident_bytes;
        if (all[i].pid == pid)
            own = all[i].resident_bytes;
    }
    if (!limit || !n)
        return INT64_MAX;
    return taken <= goal ? (i64)(least(goal - taken, SHARE_BYTES_MAX) / n) : -(i64)((u128)(taken - goal) * own / taken);
}

/* How much of the paging is a member's: what it holds and does not use, and an eighth of what it uses. */
static u64 burden(const struct share_report *r)
{
    return r->resident_bytes - least(r->working_bytes, r->resident_bytes) / 8 * 7;
}

/* Pages go before the limit is reached: guests touch more between two looks, and get it at once. */
u64 policy_page_out(const struct share_report *all, u32 n, u32 pid, u64 pool, u64 limit)
{
    u64 taken = pool, sum = 0, own = 0, goal = limit - limit / 16;
    for (u32 i = 0; i < n; i++) {
        u64 give = least(yield(&all[i]), unused(&all[i]));
        taken += all[i].resident_bytes - give;
        sum += burden(&all[i]);
        if (all[i].pid == pid)
            own = burden(&all[i]);
    }
    return limit && taken > goal && sum ? (u64)((u128)(taken - goal) * own / sum) : 0;
}
