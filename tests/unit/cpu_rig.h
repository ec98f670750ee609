/* A vCPU by hand over 4 MiB of memory, for tests of segmentation, control transfer and events: tables at
 * fixed places, the lowest 2 MiB mapped to themselves page by page (user, writable), in 32-bit or IA-32e
 * mode, at any CPL. */
#ifndef UNIT_CPU_RIG_H
#define UNIT_CPU_RIG_H

#include "base/le.h"
#include "check.h"
#include "cpu/exit.h"
#include "cpu/model.h"
#include "cpu/system.h"
#include "cpu/tlb.h"

enum {
    RIG_GDT = 0x1000,
    RIG_ABSENT = 0x2000, /* a page that is not mapped, inside the GDT's limit: selectors from 0x1000 */
    RIG_IDT = 0x4000,
    RIG_TSS = 0x6000,
    RIG_TSS_B = 0x7000,
    RIG_TSS_16 = 0x8000,
    RIG_LDT = 0x9000,
    RIG_STACK0 = 0x11000, /* tops */
    RIG_STACK1 = 0x13000,
    RIG_STACK3 = 0x15000,
    RIG_IST = 0x17000, /* IST n at + 0x1000 (n - 1) */
    RIG_PT = 0x30000,
    RIG_CODE = 0x40000,    /* RIP at the start */
    RIG_HANDLER = 0x80000, /* of vector n: + 16 n */
};

/* Selectors of the fixed GDT; RPL to be added. */
enum {
    GDT_CODE0 = 0x08,
    GDT_DATA0 = 0x10,
    GDT_CODE3 = 0x18,
    GDT_DATA3 = 0x20,
    GDT_CODE0_64 = 0x28,
    GDT_CODE3_64 = 0x30,
    GDT_CONFORMING = 0x38,
    GDT_TSS = 0x40 /* 16 bytes */,
    GDT_CODE1 = 0x50,
    GDT_DATA1 = 0x58,
    GDT_LDT = 0x60 /* 16 bytes */,
    GDT_TSS_B = 0x70,
    GDT_TSS_16 = 0x80,
    GDT_A = 0x90,
    GDT_B = 0xa0,
    GDT_C = 0xb0, /* for the test's own */
    GDT_BEYOND = 0x2000,
    GDT_ABSENT = 0x1008,
};

enum { A_DATA = 0x93, A_CODE = 0x9b, A_BIG = 0xc00, A_LONG = 0xa00, A_3 = 0x60, A_1 = 0x20 };

struct rig {
    struct cpu *c;
    struct mem m;
    unsigned shutdowns;
    int vector; /* the next answer of intr_ack */
    unsigned acks;
};

static inline void rig_exit(void *opaque, struct cpu *c, struct exit *x)
{
    struct rig *r = opaque;
    (void)c;
    r->shutdowns += x->kind == EXIT_SHUTDOWN;
}

static inline int rig_ack(void *opaque, struct cpu *c)
{
    struct rig *r = opaque;
    int v = r->vector;
    (void)c;
    r->acks++;
    r->vector = -1;
    return v;
}

static inline void rig_put(struct rig *r, u64 gpa, u64 v, unsigned size)
{
    st_n(r->m.base + gpa, v, size);
}

static inline u64 rig_get(const struct rig *r, u64 gpa, unsigned size)
{
    return ld_n(r->m.base + gpa, size);
}

/* LIMIT is the raw 20-bit field, ATTR as in struct seg. */
static inline u64 rig_desc(u32 base, u32 limit, u16 attr)
{
    return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attr & 0xff) << 40 |
           (u64)(limit >> 16 & 0xf) << 48 | (u64)(attr >> 8 & 0xf) << 52 | (u64)(base >> 24) << 56;
}

static inline void rig_gdt(struct rig *r, u16 sel, u64 desc)
{
    rig_put(r, RIG_GDT + (sel & ~7u), desc, 8);
}

static inline u16 rig_attr(const struct rig *r, u16 sel)
{
    return (u16)rig_get(r, RIG_GDT + (sel & ~7u) + 5, 1);
}

static inline struct seg rig_seg(const struct rig *r, u16 sel)
{
    u64 d = rig_get(r, RIG_GDT + (sel & ~7u), 8);
    u16 attr = (u16)((d >> 40 & 0xff) | (d >> 44 & 0xf00));
    u32 limit = (u32)((d & 0xffff) | (d >> 32 & 0xf0000));
    return (struct seg){.sel = sel,
                        .attr = attr,
                        .limit = attr & SEG_G ? limit << 12 | 0xfff : limit,
                        .base = (d >> 16 & 0xffffff) | (d >> 32 & 0xff000000)};
}

/* An IDT entry: TYPE with P and DPL (0x8e: interrupt gate, DPL 0). */
static inline void rig_gate(struct rig *r, u8 vector, u8 type, u16 sel, u64 off, u8 ist)
{
    bool wide = cpu_long_mode(r->c);
    u64 at = RIG_IDT + vector * (wide ? 16u : 8u);
    rig_put(r, at,
            (off & 0xffff) | (u64)sel << 16 | (u64)ist << 32 | (u64)type << 40 | (off >> 16 & 0xffff) << 48,
            8);
    if (wide)
        rig_put(r, at + 8, off >> 32, 8);
}

static inline u64 rig_handler(u8 vector)
{
    return RIG_HANDLER + vector * 16u;
}

static inline void rig_all_gates(struct rig *r)
{
    for (unsigned v = 0; v < 256; v++)
        rig_gate(r, (u8)v, 0x8e, cpu_long_mode(r->c) ? GDT_CODE0_64 : GDT_CODE0, rig_handler((u8)v), 0);
}

static inline void rig_map(struct rig *r, u64 page, bool present)
{
    unsigned width = cpu_long_mode(r->c) ? 8 : 4;
    rig_put(r, RIG_PT + 0x3000 + (page >> 12) * width, page | (present ? 7 : 0), width);
    tlb_flush_all(r->c);
}

static inline void rig_page_tables(struct rig *r)
{
    bool wide = cpu_long_mode(r->c);
    memset(r->m.base + RIG_PT, 0, 0x4000);
    if (wide) {
        rig_put(r, RIG_PT, (RIG_PT + 0x1000) | 7, 8);
        rig_put(r, RIG_PT + 0x1000, (RIG_PT + 0x2000) | 7, 8);
        rig_put(r, RIG_PT + 0x2000, (RIG_PT + 0x3000) | 7, 8);
    } else {
        rig_put(r, RIG_PT, (RIG_PT + 0x3000) | 7, 4);
    }
    r->c->cr3 = RIG_PT;
    for (u64 p = 0; p < MIB(2); p += PAGE_SIZE)
        rig_map(r, p, p != RIG_ABSENT);
}

static inline void rig_descriptors(struct rig *r)
{
    memset(r->m.base + RIG_GDT, 0, 0x1000);
    rig_gdt(r, GDT_CODE0, rig_desc(0, 0xfffff, A_CODE | A_BIG));
    rig_gdt(r, GDT_DATA0, rig_desc(0, 0xfffff, A_DATA | A_BIG));
    rig_gdt(r, GDT_CODE3, rig_desc(0, 0xfffff, A_CODE | A_BIG | A_3));
    rig_gdt(r, GDT_DATA3, rig_desc(0, 0xfffff, A_DATA | A_BIG | A_3));
    rig_gdt(r, GDT_CODE0_64, rig_desc(0, 0xfffff, A_CODE | A_LONG));
    rig_gdt(r, GDT_CODE3_64, rig_desc(0, 0xfffff, A_CODE | A_LONG | A_3));
    rig_gdt(r, GDT_CONFORMING, rig_desc(0, 0xfffff, A_CODE | A_BIG | SEG_DC));
    rig_gdt(r, GDT_TSS, rig_desc(RIG_TSS, 0xfff, 0x8b));
    rig_gdt(r, GDT_CODE1, rig_desc(0, 0xfffff, A_CODE | A_BIG | A_1));
    rig_gdt(r, GDT_DATA1, rig_desc(0, 0xfffff, A_DATA | A_BIG | A_1));
    rig_gdt(r, GDT_LDT, rig_desc(RIG_LDT, 0xff, 0x82));
    rig_gdt(r, GDT_TSS_B, rig_desc(RIG_TSS_B, 0x67, 0x89));
    rig_gdt(r, GDT_TSS_16, rig_desc(RIG_TSS_16, 0x2b, 0x81));
}

/* Puts the vCPU into code of CPL at RIG_CODE with flat segments. */
static inline void rig_enter(struct rig *r, unsigned cpl)
{
    struct cpu *c = r->c;
    bool wide = cpu_long_mode(c);
    u16 code = (u16)((cpl == 3 ? (wide ? GDT_CODE3_64 : GDT_CODE3)
                      : cpl    ? GDT_CODE1
                      : wide   ? GDT_CODE0_64
                               : GDT_CODE0) |
                     cpl);
    u16 data = (u16)((cpl == 3 ? GDT_DATA3 : cpl ? GDT_DATA1 : GDT_DATA0) | cpl);
    c->seg[SEG_CS] = rig_seg(r, code);
    for (unsigned s = 0; s < SEG_LDTR; s++)
        if (s != SEG_CS)
            c->seg[s] = rig_seg(r, data);
    memset(c->gpr, 0, sizeof c->gpr);
    c->rip = RIG_CODE;
    c->gpr[RSP].q = cpl == 3 ? RIG_STACK3 : cpl ? RIG_STACK1 : RIG_STACK0;
    cpu_set_rflags(c, RFLAGS_IF);
    c->activity = ACTIVITY_RUNNING;
    c->nmi_blocked = false;
    c->pending_db = 0;
    c->shadow_at = UINT64_MAX;
    atomic_store(&c->attention, 0);
    memset(&c->fault, 0, sizeof c->fault);
    c->cr2 = 0;
    cpu_update_mode(c);
}

/* All tables anew; WIDE: IA-32e mode, in 64-bit code. */
static inline void rig_reset(struct rig *r, bool wide, unsigned cpl)
{
    struct cpu *c = r->c;
    cpu_reset(c);
    c->efer = wide ? EFER_LME | EFER_LMA | EFER_SCE : 0;
    c->cr4 = wide ? CR4_PAE : 0;
    c->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_ET;
    rig_page_tables(r);
    rig_descriptors(r);
    c->gdt = (struct dtable){.base = RIG_GDT, .limit = 0x1fff};
    c->idt = (struct dtable){.base = RIG_IDT, .limit = 0xfff};
    rig_all_gates(r);
    memset(r->m.base + RIG_TSS, 0, 0x3000);
    c->seg[SEG_TR] = rig_seg(r, GDT_TSS);
    if (wide) {
        rig_put(r, RIG_TSS + 4, RIG_STACK0, 8);
        rig_put(r, RIG_TSS + 12, RIG_STACK1, 8);
        for (unsigned k = 1; k <= 7; k++)
            rig_put(r, RIG_TSS + 0x1c + 8 * k, RIG_IST + 0x1000 * (k - 1), 8);
    } else {
        rig_put(r, RIG_TSS + 4, RIG_STACK0, 4);
        rig_put(r, RIG_TSS + 8, GDT_DATA0, 2);
        rig_put(r, RIG_TSS + 12, RIG_STACK1, 4);
        rig_put(r, RIG_TSS + 16, GDT_DATA1 | 1, 2);
        rig_put(r, RIG_TSS + 0x1c, RIG_PT, 4);
    }
    r->shutdowns = r->acks = 0;
    r->vector = -1;
    tlb_flush_all(c);
    rig_enter(r, cpl);
}

/* A processor that offers nothing; control_rig.h has one that does. */
static const struct cpu_model rig_model = {.silicon = SILICON_INTEL, .pointers = {64, 64}};

static inline bool rig_create(struct rig *r)
{
    struct error e;
    memset(r, 0, sizeof *r);
    r->c = calloc(1, sizeof *r->c);
    if (!r->c || mem_init(&r->m, MIB(4), &e) != STATUS_OK || !(r->c->tlb = tlb_create()))
        return false;
    r->c->wires = (struct cpu_wires){
        .model = &rig_model, .mem = &r->m, .exit = rig_exit, .intr_ack = rig_ack, .opaque = r};
    return true;
}

static inline void rig_destroy(struct rig *r)
{
    tlb_destroy(r->c->tlb);
    mem_destroy(&r->m);
    free(r->c);
}

/* EXPR must fault with VECTOR and ERROR and leave RIP, RSP, CS and SS alone. */
static inline void rig_expect(struct rig *r, bool result, u8 vector, u32 error, const char *what, int line)
{
    struct cpu *c = r->c;
    if (result || c->fault.vector != vector || c->fault.error != error) {
        check_failures++;
        fprintf(stderr, "line %d: %s: %s #%u(%#x), not #%u(%#x)\n", line, what,
                result ? "no fault, before:" : "fault", c->fault.vector, c->fault.error, vector, error);
    }
}
#define EXPECT_FAULT(r, expr, vector, error)                                                                 \
    do {                                                                                                     \
        u64 rip_ = (r)->c->rip, rsp_ = (r)->c->gpr[RSP].q, flags_ = cpu_rflags((r)->c);                      \
        u16 cs_ = (r)->c->seg[SEG_CS].sel, ss_ = (r)->c->seg[SEG_SS].sel;                                    \
        rig_expect((r), (expr), (vector), (error), #expr, __LINE__);                                         \
        CHECK_EQ((r)->c->rip, rip_);                                                                         \
        CHECK_EQ((r)->c->gpr[RSP].q, rsp_);                                                                  \
        CHECK_EQ((r)->c->seg[SEG_CS].sel, cs_);                                                              \
        CHECK_EQ((r)->c->seg[SEG_SS].sel, ss_);                                                              \
        CHECK_EQ(cpu_rflags((r)->c), flags_);                                                                \
    } while (0)

#endif
