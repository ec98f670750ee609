/* The trace of a VM: what happens, one line each, for people or as JSON objects for programs.
 *
 * io, mmio, irq and exit cost one test per exit while they are off. exec, block, int, exception and mmu are
 * seen between instructions: they cost nothing while all are off, as the engine then runs as ever; while one
 * is on, each instruction is run for itself. */
#ifndef MACHINE_TRACE_H
#define MACHINE_TRACE_H

#include <stdio.h>

#include "base/error.h"
#include "cpu/exit.h"
#include "engine/engine.h"

struct vcpu;

enum trace_channel {
    TRACE_EXEC,
    TRACE_INT,
    TRACE_EXCEPTION,
    TRACE_MMU,
    TRACE_IO,
    TRACE_MMIO,
    TRACE_IRQ,
    TRACE_EXIT,
    TRACE_BLOCK,
    TRACE_CHANNELS,
};

struct trace {
    u32 on; /* bit per channel */
    bool json;
    FILE *out; /* null: standard error */
    const char *path;
    bool failed;
};

/* CHANNELS: names, comma between them; `json` among them chooses the form. Null: nothing is traced. */
enum status trace_open(struct trace *t, const char *channels, const char *path, struct error *e);
/* Fails when not all could be written. */
enum status trace_close(struct trace *t, struct error *e);

void trace_exit(struct vcpu *v, const struct exit *x);
void trace_irq(struct vcpu *v, int vector);
/* As engine->run, with what happens between instructions traced. */
enum run_result trace_run(struct vcpu *v, u64 limit, struct error *e);

/* The bytes of the instruction that comes; how many can be read. */
u32 trace_code(const struct cpu *c, u8 code[15]);

static inline bool trace_steps(const struct trace *t)
{
    return t->on &
           (1u << TRACE_EXEC | 1u << TRACE_INT | 1u << TRACE_EXCEPTION | 1u << TRACE_MMU | 1u << TRACE_BLOCK);
}

#endif
