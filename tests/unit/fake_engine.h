/* An engine that executes a C function per instruction: it counts, honours limits, kicks and interrupts as
 * engine.h asks, and knows no x86. With it the machine's time, threads and ends are tested alone. */
#ifndef UNIT_FAKE_ENGINE_H
#define UNIT_FAKE_ENGINE_H

#include "machine/vm.h"

enum fake_step { FAKE_NEXT, FAKE_HALT, FAKE_TRIPLE, FAKE_ERROR };

/* What a test hands over as config.serial_opaque. */
struct fake_guest {
    /* Instruction number N (0 is the first) of this vCPU. May use fake_out and fake_in. */
    enum fake_step (*instruction)(struct fake_guest *g, struct cpu *c, u64 n);
    /* An interrupt was taken at the boundary where c->icount instructions are retired. */
    void (*interrupt)(struct fake_guest *g, struct cpu *c, int vector);
    void *opaque;
    char output[4096]; /* of the serial port */
    size_t output_len;
    u64 mark; /* the guest's own memory, as registers are: a test may use it as it likes */
    u64 kicks, runs;
};

extern const struct engine_ops fake_engine;

void fake_out(struct cpu *c, u16 port, unsigned size, u32 value);
/* As firmware and system together do it: the PM block gets its ports from the PIIX4, and is told S5. Five exits. */
void fake_poweroff(struct cpu *c);
u32 fake_in(struct cpu *c, u16 port, unsigned size);
/* A configuration for GUEST: its serial port goes to output[]. */
struct trine_config fake_config(struct fake_guest *g, enum trine_time time);
/* Creates and runs, expects STATUS_OK from both; the VM must be destroyed. SETUP (may be null) is called in
 * between. */
struct vm *fake_run(const struct trine_config *cfg, void (*setup)(struct vm *vm), struct trine_result *r);

#endif
