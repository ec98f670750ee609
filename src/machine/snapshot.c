/* What a resumed run needs to go on exactly: the machine's description (refused where it differs), virtual
 * time and whose turn it is, random numbers, the place in the input log, vCPUs, chips with their timers, the
 * soft TLBs, RAM.
 *
 * Not kept: decoded code (it does not show in the guest), statistics but instruction counts, console output
 * that the host has not taken yet (the run that was saved prints it). Timers that are due at the same
 * nanosecond fire in the chips' order, not in the order in which they were armed. Only
 * --time virtual: under real time a run never repeats, and a stop of the whole machine is not built. */
#include "machine/snapshot.h"

#include <string.h>

#include "base/bits.h"
#include "cpu/model.h"
#include "cpu/tlb.h"
#include "host/file.h"
#include "machine/cpu_image.h"
#include "snap/snap.h"

#define NAME_MAX_LEN 16
#define TIME_MAX     BIT(62) /* nanoseconds; what comes after has room for deadlines */

struct machine_image {
    u8 machine[NAME_MAX_LEN], cpu[NAME_MAX_LEN];
    u64 memory, features;
    u32 cpus;
    bool debug_exit, testdev;
    u64 rtc;
    u64 now, turn_until, fruitless, random[4], resets, input_piece, input_at;
    u32 current;
    bool reset_wanted;
};

#define N(m) FIELD(machine_image, m, 0)
#define A(m) FIELD_ARRAY(machine_image, m, 0)

static const struct field machine_fields[] = {
    A(machine),
    A(cpu),
    N(memory),
    N(cpus),
    N(debug_exit),
    N(testdev),
    N(rtc),
    FIELD_MAX(machine_image, now, 0, TIME_MAX),
    FIELD_MAX(machine_image, turn_until, 0, TIME_MAX),
    N(fruitless),
    A(random),
    N(resets),
    N(input_piece),
    N(input_at),
    N(current),
    N(reset_wanted),
    N(features),
};
static const struct field_table machine_table = {"machine", 2, machine_fields, ARRAY_LEN(machine_fields)};

static void put_name(u8 to[NAME_MAX_LEN], const char *name)
{
    strncpy((char *)to, name, NAME_MAX_LEN - 1);
}

static void machine_describe(struct machine_image *m, const struct vm *vm)
{
    const struct trine_config *c = &vm->config;
    *m = (struct machine_image){
        .memory = c->memory, .cpus = c->cpus, .debug_exit = c->debug_exit, .testdev = c->testdev};
    put_name(m->machine, c->machine ? c->machine : "pc");
    put_name(m->cpu, c->cpu);
    m->features = vm->model->features;
}

static void machine_take(struct machine_image *m, struct vm *vm)
{
    machine_describe(m, vm);
    m->rtc = (u64)vm->config.rtc;
    m->now = clock_now(&vm->clock);
    m->turn_until = vm->turns.until;
    m->fruitless = vm->turns.fruitless;
    memcpy(m->random, vm->random.s, sizeof m->random);
    m->resets = vm->resets;
    m->input_piece = vm_logged_console(vm)->piece;
    m->input_at = vm_logged_console(vm)->at;
    m->current = vm->current->cpu.index;
    m->reset_wanted = vm->reset_wanted;
}

/* --- saving */

static enum status put_state(struct vm *vm, struct snap_writer *w, struct error *e)
{
    struct buffer b = {0};
    struct machine_image m;
    machine_take(&m, vm);
    enum status s = fields_save(&machine_table, &m, &b, e);
    if (s == STATUS_OK && !vm_put_state(vm, &b))
        s = error_set(e, STATUS_HOST, "virtual machine: saving: out of memory");
    if (s == STATUS_OK)
        s = snap_put(w, SNAP_STATE, 0, b.data, b.len, e);
    buffer_free(&b);
    return s;
}

static enum status put_tlbs(struct vm *vm, struct snap_writer *w, struct error *e)
{
    enum status s = STATUS_OK;
    for (u32 i = 0; i < vm->config.cpus && s == STATUS_OK; i++) {
        struct buffer b = {0};
        if (!snap_save_tlb(&vm->vcpus[i].cpu, &b))
            s = error_set(e, STATUS_HOST, "soft TLB: saving: out of memory");
        else
            s = snap_put(w, SNAP_TLB, i, b.data, b.len, e);
        buffer_free(&b);
    }
    return s;
}

enum status vm_save(struct vm *vm, const char *path, struct error *e)
{
    struct snap_writer *w = snap_create(path, e);
    if (!w)
        return e->status;
    enum status s = put_state(vm, w, e);
    if (s == STATUS_OK)
        s = snap_put_ram(w, &vm->mem, e);
    if (s == STATUS_OK)
        s = put_tlbs(vm, w, e);
    if (s == STATUS_OK)
        s = snap_commit(w, e);
    snap_close(w);
    return s;
}

/* --- restoring */

/* Null, or in which respect the machine that was saved is another. */
static const char *machine_differs(const struct machine_image *saved, const struct vm *vm)
{
    struct machine_image own;
    machine_describe(&own, vm);
    return memcmp(saved->machine, own.machine, NAME_MAX_LEN) ? "--machine"
           : memcmp(saved->cpu, own.cpu, NAME_MAX_LEN)       ? "--cpu"
           : saved->features != own.features               ? "the processor's features"
           : saved->memory != own.memory                     ? "--memory"
           : saved->cpus != own.cpus                         ? "--cpus"
           : saved->debug_exit != own.debug_exit             ? "--debug-exit"
           : saved->testdev != own.testdev                   ? "--testdev"
                                                             : NULL;
}

static enum status machine_put(const struct machine_image *m, struct vm *vm, const char *path,
                               struct error *e)
{
    const char *differs = machine_differs(m, vm);
    struct console *c = vm_logged_console(vm);
    if (differs && !strcmp(differs, "--memory"))
        return error_set(
            e, STATUS_USAGE, "%s: saved from a machine with --memory %lluK, and this one has %lluK", path,
            (unsigned long long)(m->memory >> 10), (unsigned long long)(vm->config.memory >> 10));
    if (differs)
        return error_set(e, STATUS_USAGE, "%s: saved from another machine: %s differs", path, differs);
    if (m->input_piece > c->log.n ||
        (m->input_piece < c->log.n ? m->input_at >= c->log.pieces[m->input_piece].len : m->input_at > 0))
        return error_set(e, STATUS_USAGE,
                         "%s: its run had taken %llu lines of an input log, which --input-log must name",
                         path, (unsigned long long)m->input_piece);
    if (m->current >= vm->config.cpus || !(m->random[0] | m->random[1] | m->random[2] | m->random[3]) ||
        m->rtc > RTC_MAX_S)
        return error_set(e, STATUS_HOST, "%s: corrupt: machine: a value is out of range", path);
    vm->config.rtc = (i64)m->rtc;
    vm->turns = (struct turns){.until = m->turn_until, .fruitless = m->fruitless, .refilled_ns = m->now};
    memcpy(vm->random.s, m->random, sizeof m->random);
    vm->resets = m->resets;
    vm->reset_wanted = m->reset_wanted;
    c->piece = (size_t)m->input_piece;
    c->at = (size_t)m->input_at;
    vm->current = &vm->vcpus[m->current];
    return STATUS_OK;
}

/* What no guest can bring about, and the rest of the program relies on. */
static bool cpu_possible(const struct cpu_image *m, const struct cpu_model *model, u64 now)
{
    bool pe = m->cr0 & CR0_PE, pg = m->cr0 & CR0_PG, lma = m->efer & EFER_LMA, lme = m->efer & EFER_LME;
    bool vm86 = m->rflags & RFLAGS_VM;
    return m->icount <= now && (pe || !pg) && lma == (lme && pg) && (!lma || m->cr4 & CR4_PAE) &&
           !(vm86 && (lma || !pe)) && !(m->mxcsr & ~0xffffu) && !(m->cr3 >> MEM_PHYS_BITS) && !(m->cr0 >> 32) &&
           !(m->cr4 & ~model->cr4_mask) && m->xcr0 & 1 && !(m->xcr0 & ~(model->xcr0_mask | 1)) &&
           (lma ? cpu_canonical(m->rip) : !(m->rip >> 32));
}

static enum status take_cpus(struct vm *vm, u64 now, const char *path, struct buffer *in, struct error *e)
{
    struct cpu_image image;
    for (u32 i = 0; i < vm->config.cpus; i++) {
        if (fields_restore(&cpu_image_table, &image, in, e) != STATUS_OK)
            return e->status;
        if (!cpu_possible(&image, vm->model, now))
            return error_set(e, STATUS_HOST, "%s: corrupt: no processor has such registers", path);
        cpu_image_put(&image, &vm->vcpus[i].cpu);
    }
    return STATUS_OK;
}

/* Time first, which the chips ask for; the chips last, as they raise interrupts. */
static enum status take_state(struct vm *vm, const char *path, const struct snap_record *rec, struct error *e)
{
    struct buffer in = {.data = (u8 *)(uintptr_t)rec->data, .len = rec->len};
    struct machine_image m;
    struct error own;
    u8 time[VM_TIME_BYTES];
    if (fields_restore(&machine_table, &m, &in, &own) != STATUS_OK)
        return error_set(e, STATUS_HOST, "%s: corrupt: %s", path, own.text);
    if (machine_put(&m, vm, path, e) != STATUS_OK)
        return e->status;
    if (take_cpus(vm, m.now, path, &in, &own) != STATUS_OK) {
        *e = own;
        return e->status;
    }
    vm->base = m.now - vm->current->cpu.icount;
    if (pc_restore(&vm->pc, &in, &own) != STATUS_OK)
        return error_set(e, STATUS_HOST, "%s: corrupt: %s", path, own.text);
    atomic_store(&vm->mem.a20, pc_a20_mask(&vm->pc));
    if (!buffer_get(&in, time, sizeof time) || in.pos != in.len)
        return error_set(e, STATUS_HOST, "%s: corrupt: the state has the wrong size", path);
    return STATUS_OK;
}

static enum status take_record(struct vm *vm, const char *path, const struct snap_record *rec, u32 *tlbs,
                               struct error *e)
{
    bool ok = false;
    if (rec->kind == SNAP_RAM)
        ok = snap_take_ram(&vm->mem, rec);
    else if (rec->kind == SNAP_TLB)
        ok = rec->at == *tlbs && *tlbs < vm->config.cpus && snap_take_tlb(&vm->vcpus[(*tlbs)++].cpu, rec);
    return ok ? STATUS_OK : error_set(e, STATUS_HOST, "%s: corrupt: record of kind %u", path, rec->kind);
}

static enum status take_all(struct vm *vm, struct snap_reader *r, struct error *e)
{
    struct snap_record rec;
    u32 tlbs = 0;
    if (snap_next(r, &rec, e) != STATUS_OK)
        return e->status;
    if (rec.kind != SNAP_STATE)
        return error_set(e, STATUS_HOST, "%s: corrupt: the state does not come first", r->name);
    if (take_state(vm, r->name, &rec, e) != STATUS_OK || snap_clear_ram(&vm->mem, e) != STATUS_OK)
        return e->status;
    while (snap_next(r, &rec, e) == STATUS_OK) {
        if (rec.kind == SNAP_END)
            return tlbs == vm->config.cpus
                       ? STATUS_OK
                       : error_set(e, STATUS_HOST, "%s: corrupt: a soft TLB is missing", r->name);
        if (take_record(vm, r->name, &rec, &tlbs, e) != STATUS_OK)
            break;
    }
    return e->status;
}

enum status vm_restore(struct vm *vm, const char *path, struct error *e)
{
    struct file f;
    struct snap_reader r;
    if (!vm->is_virtual)
        return error_set(e, STATUS_USAGE, "%s: a snapshot needs --time virtual", path);
    if (vm->config.reboot && !vm->boot.kernel)
        return error_set(e, STATUS_USAGE, "%s: --reboot needs --kernel, which a reset loads again", path);
    if (file_open(&f, path, vm->config.memory + MIB(64), e) != STATUS_OK)
        return e->status;
    enum status s = snap_open(&r, path, f.fd, f.size, e);
    if (s == STATUS_OK)
        s = take_all(vm, &r, e);
    snap_reader_free(&r);
    file_close(&f);
    return s;
}
