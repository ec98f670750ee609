/* Delivery through the IDT with every refusal, stack switches and IST, what is pushed, the double-fault
 * table, shutdown, and the order in which pending events are taken. */
#include "base/bits.h"
#include "cpu/machine_check.h"
#include "cpu/msr.h"
#include "cpu_rig.h"

#define NEXT_RIP 0x40002

static u64 top(struct rig *r, unsigned k)
{
    return rig_get(r, r->c->gpr[RSP].q + 8 * k, 8);
}

static u32 top32(struct rig *r, unsigned k)
{
    return (u32)rig_get(r, r->c->gpr[RSP].q + 4 * k, 4);
}

/* The vector whose handler the vCPU stands at, or -1. */
static int at_handler(const struct rig *r)
{
    u64 off = r->c->rip - RIG_HANDLER;
    return off < 256 * 16 && off % 16 == 0 ? (int)(off / 16) : -1;
}

static void long_frames(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, true, 3);
    cpu_set_rflags(c, RFLAGS_IF | RFLAGS_TF | RFLAGS_NT | RFLAGS_AC | RFLAGS_CF);
    c->fault = (struct fault){.vector = VEC_PF, .has_error = true, .error = 7, .addr = 0xdeadbeef};
    cpu_deliver_fault(c);
    CHECK(at_handler(r) == VEC_PF && c->cpl == 0 && c->code_size == 8 && c->cr2 == 0xdeadbeef);
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0 - 48);
    CHECK_EQ(top(r, 0), 7);
    CHECK_EQ(top(r, 1), RIG_CODE);
    CHECK_EQ(top(r, 2), GDT_CODE3_64 | 3);
    CHECK_EQ(top(r, 3), RFLAGS_IF | RFLAGS_TF | RFLAGS_NT | RFLAGS_AC | RFLAGS_CF | RFLAGS_RF | 2);
    CHECK_EQ(top(r, 4), RIG_STACK3);
    CHECK_EQ(top(r, 5), GDT_DATA3 | 3);
    CHECK_EQ(cpu_rflags(c), RFLAGS_AC | RFLAGS_CF | 2);
    CHECK(c->seg[SEG_SS].sel == 0 && c->seg[SEG_SS].attr & SEG_UNUSABLE);
    CHECK(!(c->seg[SEG_DS].attr & SEG_UNUSABLE)); /* unlike IRET, delivery leaves DS alone */

    c->gpr[RSP].q = RIG_STACK0 - 0x101; /* same level: aligned down */
    c->fault = (struct fault){.vector = VEC_UD};
    cpu_deliver_fault(c);
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0 - 0x110 - 40);
    CHECK_EQ(top(r, 3), RIG_STACK0 - 0x101);
    CHECK(at_handler(r) == VEC_UD);

    rig_enter(r, 0);
    rig_gate(r, VEC_NMI, 0x8f, GDT_CODE0_64, rig_handler(VEC_NMI), 3); /* a trap gate with IST */
    cpu_attend(c, ATTN_NMI);
    CHECK(cpu_event_ready(c) && cpu_take_event(c));
    CHECK(at_handler(r) == VEC_NMI && c->nmi_blocked && c->rflags_sys & RFLAGS_IF);
    CHECK_EQ(c->gpr[RSP].q, RIG_IST + 0x2000 - 40);
    CHECK_EQ(top(r, 2) & RFLAGS_RF, 0);
    CHECK(c->seg[SEG_SS].sel == GDT_DATA0); /* no change of level, no null SS */

    rig_enter(r, 0);
    c->seg[SEG_CS] = rig_seg(r, GDT_CODE0); /* from compatibility mode */
    cpu_update_mode(c);
    c->fault = (struct fault){.vector = VEC_UD};
    cpu_deliver_fault(c);
    CHECK(c->code_size == 8 && c->gpr[RSP].q == RIG_STACK0 - 48 + 8 - ((RIG_STACK0 - 48 + 8) & 7));
    CHECK_EQ(top(r, 1), GDT_CODE0);
}

static void legacy_frames(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, false, 3);
    c->fault = (struct fault){.vector = VEC_GP, .has_error = true, .error = 0x18};
    cpu_deliver_fault(c);
    CHECK(at_handler(r) == VEC_GP && c->cpl == 0 && c->seg[SEG_SS].sel == GDT_DATA0 && c->flat);
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0 - 24);
    CHECK(top32(r, 0) == 0x18 && top32(r, 1) == RIG_CODE && top32(r, 2) == (GDT_CODE3 | 3));
    CHECK(top32(r, 3) == (RFLAGS_IF | RFLAGS_RF | 2) && top32(r, 4) == RIG_STACK3 &&
          top32(r, 5) == (GDT_DATA3 | 3));
    rig_gate(r, 0x40, 0x86, GDT_CODE0, 0xffff7000,
             0); /* 16-bit gate: the offset's upper half does not count */
    CHECK(op_int(c, 0x40, NEXT_RIP));
    CHECK_EQ(c->rip, 0x7000);
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0 - 30);
    CHECK_EQ(top32(r, 0), (NEXT_RIP & 0xffff) | GDT_CODE0 << 16);
    rig_enter(r, 3);
    rig_gate(r, 0x41, 0xef, GDT_CONFORMING, 0x7000, 0); /* conforming: the level stays */
    CHECK(op_int(c, 0x41, NEXT_RIP));
    CHECK(c->cpl == 3 && c->seg[SEG_CS].sel == (GDT_CONFORMING | 3) && c->gpr[RSP].q == RIG_STACK3 - 12);
    CHECK(c->rflags_sys & RFLAGS_IF);
    rig_enter(r, 3);
    c->rflags_sys |= RFLAGS_RF; /* has served its instruction, INT, when that pushes */
    CHECK(op_int(c, 0x41, NEXT_RIP));
    CHECK_EQ(top32(r, 2), RFLAGS_IF | 2);
    CHECK(!(c->rflags_sys & RFLAGS_RF));
    c->rflags_sys |= RFLAGS_RF;
    EXPECT_FAULT(r, op_int(c, 0x43, NEXT_RIP), VEC_GP, 0x43 << 3 | 2);
    c->fault = (struct fault){.vector = VEC_DB, .addr = 1};
    cpu_deliver_fault(c);
    CHECK(top32(r, 2) & RFLAGS_RF && !(c->rflags_sys & RFLAGS_RF));
    rig_enter(r, 3);
    rig_gate(r, 0x42, 0xee, GDT_CODE1, 0x7000, 0);
    CHECK(op_int(c, 0x42, NEXT_RIP));
    CHECK(c->cpl == 1 && c->gpr[RSP].q == RIG_STACK1 - 20 && !(c->rflags_sys & RFLAGS_IF));
}

/* INT 0x80 at CPL 3 (EXT = 0), and the same gate reached by an exception (EXT = 1, seen as what is delivered
 * in its place). */
static void gate_refusals(struct rig *r, bool wide)
{
    struct cpu *c = r->c;
    u16 code = wide ? GDT_CODE0_64 : GDT_CODE0;
    const struct {
        u8 type;
        u16 sel;
        u64 off;
        u8 vector;
        u16 error;
    } bad[] = {
        {0xec, code, 0x7000, VEC_GP, 0x402}, /* a call gate */
        {0x8e, code, 0x7000, VEC_GP, 0x402}, /* DPL */
        {0x6e, code, 0x7000, VEC_NP, 0x402},
        {0xee, 0, 0x7000, VEC_GP, 0},
        {0xee, GDT_BEYOND, 0x7000, VEC_GP, GDT_BEYOND},
        {0xee, GDT_ABSENT, 0x7000, VEC_PF, 0},
        {0xee, GDT_DATA0, 0x7000, VEC_GP, GDT_DATA0},
        {0xee, GDT_A, 0x7000, VEC_NP, GDT_A},
        {0xee, wide ? GDT_CODE0 : GDT_B, wide ? 0x7000 : 0x1000, VEC_GP,
         wide ? GDT_CODE0 : 0},                            /* not 64-bit; beyond the limit */
        {wide ? 0xe6 : 0xe0, code, 0x7000, VEC_GP, 0x402}, /* 16-bit gate in IA-32e mode */
        {wide ? 0xee : 0xe5, wide ? code : 0, wide ? 0x800000000000 : 0, VEC_GP,
         0}, /* not canonical; task gate with null */
        {wide ? 0xe5 : 0xe5, GDT_TSS_B | 4, 0, VEC_GP,
         wide ? 0x402 : GDT_TSS_B | 4},                                   /* task gate: no; TSS in the LDT */
        {wide ? 0xe5 : 0xe5, GDT_TSS, 0, VEC_GP, wide ? 0x402 : GDT_TSS}, /* busy */
    };
    rig_reset(r, wide, 3);
    rig_gdt(r, GDT_A, rig_desc(0, 0xfffff, 0x1b | (wide ? A_LONG : A_BIG)));
    rig_gdt(r, GDT_B, rig_desc(0, 0xfff, A_CODE));
    for (unsigned k = 0; k < ARRAY_LEN(bad); k++) {
        rig_gate(r, 0x80, bad[k].type, bad[k].sel, bad[k].off, 0);
        EXPECT_FAULT(r, op_int(c, 0x80, NEXT_RIP), bad[k].vector, bad[k].error);
    }
    c->idt.limit = wide ? 0x80 * 16 + 14 : 0x80 * 8 + 6;
    EXPECT_FAULT(r, op_int(c, 0x80, NEXT_RIP), VEC_GP, 0x402);
    c->idt.limit = 0xfff;
    for (unsigned k = 0; k < ARRAY_LEN(bad); k++) {
        if (bad[k].type == 0x8e)
            continue; /* DPL does not matter for exceptions */
        rig_enter(r, 3);
        rig_gate(r, VEC_UD, bad[k].type, bad[k].sel, bad[k].off, 0);
        c->fault = (struct fault){.vector = VEC_UD};
        cpu_deliver_fault(c);
        CHECK_EQ(at_handler(r), bad[k].vector);
        u16 error = bad[k].error == 0x402 ? VEC_UD << 3 | 2 : bad[k].error;
        u64 pushed = wide ? top(r, 0) : top32(r, 0);
        CHECK_EQ(pushed, bad[k].vector == VEC_PF ? 0 : error | 1u);
    }
    rig_enter(r, 3);
    rig_gate(r, 0x80, 0xee, code, 0x7000, 0);
    c->idt.limit = wide ? 0x80 * 16 + 15 : 0x80 * 8 + 7;
    CHECK(op_int(c, 0x80, NEXT_RIP) && c->rip == 0x7000); /* the last that fits */
    c->idt = (struct dtable){.base = RIG_ABSENT, .limit = 0xfff};
    rig_enter(r, 3);
    EXPECT_FAULT(r, op_int(c, 0x80, NEXT_RIP), VEC_PF, 0);
    c->idt.base = RIG_IDT;
    rig_gate(r, VEC_DB, 0x6e, code, 0x7000, 0);
    EXPECT_FAULT(r, op_int1(c, NEXT_RIP), VEC_NP, VEC_DB << 3 | 2 | 1); /* INT1 counts as external */
    rig_gate(r, VEC_DB, 0x8e, code, 0x7000, 0);
    u64 dr6 = c->dr6;
    CHECK(op_int1(c, NEXT_RIP) && c->rip == 0x7000 && c->dr6 == dr6); /* whatever the DPL */
    rig_enter(r, 3);
    EXPECT_FAULT(r, op_int3(c, NEXT_RIP), VEC_GP, VEC_BP << 3 | 2);
    CHECK(op_into(c, NEXT_RIP) && c->rip == NEXT_RIP);
    cpu_set_rflags(c, RFLAGS_OF);
    EXPECT_FAULT(r, op_into(c, NEXT_RIP), VEC_GP, VEC_OF << 3 | 2);
}

static void stack_refusals(struct rig *r)
{
    struct cpu *c = r->c;
    static const struct {
        u16 sel, attr;
        u32 limit;
        u8 vector;
        u16 error;
    } bad[] = {
        {0, 0, 0, VEC_TS, 0},
        {GDT_BEYOND, 0, 0, VEC_TS, GDT_BEYOND},
        {GDT_A | 1, A_DATA | A_BIG, 0xfffff, VEC_TS, GDT_A},
        {GDT_A, A_DATA | A_BIG | A_1, 0xfffff, VEC_TS, GDT_A},
        {GDT_A, 0x91 | A_BIG, 0xfffff, VEC_TS, GDT_A},
        {GDT_A, 0x13 | A_BIG, 0xfffff, VEC_SS, GDT_A},
        {GDT_A, A_DATA | SEG_DB, RIG_STACK0 - 21 + 16, VEC_SS,
         GDT_A}, /* the frame's top is beyond the limit */
    };
    rig_reset(r, false, 3);
    rig_gate(r, 0x80, 0xee, GDT_CODE0, 0x7000, 0);
    for (unsigned k = 0; k < ARRAY_LEN(bad); k++) {
        rig_put(r, RIG_TSS + 8, bad[k].sel, 2);
        rig_gdt(r, GDT_A, rig_desc(0, bad[k].limit, bad[k].attr));
        EXPECT_FAULT(r, op_int(c, 0x80, NEXT_RIP), bad[k].vector, bad[k].error);
    }
    c->seg[SEG_TR].limit = 8;
    EXPECT_FAULT(r, op_int(c, 0x80, NEXT_RIP), VEC_TS, GDT_TSS);
    c->seg[SEG_TR].limit = 9; /* the last byte of SS0 */
    rig_put(r, RIG_TSS + 8, GDT_DATA0, 2);
    CHECK(op_int(c, 0x80, NEXT_RIP));
    rig_enter(r, 0);
    c->seg[SEG_SS].limit = 0xffff;
    c->gpr[RSP].q = 8;
    rig_gate(r, 0x80, 0x8e, GDT_CODE0, 0x7000, 0);
    EXPECT_FAULT(r, op_int(c, 0x80, NEXT_RIP), VEC_SS, 0); /* same level: error code 0 */

    rig_reset(r, true, 3);
    rig_gate(r, 0x80, 0xee, GDT_CODE0_64, 0x7000, 7);
    c->seg[SEG_TR].limit = 0x5a;
    EXPECT_FAULT(r, op_int(c, 0x80, NEXT_RIP), VEC_TS, GDT_TSS);
    c->seg[SEG_TR].limit = 0x5b;
    rig_put(r, RIG_TSS + 0x54, 0x800000000010, 8);
    EXPECT_FAULT(r, op_int(c, 0x80, NEXT_RIP), VEC_SS, 0);
    rig_put(r, RIG_TSS + 0x54, RIG_ABSENT + 0x1010, 8); /* the frame is half on the absent page */
    rig_put(r, RIG_ABSENT + 0x1000, 0x5555, 8);
    EXPECT_FAULT(r, op_int(c, 0x80, NEXT_RIP), VEC_PF, 2);
    CHECK_EQ(rig_get(r, RIG_ABSENT + 0x1000, 8), 0x5555); /* nothing was written */
}

/* First: a vector whose gate is spoilt so that delivering it raises SECOND. */
static void spoil(struct rig *r, u8 first, u8 second)
{
    if (second == VEC_NP)
        rig_gate(r, first, 0x0e, GDT_CODE0, 0, 0);
    else if (second == VEC_PF)
        rig_gate(r, first, 0x8e, GDT_ABSENT, 0, 0);
    else /* #GP */
        rig_gate(r, first, 0x8e, GDT_DATA0, 0, 0);
}

static void double_faults(struct rig *r)
{
    struct cpu *c = r->c;
    enum { SHUTDOWN = -2 };
    static const struct {
        u8 first, second;
        int taken;
    } table[] = {
        {VEC_DE, VEC_NP, VEC_DF},   {VEC_DE, VEC_PF, VEC_PF},   {VEC_DE, VEC_GP, VEC_DF},
        {VEC_TS, VEC_NP, VEC_DF},   {VEC_SS, VEC_GP, VEC_DF},   {VEC_GP, VEC_PF, VEC_PF},
        {VEC_GP, VEC_NP, VEC_DF},   {VEC_CP, VEC_NP, VEC_DF},   {VEC_PF, VEC_PF, VEC_DF},
        {VEC_PF, VEC_GP, VEC_DF},   {VEC_UD, VEC_NP, VEC_NP},   {VEC_UD, VEC_PF, VEC_PF},
        {VEC_NM, VEC_GP, VEC_GP},   {VEC_MF, VEC_GP, VEC_GP},   {VEC_AC, VEC_NP, VEC_NP},
        {VEC_XM, VEC_GP, VEC_GP},   {VEC_BR, VEC_NP, VEC_NP},   {VEC_DB, VEC_GP, VEC_GP},
        {VEC_DF, VEC_NP, SHUTDOWN}, {VEC_DF, VEC_PF, SHUTDOWN}, {VEC_DF, VEC_GP, SHUTDOWN},
    };
    for (unsigned k = 0; k < ARRAY_LEN(table); k++) {
        rig_reset(r, false, 3);
        spoil(r, table[k].first, table[k].second);
        c->fault = (struct fault){.vector = table[k].first, .addr = table[k].first == VEC_PF ? 0x1234 : 0};
        cpu_deliver_fault(c);
        if (table[k].taken == SHUTDOWN) {
            CHECK(c->activity == ACTIVITY_SHUTDOWN && r->shutdowns == 1 && c->rip == RIG_CODE);
            CHECK(!cpu_event_ready(c));
        } else {
            CHECK_EQ(at_handler(r), table[k].taken);
            CHECK_EQ(c->activity, ACTIVITY_RUNNING);
            if (table[k].taken == VEC_DF)
                CHECK(top32(r, 0) == 0 && top32(r, 1) == RIG_CODE);
            if (table[k].second == VEC_PF)
                CHECK_EQ(c->cr2, RIG_GDT + (GDT_ABSENT & ~7));
        }
    }
    rig_reset(r, false, 3);
    spoil(r, VEC_DE, VEC_NP);
    spoil(r, VEC_DF, VEC_PF);
    c->fault = (struct fault){.vector = VEC_DE};
    cpu_deliver_fault(c);
    CHECK(c->activity == ACTIVITY_SHUTDOWN && r->shutdowns == 1);
    /* serially, then double: #UD, #NP, #GP */
    rig_reset(r, false, 3);
    spoil(r, VEC_UD, VEC_NP);
    spoil(r, VEC_NP, VEC_GP);
    c->fault = (struct fault){.vector = VEC_UD};
    cpu_deliver_fault(c);
    CHECK_EQ(at_handler(r), VEC_DF);
    /* an external interrupt and a software interrupt are benign */
    rig_reset(r, false, 3);
    spoil(r, 0x55, VEC_NP);
    r->vector = 0x55;
    cpu_attend(c, ATTN_INTR);
    CHECK(cpu_take_event(c));
    CHECK(at_handler(r) == VEC_NP && top32(r, 0) == (0x55 << 3 | 3));
    /* a bad stack: #TS, #SS carry EXT; the handler of #TS must be reached through a task gate or fail too */
    rig_reset(r, false, 0);
    c->seg[SEG_SS].limit = 0xffff;
    c->gpr[RSP].q = 8;
    c->fault = (struct fault){.vector = VEC_UD};
    cpu_deliver_fault(c);
    CHECK(c->activity == ACTIVITY_SHUTDOWN && c->fault.vector == VEC_SS && c->fault.error == 1);
    rig_reset(r, true, 3);
    rig_put(r, RIG_TSS + 4, 0x800000000048, 8);
    c->fault = (struct fault){.vector = VEC_UD};
    cpu_deliver_fault(c);
    CHECK(c->activity == ACTIVITY_SHUTDOWN && c->fault.vector == VEC_SS && c->fault.error == 1);
    rig_reset(r, false, 3);
    rig_put(r, RIG_TSS + 8, GDT_DATA1, 2);
    c->fault = (struct fault){.vector = VEC_UD};
    cpu_deliver_fault(c);
    CHECK(c->activity == ACTIVITY_SHUTDOWN && c->fault.vector == VEC_TS && c->fault.error == (GDT_DATA1 | 1));
    rig_reset(r, false, 3);
    rig_put(r, RIG_TSS + 8, 0, 2);
    c->fault = (struct fault){.vector = VEC_UD};
    cpu_deliver_fault(c);
    CHECK(c->activity == ACTIVITY_SHUTDOWN && c->fault.vector == VEC_TS && c->fault.error == 1);
    rig_reset(r, true, 3);
    c->seg[SEG_TR].limit = 3;
    c->fault = (struct fault){.vector = VEC_UD};
    cpu_deliver_fault(c);
    CHECK(c->activity == ACTIVITY_SHUTDOWN && c->fault.vector == VEC_TS && c->fault.error == (GDT_TSS | 1));
    rig_reset(r, false, 3);
    rig_gdt(r, GDT_A, rig_desc(0, 0xf, A_DATA | SEG_DB));
    rig_put(r, RIG_TSS + 8, GDT_A, 2);
    c->fault = (struct fault){.vector = VEC_UD};
    cpu_deliver_fault(c);
    CHECK(c->activity == ACTIVITY_SHUTDOWN && c->fault.vector == VEC_SS && c->fault.error == (GDT_A | 1));
    /* #AC whose delivery is misaligned raises #AC, and so on: silicon hangs, the monitor must not */
    rig_reset(r, false, 3);
    rig_gate(r, VEC_AC, 0x8e, GDT_CONFORMING, 0x7000, 0);
    c->cr0 |= CR0_AM;
    cpu_set_rflags(c, RFLAGS_AC);
    c->gpr[RSP].q -= 1;
    cpu_update_mode(c);
    c->fault = (struct fault){.vector = VEC_AC};
    cpu_deliver_fault(c);
    CHECK(c->activity == ACTIVITY_SHUTDOWN);
}

static void real_mode(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, false, 0);
    c->cr0 = CR0_ET;
    for (unsigned s = 0; s < SEG_LDTR; s++)
        c->seg[s] = (struct seg){.sel = 0x1000, .base = 0x10000, .attr = 0x93, .limit = 0xffff};
    c->gpr[RSP].q = 0x100;
    c->idt = (struct dtable){.limit = 13 * 4 + 3};
    cpu_update_mode(c);
    rig_put(r, VEC_GP * 4, 0x20000010, 4);
    c->fault = (struct fault){.vector = VEC_GP, .has_error = true, .error = 0x1234};
    cpu_deliver_fault(c);
    CHECK(c->seg[SEG_CS].sel == 0x2000 && c->rip == 0x10);
    CHECK_EQ(c->gpr[RSP].q, 0xfa); /* no error code in real mode */
    c->idt.limit = 3;
    c->fault = (struct fault){.vector = VEC_UD};
    cpu_deliver_fault(c); /* #UD -> #GP -> #DF -> shutdown: all beyond the limit */
    CHECK(c->activity == ACTIVITY_SHUTDOWN && r->shutdowns == 1);
}

static void debug_traps(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, true, 0);
    c->dr6 = 0xffff0ff0 | 0x4003;
    c->dr7 = 0x2400;
    c->pending_db = 0x4;
    cpu_attend(c, ATTN_TRAP | ATTN_NMI | ATTN_INTR);
    r->vector = 0x30;
    CHECK(cpu_take_event(c));
    CHECK(at_handler(r) == VEC_DB && c->pending_db == 0);
    CHECK_EQ(c->dr6, 0xffff0ff0 | 0x4004); /* B0 to B3 are new, BS stays until software clears it */
    CHECK_EQ(c->dr7, 0x400);
    CHECK_EQ(top(r, 2) & RFLAGS_RF, 0);
    CHECK(cpu_take_event(c) && at_handler(r) == VEC_NMI);
    CHECK(!cpu_event_ready(c) && !cpu_take_event(c)); /* IF is clear */
    c->rflags_sys |= RFLAGS_IF;
    CHECK(cpu_take_event(c) && at_handler(r) == 0x30);
    c->rflags_sys |= RFLAGS_IF;
    cpu_attend(c, ATTN_NMI);
    CHECK(!cpu_take_event(c)); /* INTR has gone away, NMI is blocked */
    CHECK_EQ(atomic_load(&c->attention), ATTN_NMI);

    rig_enter(r, 0);
    c->fault = (struct fault){.vector = VEC_DB, .addr = 2}; /* instruction breakpoint */
    cpu_deliver_fault(c);
    CHECK_EQ(top(r, 2) & RFLAGS_RF, 0);
    rig_enter(r, 0);
    c->fault = (struct fault){.vector = VEC_DB, .addr = 0x2000}; /* general detect */
    cpu_deliver_fault(c);
    CHECK_EQ(top(r, 2) & RFLAGS_RF, RFLAGS_RF);
}

static void boundaries(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, true, 3);
    c->icount = 100;
    c->shadow_at = 100; /* STI */
    c->shadow_ss = false;
    r->vector = 0x31;
    cpu_attend(c, ATTN_INTR | ATTN_NMI);
    CHECK(!cpu_event_ready(c) && !cpu_take_event(c));
    c->pending_db = 0x4000;
    cpu_attend(c, ATTN_TRAP);
    CHECK(cpu_take_event(c) && at_handler(r) == VEC_DB); /* STI does not hold traps back */
    CHECK_EQ(atomic_load(&c->attention) & ATTN_TRAP, 0);
    rig_enter(r, 3);
    cpu_attend(c, ATTN_TRAP | ATTN_SIPI); /* nothing behind them */
    CHECK(!cpu_take_event(c) && atomic_load(&c->attention) == 0);
    c->pending_db = 1;
    c->shadow_at = 100;
    c->shadow_ss = true;
    cpu_attend(c, ATTN_TRAP);
    CHECK(!cpu_take_event(c) && atomic_load(&c->attention) == ATTN_TRAP); /* held back, not lost */
    rig_enter(r, 3);
    c->shadow_at = 100; /* MOV SS */
    c->shadow_ss = true;
    c->pending_db = 0x4001;
    cpu_attend(c, ATTN_TRAP | ATTN_NMI);
    CHECK(!cpu_take_event(c));
    c->icount = 101;
    CHECK(cpu_take_event(c) && at_handler(r) == VEC_DB && (c->dr6 & 0xf) == 1);
    CHECK_EQ(c->shadow_at, UINT64_MAX);

    rig_enter(r, 3);
    c->activity = ACTIVITY_HALTED;
    CHECK(!cpu_event_ready(c));
    r->vector = 0x32;
    cpu_attend(c, ATTN_INTR);
    CHECK(cpu_event_ready(c) && cpu_take_event(c));
    CHECK(c->activity == ACTIVITY_RUNNING && at_handler(r) == 0x32 && c->cpl == 0);

    c->activity = ACTIVITY_SHUTDOWN;
    c->index = 1;
    c->cr0 |= CR0_CD;
    cpu_attend(c, ATTN_INIT | ATTN_SMI);
    CHECK(cpu_take_event(c));
    CHECK(c->activity == ACTIVITY_WAIT_SIPI && c->rip == 0xfff0);
    CHECK_EQ(c->cr0, CR0_CD | CR0_ET);
    cpu_attend(c, ATTN_NMI | ATTN_INTR);
    CHECK(!cpu_event_ready(c));
    c->sipi_vector = 0x9a;
    cpu_attend(c, ATTN_SIPI);
    CHECK(cpu_take_event(c));
    CHECK(c->activity == ACTIVITY_RUNNING && c->rip == 0 && c->seg[SEG_CS].base == 0x9a000 &&
          c->seg[SEG_CS].sel == 0x9a00);
    c->index = 0;
    EXPECT_FAULT(r, op_rsm(c), VEC_UD, 0);
}

static void inject(struct rig *r, u64 status)
{
    const struct mc_error e = {.bank = 2, .mcg_status = MCG_RIPV, .status = status};
    CHECK(machine_check_inject(r->c, &e));
    CHECK(!machine_check_inject(r->c, &e)); /* one at a time */
}

/* SDM vol. 3, 6.15, vector 18: an uncorrected error with CR4.MCE clear or MCIP set is the end. */
static void machine_checks(struct rig *r)
{
    struct cpu *c = r->c;
    const u64 fatal = BIT(61);
    const struct mc_error beyond = {.bank = MC_BANKS};
    static struct log log;
    log_init(&log);
    c->wires.log = &log;
    CHECK(!machine_check_inject(c, &beyond));
    for (unsigned k = 0; k < 4; k++) {
        rig_reset(r, true, 3);
        c->cr4 |= k == 0 ? 0 : CR4_MCE;
        c->mc_bank[2][MC_CTL] = ~0ull;
        c->mcg_status = k == 1 ? MCG_MCIP : 0;
        c->activity = k == 2 ? ACTIVITY_HALTED : ACTIVITY_RUNNING;
        c->shadow_at = c->icount; /* holds nothing back */
        inject(r, k == 3 ? 0 : fatal);
        CHECK(cpu_event_ready(c));
        CHECK(cpu_take_event(c));
        CHECK_EQ(atomic_load(&c->attention) & ATTN_MC, 0);
        CHECK_EQ(c->mc_bank[2][MC_STATUS] >> 63, 1);
        if (k < 2) {
            CHECK_EQ(c->activity, ACTIVITY_SHUTDOWN);
            CHECK_EQ(r->shutdowns, 1);
        } else if (k == 2) {
            CHECK(c->activity == ACTIVITY_RUNNING && at_handler(r) == VEC_MC && c->cpl == 0);
            CHECK_EQ(c->mcg_status, MCG_MCIP | MCG_RIPV);
        } else {
            CHECK_EQ(c->rip, RIG_CODE); /* corrected */
            CHECK_EQ(c->mcg_status, 0);
        }
    }
}

int main(void)
{
    struct rig r;
    if (!rig_create(&r))
        return 1;
    long_frames(&r);
    legacy_frames(&r);
    gate_refusals(&r, false);
    gate_refusals(&r, true);
    stack_refusals(&r);
    double_faults(&r);
    real_mode(&r);
    debug_traps(&r);
    boundaries(&r);
    machine_checks(&r);
    rig_destroy(&r);
    return check_done();
}
