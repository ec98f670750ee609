/* The vCPU of cpu_rig.h with a CPU model, a LAPIC that is three variables, and a counter as its clock. */
#ifndef UNIT_CONTROL_RIG_H
#define UNIT_CONTROL_RIG_H

#include "base/bits.h"
#include "base/log.h"
#include "cpu/model.h"
#include "cpu/msr.h"
#include "cpu_rig.h"

struct control_rig {
    struct rig rig; /* first: the exit and ack wires take it for `opaque` */
    struct log log;
    u64 apic_base, deadline, deadline_writes;
    u8 tpr;
    u64 ticks;
    unsigned ferr;
};

static inline bool control_msr_read(void *opaque, struct cpu *c, u32 msr, u64 *v)
{
    struct control_rig *r = opaque;
    (void)c;
    *v = msr == IA32_APIC_BASE ? r->apic_base : r->deadline;
    return msr == IA32_APIC_BASE || msr == IA32_TSC_DEADLINE;
}

static inline bool control_msr_write(void *opaque, struct cpu *c, u32 msr, u64 v)
{
    struct control_rig *r = opaque;
    (void)c;
    if (msr == IA32_TSC_DEADLINE) {
        r->deadline = v;
        r->deadline_writes++;
    } else if (msr == IA32_APIC_BASE) {
        r->apic_base = v;
    }
    return msr == IA32_APIC_BASE || msr == IA32_TSC_DEADLINE;
}

static inline u8 control_cr8_read(void *opaque, struct cpu *c)
{
    (void)c;
    return ((struct control_rig *)opaque)->tpr;
}

static inline void control_cr8_write(void *opaque, struct cpu *c, u8 v)
{
    (void)c;
    ((struct control_rig *)opaque)->tpr = v;
}

static inline u64 control_tsc(void *opaque, const struct cpu *c)
{
    (void)c;
    return ((struct control_rig *)opaque)->ticks;
}

static inline void control_ferr(void *opaque, struct cpu *c)
{
    (void)c;
    ((struct control_rig *)opaque)->ferr++;
}

static inline bool control_create(struct control_rig *r, enum cpu_level level)
{
    memset(r, 0, sizeof *r);
    if (!rig_create(&r->rig))
        return false;
    log_init(&r->log);
    struct cpu_wires *w = &r->rig.c->wires;
    w->log = &r->log;
    w->model = cpu_model_create(level, 1, MEM_PHYS_BITS);
    w->apic_msr_read = control_msr_read;
    w->apic_msr_write = control_msr_write;
    w->cr8_read = control_cr8_read;
    w->cr8_write = control_cr8_write;
    w->tsc = control_tsc;
    w->ferr = control_ferr;
    w->opaque = r;
    r->apic_base = 0xfee00900;
    return w->model;
}

static inline void control_destroy(struct control_rig *r)
{
    cpu_model_destroy((struct cpu_model *)(uintptr_t)r->rig.c->wires.model);
    rig_destroy(&r->rig);
}

/* RDX:RAX, and RCX. */
static inline void control_set(struct cpu *c, u32 ecx, u64 v)
{
    c->gpr[RCX].q = ecx;
    c->gpr[RAX].q = (u32)v;
    c->gpr[RDX].q = v >> 32;
}

static inline u64 control_get(const struct cpu *c)
{
    return (u64)c->gpr[RDX].d << 32 | c->gpr[RAX].d;
}

#define EXPECT_GP(r, expr) EXPECT_FAULT(&(r)->rig, expr, VEC_GP, 0)
#define EXPECT_UD(r, expr) EXPECT_FAULT(&(r)->rig, expr, VEC_UD, 0)

#endif
