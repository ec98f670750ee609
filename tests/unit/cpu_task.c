/* Hardware task switches by JMP, CALL, IRET and task gates, 32- and 16-bit TSS: what is saved, loaded and
 * marked, every refusal in the old task, and faults that belong to the new one. */
#include "cpu_rig.h"

#define NEXT_RIP 0x40007

enum {
    OFF_EIP = 0x20,
    OFF_EFLAGS = 0x24,
    OFF_EAX = 0x28,
    OFF_ESP = 0x38,
    OFF_ES = 0x48,
    OFF_CS = 0x4c,
    OFF_SS = 0x50,
    OFF_DS = 0x54,
    OFF_LDT = 0x60
};

/* Task B, 32-bit: code of level 0 at 0x7000. */
static void task_b(struct rig *r)
{
    rig_put(r, RIG_TSS_B + 0x1c, RIG_PT, 4);
    rig_put(r, RIG_TSS_B + OFF_EIP, 0x7000, 4);
    rig_put(r, RIG_TSS_B + OFF_EFLAGS, RFLAGS_CF | 2, 4);
    for (unsigned k = 0; k < 8; k++)
        rig_put(r, RIG_TSS_B + OFF_EAX + 4 * k, 0xb0000000 + k, 4);
    rig_put(r, RIG_TSS_B + OFF_ESP, RIG_STACK1, 4);
    for (unsigned k = 0; k < 6; k++)
        rig_put(r, RIG_TSS_B + OFF_ES + 4 * k, GDT_DATA0, 2);
    rig_put(r, RIG_TSS_B + OFF_CS, GDT_CODE0, 2);
    rig_put(r, RIG_TSS_B + OFF_LDT, 0, 2);
    rig_put(r, RIG_TSS_B + 0x64, 0, 2);
}

static void start(struct rig *r, unsigned cpl)
{
    rig_reset(r, false, cpl);
    task_b(r);
    r->c->gpr[RAX].q = 0xa0000000;
    r->c->gpr[RDI].q = 0xa0000007;
    r->c->dr7 = 0x7ff;
}

static void by_jmp(struct rig *r)
{
    struct cpu *c = r->c;
    start(r, 0);
    CHECK(op_jmp_far(c, GDT_TSS_B, 0xdead, 4, NEXT_RIP));
    CHECK(c->rip == 0x7000 && c->gpr[RAX].q == 0xb0000000 && c->gpr[RDI].q == 0xb0000007 &&
          c->gpr[RSP].q == RIG_STACK1);
    CHECK_EQ(cpu_rflags(c), RFLAGS_CF | 2);
    CHECK(c->seg[SEG_TR].sel == GDT_TSS_B && c->seg[SEG_TR].base == RIG_TSS_B &&
          (c->seg[SEG_TR].attr & 0xf) == 11);
    CHECK_EQ(rig_attr(r, GDT_TSS), 0x89); /* the old one is free again */
    CHECK_EQ(rig_attr(r, GDT_TSS_B), 0x8b);
    CHECK(c->cr0 & CR0_TS && c->dr7 == 0x6aa && c->flat);
    CHECK_EQ(rig_get(r, RIG_TSS + OFF_EIP, 4), NEXT_RIP);
    CHECK_EQ(rig_get(r, RIG_TSS + OFF_EFLAGS, 4), RFLAGS_IF | 2);
    CHECK_EQ(rig_get(r, RIG_TSS + OFF_EAX, 4), 0xa0000000);
    CHECK_EQ(rig_get(r, RIG_TSS + OFF_EAX + 28, 4), 0xa0000007);
    CHECK_EQ(rig_get(r, RIG_TSS + OFF_CS, 2), GDT_CODE0);
    CHECK_EQ(rig_get(r, RIG_TSS + OFF_SS, 2), GDT_DATA0);
    CHECK_EQ(rig_get(r, RIG_TSS_B, 2), 0);       /* no link */
    CHECK(op_jmp_far(c, GDT_TSS, 0, 4, 0x7001)); /* and back */
    CHECK(c->rip == NEXT_RIP && c->gpr[RAX].q == 0xa0000000);
    EXPECT_FAULT(r, op_jmp_far(c, GDT_TSS, 0, 4, NEXT_RIP), VEC_GP, GDT_TSS); /* busy */
}

static void by_call_and_iret(struct rig *r)
{
    struct cpu *c = r->c;
    start(r, 3);
    rig_gdt(r, GDT_A, (u64)GDT_TSS_B << 16 | 0xe50000000000); /* task gate, DPL 3 */
    EXPECT_FAULT(r, op_call_far(c, GDT_TSS_B | 3, 0, 4, NEXT_RIP), VEC_GP, GDT_TSS_B);
    CHECK(op_call_far(c, GDT_A | 3, 0, 4, NEXT_RIP));
    CHECK(c->rip == 0x7000 && c->cpl == 0 && c->rflags_sys & RFLAGS_NT);
    CHECK_EQ(rig_get(r, RIG_TSS_B, 2), GDT_TSS);
    CHECK_EQ(rig_attr(r, GDT_TSS), 0x8b); /* both busy */
    CHECK_EQ(rig_attr(r, GDT_TSS_B), 0x8b);
    CHECK(op_iret(c, 4, 0x7001));
    CHECK(c->rip == NEXT_RIP && c->cpl == 3 && c->seg[SEG_TR].sel == GDT_TSS);
    CHECK_EQ(rig_attr(r, GDT_TSS_B), 0x89);
    CHECK_EQ(rig_get(r, RIG_TSS_B + OFF_EFLAGS, 4) & RFLAGS_NT, 0);
    CHECK_EQ(rig_get(r, RIG_TSS_B + OFF_EIP, 4), 0x7001);

    start(r, 0);
    c->rflags_sys |= RFLAGS_NT;
    static const struct {
        u16 link;
        u8 vector;
        u16 error;
    } bad[] = {
        {GDT_TSS_B | 4, VEC_TS, GDT_TSS_B | 4},
        {GDT_BEYOND, VEC_TS, GDT_BEYOND},
        {GDT_TSS_B, VEC_TS, GDT_TSS_B},
        {GDT_DATA0, VEC_TS, GDT_DATA0},
        {GDT_A, VEC_NP, GDT_A},
    };
    rig_gdt(r, GDT_A, rig_desc(RIG_TSS_B, 0x67, 0x0b));
    for (unsigned k = 0; k < ARRAY_LEN(bad); k++) {
        rig_put(r, RIG_TSS, bad[k].link, 2);
        EXPECT_FAULT(r, op_iret(c, 4, NEXT_RIP), bad[k].vector, bad[k].error);
    }
}

static void refusals(struct rig *r)
{
    struct cpu *c = r->c;
    start(r, 0);
    rig_gdt(r, GDT_A, rig_desc(RIG_TSS_B, 0x66, 0x89));
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_TS, GDT_A); /* limit */
    rig_gdt(r, GDT_A, rig_desc(RIG_TSS_16, 0x2a, 0x81));
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_TS, GDT_A);
    rig_gdt(r, GDT_A, rig_desc(RIG_TSS_B, 0x67, 0x09));
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_NP, GDT_A);
    rig_gdt(r, GDT_A, rig_desc(RIG_ABSENT + 0xff0 - 0x40, 0x67, 0x89));
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_PF, 0); /* the new TSS is not there */
    CHECK_EQ(c->fault.addr, RIG_ABSENT + 0xff0 - 0x40);
    CHECK_EQ(rig_attr(r, GDT_TSS), 0x8b);
    rig_put(r, RIG_LDT + 8, rig_desc(RIG_TSS_B, 0x67, 0x89), 8);
    CHECK(op_lldt(c, GDT_LDT));
    EXPECT_FAULT(r, op_jmp_far(c, 0x0c, 0, 4, NEXT_RIP), VEC_GP, 0x0c); /* a TSS in the LDT */
    c->seg[SEG_TR].limit = 0x66;
    EXPECT_FAULT(r, op_jmp_far(c, GDT_TSS_B, 0, 4, NEXT_RIP), VEC_TS, GDT_TSS); /* no room to save */
    c->seg[SEG_TR].limit = 0xfff;
    rig_gdt(r, GDT_A, rig_desc(RIG_ABSENT - 0x40, 0x67, 0x89)); /* its second half is not */
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_PF, 0);
    c->seg[SEG_TR].base = RIG_ABSENT - 0x30; /* nor the old one */
    EXPECT_FAULT(r, op_jmp_far(c, GDT_TSS_B, 0, 4, NEXT_RIP), VEC_PF, 2);
    CHECK_EQ(rig_get(r, RIG_ABSENT - 0x30 + OFF_EIP, 4), 0);
    CHECK_EQ(rig_attr(r, GDT_TSS_B), 0x89);
}

/* Faults in the new task: delivered there, with its EIP on its stack. */
static void new_task_faults(struct rig *r)
{
    struct cpu *c = r->c;
    static const struct {
        u16 off, sel;
        u8 vector;
        u16 error;
    } bad[] = {
        {OFF_LDT, GDT_DATA0, VEC_TS, GDT_DATA0},
        {OFF_LDT, 0x0c, VEC_TS, 0x0c},
        {OFF_LDT, GDT_BEYOND, VEC_TS, GDT_BEYOND},
        {OFF_LDT, GDT_B, VEC_TS, GDT_B}, /* not present */

        {OFF_DS, GDT_BEYOND, VEC_TS, GDT_BEYOND},
        {OFF_DS, GDT_TSS, VEC_TS, GDT_TSS},
        {OFF_ES, GDT_A, VEC_NP, GDT_A},
        {OFF_ES, GDT_DATA0 | 3, VEC_TS, GDT_DATA0},
    };
    for (unsigned k = 0; k < ARRAY_LEN(bad); k++) {
        start(r, 3);
        rig_gdt(r, GDT_A, rig_desc(0, 0xfffff, 0x13 | A_BIG));
        rig_gdt(r, GDT_B, rig_desc(RIG_LDT, 0xff, 0x02));
        rig_gdt(r, GDT_TSS_B, rig_desc(RIG_TSS_B, 0x67, 0xe9));
        rig_put(r, RIG_TSS_B + bad[k].off, bad[k].sel, 2);
        if (bad[k].off == OFF_LDT) { /* stops before any segment: a handler task */
            rig_put(r, RIG_TSS_16 + 0x0e, 0x7777, 2);
            rig_put(r, RIG_TSS_16 + 0x1a, 0x1000, 2);
            rig_put(r, RIG_TSS_16 + 0x24, GDT_CODE0, 2);
            rig_put(r, RIG_TSS_16 + 0x26, GDT_DATA0, 2);
            rig_put(r, RIG_IDT + VEC_TS * 8, (u64)GDT_TSS_16 << 16 | 0x850000000000, 8);
            CHECK(op_jmp_far(c, GDT_TSS_B, 0, 4, NEXT_RIP));
            CHECK(c->rip == 0x7777 && c->seg[SEG_TR].sel == GDT_TSS_16 && c->gpr[RSP].q == 0x1000 - 2);
            CHECK_EQ(rig_get(r, 0x1000 - 2, 2), bad[k].error);
            CHECK_EQ(rig_get(r, RIG_TSS_B + OFF_EIP, 4), 0x7000);
            CHECK_EQ(rig_get(r, RIG_TSS_B + OFF_EFLAGS, 4), RFLAGS_RF | RFLAGS_CF | 2);
            continue;
        }
        CHECK(op_jmp_far(c, GDT_TSS_B, 0, 4, NEXT_RIP)); /* the instruction itself completes */
        CHECK_EQ(c->rip, rig_handler(bad[k].vector));
        CHECK_EQ(c->seg[SEG_TR].sel, GDT_TSS_B);
        CHECK_EQ(rig_get(r, c->gpr[RSP].q, 4), bad[k].error);
        CHECK_EQ(rig_get(r, c->gpr[RSP].q + 4, 4), 0x7000);
    }
    /* SS or CS bad: nothing can be pushed, so it ends in shutdown unless a task gate helps */
    start(r, 0);
    rig_put(r, RIG_TSS_B + OFF_SS, 0, 2);
    CHECK(op_jmp_far(c, GDT_TSS_B, 0, 4, NEXT_RIP));
    CHECK(c->activity == ACTIVITY_SHUTDOWN && r->shutdowns == 1 && c->rip == 0x7000);
    start(r, 0);
    rig_put(r, RIG_TSS_B + OFF_CS, GDT_CODE3 | 3,
            2); /* level 3 with a stack of level 0: #TS(SS), on the stack of B's level 0 */
    rig_put(r, RIG_TSS_B + 4, RIG_STACK1, 4);
    rig_put(r, RIG_TSS_B + 8, GDT_DATA0, 2);
    CHECK(op_jmp_far(c, GDT_TSS_B, 0, 4, NEXT_RIP));
    CHECK(c->rip == rig_handler(VEC_TS) && c->gpr[RSP].q == RIG_STACK1 - 24);
    CHECK_EQ(rig_get(r, c->gpr[RSP].q, 4), GDT_DATA0);
    start(r, 0);
    rig_gdt(r, GDT_A, rig_desc(0, 0x6fff, A_CODE | SEG_DB));
    rig_put(r, RIG_TSS_B + OFF_CS, GDT_A, 2); /* EIP beyond the limit: #GP(0) */
    CHECK(op_jmp_far(c, GDT_TSS_B, 0, 4, NEXT_RIP));
    CHECK(c->rip == rig_handler(VEC_GP) && rig_get(r, c->gpr[RSP].q, 8) == 0x700000000000);
}

static void by_gate(struct rig *r)
{
    struct cpu *c = r->c;
    start(r, 3);
    rig_put(r, RIG_IDT + VEC_GP * 8, (u64)GDT_TSS_B << 16 | 0x850000000000, 8);
    c->fault = (struct fault){.vector = VEC_GP, .has_error = true, .error = 0x30};
    cpu_deliver_fault(c);
    CHECK(c->rip == 0x7000 && c->rflags_sys & RFLAGS_NT && c->gpr[RSP].q == RIG_STACK1 - 4);
    CHECK_EQ(rig_get(r, RIG_STACK1 - 4, 4), 0x30);
    CHECK_EQ(rig_get(r, RIG_TSS + OFF_EIP, 4), RIG_CODE);
    CHECK_EQ(rig_get(r, RIG_TSS + OFF_EFLAGS, 4), RFLAGS_RF | RFLAGS_IF | 2);
    /* its TSS is busy now: the same fault again becomes #GP -> #DF */
    c->fault = (struct fault){.vector = VEC_GP, .has_error = true, .error = 0x30};
    cpu_deliver_fault(c);
    CHECK_EQ(c->rip, rig_handler(VEC_DF));

    start(r, 3);
    rig_put(r, RIG_IDT + 0x80 * 8, (u64)GDT_A << 16 | 0xe50000000000, 8);
    rig_gdt(r, GDT_A, rig_desc(RIG_TSS_B, 0x67, 0x09));
    EXPECT_FAULT(r, op_int(c, 0x80, NEXT_RIP), VEC_NP, GDT_A);
    rig_gdt(r, GDT_A, rig_desc(RIG_TSS_B, 0x67, 0x89));
    rig_put(r, RIG_TSS_B + 0x64, 1, 2); /* T: a debug trap in the new task */
    CHECK(op_int(c, 0x80, NEXT_RIP));
    CHECK(c->pending_db == 0x8000 && cpu_take_event(c) && c->rip == rig_handler(VEC_DB) && c->dr6 & 0x8000);
}

static void to_v86_and_16(struct rig *r)
{
    struct cpu *c = r->c;
    start(r, 0);
    rig_put(r, RIG_TSS_B + OFF_EFLAGS, RFLAGS_VM | RFLAGS_IF, 4);
    rig_put(r, RIG_TSS_B + OFF_CS, 0x2000, 2);
    CHECK(op_jmp_far(c, GDT_TSS_B, 0, 4, NEXT_RIP));
    CHECK(cpu_v86(c) && c->cpl == 3 && c->seg[SEG_CS].base == 0x20000 &&
          c->seg[SEG_ES].base == GDT_DATA0 << 4);

    start(r, 0);
    static const u16 image[] = {0x7000, 2,    0x10,      0x11,      0x12,      0x13,      0x1000, 0x15,
                                0x16,   0x17, GDT_DATA0, GDT_CODE0, GDT_DATA0, GDT_DATA0, GDT_LDT};
    for (unsigned k = 0; k < ARRAY_LEN(image); k++)
        rig_put(r, RIG_TSS_16 + 0x0e + 2 * k, image[k], 2);
    CHECK(op_call_far(c, GDT_TSS_16, 0, 4, NEXT_RIP));
    CHECK(c->rip == 0x7000 && c->gpr[RAX].q == 0x10 && c->gpr[RDI].q == 0x17 && c->gpr[RSP].q == 0x1000);
    CHECK(c->seg[SEG_LDTR].base == RIG_LDT && c->seg[SEG_FS].attr & SEG_UNUSABLE &&
          c->rflags_sys & RFLAGS_NT);
    c->gpr[RBX].q = 0xffff5678;
    CHECK(op_iret(c, 4, 0x17001));
    CHECK(c->rip == NEXT_RIP && c->seg[SEG_TR].sel == GDT_TSS);
    CHECK_EQ(rig_get(r, RIG_TSS_16 + 0x0e, 2), 0x7001);
    CHECK_EQ(rig_get(r, RIG_TSS_16 + 0x18, 2), 0x5678);
    CHECK_EQ(rig_get(r, RIG_TSS_16 + 0x2a, 2), GDT_LDT);
}

int main(void)
{
    struct rig r;
    if (!rig_create(&r))
        return 1;
    by_jmp(&r);
    by_call_and_iret(&r);
    refusals(&r);
    new_task_faults(&r);
    by_gate(&r);
    to_v86_and_16(&r);
    rig_destroy(&r);
    return check_done();
}
