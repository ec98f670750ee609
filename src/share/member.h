/* A VM's end of its group: asking the broker. One thread at a time. When the broker is gone, or says something wrong, every call fails from then on, and the pool stays
 * readable. */
#ifndef SHARE_MEMBER_H
#define SHARE_MEMBER_H

#include "base/error.h"
#include "share/wire.h"

struct share_member {
    int fd, pool_fd; /* -1: none */
    int end_fd;      /* readable: no answer is waited for any more; -1: none */
    const u8 *pool;  /* all of it, readable */
    u32 frames;
    bool gone;
    bool refused; /* it has answered, and will not have us */
};

/* EXEC: as group_connect has it. On success M is to be left some time. */
enum status share_join(struct share_member *m, const char *group, const char *exec, const struct share_hello *who, struct error *e);
/* The same over a connection that is there; takes FD over. */
enum status share_join_fd(struct share_member *m, int fd, const struct share_hello *who, struct error *e);
/* The frames are somebody else's from then on: nothing may show them any more. Nor may FD be shut down before. */
void share_leave(struct share_member *m);

/* N at most SHARE_LOOKUPS, and SHARE_OFFERS for pages. FRAMES gets N numbers below m->frames, FRAME_UNKNOWN or FRAME_WANTED; frames are held until they are
 * released. */
bool share_lookup(struct share_member *m, const struct share_query *q, u32 n, u32 *frames) MUST_CHECK;
bool share_offer(struct share_member *m, const u8 *const *pages, u32 n, u32 *frames) MUST_CHECK;
bool share_release(struct share_member *m, const u32 *frames, u32 n);
bool share_tell(struct share_member *m, const struct share_report *r, struct share_advice *a) MUST_CHECK;

/* Every member of the group, and the pool (pid 0); how many. */
enum status share_list(const char *group, struct share_report *list, u32 room, u32 *n, struct error *e);

static inline const u8 *share_frame(const struct share_member *m, u32 frame)
{
    return m->pool + ((u64)frame << PAGE_SHIFT);
}

#endif
