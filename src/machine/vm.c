/* Making a machine, resetting it, ending it. Running it: run.c, run_virtual.c. */
#include "machine/vm.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu/machine_check.h"
#include "cpu/model.h"
#include "cpu/tlb.h"
#include "host/clock.h"
#include "host/entropy.h"
#include "host/rss.h"
#include "host/tty.h"
#include "machine/balloon.h"
#include "machine/config.h"
#include "machine/confinement.h"
#include "machine/console/display.h"
#include "machine/console/text_display.h"
#include "machine/pc_map.h"
#include "machine/sharing.h"
#include "machine/snapshot.h"

#define MIN_PERIOD_NS 20000      /* real time: how often one periodic timer may wake the host */
#define VIRTIO_LATENCY_NS 20000 /* virtual time: from a notification to its turn */

/* --- time */

static u64 vm_now(void *opaque)
{
    const struct vm *vm = opaque;
    if (vm->is_virtual)
        return vm->base + vm->current->cpu.icount;
    return vm->epoch_ns ? (vm->paused ? vm->paused_at : host_ns()) - vm->epoch_ns : 0;
}

/* A chip armed a timer before all others: whoever sleeps or runs towards a later one must know. */
static void clock_earlier(void *opaque)
{
    struct vm *vm = opaque;
    u64 next = clock_next(&vm->clock);
    if (vm->is_virtual) {
        if (next < vm->run_until) {
            vm->run_until = next;
            vcpu_attend(vm->current, ATTN_KICK);
        }
    } else if (next < vm->loop_deadline) {
        vm->loop_deadline = next;
        wake_post(&vm->wake);
    }
}

u64 vm_max_time(const struct vm *vm)
{
    double ns = vm->config.max_time_s * 1e9;
    return ns > 0 && ns < 9e18 ? vm->started_ns + (u64)ns : UINT64_MAX;
}

/* --- wires */

static void vm_lock(void *opaque, struct cpu *c)
{
    struct vm *vm = opaque;
    vcpu_lock(&vm->vcpus[c->index]);
}

static void vm_unlock(void *opaque, struct cpu *c)
{
    struct vm *vm = opaque;
    vcpu_unlock(&vm->vcpus[c->index]);
}

static bool vm_private_mmio(void *opaque, struct cpu *c, struct exit *x)
{
    struct vm *vm = opaque;
    struct vcpu *v = &vm->vcpus[c->index];
    bool borrow = irqchip_kept(&vm->pc.apic) && (x->addr ^ vm->pc.lapics[c->index].apic_base) >> PAGE_SHIFT == 0;
    if (borrow)
        irqchip_borrow(v);
    bool mine = pc_private_mmio(&vm->pc, c->index, x);
    if (borrow)
        irqchip_give_back(v);
    return mine;
}

/* A device on the loop's thread beside a single vCPU: V itself drops the frame before it goes on. What the guest learns of the write
 * by (an interrupt, a ring's index) it looks at after that, or it raced with its own device. */
static void vcpu_stale(struct vcpu *v, u64 gpa)
{
    struct stale_code *s = &v->stale;
    gpa &= PAGE_MASK;
    for (size_t i = 0; i < s->n && i < 16; i++)
        if (s->gpas[s->n - 1 - i] == gpa)
            return;
    if (s->n == s->cap) {
        u64 *more = realloc(s->gpas, (s->cap + 1024) * sizeof *more);
        struct error e;
        if (!more) {
            error_set(&e, STATUS_HOST, "decoded code: out of memory");
            vm_fail(v->vm, &e);
            return;
        }
        s->gpas = more;
        s->cap += 1024;
    }
    s->gpas[s->n++] = gpa;
    vcpu_attend(v, ATTN_KICK);
}

/* The one vCPU runs on a thread of its own, and this is not it: then it may be running, unless the loop is at something else. */
static bool written_beside_vcpu(const struct vm *vm)
{
    return !vm->concurrent && atomic_load(&vm->vcpus[0].thread_id) != thread_self() && vm->devices_at_work;
}

/* mem->code_write: the decoded code of this range is wrong, on every vCPU. FRAME_CODE goes with the last of it. */
static void vm_code_write(void *opaque, u64 gpa, u64 len)
{
    struct vm *vm = opaque;
    if (written_beside_vcpu(vm)) {
        for (u64 p = gpa & PAGE_MASK; p < gpa + len; p += PAGE_SIZE)
            if (atomic_load(&vm->vcpus[0].attached) && mem_frame_flags(&vm->mem, p) & FRAME_CODE)
                vcpu_stale(&vm->vcpus[0], p);
        return;
    }
    exclusive_begin(vm);
    for (u64 end = gpa + len, n; gpa < end; gpa += n) {
        n = PAGE_SIZE - (gpa & ~PAGE_MASK);
        n = n < end - gpa ? n : end - gpa;
        u64 kept = 0;
        if (!(mem_frame_flags(&vm->mem, gpa) & FRAME_CODE))
            continue;
        for (u32 i = 0; i < vm->config.cpus; i++)
            if (atomic_load(&vm->vcpus[i].attached))
                kept |= vm->engine->flush_code(vm->vcpus[i].engine, gpa, n);
        mem_code_keep(&vm->mem, gpa, kept);
    }
    exclusive_end(vm);
}

static void apic_signal(void *opaque, unsigned cpu, enum apic_signal signal, u8 vector)
{
    static const u32 bits[] = {
        [APIC_SIGNAL_INTR] = ATTN_INTR, [APIC_SIGNAL_NMI] = ATTN_NMI,      [APIC_SIGNAL_SMI] = ATTN_SMI,
        [APIC_SIGNAL_INIT] = ATTN_INIT, [APIC_SIGNAL_STARTUP] = ATTN_SIPI,
    };
    struct vm *vm = opaque;
    struct vcpu *v = &vm->vcpus[cpu];
    /* A SIPI counts only behind an INIT; cpu/event.c drops those that come in another state. */
    if (signal == APIC_SIGNAL_INIT)
        atomic_fetch_and(&v->cpu.attention, ~(u32)ATTN_SIPI);
    if (signal == APIC_SIGNAL_STARTUP)
        v->cpu.sipi_vector = vector;
    vcpu_attend(v, bits[signal]);
}

/* Its own thread asks: the TSC's offset is that vCPU's. */
static u64 apic_tsc_ns(void *opaque, unsigned cpu, u64 tsc)
{
    const struct vm *vm = opaque;
    u64 now = clock_now(&vm->clock), tsc_now = now + vm->vcpus[cpu].cpu.tsc_offset;
    if (tsc <= tsc_now)
        return now;
    return tsc - tsc_now < TIME_NEVER - now ? now + (tsc - tsc_now) : TIME_NEVER;
}

void vm_want_reset(struct vm *vm)
{
    vm->reset_wanted = true;
    vm_kick_all(vm);
}

static void line_reset(void *opaque, const char *cause)
{
    struct vm *vm = opaque;
    if (vm->config.reboot)
        vm_want_reset(vm);
    else
        vm_end(vm, TRINE_END_RESET, "reset by %s", cause);
}

static void line_poweroff(void *opaque)
{
    vm_end(opaque, TRINE_END_POWEROFF, "powered off");
}

static void line_debug_exit(void *opaque, u32 value)
{
    struct vm *vm = opaque;
    if (!vm->ended)
        vm->result.debug_exit_value = value;
    vm_end(vm, TRINE_END_DEBUG_EXIT, "debug exit with value %u", value);
}

static void line_smi(void *opaque)
{
    /* The bootstrap processor alone, as QEMU's pc wires the PIIX4: SeaBIOS moves the SMBASE of no other. */
    struct vm *vm = opaque;
    vcpu_attend(&vm->vcpus[0], ATTN_SMI);
}

static void line_machine_check(void *opaque, u32 cpu, u32 bank, u32 mcg_status, const u64 regs[3])
{
    struct vm *vm = opaque;
    const struct mc_error e = {
        .bank = bank, .mcg_status = mcg_status, .status = regs[0], .addr = regs[1], .misc = regs[2]};
    if (cpu >= vm->config.cpus || !machine_check_inject(&vm->vcpus[cpu].cpu, &e))
        log_guest(&vm->log, "machine check for bank %u of CPU %u is dropped", bank, cpu);
    else
        vcpu_attend(&vm->vcpus[cpu], ATTN_MC);
}

/* What the processors translated is void: for the one whose exit this is before its next instruction. */
static void drop_translations(struct vm *vm)
{
    for (u32 i = 0; i < vm->config.cpus; i++)
        if (vm->is_virtual || &vm->vcpus[i] == vm->serving)
            tlb_flush_all(&vm->vcpus[i].cpu);
        else
            vcpu_attend(&vm->vcpus[i], ATTN_A20);
}

/* The gate stands between the processors and the bus. */
static void line_a20(void *opaque, bool enabled)
{
    struct vm *vm = opaque;
    u64 mask = pc_a20_mask(&vm->pc);
    (void)enabled; /* one of two wires */
    if (atomic_exchange(&vm->mem.a20, mask) != mask)
        drop_translations(vm);
}

static void line_shadow(void *opaque)
{
    drop_translations(opaque);
}

static i64 vm_wall_ns(void *opaque)
{
    const struct vm *vm = opaque;
    return vm->is_virtual ? vm->config.rtc * (i64)NS_PER_S + (i64)clock_now(&vm->clock) : host_wall_ns();
}

/* --- making it */

static bool vm_is_microvm(const struct vm *vm)
{
    return vm->config.machine && !strcmp(vm->config.machine, "microvm");
}

static const char *const level_names[] = {
    [CPU_LEVEL_V1] = "v1", [CPU_LEVEL_V2] = "v2", [CPU_LEVEL_V3] = "v3", [CPU_LEVEL_HOST] = "host"};

/* What all engines can offer that may run this guest. */
static u64 vm_features(const struct vm *vm)
{
    return switches_features(vm, engines_features(vm->engine));
}

/* The level called NAME; null: the highest that all engines usable here can keep. */
static enum status choose_level(const char *name, u64 features, enum cpu_level *level, struct error *e)
{
    u64 lacking = ~features;
    for (*level = CPU_LEVEL_V1; *level <= CPU_LEVEL_HOST; (*level)++)
        if (name && !strcmp(name, level_names[*level]))
            return cpu_level_needs(*level) & lacking
                       ? error_set(e, STATUS_UNSUPPORTED, "cpu %s: the host's processor lacks a part of it", name)
                       : STATUS_OK;
    if (name)
        return error_set(e, STATUS_USAGE, "cpu %s: no such model", name);
    for (*level = CPU_LEVEL_V3; cpu_level_needs(*level) & lacking; (*level)--)
        ;
    return STATUS_OK;
}

static void *alloc_zeroed(size_t size)
{
    size = (size + 63) & ~(size_t)63;
    void *p = aligned_alloc(64, size);
    return p ? memset(p, 0, size) : NULL;
}

static enum status make_vcpus(struct vm *vm, enum cpu_level level, struct error *e)
{
    u32 n = vm->config.cpus;
    vm->config.cpu = level_names[level];
    vm->model = cpu_model_create_within(level, n, MEM_PHYS_BITS, vm_features(vm));
    if (vm->model && vm->config.pv_kvm)
        cpu_model_offer_kvm(vm->model, pv_kvm_features());
    vm->vcpus = alloc_zeroed(n * sizeof *vm->vcpus);
    vm->current = vm->vcpus;
    if (!vm->model || !vm->vcpus)
        return error_set(e, STATUS_HOST, "vCPUs: out of memory");
    for (u32 i = 0; i < n; i++) {
        struct vcpu *v = &vm->vcpus[i];
        v->vm = vm;
        v->go = GDB_GO;
        v->run_delay_fd = -1;
        v->cpu.index = i;
        v->cpu.company = n == 1 ? CPU_ALONE : vm->is_virtual ? CPU_TURNS : CPU_CONCURRENT;
        v->cpu.tlb = tlb_create();
        if (!v->cpu.tlb)
            return error_set(e, STATUS_HOST, "vCPUs: out of memory");
        if (cond_init(&v->wake, e) != STATUS_OK)
            return e->status;
        vcpu_wire(v);
    }
    return STATUS_OK;
}

static u64 vm_stolen_ns(void *opaque, u32 index)
{
    struct vm *vm = opaque;
    return thread_run_delay(&vm->vcpus[index].run_delay_fd);
}

/* KVM's interface, as far as CPUID offers it. */
static enum status make_pv(struct vm *vm, struct error *e)
{
    for (u32 i = 0; i < vm->config.cpus && vm->config.pv_kvm; i++) {
        vm->vcpus[i].pv = (struct pv_kvm){.mem = &vm->mem,
                                          .clock = &vm->clock,
                                          .log = &vm->log,
                                          .wall_ns = vm_wall_ns,
                                          .stolen_ns = vm->is_virtual ? NULL : vm_stolen_ns,
                                          .opaque = vm,
                                          .index = i};
        if (pc_plug(&vm->pc, &pv_kvm_ops, &vm->vcpus[i].pv, e) != STATUS_OK)
            return e->status;
    }
    return STATUS_OK;
}

static u64 vm_hypercall(void *opaque, struct cpu *c, const struct exit *x)
{
    struct vm *vm = opaque;
    return pv_kvm_hypercall(&vm->vcpus[c->index].pv, x->addr, x->args);
}

static u64 vm_random(void *opaque)
{
    struct vm *vm = opaque;
    return vm->is_virtual ? random_next(&vm->random) : entropy_u64();
}

struct console *vm_logged_console(struct vm *vm)
{
    return vm->config.console && vm->config.console_logged ? &vm->hvc : &vm->console;
}

static enum status make_consoles(struct vm *vm, struct error *e)
{
    const struct trine_config *cfg = &vm->config;
    bool hvc_logs = vm_logged_console(vm) == &vm->hvc;
    const struct console_end serial = {.name = "serial", .kind = cfg->serial, .path = cfg->serial_path, .logs = !hvc_logs};
    const struct console_end hvc = {
        .name = "console", .kind = cfg->console ? cfg->console_to : TRINE_SERIAL_NONE, .path = cfg->console_path, .logs = hvc_logs};
    if (console_init(&vm->console, cfg, &serial, &vm->clock, &vm->wake, &vm->stop_wanted, e) != STATUS_OK)
        return e->status;
    return console_init(&vm->hvc, cfg, &hvc, &vm->clock, &vm->wake, &vm->stop_wanted, e);
}

static enum status make_chips(struct vm *vm, struct error *e)
{
    const struct pc_config cfg = {
        .cpus = vm->config.cpus,
        .x2apic = vm->model->features >> FEAT_X2APIC & 1,
        .debug_exit = vm->config.debug_exit,
        .testdev = vm->config.testdev,
        .firmware = vm->firmware.present,
        .microvm = vm_is_microvm(vm),
    };
    const struct pc_wires wires = {
        .mem = &vm->mem,
        .clock = &vm->clock,
        .serial = console_backend(&vm->console),
        .rtc = {.wall_ns = vm_wall_ns, .opaque = vm},
        .apic = {.signal = apic_signal, .tsc_ns = apic_tsc_ns, .opaque = vm},
        .lines = {.reset = line_reset,
                  .poweroff = line_poweroff,
                  .debug_exit = line_debug_exit,
                  .smi = line_smi,
                  .a20 = line_a20,
                  .shadow = line_shadow,
                  .opaque = vm},
        .machine_check = line_machine_check,
    };
    enum status s = pc_init(&vm->pc, &cfg, &wires, e);
    if (s != STATUS_OK)
        return s;
    vm->console.chip = pc_console(&vm->pc);
    if (vm->config.switches_n) {
        vm->console.seen = switch_console;
        vm->console.seen_opaque = vm;
    }
    const struct virtio_wires virtio = {.mem = &vm->mem,
                                        .clock = &vm->clock,
                                        .log = &vm->log,
                                        .latency_ns = vm->is_virtual ? VIRTIO_LATENCY_NS : 0};
    const struct devices_sources sources = {.random = vm_random,
                                            .balloon_changed = balloon_changed,
                                            .opaque = vm,
                                            .console = console_backend(&vm->hvc),
                                            .console_sized = !vm->is_virtual && vm->hvc.host.terminal,
                                            .confine = vm->confine};
    s = devices_init(&vm->devices, &vm->config, &vm->pc, &virtio, &sources, e);
    if (s == STATUS_OK && vm->devices.console)
        vm->hvc.chip = devices_console(&vm->devices);
    return s;
}

static enum status load_firmware(struct vm *vm, struct error *e)
{
    char order[FIRMWARE_BOOT_ORDER];
    const struct firmware_config cfg = {.boot = vm->boot,
                                        .serial_console = vm->config.serial != TRINE_SERIAL_NONE,
                                        .boot_order = devices_boot_order(&vm->devices, order, sizeof order)};
    return firmware_install(&vm->firmware, &vm->pc, &cfg, e);
}

/* Pages that are shared or paged are mapped one by one: no huge ones there. Asked for too much ahead of time, the host would kill somebody rather than refuse. */
static enum status back_memory(struct vm *vm, struct error *e)
{
    u64 total, available;
    if (!vm->config.share)
        mem_huge(&vm->mem);
    if (!vm->config.prealloc)
        return STATUS_OK;
    if (host_memory(&total, &available) && vm->mem.size > available)
        return error_set(e, STATUS_HOST, "memory %lluM,prealloc: the host has %lluM left", (unsigned long long)(vm->mem.size >> 20),
                         (unsigned long long)(available >> 20));
    return mem_prealloc(&vm->mem, e);
}

struct engine_machine vm_for_engine(struct vm *vm)
{
    return (struct engine_machine){
        .mem = &vm->mem, .log = &vm->log, .model = vm->model, .cpus = vm->config.cpus, .irqchip = irqchip_choice(vm)};
}

static enum status vm_make(struct vm *vm, const struct trine_config *cfg, const struct engine_ops *engine,
                           struct error *e)
{
    enum cpu_level level = CPU_LEVEL_V1;
    enum status s;
    vm->config = *cfg;
    vm->engine = engine;
    vm->pause_at = UINT64_MAX;
    vm->is_virtual = cfg->time == TRINE_TIME_VIRTUAL;
    vm->concurrent = !vm->is_virtual && cfg->cpus > 1;
    vm->stoppable = vm->concurrent || cfg->share;
    vm->mem.fd = vm->wake.fd = vm->doorbells.wake.fd = -1;
    vm->own_status = rss_open();
    vm->clock = (struct clock){.now = vm_now,
                               .earlier = clock_earlier,
                               .opaque = vm,
                               .min_period_ns = vm->is_virtual ? 0 : MIN_PERIOD_NS};
    vm->boot = (struct boot_config){
        .kernel = cfg->kernel,
        .initrd = cfg->initrd,
        .append = cfg->append,
        .files = &vm->boot_files,
        .platform = {.cpus = cfg->cpus,
                     .pci = !vm_is_microvm(vm),
                     .vga = cfg->firmware,
                     .virtio_mmio = vm_is_microvm(vm) ? PC_VIRTIO_MMIOS : 0}};
    vm->exits = (struct exit_target){.mem = &vm->mem,
                                     .lock = vm_lock,
                                     .unlock = vm_unlock,
                                     .private_mmio = vm_private_mmio,
                                     .hypercall = vm_hypercall,
                                     .opaque = vm,
                                     .host_ns = host_ns};
    random_seed(&vm->random, cfg->seed);
    log_init(&vm->log);
    vm->log.sink = tty_log_sink;
    vm->log.mask = cfg->quiet ? 0 : 1u << LOG_OPERATOR | 1u << LOG_GUEST;
    if ((s = config_check(cfg, engine, e)) != STATUS_OK || (s = switches_init(vm, engine, e)) != STATUS_OK ||
        (s = irqchip_check(vm, engine, e)) != STATUS_OK || (s = choose_level(cfg->cpu, vm_features(vm), &level, e)) != STATUS_OK ||
        (s = wake_init(&vm->wake, e)) != STATUS_OK || (s = wake_init(&vm->doorbells.wake, e)) != STATUS_OK || (s = lock_init(&vm->lock, e)) != STATUS_OK ||
        (s = cond_init(&vm->unparked, e)) != STATUS_OK || (s = cond_init(&vm->resumed, e)) != STATUS_OK ||
        (s = exclusive_init(&vm->exclusive, e)) != STATUS_OK ||
        (cfg->confine && (s = confinement_create(&vm->confine, cfg, e)) != STATUS_OK) ||
        (cfg->screenshot && (s = display_check(cfg->screenshot, e)) != STATUS_OK) ||
        (cfg->firmware && (s = firmware_open(&vm->firmware, cfg->firmware, &cfg->firmware_vars, e)) != STATUS_OK) ||
        (s = mem_init_flash(&vm->mem, cfg->memory, vm->firmware.file.size + vm->firmware.vars.size, vm->firmware.present ? VGA_MEMORY : 0, e)) != STATUS_OK ||
        (s = back_memory(vm, e)) != STATUS_OK || (cfg->share && (s = sharing_create(vm, e)) != STATUS_OK) || (s = make_vcpus(vm, level, e)) != STATUS_OK ||
        (s = make_consoles(vm, e)) != STATUS_OK ||
        (cfg->display == TRINE_DISPLAY_TEXT && (s = text_display_create(vm, e)) != STATUS_OK) ||
        (s = make_chips(vm, e)) != STATUS_OK || (s = make_pv(vm, e)) != STATUS_OK || (vm->firmware.present && (s = load_firmware(vm, e)) != STATUS_OK))
        return s;
    const struct engine_machine shared = vm_for_engine(vm);
    if ((s = engine_open(engine, &shared, &vm->engine_shared, e)) != STATUS_OK)
        return s;
    vm->mem.code_write = vm_code_write;
    vm->mem.code_opaque = vm;
    lock_take(&vm->lock);
    vm->pc.pci.moved_opaque = vm;
    vm->pc.pci.moved = doorbells_follow;
    doorbells_follow(vm);
    s = vm_reset(vm, e);
    if (s == STATUS_OK && cfg->restore)
        s = vm_restore(vm, cfg->restore, e);
    if (s == STATUS_OK)
        s = trace_open(&vm->trace, cfg->trace, cfg->trace_file, e);
    if (s == STATUS_OK && cfg->gdb)
        s = debugger_create(vm, cfg->gdb, e);
    if (s == STATUS_OK && cfg->qmp)
        s = control_create(vm, cfg->qmp, e);
    lock_release(&vm->lock);
    return s;
}

enum status vm_create(const struct trine_config *cfg, const struct engine_ops *engine, struct vm **vm,
                      struct error *e)
{
    *vm = alloc_zeroed(sizeof **vm);
    if (!*vm)
        return error_set(e, STATUS_HOST, "virtual machine: out of memory");
    enum status s = vm_make(*vm, cfg, engine, e);
    if (s != STATUS_OK) {
        vm_destroy(*vm);
        *vm = NULL;
    }
    return s;
}

void vm_destroy(struct vm *vm)
{
    if (!vm)
        return;
    for (u32 i = 0; vm->vcpus && i < vm->config.cpus; i++) {
        struct vcpu *v = &vm->vcpus[i];
        if (atomic_load(&v->attached))
            vm->engine->detach(v->engine);
        if (v->cpu.tlb)
            tlb_destroy(v->cpu.tlb);
        free(v->stale.gpas);
        if (v->vm) /* else it was never made */
            thread_run_delay_close(&v->run_delay_fd);
    }
    if (vm->engine_shared)
        vm->engine->close(vm->engine_shared);
    debugger_destroy(vm);
    control_destroy(vm);
    text_display_destroy(vm);
    struct error unheard; /* vm_finish has told it */
    (void)trace_close(&vm->trace, &unheard);
    console_destroy(&vm->console);
    console_destroy(&vm->hvc);
    devices_destroy(&vm->devices);
    pc_destroy(&vm->pc);
    if (vm->model)
        cpu_model_destroy(vm->model);
    firmware_close(&vm->firmware);
    boot_files_close(&vm->boot_files);
    mem_destroy(&vm->mem);
    sharing_destroy(vm);
    wake_destroy(&vm->wake);
    wake_destroy(&vm->doorbells.wake);
    confine_destroy(vm->confine);
    if (vm->own_status >= 0)
        close(vm->own_status);
    free(vm->vcpus);
    free(vm);
}

/* --- its life */

static void reset_cpus(struct vm *vm)
{
    for (u32 i = 0; i < vm->config.cpus; i++) {
        struct vcpu *v = &vm->vcpus[i];
        if (atomic_load(&v->attached))
            vm->engine->pull(v->engine);
        u64 icount = v->cpu.icount; /* virtual time goes on */
        cpu_reset(&v->cpu);
        v->cpu.icount = icount;
        v->cpu.tsc_offset = vm->vcpus[0].cpu.tsc_offset; /* they start together */
        atomic_store(&v->cpu.attention, 0);
    }
}

/* The vCPUs' own code may ask its wires, which take the lock: it is given up around it. No vCPU runs
 * meanwhile. */
enum status vm_reset(struct vm *vm, struct error *e)
{
    struct boot_state state;
    lock_release(&vm->lock);
    reset_cpus(vm);
    lock_take(&vm->lock);
    pc_reset(&vm->pc);
    atomic_store(&vm->mem.a20, pc_a20_mask(&vm->pc));
    bool direct = vm->boot.kernel && !vm->firmware.present; /* what firmware starts, it reads by itself */
    if (direct) {
        if (boot_load(&vm->mem, &vm->boot, &state, e) != STATUS_OK)
            return e->status;
        pc_enter_virtual_wire(&vm->pc);
    }
    lock_release(&vm->lock);
    if (direct)
        boot_enter(&vm->vcpus[0].cpu, &state);
    for (u32 i = 0; direct && i < vm->config.cpus; i++)
        boot_mtrrs(&vm->vcpus[i].cpu);
    for (u32 i = 0; i < vm->config.cpus; i++)
        if (atomic_load(&vm->vcpus[i].attached))
            vm->engine->push(vm->vcpus[i].engine);
    lock_take(&vm->lock);
    irqchip_give(vm);
    vm->reset_wanted = false;
    vm->resets++;
    control_reset(vm);
    return STATUS_OK;
}

void vm_kick_all(struct vm *vm)
{
    for (u32 i = 0; i < vm->config.cpus; i++)
        vcpu_attend(&vm->vcpus[i], ATTN_KICK);
}

/* Everybody looks at `ended`: the vCPUs after a kick, those that wait for a reset, the loop. */
static void vm_ended(struct vm *vm)
{
    vm->ended = true;
    debugger_ended(vm);
    control_ended(vm);
    cond_wake_all(&vm->resumed);
    vm_kick_all(vm);
    cond_wake_all(&vm->unparked);
    wake_post(&vm->wake);
}

void vm_end(struct vm *vm, enum trine_end end, const char *fmt, ...)
{
    if (vm->ended)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(vm->result.detail, sizeof vm->result.detail, fmt, ap);
    va_end(ap);
    vm->result.end = end;
    if (vm->serving)
        vm->result.rip = vm->serving->cpu.rip;
    vm_ended(vm);
}

void vm_fail(struct vm *vm, const struct error *e)
{
    if (vm->ended)
        return;
    vm->error = *e;
    vm->failure = e->status;
    vm_ended(vm);
}

static void vm_triple_fault(struct vm *vm, const struct vcpu *v)
{
    const struct cpu *c = &v->cpu;
    if (vm->config.reboot) {
        vm_want_reset(vm);
        return;
    }
    vm_end(vm, TRINE_END_TRIPLE_FAULT, "triple fault on vCPU %u, last exception %u, CR2 0x%llx", c->index,
           c->fault.vector, (unsigned long long)c->cr2);
    vm->result.rip = c->rip;
}

void vm_engine_returned(struct vm *vm, struct vcpu *v, enum run_result r, const struct error *e)
{
    debugger_returned(vm, v, r);
    switch (r) {
    case RUN_ATTENTION:
    case RUN_LIMIT:
    case RUN_HALT: break;
    case RUN_SHUTDOWN: vm_triple_fault(vm, v); break;
    case RUN_DEBUG: break;
    case RUN_ERROR: vm_fail(vm, e); break;
    }
}

enum status vm_start(struct vm *vm, struct error *e)
{
    if (vm->ran)
        return error_set(e, STATUS_USAGE, "virtual machine: it ran already");
    vm->ran = true;
    vm->started_ns = vm->epoch_ns = vm->paused_at = host_ns();
    console_start(&vm->console, vm_max_time(vm));
    console_start(&vm->hvc, vm_max_time(vm));
    atomic_store(&vm->resized, true);
    text_display_start(vm);
    balloon_start(vm);
    return STATUS_OK;
}

enum status vm_finish(struct vm *vm, struct trine_result *r, struct error *e)
{
    vm->stopped_ns = host_ns();
    text_display_stop(vm);
    bool patient = vm->result.end != TRINE_END_STOPPED && vm->result.end != TRINE_END_MAX_TIME;
    console_stop(&vm->console, patient);
    console_stop(&vm->hvc, patient);
    if (vm->failure == STATUS_OK && vm_logged_console(vm)->record_failed)
        vm->failure = error_set(&vm->error, STATUS_HOST, "%s: cannot write", vm->config.record_input);
    struct error own;
    if (trace_close(&vm->trace, &own) != STATUS_OK && vm->failure == STATUS_OK) {
        vm->error = own;
        vm->failure = own.status;
    }
    if (vm->failure == STATUS_OK && vm->config.screenshot)
        vm->failure = display_save(vm, vm->config.screenshot, &vm->error);
    *r = vm->result;
    if (vm->failure != STATUS_OK)
        *e = vm->error;
    return vm->failure;
}

enum status vm_run(struct vm *vm, struct trine_result *r, struct error *e)
{
    if (vm_start(vm, e) != STATUS_OK)
        return e->status;
    if (vm->is_virtual)
        vm_run_virtual(vm);
    else
        vm_run_real(vm);
    return vm_finish(vm, r, e);
}

void vm_terminal_resized(struct vm *vm)
{
    atomic_store(&vm->resized, true);
    wake_post(&vm->wake);
}

void vm_stop(struct vm *vm)
{
    atomic_store(&vm->stop_wanted, true);
    wake_post(&vm->wake);
    if (!vm->is_virtual)
        return; /* the loop sees to it */
    for (u32 i = 0; i < vm->config.cpus; i++) {
        struct vcpu *v = &vm->vcpus[i];
        cpu_attend(&v->cpu, ATTN_KICK);
        if (atomic_load(&v->attached))
            vm->engine->kick(v->engine);
    }
}
