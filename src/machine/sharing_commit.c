/* Changing what pages are mapped to. A page may change its mapping while nobody writes to it: all vCPUs stand outside (machine/exclusive.h; with sharing that works
 * for a single vCPU too), the big lock keeps devices away, and no disk request is under way, as those write from threads of the
 * kernel or of ours. A stop lasts STOP_NS and a page at most, of which the vCPUs see what they do not spend in HLT; the holes are punched after it. */
#include <fcntl.h>
#include <string.h>

#include "base/bits.h"
#include "host/clock.h"
#include "machine/exclusive.h"
#include "machine/sharing_impl.h"
#include "machine/vm.h"

#define STOP_NS 200000
#define SLOW_NS 1000000
#define RUN     16u /* pages of one mapping at a time */

/* Does the page still hold what it was chosen for? */
static bool holds(const struct sharing *s, const struct change *c)
{
    const struct mem *m = &s->vm->mem;
    if (c->frame == CHANGE_HOME)
        return mem_foreign_at(m, c->gpa);
    if (mem_foreign_record(m, c->gpa) || !mem_is_writable(m, c->gpa, PAGE_SIZE) || mem_frame_flags(m, c->gpa) & FRAME_BALLOONED)
        return false;
    const u8 *page = m->base + c->gpa;
    if (c->frame == CHANGE_PAGE)
        return !memcmp(page, m->foreign.page_map + c->gpa, PAGE_SIZE);
    return c->frame == CHANGE_ZERO ? bytes_are_zero(page, PAGE_SIZE) : !memcmp(page, share_frame(&s->member, c->frame), PAGE_SIZE);
}

static bool continues(const struct change *a, const struct change *b)
{
    return b->gpa == a->gpa + PAGE_SIZE && (a->frame >= CHANGE_ZERO ? b->frame == a->frame : b->frame == a->frame + 1);
}

/* The first run of C[0..n): as many pages as were done, and are to be settled; *taken: as many as it took. */
static u32 do_run(struct sharing *s, struct change *c, u32 n, u32 *taken)
{
    struct mem *m = &s->vm->mem;
    u32 len = 0;
    while (len < n && len < RUN && (!len || continues(&c[len - 1], &c[len])) && holds(s, &c[len]))
        len++;
    *taken = len ? len : 1;
    if (!len)
        return 0;
    bool done = true;
    if (c->frame == CHANGE_ZERO)
        mem_foreign_settle(m, c->gpa, len);
    else if (c->frame == CHANGE_HOME)
        done = mem_foreign_home(m, c->gpa, len);
    else if (m->foreign.seams + 2 > s->seams_max)
        done = false;
    else
        done = c->frame == CHANGE_PAGE ? mem_foreign_page(m, c->gpa, len) : mem_foreign_map(m, c->gpa, c->frame, len);
    if (!done) {
        s->stats.left += len;
        return 0;
    }
    for (u32 i = 0; i < len; i++)
        c[i].done = true;
    return len;
}

/* Time T, 4 or more, goes by its highest three bits: 1xx at bit k is entry 4 k + xx. */
static void took(u32 times[STOP_TIMES], u64 t, u64 *max, u64 *slow)
{
    unsigned k = t < 4 ? 2 : 63 - (unsigned)__builtin_clzll(t), at = 4 * k + (unsigned)(t >> (k - 2) & 3);
    times[at < STOP_TIMES ? at : STOP_TIMES - 1]++;
    *max = t > *max ? t : *max;
    *slow += t > SLOW_NS;
}

u64 sharing_p99(const u32 times[STOP_TIMES])
{
    u64 all = 0, seen = 0;
    for (unsigned i = 0; i < STOP_TIMES; i++)
        all += times[i];
    for (unsigned i = 8; i < STOP_TIMES && all; i++) {
        seen += times[i];
        if (seen * 100 >= all * 99)
            return (u64)(4 + i % 4 + 1) << (i / 4 - 2);
    }
    return 0;
}

/* One stop. How many of C it took. */
static u32 stop_and_do(struct sharing *s, struct change *c, u32 n)
{
    u32 i = 0, taken;
    u64 start = host_ns();
    exclusive_begin(s->vm);
    u64 work = sharing_thread_ns();
    while (i < n && (!i || host_ns() - start < STOP_NS)) {
        (void)do_run(s, c + i, n - i, &taken);
        i += taken;
    }
    work = sharing_thread_ns() - work;
    exclusive_end(s->vm);
    u64 ns = host_ns() - start;
    s->stats.stops++;
    s->stats.stop_ns += ns;
    took(s->stops, ns, &s->stats.stop_max_ns, &s->stats.stops_slow);
    took(s->works, work, &s->stats.work_max_ns, &s->stats.work_slow);
    return i;
}

/* The lock is still held: nobody has discarded one of them in between. */
static void settle(struct sharing *s, const struct change *c, u32 n)
{
    for (u32 i = 0, len; i < n; i += len) {
        for (len = 1; i + len < n && c[i + len].done && continues(&c[i + len - 1], &c[i + len]); len++)
            ;
        if (c[i].done && (c[i].frame < CHANGE_ZERO || c[i].frame == CHANGE_PAGE))
            mem_foreign_settle(&s->vm->mem, c[i].gpa, len);
        else if (c[i].done && c[i].frame == CHANGE_HOME && s->stats.paged)
            mem_foreign_clear(&s->vm->mem, c[i].gpa, len);
    }
}

void sharing_commit(struct sharing *s, struct change *c, u32 n)
{
    struct vm *vm = s->vm;
    for (u32 i = 0, taken = 1; i < n && taken; i += taken) {
        lock_take(&vm->lock);
        taken = vm->ended || !devices_quiet(&vm->devices) ? 0 : stop_and_do(s, c + i, n - i);
        settle(s, c + i, taken);
        lock_release(&vm->lock);
    }
}
