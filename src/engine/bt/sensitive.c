/* Sensitive instructions without leaving the cache: the virtual IF of struct cpu, PUSHF and POPF, SWAPGS,
 * STAC and CLAC, RDTSC, RDPKRU, the bases of FS and GS, MOV from control and segment registers, bit strings in memory, FNSTCW. Each does what the interpreter's handler does where nothing
 * can go wrong, and is executed by the interpreter where something could. */
#include "engine/bt/tr.h"

#define CPU(field) ((i32)offsetof(struct cpu, field))
/* What POPF may change and the fast way does not. */
#define POPF_RARE                                                                                            \
    (RFLAGS_TF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM | RFLAGS_AC | RFLAGS_VIF |      \
     RFLAGS_VIP | RFLAGS_ID)

static void load_cpu(struct tr *t, int r)
{
    e_load(&t->e, r, SCRATCH(cpu));
}

/* ALU or TEST with a 32-bit immediate on memory. */
static void mem_imm(struct tr *t, unsigned opcode, int n, struct opnd m, u32 imm)
{
    e_op(&t->e, false, opcode, n, m, 4);
    e32(&t->e, imm);
}

/* Somebody waits: look after this instruction. HOST_REG holds the vCPU. */
static void look(struct tr *t, int host)
{
    e_op(&t->e, false, 0x83, ALU_CMP, mem_opnd(host, CPU(attention)), 1);
    e8(&t->e, 0);
    struct late *l = late_new(t, LATE_SITE, e_jcc(&t->e, CC_NE));
    l->site = site_new(t, SITE_BUDGET, t->index + 1u);
}

static void cli(struct tr *t)
{
    flags_clobber(t);
    load_cpu(t, HOST_T0);
    mem_imm(t, 0x81, ALU_AND, mem_opnd(HOST_T0, CPU(rflags_sys)), ~(u32)RFLAGS_IF);
}

/* Strings alone look at it, and the host's stays clear. */
static void direction(struct tr *t, bool down)
{
    flags_clobber(t);
    load_cpu(t, HOST_T0);
    mem_imm(t, 0x81, down ? ALU_OR : ALU_AND, mem_opnd(HOST_T0, CPU(rflags_sys)), down ? RFLAGS_DF : ~(u32)RFLAGS_DF);
}

/* The shadow ends at a count: that of the boundary behind STI (the block has been charged). */
static void sti(struct tr *t)
{
    struct emit *e = &t->e;
    flags_clobber(t);
    load_cpu(t, HOST_T0);
    mem_imm(t, 0xf7, 0, mem_opnd(HOST_T0, CPU(rflags_sys)), RFLAGS_IF);
    u32 on = e_jcc(e, CC_NE);
    mem_imm(t, 0x81, ALU_OR, mem_opnd(HOST_T0, CPU(rflags_sys)), RFLAGS_IF);
    e_load(e, HOST_T1, SCRATCH(icount_end));
    e_op(e, true, 0x2b, HOST_T1, reg_opnd(HOST_BUDGET), 0);
    e_op(e, true, 0x83, ALU_SUB, reg_opnd(HOST_T1), 1);
    e8(e, t->n_insns - t->index - 1u);
    e_store(e, mem_opnd(HOST_T0, CPU(shadow_at)), HOST_T1);
    e_op(e, false, 0xc6, 0, mem_opnd(HOST_T0, CPU(shadow_ss)), 1);
    e8(e, 0);
    e_patch(t->b, on, e_off(e));
    look(t, HOST_T0);
}

static void pushf(struct tr *t)
{
    struct emit *e = &t->e;
    int spare;
    flags_clobber(t);
    e_op(e, false, 0x0fb6, HOST_T0, in_scratch(offsetof(struct bt_scratch, flags) + 1), 0);
    e_op(e, false, 0x0fb6, HOST_T1, SCRATCH(flags), 0);
    e_op(e, false, 0xc1, 4, reg_opnd(HOST_T1), 1);
    e8(e, 11);
    e_op(e, true, 0x0b, HOST_T0, reg_opnd(HOST_T1), 0);
    load_cpu(t, HOST_T1);
    e_op(e, true, 0x0b, HOST_T0, mem_opnd(HOST_T1, CPU(rflags_sys)), 0);
    e_alu_imm(e, true, ALU_AND, HOST_T0, ~(i32)(RFLAGS_RF | RFLAGS_VM));
    e_store(e, SCRATCH(spill[2]), HOST_T0);
    struct ea ea = ea_at(t, RSP, -t->word);
    struct opnd m = mem_access(t, &ea, t->word, ACC_WRITE, &spare);
    e_load(e, spare, SCRATCH(spill[2]));
    e_op(e, !t->code32, 0x89, spare, m, 0);
    e_op(e, !t->code32, 0x8d, HOST_GUEST_RSP, mem_opnd(HOST_GUEST_RSP, -t->word), 0);
}

static void popf(struct tr *t, bool user)
{
    struct emit *e = &t->e;
    int spare;
    struct ea ea = ea_at(t, RSP, 0);
    struct opnd m = mem_access(t, &ea, t->word, ACC_READ, &spare);
    e_op(e, !t->code32, 0x8b, HOST_T0, m, 0);
    e_store(e, SCRATCH(spill[2]), HOST_T0);
    load_cpu(t, HOST_T1);
    e_op(e, true, 0x33, HOST_T0, mem_opnd(HOST_T1, CPU(rflags_sys)), 0);
    mem_imm(t, 0xf7, 0, reg_opnd(HOST_T0), POPF_RARE | (user ? RFLAGS_IF : 0));
    step_if(t, CC_NE);
    e_alu_imm(e, false, ALU_AND, HOST_T0, RFLAGS_IF);
    e_op(e, false, 0x31, HOST_T0, mem_opnd(HOST_T1, CPU(rflags_sys)), 0);
    e_load(e, HOST_T0, SCRATCH(spill[2]));
    e_alu_imm(e, false, ALU_AND, HOST_T0, RFLAGS_ARITH);
    e_op(e, false, 0x88, HOST_T0, in_scratch(offsetof(struct bt_scratch, flags) + 1), 0);
    e_op(e, false, 0xc1, 5, reg_opnd(HOST_T0), 1);
    e8(e, 11);
    e_op(e, false, 0x88, HOST_T0, SCRATCH(flags), 0);
    e_op(e, !t->code32, 0x8d, HOST_GUEST_RSP, mem_opnd(HOST_GUEST_RSP, t->word), 0);
    t->host = t->parts = false, t->mem = true, t->writer = -1;
    look(t, HOST_T1);
}

static void swapgs(struct tr *t)
{
    struct emit *e = &t->e;
    struct opnd base = mem_opnd(HOST_T0, CPU(seg[SEG_GS].base)),
                other = mem_opnd(HOST_T0, CPU(kernel_gs_base));
    load_cpu(t, HOST_T0);
    e_load(e, HOST_T1, base);
    e_store(e, SCRATCH(spill[2]), HOST_T1);
    e_load(e, HOST_T1, other);
    e_store(e, base, HOST_T1);
    e_store(e, SCRATCH(seg_base[SEG_GS]), HOST_T1);
    e_load(e, HOST_T1, SCRATCH(spill[2]));
    e_store(e, other, HOST_T1);
}

/* The view of data accesses follows AC: scratch.by_ac holds the two tables and their names. */
static void stac_clac(struct tr *t, bool ac)
{
    struct emit *e = &t->e;
    flags_clobber(t);
    load_cpu(t, HOST_T0);
    mem_imm(t, 0x81, ac ? ALU_OR : ALU_AND, mem_opnd(HOST_T0, CPU(rflags_sys)),
            ac ? RFLAGS_AC : ~(u32)RFLAGS_AC);
    e_load32(e, HOST_T1, ac ? SCRATCH(by_ac[1].view) : SCRATCH(by_ac[0].view));
    e_op(e, false, 0x89, HOST_T1, mem_opnd(HOST_T0, CPU(view)), 0);
    e_load(e, HOST_T1, ac ? SCRATCH(by_ac[1].table) : SCRATCH(by_ac[0].table));
    e_store(e, SCRATCH(tlb), HOST_T1);
    e_lea(e, RSP, mem_opnd(HOST_T1, offsetof(struct tlb_table, entry)));
    e_load(e, HOST_T0, mem_opnd(HOST_T0, CPU(tlb)));
    e_store(e, mem_opnd(HOST_T0, (i32)offsetof(struct tlb, current)), HOST_T1);
}

static void load_gpr(struct tr *t, int to, unsigned g)
{
    int h = host_reg(g);
    if (h == NO_REG)
        e_load(&t->e, to, home(g));
    else
        e_mov(&t->e, to, h);
}

/* BT, BTS, BTR, BTC memory, register: the register counts bits from the operand on, in both directions. */
static void bit_string(struct tr *t, struct dec *d)
{
    struct emit *e = &t->e;
    bool wide = d->i.size == 8, collapsed, write = d->i.op != OP_BT;
    int spare;
    flags_clobber(t);
    struct ea ea = ea_of(d, t->page_off);
    mem_check_segment(t, &ea);
    e_lea(e, HOST_T0, ea_prepare(t, &ea, &collapsed));
    load_gpr(t, HOST_T1, d->i.rs);
    if (!wide)
        e_op(e, true, 0x63, HOST_T1, reg_opnd(HOST_T1), 0); /* MOVSXD */
    e_op(e, true, 0xc1, 7, reg_opnd(HOST_T1), 1);
    e8(e, wide ? 6 : 5);
    e_lea(e, HOST_T0, (struct opnd){.base = HOST_T0, .index = HOST_T1, .scale = wide ? 3 : 2});
    e_store(e, SCRATCH(lin), HOST_T0);
    struct ea at = ea_at(t, GPR_LIN, 0);
    struct opnd m = mem_access(t, &at, d->i.size, write ? ACC_WRITE : ACC_READ, &spare);
    load_gpr(t, spare, d->i.rs);
    e_alu_imm(e, false, ALU_AND, spare, wide ? 63 : 31);
    flags_to_host(t, false);
    if (d->i.flags & INSN_LOCK)
        e8(e, 0xf0);
    e_op(e, wide, 0x0f00u | d->opcode[1], spare, m, 0);
    flags_written(t);
}

static void fnstcw(struct tr *t, struct dec *d)
{
    struct emit *e = &t->e;
    int spare;
    struct ea ea = ea_of(d, t->page_off);
    struct opnd m = mem_access(t, &ea, 2, ACC_WRITE, &spare);
    e_load(e, spare, SCRATCH(fcw));
    e8(e, 0x66);
    e_op(e, false, 0x89, spare, m, 0);
}

/* MXCSR is the host's; bits that only some processors have are the interpreter's. */
static void ldmxcsr(struct tr *t, struct dec *d)
{
    struct emit *e = &t->e;
    int spare;
    struct ea ea = ea_of(d, t->page_off);
    struct opnd m = mem_access(t, &ea, 4, ACC_READ, &spare);
    e_load32(e, spare, m);
    mem_imm(t, 0xf7, 0, reg_opnd(spare), 0xffff0000);
    step_if(t, CC_NE);
    e_op(e, false, 0x0fae, 2, m, 0);
}

static i32 seg_field(unsigned s, size_t field)
{
    return (i32)(offsetof(struct cpu, seg) + sizeof(struct seg) * s + field);
}

/* MOV with a segment register as source. */
static void from_segment(struct tr *t, struct dec *d)
{
    struct emit *e = &t->e;
    i32 sel = seg_field(d->i.rs, offsetof(struct seg, sel));
    if (d->i.form == FORM_MR) {
        int spare;
        struct ea ea = ea_of(d, t->page_off);
        struct opnd m = mem_access(t, &ea, 2, ACC_WRITE, &spare);
        load_cpu(t, spare);
        e_op(e, false, 0x0fb7, spare, mem_opnd(spare, sel), 0);
        e8(e, 0x66);
        e_op(e, false, 0x89, spare, m, 0);
        return;
    }
    int h = host_reg(d->i.rd);
    load_cpu(t, HOST_T0);
    if (d->i.size == 2) { /* the register's other bits stay */
        e_op(e, false, 0x0fb7, HOST_T0, mem_opnd(HOST_T0, sel), 0);
        e8(e, 0x66);
        e_op(e, false, 0x89, HOST_T0, h == NO_REG ? home(d->i.rd) : reg_opnd(h), 0);
        return;
    }
    e_op(e, false, 0x0fb7, h == NO_REG ? HOST_T0 : h, mem_opnd(HOST_T0, sel), 0);
    if (h == NO_REG)
        e_store(e, home(d->i.rd), HOST_T0);
}

static void store_gpr(struct tr *t, unsigned g, int from)
{
    int h = host_reg(g);
    if (h == NO_REG)
        e_store(&t->e, home(g), from);
    else
        e_mov(&t->e, h, from);
}

static void needs_cr4(struct tr *t, u32 bit)
{
    flags_clobber(t);
    load_cpu(t, HOST_T0);
    mem_imm(t, 0xf7, 0, mem_opnd(HOST_T0, CPU(cr4)), bit);
    step_if(t, CC_E);
}

static void rdpkru(struct tr *t)
{
    struct emit *e = &t->e;
    needs_cr4(t, CR4_PKE);
    e_op(e, false, 0x85, RCX, reg_opnd(RCX), 0); /* TEST */
    step_if(t, CC_NE);
    e_load32(e, RAX, mem_opnd(HOST_T0, CPU(pkru)));
    e_mov_imm32(e, RDX, 0);
}

/* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE. */
static void segment_base(struct tr *t, const struct dec *d)
{
    struct emit *e = &t->e;
    bool fs = d->i.op == OP_RDFSBASE || d->i.op == OP_WRFSBASE, write = d->i.op == OP_WRFSBASE || d->i.op == OP_WRGSBASE, wide = d->i.size == 8;
    unsigned s = fs ? SEG_FS : SEG_GS;
    struct opnd base = mem_opnd(HOST_T0, seg_field(s, offsetof(struct seg, base)));
    needs_cr4(t, CR4_FSGSBASE);
    if (!write) {
        e_op(e, wide, 0x8b, HOST_T0, base, 0);
        store_gpr(t, d->i.rd, HOST_T0);
        return;
    }
    load_gpr(t, HOST_T1, d->i.rd);
    if (wide) {
        int h = host_reg(d->i.rd);
        flow_step_if_not_canonical(t, h == NO_REG ? home(d->i.rd) : reg_opnd(h));
    } else {
        e_op(e, false, 0x8b, HOST_T1, reg_opnd(HOST_T1), 0);
    }
    e_store(e, base, HOST_T1);
    e_store(e, in_scratch(offsetof(struct bt_scratch, seg_base) + 8u * s), HOST_T1);
}

/* CR8 is the local APIC's. */
static bool plain_control(unsigned cr)
{
    return cr == 0 || cr == 2 || cr == 3 || cr == 4;
}

static void from_control(struct tr *t, const struct dec *d)
{
    static const i32 field[] = {CPU(cr0), 0, CPU(cr2), CPU(cr3), CPU(cr4)};
    load_cpu(t, HOST_T0);
    e_op(&t->e, !t->code32, 0x8b, HOST_T0, mem_opnd(HOST_T0, field[d->i.rs]), 0);
    store_gpr(t, d->i.rd, HOST_T0);
}

/* The counter is the machine's clock: a call. */
static void rdtsc(struct tr *t, const struct dec *d)
{
    struct emit *e = &t->e;
    flags_clobber(t);
    if (t->t->mode & BT_MODE_USER) {
        load_cpu(t, HOST_T0);
        mem_imm(t, 0xf7, 0, mem_opnd(HOST_T0, CPU(cr4)), CR4_TSD);
        step_if(t, CC_NE);
    }
    e_mov_imm32(e, HOST_T0, t->n_insns - t->index);
    e_call(e, t->b->stub_tsc);
    e_op(e, false, 0x8b, RAX, reg_opnd(HOST_T0), 0);
    e_op(e, true, 0xc1, 5, reg_opnd(HOST_T0), 1);
    e8(e, 32);
    e_op(e, false, 0x8b, RDX, reg_opnd(HOST_T0), 0);
    load_cpu(t, HOST_T0);
    if (d->i.op == OP_RDTSCP)
        e_load32(e, RCX, mem_opnd(HOST_T0, CPU(tsc_aux)));
    look(t, HOST_T0);
}

bool sensitive_can(const struct dec *d, u32 mode)
{
    bool kernel = !(mode & BT_MODE_USER), vector = mode & BT_MODE_SSE;
    switch (d->i.op) {
    case OP_CLI:
    case OP_STI:
    case OP_STAC:
    case OP_CLAC: return kernel;
    case OP_SWAPGS: return kernel && !d->code32;
    case OP_PUSHFD:
    case OP_POPFD: return d->code32 && d->i.size == 4;
    case OP_PUSHFQ:
    case OP_POPFQ: return d->i.size == 8;
    case OP_BT:
    case OP_BTS:
    case OP_BTR:
    case OP_BTC: return d->i.form == FORM_MR && d->i.size >= 4 && d->i.asize == (d->code32 ? 4 : 8);
    case OP_CLD:
    case OP_STD:
    case OP_RDTSC:
    case OP_RDTSCP: return true;
    case OP_FNSTCW: return vector && d->i.form == FORM_M;
    case OP_LDMXCSR: return vector;
    case OP_VLDMXCSR: return mode & BT_MODE_AVX;
    case OP_MOV_FROM_SEG: return d->i.form == FORM_MR || d->i.form == FORM_RR;
    case OP_MOV_FROM_CR: return kernel && plain_control(d->i.rs);
    case OP_RDPKRU: return true;
    case OP_RDFSBASE:
    case OP_RDGSBASE:
    case OP_WRFSBASE:
    case OP_WRGSBASE: return !d->code32;
    default: return false;
    }
}

void sensitive_emit(struct tr *t, struct dec *d)
{
    switch (d->i.op) {
    case OP_CLI: cli(t); break;
    case OP_STI: sti(t); break;
    case OP_PUSHFD:
    case OP_PUSHFQ: pushf(t); break;
    case OP_POPFD:
    case OP_POPFQ: popf(t, t->t->mode & BT_MODE_USER); break;
    case OP_SWAPGS: swapgs(t); break;
    case OP_STAC:
    case OP_CLAC: stac_clac(t, d->i.op == OP_STAC); break;
    case OP_CLD:
    case OP_STD: direction(t, d->i.op == OP_STD); break;
    case OP_FNSTCW: fnstcw(t, d); break;
    case OP_LDMXCSR:
    case OP_VLDMXCSR: ldmxcsr(t, d); break;
    case OP_MOV_FROM_SEG: from_segment(t, d); break;
    case OP_MOV_FROM_CR: from_control(t, d); break;
    case OP_RDPKRU: rdpkru(t); break;
    case OP_RDFSBASE:
    case OP_RDGSBASE:
    case OP_WRFSBASE:
    case OP_WRGSBASE: segment_base(t, d); break;
    case OP_RDTSC:
    case OP_RDTSCP: rdtsc(t, d); break;
    default: bit_string(t, d);
    }
}

/* bt_call finds the address in scratch.lin. */
static void keep_address(struct tr *t, const struct dec *d)
{
    const struct ea ea = ea_of(d, t->page_off);
    bool collapsed;
    e_lea(&t->e, HOST_T0, ea_prepare(t, &ea, &collapsed));
    e_store(&t->e, SCRATCH(lin), HOST_T0);
}

u32 sensitive_way_out(struct tr *t, const struct dec *d, struct bt_site *s)
{
    const struct bt *b = t->b;
    bool kernel = !(t->t->mode & BT_MODE_USER);
    if (!d->decoded || b->settings.sensitive != SENSITIVE_INLINE)
        return b->stub_exit;
    switch (d->i.op) {
    case OP_SYSCALL:
    case OP_SYSRET: return b->stub_quick;
    case OP_IRETQ:
    case OP_IRETD:
    case OP_SYSEXIT:
    case OP_RDMSR:
    case OP_WRMSR: return kernel ? b->stub_call : b->stub_exit;
    case OP_INT3:
    case OP_SYSENTER:
    case OP_CPUID: return b->stub_call;
    case OP_INT:
        s->acc = (u8)d->i.imm;
        return b->stub_call;
    case OP_MOV_TO_CR:
        s->acc = (u8)(d->i.rd << 4 | d->i.rs);
        return kernel ? b->stub_call : b->stub_exit;
    case OP_INVLPG:
        if (!kernel || t->code32)
            return b->stub_exit;
        keep_address(t, d);
        return b->stub_call;
    default: return b->stub_exit;
    }
}
