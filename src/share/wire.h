/* What members of a group and its broker say to each other, over a Unix socket that keeps messages whole (SOCK_SEQPACKET). A message is a
 * `struct share_head` and N elements of the type's kind; members ask, the broker answers each message with one. Both are processes of one
 * user on one host, so the words are the host's own; both check lengths and numbers all the same.
 *
 *   HELLO   1 share_hello             WELCOME 1 share_welcome, and the pool's descriptor | REFUSED 1 share_refusal
 *   LOOKUP  n share_query             ANSWER  n u32: FRAME_UNKNOWN, FRAME_WANTED, or a frame, now held for the member
 *   OFFER   n pages                   ANSWER  n u32: FRAME_UNKNOWN (no room) or a frame, now held
 *   RELEASE n u32                     ANSWER  0
 *   REPORT  1 share_report            ANSWER  1 share_advice
 *   LIST    0                         ANSWER  n share_report, the last one with pid 0: the pool, what is resident of it and what it stands for
 *
 * HELLO, WELCOME and REFUSED have one form in all versions, so that one can tell another why not. */
#ifndef SHARE_WIRE_H
#define SHARE_WIRE_H

#include "base/types.h"

#define SHARE_MAGIC   0x6572616873697274ull
#define SHARE_VERSION 2u

enum share_type {
    SHARE_HELLO = 1,
    SHARE_WELCOME,
    SHARE_REFUSED,
    SHARE_LOOKUP,
    SHARE_OFFER,
    SHARE_RELEASE,
    SHARE_REPORT,
    SHARE_LIST,
    SHARE_ANSWER,
};

#define SHARE_LOOKUPS 512u /* elements of one message, at most */
#define SHARE_OFFERS  16u
#define SHARE_MEMBERS 128u
#define SHARE_BYTES   (sizeof(struct share_head) + SHARE_OFFERS * PAGE_SIZE) /* the longest message */

#define FRAME_UNKNOWN 0xffffffffu
#define FRAME_WANTED  0xfffffffeu
#define FRAMES_MAX    0x3ffffff0u /* of a pool */

#define SHARE_BYTES_MAX (1ull << 46) /* that a member may say of anything: the sum over all of them, times a percentage, is a u64 */
#define SHARE_HOLDS_MAX (1u << 24)   /* of one frame by one member; by all of them it is a u32 */

struct share_head {
    u32 type, n;
};

enum share_role { SHARE_MEMBER, SHARE_OBSERVER };

struct share_hello {
    u64 magic;
    u32 version, role;
    u64 guest_bytes;
    u64 group_limit; /* bytes of host memory for all of the group; 0: says nothing */
};

struct share_welcome {
    u32 version, frames;
};

struct share_refusal {
    u32 version, error; /* errno; 0: the version is why */
};

/* A page's contents by its hash, and which page of the member it is. */
struct share_query {
    u64 hash, gfn;
};

struct share_report {
    u32 pid, has_balloon;
    u64 guest_bytes, resident_bytes, shared_bytes, ballooned_bytes, paged_bytes, working_bytes, target_bytes, free_bytes;
};

struct share_advice {
    u64 target_bytes; /* what the guest shall get along with; 0: the broker has no wish */
    u64 page_bytes;   /* and what more of it shall go to a file */
    i64 room_bytes; /* that the guest may take more until it reports again, or shall have less before it takes more; INT64_MAX: there is no limit */
    u64 pool_bytes, limit_bytes;
    u64 error; /* errno: why the pool took no page when one was offered last; 0: it did */
};

#endif
