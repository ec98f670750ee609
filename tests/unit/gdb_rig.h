/* A guest that only a debugger sees: two vCPUs with paging off over 64 KiB, which stop at once when they are
 * let go. For the stub's unit test and its fuzzer. */
#ifndef UNIT_GDB_RIG_H
#define UNIT_GDB_RIG_H

#include <stdlib.h>
#include <string.h>

#include "cpu/system.h"
#include "cpu/tlb.h"
#include "mon/gdb.h"

#define GDB_RIG_CPUS 2u
#define GDB_RIG_RAM  65536u

struct gdb_rig {
    struct cpu *cpus;
    u8 ram[GDB_RIG_RAM];
    struct mem mem; /* nothing but the A20 gate, which the walk asks */
    struct debug_points points;
    struct gdb *gdb;
    unsigned resumes, steps, kills, releases, interrupts;
    bool stop_at_once;
};

static unsigned gdb_rig_cpus(void *o)
{
    (void)o;
    return GDB_RIG_CPUS;
}
static struct cpu *gdb_rig_cpu(void *o, unsigned n)
{
    return &((struct gdb_rig *)o)->cpus[n];
}
static void gdb_rig_changed(void *o, unsigned n)
{
    (void)o, (void)n;
}
static bool gdb_rig_read(void *o, u64 gpa, void *buf, u64 len)
{
    struct gdb_rig *r = o;
    if (len > GDB_RIG_RAM || gpa > GDB_RIG_RAM - len)
        return false;
    memcpy(buf, r->ram + gpa, len);
    return true;
}
static bool gdb_rig_write(void *o, u64 gpa, const void *buf, u64 len)
{
    struct gdb_rig *r = o;
    if (len > GDB_RIG_RAM || gpa > GDB_RIG_RAM - len)
        return false;
    memcpy(r->ram + gpa, buf, len);
    return true;
}
static struct debug_points *gdb_rig_points(void *o)
{
    return &((struct gdb_rig *)o)->points;
}
static void gdb_rig_points_changed(void *o)
{
    for (unsigned n = 0; n < GDB_RIG_CPUS; n++)
        cpu_update_mode(&((struct gdb_rig *)o)->cpus[n]);
}
static void gdb_rig_resume(void *o, const enum gdb_go *go, bool interrupts)
{
    struct gdb_rig *r = o;
    (void)interrupts;
    r->resumes++;
    for (unsigned n = 0; n < GDB_RIG_CPUS; n++)
        r->steps += go[n] == GDB_STEP;
    if (r->stop_at_once)
        gdb_stopped(r->gdb, 0, 5, (struct point_hit){0});
}
static void gdb_rig_interrupt(void *o)
{
    struct gdb_rig *r = o;
    r->interrupts++;
    gdb_stopped(r->gdb, 1, 2, (struct point_hit){0});
}
static void gdb_rig_release(void *o)
{
    ((struct gdb_rig *)o)->releases++;
}
static void gdb_rig_kill(void *o)
{
    ((struct gdb_rig *)o)->kills++;
}
static u8 gdb_rig_cr8(void *o, struct cpu *c)
{
    (void)o, (void)c;
    return 3;
}
static void gdb_rig_set_cr8(void *o, struct cpu *c, u8 v)
{
    (void)o, (void)c, (void)v;
}

static void gdb_rig_init(struct gdb_rig *r)
{
    const struct gdb_target t = {
        gdb_rig_cpus,      gdb_rig_cpu,     gdb_rig_changed,        gdb_rig_read,
        gdb_rig_write,     gdb_rig_points,  gdb_rig_points_changed, gdb_rig_resume,
        gdb_rig_interrupt, gdb_rig_release, gdb_rig_kill,           r,
    };
    memset(r, 0, sizeof *r);
    r->mem.a20 = UINT64_MAX;
    r->cpus = aligned_alloc(64, GDB_RIG_CPUS * sizeof *r->cpus);
    memset(r->cpus, 0, GDB_RIG_CPUS * sizeof *r->cpus);
    for (unsigned n = 0; n < GDB_RIG_CPUS; n++) {
        struct cpu *c = &r->cpus[n];
        c->index = n;
        c->tlb = tlb_create();
        c->points = &r->points;
        c->wires.mem = &r->mem;
        c->wires.cr8_read = gdb_rig_cr8;
        c->wires.cr8_write = gdb_rig_set_cr8;
        cpu_reset(c);
    }
    r->gdb = gdb_create_detached(&t);
    gdb_stopped(r->gdb, 0, 5, (struct point_hit){0});
}

static void gdb_rig_free(struct gdb_rig *r)
{
    gdb_destroy(r->gdb);
    for (unsigned n = 0; n < GDB_RIG_CPUS; n++)
        tlb_destroy(r->cpus[n].tlb);
    free(r->cpus);
}

#endif
