/* The interpreter's side of a comparison with silicon: one vCPU in user mode, with native.h's
 * addresses mapped to themselves, and handlers of which only the addresses count. */
#ifndef ISA_GUEST_H
#define ISA_GUEST_H

#include "cpu/system.h"
#include "engine/engine.h"
#include "native.h"

struct guest {
    struct cpu *c;
    struct mem m;
    struct cpu_model *model;
    struct log log;
    void *engine;
    unsigned ferrs; /* how often FERR# was pulled */
    u64 drawn;      /* what RDTSC and RDRAND come from */
};

bool guest_create(struct guest *g);
void guest_destroy(struct guest *g);
/* The data window. */
u8 *guest_data(struct guest *g);
/* The register file alone: user mode as W says, in W->bits; and what the guest, or its handler of an exception, has made of it. */
void guest_load(struct guest *g, const struct world *w);
void guest_store(struct guest *g, struct world *w);
/* Executes LEN bytes at W->rip. CR0 and CR4 are what the test made them. */
void guest_run(struct guest *g, struct world *w, const u8 *code, unsigned len);

#endif
