/* The scanner: a thread of the VM that looks at its RAM page by page, at most a few hundredths of a core's time. A page whose contents were the same at two looks is a
 * candidate: one of zeros becomes a hole again, the others are looked up at the group's broker by their hash (share/broker.c). What the
 * broker has, or another has asked for too, is mapped from the group's pool (sharing_commit.c, after a comparison of all bytes). Pages that the guest has written
 * since are copies of this process alone; the scanner brings them home, and tells the broker that their frames have a holder less.
 *
 * Where the group has a limit that balloons do not keep, pages that nobody else has go to a file (mem/foreign.c), the unchanged ones first.
 *
 * Nothing but RAM above 1 MiB is looked at: not the flash, display memory or SMRAM. Without a broker (it died) what is shared stays so; holes are still made. */
#include "machine/sharing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/clock.h"
#include "host/loop.h"
#include "machine/balloon.h"
#include "machine/exclusive.h"
#include "machine/sharing_impl.h"
#include "machine/vm.h"
#include "share/hash.h"

#define BUDGET_YOUNG  100 /* 1/1000 of a core, while there is much to share */
#define BUDGET_STEADY 15
#define PERIOD_MIN_NS (2 * NS_PER_S)
#define PERIOD_MAX_NS (30 * NS_PER_S)
#define BUDGET_BRAKED 500 /* while the vCPUs wait for it */
#define REPORT_NS     (2 * NS_PER_S)
#define REPORT_BRAKED_NS (NS_PER_S / 5) /* the vCPUs wait so long, or until a block of pages is on the disk, and then may take GRANT_MIN */
#define GRANT_MIN     KIB(256)
#define WATCH_NS      (NS_PER_S / 50)
#define WATCH_NEAR_NS (NS_PER_S / 500)
#define NEAR          MIB(32)
#define MOMENT_NS     1000000
#define MOMENT_MAX_NS (128 * MOMENT_NS)
#define SEAMS_KEPT    8192 /* mappings left to everybody else in the process */

u64 sharing_thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (u64)t.tv_sec * NS_PER_S + (u64)t.tv_nsec;
}

/* Sleeps until the host's clock says UNTIL, or the VM ends. */
static void sleep_until(struct sharing *s, u64 until)
{
    while (!atomic_load(&s->ending) && host_ns() < until) {
        struct loop_fd fd = {.fd = s->wake.fd, .in = true};
        loop_wait(&fd, 1, until);
    }
}

static void report(struct sharing *s);

/* What the host holds for this process alone: RAM's own frames, and anonymous memory, which private copies of shared pages are. */
static u64 held(const struct sharing *s)
{
    struct stat st;
    char text[128];
    unsigned long long resident = 0, of_files = 0;
    ssize_t n = s->statm >= 0 ? pread(s->statm, text, sizeof text - 1, 0) : 0;
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%*u %llu %llu", &resident, &of_files) != 2)
        resident = of_files = 0;
    return (fstat(s->vm->mem.fd, &st) == 0 ? (u64)st.st_blocks * 512 : 0) + ((u64)(resident - of_files) << PAGE_SHIFT);
}

static void brake(struct sharing *s, bool on)
{
    u64 now = host_ns();
    if (!on && !s->braked)
        return;
    lock_take(&s->vm->lock);
    exclusive_brake(s->vm, on && !s->vm->ended);
    lock_release(&s->vm->lock);
    s->stats.waited_ns += s->braked ? now - s->braked_at : 0;
    s->braked_from = !on || s->braked ? s->braked_from : now;
    s->braked_at = now;
    atomic_store(&s->braked, on);
}

/* A thread beside the scanner, which the disk may hold up. A guest that takes more than the group has room for waits until pages have gone to the file, here or elsewhere: else a limit
 * would be kept only some seconds later. Where no page can go, it does not wait; and each second it gets a moment, which gets longer, come what may. */
static void *watcher_main(void *arg)
{
    struct sharing *s = arg;
    u64 moment = MOMENT_NS, last = 0;
    while (!atomic_load(&s->ending)) {
        u64 grant = atomic_load(&s->grant), has = grant != UINT64_MAX ? held(s) : 0;
        bool over = has > grant && s->vm->mem.foreign.page_fd >= 0 && !atomic_load(&s->told_paging);
        if (s->braked && host_ns() - s->braked_from > NS_PER_S) {
            brake(s, false);
            sleep_until(s, host_ns() + moment);
            moment = moment < MOMENT_MAX_NS ? moment * 2 : moment;
        }
        brake(s, over);
        moment = over ? moment : MOMENT_NS;
        sleep_until(s, host_ns() + (grant == UINT64_MAX ? NS_PER_S : has > last && !over && has + NEAR >= grant ? WATCH_NEAR_NS : WATCH_NS));
        last = has;
    }
    return NULL;
}

/* Until the clock says UNTIL, the VM ends, or the vCPUs come to wait. */
static void sleep_watching(struct sharing *s, u64 until)
{
    bool waited = atomic_load(&s->braked);
    for (u64 now; (now = host_ns()) < until && waited >= atomic_load(&s->braked) && !atomic_load(&s->ending);) {
        sleep_until(s, s->grant != UINT64_MAX && until - now > WATCH_NS ? now + WATCH_NS : until);
        if (atomic_load(&s->braked) && host_ns() - s->reported >= REPORT_BRAKED_NS)
            report(s);
    }
}

/* After a piece of work: as long a rest as makes the work its share of the time. */
static void rest(struct sharing *s)
{
    u64 now = sharing_thread_ns(), worked = now - s->worked, budget = s->braked ? BUDGET_BRAKED : s->budget;
    s->stats.cpu_ns = now;
    if (worked < 1000000)
        return;
    s->worked = now;
    sleep_watching(s, host_ns() + worked * (1000 - budget) / budget);
}

/* --- one block of RAM */

/* What is held and not used is given back: C that are not done, and pages that have left their frames. */
static void release(struct sharing *s, u32 n)
{
    if (n)
        share_release(&s->member, s->release, n);
}

/* Carries out C[0..n) and lets go of the frames that were not taken. */
static void carry_out(struct sharing *s, u32 n)
{
    u32 given = 0;
    sharing_commit(s, s->change, n);
    for (u32 i = 0; i < n; i++) {
        const struct change *c = &s->change[i];
        if (c->frame < CHANGE_ZERO && !c->done)
            s->release[given++] = c->frame;
        if (!c->done)
            continue;
        s->seen[c->gpa >> PAGE_SHIFT] = 0;
        s->stats.shared += c->frame < CHANGE_ZERO;
        s->stats.zeros += c->frame == CHANGE_ZERO;
        s->stats.homes += c->frame == CHANGE_HOME;
        s->stats.paged += c->frame == CHANGE_PAGE;
    }
    release(s, given);
}

/* The file cannot keep pages, which stay: said once. */
static void paging_failed(struct sharing *s, int why)
{
    if (!atomic_exchange(&s->told_paging, true))
        log_operator(&s->vm->log, "share %s: the file for paging takes no more: %s", s->vm->config.share, strerror(why));
}

/* Of the pages that were looked up and are nobody else's, as many go to the file as the group wants. Code does not: it is in use as long as it is kept. */
static void page_out(struct sharing *s, u32 n)
{
    struct mem *m = &s->vm->mem;
    u32 changes = 0;
    for (u32 i = 0; i < n && s->page_quota >= PAGE_SIZE; i++) {
        u64 gpa = s->query[i].gfn << PAGE_SHIFT;
        if (s->frames[i] != FRAME_UNKNOWN || mem_frame_flags(m, gpa) & FRAME_CODE)
            continue;
        errno = ENOSPC; /* a write that is cut short does not say why */
        if (!mem_foreign_save(m, gpa, 1)) {
            paging_failed(s, errno);
            break;
        }
        s->change[changes++] = (struct change){gpa, CHANGE_PAGE, false};
        s->page_quota -= PAGE_SIZE;
    }
    if (changes && fdatasync(m->foreign.page_fd) < 0) {
        paging_failed(s, errno);
        return;
    }
    if (!changes)
        return;
    carry_out(s, changes);
    for (u32 i = 0; i < changes; i++)
        mem_foreign_forget(m, s->change[i].gpa, 1);
}

/* Asks the broker for S->query[0..n), and shares what it has. */
static void look_up(struct sharing *s, u32 n)
{
    const struct mem *m = &s->vm->mem;
    const u8 *pages[SHARE_OFFERS];
    u32 at[SHARE_OFFERS], changes = 0, offers = 0, got[SHARE_OFFERS];
    if (!n || !share_lookup(&s->member, s->query, n, s->frames))
        return;
    for (u32 i = 0; i <= n; i++) {
        if (offers == SHARE_OFFERS || (i == n && offers)) {
            if (!share_offer(&s->member, pages, offers, got))
                return;
            for (u32 k = 0; k < offers; k++)
                s->frames[at[k]] = got[k];
            offers = 0;
        }
        if (i < n && s->frames[i] == FRAME_WANTED) {
            at[offers] = i;
            pages[offers++] = m->base + (s->query[i].gfn << PAGE_SHIFT);
        }
    }
    for (u32 i = 0; i < n; i++)
        if (s->frames[i] < s->member.frames)
            s->change[changes++] = (struct change){s->query[i].gfn << PAGE_SHIFT, s->frames[i], false};
    carry_out(s, changes);
    if (s->page_quota && m->foreign.page_fd >= 0)
        page_out(s, n);
}

/* A request that began before a page left its frame may still read the frame, which the broker may give other contents once it is told: a disk's write of a
 * page that went to the balloon would read another VM's. */
static u32 take_left(struct sharing *s, u64 gpa, u32 n)
{
    struct vm *vm = s->vm;
    u32 given = 0;
    lock_take(&vm->lock);
    for (u32 i = 0; i < n && devices_quiet(&vm->devices); i++) {
        u32 record = mem_foreign_record(&vm->mem, gpa + i * PAGE_SIZE);
        if (!(record & FOREIGN_LEFT))
            continue;
        s->release[given++] = mem_foreign_frame(record);
        mem_foreign_told(&vm->mem, gpa + i * PAGE_SIZE);
    }
    lock_release(&vm->lock);
    return given;
}

/* Pages that left their frames are told to the broker, copies are brought home. */
static void block_foreign(struct sharing *s, u64 gpa, u32 n)
{
    struct mem *m = &s->vm->mem;
    u32 homes = 0;
    bool any = false, left = false;
    for (u32 i = 0; i < n; i++) {
        u32 record = mem_foreign_record(m, gpa + i * PAGE_SIZE);
        any |= record && !(record & FOREIGN_LEFT);
        left |= record & FOREIGN_LEFT;
    }
    if (left)
        release(s, take_left(s, gpa, n));
    if (!any)
        return;
    mem_foreign_written(m, gpa, n, s->written);
    for (u32 i = 0; i < n; i++)
        if (s->written[i])
            s->change[homes++] = (struct change){gpa + i * PAGE_SIZE, CHANGE_HOME, false};
    carry_out(s, homes);
}

/* Pages of RAM's own in [gpa, end), where there is data. */
static u32 look_at(struct sharing *s, u64 gpa, u64 end, u64 zero, u32 queries, u32 *zeros)
{
    struct mem *m = &s->vm->mem;
    for (; gpa < end; gpa += PAGE_SIZE) {
        u32 *seen = &s->seen[gpa >> PAGE_SHIFT];
        if (mem_foreign_record(m, gpa) || mem_frame_flags(m, gpa) & FRAME_BALLOONED || working_set_has(&s->working, gpa))
            continue;
        u64 hash = page_hash(m->base + gpa);
        u32 part = (u32)(hash >> 32) | 1;
        s->stats.looked++;
        if (*seen != part)
            *seen = part;
        else if (hash == zero)
            s->change[(*zeros)++] = (struct change){gpa, CHANGE_ZERO, false};
        else
            s->query[queries++] = (struct share_query){hash, gpa >> PAGE_SHIFT};
    }
    return queries;
}

static void block(struct sharing *s, u64 gpa, u32 n, u64 zero)
{
    const struct mem *m = &s->vm->mem;
    u64 end = gpa + ((u64)n << PAGE_SHIFT), at = gpa;
    u32 queries = 0, zeros = 0;
    block_foreign(s, gpa, n);
    for (;;) {
        off_t data = lseek(m->fd, (off_t)at, SEEK_DATA);
        if (data < 0 || (u64)data >= end)
            break;
        off_t hole = lseek(m->fd, data, SEEK_HOLE);
        at = hole < 0 || (u64)hole > end ? end : (u64)hole;
        queries = look_at(s, (u64)data & PAGE_MASK, at, zero, queries, &zeros);
        if (at <= (u64)data)
            break;
    }
    carry_out(s, zeros);
    if (!s->member.gone)
        look_up(s, queries);
}

/* --- what the group hears of the VM */

/* HAS: what was held when it was asked for: the guest goes on while the broker thinks. */
static void apply(struct sharing *s, const struct share_advice *a, u64 has)
{
    u64 more = a->room_bytes > (i64)GRANT_MIN ? (u64)a->room_bytes : GRANT_MIN, less = a->room_bytes < 0 ? (u64)-a->room_bytes : 0;
    u64 grant = has + more - (less < has ? less : has);
    atomic_store(&s->target, a->target_bytes);
    s->page_quota = a->page_bytes;
    atomic_store(&s->grant, a->room_bytes == INT64_MAX ? UINT64_MAX : grant);
    if (a->error && !s->told_pool)
        log_operator(&s->vm->log, "share %s: the group's pool takes no more: %s", s->vm->config.share, strerror((int)(a->error & INT32_MAX)));
    s->told_pool |= a->error != 0;
}

static void report(struct sharing *s)
{
    struct vm *vm = s->vm;
    struct share_advice advice;
    u64 held_now = held(s);
    struct mem_use use = mem_use(&vm->mem);
    struct share_report r = {.pid = (u32)getpid(),
                             .guest_bytes = vm->mem.size,
                             .resident_bytes = use.resident,
                             .paged_bytes = use.paged,
                             .shared_bytes = use.shared,
                             .target_bytes = atomic_load(&s->target)};
    u64 available;
    working_set_look(&s->working, &vm->mem, host_ns());
    r.working_bytes = working_set_bytes(&s->working, r.resident_bytes);
    lock_take(&vm->lock);
    r.ballooned_bytes = vm->devices.balloon ? vm->devices.balloon->ballooned << PAGE_SHIFT : 0;
    r.has_balloon = balloon_available(vm, &available);
    lock_release(&vm->lock);
    r.free_bytes = r.has_balloon ? available : 0;
    if (share_tell(&s->member, &r, &advice))
        apply(s, &advice, held_now);
    else
        atomic_store(&s->grant, UINT64_MAX);
    s->reported = host_ns();
}

static void broker_lost(struct sharing *s)
{
    if (s->told || atomic_load(&s->ending))
        return;
    s->told = true;
    s->stats.broker = false;
    atomic_store(&s->target, 0);
    log_operator(&s->vm->log, "share %s: the broker is gone: what is shared stays so, nothing more will be", s->vm->config.share);
}

/* --- the thread */

struct span {
    u64 from, to;
};

/* The first block from AT on, of those that begin there, with anything to look at, or TO: most of a large guest is a hole. */
static u64 next_block(const struct mem *m, u64 at, u64 to)
{
    u64 block = (u64)FOREIGN_BLOCK << PAGE_SHIFT, next = mem_foreign_next(m, at);
    off_t data = lseek(m->fd, (off_t)at, SEEK_DATA);
    if (data >= 0 && (u64)data < next)
        next = (u64)data;
    return at <= next && next < to ? at + (next - at) / block * block : to; /* there may be nothing at all behind AT */
}

static void pass(struct sharing *s, u64 zero)
{
    const struct mem *m = &s->vm->mem;
    const struct span spans[] = {{MIB(1), m->low_size}, {MEM_HIGH_BASE, MEM_HIGH_BASE + m->high_size}};
    u64 looked = s->stats.looked, won = s->stats.shared + s->stats.zeros;
    s->stats.left = 0;
    for (unsigned k = 0; k < ARRAY_LEN(spans); k++)
        for (u64 at = spans[k].from, n; (at = next_block(m, at, spans[k].to)) < spans[k].to && !atomic_load(&s->ending); at += n << PAGE_SHIFT) {
            n = (spans[k].to - at) >> PAGE_SHIFT;
            n = n < FOREIGN_BLOCK ? n : FOREIGN_BLOCK;
            block(s, at, (u32)n, zero);
            rest(s);
            if (host_ns() - s->reported >= REPORT_NS)
                report(s);
            if (s->member.gone)
                broker_lost(s);
        }
    looked = s->stats.looked - looked;
    won = s->stats.shared + s->stats.zeros - won;
    bool young = s->stats.passes++ < 3 || won * 50 > looked || s->page_quota;
    s->budget = young ? BUDGET_YOUNG : BUDGET_STEADY;
    s->period_ns = young ? PERIOD_MIN_NS : s->period_ns * 2 < PERIOD_MAX_NS ? s->period_ns * 2 : PERIOD_MAX_NS;
}

static void *scanner_main(void *arg)
{
    struct sharing *s = arg;
    static const u8 zeros[PAGE_SIZE];
    u64 zero = page_hash(zeros);
    while (!atomic_load(&s->ending)) {
        u64 next = host_ns() + s->period_ns;
        pass(s, zero);
        for (u64 now; (now = host_ns()) < next && !s->braked && !atomic_load(&s->ending);) {
            if (!s->member.gone)
                report(s);
            else
                broker_lost(s);
            sleep_watching(s, next - now < REPORT_NS ? next : now + REPORT_NS);
        }
    }
    return NULL;
}

/* --- its life */

static u64 mappings_limit(void)
{
    unsigned long long limit = 65530;
    FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
    if (f) {
        if (fscanf(f, "%llu", &limit) != 1)
            limit = 65530;
        fclose(f);
    }
    return limit > 2 * SEAMS_KEPT ? limit - SEAMS_KEPT : limit / 2;
}

/* A file without a name in $TMPDIR or /var/tmp, which goes with the process. Whether the group has a limit others may say later. */
static enum status open_paging(struct vm *vm, struct error *e)
{
    const char *dir = getenv("TMPDIR");
    dir = dir && *dir ? dir : "/var/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return vm->config.share_limit ? error_errno(e, "share %s: a file for paging in %s", vm->config.share, dir) : STATUS_OK;
    return mem_foreign_paging(&vm->mem, fd, e);
}

enum status sharing_create(struct vm *vm, struct error *e)
{
    const struct trine_config *c = &vm->config;
    const struct share_hello who = {SHARE_MAGIC, SHARE_VERSION, SHARE_MEMBER, c->memory, c->share_limit};
    struct sharing *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(e, STATUS_HOST, "share %s: out of memory", c->share);
    vm->sharing = s;
    *s = (struct sharing){.vm = vm, .member = {.fd = -1, .pool_fd = -1, .end_fd = -1, .gone = true}, .wake = {.fd = -1}, .grant = UINT64_MAX, .statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC), .budget = BUDGET_YOUNG, .period_ns = PERIOD_MIN_NS};
    s->seams_max = mappings_limit();
    void *seen = mmap(NULL, (vm->mem.span >> PAGE_SHIFT) * sizeof *s->seen, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (seen == MAP_FAILED)
        return error_errno(e, "share %s", c->share);
    s->seen = seen;
    enum status st = wake_init(&s->wake, e);
    if (st == STATUS_OK)
        st = share_join(&s->member, c->share, c->share_exec ? c->share_exec : "/proc/self/exe", &who, e);
    s->member.end_fd = s->wake.fd;
    if (st == STATUS_OK)
        st = mem_foreign_init(&vm->mem, s->member.pool_fd, e);
    if (st == STATUS_OK)
        st = open_paging(vm, e);
    s->stats.broker = st == STATUS_OK;
    return st;
}

enum status sharing_start(struct vm *vm, struct error *e)
{
    struct sharing *s = vm->sharing;
    if (!s)
        return STATUS_OK;
    enum status st = thread_start_confined(&s->thread, "trine-share", vm->confine, CONFINE_SHARE, scanner_main, s, e);
    return st == STATUS_OK ? thread_start_confined(&s->watcher, "trine-limit", vm->confine, CONFINE_SHARE, watcher_main, s, e) : st;
}

void sharing_stop(struct vm *vm)
{
    struct sharing *s = vm->sharing;
    if (!s || !s->thread.started)
        return;
    atomic_store(&s->ending, true);
    wake_post(&s->wake);
    thread_join(&s->thread);
    if (s->watcher.started)
        thread_join(&s->watcher);
    exclusive_brake(vm, false);
}

/* After mem_destroy: nothing is mapped from the pool any more. */
void sharing_destroy(struct vm *vm)
{
    struct sharing *s = vm->sharing;
    if (!s)
        return;
    share_leave(&s->member);
    if (s->seen)
        munmap(s->seen, (vm->mem.span >> PAGE_SHIFT) * sizeof *s->seen);
    if (s->wake.fd >= 0)
        wake_destroy(&s->wake);
    if (s->statm >= 0)
        close(s->statm);
    free(s);
    vm->sharing = NULL;
}

static u64 touched(const void *p, u64 bytes)
{
    u64 pages = (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT, n = 0;
    unsigned char in[4096];
    for (u64 i = 0; p && i < pages; i += sizeof in) {
        u64 some = pages - i < sizeof in ? pages - i : sizeof in;
        if (mincore((u8 *)(uintptr_t)p + (i << PAGE_SHIFT), some << PAGE_SHIFT, in) == 0)
            for (u64 k = 0; k < some; k++)
                n += in[k] & 1;
    }
    return n << PAGE_SHIFT;
}

void sharing_stats(const struct vm *vm, struct sharing_stats *s)
{
    *s = (struct sharing_stats){0};
    if (!vm->sharing)
        return;
    *s = vm->sharing->stats;
    s->stop_p99_ns = sharing_p99(vm->sharing->stops);
    s->work_p99_ns = sharing_p99(vm->sharing->works);
    s->metadata_bytes = touched(vm->sharing->seen, (vm->mem.span >> PAGE_SHIFT) * sizeof *vm->sharing->seen) +
                        touched(vm->mem.foreign.frame, (vm->mem.span >> PAGE_SHIFT) * sizeof *vm->mem.foreign.frame) + sizeof *vm->sharing;
}

u64 sharing_target(const struct vm *vm)
{
    return vm->sharing ? atomic_load(&vm->sharing->target) : 0;
}
