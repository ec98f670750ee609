/* Descriptor tables, TSS and stacks full of near misses, and every operation of segmentation and events on
 * them: whatever the guest does, the vCPU's invariants hold, a refused operation leaves RIP, RSP, CS and SS
 * alone, and every event ends. Fixed seed. */
#include "cpu_rig.h"

#define ROUNDS     3000
#define OPERATIONS 40

static u64 random_next(u64 *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

/* A descriptor with plausible type, level and presence: fully random ones are refused at the first check. */
static u64 random_desc(u64 *s)
{
    u64 x = random_next(s);
    u16 attr = (u16)((x & 0x1f) | (x >> 8 & 3) << 5 | (x >> 16 & 7 ? SEG_P : 0) | (x >> 20 & 7) << 9);
    u32 limit = x >> 24 & 3 ? 0xfffff : (u32)(x >> 32 & 0xfff);
    u32 base = x >> 26 & 3 ? 0 : (u32)(x >> 44 & 0x1ffff);
    u64 d = rig_desc(base, limit, attr);
    /* As a gate: an offset below 64 KiB and a selector of the table. */
    return x >> 28 & 1 ? d : (d & 0xffffff0000000000ull) | (x >> 48 & 0xff) << 16 | (x >> 32 & 0xffff);
}

static u16 random_sel(u64 *s)
{
    u64 x = random_next(s);
    return (u16)(x >> 32 & 15 ? x & 0xff : x & 0x3fff);
}

static void world(struct rig *r, u64 *s)
{
    u64 x = random_next(s);
    rig_reset(r, x & 1, x >> 1 & 3 ? (x >> 3 & 1 ? 3 : 0) : 1);
    struct cpu *c = r->c;
    for (unsigned k = 12; k < 32; k++)
        rig_put(r, RIG_GDT + 8 * k, random_desc(s), 8);
    for (unsigned k = 0; k < 32; k++)
        rig_put(r, RIG_LDT + 8 * k, random_desc(s), 8);
    for (unsigned k = 0; k < 512; k++)
        if (random_next(s) >> 40 & 1)
            rig_put(r, RIG_IDT + 8 * k, random_desc(s), 8);
    for (unsigned k = 0; k < 0x68; k += 4)
        if (!(random_next(s) >> 40 & 3))
            rig_put(r, RIG_TSS + k, random_next(s) & (x & 4 ? 0xff : 0x1ffff), 4);
    for (unsigned k = 0; k < 0x2000; k += 4)
        rig_put(r, RIG_STACK0 - 0x1000 + k, random_next(s) & 0x1ffff & (random_next(s) & 1 ? 0xff : ~0u), 4);
    c->cr4 |= random_next(s) & (CR4_VME | CR4_PVI | CR4_SMAP | CR4_UMIP);
    if (!(x >> 8 & 3))
        c->seg[SEG_LDTR] = (struct seg){.sel = GDT_LDT, .attr = 0x82, .base = RIG_LDT, .limit = 0xff};
    if (!(x >> 10 & 7))
        c->gdt.limit = (u16)(x >> 32);
    if (!(x >> 13 & 7))
        c->idt.limit = (u16)(x >> 48);
    if (!(x & 1) && !(x >> 16 & 7)) { /* real mode */
        c->cr0 = CR0_ET;
        cpu_update_mode(c);
    } else if (!(x & 1) && !(x >> 19 & 3)) {
        cpu_set_rflags(c, RFLAGS_VM | (x >> 24 & (RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_IF)));
        for (unsigned k = 0; k < SEG_LDTR; k++)
            c->seg[k] = (struct seg){.sel = 0x1000, .attr = 0xf3, .limit = 0xffff, .base = 0x10000};
        c->rip &= 0xffff;
        cpu_update_mode(c);
    }
}

static void operands(struct rig *r, u64 *s)
{
    static const u64 stacks[] = {RIG_STACK0, RIG_STACK0 - 64, RIG_STACK3 - 64, RIG_ABSENT + 0x1010,
                                 8,          0x7ffffffffff8,  0xffffffff};
    struct cpu *c = r->c;
    u64 x = random_next(s);
    if (!(x & 3))
        c->gpr[RSP].q = stacks[(x >> 8) % ARRAY_LEN(stacks)] & (cpu_code64(c) ? ~0ull : 0xffffffffu);
    if (!(x >> 2 & 7))
        c->rflags_sys ^= x >> 16 & (RFLAGS_NT | RFLAGS_IOPL | RFLAGS_TF | RFLAGS_AC | RFLAGS_IF);
    if (!(x >> 5 & 15))
        c->cr0 ^= CR0_AM;
    c->gpr[RCX].q = random_next(s) >> (x >> 40 & 31);
    c->gpr[RDX].q = random_next(s) >> (x >> 45 & 31);
    c->gpr[R11].q = x;
    c->star = x;
    c->sysenter_cs = x & 0xff;
    cpu_update_mode(c);
}

/* 0: refused; 1: done; 2: an event, which always ends in some way. */
static int operate(struct rig *r, u64 *s)
{
    struct cpu *c = r->c;
    u64 x = random_next(s), v, off = x >> 32 & 0x1ffff;
    unsigned size = cpu_code64(c) && x & 1 ? 8 : x & 2 ? 4 : 2;
    u16 sel = random_sel(s);
    u32 w;
    bool ok;
    static const u8 data[] = {SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS};
    switch (x >> 8 & 31) {
    case 0: return seg_load(c, data[(x >> 16) % ARRAY_LEN(data)], sel);
    case 1: return op_lldt(c, sel);
    case 2: return op_ltr(c, sel);
    case 3: return op_lar(c, sel, &w, &ok) && op_lsl(c, sel, &w, &ok) && op_verify(c, sel, x >> 16 & 1, &ok);
    case 4:
    case 5: return op_jmp_far(c, sel, off, size, c->rip + 5);
    case 6:
    case 7: return op_call_far(c, sel, off, size, c->rip + 5);
    case 8:
    case 9: return op_ret_far(c, size, (u16)(x >> 16 & 0x1f));
    case 10:
    case 11:
    case 12: return op_iret(c, size, c->rip + 1);
    case 13: return op_syscall(c, c->rip + 2);
    case 14: return op_sysret(c, size == 8 ? 8 : 4);
    case 15: return op_sysenter(c);
    case 16: return op_sysexit(c, size == 8 ? 8 : 4);
    case 17: return op_int3(c, c->rip + 1);
    case 18: return op_into(c, c->rip + 1);
    case 19: return op_int1(c, c->rip + 1);
    case 20: return op_cli(c) && op_sti(c);
    case 21: return op_pushf_image(c, size, &v) && op_popf_image(c, size, v ^ (x >> 16));
    case 22: return io_check(c, (u16)(x >> 16), 1u << (x >> 14 & 1));
    case 23: return seg_linear(c, (enum seg_reg)(x >> 16 & 3), off, 1u << (x >> 20 & 3), x >> 24 & 1, &v);
    case 24: return stack_push(c, x, size);
    case 25:
        c->fault = (struct fault){.vector = x >> 16 & 31,
                                  .has_error = x >> 24 & 1,
                                  .is_trap = !(x >> 25 & 3),
                                  .addr = x >> 40 & 0xf};
        cpu_deliver_fault(c);
        return 2;
    case 26:
        r->vector = (int)(x >> 16 & 0xff);
        c->pending_db = x >> 24 & 0xc00f;
        cpu_attend(c, x >> 40 & (ATTN_INTR | ATTN_NMI | ATTN_TRAP));
        return cpu_take_event(c) ? 2 : 1;
    default: return op_int(c, (u8)(x >> 16), c->rip + 2);
    }
}

static bool invariants(const struct cpu *c)
{
    bool v86 = cpu_v86(c);
    unsigned ss_dpl = c->seg[SEG_SS].attr >> SEG_DPL_SHIFT & 3;
    CHECK(c->rflags_sys & RFLAGS_ONE && !(c->rflags_sys & (RFLAGS_ARITH | 0xffffffffffc08028ull)));
    CHECK(!v86 || (cpu_protected(c) && !cpu_long_mode(c)));
    CHECK(cpu_code64(c) ? cpu_canonical(c->rip) : c->rip <= 0xffffffff);
    CHECK(cpu_code64(c) == (cpu_long_mode(c) && c->seg[SEG_CS].attr & SEG_L));
    if (cpu_protected(c)) {
        CHECK_EQ(ss_dpl, c->cpl);
        CHECK(v86 ? c->cpl == 3 : (c->seg[SEG_CS].sel & 3) == c->cpl);
    }
    for (unsigned s = 0; s < SEG_LDTR; s++)
        CHECK(cpu_long_mode(c) || c->seg[s].base <= 0xffffffff);
    CHECK(c->fault.vector < 32);
    return !check_failures;
}

static bool round_of(struct rig *r, u64 *s, unsigned *done)
{
    struct cpu *c = r->c;
    world(r, s);
    for (unsigned k = 0; k < OPERATIONS && c->activity == ACTIVITY_RUNNING; k++) {
        operands(r, s);
        u64 rip = c->rip, rsp = c->gpr[RSP].q;
        struct seg cs = c->seg[SEG_CS], ss = c->seg[SEG_SS];
        int what = operate(r, s);
        if (!what) {
            CHECK(c->rip == rip && c->gpr[RSP].q == rsp && c->seg[SEG_CS].sel == cs.sel &&
                  c->seg[SEG_CS].attr == cs.attr);
            CHECK(c->seg[SEG_SS].sel == ss.sel && c->seg[SEG_SS].attr == ss.attr &&
                  c->seg[SEG_SS].base == ss.base);
            cpu_deliver_fault(c);
        }
        *done += what == 1;
        if (!invariants(c)) {
            fprintf(stderr, "operation %u of this round\n", k);
            return false;
        }
    }
    return true;
}

int main(void)
{
    struct rig r;
    u64 s = 0x9e3779b97f4a7c15;
    unsigned done = 0;
    if (!rig_create(&r))
        return 1;
    for (unsigned k = 0; k < ROUNDS && round_of(&r, &s, &done); k++)
        ;
    CHECK(done > ROUNDS); /* it is no test of refusals alone */
    rig_destroy(&r);
    return check_done();
}
