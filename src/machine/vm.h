/* One virtual machine: memory, chips, vCPUs, an engine, time, and how it ended.
 *
 * Locks: the big lock, and after it the one of machine/exclusive.h. Under the big lock: every chip, the clock, the console's ring, exit statistics,
 * everything about the end. A vCPU takes it for the time of an exit; the loop thread holds it while it is
 * awake. `attention` of a vCPU, `stop_wanted` and `resized` are atomic. A vCPU's registers belong to the thread that
 * runs it, or to whoever has stopped it. */
#ifndef MACHINE_VM_H
#define MACHINE_VM_H

#include "base/log.h"
#include "cpu/system.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "host/confine.h"
#include "host/thread.h"
#include "host/wake.h"
#include "machine/boot/boot.h"
#include "machine/boot/firmware.h"
#include "machine/console/console.h"
#include "machine/control.h"
#include "machine/debugger.h"
#include "machine/devices.h"
#include "machine/exclusive.h"
#include "machine/doorbells.h"
#include "machine/irqchip.h"
#include "machine/pc.h"
#include "machine/random.h"
#include "machine/switch.h"
#include "machine/trace.h"
#include "mem/mem.h"
#include "pv/kvm.h"
#include "trine.h"

#define RTC_MAX_S 9000000000 /* nanoseconds since 1970 must fit into 63 bits */

struct vm;

/* Frames of decoded code that a device has written into, from another thread than the vCPU's: it drops them
 * before it goes on. */
struct stale_code {
    u64 *gpas;
    size_t n, cap;
};

struct vcpu {
    struct cpu cpu;
    struct vm *vm;
    void *engine; /* its state: made by the thread that runs it, kept until the VM goes */
    _Atomic bool attached;
    struct stale_code stale;
    struct pv_kvm pv; /* config.pv_kvm */
    _Atomic bool inside;   /* see machine/exclusive.h */
    _Atomic u64 thread_id; /* who runs it; 0 before */
    int run_delay_fd;      /* see thread_run_delay */
    bool serves_inside;    /* it was, before the exit that is being served */
    u32 pauses;            /* PAUSE instructions, its own thread */
    struct thread thread;
    struct cond wake; /* an event, or the machine wants the thread */
    u32 tsc_khz;      /* cpu.tsc_khz on the engine before this one */
    u64 halted_ns;    /* real time: waiting for an event */
    bool at_rest;     /* stopped by a pause */
    enum gdb_go go;   /* what a debugger lets it do; GDB_GO without one */
};

/* Virtual time: whose turn it is. */
struct turns {
    u64 until;       /* virtual time at which the current vCPU's turn ends */
    u64 fruitless;   /* timers that came due without waking anybody */
    u64 refilled_ns; /* virtual time */
};

/* What lockstep needs to know of exits: how many there were, and a running hash of what each was and brought. */
struct exit_log {
    bool on, stop; /* stop: vm_run_to comes back at the boundary behind an exit */
    u64 count, hash;
};

struct vm {
    struct trine_config config;
    struct log log;
    struct mem mem;
    struct pc pc;
    struct devices devices;
    struct console console; /* of the first serial port */
    struct console hvc;     /* of the virtio console; leads nowhere without one */
    struct boot_config boot;
    struct boot_files boot_files;
    struct firmware firmware;
    const struct engine_ops *engine;
    void *engine_shared; /* what it keeps for all vCPUs; null: nothing, or not open */
    struct cpu_model *model;
    struct vcpu *vcpus; /* config.cpus of them */
    struct exit_target exits;
    struct confine *confine; /* filters of its threads; null: none */
    int own_status;          /* rss_open */
    struct lock lock;
    struct exclusive exclusive;
    bool concurrent; /* vCPUs run at the same time */
    bool stoppable;  /* exclusive_begin stops them: several at the same time, or one beside the scanner of shared pages */
    struct vcpu *serving; /* whose exit is being served */
    bool devices_at_work; /* real: the loop's thread serves timers and back ends while vCPUs run */
    struct random random;

    /* Time. `now` of the clock: real: the host's clock since `epoch_ns`; virtual: `base` + the current vCPU's
     * instruction count, where `base` takes up what the others retired and what HLT skipped. */
    struct clock clock;
    bool is_virtual;
    u64 epoch_ns;
    u64 loop_deadline; /* real: guest time at which the loop will wake by itself; 0 while it is awake */
    u64 base;
    struct vcpu *current;
    struct turns turns;
    unsigned saves_done; /* of config.saves */
    u64 pause_at;        /* virtual: vm_run_to comes back there */
    struct exit_log exit_log;
    struct trace trace;
    u64 run_until; /* virtual: the engine runs to this time; 0 while it does not run */

    struct wake wake;
    _Atomic bool stop_wanted;
    _Atomic bool resized; /* the terminal, since the loop last looked */
    bool reset_wanted;
    bool paused;      /* no vCPU runs, or is about to; guest time stands still */
    u64 paused_at;    /* real time: host's clock */
    u32 resting;      /* vCPU threads that stopped for the pause */
    struct cond resumed;
    struct debugger *debugger; /* null: none */
    struct control *control;   /* null: none */
    struct text_display *text_display; /* null: none */
    struct timer balloon_timer; /* config.balloon_auto: when to look again */
    u64 balloon_told_ns;        /* of the clock, when the last change was told */
    struct sharing *sharing;    /* config.share; null: none */
    bool registers_wanted, registers_paused; /* by the prompt (monitor.c); it has stopped the guest for them */

    u32 parked;     /* vCPU threads that wait for a reset or another engine */
    u64 gatherings; /* how often all of them were */
    u64 resets;
    struct switches switches;
    struct irqchip irqchip;
    struct doorbells doorbells;
    struct cond unparked;

    bool ended;
    struct trine_result result;
    enum status failure; /* STATUS_OK: the VM ended; else the host failed and `error` says how */
    struct error error;
    bool ran;
    u64 started_ns, stopped_ns; /* host's clock */
};

/* ENGINE runs it. Everything in CFG is opened and checked. Null kernel: the vCPUs start at the reset vector.
 */
enum status vm_create(const struct trine_config *cfg, const struct engine_ops *engine, struct vm **vm,
                      struct error *e);
void vm_destroy(struct vm *vm);
enum status vm_run(struct vm *vm, struct trine_result *r, struct error *e);
/* Any thread, any signal handler. */
void vm_stop(struct vm *vm);
/* Any thread: the terminal has another size. */
void vm_terminal_resized(struct vm *vm);
/* The one whose input is written down, or comes from a log. */
struct console *vm_logged_console(struct vm *vm);

/* vm_run under virtual time in pieces: vm_start, any number of vm_run_to, vm_finish. vm_run_to comes back at
 * the first boundary at or behind TIME, or when the VM has ended; what it did is what an uninterrupted run
 * does. vm_settle takes what is due at this boundary (timers, the interrupt that one raises), as the next
 * instruction's turn would first. */
enum status vm_start(struct vm *vm, struct error *e);
void vm_attach_all(struct vm *vm);
void vm_run_to(struct vm *vm, u64 time);
void vm_settle(struct vm *vm);
enum status vm_finish(struct vm *vm, struct trine_result *r, struct error *e);

/* The two kinds of time: run to the end, with vm->result or vm->error set. */
void vm_run_real(struct vm *vm);
void vm_run_virtual(struct vm *vm);

/* The rest is called under the big lock. */
/* Ends the VM; the first cause counts. RIP is the vCPU's whose exit is being served, if any. */
void vm_end(struct vm *vm, enum trine_end end, const char *fmt, ...) PRINTF(3, 4);
void vm_fail(struct vm *vm, const struct error *e);
/* What the engine is told of the machine. */
struct engine_machine vm_for_engine(struct vm *vm);
/* Resets everything in place; RAM stays, and the boot loader runs again. No vCPU runs. */
enum status vm_reset(struct vm *vm, struct error *e);
void vm_kick_all(struct vm *vm);
/* Resets it soon, whatever the configuration says of resets by the guest. */
void vm_want_reset(struct vm *vm);
/* Stops all vCPUs, and guest time with them (pause.c); they have stopped when vm_at_rest says so. */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);
bool vm_at_rest(const struct vm *vm);
/* A vCPU's own thread: stays here while the VM is paused and the vCPU may not run. */
void vcpu_rest(struct vcpu *v);
/* V's engine came back: ends the VM if R says so. E is set when R is RUN_ERROR. */
void vm_engine_returned(struct vm *vm, struct vcpu *v, enum run_result r, const struct error *e);
/* Host's clock: when --max-time ends it, or UINT64_MAX. */
u64 vm_max_time(const struct vm *vm);

/* vcpu.c: what the machine does for a vCPU. */
void vcpu_wire(struct vcpu *v);
/* The big lock, for the time of an exit or another wire. */
void vcpu_lock(struct vcpu *v);
void vcpu_unlock(struct vcpu *v);
void vcpu_attend(struct vcpu *v, u32 bits);
enum status vcpu_attach(struct vcpu *v, struct error *e);
/* Its own thread, lock held: drops the code that devices have overwritten. */
void vcpu_drop_stale(struct vcpu *v);
/* Its own thread, without the lock: one step for the debugger, else the engine, traced if anybody asked for it. */
enum run_result vcpu_execute(struct vcpu *v, u64 limit, struct error *e);
/* Its own thread: clears ATTN_KICK before it looks at what the kick was for. */
void vcpu_kick_taken(struct vcpu *v);

/* Virtual time: V, whose turn it is, lets the next one go on. */
void vm_end_turn(struct vcpu *v);

/* Appends everything but RAM: vCPUs, chips, then VM_TIME_BYTES of virtual time and random state. False when
 * out of memory. */
bool vm_put_state(struct vm *vm, struct buffer *b) MUST_CHECK;
#define VM_TIME_BYTES (8 + 32)
u64 vm_state_hash(struct vm *vm);
void vm_stats(struct vm *vm, struct trine_stats *s);

#endif
