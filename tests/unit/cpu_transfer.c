/* Far JMP, CALL, RET through code segments and call gates, IRET in every mode, SYSCALL and SYSENTER families:
 * what they do and each refusal. */
#include "cpu_rig.h"

#define NEXT_RIP 0x40007

/* A call gate of TYPE (with P and DPL). */
static void call_gate_put(struct rig *r, u16 at, u8 type, u16 sel, u64 off, u8 params)
{
    rig_put(r, RIG_GDT + at,
            (off & 0xffff) | (u64)sel << 16 | (u64)params << 32 | (u64)type << 40 |
                (off >> 16 & 0xffff) << 48,
            8);
    if (cpu_long_mode(r->c))
        rig_put(r, RIG_GDT + at + 8, off >> 32, 8);
}

static void stack_words(struct rig *r, u64 at, unsigned size, const u64 *v, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        rig_put(r, at + k * size, v[k], size);
}
#define STACK(r, at, size, ...)                                                                              \
    stack_words(r, at, size, (const u64[]){__VA_ARGS__}, sizeof((const u64[]){__VA_ARGS__}) / 8)

static void jumps(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, false, 3);
    CHECK(op_jmp_far(c, GDT_CONFORMING, 0x1234, 4, NEXT_RIP));
    CHECK(c->rip == 0x1234 && c->seg[SEG_CS].sel == (GDT_CONFORMING | 3) && c->cpl == 3);
    rig_enter(r, 0);
    CHECK(op_jmp_far(c, GDT_CONFORMING | 3, 0x1234, 4, NEXT_RIP) && c->seg[SEG_CS].sel == GDT_CONFORMING);
    rig_enter(r, 3);
    EXPECT_FAULT(r, op_jmp_far(c, GDT_ABSENT, 0, 4, NEXT_RIP), VEC_PF, 0);
    EXPECT_FAULT(r, op_call_far(c, GDT_ABSENT, 0, 4, NEXT_RIP), VEC_PF, 0);
    EXPECT_FAULT(r, op_call_far(c, GDT_DATA3, 0, 4, NEXT_RIP), VEC_GP, GDT_DATA3);
    EXPECT_FAULT(r, op_call_far(c, GDT_BEYOND, 0, 4, NEXT_RIP), VEC_GP, GDT_BEYOND);
    EXPECT_FAULT(r, op_jmp_far(c, 0, 0, 4, NEXT_RIP), VEC_GP, 0);
    EXPECT_FAULT(r, op_jmp_far(c, GDT_CODE0, 0, 4, NEXT_RIP), VEC_GP, GDT_CODE0);
    EXPECT_FAULT(r, op_jmp_far(c, GDT_DATA3, 0, 4, NEXT_RIP), VEC_GP, GDT_DATA3);
    EXPECT_FAULT(r, op_jmp_far(c, GDT_BEYOND | 3, 0, 4, NEXT_RIP), VEC_GP, GDT_BEYOND);
    rig_gdt(r, GDT_A, rig_desc(0, 0xfff, 0x7a));
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_NP, GDT_A);
    rig_gdt(r, GDT_A, rig_desc(0, 0xfff, 0xfa));
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0x1000, 4, NEXT_RIP), VEC_GP, 0);
    CHECK_EQ(rig_attr(r, GDT_A), 0xfa);
    CHECK(op_jmp_far(c, GDT_A, 0x10fff, 2, NEXT_RIP));
    CHECK(c->rip == 0xfff && c->code_size == 2 && rig_attr(r, GDT_A) == 0xfb);
    rig_enter(r, 0);
    EXPECT_FAULT(r, op_jmp_far(c, GDT_CODE0 | 1, 0, 4, NEXT_RIP), VEC_GP, GDT_CODE0); /* RPL > CPL */
    rig_gdt(r, GDT_A, rig_desc(0, 0xfffff, A_CODE | A_BIG | A_3 | SEG_DC));
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_GP, GDT_A); /* conforming, outer */

    rig_reset(r, true, 0);
    CHECK(op_jmp_far(c, GDT_CODE0, 0x5000, 4, NEXT_RIP)); /* to compatibility mode */
    CHECK(c->code_size == 4 && c->rip == 0x5000);
    CHECK(op_jmp_far(c, GDT_CODE0_64, 0x6000, 4, NEXT_RIP));
    CHECK(c->code_size == 8);
    EXPECT_FAULT(r, op_jmp_far(c, GDT_CODE0_64, 0x800000000000, 8, NEXT_RIP), VEC_GP, 0);
    rig_gdt(r, GDT_A, rig_desc(0, 0xfff, A_CODE | SEG_DB)); /* the offset is cut to 32 bits first */
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0x100001000, 8, NEXT_RIP), VEC_GP, 0);
    CHECK(op_jmp_far(c, GDT_A, 0x100000ff0, 8, NEXT_RIP) && c->rip == 0xff0 && c->code_size == 4);
    CHECK(op_jmp_far(c, GDT_CODE0_64, 0x6000, 4, NEXT_RIP));
    rig_gdt(r, GDT_A, rig_desc(0, 0xfffff, A_CODE | A_LONG | A_BIG)); /* L and D */
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0, 8, NEXT_RIP), VEC_GP, GDT_A);
    EXPECT_FAULT(r, op_jmp_far(c, GDT_TSS_B, 0, 8, NEXT_RIP), VEC_GP, GDT_TSS_B);
}

static void calls(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, false, 3);
    CHECK(op_call_far(c, GDT_CODE3 | 3, 0x1234, 4, NEXT_RIP));
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK3 - 8);
    CHECK_EQ(rig_get(r, RIG_STACK3 - 8, 4), NEXT_RIP);
    CHECK_EQ(rig_get(r, RIG_STACK3 - 4, 4), GDT_CODE3 | 3);
    CHECK(op_ret_far(c, 4, 4));
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK3 + 4);
    CHECK_EQ(c->rip, NEXT_RIP);
    rig_enter(r, 3);
    c->gpr[RSP].q = RIG_ABSENT + 0x1004; /* half on the absent page */
    EXPECT_FAULT(r, op_call_far(c, GDT_CODE3, 0x1234, 4, NEXT_RIP), VEC_PF, 6);
    c->seg[SEG_SS].limit = 0x10000;
    c->gpr[RSP].q = RIG_STACK3;
    EXPECT_FAULT(r, op_call_far(c, GDT_CODE3, 0x1234, 4, NEXT_RIP), VEC_SS, 0);
    /* room comes before the target */
    rig_gdt(r, GDT_A, rig_desc(0, 0xfff, 0xfa));
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0x1000, 4, NEXT_RIP), VEC_SS, 0);
    rig_enter(r, 3);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0x1000, 4, NEXT_RIP), VEC_GP, 0);

    rig_reset(r, true, 0);
    CHECK(op_call_far(c, GDT_CODE0_64, 0x1234, 8, NEXT_RIP));
    CHECK_EQ(rig_get(r, RIG_STACK0 - 16, 8), NEXT_RIP);
    CHECK(op_ret_far(c, 8, 0));
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0);
    /* to compatibility mode: pushes through SS, the upper half of RSP is dropped */
    c->gpr[RSP].q = RIG_STACK0 | 0x500000000;
    c->seg[SEG_SS].base = 0x100;
    CHECK(op_call_far(c, GDT_CODE0, 0x1234, 8, NEXT_RIP) && c->code_size == 4);
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0 - 16);
    CHECK_EQ(rig_get(r, RIG_STACK0 + 0x100 - 16, 8), NEXT_RIP);
    CHECK(op_call_far(c, GDT_CODE0_64, 0x1234, 4, NEXT_RIP) && c->code_size == 8); /* and back: no base */
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0 - 24);
    CHECK_EQ(rig_get(r, RIG_STACK0 - 24, 4), NEXT_RIP);
    c->gpr[RSP].q = 0x800000000000 - 8; /* the second item is not canonical */
    EXPECT_FAULT(r, op_ret_far(c, 8, 0), VEC_SS, 0);
    c->gpr[RSP].q = 0x800000000000 - 4;
    EXPECT_FAULT(r, op_ret_far(c, 4, 0), VEC_SS, 0);
    c->gpr[RSP].q = 0x800000000000 + 8;
    EXPECT_FAULT(r, op_call_far(c, GDT_CODE0_64, 0x1234, 8, NEXT_RIP), VEC_SS, 0);
}

static void gates(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, false, 3);
    call_gate_put(r, GDT_A, 0xec, GDT_CODE0, 0x7000, 2);
    STACK(r, RIG_STACK3 - 8, 4, 0x11111111, 0x22222222);
    c->gpr[RSP].q = RIG_STACK3 - 8;
    CHECK(op_call_far(c, GDT_A | 3, 0xdead, 4, NEXT_RIP));
    CHECK(c->cpl == 0 && c->rip == 0x7000 && c->seg[SEG_CS].sel == GDT_CODE0 &&
          c->seg[SEG_SS].sel == GDT_DATA0);
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0 - 24);
    CHECK_EQ(rig_get(r, RIG_STACK0 - 24, 8), NEXT_RIP | (u64)(GDT_CODE3 | 3) << 32);
    CHECK_EQ(rig_get(r, RIG_STACK0 - 16, 8), 0x2222222211111111);
    CHECK_EQ(rig_get(r, RIG_STACK0 - 8, 8), (RIG_STACK3 - 8) | (u64)(GDT_DATA3 | 3) << 32);
    c->seg[SEG_ES] = rig_seg(r, GDT_DATA0);
    c->seg[SEG_FS] = rig_seg(r, GDT_CONFORMING);
    rig_gdt(r, GDT_B, rig_desc(0, 0xfff, 0x97)); /* data, expand-down */
    c->seg[SEG_GS] = rig_seg(r, GDT_B);
    CHECK(op_ret_far(c, 4, 8)); /* releases both stacks, drops what CPL 3 may not see */
    CHECK(c->seg[SEG_FS].sel == GDT_CONFORMING && !(c->seg[SEG_FS].attr & SEG_UNUSABLE));
    CHECK(c->seg[SEG_GS].sel == 0 && c->seg[SEG_GS].attr & SEG_UNUSABLE);
    CHECK(c->cpl == 3 && c->rip == NEXT_RIP && c->gpr[RSP].q == RIG_STACK3);
    CHECK(c->seg[SEG_ES].attr & SEG_UNUSABLE && c->seg[SEG_ES].sel == 0);
    CHECK(!(c->seg[SEG_DS].attr & SEG_UNUSABLE));

    rig_enter(r, 3);
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A | 3, 0, 4, NEXT_RIP), VEC_GP, GDT_CODE0); /* JMP keeps the level */
    call_gate_put(r, GDT_A, 0x8c, GDT_CODE0, 0x7000, 0);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_GP, GDT_A); /* DPL */
    call_gate_put(r, GDT_A, 0x6c, GDT_CODE0, 0x7000, 0);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_NP, GDT_A);
    call_gate_put(r, GDT_A, 0xec, 0, 0x7000, 0);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_GP, 0);
    call_gate_put(r, GDT_A, 0xec, GDT_DATA0, 0x7000, 0);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_GP, GDT_DATA0);
    call_gate_put(r, GDT_A, 0xec, GDT_CODE1, 0x7000, 0); /* to level 1 */
    CHECK(op_call_far(c, GDT_A, 0, 4, NEXT_RIP));
    CHECK(c->cpl == 1 && c->seg[SEG_SS].sel == (GDT_DATA1 | 1) && c->gpr[RSP].q == RIG_STACK1 - 16);
    rig_enter(r, 3);
    call_gate_put(r, GDT_A, 0xec, GDT_CONFORMING, 0x7000, 0); /* conforming: the same level, by JMP too */
    CHECK(op_call_far(c, GDT_A, 0, 4, NEXT_RIP));
    CHECK(c->cpl == 3 && c->seg[SEG_CS].sel == (GDT_CONFORMING | 3) && c->gpr[RSP].q == RIG_STACK3 - 8);
    rig_enter(r, 3);
    CHECK(op_jmp_far(c, GDT_A, 0, 4, NEXT_RIP) && c->cpl == 3 && c->rip == 0x7000 &&
          c->gpr[RSP].q == RIG_STACK3);
    rig_gdt(r, GDT_B, rig_desc(0, 0x6fff, 0x9e | SEG_DB));
    call_gate_put(r, GDT_A, 0xec, GDT_B, 0x7000, 0);
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_GP,
                 0); /* the gate's offset is beyond the limit */
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_GP, 0);
    CHECK_EQ(rig_attr(r, GDT_B), 0x9e);
    rig_gdt(r, GDT_B, rig_desc(0, 0xfffff, 0x1a | A_BIG));
    call_gate_put(r, GDT_A, 0xec, GDT_B, 0x7000, 0); /* inner and absent: JMP minds the level first */
    EXPECT_FAULT(r, op_jmp_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_GP, GDT_B);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_NP, GDT_B);
    call_gate_put(r, GDT_A, 0xec, GDT_ABSENT, 0x7000, 0);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_PF, 0);
    rig_enter(r, 3);
    call_gate_put(r, GDT_A, 0xe4, GDT_CODE0, 0x7000, 0); /* 16-bit gate */
    CHECK(op_call_far(c, GDT_A, 0, 4, NEXT_RIP));
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0 - 8);
    CHECK_EQ(rig_get(r, RIG_STACK0 - 8, 8), (NEXT_RIP & 0xffff) | (GDT_CODE3 | 3) << 16 |
                                                (u64)(RIG_STACK3 & 0xffff) << 32 |
                                                (u64)(GDT_DATA3 | 3) << 48);

    /* the new stack */
    rig_reset(r, false, 3);
    call_gate_put(r, GDT_A, 0xec, GDT_CODE0, 0x7000, 31);
    c->seg[SEG_TR].limit = 8;
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_TS, GDT_TSS);
    c->seg[SEG_TR].limit = 0x67;
    static const struct {
        u16 sel, attr;
        u8 vector;
        u16 error;
    } stacks[] = {
        {0, 0, VEC_TS, 0},
        {GDT_BEYOND, 0, VEC_TS, GDT_BEYOND},
        {GDT_B | 1, A_DATA | A_BIG, VEC_TS, GDT_B},   /* RPL */
        {GDT_B, A_DATA | A_BIG | A_3, VEC_TS, GDT_B}, /* DPL */
        {GDT_B, 0x91 | A_BIG, VEC_TS, GDT_B},         /* read-only */
        {GDT_B, A_CODE | A_BIG, VEC_TS, GDT_B},
        {GDT_B, (A_DATA & ~SEG_P) | A_BIG, VEC_SS, GDT_B},
        {GDT_B, A_DATA | SEG_DB, VEC_SS, GDT_B}, /* limit 0xfffff bytes... */
    };
    for (unsigned k = 0; k < ARRAY_LEN(stacks); k++) {
        rig_put(r, RIG_TSS + 8, stacks[k].sel, 2);
        rig_gdt(r, GDT_B,
                rig_desc(0, k == 7 ? 0x10fff - 8 : 0xfffff, stacks[k].attr)); /* ... here too small */
        EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), stacks[k].vector, stacks[k].error);
    }
    c->seg[SEG_TR].base = RIG_ABSENT - 6; /* the stack's selector is on the absent page */
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_PF, 0);
    c->seg[SEG_TR].base = RIG_TSS;
    rig_put(r, RIG_TSS + 8, GDT_ABSENT, 2);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_PF, 0);
    rig_put(r, RIG_TSS + 8, GDT_DATA0, 2);
    c->gpr[RSP].q = RIG_STACK3 - 31 * 4;
    CHECK(op_call_far(c, GDT_A, 0, 4, NEXT_RIP)); /* more than one access can carry */
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0 - 35 * 4);
    CHECK_EQ(rig_get(r, RIG_STACK0 - 35 * 4, 4), NEXT_RIP);
    CHECK_EQ(rig_get(r, RIG_STACK0 - 4, 4), GDT_DATA3 | 3);
    rig_enter(r, 3);
    c->gpr[RSP].q = RIG_ABSENT + 0x1000 - 4; /* parameters cannot be read */
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_PF, 4);

    rig_reset(r, true, 3);
    call_gate_put(r, GDT_A, 0xec, GDT_CODE0_64, 0x7000, 0);
    CHECK(op_call_far(c, GDT_A, 0, 4, NEXT_RIP));
    CHECK(c->cpl == 0 && c->seg[SEG_SS].sel == 0 && c->seg[SEG_SS].attr & SEG_UNUSABLE);
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0 - 32);
    CHECK_EQ(rig_get(r, RIG_STACK0 - 8, 8), GDT_DATA3 | 3);
    CHECK(op_ret_far(c, 8, 0));
    CHECK(c->cpl == 3 && c->gpr[RSP].q == RIG_STACK3);
    rig_enter(r, 0);
    c->seg[SEG_CS] = rig_seg(r, GDT_CODE0);
    cpu_update_mode(c);
    CHECK(op_call_far(c, GDT_A, 0, 4, NEXT_RIP)); /* the same level, out of compatibility mode */
    CHECK(c->code_size == 8 && c->gpr[RSP].q == RIG_STACK0 - 16 && c->seg[SEG_SS].sel == GDT_DATA0);
    CHECK_EQ(rig_get(r, RIG_STACK0 - 8, 8), GDT_CODE0);
    CHECK(op_jmp_far(c, GDT_A, 0, 4, NEXT_RIP) && c->rip == 0x7000);
    rig_enter(r, 3);
    call_gate_put(r, GDT_A, 0xec, GDT_CODE0, 0x7000, 0);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_GP, GDT_CODE0); /* not 64-bit code */
    call_gate_put(r, GDT_A, 0xec, GDT_CODE0_64, 0x800000007000, 0);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_GP, 0);
    rig_put(r, RIG_GDT + GDT_A + 8, 0x100000000000, 8);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_GP, GDT_A);
    call_gate_put(r, GDT_A, 0xec, GDT_CODE0_64, 0x7000, 0);
    rig_put(r, RIG_TSS + 4, 0x800000000008, 8);
    EXPECT_FAULT(r, op_call_far(c, GDT_A, 0, 4, NEXT_RIP), VEC_SS, 0);
}

static void returns(struct rig *r)
{
    struct cpu *c = r->c;
    static const struct {
        u16 cs, ss;
        u8 vector;
        u16 error;
    } bad[] = {
        {0, GDT_DATA3 | 3, VEC_GP, 0},
        {GDT_BEYOND, GDT_DATA3 | 3, VEC_GP, GDT_BEYOND},
        {GDT_DATA3 | 3, GDT_DATA3 | 3, VEC_GP, GDT_DATA3},
        {GDT_CODE0 | 3, GDT_DATA3 | 3, VEC_GP, GDT_CODE0}, /* DPL != RPL */
        {GDT_A | 3, GDT_DATA3 | 3, VEC_NP, GDT_A},
        {GDT_CODE3 | 3, 0, VEC_GP, 0},
        {GDT_CODE3 | 3, GDT_DATA3, VEC_GP, GDT_DATA3}, /* RPL */
        {GDT_CODE3 | 3, GDT_DATA0 | 3, VEC_GP, GDT_DATA0},
        {GDT_CODE3 | 3, GDT_CODE3 | 3, VEC_GP, GDT_CODE3},
        {GDT_CODE3 | 3, GDT_B | 3, VEC_SS, GDT_B},
    };
    rig_reset(r, false, 0);
    rig_gdt(r, GDT_A, rig_desc(0, 0xfffff, 0x7b | A_BIG));
    rig_gdt(r, GDT_B, rig_desc(0, 0xfffff, 0x73 | A_BIG));
    for (unsigned k = 0; k < ARRAY_LEN(bad); k++) {
        c->gpr[RSP].q = RIG_STACK0 - 16;
        STACK(r, RIG_STACK0 - 16, 4, 0x5000, bad[k].cs, RIG_STACK3, bad[k].ss);
        EXPECT_FAULT(r, op_ret_far(c, 4, 0), bad[k].vector, bad[k].error);
        c->gpr[RSP].q = RIG_STACK0 - 20;
        STACK(r, RIG_STACK0 - 20, 4, 0x5000, bad[k].cs, 2, RIG_STACK3, bad[k].ss);
        EXPECT_FAULT(r, op_iret(c, 4, NEXT_RIP), bad[k].vector, bad[k].error);
    }
    rig_enter(r, 3);
    c->gpr[RSP].q = RIG_STACK3 - 16;
    STACK(r, RIG_STACK3 - 16, 4, 0x5000, GDT_CODE0, 2, 2);
    EXPECT_FAULT(r, op_ret_far(c, 4, 0), VEC_GP, GDT_CODE0); /* inwards */
    rig_gdt(r, GDT_C, rig_desc(0, 0xfff, 0xfa));
    STACK(r, RIG_STACK3 - 16, 4, 0x1000, GDT_C | 3, 2, 2);
    EXPECT_FAULT(r, op_ret_far(c, 4, 0), VEC_GP, 0); /* beyond the limit */
    EXPECT_FAULT(r, op_iret(c, 4, NEXT_RIP), VEC_GP, 0);
    CHECK_EQ(rig_attr(r, GDT_C), 0xfa);
    rig_gdt(r, GDT_C, rig_desc(0, 0xfffff, A_CODE | A_BIG | SEG_DC | A_1));
    STACK(r, RIG_STACK3 - 16, 4, 0x1000, GDT_C | 3, 2, 2);
    CHECK(op_ret_far(c, 4, 0) && c->cpl == 3 && c->seg[SEG_CS].sel == (GDT_C | 3)); /* conforming, DPL 1 */
    rig_enter(r, 1);
    c->gpr[RSP].q = RIG_STACK1 - 16;
    rig_gdt(r, GDT_C, rig_desc(0, 0xfffff, A_CODE | A_BIG | SEG_DC | A_3));
    STACK(r, RIG_STACK1 - 16, 4, 0x1000, GDT_C | 1, 2, 2);
    EXPECT_FAULT(r, op_ret_far(c, 4, 0), VEC_GP, GDT_C); /* conforming, DPL above RPL */
    STACK(r, RIG_STACK1 - 16, 4, 0x1000, GDT_ABSENT | 1, 2, 2);
    EXPECT_FAULT(r, op_ret_far(c, 4, 0), VEC_PF, 0);
    rig_enter(r, 3);
    c->gpr[RSP].q = RIG_STACK3 - 16;
    c->seg[SEG_SS].limit = RIG_STACK3 - 16 + 6;
    EXPECT_FAULT(r, op_ret_far(c, 4, 0), VEC_SS, 0);
}

static void iret_flags(struct rig *r)
{
    struct cpu *c = r->c;
    const u64 all = 0xffffffff & ~(u64)RFLAGS_VM;
    for (unsigned cpl = 0; cpl <= 3; cpl += 3)
        for (unsigned iopl = 0; iopl <= 3; iopl += 3)
            for (unsigned size = 2; size <= 4; size += 2) {
                rig_reset(r, false, cpl);
                u64 top = c->gpr[RSP].q - 3 * size;
                c->gpr[RSP].q = top;
                cpu_set_rflags(c, iopl << 12);
                STACK(r, top, size, 0x5000, c->seg[SEG_CS].sel, all);
                c->nmi_blocked = true;
                CHECK(op_iret(c, size, NEXT_RIP));
                u64 want = 0x4dd7 | (u64)iopl << 12;
                if (size == 4)
                    want |= RFLAGS_RF | RFLAGS_AC | RFLAGS_ID;
                if (cpl <= iopl)
                    want |= RFLAGS_IF;
                if (cpl == 0)
                    want |= RFLAGS_IOPL | (size == 4 ? RFLAGS_VIF | RFLAGS_VIP : 0);
                CHECK_EQ(cpu_rflags(c), want);
                CHECK_EQ(c->gpr[RSP].q, top + 3 * size);
                CHECK(!c->nmi_blocked && c->cpl == cpl);
            }
}

static void iret_long(struct rig *r)
{
    struct cpu *c = r->c;
    u64 top = RIG_STACK0 - 40;
    rig_reset(r, true, 0);
    c->gpr[RSP].q = top;
    c->seg[SEG_DS] = (struct seg){.sel = 3, .attr = SEG_UNUSABLE};
    STACK(r, top, 8, 0x5000, GDT_CODE3_64 | 3, RFLAGS_IF | RFLAGS_CF, 0x1234, GDT_DATA3 | 3);
    CHECK(op_iret(c, 8, NEXT_RIP));
    CHECK(c->cpl == 3 && c->rip == 0x5000 && c->gpr[RSP].q == 0x1234 && c->code_size == 8);
    CHECK_EQ(cpu_rflags(c), RFLAGS_IF | RFLAGS_CF | RFLAGS_ONE);
    CHECK_EQ(c->view, TLB_VIEW_USER);
    CHECK_EQ(c->seg[SEG_DS].sel, 0); /* a null selector loses its RPL */

    static const struct {
        u64 rip;
        u16 cs, ss;
        u8 vector;
        u16 error;
    } bad[] = {
        {0x800000000000, GDT_CODE3_64 | 3, GDT_DATA3 | 3, VEC_GP, 0},
        {0x800000000000, GDT_CODE0_64, 0, VEC_GP, 0},
        {0x100001000, GDT_B | 3, GDT_DATA3 | 3, VEC_GP, 0},   /* beyond the limit as 32 bits */
        {0x5000, GDT_CODE3_64 | 3, 3, VEC_GP, 0},             /* null SS at CPL 3 */
        {0x5000, GDT_CODE0, 0, VEC_GP, 0},                    /* null SS for compatibility mode */
        {0x5000, GDT_CODE0_64, GDT_DATA3, VEC_GP, GDT_DATA3}, /* SS is checked at the same level too */
        {0x5000, GDT_A | 3, GDT_DATA3 | 3, VEC_GP, GDT_A},    /* L and D */
    };
    rig_reset(r, true, 0);
    rig_gdt(r, GDT_A, rig_desc(0, 0xfffff, A_CODE | A_3 | SEG_L | SEG_DB));
    rig_gdt(r, GDT_B, rig_desc(0, 0xfff, A_CODE | A_3 | SEG_DB));
    for (unsigned k = 0; k < ARRAY_LEN(bad); k++) {
        c->gpr[RSP].q = top;
        STACK(r, top, 8, bad[k].rip, bad[k].cs, 2, RIG_STACK3, bad[k].ss);
        c->nmi_blocked = true;
        EXPECT_FAULT(r, op_iret(c, 8, NEXT_RIP), bad[k].vector, bad[k].error);
        CHECK(!c->nmi_blocked); /* unblocked all the same */
    }
    STACK(r, top, 8, 0x5000, GDT_CODE0_64, 2, 0xffff, 0);
    CHECK(op_iret(c, 8, NEXT_RIP));
    CHECK(c->cpl == 0 && c->seg[SEG_SS].attr & SEG_UNUSABLE && c->gpr[RSP].q == 0xffff);
    c->gpr[RSP].q = top;
    STACK(r, top, 8, 0x5000, GDT_CODE3 | 3, 2, 0x123456789, GDT_DATA3 | 3);
    CHECK(op_iret(c, 8, NEXT_RIP));
    CHECK(c->code_size == 4 && c->gpr[RSP].q == 0x23456789);
    rig_enter(r, 0);
    c->gpr[RSP].q = top;
    rig_gdt(r, GDT_A,
            rig_desc(0, 0xffff, A_DATA | A_3)); /* 16-bit stack: the upper half of ESP is not loaded */
    STACK(r, top, 8, 0x5000, GDT_CODE3 | 3, 2, 0x98765432, GDT_A | 3);
    CHECK(op_iret(c, 8, NEXT_RIP));
    CHECK_EQ(c->gpr[RSP].q, (top & ~0xffffull) | 0x5432);
    rig_enter(r, 0);
    c->rflags_sys |= RFLAGS_NT;
    EXPECT_FAULT(r, op_iret(c, 8, NEXT_RIP), VEC_GP, 0);
    rig_enter(r, 0);
    c->gpr[RSP].q = RIG_ABSENT + 0x1000 - 16;
    EXPECT_FAULT(r, op_iret(c, 8, NEXT_RIP), VEC_PF, 0);
}

static void v86(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, false, 0);
    u64 top = RIG_STACK0 - 36;
    c->gpr[RSP].q = top;
    STACK(r, top, 4, 0x10000, 0x4000, RFLAGS_VM | RFLAGS_IF, 0xfffe, 0x1000, 1, 2, 3, 4);
    EXPECT_FAULT(r, op_iret(c, 4, NEXT_RIP), VEC_GP, 0);
    STACK(r, top, 4, 0x100, 0x4000, RFLAGS_VM | RFLAGS_IF, 0xfffe, 0x1000, 1, 2, 3, 4);
    CHECK(op_iret(c, 4, NEXT_RIP));
    CHECK(cpu_v86(c) && c->cpl == 3 && c->code_size == 2 && c->rip == 0x100 &&
          c->seg[SEG_CS].base == 0x40000);
    CHECK(c->seg[SEG_ES].sel == 1 && c->seg[SEG_DS].sel == 2 && c->seg[SEG_FS].sel == 3 &&
          c->seg[SEG_GS].base == 0x40);
    CHECK(c->gpr[RSP].q == 0xfffe && c->seg[SEG_SS].base == 0x10000);
    EXPECT_FAULT(r, op_iret(c, 2, NEXT_RIP), VEC_GP, 0); /* IOPL */
    EXPECT_FAULT(r, op_int(c, 0x21, 0x102), VEC_GP, 0);
    rig_gate(r, 0x21, 0xee, GDT_CODE0, 0x7000, 0);
    c->rflags_sys |= RFLAGS_IOPL;
    CHECK(op_int(c, 0x21, 0x102)); /* IOPL 3: through the IDT */
    CHECK(!cpu_v86(c) && c->cpl == 0 && c->rip == 0x7000);
    CHECK_EQ(c->gpr[RSP].q, RIG_STACK0 - 36);
    static const u32 frame[] = {0x102, 0x4000, RFLAGS_VM | RFLAGS_IF | RFLAGS_IOPL | 2, 0xfffe, 0x1000, 1, 2,
                                3,     4};
    for (unsigned k = 0; k < 9; k++)
        CHECK_EQ(rig_get(r, RIG_STACK0 - 36 + 4 * k, 4), frame[k]);
    for (unsigned s = SEG_DS; s <= SEG_GS; s++)
        CHECK(c->seg[s].attr & SEG_UNUSABLE && c->seg[s].sel == 0);
    CHECK(op_iret(c, 4, NEXT_RIP) && cpu_v86(c) && c->rip == 0x102);
    rig_gate(r, 0x21, 0xee, GDT_CONFORMING, 0x7000, 0); /* must be non-conforming, DPL 0 */
    EXPECT_FAULT(r, op_int(c, 0x21, 0x102), VEC_GP, GDT_CONFORMING);

    /* CR4.VME: the redirection bitmap */
    c->cr4 = CR4_VME;
    c->rflags_sys &= ~(u64)(RFLAGS_IOPL | RFLAGS_IF);
    c->rflags_sys |= RFLAGS_VIF;
    rig_put(r, RIG_TSS + 102, 0x88, 2);
    rig_put(r, RIG_TSS + 0x68 + 4, 0x01, 1); /* vector 0x20 stays */
    rig_put(r, 0x21 * 4, 0x4100 << 16 | 0x55, 4);
    CHECK(op_int(c, 0x21, 0x102));
    CHECK(cpu_v86(c) && c->rip == 0x55 && c->seg[SEG_CS].sel == 0x4100 && c->gpr[RSP].w == 0xfff8);
    CHECK_EQ(rig_get(r, 0x10000 + 0xfff8, 4), 0x40000102);
    CHECK_EQ(rig_get(r, 0x10000 + 0xfffc, 2), RFLAGS_IF | RFLAGS_IOPL | 2);
    CHECK(!(c->rflags_sys & RFLAGS_VIF));
    CHECK(op_iret(c, 2, NEXT_RIP)); /* pops into VIF */
    CHECK(c->rip == 0x102 && c->rflags_sys & RFLAGS_VIF && !(c->rflags_sys & RFLAGS_IOPL));
    c->rflags_sys |= RFLAGS_VIP;
    c->gpr[RSP].q = 0xfff8;
    EXPECT_FAULT(r, op_iret(c, 2, NEXT_RIP), VEC_GP, 0); /* IF in the image and VIP */
    c->rflags_sys &= ~(u64)RFLAGS_VIP;
    rig_put(r, 0x10000 + 0xfffc, RFLAGS_TF, 2);
    EXPECT_FAULT(r, op_iret(c, 2, NEXT_RIP), VEC_GP, 0);
    rig_put(r, 0x10000 + 0xfffc, RFLAGS_IF | RFLAGS_NT, 2);
    c->rflags_sys |= RFLAGS_IOPL;
    c->rflags_sys &= ~(u64)RFLAGS_IF;
    CHECK(op_iret(c, 2, NEXT_RIP)); /* IOPL 3: IF itself */
    CHECK_EQ(cpu_rflags(c), RFLAGS_VM | RFLAGS_IOPL | RFLAGS_IF | RFLAGS_NT | RFLAGS_VIF | 2);
    c->rflags_sys |= RFLAGS_TF;
    CHECK(op_int(c, 0x21, 0x102)); /* redirected with IOPL 3 */
    CHECK_EQ(rig_get(r, 0x10000 + 0xfffc, 2), RFLAGS_IF | RFLAGS_TF | RFLAGS_IOPL | RFLAGS_NT | 2);
    CHECK_EQ(cpu_rflags(c), RFLAGS_VM | RFLAGS_IOPL | RFLAGS_VIF | 2);
    CHECK(op_iret(c, 2, NEXT_RIP));
    c->rflags_sys &= ~(u64)RFLAGS_TF;
    c->gpr[RSP].q = 0xfff0;
    STACK(r, 0x1fff0, 4, 0x102, 0x4000, RFLAGS_AC | RFLAGS_VIP);
    CHECK(op_iret(c, 4, NEXT_RIP)); /* IRETD: AC, but neither IOPL nor VIF nor VIP */
    CHECK_EQ(cpu_rflags(c), RFLAGS_VM | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_AC | 2);
    c->gpr[RSP].q = 0xfff8;
    CHECK(op_iret(c, 2, NEXT_RIP) && c->rflags_sys & RFLAGS_AC); /* 16 bits leave AC alone */
    c->gpr[RSP].q = 0xfffe;
    c->rip = 0x102;
    c->rflags_sys &= ~(u64)(RFLAGS_IOPL | RFLAGS_NT | RFLAGS_VIF | RFLAGS_IF | RFLAGS_AC | RFLAGS_TF);
    CHECK(op_int(c, 0x21, 0x102)); /* VIF clear: pushed as IF clear */
    CHECK_EQ(rig_get(r, 0x10000 + 0xfffc, 2), RFLAGS_IOPL | 2);
    CHECK(op_iret(c, 2, NEXT_RIP));
    CHECK(!(c->rflags_sys & RFLAGS_VIF));
    EXPECT_FAULT(r, op_int(c, 0x20, 0x102), VEC_GP, 0);
    EXPECT_FAULT(r, op_int3(c, 0x102), VEC_GP, VEC_BP << 3 | 2); /* not redirected: the gate's DPL */
}

static void real_mode(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, false, 0);
    c->cr0 = CR0_ET;
    for (unsigned s = 0; s < SEG_LDTR; s++)
        c->seg[s] = (struct seg){.sel = 0x1000, .base = 0x10000, .attr = 0x93, .limit = 0xffff};
    cpu_set_rflags(c, RFLAGS_IF | RFLAGS_TF | RFLAGS_AC);
    c->gpr[RSP].q = 0xffff0004;
    c->idt = (struct dtable){.base = 0, .limit = 0x3ff};
    cpu_update_mode(c);
    rig_put(r, 0x10 * 4, 0x43211234, 4);
    CHECK(op_int(c, 0x10, 0x102));
    CHECK(c->rip == 0x1234 && c->seg[SEG_CS].base == 0x43210);
    CHECK_EQ(c->gpr[RSP].q, 0xfffffffe); /* SP wraps, the rest stays */
    CHECK_EQ(rig_get(r, 0x1fffe, 2), 0x102);
    CHECK_EQ(rig_get(r, 0x10000, 2), 0x1000);
    CHECK_EQ(rig_get(r, 0x10002, 2), RFLAGS_IF | RFLAGS_TF | 2);
    CHECK_EQ(cpu_rflags(c), 2);
    CHECK(op_iret(c, 2, NEXT_RIP));
    CHECK(c->rip == 0x102 && c->gpr[RSP].q == 0xffff0004 && cpu_rflags(c) == (RFLAGS_IF | RFLAGS_TF | 2));
    c->seg[SEG_DS] = (struct seg){.attr = SEG_UNUSABLE};
    CHECK(seg_load(c, SEG_DS, 0x77) && c->seg[SEG_DS].attr == 0x93 && c->seg[SEG_DS].limit == 0xffff);
    c->idt.limit = 0x42;
    EXPECT_FAULT(r, op_int(c, 0x10, 0x102), VEC_GP, 0x82);
    EXPECT_FAULT(r, op_jmp_far(c, 0x2000, 0x10000, 4, NEXT_RIP), VEC_GP, 0);
    CHECK(op_call_far(c, 0x2000, 0x10, 2, 0x105) && c->rip == 0x10 && c->seg[SEG_CS].base == 0x20000);
    CHECK(op_ret_far(c, 2, 2) && c->rip == 0x105 && c->gpr[RSP].w == 6);
    c->gpr[RSP].w = 0x10;
    EXPECT_FAULT(r, op_call_far(c, 0x2000, 0x10000, 4, NEXT_RIP), VEC_GP, 0);
    rig_put(r, 0x10010, 0x10000, 4);
    EXPECT_FAULT(r, op_iret(c, 4, NEXT_RIP), VEC_GP, 0);
    c->gpr[RSP].q = 0xffff; /* a word at ffff does not fit */
    EXPECT_FAULT(r, op_ret_far(c, 2, 0), VEC_SS, 0);
    EXPECT_FAULT(r, op_iret(c, 2, NEXT_RIP), VEC_SS, 0);
    c->gpr[RSP].q = 1;
    EXPECT_FAULT(r, op_call_far(c, 0x2000, 0x10, 2, NEXT_RIP), VEC_SS, 0);
    c->idt.limit = 0x3ff;
    EXPECT_FAULT(r, op_int(c, 0x10, 0x102), VEC_SS, 0);
    c->seg[SEG_FS].limit = 0xffffffff; /* "unreal": limits survive loads */
    CHECK(seg_load(c, SEG_FS, 0x123));
    CHECK(c->seg[SEG_FS].base == 0x1230 && c->seg[SEG_FS].limit == 0xffffffff);
}

static void fast_calls(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, true, 3);
    c->star = (u64)(GDT_CODE0_64 | 3) << 32 | (u64)0x100 << 48;
    c->lstar = 0xffffffff81000000;
    c->sfmask = RFLAGS_IF | RFLAGS_TF | RFLAGS_CF;
    cpu_set_rflags(c, RFLAGS_IF | RFLAGS_RF | RFLAGS_CF | RFLAGS_ZF);
    CHECK(op_syscall(c, NEXT_RIP));
    CHECK(c->rip == c->lstar && c->gpr[RCX].q == NEXT_RIP && c->cpl == 0);
    CHECK_EQ(c->gpr[R11].q, RFLAGS_IF | RFLAGS_CF | RFLAGS_ZF | 2);
    CHECK_EQ(cpu_rflags(c), RFLAGS_ZF | 2);
    CHECK(c->seg[SEG_CS].sel == GDT_CODE0_64 && c->seg[SEG_SS].sel == GDT_CODE0_64 + 8);
    c->gpr[RCX].q = 0x800000000000;
    EXPECT_FAULT(r, op_sysret(c, 8), VEC_GP, 0);
    CHECK_EQ(c->cpl, 0);
    c->gpr[RCX].q = 0x7fff0000;
    CHECK(op_sysret(c, 8));
    CHECK(c->cpl == 3 && c->rip == 0x7fff0000 && c->seg[SEG_CS].sel == 0x113 && c->seg[SEG_SS].sel == 0x10b);
    CHECK(c->code_size == 8 && !c->pending_db);
    EXPECT_FAULT(r, op_sysret(c, 8), VEC_GP, 0);
    rig_enter(r, 0);
    c->gpr[RCX].q = 0xffffffff7fff0000;
    c->gpr[R11].q = RFLAGS_TF;
    CHECK(op_sysret(c, 4));
    CHECK(c->code_size == 4 && c->rip == 0x7fff0000 && c->seg[SEG_CS].sel == 0x103 &&
          c->pending_db == 0x4000);
    EXPECT_FAULT(r, op_syscall(c, NEXT_RIP), VEC_UD, 0); /* compatibility mode */
    rig_enter(r, 3);
    c->efer &= ~1ull;
    EXPECT_FAULT(r, op_syscall(c, NEXT_RIP), VEC_UD, 0);
    EXPECT_FAULT(r, op_sysret(c, 8), VEC_UD, 0);
    EXPECT_FAULT(r, op_sysenter(c), VEC_GP, 0);
    c->sysenter_cs = GDT_CODE0_64;
    c->sysenter_eip = 0xffffffff81000100;
    c->sysenter_esp = 0xffffc90000000000;
    CHECK(op_sysenter(c));
    CHECK(c->cpl == 0 && c->rip == c->sysenter_eip && c->gpr[RSP].q == c->sysenter_esp &&
          !(c->rflags_sys & RFLAGS_IF));
    c->gpr[RDX].q = 0x12345678;
    c->gpr[RCX].q = 0x800000000000;
    EXPECT_FAULT(r, op_sysexit(c, 8), VEC_GP, 0);
    CHECK(op_sysexit(c, 4));
    CHECK(c->cpl == 3 && c->rip == 0x12345678 && c->gpr[RSP].q == 0 && c->code_size == 4);
    CHECK(c->seg[SEG_CS].sel == GDT_CODE0_64 + 19 && c->seg[SEG_SS].sel == GDT_CODE0_64 + 27);
    EXPECT_FAULT(r, op_sysexit(c, 4), VEC_GP, 0);
    rig_enter(r, 0);
    CHECK(op_sysexit(c, 8) && c->code_size == 8 && c->seg[SEG_CS].sel == GDT_CODE0_64 + 35);
}

int main(void)
{
    struct rig r;
    if (!rig_create(&r))
        return 1;
    jumps(&r);
    calls(&r);
    gates(&r);
    returns(&r);
    iret_flags(&r);
    iret_long(&r);
    v86(&r);
    real_mode(&r);
    fast_calls(&r);
    rig_destroy(&r);
    return check_done();
}
