/* The contract between engines and the rest (DESIGN section 4). An engine is one const ops struct over
 * `struct cpu`.
 *
 * Several vCPUs (cpu->company). Decoded code and soft TLBs are per vCPU, frame flags are shared. Before an engine reads
 * bytes that it will keep as code it calls frame_mark_code: no vCPU has a write tag for a FRAME_CODE frame, so every write
 * to it ends in mem->code_write, after the bytes changed, and from there in flush_code of every vCPU.
 *
 * Under CPU_CONCURRENT another thread may do that to this vCPU (drop its blocks, take its write tags) only at its safe
 * points: outside run; in every wire but `tsc` and `random`; in frame_mark_code of an unmarked frame; in mem->code_write;
 * hence in any slow access, walk or store. So no address from the soft TLB lives across one of these, and code that was
 * read before one is looked at again before it is kept. Stopping the others takes as long as their longest way to the
 * next look at `attention`. LOCK, XCHG with memory and page-table updates are host atomics then; what no host atomic
 * can do stands between wires.stop_others(true) and (false). */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/error.h"
#include "cpu/cpu.h"

/* Why run returned. Everything that the machine can serve synchronously (PIO, MMIO, hypercalls) went through
 * cpu->wires.exit instead. */
enum run_result {
    RUN_ATTENTION, /* an ATTN_ bit other than events of the vCPU itself: the machine looks */
    RUN_LIMIT,     /* icount reached the limit exactly, or the first boundary after it */
    RUN_HALT,      /* activity is HALTED and no event is ready */
    RUN_SHUTDOWN,  /* triple fault */
    RUN_DEBUG,     /* breakpoint of the debugger */
    RUN_ERROR,     /* the host failed, or the engine is wrong; error says how */
};

struct engine_settings;

/* How an engine gets an instruction done, as Popek and Goldberg's successors tell them apart. */
enum engine_way {
    WAY_NATIVE,    /* on the CPU, as it is */
    WAY_RELOCATED, /* on the CPU, with another memory operand */
    WAY_INLINE,    /* other code in its place, without leaving the engine */
    WAY_TRAPPED,   /* on the CPU, which traps; the monitor does it */
    WAY_EMULATED,  /* by the monitor, without a trap */
    ENGINE_WAYS,
};

/* Who has the local APICs while the guest runs: the machine, or an engine that can keep them (engine_apic). */
enum engine_irqchip { IRQCHIP_AUTO, IRQCHIP_USER, IRQCHIP_KERNEL };

/* What an engine that keeps something for all vCPUs of a machine makes it of. */
struct engine_machine {
    struct mem *mem;
    struct log *log;
    const struct cpu_model *model;
    u32 cpus;
    enum engine_irqchip irqchip;
};

/* A vCPU's local APIC between the machine and an engine that keeps it. */
#define ENGINE_APIC_BYTES 1024
#define ENGINE_APIC_PINS  24 /* of the IOAPIC, which stays the machine's */
struct engine_apic_state {
    u64 base;                     /* IA32_APIC_BASE */
    u64 deadline_ns;              /* from now until the TSC reaches IA32_TSC_DEADLINE, 0: it has; UINT64_MAX: none */
    u8 image[ENGINE_APIC_BYTES]; /* the registers as their page has them */
};

/* Local APICs that an engine keeps: INIT, SIPI and HLT are then its own too, and `activity` is one of what push and pull carry. SHARED is open's.
 * All under the big lock; `get` and `put` while vCPU N does not run. */
struct engine_apic {
    bool (*kept)(const void *shared); /* else the machine has them, and nothing below is called */
    bool (*get)(void *shared, u32 n, struct engine_apic_state *s);
    bool (*put)(void *shared, u32 n, const struct engine_apic_state *s);
    /* A message, with the address and data of an MSI; bits 63:40 of the address: bits 31:8 of the destination. */
    void (*message)(void *shared, u64 addr, u32 data);
    /* What an IOAPIC pin sends: the end of a level-triggered one is told by cpu->wires.apic_eoi. */
    void (*pin)(void *shared, unsigned pin, u64 addr, u32 data);
};

/* A write of the guest's that says nothing but "look at your queue": LEN bytes (0: any number) at GPA, with VALUE unless LEN is 0. An engine may
 * signal the eventfd FD for it, in place of the exit. */
struct engine_doorbell {
    u64 gpa;
    u32 len, value;
    int fd;
};

struct engine_ops {
    const char *name;
    /* Can it run here? False: WHY says in words why not. Any thread. */
    bool (*probe)(char *why, size_t size);
    /* Is it what its name says, so that "auto" takes it? False: WHY says what it is instead; asked by its name it runs all
     * the same. Null: always. MEASURE: with a figure, also where the verdict does not need one. */
    bool (*genuine)(bool measure, char *why, size_t size);
    bool virtual_time; /* exact instruction counts: may run under --time virtual */
    u32 max_cpus;
    /* The features (a bit per enum cpu_feature) that it can offer on this host; null: all that are built. */
    u64 (*features)(void);
    bool concurrent; /* its vCPUs may run at the same time (--time real); else several only take turns */
    /* What all vCPUs of M share; null: nothing. Before the first attach; closed after the last detach. */
    enum status (*open)(const struct engine_machine *m, void **shared, struct error *e);
    void (*close)(void *shared);
    const struct engine_apic *apic; /* null: it keeps no local APICs */
    /* From now on, or no longer (any thread, under the big lock). False, or null: the write stays an exit. */
    bool (*doorbell)(void *shared, const struct engine_doorbell *d, bool on);
    /* Per-vCPU state of the engine. Called on the thread that will run it. */
    enum status (*attach)(struct cpu *c, void *shared, void **state, struct error *e);
    void (*detach)(void *state);
    void (*configure)(void *state, const struct engine_settings *s); /* null: knows none of it */
    /* Runs until LIMIT instructions in all are retired (cpu->icount), or something above happens. The owning
     * thread; the big lock is NOT held: wires.exit takes it. */
    enum run_result (*run)(void *state, u64 limit, struct error *e);
    /* Executes exactly one instruction (or delivers its fault). Publishes everything. */
    enum run_result (*step)(void *state, struct error *e);
    /* Any thread: makes run return soon, with RUN_ATTENTION. The caller has set an ATTN_ bit. */
    void (*kick)(void *state);
    /* Brings struct cpu up to date from the engine's own copies, and back. */
    void (*pull)(void *state);
    void (*push)(void *state);
    /* Guest memory [gpa, gpa + len) has changed: what was decoded or translated of it goes, exactly from the next
     * instruction on. All in one frame; the marks (mem_granules) of what is kept of it, and perhaps more. The owning thread in its own write,
     * or any thread while the vCPU stands at a safe point (below). */
    u64 (*flush_code)(void *state, u64 gpa, u64 len);
    /* Adds engine-specific counters; see engine_stats. */
    struct engine_stats (*stats)(void *state);
    /* How it does the instruction at the start of BYTES, in code of CODE_SIZE (2, 4, 8) at CPL, where nothing faults. Not
     * while it runs; STATE may be null where virtual_time is false. Null: it emulates them all. */
    enum engine_way (*way)(void *state, const u8 *bytes, unsigned n, unsigned code_size, unsigned cpl);
};

enum { ENGINE_COUNTERS = 23 };
struct engine_stats {
    u64 blocks_translated, blocks_flushed;
    u64 shared_bytes; /* resident memory of its own that the host counts as shared, as it does guest RAM */
    bool counts_instructions;
    /* An engine's own counters, up to the first without a name. */
    struct {
        const char *name;
        u64 count;
    } counter[ENGINE_COUNTERS];
    const u64 *steps_of; /* by enum op: instructions that it handed to the interpreter; null: no such thing */
    const u64 *calls_of; /* likewise: that it did by a call */
};

enum engine_sensitive { SENSITIVE_INLINE, SENSITIVE_CALL, SENSITIVE_TRAP };

/* What an engine may be told between attach and its first run. */
#define ENGINE_SHOW_MAX 4096
#define ENGINE_CACHE_LEAST ((u64)2 << 20)
#define ENGINE_CACHE_MOST  ((u64)128 << 20)
struct engine_settings {
    bool perf_map; /* /tmp/perf-PID.map: names for perf, a line per translation */
    enum engine_sensitive sensitive; /* bt: how it does sensitive instructions */
    u64 cache_bytes; /* bt: of code, from ENGINE_CACHE_LEAST to ENGINE_CACHE_MOST; 0: the most */
    bool scan;     /* decode every translation, and count what must not stand in one (`forbidden`) */
    /* Null, or takes, line by line, the translations of guest code at [show_at, show_at + show_len), at most
     * ENGINE_SHOW_MAX bytes, each when it is made; then a null when all of it was seen. The vCPU's thread. */
    void (*show_line)(void *opaque, const char *line);
    void *show_opaque;
    u64 show_at, show_len;
};

extern const struct engine_ops engine_interp, engine_bt, engine_kvm;

/* All engines, fastest first; a null ends the list. */
extern const struct engine_ops *const engine_list[];

/* The engine called NAME that can run CPUS vCPUs, or the first usable one for "auto". Null: WHY (SIZE > 0 bytes) says why not. When an engine is returned, WHY says why the
 * faster ones were not taken, or is empty. */
const struct engine_ops *engine_choose(const char *name, bool virtual_time, u32 cpus, char *why, size_t size);

/* The same for a name that a user gave: E says why not, as wrong usage when nobody knows the name. */
const struct engine_ops *engine_get(const char *name, bool virtual_time, u32 cpus, char *why, size_t size,
                                    struct error *e);

/* ops->open, where there is one. */
enum status engine_open(const struct engine_ops *ops, const struct engine_machine *m, void **shared, struct error *e);

/* What CHOSEN and all engines that are usable and genuine here can offer: a guest may move between them. */
u64 engines_features(const struct engine_ops *chosen);

#endif
