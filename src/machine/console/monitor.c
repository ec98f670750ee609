/* A few commands by their names in QEMU's monitor. `info registers` stops the vCPUs for a moment: it asks, and prints when the loop finds
 * all of them at rest. */
#include "machine/console/monitor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "machine/balloon.h"
#include "machine/console/text_display.h"
#include "machine/vm.h"

static struct char_dev *terminal(struct vm *vm)
{
    return vm->text_display ? text_display_terminal(vm->text_display) : vm->hvc.host.kind == CHAR_STDIO ? &vm->hvc.host : &vm->console.host;
}

PRINTF(2, 3) static void say(struct vm *vm, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0)
        char_write(terminal(vm), (const u8 *)text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void help(struct vm *vm);

static void info_registers(struct vm *vm)
{
    if (vm->debugger) {
        say(vm, "a debugger holds this guest\r\n");
        return;
    }
    vm->registers_wanted = true;
    vm->registers_paused = !vm->paused;
    vm_pause(vm);
}

static void print_registers(struct vm *vm, struct vcpu *v)
{
    static const char *const names[] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI"};
    const struct cpu *c = &v->cpu;
    if (atomic_load(&v->attached))
        vm->engine->pull(v->engine);
    say(vm, "CPU %u, CPL %u%s\r\n", c->index, c->cpl, c->activity == ACTIVITY_RUNNING ? "" : ", not running");
    for (unsigned i = 0; i < 16; i++) {
        char name[8];
        snprintf(name, sizeof name, i < 8 ? "%s" : "R%s%u", i < 8 ? names[i] : "", i);
        say(vm, "%-4s%016" PRIx64 "%s", name, (u64)c->gpr[i].q, i % 4 == 3 ? "\r\n" : " ");
    }
    say(vm, "RIP %016" PRIx64 " RFLAGS %08" PRIx64 "\r\n", c->rip, cpu_rflags(c));
    say(vm, "CR0 %08" PRIx64 " CR2 %016" PRIx64 " CR3 %016" PRIx64 " CR4 %08" PRIx64 " EFER %08" PRIx64 "\r\n", (u64)c->cr0,
        (u64)c->cr2, (u64)c->cr3, (u64)c->cr4, (u64)c->efer);
}

static void info_mem(struct vm *vm)
{
    const struct mem *m = &vm->mem;
    say(vm, "RAM %" PRIu64 " KiB below 4 GiB, %" PRIu64 " KiB above; %" PRIu64 " KiB of the host's\r\n", m->low_size >> 10,
        m->high_size >> 10, mem_resident(m) >> 10);
    if (m->flash_size)
        say(vm, "firmware %" PRIu64 " KiB at %" PRIx64 "\r\n", m->flash_size >> 10, m->flash_base);
    if (m->video_size && m->video_shown)
        say(vm, "display memory %" PRIu64 " KiB at %" PRIx64 "\r\n", m->video_size >> 10, m->video_base);
}

static void info_balloon(struct vm *vm)
{
    struct virtio_balloon *b = vm->devices.balloon;
    struct error e;
    u64 actual;
    if (balloon_query(vm, &actual, &e) != STATUS_OK) {
        say(vm, "%s\r\n", e.text);
        return;
    }
    say(vm, "balloon: actual=%" PRIu64 " MiB; %" PRIu64 " KiB in it; %" PRIu64 " KiB of free pages reported, %" PRIu64 " KiB hinted so far\r\n",
        actual >> 20, b->ballooned << 2, b->reported_bytes >> 10, b->hinted_bytes >> 10);
    if (b->stats[BALLOON_AVAILABLE_MEMORY] != ~0ull)
        say(vm, "the guest had %" PRIu64 " KiB available, %" PRIu64 " KiB free, %" PRIu64 " ms ago\r\n", b->stats[BALLOON_AVAILABLE_MEMORY] >> 10,
            b->stats[BALLOON_FREE_MEMORY] >> 10, (clock_now(&vm->clock) - b->stats_ns) / 1000000);
    (void)virtio_balloon_ask_stats(b);
}

static void free_pages(struct vm *vm)
{
    if (!vm->devices.balloon || !virtio_balloon_ask_hints(vm->devices.balloon))
        say(vm, "no balloon, or its driver gives no hints\r\n");
}

static void balloon_usage(struct vm *vm)
{
    say(vm, "balloon: a number of MiB, or with M or G\r\n");
}

/* LINE is `balloon MIB`, as in QEMU's monitor, or a number with M or G. */
static bool set_balloon(struct vm *vm, const char *line)
{
    struct error e;
    char unit = 'M', more;
    unsigned long long n;
    int got = sscanf(line, "balloon %llu%c%c", &n, &unit, &more);
    if (got < 1)
        return false;
    if (got > 2 || !n || n > 1ull << 32 || (unit != 'M' && unit != 'G'))
        balloon_usage(vm);
    else if (balloon_set(vm, n << (unit == 'M' ? 20 : 30), &e) != STATUS_OK)
        say(vm, "%s\r\n", e.text);
    return true;
}

static void powerdown(struct vm *vm)
{
    piix4_pm_power_button(&vm->pc.pm);
}

static void quit(struct vm *vm)
{
    vm_end(vm, TRINE_END_STOPPED, "ended from the terminal");
}

static const struct {
    const char *name, *text;
    void (*run)(struct vm *vm);
} commands[] = {
    {"help", "this list", help},
    {"info registers", "the vCPUs' registers", info_registers},
    {"info mem", "what the guest's memory takes", info_mem},
    {"info balloon", "what the guest has given up, and asks it for new figures", info_balloon},
    {"balloon", "balloon SIZE: the guest shall get along with SIZE (MiB, or with M or G)", balloon_usage},
    {"free_pages", "the guest gives back all that is free", free_pages},
    {"system_powerdown", "press the power button", powerdown},
    {"system_reset", "reset the machine", vm_want_reset},
    {"quit", "end the virtual machine", quit},
};

static void help(struct vm *vm)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        say(vm, "%-18s %s\r\n", commands[i].name, commands[i].text);
    say(vm, "%-18s back to the guest\r\n", "Ctrl-A c");
}

static void run(struct vm *vm, const char *line)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (!strcmp(line, commands[i].name)) {
            commands[i].run(vm);
            return;
        }
    if (set_balloon(vm, line))
        return;
    if (*line)
        say(vm, "no such command: %s (help lists them)\r\n", line);
}

void monitor_serve(struct vm *vm)
{
    char line[CHAR_LINE];
    if (vm->registers_wanted && (vm_at_rest(vm) || vm->ended)) {
        vm->registers_wanted = false;
        for (u32 i = 0; i < vm->config.cpus && !vm->ended; i++)
            print_registers(vm, &vm->vcpus[i]);
        if (vm->registers_paused)
            vm_resume(vm);
        say(vm, CHAR_PROMPT);
    }
    if (vm->registers_wanted || !char_take_line(terminal(vm), line))
        return;
    run(vm, line);
    if (!vm->registers_wanted)
        say(vm, CHAR_PROMPT);
}
