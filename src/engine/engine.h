/* The contract between engines and the rest (DESIGN section 4). An engine is one const ops struct over
 * `struct cpu`. */
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
    RUN_ERROR,     /* the host failed; error says how */
};

struct engine_ops {
    const char *name;
    /* Can it run here? False: WHY says in words why not. Any thread. */
    bool (*probe)(char *why, size_t size);
    bool virtual_time; /* exact instruction counts: may run under --time virtual */
    u32 max_cpus;
    /* The features (a bit per enum cpu_feature) that it can offer on this host; null: all that are built. */
    u64 (*features)(void);
    /* Per-vCPU state of the engine. Called on the thread that will run it. */
    enum status (*attach)(struct cpu *c, void **state, struct error *e);
    void (*detach)(void *state);
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
    /* Guest memory [gpa, gpa + len) that held code is about to change. The owning thread, or all vCPUs
     * stopped. */
    void (*flush_code)(void *state, u64 gpa, u64 len);
    /* Adds engine-specific counters; see engine_stats. */
    struct engine_stats (*stats)(void *state);
};

struct engine_stats {
    u64 blocks_translated, blocks_flushed;
    bool counts_instructions;
};

extern const struct engine_ops engine_interp, engine_bt;

/* All engines, fastest first; a null ends the list. */
extern const struct engine_ops *const engine_list[];

/* The engine called NAME, or the first usable one for "auto". Null: WHY (SIZE > 0 bytes) says why not. When an engine is returned, WHY says why the
 * faster ones were not taken, or is empty. */
const struct engine_ops *engine_choose(const char *name, bool virtual_time, char *why, size_t size);

/* The same for a name that a user gave: E says why not, as wrong usage when nobody knows the name. */
const struct engine_ops *engine_get(const char *name, bool virtual_time, char *why, size_t size,
                                    struct error *e);

/* What all engines usable here can offer: a guest may move between them. */
u64 engines_features(void);

#endif
