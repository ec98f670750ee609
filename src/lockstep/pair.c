#include "lockstep/pair.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/cpu_image.h"
#include "machine/snapshot.h"
#include "snap/snap.h"

#define BLOCK_LONGEST 48
#define QUICK_MAX     256 /* comparisons without the chips, while there are no exits */

/* --- snapshots without a name */

static enum status nameless_snapshot(struct vm *vm, int *fd, struct error *e)
{
    const char *dir = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/trine-check-XXXXXX", dir && *dir ? dir : "/tmp");
    int made = mkostemp(path, O_CLOEXEC);
    if (made < 0)
        return error_errno(e, "%s", path);
    close(made);
    lock_take(&vm->lock);
    enum status s = vm_save(vm, path, e); /* puts a new file in its place */
    lock_release(&vm->lock);
    *fd = s == STATUS_OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (s == STATUS_OK && *fd < 0)
        s = error_errno(e, "%s", path);
    unlink(path);
    return s;
}

void origin_drop(struct origin *o)
{
    if (o->fd >= 0)
        close(o->fd);
    *o = (struct origin){.fd = -1};
}

enum status origin_take(struct origin *o, struct pair *p, struct error *e)
{
    int fd;
    if (nameless_snapshot(p->vm[0], &fd, e) != STATUS_OK)
        return e->status;
    origin_drop(o);
    *o = (struct origin){.fd = fd, .time = pair_time(p)};
    return STATUS_OK;
}

/* --- making */

static enum status machine_make(struct pair *p, unsigned n, int fd, bool console, struct error *e)
{
    struct trine_config c = *p->config;
    char path[40];
    c.max_time_s = 0; /* the host's clock must end neither */
    c.saves_n = 0;
    c.gdb = c.trace = NULL;
    if (!console || c.serial == TRINE_SERIAL_STDIO)
        c.serial = TRINE_SERIAL_NONE;
    if (!console || c.console_to == TRINE_SERIAL_STDIO)
        c.console_to = TRINE_SERIAL_NONE;
    if (!console)
        c.record_input = NULL;
    c.quiet |= !console;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd >= 0) {
        c.restore = path;
        if (!c.reboot)
            c.kernel = NULL;
    }
    if (vm_create(&c, p->engine[n], &p->vm[n], e) != STATUS_OK)
        return e->status;
    struct vm *vm = p->vm[n];
    vm->config.restore = NULL; /* PATH does not live on */
    if (vm_start(vm, e) != STATUS_OK)
        return e->status;
    vm_attach_all(vm);
    vm->exit_log.on = true;
    return STATUS_OK;
}

static void machine_drop(struct vm **vm)
{
    struct trine_result r;
    struct error e;
    if (*vm && (*vm)->ran)
        vm_finish(*vm, &r, &e);
    vm_destroy(*vm);
    *vm = NULL;
}

enum status pair_make(struct pair *p, const struct origin *o, bool first, struct error *e)
{
    pair_drop(p);
    p->resumed = false;
    p->origin_time = o->time;
    for (unsigned n = 0; n < 2; n++)
        if (machine_make(p, n, o->fd, first && !n, e) != STATUS_OK)
            return e->status;
    return STATUS_OK;
}

void pair_drop(struct pair *p)
{
    for (unsigned n = 0; n < 2; n++) {
        machine_drop(&p->vm[n]);
        buffer_free(&p->state[n]);
        buffer_free(&p->tlb[n]);
    }
}

/* --- moving */

static enum status pair_alive(struct pair *p, struct error *e)
{
    for (unsigned n = 0; n < 2; n++)
        if (p->vm[n]->failure != STATUS_OK) {
            *e = p->vm[n]->error;
            return e->status;
        }
    return STATUS_OK;
}

/* The second machine becomes what a snapshot of it resumes to; what it saw of exits stays. */
static enum status resume_second(struct pair *p, struct error *e)
{
    int fd;
    struct exit_log log = p->vm[1]->exit_log;
    if (nameless_snapshot(p->vm[1], &fd, e) != STATUS_OK)
        return e->status;
    machine_drop(&p->vm[1]);
    enum status s = machine_make(p, 1, fd, false, e);
    close(fd);
    if (s == STATUS_OK)
        p->vm[1]->exit_log = log;
    p->resumed = true;
    return s;
}

static enum status both_to(struct pair *p, u64 time, struct error *e)
{
    for (unsigned n = 0; n < 2; n++)
        vm_run_to(p->vm[n], time);
    return pair_alive(p, e);
}

enum status pair_run_to(struct pair *p, u64 time, struct error *e)
{
    u64 resume = p->check->resume;
    if (resume && !p->resumed && resume > p->origin_time && resume <= time) {
        if (both_to(p, resume, e) != STATUS_OK)
            return e->status;
        if (!pair_ended(p) && resume_second(p, e) != STATUS_OK)
            return e->status;
    }
    return both_to(p, time, e);
}

enum status pair_run_exit(struct pair *p, u64 time, struct error *e)
{
    p->vm[0]->exit_log.stop = true;
    vm_run_to(p->vm[0], time);
    p->vm[0]->exit_log.stop = false;
    return pair_run_to(p, pair_time(p), e);
}

/* Any engine's block ends where RIP does not go on to what lies behind; so this asks none for its own. */
enum status pair_run_block(struct pair *p, u64 time, struct error *e)
{
    struct vm *vm = p->vm[0];
    for (unsigned i = 0; i < BLOCK_LONGEST && pair_time(p) < time && !vm->ended; i++) {
        u64 rip = vm->current->cpu.rip;
        vm_run_to(vm, pair_time(p) + 1);
        vm->engine->pull(vm->current->engine);
        if (vm->current->cpu.rip - rip - 1 >= 15)
            break;
    }
    return pair_run_to(p, pair_time(p), e);
}

enum status pair_settle(struct pair *p, struct error *e)
{
    for (unsigned n = 0; n < 2; n++)
        vm_settle(p->vm[n]);
    return pair_alive(p, e);
}

/* --- comparing */

static bool same_bytes(const struct buffer *a, const struct buffer *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

static bool take_tlbs(struct vm *vm, struct buffer *b)
{
    for (u32 i = 0; i < vm->config.cpus; i++)
        if (!snap_save_tlb(&vm->vcpus[i].cpu, b))
            return false;
    return true;
}

static bool same_end(const struct vm *a, const struct vm *b)
{
    const struct trine_result *x = &a->result, *y = &b->result;
    return a->ended == b->ended &&
           (!a->ended || (x->end == y->end && x->rip == y->rip &&
                          x->debug_exit_value == y->debug_exit_value && !strcmp(x->detail, y->detail)));
}

/* vCPUs alone, without the detour over bytes: a tenth of the time. */
static bool cpus_differ(struct pair *p)
{
    struct cpu_image image[2];
    for (u32 i = 0; i < p->vm[0]->config.cpus; i++) {
        for (unsigned n = 0; n < 2; n++) {
            struct vm *vm = p->vm[n];
            vm->engine->pull(vm->vcpus[i].engine);
            cpu_image_take(&image[n], &vm->vcpus[i].cpu);
        }
        if (memcmp(&image[0], &image[1], sizeof image[0]))
            return true;
    }
    return false;
}

/* Nothing but the vCPUs can have moved much, and they agree. */
static bool agree_quickly(struct pair *p)
{
    const struct vm *a = p->vm[0], *b = p->vm[1];
    u64 exits = a->exit_log.count;
    bool due = exits != p->exits_seen || p->quick++ >= QUICK_MAX || p->check->tlb;
    if (due || a->ended || b->ended || exits != b->exit_log.count ||
        clock_now(&a->clock) != clock_now(&b->clock)) {
        p->exits_seen = exits;
        p->quick = 0;
        return false;
    }
    return !cpus_differ(p);
}

enum status pair_differs(struct pair *p, bool ram, u32 *differ, struct error *e)
{
    struct vm *a = p->vm[0], *b = p->vm[1];
    u64 gpa = 0;
    *differ = 0;
    if (!ram && agree_quickly(p))
        return STATUS_OK;
    for (unsigned n = 0; n < 2; n++) {
        p->state[n].len = p->tlb[n].len = 0;
        if (!vm_put_state(p->vm[n], &p->state[n]) || (p->check->tlb && !take_tlbs(p->vm[n], &p->tlb[n])))
            return error_set(e, STATUS_HOST, "check: out of memory");
    }
    *differ =
        (same_end(a, b) ? 0u : DIFFER_END) |
        (clock_now(&a->clock) == clock_now(&b->clock) ? 0u : DIFFER_TIME) |
        (same_bytes(&p->state[0], &p->state[1]) ? 0u : DIFFER_STATE) |
        (a->exit_log.count == b->exit_log.count && a->exit_log.hash == b->exit_log.hash ? 0u : DIFFER_EXITS) |
        (same_bytes(&p->tlb[0], &p->tlb[1]) ? 0u : DIFFER_TLB);
    if (ram && !mem_compare(&a->mem, &b->mem, &gpa))
        *differ |= DIFFER_RAM;
    return STATUS_OK;
}
