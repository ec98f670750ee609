/* Random 64-bit and 32-bit code on the translator and on the interpreter: the same registers, flags and memory after as
 * many instructions, whatever it does: faults included, whose frames lie in memory. Half of the guests are
 * hostile (bt_scene.c). Half of them run in a code cache that holds a few blocks, so that what runs is evicted all the time (region.c).
 * The translator runs behind walls (bt_wall.c): translated code that makes a system call ends the process, a byte written round the monitor's
 * regions is seen. For half of them memory of the host's lies at the guests' own addresses, where a stray store is seen; for the others nothing does,
 * and every fault that the host's CPU raises in translated code must be the guest's (engine/bt/refused.c).
 *
 * usage: test-bt_fuzz [--code 64|32] [PAGES [SEED [LIMIT]]]     LIMIT: instructions, to narrow a difference down
 *        test-bt_fuzz [--code 64|32] --state FILE --blocks N [--minutes M]: until N blocks in all were translated; FILE
 * keeps how far it came */
#include <errno.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bt_scene.h"
#include "bt_wall.h"
#include "engine/bt/show.h"
#include "isa/disasm.h"

#define CHUNK 500 /* pages that one process runs */

struct side {
    struct control_rig k;
    const struct engine_ops *ops;
    void *state;
};

/* As the machine does it, frame by frame. */
static void code_changed(void *opaque, u64 gpa, u64 len)
{
    struct side *s = opaque;
    for (u64 end = gpa + len, n; gpa < end; gpa += n) {
        n = PAGE_SIZE - (gpa & ~PAGE_MASK);
        n = n < end - gpa ? n : end - gpa;
        mem_code_keep(&s->k.rig.m, gpa, s->ops->flush_code(s->state, gpa, n));
    }
}

static u64 no_random(void *opaque)
{
    (void)opaque;
    return 0x123456789abcdef;
}

static bool side_open(struct side *s, const struct engine_ops *ops)
{
    struct error e;
    static struct log quiet;
    if (!control_create(&s->k, CPU_LEVEL_V3))
        return false;
    struct cpu *c = s->k.rig.c;
    s->ops = ops;
    c->wires.log = &quiet;
    c->wires.random = no_random;
    if (ops->attach(c, NULL, &s->state, &e) != STATUS_OK)
        return false;
    s->k.rig.m.code_write = code_changed;
    s->k.rig.m.code_opaque = s;
    return true;
}

static bool same_fpu(const struct fpu *a, const struct fpu *b)
{
    return a->fcw == b->fcw && a->fsw == b->fsw && a->ftw == b->ftw && a->fip == b->fip && a->fdp == b->fdp &&
           a->fop == b->fop && a->mxcsr == b->mxcsr && !memcmp(a->st, b->st, sizeof a->st) &&
           !memcmp(a->ymm, b->ymm, sizeof a->ymm);
}

static bool same_system(const struct cpu *a, const struct cpu *b)
{
    for (unsigned k = 0; k < SEG_COUNT; k++)
        if (a->seg[k].sel != b->seg[k].sel || a->seg[k].base != b->seg[k].base ||
            a->seg[k].limit != b->seg[k].limit || a->seg[k].attr != b->seg[k].attr)
            return false;
    return a->cr0 == b->cr0 && a->cr2 == b->cr2 && a->cr3 == b->cr3 && a->cr4 == b->cr4 &&
           a->efer == b->efer && a->pkru == b->pkru && a->kernel_gs_base == b->kernel_gs_base &&
           a->lstar == b->lstar && a->star == b->star && a->sfmask == b->sfmask && a->xcr0 == b->xcr0 &&
           a->gdt.base == b->gdt.base && a->idt.base == b->idt.base && a->activity == b->activity &&
           a->cpl == b->cpl;
}

static bool same(const struct side *a, const struct side *b)
{
    const struct cpu *x = a->k.rig.c, *y = b->k.rig.c;
    return x->rip == y->rip && x->icount == y->icount && cpu_rflags(x) == cpu_rflags(y) &&
           !memcmp(x->gpr, y->gpr, 16 * sizeof x->gpr[0]) && same_system(x, y) &&
           same_fpu(&x->fpu, &y->fpu) && !memcmp(a->k.rig.m.base, b->k.rig.m.base, MIB(4));
}

static void tell_u64(const char *what, u64 a, u64 b)
{
    if (a != b)
        fprintf(stderr, "%s: %" PRIx64 " %" PRIx64 "\n", what, a, b);
}

static void tell(const struct side *a, const struct side *b)
{
    const struct cpu *x = a->k.rig.c, *y = b->k.rig.c;
    const struct fpu *f = &x->fpu, *g = &y->fpu;
    char name[16];
    fprintf(stderr, "rip %" PRIx64 ", count %" PRIu64 "\n", x->rip, x->icount);
    tell_u64("rip", x->rip, y->rip), tell_u64("count", x->icount, y->icount);
    tell_u64("flags", cpu_rflags(x), cpu_rflags(y)), tell_u64("cr2", x->cr2, y->cr2);
    tell_u64("cr0", x->cr0, y->cr0), tell_u64("cr3", x->cr3, y->cr3), tell_u64("cr4", x->cr4, y->cr4);
    tell_u64("cpl", x->cpl, y->cpl), tell_u64("activity", x->activity, y->activity);
    tell_u64("mxcsr", f->mxcsr, g->mxcsr), tell_u64("fcw", f->fcw, g->fcw), tell_u64("fsw", f->fsw, g->fsw);
    tell_u64("ftw", f->ftw, g->ftw), tell_u64("fip", f->fip, g->fip), tell_u64("fdp", f->fdp, g->fdp);
    tell_u64("fop", f->fop, g->fop), tell_u64("pkru", x->pkru, y->pkru);
    for (unsigned k = 0; k < 16; k++) {
        snprintf(name, sizeof name, "gpr %u", k);
        tell_u64(name, x->gpr[k].q, y->gpr[k].q);
        if (memcmp(f->ymm[k], g->ymm[k], 32))
            fprintf(stderr, "ymm %u\n", k);
        if (memcmp(f->st[k & 7], g->st[k & 7], 16))
            fprintf(stderr, "x87 register %u\n", k & 7);
    }
    for (u64 k = 0; k < MIB(4); k++)
        if (a->k.rig.m.base[k] != b->k.rig.m.base[k]) {
            fprintf(stderr, "memory %" PRIx64 ": %x %x\n", k, a->k.rig.m.base[k], b->k.rig.m.base[k]);
            break;
        }
    for (unsigned s = 0; s < SEG_COUNT; s++) {
        snprintf(name, sizeof name, "segment %u", s);
        tell_u64(name, x->seg[s].sel | (u64)x->seg[s].attr << 16 | (u64)x->seg[s].limit << 32,
                 y->seg[s].sel | (u64)y->seg[s].attr << 16 | (u64)y->seg[s].limit << 32);
        tell_u64(name, x->seg[s].base, y->seg[s].base);
    }
}

/* What a process reports, in memory that it shares with its parent. */
struct report {
    u64 pages, instructions, blocks, scanned, forbidden;
    u64 next; /* the random numbers' state behind the last page */
    u64 differences, broken, canaries;
    u64 faults, stray; /* of translated code on the host; those that are not the guest's */
    u64 low;           /* pages of code that ran with the host's memory at the guest's addresses */
    u64 evictions, evicted, again, revived, repatched; /* as struct bt has them */
    u64 endless;      /* pages that were kicked, and are not compared */
    u64 seed_of_page; /* of the one that runs now */
};

/* The interpreter's last instructions before the limit, to narrow a difference down. */
static void trace(struct side *a, const struct scene *s)
{
    struct error e;
    struct cpu *c = a->k.rig.c;
    char text[128];
    scene_set(s, &a->k);
    code_changed(a, 0, MIB(4));
    for (u64 n = 0; n < s->limit; n++) {
        u8 bytes[15] = {0};
        u64 at = c->rip < 0xfffff000 ? c->rip : s->dense ? c->rip & (MIB(4) - 1) : RIG_CODE | (c->rip & (PAGE_SIZE - 1));
        if (at < MIB(4) - 15)
            memcpy(bytes, a->k.rig.m.base + at, sizeof bytes);
        insn_text(bytes, sizeof bytes, c->code_size, c->rip, text, sizeof text);
        if (n + 40 >= s->limit)
            fprintf(stderr, "%" PRIu64 " %" PRIx64 " %s   flags %" PRIx64 "\n", n, c->rip, text, cpu_rflags(c));
        if (a->ops->run(a->state, n + 1, &e) != RUN_LIMIT)
            break;
    }
}

/* A guest whose handler faults at its first instruction runs for ever and retires nothing: after a while it
 * is kicked. */
static struct watch {
    const struct report *report;
    struct cpu *cpu[2];
    u64 pages;
    unsigned ticks;
    _Atomic bool kicked;
} watch;

static void on_tick(int sig)
{
    (void)sig;
    if (watch.report->pages != watch.pages) {
        watch.pages = watch.report->pages;
        watch.ticks = 0;
    } else if (++watch.ticks > 10) {
        atomic_store(&watch.kicked, true);
        cpu_attend(watch.cpu[0], ATTN_KICK);
        cpu_attend(watch.cpu[1], ATTN_KICK);
    }
}

static void watch_start(const struct report *t, struct cpu *a, struct cpu *b)
{
    struct sigaction on = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct itimerval every = {.it_interval.tv_usec = 50000, .it_value.tv_usec = 50000};
    watch = (struct watch){.report = t, .cpu = {a, b}, .pages = UINT64_MAX};
    sigaction(SIGALRM, &on, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

/* What is drawn beside the scene for the page of SEED: of the seed alone, for one page is to be repeated by itself. */
static u64 drawn(u64 seed)
{
    struct random r = {seed * 0x9e3779b97f4a7c15ull | 1};
    return random_next(&r);
}

/* Bytes of code for the page of SEED: all there is, or hardly more than the room that each region keeps for one block (the part for rare paths is the
 * smaller one), so that every few blocks evict a region. */
static u64 cache_bytes(u64 seed)
{
    u64 n = drawn(seed);
    return n >> 16 & 1 ? BT_CODE_BYTES : align_up((BT_BLOCK_CODE + 64 + (n >> 20) % KIB(2)) * 16 / 7 * BT_REGIONS_LEAST, KIB(1));
}

/* Is the host's memory to lie at the guest's addresses? */
static bool low_mapped(u64 seed)
{
    return drawn(seed) >> 17 & 1;
}

static bool with_rows(u64 seed)
{
    return !(drawn(seed) >> 18 & 1);
}

static void run_pages(struct report *t, unsigned code, u64 pages, u64 seed, u64 limit)
{
    static struct side interp, bt;
    static struct scene s;
    struct wall wall;
    struct error e;
    struct random r = {seed};
    if (!side_open(&interp, &engine_interp) || !side_open(&bt, &engine_bt))
        _exit(3);
    struct bt *b = bt.state;
    b->settings.scan = true;
    if (!wall_build(&wall, b))
        _exit(4);
    const u64 host[] = {(u64)(uintptr_t)b->code,
                        (u64)(uintptr_t)b->code + b->stub_exit,
                        (u64)(uintptr_t)b->code + b->stub_miss[0],
                        (u64)(uintptr_t)b->code + b->stubs_end,
                        (u64)(uintptr_t)b->scratch,
                        (u64)(uintptr_t)b->write,
                        (u64)(uintptr_t)b->blocks,
                        (u64)(uintptr_t)bt.k.rig.m.base,
                        (u64)(uintptr_t)wall.page[0],
                        (u64)(uintptr_t)&bt_show,
                        getauxval(AT_SYSINFO_EHDR),
                        0xffffffff80000000};
    watch_start(t, interp.k.rig.c, bt.k.rig.c);
    if (!wall_filter(b))
        _exit(4);
    t->canaries = wall.n;
    for (u64 n = 0; n < pages && t->differences < 5; n++) {
        t->seed_of_page = r.state;
        s.rows = with_rows(t->seed_of_page);
        scene_make(&s, &r, code, host, ARRAY_LEN(host));
        s.limit = limit ? limit : s.limit;
        scene_set(&s, &interp.k), scene_set(&s, &bt.k);
        code_changed(&interp, 0, MIB(4)), code_changed(&bt, 0, MIB(4));
        if (b->capacity != cache_bytes(t->seed_of_page))
            bt_region_init(b, cache_bytes(t->seed_of_page));
        if (!wall_low(&wall, low_mapped(t->seed_of_page)))
            _exit(4);
        t->low += low_mapped(t->seed_of_page);
        enum run_result x = interp.ops->run(interp.state, s.limit, &e),
                        y = bt.ops->run(bt.state, s.limit, &e);
        if (y == RUN_ERROR)
            fprintf(stderr, "%s\n", e.text);
        bool endless = atomic_exchange(&watch.kicked, false);
        t->endless += endless;
        t->pages++;
        t->instructions += bt.k.rig.c->icount;
        t->next = r.state;
        unsigned broken = wall_broken(&wall);
        t->broken += broken;
        if (broken || b->stray_faults != t->stray)
            fprintf(stderr, "seed %#" PRIx64 ": %u canary pages broken, %" PRIu64 " stray faults\n", t->seed_of_page, broken, b->stray_faults - t->stray);
        t->stray = b->stray_faults;
        if (endless || (x == y && same(&interp, &bt)))
            continue;
        t->differences++;
        fprintf(stderr, "seed %#" PRIx64 ", world %d%s, %s, CPL %u, limit %" PRIu64 ": they differ; runs ended %d %d\n",
                t->seed_of_page, s.world, s.top ? " (top)" : "", s.hostile ? "hostile" : "plain", s.cpl, s.limit, x, y);
        tell(&interp, &bt);
        if (limit)
            trace(&interp, &s);
    }
    for (unsigned k = 0; b->forbidden && k < sizeof b->found; k++)
        fprintf(stderr, k ? " %02x" : "must not be there: %02x", b->found[k]);
    t->faults = b->host_faults;
    t->evictions = b->evictions, t->evicted = b->evicted, t->again = b->again;
    t->revived = b->revived, t->repatched = b->repatched;
    t->blocks = b->translated, t->scanned = b->scanned, t->forbidden = b->forbidden;
    _exit(0);
}

/* A store to WALL_LOW in the place of a translation's first instruction: it is seen without being executed, and ends the run. */
static bool stray_store_found(struct side *bt)
{
    static const u8 store[] = {0x48, 0x89, 0x04, 0x25, WALL_LOW & 0xff, WALL_LOW >> 8 & 0xff, WALL_LOW >> 16, 0};
    struct scene s = {.values = {0}, .limit = 1000, .world = WORLD_64, .noise = {1}};
    struct bt *b = bt->state;
    struct error e;
    memset(s.code, 0x90, sizeof s.code);
    scene_set(&s, &bt->k);
    u64 before = b->stray_faults;
    if (bt->ops->run(bt->state, s.limit, &e) != RUN_LIMIT || b->stray_faults != before)
        return false;
    scene_set(&s, &bt->k);
    u64 forbidden = b->forbidden;
    bt_scan(b, &b->blocks[b->at->first]);
    if (b->forbidden != forbidden)
        return false;
    memcpy(b->write + b->blocks[b->at->first].code, store, sizeof store);
    bt_scan(b, &b->blocks[b->at->first]);
    return b->forbidden > forbidden && bt->ops->run(bt->state, s.limit, &e) == RUN_ERROR && b->stray_faults == before + 1;
}

/* The walls hold: what must end a process ends it, a byte in a canary is seen, a stray store is one where nothing is mapped. */
enum attempt { CALL_IN_CACHE, CALL_ELSEWHERE, CANARY, CANARY_LOW, STRAY_STORE };

static void attempt(enum attempt what)
{
    static struct side bt;
    struct wall wall;
    if (!side_open(&bt, &engine_bt))
        _exit(3);
    struct bt *b = bt.state;
    static const u8 code[] = {0xb8, 1, 0, 0, 0, 0x31, 0xd2, 0x0f, 0x05, 0xc3}; /* write of nothing */
    union {
        void *p;
        void (*fn)(void);
    } call = {.p = b->code + b->at->used};
    memcpy(b->write + b->at->used, code, sizeof code);
    if (!wall_build(&wall, b) || !wall_filter(b))
        _exit(4);
    if (what == STRAY_STORE)
        _exit(wall_low(&wall, false) && stray_store_found(&bt) ? 0 : 5);
    if (what == CANARY || what == CANARY_LOW) {
        unsigned clean = wall_broken(&wall);
        if (what == CANARY)
            b->base[b->bytes + 17] = 1; /* guard page behind the code cache */
        else
            *(volatile u8 *)(uintptr_t)(WALL_LOW_END - 1) = 1;
        _exit(!clean && wall_broken(&wall) == 1 && !wall_broken(&wall) ? 0 : 5);
    }
    if (what == CALL_IN_CACHE)
        call.fn();
    else
        (void)getppid();
    _exit(0);
}

/* Runs RUN in a process of its own; its wait status. */
static int child(void (*run)(void *), void *opaque)
{
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        run(opaque);
        _exit(6);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static void run_attempt(void *opaque)
{
    attempt(*(enum attempt *)opaque);
}

static bool walls_hold(void)
{
    static const struct {
        const char *name;
        int signal;
    } want[] = {[CALL_IN_CACHE] = {"a system call in the code cache", SIGSYS},
                [CALL_ELSEWHERE] = {"getppid outside of it", SIGSYS},
                [CANARY] = {"a byte written behind the code cache", 0},
                [CANARY_LOW] = {"a byte written at a guest's address", 0},
                [STRAY_STORE] = {"a store at a guest's address that is not mapped", 0}};
    bool ok = true;
    for (enum attempt a = CALL_IN_CACHE; a <= STRAY_STORE; a++) {
        int status = child(run_attempt, &a), signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        if (signal == want[a].signal && (signal || WEXITSTATUS(status) == 0))
            continue;
        fprintf(stderr, "%s: not caught (wait status %#x)\n", want[a].name, (unsigned)status);
        ok = false;
    }
    return ok;
}

struct job {
    struct report *report;
    unsigned code;
    u64 pages, seed, limit;
};

static void run_job(void *opaque)
{
    struct job *j = opaque;
    run_pages(j->report, j->code, j->pages, j->seed, j->limit);
}

/* PAGES from SEED on, a process for each chunk; adds to TOTAL. */
static bool run_chunk(struct report *shared, struct report *total, unsigned code, u64 pages, u64 seed, u64 limit)
{
    memset(shared, 0, sizeof *shared);
    struct job j = {shared, code, pages, seed, limit};
    int status = child(run_job, &j);
    total->pages += shared->pages, total->instructions += shared->instructions,
        total->blocks += shared->blocks;
    total->scanned += shared->scanned, total->forbidden += shared->forbidden, total->broken += shared->broken,
        total->endless += shared->endless;
    total->faults += shared->faults, total->stray += shared->stray, total->low += shared->low;
    total->evictions += shared->evictions, total->evicted += shared->evicted, total->again += shared->again;
    total->revived += shared->revived, total->repatched += shared->repatched;
    total->differences += shared->differences, total->canaries = shared->canaries;
    total->next = shared->next ? shared->next : seed;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return !shared->differences && !shared->broken && !shared->forbidden && !shared->stray;
    fprintf(stderr, "seed %#" PRIx64 ": the process ended (%s %d)\n", shared->seed_of_page,
            WIFSIGNALED(status) ? "signal" : "exit status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

static void print_total(const struct report *t)
{
    printf("%" PRIu64 " pages, %" PRIu64 " blocks, %" PRIu64 " instructions; %" PRIu64
           " host instructions scanned, %" PRIu64 " forbidden; %" PRIu64 " of %" PRIu64
           " canaries broken, %" PRIu64 " pages with memory at the guest's addresses; %" PRIu64 " host faults, %" PRIu64 " stray; %" PRIu64 " evictions of %" PRIu64 " blocks, %" PRIu64 " of them again; %" PRIu64
           " revived, %" PRIu64 " with other immediates; %" PRIu64 " endless; %" PRIu64 " differences\n",
           t->pages, t->blocks, t->instructions, t->scanned, t->forbidden, t->broken, t->canaries, t->low, t->faults, t->stray, t->evictions, t->evicted, t->again, t->revived, t->repatched,
           t->endless, t->differences);
}

/* FILE: one line, what print_total counts, and where the random numbers stand. */
static bool state_read(const char *file, struct report *t)
{
    FILE *f = fopen(file, "r");
    bool ok = !f || fscanf(f,
                           "%" SCNu64 " pages %" SCNu64 " blocks %" SCNu64 " instructions %" SCNu64
                           " scanned %" SCNu64 " evictions %" SCNu64 " evicted %" SCNu64 " again %" SCNx64 " next",
                           &t->pages, &t->blocks, &t->instructions, &t->scanned, &t->evictions, &t->evicted, &t->again, &t->next) == 8;
    if (f)
        fclose(f);
    return ok && t->next;
}

static bool state_write(const char *file, const struct report *t)
{
    char new[4096];
    snprintf(new, sizeof new, "%s.new", file);
    FILE *f = fopen(new, "w");
    if (!f)
        return false;
    fprintf(f,
            "%" PRIu64 " pages %" PRIu64 " blocks %" PRIu64 " instructions %" PRIu64 " scanned %" PRIu64 " evictions %" PRIu64 " evicted %" PRIu64
            " again %" PRIx64 " next\n",
            t->pages, t->blocks, t->instructions, t->scanned, t->evictions, t->evicted, t->again, t->next);
    return fclose(f) == 0 && rename(new, file) == 0;
}

static int until(struct report *shared, unsigned code, const char *file, u64 blocks, u64 minutes)
{
    struct report t = {.next = 0x9e3779b97f4a7c15};
    time_t end = time(NULL) + (time_t)minutes * 60;
    bool ok = state_read(file, &t);
    if (!ok)
        fprintf(stderr, "%s: no state of this program\n", file);
    while (ok && t.blocks < blocks && (!minutes || time(NULL) < end)) {
        ok = run_chunk(shared, &t, code, CHUNK, t.next, 0);
        if (ok && !state_write(file, &t)) {
            perror(file);
            ok = false;
        }
    }
    print_total(&t);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *file = NULL;
    u64 blocks = 0, minutes = 0, words[3] = {400, 0x1234567};
    char why[256];
    unsigned n = 0, code = CODE_64 | CODE_32;
    for (int k = 1; k < argc; k++) {
        bool more = k + 1 < argc;
        if (!strcmp(argv[k], "--state") && more)
            file = argv[++k];
        else if (!strcmp(argv[k], "--blocks") && more)
            blocks = strtoull(argv[++k], NULL, 0);
        else if (!strcmp(argv[k], "--code") && more)
            code = !strcmp(argv[++k], "32") ? CODE_32 : CODE_64;
        else if (!strcmp(argv[k], "--minutes") && more)
            minutes = strtoull(argv[++k], NULL, 0);
        else if (n < 3)
            words[n++] = strtoull(argv[k], NULL, 0);
    }
    if (!engine_bt.probe(why, sizeof why)) {
        printf("bt: %s\n", why);
        return 77;
    }
    struct report *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || !walls_hold())
        return 1;
    if (file)
        return until(shared, code, file, blocks, minutes);
    struct report t = {.next = words[1]};
    bool ok = true;
    while (ok && t.pages < words[0])
        ok = run_chunk(shared, &t, code, words[0] - t.pages < CHUNK ? words[0] - t.pages : CHUNK, t.next, words[2]);
    print_total(&t);
    return ok ? 0 : 1;
}
