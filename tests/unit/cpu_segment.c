/* Segment registers and descriptors: loads with every refusal, limits, LDT and TSS loads, LAR, LSL, VERR,
 * VERW, I/O permission, IF and flags by privilege, what cpu_update_mode derives. */
#include "cpu_rig.h"

static void loads(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, false, 3);
    rig_gdt(r, GDT_A, rig_desc(0x123000, 0x1ff, 0xf2)); /* data, DPL 3, not accessed, byte limit */
    rig_gdt(r, GDT_B, rig_desc(0, 0xfffff, 0x72));      /* not present */
    rig_gdt(r, GDT_C, rig_desc(0, 0xfffff, 0xf8));      /* execute-only code */
    CHECK(seg_load(c, SEG_FS, GDT_A | 3));
    CHECK_EQ(c->seg[SEG_FS].base, 0x123000);
    CHECK_EQ(c->seg[SEG_FS].limit, 0x1ff);
    CHECK_EQ(rig_attr(r, GDT_A), 0xf3);
    CHECK(seg_load(c, SEG_DS, 3));
    CHECK(c->seg[SEG_DS].attr & SEG_UNUSABLE);
    CHECK(seg_load(c, SEG_ES, GDT_CONFORMING | 3)); /* conforming, readable: any level */
    EXPECT_FAULT(r, seg_load(c, SEG_DS, GDT_BEYOND), VEC_GP, GDT_BEYOND);
    EXPECT_FAULT(r, seg_load(c, SEG_DS, GDT_ABSENT), VEC_PF, 0);
    EXPECT_FAULT(r, seg_load(c, SEG_DS, GDT_DATA0), VEC_GP, GDT_DATA0);
    EXPECT_FAULT(r, seg_load(c, SEG_DS, GDT_B | 3), VEC_NP, GDT_B);
    EXPECT_FAULT(r, seg_load(c, SEG_DS, GDT_C | 3), VEC_GP, GDT_C);
    EXPECT_FAULT(r, seg_load(c, SEG_DS, GDT_TSS | 3), VEC_GP, GDT_TSS);
    EXPECT_FAULT(r, seg_load(c, SEG_DS, 0x07), VEC_GP, 0x04); /* LDT, none loaded */
    EXPECT_FAULT(r, seg_load(c, SEG_SS, 0), VEC_GP, 0);
    EXPECT_FAULT(r, seg_load(c, SEG_SS, GDT_DATA3), VEC_GP, GDT_DATA3); /* RPL */
    EXPECT_FAULT(r, seg_load(c, SEG_SS, GDT_DATA0 | 3), VEC_GP, GDT_DATA0);
    EXPECT_FAULT(r, seg_load(c, SEG_SS, GDT_CODE3 | 3), VEC_GP, GDT_CODE3);
    EXPECT_FAULT(r, seg_load(c, SEG_SS, GDT_B | 3), VEC_SS, GDT_B);
    rig_gdt(r, GDT_C, rig_desc(0, 0xfff, 0x97)); /* expand-down is not conforming */
    EXPECT_FAULT(r, seg_load(c, SEG_DS, GDT_C), VEC_GP, GDT_C);
    rig_enter(r, 1);
    EXPECT_FAULT(r, seg_load(c, SEG_DS, GDT_DATA1 | 2), VEC_GP, GDT_DATA1);
    CHECK(seg_load(c, SEG_DS, GDT_DATA3 | 2)); /* RPL above CPL, not above DPL */
    rig_enter(r, 0);
    EXPECT_FAULT(r, seg_load(c, SEG_DS, GDT_DATA0 | 3), VEC_GP, GDT_DATA0); /* RPL > DPL */
    rig_reset(r, true, 0);
    c->seg[SEG_GS].base = 0xffff888000000000;
    CHECK(seg_load(c, SEG_GS, 0));
    CHECK_EQ(c->seg[SEG_GS].base, 0);
    CHECK(seg_load(c, SEG_SS, 0));
    CHECK_EQ(c->cpl, 0);
    EXPECT_FAULT(r, seg_load(c, SEG_SS, 1), VEC_GP, 0);
    rig_enter(r, 3);
    EXPECT_FAULT(r, seg_load(c, SEG_SS, 3), VEC_GP, 0);
}

static void linear(struct rig *r)
{
    struct cpu *c = r->c;
    u64 lin;
    rig_reset(r, false, 3);
    c->seg[SEG_DS] = (struct seg){.sel = GDT_DATA3, .attr = 0xf3 | SEG_DB, .base = 0x1000, .limit = 0xfff};
    c->seg[SEG_ES] =
        (struct seg){.sel = GDT_DATA3, .attr = 0xf7 | SEG_DB, .base = 0, .limit = 0xfff}; /* expand-down */
    c->seg[SEG_FS] = (struct seg){.attr = SEG_UNUSABLE};
    c->seg[SEG_GS] = (struct seg){.attr = 0xf1, .base = 0xfffff000, .limit = 0xffffffff}; /* read-only */
    c->seg[SEG_SS].limit = 0xfff;
    CHECK(seg_linear(c, SEG_DS, 0xffc, 4, true, &lin));
    CHECK_EQ(lin, 0x1ffc);
    EXPECT_FAULT(r, seg_linear(c, SEG_DS, 0xffd, 4, true, &lin), VEC_GP, 0);
    EXPECT_FAULT(r, seg_linear(c, SEG_DS, 0xffffffff, 4, true, &lin), VEC_GP, 0);
    EXPECT_FAULT(r, seg_linear(c, SEG_ES, 0xfff, 1, true, &lin), VEC_GP, 0);
    CHECK(seg_linear(c, SEG_ES, 0x1000, 4, true, &lin));
    EXPECT_FAULT(r, seg_linear(c, SEG_ES, 0xfffffffe, 4, true, &lin), VEC_GP, 0);
    EXPECT_FAULT(r, seg_linear(c, SEG_FS, 0, 1, false, &lin), VEC_GP, 0);
    CHECK(seg_linear(c, SEG_GS, 0x2000, 4, false, &lin));
    CHECK_EQ(lin, 0x1000);
    EXPECT_FAULT(r, seg_linear(c, SEG_GS, 0, 4, true, &lin), VEC_GP, 0);
    EXPECT_FAULT(r, seg_linear(c, SEG_CS, 0, 4, true, &lin), VEC_GP, 0);
    EXPECT_FAULT(r, seg_linear(c, SEG_SS, 0x1000, 1, false, &lin), VEC_SS, 0);
    c->seg[SEG_ES].attr &= (u16)~SEG_DB;
    EXPECT_FAULT(r, seg_linear(c, SEG_ES, 0xffff, 2, true, &lin), VEC_GP, 0);
    rig_reset(r, true, 0);
    c->seg[SEG_DS].base = 0x5000; /* ignored */
    c->seg[SEG_FS].base = 0xffff800000000000;
    CHECK(seg_linear(c, SEG_DS, 0x10, 8, true, &lin));
    CHECK_EQ(lin, 0x10);
    CHECK(seg_linear(c, SEG_FS, 0x10, 8, true, &lin));
    CHECK_EQ(lin, 0xffff800000000010);
    EXPECT_FAULT(r, seg_linear(c, SEG_DS, 0x7ffffffffff9, 8, false, &lin), VEC_GP, 0);
    EXPECT_FAULT(r, seg_linear(c, SEG_SS, 0x800000000000, 8, false, &lin), VEC_SS, 0);
}

static void tables(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, false, 0);
    CHECK(op_lldt(c, GDT_LDT));
    CHECK_EQ(c->seg[SEG_LDTR].base, RIG_LDT);
    rig_put(r, RIG_LDT + 8, rig_desc(0x777000, 0, A_DATA | A_BIG), 8);
    CHECK(seg_load(c, SEG_DS, 0x0c));
    CHECK_EQ(c->seg[SEG_DS].base, 0x777000);
    EXPECT_FAULT(r, seg_load(c, SEG_DS, 0x104), VEC_GP, 0x104);
    EXPECT_FAULT(r, op_lldt(c, 0x0c), VEC_GP, 0x0c);
    EXPECT_FAULT(r, op_lldt(c, GDT_DATA0), VEC_GP, GDT_DATA0);
    rig_gdt(r, GDT_A, rig_desc(0, 0xff, 0x02));
    EXPECT_FAULT(r, op_lldt(c, GDT_A), VEC_NP, GDT_A);
    CHECK(op_lldt(c, 0));
    CHECK(c->seg[SEG_LDTR].attr & SEG_UNUSABLE);
    CHECK(op_ltr(c, GDT_TSS_B));
    CHECK_EQ(rig_attr(r, GDT_TSS_B), 0x8b);
    EXPECT_FAULT(r, op_ltr(c, GDT_TSS_B), VEC_GP, GDT_TSS_B); /* busy now */
    EXPECT_FAULT(r, op_ltr(c, 0), VEC_GP, 0);
    rig_gdt(r, GDT_A, rig_desc(0, 0x67, 0x09));
    EXPECT_FAULT(r, op_ltr(c, GDT_A), VEC_NP, GDT_A);
    rig_enter(r, 3);
    EXPECT_FAULT(r, op_ltr(c, GDT_TSS_B), VEC_GP, 0);
    EXPECT_FAULT(r, op_lldt(c, 0), VEC_GP, 0);

    rig_reset(r, true, 0);
    rig_gdt(r, GDT_A, rig_desc(RIG_TSS_B, 0x67, 0x89));
    rig_put(r, RIG_GDT + GDT_A + 8, 0xffff8000, 8);
    CHECK(op_ltr(c, GDT_A));
    CHECK_EQ(c->seg[SEG_TR].base, 0xffff800000000000 + RIG_TSS_B);
    rig_gdt(r, GDT_A, rig_desc(RIG_TSS_B, 0x67, 0x89));
    rig_put(r, RIG_GDT + GDT_A + 8, 0x8000, 8);
    EXPECT_FAULT(r, op_ltr(c, GDT_A), VEC_GP, GDT_A); /* not canonical */
    rig_put(r, RIG_GDT + GDT_A + 8, 0x90000000000, 8);
    EXPECT_FAULT(r, op_ltr(c, GDT_A), VEC_GP, GDT_A); /* second half has a type */
    EXPECT_FAULT(r, op_ltr(c, GDT_TSS_16), VEC_GP, GDT_TSS_16);
    rig_gdt(r, GDT_A, rig_desc(RIG_LDT, 0xff, 0x82));
    rig_put(r, RIG_GDT + GDT_A + 8, 0, 8);
    c->gdt.limit = GDT_A + 7;
    EXPECT_FAULT(r, op_lldt(c, GDT_A), VEC_GP, GDT_A); /* second half beyond the limit */
    c->gdt.limit = GDT_A + 15;
    CHECK(op_lldt(c, GDT_A));
}

static void queries(struct rig *r)
{
    struct cpu *c = r->c;
    bool ok;
    u32 v = 0;
    rig_reset(r, false, 3);
    CHECK(op_lar(c, GDT_DATA3 | 3, &v, &ok) && ok);
    CHECK_EQ(v, 0xcff300);
    CHECK(op_lar(c, GDT_DATA0, &v, &ok) && !ok);
    CHECK(op_lar(c, GDT_CONFORMING | 3, &v, &ok) && ok);
    CHECK(op_lar(c, GDT_BEYOND, &v, &ok) && !ok);
    CHECK(op_lar(c, 0, &v, &ok) && !ok);
    CHECK(op_lsl(c, GDT_DATA3, &v, &ok) && ok);
    CHECK_EQ(v, 0xffffffff);
    EXPECT_FAULT(r, op_lar(c, GDT_ABSENT, &v, &ok), VEC_PF, 0);
    CHECK(op_verify(c, GDT_CODE3, false, &ok) && ok);
    CHECK(op_verify(c, GDT_CODE3, true, &ok) && !ok);
    CHECK(op_verify(c, GDT_DATA3, true, &ok) && ok);
    rig_enter(r, 0);
    static const struct {
        u8 type;
        bool lar, lsl, lar64, lsl64;
    } system[] = {
        {0, false, false, false, false}, {1, true, true, false, false},   {2, true, true, true, true},
        {3, true, true, false, false},   {4, true, false, false, false},  {5, true, false, false, false},
        {6, false, false, false, false}, {7, false, false, false, false}, {9, true, true, true, true},
        {11, true, true, true, true},    {12, true, false, true, false},  {14, false, false, false, false},
    };
    for (unsigned wide = 0; wide < 2; wide++) {
        rig_reset(r, wide, 0);
        for (unsigned k = 0; k < ARRAY_LEN(system); k++) {
            rig_gdt(r, GDT_A, rig_desc(0, 0x55, 0x80 | system[k].type));
            CHECK(op_lar(c, GDT_A, &v, &ok));
            CHECK_EQ(ok, wide ? system[k].lar64 : system[k].lar);
            CHECK(op_lsl(c, GDT_A, &v, &ok));
            CHECK_EQ(ok, wide ? system[k].lsl64 : system[k].lsl);
            CHECK(op_verify(c, GDT_A, false, &ok) && !ok);
        }
    }
    c->cr0 &= ~1ull;
    cpu_update_mode(c);
    EXPECT_FAULT(r, op_lar(c, 8, &v, &ok), VEC_UD, 0);
}

static void io(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, false, 3);
    rig_put(r, RIG_TSS + 102, 0x68, 2);
    rig_put(r, RIG_TSS + 0x68, 0xff7f, 2); /* port 7 alone */
    CHECK(io_check(c, 7, 1));
    EXPECT_FAULT(r, io_check(c, 7, 2), VEC_GP, 0);
    EXPECT_FAULT(r, io_check(c, 8, 1), VEC_GP, 0);
    c->seg[SEG_TR].limit = 0x68 + 0x20;
    CHECK(io_check(c, 0x1f * 8, 4));
    EXPECT_FAULT(r, io_check(c, 0x20 * 8, 1), VEC_GP, 0); /* its second byte is beyond the limit */
    cpu_set_rflags(c, RFLAGS_IOPL);
    CHECK(io_check(c, 0xffff, 1));
    cpu_set_rflags(c, RFLAGS_IOPL | RFLAGS_VM);
    cpu_update_mode(c);
    EXPECT_FAULT(r, io_check(c, 8, 1), VEC_GP, 0); /* virtual-8086 mode: the bitmap whatever IOPL is */
    c->seg[SEG_TR].attr = 0x83;
    EXPECT_FAULT(r, io_check(c, 7, 1), VEC_GP, 0);
}

static void flags(struct rig *r)
{
    struct cpu *c = r->c;
    u64 v;
    rig_reset(r, false, 3);
    EXPECT_FAULT(r, op_cli(c), VEC_GP, 0);
    EXPECT_FAULT(r, op_sti(c), VEC_GP, 0);
    c->cr4 = CR4_PVI;
    CHECK(op_sti(c) && c->rflags_sys & RFLAGS_VIF);
    CHECK(op_cli(c) && !(c->rflags_sys & RFLAGS_VIF) && c->rflags_sys & RFLAGS_IF);
    cpu_set_rflags(c, RFLAGS_VIP);
    EXPECT_FAULT(r, op_sti(c), VEC_GP, 0);
    cpu_set_rflags(c, RFLAGS_IF | RFLAGS_RF);
    CHECK(op_pushf_image(c, 4, &v));
    CHECK_EQ(v, RFLAGS_IF | RFLAGS_ONE);
    CHECK(op_popf_image(c, 4, 0xffffffff)); /* IF and IOPL are not for CPL 3; RF, VM, VIF, VIP for nobody */
    CHECK_EQ(cpu_rflags(c), 0x244fd7 | RFLAGS_IF);
    rig_enter(r, 0);
    cpu_set_rflags(c, RFLAGS_TF | RFLAGS_IF);
    CHECK(op_cli(c) && cpu_rflags(c) == (RFLAGS_TF | RFLAGS_ONE));
    CHECK(op_sti(c) && cpu_rflags(c) == (RFLAGS_TF | RFLAGS_IF | RFLAGS_ONE));
    CHECK(op_popf_image(c, 4, 0xffffffff));
    CHECK_EQ(cpu_rflags(c), 0x247fd7);
    CHECK(op_popf_image(c, 2, 0));
    CHECK_EQ(cpu_rflags(c), 0x240002);
    CHECK_EQ(c->view, TLB_VIEW_KERNEL_AC);

    cpu_set_rflags(c, RFLAGS_VM);
    cpu_update_mode(c);
    EXPECT_FAULT(r, op_pushf_image(c, 2, &v), VEC_GP, 0);
    EXPECT_FAULT(r, op_popf_image(c, 2, 0), VEC_GP, 0);
    c->cr4 = CR4_VME;
    cpu_set_rflags(c, RFLAGS_VM | RFLAGS_VIF);
    CHECK(op_pushf_image(c, 2, &v));
    CHECK_EQ(v & 0xffff, RFLAGS_IOPL | RFLAGS_IF | RFLAGS_ONE);
    EXPECT_FAULT(r, op_pushf_image(c, 4, &v), VEC_GP, 0);
    EXPECT_FAULT(r, op_popf_image(c, 4, 0), VEC_GP, 0);
    CHECK(op_popf_image(c, 2, RFLAGS_IF));
    CHECK_EQ(cpu_rflags(c), RFLAGS_VM | RFLAGS_VIF | RFLAGS_ONE);
    cpu_set_rflags(c, RFLAGS_VM | RFLAGS_VIP);
    EXPECT_FAULT(r, op_popf_image(c, 2, RFLAGS_IF), VEC_GP, 0);
    CHECK(op_popf_image(c, 2, RFLAGS_ZF)); /* VIP alone does no harm */
    CHECK_EQ(cpu_rflags(c), RFLAGS_VM | RFLAGS_VIP | RFLAGS_ZF | RFLAGS_ONE);
    cpu_set_rflags(c, RFLAGS_VM | RFLAGS_IF);
    CHECK(op_pushf_image(c, 2, &v)); /* IF does not show, VIF does */
    CHECK_EQ(v & 0xffff, RFLAGS_IOPL | RFLAGS_ONE);
    cpu_set_rflags(c, RFLAGS_VM | RFLAGS_IOPL | RFLAGS_VIF);
    CHECK(op_pushf_image(c, 4, &v));
    CHECK_EQ(v, RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_ONE);
    CHECK(op_popf_image(c, 4, RFLAGS_IF | RFLAGS_TF)); /* IOPL 3: IF, not VIF and not IOPL */
    CHECK_EQ(cpu_rflags(c), RFLAGS_VM | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_IF | RFLAGS_TF | RFLAGS_ONE);
    cpu_set_rflags(c, RFLAGS_VM);
    EXPECT_FAULT(r, op_popf_image(c, 2, RFLAGS_TF), VEC_GP, 0);
    CHECK(op_popf_image(c, 2, RFLAGS_CF));
    CHECK_EQ(cpu_rflags(c), RFLAGS_VM | RFLAGS_ONE | RFLAGS_CF);
    CHECK(umip_check(c));
    c->cr4 = CR4_UMIP;
    EXPECT_FAULT(r, umip_check(c), VEC_GP, 0);
    EXPECT_FAULT(r, cpl0_check(c), VEC_GP, 0);
}

static void modes(struct rig *r)
{
    struct cpu *c = r->c;
    rig_reset(r, false, 0);
    CHECK(c->flat && c->code_size == 4 && c->stack_size == 4 && c->cpl == 0);
    c->seg[SEG_ES].limit = 0xfffff;
    cpu_update_mode(c);
    CHECK(!c->flat);
    rig_enter(r, 3);
    CHECK(c->cpl == 3 && c->view == TLB_VIEW_USER && c->flat);
    c->cr0 |= CR0_AM;
    cpu_set_rflags(c, RFLAGS_AC);
    cpu_update_mode(c);
    CHECK_EQ(c->view, TLB_VIEW_NONE);
    rig_reset(r, true, 0);
    CHECK(c->flat && c->code_size == 8 && c->stack_size == 8);
    CHECK_EQ(c->view, TLB_VIEW_KERNEL_AC);
    c->cr4 |= CR4_SMAP;
    cpu_update_mode(c);
    CHECK_EQ(c->view, TLB_VIEW_KERNEL);
    c->dr7 = 1;
    cpu_update_mode(c);
    CHECK_EQ(c->view, TLB_VIEW_NONE);
    cpu_reset(c);
    CHECK(c->code_size == 2 && c->cpl == 0 && c->rip == 0xfff0 && c->seg[SEG_CS].base == 0xffff0000);
    CHECK_EQ(cpu_rflags(c), 2);
    for (u64 v = 0; v < 0x1000; v++) {
        cpu_set_rflags(c, v);
        CHECK_EQ(cpu_rflags(c), (v & 0xfd5) | 2);
    }
}

int main(void)
{
    struct rig r;
    if (!rig_create(&r))
        return 1;
    loads(&r);
    linear(&r);
    tables(&r);
    queries(&r);
    io(&r);
    flags(&r);
    modes(&r);
    rig_destroy(&r);
    return check_done();
}
