/* How much of the host's memory each VM of a group may have. See policy.c. */
#ifndef SHARE_POLICY_H
#define SHARE_POLICY_H

#include "share/wire.h"

/* What the guest of PID shall get along with, when the N members' guests and POOL bytes of shared pages must fit into LIMIT; 0: there is no limit, or the
 * guest has no balloon. */
u64 policy_target(const struct share_report *all, u32 n, u32 pid, u64 pool, u64 limit);
/* What of the guest of PID shall be paged out beyond what is, so that all fits: nothing while the balloons have something to give. */
u64 policy_page_out(const struct share_report *all, u32 n, u32 pid, u64 pool, u64 limit);
/* How much more the guest of PID may take until it reports again, without the group going over the limit, or, below 0, what it has too much; INT64_MAX: there is no limit. */
i64 policy_room(const struct share_report *all, u32 n, u32 pid, u64 pool, u64 limit);

#endif
