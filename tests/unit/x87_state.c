/* What the comparison with silicon (tests/isa/x87_host.c) cannot show: #NM, #MF and FERR#, the exception
 * pointers, environments in all layouts, faults of memory operands. */
#include "control_rig.h"
#include "engine/interp/state.h"
#include "isa/x87_value.h"

#define DATA 0x50000u
#define AT   (RIG_CODE + 0x20) /* where the instruction stands: the block begins at RIG_CODE */

struct x87_rig {
    struct control_rig control;
    struct interp engine;
    struct insn block[3];
};

static const struct insn *stop(struct cpu *c, const struct insn *i)
{
    (void)c, (void)i;
    return NULL;
}

/* Executes one instruction with RCX pointing to DATA; the fault's vector, -1: none, -2: left in front of it.
 */
static int run(struct x87_rig *r, const char *hex)
{
    struct cpu *c = r->control.rig.c;
    u8 bytes[15];
    unsigned len = 0;
    for (; hex[2 * len]; len++)
        bytes[len] = (u8)strtoul((char[]){hex[2 * len], hex[2 * len + 1], 0}, NULL, 16);
    memcpy(r->control.rig.m.base + AT, bytes, len);
    memset(r->block, 0, sizeof r->block);
    struct insn *i = &r->block[1];
    CHECK_EQ(insn_decode(bytes, len, c->code_size, i), DECODE_OK);
    i->imm = AT - RIG_CODE;
    i->fn = interp_bind_X87(i, c->code_size, true);
    r->block[0].imm = 1;
    r->block[2].fn = stop;
    c->gpr[GPR_RIP].q = RIG_CODE;
    memset(&c->fault, 0xff, sizeof c->fault);
    r->engine.why = WHY_BUDGET;
    while (i)
        i = (struct insn *)(uintptr_t)i->fn(c, i);
    return r->engine.why == WHY_FAULT ? c->fault.vector : r->engine.why == WHY_LEAVE ? -2 : -1;
}

static void fresh(struct x87_rig *r, bool wide, unsigned cpl)
{
    struct cpu *c = r->control.rig.c;
    rig_reset(&r->control.rig, wide, cpl);
    c->cr0 |= CR0_NE;
    fpu_init(c);
    c->gpr[RCX].q = DATA;
    r->control.ferr = 0;
    memset(r->control.rig.m.base + DATA, 0xcc, 256);
}

static void test_availability(struct x87_rig *r)
{
    struct cpu *c = r->control.rig.c;
    static const char *const escapes[] = {"d9e8", "dbe3", "dbe2", "dfe0", "d931",
                                          "dd31", "d901", "d8c1", "dbe0"};
    for (size_t k = 0; k < ARRAY_LEN(escapes); k++) {
        fresh(r, true, 0);
        c->cr0 |= CR0_TS;
        CHECK_EQ(run(r, escapes[k]), VEC_NM);
        c->cr0 ^= CR0_TS | CR0_EM;
        CHECK_EQ(run(r, escapes[k]), VEC_NM);
        CHECK_EQ(c->fpu.ftw, 0);
    }
    /* WAIT: only TS and MP together. */
    fresh(r, true, 0);
    c->cr0 = (c->cr0 & ~(u64)CR0_MP) | CR0_TS | CR0_EM;
    CHECK_EQ(run(r, "9b"), -1);
    c->cr0 |= CR0_MP;
    CHECK_EQ(run(r, "9b"), VEC_NM);
    c->cr0 &= ~(u64)CR0_TS;
    CHECK_EQ(run(r, "9b"), -1);
}

/* Division by zero, unmasked: nothing happens until the next waiting instruction. */
static void test_pending(struct x87_rig *r)
{
    struct cpu *c = r->control.rig.c;
    static const char *const waiting[] = {"d9e8", "9b",   "d9d0", "d929", "d921",
                                          "dd21", "ddc0", "d9f7", "d9c9", "d911"};
    static const char *const others[] = {"dfe0", "dd39", "d939", "d931", "dbe0", "dbe2", "dd31", "dbe3"};
    fresh(r, true, 0);
    CHECK_EQ(run(r, "d9ee"), -1); /* FLDZ */
    CHECK_EQ(run(r, "d9e8"), -1); /* FLD1 */
    c->fpu.fcw &= (u16)~FSW_ZE;
    struct fpu before = c->fpu;
    CHECK_EQ(run(r, "d8f1"), -1); /* FDIV ST, ST(1) */
    CHECK_EQ(c->fpu.fsw, before.fsw | FSW_ZE | FSW_ES | FSW_B);
    CHECK(!memcmp(c->fpu.st, before.st, sizeof before.st));
    CHECK_EQ(c->fpu.fip, AT);
    CHECK_EQ(c->fpu.fop, 0x0f1);
    struct fpu pending = c->fpu;
    for (size_t k = 0; k < ARRAY_LEN(waiting); k++) {
        CHECK_EQ(run(r, waiting[k]), VEC_MF);
        CHECK_EQ(c->rip, RIG_CODE); /* of the block, which holds nothing else */
        CHECK(!memcmp(&c->fpu, &pending, sizeof pending));
    }
    for (size_t k = 0; k < ARRAY_LEN(others); k++) {
        c->fpu = pending;
        CHECK_EQ(run(r, others[k]), -1);
    }
    c->fpu = pending;
    CHECK_EQ(run(r, "dbe2"), -1); /* FNCLEX */
    CHECK_EQ(run(r, "9b"), -1);
    /* FLDCW that unmasks a flagged exception makes it pending, one that masks it takes it back. */
    c->fpu = pending;
    CHECK_EQ(run(r, "dbe2"), -1);
    c->fpu.fsw |= FSW_PE;
    rig_put(&r->control.rig, DATA, 0x35f, 2);
    CHECK_EQ(run(r, "d929"), -1);
    CHECK_EQ(c->fpu.fsw & (FSW_ES | FSW_B), FSW_ES | FSW_B);
    CHECK_EQ(run(r, "9b"), VEC_MF);
    /* FNSTENV masks all, so nothing is pending behind it; its image shows how it was. */
    CHECK_EQ(run(r, "d931"), -1);
    CHECK_EQ(rig_get(&r->control.rig, DATA, 2), 0x35f);
    CHECK_EQ(rig_get(&r->control.rig, DATA + 4, 2) & FSW_ES, FSW_ES);
    CHECK_EQ(c->fpu.fcw, 0x37f);
    CHECK_EQ(c->fpu.fsw & FSW_ES, 0);
}

/* CR0.NE = 0: the wire; an interrupt that can be taken comes before the instruction. */
static void test_ferr(struct x87_rig *r)
{
    struct cpu *c = r->control.rig.c;
    fresh(r, true, 0);
    c->cr0 &= ~(u64)CR0_NE;
    c->fpu.fcw = 0x37e;
    c->fpu.fsw = FSW_IE | FSW_ES | FSW_B;
    cpu_set_rflags(c, 0);
    CHECK_EQ(run(r, "dfe0"), -1);
    CHECK_EQ(r->control.ferr, 0);
    CHECK_EQ(run(r, "d9e8"), -1); /* interrupts are off: it runs */
    CHECK_EQ(r->control.ferr, 1);
    CHECK(c->fpu.ftw != 0);
    cpu_set_rflags(c, RFLAGS_IF);
    cpu_attend(c, ATTN_INTR);
    u8 ftw = c->fpu.ftw;
    CHECK_EQ(run(r, "d9e8"), -2);
    CHECK_EQ(r->control.ferr, 2);
    CHECK_EQ(c->rip, RIG_CODE); /* of the block, which holds nothing else */
    CHECK_EQ(c->fpu.ftw, ftw);
}

static void test_pointers(struct x87_rig *r)
{
    struct cpu *c = r->control.rig.c;
    fresh(r, true, 0);
    CHECK_EQ(run(r, "d9e8"), -1);
    CHECK_EQ(c->fpu.fip, AT);
    c->fpu.fip = 1;
    CHECK_EQ(run(r, "d939"), -1); /* control instructions leave it alone */
    CHECK_EQ(c->fpu.fip, 1);
    CHECK_EQ(c->fpu.fdp, 0); /* kept for exceptions only */
    rig_put(&r->control.rig, DATA + 8, 0x7f800001, 4);
    c->fpu.fcw = 0x37e;
    CHECK_EQ(run(r, "d94108"), -1); /* FLD m32: a signalling NaN */
    CHECK_EQ(c->fpu.fsw & 0xff, FSW_IE | FSW_ES);
    CHECK_EQ(c->fpu.fip, AT);
    CHECK_EQ(c->fpu.fdp, DATA + 8);
    CHECK_EQ(c->fpu.fop, 0x141);
}

static void fill(struct cpu *c)
{
    fpu_init(c);
    c->fpu.fip = 0x1234567, c->fpu.fdp = 0x89abcde, c->fpu.fop = 0x5a5;
    for (unsigned n = 0; n < 8; n++)
        c->fpu.st[n][9] = 0x40, c->fpu.st[n][7] = (u8)(0x80 + n);
    memset(c->fpu.st[1], 0, 10);
    memset(c->fpu.st[2] + 8, 0xff, 2);
    c->fpu.fsw = 0x1800; /* TOP = 3 */
    c->fpu.ftw = 0x0f;
}

/* FNSAVE and FRSTOR there and back, and the words in between. */
static void layout(struct x87_rig *r, const char *save, const char *restore, unsigned size, const u16 *words,
                   unsigned count)
{
    struct cpu *c = r->control.rig.c;
    fill(c);
    struct fpu before = c->fpu;
    CHECK_EQ(run(r, save), -1);
    for (unsigned k = 0; k < count; k++)
        if (rig_get(&r->control.rig, DATA + 2 * k, 2) != words[k]) {
            check_failures++;
            fprintf(stderr, "%s: word %u is %04x, not %04x\n", save, k,
                    (unsigned)rig_get(&r->control.rig, DATA + 2 * k, 2), words[k]);
        }
    CHECK_EQ(rig_get(&r->control.rig, DATA + size, 1), 0xcc);
    CHECK_EQ(c->fpu.ftw, 0);
    CHECK_EQ(c->fpu.fcw, 0x37f);
    memset(c->fpu.st, 0, sizeof c->fpu.st);
    CHECK_EQ(run(r, restore), -1);
    CHECK(!memcmp(c->fpu.st, before.st, sizeof before.st));
    CHECK_EQ(c->fpu.fsw, before.fsw);
    CHECK_EQ(c->fpu.ftw, before.ftw);
    memset(r->control.rig.m.base + DATA, 0xcc, 256);
}

/* Code and data segments of real or virtual-8086 mode that reach DATA through DS:CX. */
static void enter_16(struct x87_rig *r, bool v86)
{
    struct cpu *c = r->control.rig.c;
    fresh(r, false, v86 ? 3 : 0);
    if (v86)
        c->rflags_sys |= RFLAGS_VM;
    else
        c->cr0 &= ~(u64)(CR0_PE | CR0_PG);
    for (unsigned s = 0; s < SEG_LDTR; s++)
        seg_load_real(c, (enum seg_reg)s, DATA >> 4);
    c->seg[SEG_CS].attr &= (u16)~SEG_DB;
    cpu_update_mode(c);
    tlb_flush_all(c);
    c->gpr[RBX].q = 0;
}

static void test_layouts(struct x87_rig *r)
{
    /* FNSTENV's tag word: physical 0, 3 valid, 1 zero, 2 special, the others empty. */
    static const u16 protected_32[] = {0x37f, 0xffff, 0x1800, 0xffff, 0xff24, 0xffff, 0x4567,
                                       0x123, 0,      0x5a5,  0xbcde, 0x89a,  0,      0xffff};
    static const u16 protected_16[] = {0x37f, 0x1800, 0xff24, 0x4567, 0, 0xbcde, 0};
    static const u16 real_32[] = {0x37f,  0xffff, 0x1800, 0xffff, 0xff24, 0xffff, 0x4567,
                                  0xffff, 0x35a5, 0x12,   0xbcde, 0xffff, 0xa000, 0x89};
    static const u16 real_16[] = {0x37f, 0x1800, 0xff24, 0x4567, 0x35a5, 0xbcde, 0xa000};
    fresh(r, true, 0);
    layout(r, "dd31", "dd21", 108, protected_32, 14);
    layout(r, "66dd31", "66dd21", 94, protected_16, 7);
    fresh(r, false, 3);
    layout(r, "dd31", "dd21", 108, protected_32, 14);
    for (unsigned v86 = 0; v86 < 2; v86++) {
        enter_16(r, v86);
        layout(r, "dd37", "dd27", 94, real_16, 7); /* [bx] */
        layout(r, "66dd37", "66dd27", 108, real_32, 14);
        struct cpu *c = r->control.rig.c;
        fill(c);
        CHECK_EQ(run(r, "66d937"), -1);
        fpu_init(c);
        CHECK_EQ(run(r, "66d927"), -1);
        CHECK_EQ(c->fpu.fip, 0x1234567);
        CHECK_EQ(c->fpu.fdp, 0x89abcde);
        CHECK_EQ(c->fpu.fop, 0x5a5);
        CHECK_EQ(run(r, "d937"), -1);
        fpu_init(c);
        CHECK_EQ(run(r, "d927"), -1);
        CHECK_EQ(c->fpu.fip, 0x34567); /* 20 bits */
    }
}

/* An operand that is not there: registers and memory stay. */
static void test_memory_faults(struct x87_rig *r)
{
    struct cpu *c = r->control.rig.c;
    static const char *const forms[] = {"d901", "dd01", "db29", "df21", "df29", "d919", "dd19", "db39",
                                        "df31", "df39", "dd09", "d801", "de01", "d819", "da19", "d921",
                                        "d931", "dd21", "dd31", "d929", "d939", "dd39"};
    for (size_t k = 0; k < ARRAY_LEN(forms); k++) {
        fresh(r, true, 0);
        CHECK_EQ(run(r, "d9eb"), -1); /* FLDPI */
        u64 at = RIG_ABSENT - 1;      /* every operand has two bytes or more */
        c->gpr[RCX].q = at;
        memset(r->control.rig.m.base + RIG_ABSENT - 128, 0xcc, 128);
        struct fpu before = c->fpu;
        CHECK_EQ(run(r, forms[k]), VEC_PF);
        CHECK_EQ(c->fault.addr, RIG_ABSENT);
        CHECK(!memcmp(&before, &c->fpu, sizeof before));
        CHECK_EQ(r->control.rig.m.base[at], 0xcc);
        c->gpr[RCX].q = 0x800000000000;
        CHECK_EQ(run(r, forms[k]), VEC_GP);
        CHECK(!memcmp(&before, &c->fpu, sizeof before));
    }
    /* The last bytes of FNSAVE's image. */
    fresh(r, true, 0);
    fill(c);
    memset(r->control.rig.m.base + RIG_ABSENT - 100, 0xcc, 100);
    struct fpu before = c->fpu;
    c->gpr[RCX].q = RIG_ABSENT - 100;
    CHECK_EQ(run(r, "dd31"), VEC_PF);
    CHECK_EQ(r->control.rig.m.base[RIG_ABSENT - 100], 0xcc);
    CHECK(!memcmp(&before, &c->fpu, sizeof before));
}

int main(void)
{
    static struct x87_rig r;
    if (!control_create(&r.control, CPU_LEVEL_V2))
        return 1;
    r.control.rig.c->engine = &r.engine;
    r.engine.cpu = r.control.rig.c;
    test_availability(&r);
    test_pending(&r);
    test_ferr(&r);
    test_pointers(&r);
    test_layouts(&r);
    test_memory_faults(&r);
    control_destroy(&r.control);
    return check_done();
}
