/* Control and debug registers, XCR0, PKRU, TSC, INVPCID: each rule of the manual that ends in a fault, and
 * what the others do. */
#include "control_rig.h"
#include "cpu/walk.h"

static void test_cr0(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    rig_reset(&r->rig, false, 0);
    u64 v;
    CHECK(op_mov_from_cr(c, 0, &v));
    CHECK_EQ(v, CR0_PE | CR0_PG | CR0_WP | CR0_ET);
    EXPECT_GP(r, op_mov_to_cr(c, 0, v & ~(u64)CR0_PE)); /* PG without PE */
    EXPECT_GP(r, op_mov_to_cr(c, 0, v | CR0_NW));       /* NW without CD */
    CHECK(op_mov_to_cr(c, 0, v | CR0_NW | CR0_CD));
    CHECK(op_mov_to_cr(c, 0, (v & ~(u64)CR0_ET) | 0xff00)); /* ET and reserved bits cannot be changed */
    CHECK_EQ(c->cr0, v);
    CHECK(op_mov_to_cr(c, 0, v & ~(u64)CR0_PG));
    CHECK(op_mov_to_cr(c, 0, v));

    /* The lower half of LMSW's operand; PE stays. */
    CHECK(op_lmsw(c, 0xfffe));
    CHECK_EQ(c->cr0, v | CR0_MP | CR0_EM | CR0_TS);
    CHECK(op_clts(c));
    CHECK_EQ(c->cr0, v | CR0_MP | CR0_EM);
    EXPECT_UD(r, op_mov_to_cr(c, 1, 0));
    EXPECT_UD(r, op_mov_to_cr(c, 5, 0));
    EXPECT_UD(r, op_mov_from_cr(c, 7, &v));
    EXPECT_UD(r, op_mov_from_cr(c, 15, &v));

    rig_enter(&r->rig, 3);
    EXPECT_UD(r, op_mov_from_cr(c, 1, &v)); /* before privilege */
    EXPECT_GP(r, op_mov_from_cr(c, 0, &v));
    EXPECT_GP(r, op_mov_to_cr(c, 2, 0));
    EXPECT_GP(r, op_lmsw(c, 0));
    EXPECT_GP(r, op_clts(c));
    EXPECT_GP(r, op_invlpg(c, 0));
}

static void test_long_mode_entry(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    u64 on = CR0_PE | CR0_PG | CR0_ET;
    rig_reset(&r->rig, false, 0);
    CHECK(op_mov_to_cr(c, 0, CR0_PE | CR0_ET));
    CHECK(msr_write(c, IA32_EFER, EFER_LME));
    EXPECT_GP(r, op_mov_to_cr(c, 0, on)); /* LME without PAE */
    CHECK(op_mov_to_cr(c, 4, CR4_PAE));
    c->seg[SEG_CS].attr |= SEG_L;
    EXPECT_GP(r, op_mov_to_cr(c, 0, on)); /* CS.L */
    c->seg[SEG_CS].attr &= (u16)~SEG_L;
    u16 tr = c->seg[SEG_TR].attr;
    c->seg[SEG_TR].attr = 0x83;
    EXPECT_GP(r, op_mov_to_cr(c, 0, on)); /* a 16-bit TSS */
    c->seg[SEG_TR].attr = tr;
    CHECK(op_mov_to_cr(c, 0, on));
    CHECK_EQ(c->efer, EFER_LME | EFER_LMA);
    CHECK(!msr_write(c, IA32_EFER, 0));  /* LME with PG */
    EXPECT_GP(r, op_mov_to_cr(c, 4, 0)); /* PAE in IA-32e mode */
    /* Compatibility mode may leave, 64-bit mode may not. */
    CHECK(op_mov_to_cr(c, 0, CR0_PE | CR0_ET));
    CHECK_EQ(c->efer, EFER_LME);
    CHECK_EQ(c->cr0, CR0_PE | CR0_ET);

    rig_reset(&r->rig, true, 0);
    EXPECT_GP(r, op_mov_to_cr(c, 0, c->cr0 & ~(u64)CR0_PG));
    EXPECT_GP(r, op_mov_to_cr(c, 0, c->cr0 | BIT(32)));
}

static void test_pae(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    rig_reset(&r->rig, false, 0);
    CHECK(op_mov_to_cr(c, 0, CR0_PE | CR0_ET));
    CHECK(op_mov_to_cr(c, 4, CR4_PAE));
    u64 table = 0x20000;
    for (unsigned k = 0; k < 4; k++)
        rig_put(&r->rig, table + 8 * k, 0x21001 + 0x1000 * k, 8);
    CHECK(op_mov_to_cr(c, 3, table));
    CHECK(op_mov_to_cr(c, 0, CR0_PE | CR0_ET | CR0_PG));
    CHECK_EQ(c->pdpte[3], 0x24001);
    rig_put(&r->rig, table + 8, 0x22001 | BIT(1), 8); /* reserved */
    EXPECT_GP(r, op_mov_to_cr(c, 3, table));
    CHECK_EQ(c->pdpte[1], 0x22001);
    EXPECT_GP(r, op_mov_to_cr(c, 4, CR4_PAE | CR4_PGE)); /* loads them again */
    CHECK_EQ(c->cr4, CR4_PAE);
    EXPECT_GP(r, op_mov_to_cr(c, 0, c->cr0 | CR0_CD));
    rig_put(&r->rig, table + 8, 0x25001, 8);
    CHECK(op_mov_to_cr(c, 0, c->cr0 | CR0_TS)); /* does not load them */
    CHECK_EQ(c->pdpte[1], 0x22001);
    CHECK(op_mov_to_cr(c, 4, CR4_PAE | CR4_SMEP));
    CHECK_EQ(c->pdpte[1], 0x25001);
}

static void test_cr3_cr4(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    rig_reset(&r->rig, true, 0);
    u64 root = c->cr3;
    EXPECT_GP(r, op_mov_to_cr(c, 3, root | BIT(MEM_PHYS_BITS))); /* beyond the physical address */
    EXPECT_GP(r, op_mov_to_cr(c, 3, root | BIT(63))); /* without PCIDE */
    CHECK(op_mov_to_cr(c, 3, root | 0x18));
    EXPECT_GP(r, op_mov_to_cr(c, 4, c->cr4 | CR4_PCIDE)); /* CR3's lower 12 bits are not zero */
    CHECK(op_mov_to_cr(c, 3, root));
    EXPECT_GP(r, op_mov_to_cr(c, 4, c->cr4 | BIT(12))); /* LA57 */
    EXPECT_GP(r, op_mov_to_cr(c, 4, c->cr4 | BIT(13))); /* VMXE */
    EXPECT_GP(r, op_mov_to_cr(c, 4, c->cr4 | BIT(23))); /* CET */
    EXPECT_GP(r, op_mov_to_cr(c, 4, c->cr4 | BIT(40)));
    CHECK(op_mov_to_cr(c, 4, c->cr4 | CR4_PCIDE));
    CHECK(op_mov_to_cr(c, 3, root | 5 | BIT(63)));
    CHECK_EQ(c->cr3, root | 5);
    CHECK_EQ(c->tlb->context[c->tlb->active].pcid, 5);
    u64 v;
    CHECK(op_mov_from_cr(c, 3, &v));
    CHECK_EQ(v, root | 5);
    CHECK(op_mov_to_cr(c, 4, c->cr4 & ~(u64)CR4_PCIDE));
    CHECK_EQ(c->tlb->context[c->tlb->active].pcid, 0);
    EXPECT_GP(r, op_mov_to_cr(c, 8, 16));
    CHECK(op_mov_to_cr(c, 8, 9));
    CHECK_EQ(r->tpr, 9);
    CHECK(op_mov_from_cr(c, 8, &v));
    CHECK_EQ(v, 9);

    /* PG cannot be cleared under PCIDE even in compatibility mode; PCIDE cannot be set outside IA-32e mode.
     */
    CHECK(op_mov_to_cr(c, 3, root));
    CHECK(op_mov_to_cr(c, 4, c->cr4 | CR4_PCIDE));
    c->seg[SEG_CS] = rig_seg(&r->rig, GDT_CODE0);
    cpu_update_mode(c);
    EXPECT_GP(r, op_mov_to_cr(c, 0, CR0_PE | CR0_ET));
    rig_reset(&r->rig, false, 0);
    EXPECT_GP(r, op_mov_to_cr(c, 4, CR4_PCIDE));
}

/* What the soft TLB remembers must go at the architecture's flush points. */
static bool cached(struct control_rig *r, u64 lin, bool write)
{
    struct tlb_entry *t = tlb_slot(r->rig.c->tlb->current, lin);
    return (write ? t->write : t->read) == (lin & PAGE_MASK);
}

static void fill(struct control_rig *r, u64 lin)
{
    u8 b = 0;
    CHECK(lin_write(r->rig.c, lin, &b, 1, ACC_WRITE));
    CHECK(cached(r, lin, true));
}

static void test_flushes(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    u64 page = 0x50000, root;
    rig_reset(&r->rig, true, 0);
    root = c->cr3;
    fill(r, page);
    CHECK(op_mov_to_cr(c, 3, root));
    CHECK(!cached(r, page, false));
    fill(r, page);
    CHECK(op_invlpg(c, 0x8000000000000000)); /* not canonical: nothing happens */
    CHECK(cached(r, page, false));
    CHECK(op_invlpg(c, page + 5));
    CHECK(!cached(r, page, false));
    fill(r, page);
    CHECK(op_mov_to_cr(c, 0, c->cr0 & ~(u64)CR0_WP));
    CHECK(!cached(r, page, true));
    fill(r, page);
    CHECK(op_mov_to_cr(c, 0, c->cr0 | CR0_TS));
    CHECK(cached(r, page, true));
    CHECK(op_mov_to_cr(c, 4, c->cr4 | CR4_PGE));
    CHECK(!cached(r, page, false));
    fill(r, page);
    CHECK(msr_write(c, IA32_EFER, c->efer | EFER_NXE));
    CHECK(!cached(r, page, false));
}

/* Two pages that share a slot of the first way both stay known, and what drops one finds it in the second. */
static void test_two_ways(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    u64 a = 0x50000, b = a + ((u64)TLB_ENTRIES << PAGE_SHIFT);
    struct walk wa = {.gpa = 0x50000, .page_size = PAGE_SIZE}, wb = {.gpa = 0x60000, .page_size = PAGE_SIZE};
    struct place p;
    rig_reset(&r->rig, true, 0);
    tlb_fill(c, a, ACC_WRITE, &wa);
    tlb_fill(c, b, ACC_WRITE, &wb);
    u64 misses = c->tlb->misses;
    for (unsigned n = 0; n < 4; n++) {
        CHECK(lin_translate(c, a + 8, ACC_WRITE, &p));
        CHECK_EQ(p.gpa, 0x50008);
        CHECK(cached(r, a, true) && !cached(r, b, true));
        CHECK(lin_translate(c, b + 8, ACC_READ, &p));
        CHECK_EQ(p.gpa, 0x60008);
        CHECK(cached(r, b, false) && !cached(r, a, false));
    }
    CHECK_EQ(c->tlb->misses, misses);
    CHECK(!tlb_find(c->tlb->current, a + PAGE_SIZE - 1, 2, ACC_READ));
    tlb_protect_frame(c, wa.gpa);
    CHECK(!tlb_find(c->tlb->current, a, 1, ACC_WRITE));
    CHECK(tlb_find(c->tlb->current, a, 1, ACC_READ));
    CHECK(tlb_find(c->tlb->current, b, 1, ACC_READ));
    tlb_invlpg(c, a);
    CHECK(!tlb_find(c->tlb->current, a, 1, ACC_READ));
    CHECK(tlb_find(c->tlb->current, b, 1, ACC_READ));
}

static void invpcid_desc(struct control_rig *r, u64 low, u64 high)
{
    rig_put(&r->rig, 0x50000, low, 8);
    rig_put(&r->rig, 0x50008, high, 8);
}

static void test_invpcid(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    rig_reset(&r->rig, true, 0);
    invpcid_desc(r, 0, 0x1000);
    for (unsigned type = 0; type <= 3; type++)
        CHECK(op_invpcid(c, type, 0x50000));
    EXPECT_GP(r, op_invpcid(c, 4, 0x50000));
    invpcid_desc(r, 0x1000, 0);
    EXPECT_GP(r, op_invpcid(c, 2, 0x50000)); /* bits 63..12 of the PCID */
    invpcid_desc(r, 7, 0);
    EXPECT_GP(r, op_invpcid(c, 1, 0x50000)); /* without PCIDE */
    CHECK(op_invpcid(c, 2, 0x50000));
    CHECK(op_mov_to_cr(c, 4, c->cr4 | CR4_PCIDE));
    CHECK(op_invpcid(c, 1, 0x50000));
    invpcid_desc(r, 7, 0x800000000000);
    EXPECT_GP(r, op_invpcid(c, 0, 0x50000)); /* not canonical */
    CHECK(op_invpcid(c, 1, 0x50000));
    CHECK(!op_invpcid(c, 2, RIG_ABSENT));
    CHECK_EQ(c->fault.vector, VEC_PF);
    rig_enter(&r->rig, 3);
    EXPECT_GP(r, op_invpcid(c, 2, 0x50000));
}

static void test_xcr0(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    rig_reset(&r->rig, true, 0);
    control_set(c, 0, 3);
    EXPECT_UD(r, op_xsetbv(c)); /* without OSXSAVE */
    EXPECT_UD(r, op_xgetbv(c));
    CHECK(op_mov_to_cr(c, 4, c->cr4 | CR4_OSXSAVE));
    CHECK(op_xsetbv(c));
    CHECK_EQ(c->xcr0, 3);
    control_set(c, 1, 3);
    EXPECT_GP(r, op_xsetbv(c)); /* no XCR1 */
    control_set(c, 0, 2);
    EXPECT_GP(r, op_xsetbv(c)); /* x87 must be on */
    control_set(c, 0, 5);
    EXPECT_GP(r, op_xsetbv(c)); /* AVX needs SSE */
    control_set(c, 0, 3 | BIT(3));
    EXPECT_GP(r, op_xsetbv(c)); /* MPX */
    control_set(c, 0, 3 | BIT(40));
    EXPECT_GP(r, op_xsetbv(c));
    control_set(c, 0, 7);
    CHECK(op_xsetbv(c)); /* level v3 */
    control_set(c, 0, 3 | XFEATURE_PKRU);
    CHECK(op_xsetbv(c));
    control_set(c, 2, 0);
    EXPECT_GP(r, op_xgetbv(c));
    control_set(c, 0, ~0ull);
    CHECK(op_xgetbv(c));
    CHECK_EQ(control_get(c), 3 | XFEATURE_PKRU);
    /* XINUSE. */
    fpu_init(c);
    memset(c->fpu.st, 0, sizeof c->fpu.st);
    memset(c->fpu.ymm, 0, sizeof c->fpu.ymm);
    control_set(c, 1, 0);
    CHECK(op_xgetbv(c));
    CHECK_EQ(control_get(c), 0);
    c->fpu.ymm[15][15] = 1;
    c->fpu.st[7][9] = 1;
    c->fpu.ymm[3][31] = 1; /* AVX, which XCR0 has off */
    control_set(c, 1, 0);
    CHECK(op_xgetbv(c));
    CHECK_EQ(control_get(c), 3);
    rig_enter(&r->rig, 3);
    control_set(c, 0, 3);
    EXPECT_GP(r, op_xsetbv(c));
    CHECK(op_xgetbv(c));
}

static void test_pkru(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    rig_reset(&r->rig, true, 3);
    control_set(c, 0, 0);
    EXPECT_UD(r, op_rdpkru(c));
    EXPECT_UD(r, op_wrpkru(c));
    c->cr4 |= CR4_PKE;
    control_set(c, 0, 0x55555554);
    CHECK(op_wrpkru(c));
    control_set(c, 1, 0);
    EXPECT_GP(r, op_wrpkru(c));
    EXPECT_GP(r, op_rdpkru(c));
    control_set(c, 0, BIT(32));
    EXPECT_GP(r, op_wrpkru(c)); /* EDX */
    CHECK(op_rdpkru(c));
    CHECK_EQ(control_get(c), 0x55555554);
}

static void test_tsc(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    u64 v;
    r->ticks = 1000;
    rig_reset(&r->rig, true, 3);
    CHECK_EQ(cpu_tsc(c), 0);
    r->ticks = 1500;
    c->tsc_aux = 42;
    CHECK(op_rdtsc(c, true));
    CHECK_EQ(control_get(c), 500);
    CHECK_EQ(c->gpr[RCX].q, 42);
    c->cr4 |= CR4_TSD;
    EXPECT_GP(r, op_rdtsc(c, false));
    EXPECT_GP(r, op_rdpmc(c));
    rig_enter(&r->rig, 0);
    CHECK(op_rdtsc(c, false));
    EXPECT_GP(r, op_rdpmc(c));

    /* A write moves IA32_TSC_ADJUST by as much, and an armed deadline is looked at again. */
    r->deadline = 7777;
    CHECK(msr_write(c, IA32_TIME_STAMP_COUNTER, 10000));
    CHECK_EQ(cpu_tsc(c), 10000);
    CHECK(msr_read(c, IA32_TSC_ADJUST, &v));
    CHECK_EQ(v, 9500);
    CHECK_EQ(r->deadline_writes, 1);
    CHECK(msr_write(c, IA32_TSC_ADJUST, 0));
    CHECK_EQ(cpu_tsc(c), 500);
    r->ticks += 5;
    CHECK(msr_read(c, IA32_TIME_STAMP_COUNTER, &v));
    CHECK_EQ(v, 505);
}

static void expect_db(struct control_rig *r, bool result, u64 bits, int line)
{
    struct fault *f = &r->rig.c->fault;
    if (result || f->vector != VEC_DB || f->is_trap || f->addr != bits)
        fprintf(stderr, "line %d: no #DB fault with %llx\n", line, (unsigned long long)bits);
    CHECK(!result && f->vector == VEC_DB && !f->is_trap && f->addr == bits);
}

static void test_dr(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    u64 v;
    rig_reset(&r->rig, true, 0);
    CHECK(op_mov_to_dr(c, 0, 0x8000000000000000)); /* need not be canonical */
    CHECK(op_mov_to_dr(c, 4, 0xffffffff));         /* DR6 by its other name */
    CHECK(op_mov_from_dr(c, 6, &v));
    CHECK_EQ(v, 0xffffefff);
    CHECK(op_mov_to_dr(c, 6, 0));
    CHECK(op_mov_from_dr(c, 4, &v));
    CHECK_EQ(v, 0xffff0ff0);
    CHECK(op_mov_to_dr(c, 7, 0xffffdfff));
    CHECK(op_mov_from_dr(c, 5, &v));
    CHECK_EQ(v, 0xffff07ff);
    CHECK_EQ(c->view, TLB_VIEW_NONE); /* breakpoints are armed */
    CHECK(op_mov_to_dr(c, 7, 0));
    CHECK_EQ(c->dr7, 0x400);
    CHECK(c->view != TLB_VIEW_NONE);
    EXPECT_GP(r, op_mov_to_dr(c, 6, BIT(32)));
    EXPECT_GP(r, op_mov_to_dr(c, 7, BIT(32)));
    EXPECT_UD(r, op_mov_to_dr(c, 8, 0));
    c->cr4 |= CR4_DE;
    EXPECT_UD(r, op_mov_from_dr(c, 4, &v));
    EXPECT_UD(r, op_mov_to_dr(c, 5, 0));
    CHECK(op_mov_to_dr(c, 7, BIT(13))); /* GD */
    expect_db(r, op_mov_from_dr(c, 0, &v), BIT(13), __LINE__);
    expect_db(r, op_mov_to_dr(c, 7, 0), BIT(13), __LINE__);
    EXPECT_UD(r, op_mov_from_dr(c, 5, &v)); /* before GD */
    rig_enter(&r->rig, 3);
    EXPECT_GP(r, op_mov_from_dr(c, 0, &v)); /* before GD too */
}

/* DR7 for breakpoint N, enabled: TYPE is the R/W field, LEN the length field. */
static u64 dr7(unsigned n, unsigned type, unsigned len)
{
    return BIT(2 * n) | (u64)(type | len << 2) << (16 + 4 * n);
}

static u64 hits(struct cpu *c)
{
    u64 v = c->pending_db;
    CHECK_EQ(v != 0, (atomic_load(&c->attention) & ATTN_TRAP) != 0);
    c->pending_db = 0;
    atomic_fetch_and(&c->attention, ~(u32)ATTN_TRAP);
    return v;
}

static void test_breakpoints(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    rig_reset(&r->rig, true, 0);
    c->dr[0] = 0x1003;
    c->dr[1] = 0x2004;
    c->dr[2] = 0x3001; /* aligned down by its length */
    c->dr[3] = ~7ull;
    c->dr7 = dr7(0, 1, 0) | dr7(1, 3, 3) | dr7(2, 1, 1) | dr7(3, 3, 2) | 0x400;
    debug_check_data(c, 0x1000, 3, true);
    CHECK_EQ(hits(c), 0);
    debug_check_data(c, 0x1000, 4, true);
    CHECK_EQ(hits(c), 1);
    debug_check_data(c, 0x1003, 1, false); /* a write breakpoint */
    CHECK_EQ(hits(c), 0);
    debug_check_data(c, 0x2007, 1, false);
    CHECK_EQ(hits(c), 2);
    debug_check_data(c, 0x2008, 8, false);
    CHECK_EQ(hits(c), 0);
    debug_check_data(c, 0x2ffe, 2, true);
    CHECK_EQ(hits(c), 0);
    debug_check_data(c, 0x3000, 1, true);
    CHECK_EQ(hits(c), 4);
    debug_check_data(c, ~0ull, 1, false);
    CHECK_EQ(hits(c), 8);
    debug_check_data(c, 0, 1, false);
    CHECK_EQ(hits(c), 0);
    debug_check_data(c, ~0ull - 15, 16, true);
    CHECK_EQ(hits(c), 8);

    c->dr[0] = 0x3f8;
    c->dr7 = dr7(0, 2, 3) | 0x400;
    debug_check_io(c, 0x3f8, 1); /* only with CR4.DE */
    CHECK_EQ(hits(c), 0);
    c->cr4 |= CR4_DE;
    debug_check_io(c, 0x3fb, 1);
    CHECK_EQ(hits(c), 1);
    debug_check_io(c, 0x3f7, 1);
    CHECK_EQ(hits(c), 0);
    debug_check_io(c, 0x3f7, 2);
    CHECK_EQ(hits(c), 1);
    debug_check_data(c, 0x3f8, 1, true);
    CHECK_EQ(hits(c), 0);

    c->dr[2] = RIG_CODE;
    c->dr7 = dr7(2, 0, 0) | 0x400;
    expect_db(r, debug_check_fetch(c, RIG_CODE), 4, __LINE__);
    CHECK(debug_check_fetch(c, RIG_CODE + 1));
    c->rflags_sys |= RFLAGS_RF;
    CHECK(debug_check_fetch(c, RIG_CODE));
}

int main(void)
{
    struct control_rig r;
    if (!control_create(&r, CPU_LEVEL_V3))
        return 1;
    test_cr0(&r);
    test_long_mode_entry(&r);
    test_pae(&r);
    test_cr3_cr4(&r);
    test_flushes(&r);
    test_two_ways(&r);
    test_invpcid(&r);
    test_xcr0(&r);
    test_pkru(&r);
    test_tsc(&r);
    test_dr(&r);
    test_breakpoints(&r);
    control_destroy(&r);
    return check_done();
}
