/* guest.h: a small IA-32e world made by hand. */
#include "guest.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "cpu/tlb.h"

/* The kernel's half: all memory once more. Only the windows are in the user's. */
#define HIGH 0xffff800000000000ull

enum {
    G_GDT = 0x1000,
    G_IDT = 0x2000,
    G_TSS = 0x4000,
    G_STACK = 0x8000, /* top */
    G_PML4 = 0x10000,
    G_PDPT = 0x11000,
    G_PD = 0x12000,
    G_PT = 0x13000,
    G_PDPT_HIGH = 0x14000,
    G_PD_HIGH = 0x15000,
    G_PT_HIGH = 0x16000,
    G_HANDLERS = 0x20000, /* of vector n: + 16 n */
    CODE3 = 0x08,
    DATA3 = 0x10,
    CODE0 = 0x18,
    DATA0 = 0x20,
    TSS = 0x28,
};

static void put(struct guest *g, u64 gpa, u64 v)
{
    st64(g->m.base + gpa, v);
}

static void tables(struct guest *g)
{
    put(g, G_PML4, G_PDPT | 7);
    put(g, G_PDPT, G_PD | 7);
    put(g, G_PD, G_PT | 7);
    put(g, G_PML4 + 256 * 8, G_PDPT_HIGH | 3);
    put(g, G_PDPT_HIGH, G_PD_HIGH | 3);
    put(g, G_PD_HIGH, G_PT_HIGH | 3);
    for (u64 p = 0; p < MIB(2); p += PAGE_SIZE) {
        bool data = p >= NATIVE_DATA && p < NATIVE_DATA_END;
        put(g, G_PT + (p >> 12) * 8, data ? p | 7 : p == NATIVE_CODE ? p | 5 : 0);
        put(g, G_PT_HIGH + (p >> 12) * 8, p | 3);
    }
    put(g, G_GDT + CODE3, 0x00affb000000ffff);
    put(g, G_GDT + DATA3, 0x00cff3000000ffff);
    put(g, G_GDT + CODE0, 0x00af9b000000ffff);
    put(g, G_GDT + DATA0, 0x00cf93000000ffff);
    for (unsigned v = 0; v < 32; v++) {
        u64 h = HIGH + G_HANDLERS + 16 * v;
        put(g, G_IDT + 16 * v, (h & 0xffff) | CODE0 << 16 | (v == VEC_BP || v == VEC_OF ? 0xee00ull : 0x8e00ull) << 32 | (h >> 16 & 0xffff) << 48);
        put(g, G_IDT + 16 * v + 8, h >> 32);
    }
    put(g, G_TSS + 4, HIGH + G_STACK);
}

static struct seg segment(u16 sel, u16 attr, u64 base, u32 limit)
{
    return (struct seg){.sel = sel, .attr = attr, .base = base, .limit = limit};
}

static void enter_user(struct cpu *c, const struct world *w)
{
    bool wide = w->bits != 32;
    c->seg[SEG_CS] = segment(CODE3 | 3, wide ? 0xafb : 0xcfb, 0, 0xffffffff);
    for (unsigned s = 0; s < SEG_LDTR; s++)
        if (s != SEG_CS)
            c->seg[s] = segment(DATA3 | 3, 0xcf3, 0, 0xffffffff);
    c->seg[SEG_FS] = wide ? segment(DATA3 | 3, 0xcf3, w->fs, 0xffffffff) : (struct seg){0};
    c->seg[SEG_GS] = wide ? segment(DATA3 | 3, 0xcf3, w->gs, 0xffffffff) : (struct seg){0};
    c->activity = ACTIVITY_RUNNING;
    c->shadow_at = UINT64_MAX;
    c->pending_db = 0;
    atomic_store(&c->attention, 0);
    memset(&c->fault, 0, sizeof c->fault);
    c->cr2 = 0;
}

static void log_nothing(void *opaque, const char *line)
{
    (void)opaque;
    (void)line;
}

static void no_exit(void *opaque, struct cpu *c, struct exit *x)
{
    (void)opaque;
    (void)c;
    (void)x;
}

static void count_ferr(void *opaque, struct cpu *c)
{
    struct guest *g = opaque;
    (void)c;
    g->ferrs++;
}

static u64 any_tsc(void *opaque, const struct cpu *c)
{
    struct guest *g = opaque;
    (void)c;
    return g->drawn += 0x40000001;
}

static u64 any_random(void *opaque)
{
    struct guest *g = opaque;
    return (g->drawn += 0x40000001) * 0x9e3779b97f4a7c15;
}

bool guest_create(struct guest *g)
{
    struct error e;
    memset(g, 0, sizeof *g);
    g->c = aligned_alloc(64, align_up(sizeof *g->c, 64));
    g->model = cpu_model_create(CPU_LEVEL_V3, 1, MEM_PHYS_BITS);
    if (!g->c || !g->model || mem_init(&g->m, MIB(2), &e) != STATUS_OK)
        return false;
    struct cpu *c = g->c;
    memset(c, 0, sizeof *c);
    g->log = (struct log){.sink = log_nothing};
    if (!(c->tlb = tlb_create()))
        return false;
    c->wires = (struct cpu_wires){
        .mem = &g->m, .log = &g->log, .model = g->model, .exit = no_exit, .ferr = count_ferr, .tsc = any_tsc, .random = any_random, .opaque = g};
    cpu_reset(c);
    tables(g);
    c->efer = EFER_LME | EFER_LMA | EFER_SCE;
    c->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_ET | CR0_NE | CR0_MP;
    c->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    c->xcr0 = 7;
    c->cr3 = G_PML4;
    c->gdt = (struct dtable){.base = HIGH + G_GDT, .limit = 0x37};
    c->idt = (struct dtable){.base = HIGH + G_IDT, .limit = 0x1ff};
    c->seg[SEG_TR] = segment(TSS, 0x8b, HIGH + G_TSS, 0x67);
    enter_user(c, &(struct world){0});
    cpu_update_mode(c);
    return engine_interp.attach(c, NULL, &g->engine, &e) == STATUS_OK;
}

void guest_destroy(struct guest *g)
{
    engine_interp.detach(g->engine);
    tlb_destroy(g->c->tlb);
    mem_destroy(&g->m);
    cpu_model_destroy(g->model);
    free(g->c);
}

u8 *guest_data(struct guest *g)
{
    return g->m.base + NATIVE_DATA;
}

void guest_load(struct guest *g, const struct world *w)
{
    struct cpu *c = g->c;
    enter_user(c, w);
    for (unsigned k = 0; k < 16; k++)
        c->gpr[k].q = w->gpr[k];
    c->rip = w->rip;
    cpu_set_rflags(c, w->rflags);
    c->fpu.fcw = w->fcw;
    c->fpu.fsw = w->fsw;
    c->fpu.ftw = w->ftw;
    c->fpu.mxcsr = w->mxcsr;
    for (unsigned k = 0; k < 8; k++)
        memcpy(c->fpu.st[k], w->st[k], 10);
    c->fpu.fop = w->fop;
    c->fpu.fip = w->fip;
    c->fpu.fdp = w->fdp;
    memcpy(c->fpu.ymm, w->ymm, sizeof w->ymm);
    cpu_update_mode(c);
}

void guest_store(struct guest *g, struct world *w)
{
    struct cpu *c = g->c;
    for (unsigned k = 0; k < 16; k++)
        w->gpr[k] = c->gpr[k].q;
    w->rip = c->rip;
    w->rflags = cpu_rflags(c);
    w->fcw = c->fpu.fcw;
    w->fsw = c->fpu.fsw;
    w->ftw = c->fpu.ftw;
    w->mxcsr = c->fpu.mxcsr;
    for (unsigned k = 0; k < 8; k++)
        memcpy(w->st[k], c->fpu.st[k], 10);
    memcpy(w->ymm, c->fpu.ymm, sizeof w->ymm);
    w->fop = c->fpu.fop;
    w->fip = c->fpu.fip;
    w->fdp = c->fpu.fdp;
    w->fs = c->seg[SEG_FS].base;
    w->gs = c->seg[SEG_GS].base;
    w->vector = -1;
    w->error = 0;
    w->addr = 0;
    if (c->cpl == 3)
        return;
    /* In a handler: what the frame says. */
    const u8 *frame = g->m.base + (c->gpr[RSP].q - HIGH);
    w->vector = (int)((c->rip - HIGH - G_HANDLERS) / 16);
    if (w->vector == VEC_GP || w->vector == VEC_SS || w->vector == VEC_PF || w->vector == VEC_AC) {
        w->error = ld32(frame);
        frame += 8;
    }
    w->addr = w->vector == VEC_PF ? c->cr2 : 0;
    w->rip = ld64(frame);
    w->rflags = ld64(frame + 16);
    w->gpr[RSP] = ld64(frame + 24);
}

void guest_run(struct guest *g, struct world *w, const u8 *code, unsigned len)
{
    struct error e;
    engine_interp.flush_code(g->engine, w->rip, len);
    memcpy(g->m.base + w->rip, code, len);
    guest_load(g, w);
    engine_interp.step(g->engine, &e);
    guest_store(g, w);
}
