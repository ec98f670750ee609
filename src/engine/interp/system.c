/* System instructions: thin handlers over cpu/system.h. What changes modes, mappings or interrupts leaves the block, so that the dispatcher looks around. */
#include "cpu/exit.h"
#include "engine/interp/int.h"
#include "engine/interp/stack.h"
#include "isa/alu.h"

/* CALL does the work, then the block goes on. Counts and RIP are made exact first. */
#define SYSTEM_NEXT(name, call)                                          \
    static const struct insn *name(struct cpu *c, const struct insn *i)  \
    {                                                                    \
        TRY(c, i, call);                                                 \
        NEXT(c, i);                                                      \
    }
#define SYSTEM_LEAVE(name, call)                                         \
    static const struct insn *name(struct cpu *c, const struct insn *i)  \
    {                                                                    \
        interp_sync(c, i);                                               \
        TRY(c, i, call);                                                 \
        return interp_leave(c, i);                                       \
    }

/* IF may have opened: only then does it matter that somebody waits. */
static const struct insn *after_if(struct cpu *c, const struct insn *i)
{
    if (atomic_load_explicit(&c->attention, memory_order_relaxed) || c->rflags_sys & RFLAGS_TF)
        return interp_leave(c, i);
    NEXT(c, i);
}

SYSTEM_NEXT(CLI, op_cli(c))

static const struct insn *STI(struct cpu *c, const struct insn *i)
{
    bool was = c->rflags_sys & RFLAGS_IF;
    TRY(c, i, op_sti(c));
    if (!was && c->rflags_sys & RFLAGS_IF) { /* the shadow is an instruction count */
        interp_sync(c, i);
        c->shadow_at = c->icount + 1;
        c->shadow_ss = false;
    }
    return after_if(c, i);
}

static const struct insn *PUSHF(struct cpu *c, const struct insn *i)
{
    u64 v, sp = sp_add(c, c->gpr[RSP].q, -(i64)i->size);
    TRY(c, i, op_pushf_image(c, i->size, &v));
    TRY(c, i, stack_store(c, i, sp, &v, i->size));
    sp_set(c, sp);
    NEXT(c, i);
}

static const struct insn *POPF(struct cpu *c, const struct insn *i)
{
    u64 v = 0, sp = c->gpr[RSP].q;
    TRY(c, i, stack_load(c, i, sp_add(c, sp, 0), &v, i->size));
    TRY(c, i, op_popf_image(c, i->size, v));
    sp_set(c, sp_add(c, sp, i->size));
    return after_if(c, i);
}

static const struct insn *HLT(struct cpu *c, const struct insn *i)
{
    interp_sync(c, i);
    TRY(c, i, cpl0_check(c));
    struct exit x = {.kind = EXIT_HALT};
    c->wires.exit(c->wires.opaque, c, &x);
    c->activity = ACTIVITY_HALTED;
    return interp_leave(c, i);
}

/* IN and OUT: the port is DX or an immediate byte. */
static const struct insn *PORT(struct cpu *c, const struct insn *i)
{
    bool write = i->op == OP_OUT;
    u16 port = i->form == FORM_RI ? (u8)i->imm : c->gpr[RDX].w;
    interp_sync(c, i);
    TRY(c, i, io_check(c, port, i->size));
    struct exit x = {.kind = EXIT_PIO, .write = write, .addr = port, .size = i->size};
    x.data = write ? reg_get(c, RAX, i->size) : 0;
    c->wires.exit(c->wires.opaque, c, &x);
    if (!write)
        reg_set(c, RAX, x.data, i->size);
    if (debug_data_armed(c))
        debug_check_io(c, port, i->size);
    return interp_leave(c, i);
}

static const struct insn *CPUID(struct cpu *c, const struct insn *i)
{
    op_cpuid(c);
    NEXT(c, i);
}

static const struct insn *RDTSC(struct cpu *c, const struct insn *i)
{
    interp_sync(c, i); /* virtual time is the instruction count */
    TRY(c, i, op_rdtsc(c, i->op == OP_RDTSCP));
    NEXT(c, i);
}

static const struct insn *RDPID(struct cpu *c, const struct insn *i)
{
    c->gpr[i->rd].q = c->tsc_aux;
    NEXT(c, i);
}

SYSTEM_NEXT(RDPMC, op_rdpmc(c))
SYSTEM_NEXT(CLTS, op_clts(c))

static const struct insn *RDMSR(struct cpu *c, const struct insn *i)
{
    interp_sync(c, i);
    TRY(c, i, op_rdmsr(c));
    NEXT(c, i);
}

SYSTEM_LEAVE(WRMSR, op_wrmsr(c))
SYSTEM_LEAVE(VMCALL, op_vmcall(c))
SYSTEM_LEAVE(XSETBV, op_xsetbv(c))
SYSTEM_NEXT(XGETBV, op_xgetbv(c))
SYSTEM_NEXT(RDPKRU, op_rdpkru(c))
SYSTEM_NEXT(WRPKRU, op_wrpkru(c))

static const struct insn *MOV_FROM_CR(struct cpu *c, const struct insn *i)
{
    u64 v;
    interp_sync(c, i);
    TRY(c, i, op_mov_from_cr(c, i->rs, &v));
    reg_set(c, i->rd, v, c->code_size == 8 ? 8 : 4);
    NEXT(c, i);
}

static const struct insn *MOV_FROM_DR(struct cpu *c, const struct insn *i)
{
    u64 v;
    TRY(c, i, op_mov_from_dr(c, i->rs, &v));
    reg_set(c, i->rd, v, c->code_size == 8 ? 8 : 4);
    NEXT(c, i);
}

SYSTEM_LEAVE(MOV_TO_CR, op_mov_to_cr(c, i->rd, reg_get(c, i->rs, c->code_size == 8 ? 8 : 4)))
SYSTEM_LEAVE(MOV_TO_DR, op_mov_to_dr(c, i->rd, reg_get(c, i->rs, c->code_size == 8 ? 8 : 4)))

/* 16 bits from a register or memory. */
INLINE MUST_CHECK bool word_operand(struct cpu *c, const struct insn *i, u16 *v)
{
    if (i->form == FORM_M || i->form == FORM_RM)
        return op_load(c, i, v, 2);
    *v = c->gpr[i->form == FORM_R ? i->rd : i->rs].w;
    return true;
}

static const struct insn *LMSW(struct cpu *c, const struct insn *i)
{
    u16 v;
    interp_sync(c, i);
    TRY(c, i, cpl0_check(c));
    TRY(c, i, word_operand(c, i, &v));
    TRY(c, i, op_lmsw(c, v));
    return interp_leave(c, i);
}

/* SMSW SLDT STR: 16 bits to memory, the operand size to registers (SMSW and the rest: zero-extended). */
static const struct insn *STORE_WORD(struct cpu *c, const struct insn *i)
{
    TRY(c, i, umip_check(c));
    if (i->op != OP_SMSW && (!cpu_protected(c) || cpu_v86(c)))
        TRY(c, i, cpu_raise_ud(c));
    u64 v = i->op == OP_SMSW ? c->cr0 : i->op == OP_SLDT ? c->seg[SEG_LDTR].sel : c->seg[SEG_TR].sel;
    if (i->form == FORM_M) {
        TRY(c, i, op_store(c, i, &v, 2));
    } else {
        reg_set(c, i->rd, i->op == OP_SMSW ? v : (u16)v, i->size);
    }
    NEXT(c, i);
}

/* LGDT LIDT: 16-bit operand size takes 24 bits of base. */
static const struct insn *LOAD_TABLE(struct cpu *c, const struct insn *i)
{
    u8 raw[10];
    unsigned wide = c->code_size == 8 ? 8 : 4;
    TRY(c, i, cpl0_check(c));
    TRY(c, i, op_load(c, i, raw, 2 + wide));
    u64 base = host_get(raw + 2, wide);
    if (wide == 4 && i->size == 2)
        base &= 0xffffff;
    if (wide == 8 && !cpu_canonical(base))
        TRY(c, i, cpu_raise_gp(c, 0));
    struct dtable *t = i->op == OP_LGDT ? &c->gdt : &c->idt;
    *t = (struct dtable){.base = base, .limit = (u16)host_get(raw, 2)};
    NEXT(c, i);
}

/* SGDT SIDT: ten bytes in 64-bit mode, six else; the 16-bit form stores all 32 bits of base on every CPU since the 386. */
static const struct insn *STORE_TABLE(struct cpu *c, const struct insn *i)
{
    u8 raw[10];
    unsigned wide = c->code_size == 8 ? 8 : 4;
    const struct dtable *t = i->op == OP_SGDT ? &c->gdt : &c->idt;
    TRY(c, i, umip_check(c));
    host_put(raw, t->limit, 2);
    host_put(raw + 2, t->base, wide);
    TRY(c, i, op_store(c, i, raw, 2 + wide));
    NEXT(c, i);
}

static const struct insn *LLDT_LTR(struct cpu *c, const struct insn *i)
{
    u16 sel;
    if (!cpu_protected(c) || cpu_v86(c))
        TRY(c, i, cpu_raise_ud(c));
    TRY(c, i, cpl0_check(c));
    TRY(c, i, word_operand(c, i, &sel));
    TRY(c, i, i->op == OP_LLDT ? op_lldt(c, sel) : op_ltr(c, sel));
    NEXT(c, i);
}

static const struct insn *SELECTOR_TEST(struct cpu *c, const struct insn *i)
{
    u16 sel;
    u32 v = 0;
    bool ok;
    if (!cpu_protected(c) || cpu_v86(c))
        TRY(c, i, cpu_raise_ud(c));
    TRY(c, i, word_operand(c, i, &sel));
    switch (i->op) {
    case OP_LAR: TRY(c, i, op_lar(c, sel, &v, &ok)); break;
    case OP_LSL: TRY(c, i, op_lsl(c, sel, &v, &ok)); break;
    default: TRY(c, i, op_verify(c, sel, i->op == OP_VERW, &ok)); break;
    }
    if (ok && (i->op == OP_LAR || i->op == OP_LSL))
        reg_set(c, i->rd, v, i->size);
    flags_put_zf(&c->fl, ok);
    NEXT(c, i);
}

/* Loading SS inhibits interrupts and debug traps until the next instruction is done (SDM vol. 3, 6.8.3). */
static void shadow_after_ss(struct cpu *c, const struct insn *i)
{
    interp_sync(c, i);
    c->shadow_at = c->icount + 1;
    c->shadow_ss = true;
}

static const struct insn *MOV_TO_SEG(struct cpu *c, const struct insn *i)
{
    u16 sel;
    if (i->rd == SEG_CS)
        TRY(c, i, cpu_raise_ud(c));
    TRY(c, i, word_operand(c, i, &sel));
    TRY(c, i, seg_load(c, i->rd, sel));
    if (i->rd == SEG_SS)
        shadow_after_ss(c, i);
    return interp_leave(c, i);
}

static const struct insn *MOV_FROM_SEG(struct cpu *c, const struct insn *i)
{
    u16 sel = c->seg[i->rs].sel;
    if (i->form == FORM_MR)
        TRY(c, i, op_store(c, i, &sel, 2));
    else
        reg_set(c, i->rd, sel, i->size);
    NEXT(c, i);
}

/* PUSH sreg writes 16 bits and moves SP by the operand size (SDM vol. 2, PUSH: recent processors). */
static const struct insn *PUSH_SEG(struct cpu *c, const struct insn *i)
{
    u64 sp = sp_add(c, c->gpr[RSP].q, -(i64)i->size);
    u64 sel = c->seg[i->rd].sel;
    TRY(c, i, stack_store(c, i, sp, &sel, i->size == 8 ? 8 : 2));
    sp_set(c, sp);
    NEXT(c, i);
}

static const struct insn *POP_SEG(struct cpu *c, const struct insn *i)
{
    u16 sel;
    u64 sp = c->gpr[RSP].q;
    TRY(c, i, stack_load(c, i, sp_add(c, sp, 0), &sel, 2));
    unsigned old = c->stack_size; /* of the stack that is popped from */
    TRY(c, i, seg_load(c, i->rd, sel));
    u64 next = sp + i->size;
    reg_set(c, RSP, next, old);
    if (i->rd == SEG_SS)
        shadow_after_ss(c, i);
    return interp_leave(c, i);
}

static const struct insn *LOAD_FAR(struct cpu *c, const struct insn *i)
{
    u8 raw[10];
    TRY(c, i, op_load(c, i, raw, i->size + 2u));
    unsigned s = i->op == OP_LDS   ? SEG_DS
                 : i->op == OP_LES ? SEG_ES
                 : i->op == OP_LSS ? SEG_SS
                 : i->op == OP_LFS ? SEG_FS
                                   : SEG_GS;
    TRY(c, i, seg_load(c, s, (u16)host_get(raw + i->size, 2)));
    reg_set(c, i->rd, host_get(raw, i->size), i->size);
    return interp_leave(c, i);
}

static const struct insn *FSGSBASE(struct cpu *c, const struct insn *i)
{
    if (!(c->cr4 & CR4_FSGSBASE))
        TRY(c, i, cpu_raise_ud(c));
    struct seg *s = &c->seg[i->op == OP_RDFSBASE || i->op == OP_WRFSBASE ? SEG_FS : SEG_GS];
    if (i->op == OP_RDFSBASE || i->op == OP_RDGSBASE) {
        reg_set(c, i->rd, s->base, i->size);
    } else {
        u64 v = reg_get(c, i->rd, i->size);
        if (!cpu_canonical(v))
            TRY(c, i, cpu_raise_gp(c, 0));
        s->base = v;
    }
    NEXT(c, i);
}

static const struct insn *SWAPGS(struct cpu *c, const struct insn *i)
{
    TRY(c, i, cpl0_check(c));
    u64 v = c->kernel_gs_base;
    c->kernel_gs_base = c->seg[SEG_GS].base;
    c->seg[SEG_GS].base = v;
    NEXT(c, i);
}

/* STAC and CLAC are #UD outside CPL 0 and without CR4.SMAP's CPUID bit (the table gates the latter). */
static const struct insn *SET_AC(struct cpu *c, const struct insn *i)
{
    if (c->cpl || !cpu_protected(c))
        TRY(c, i, cpu_raise_ud(c));
    c->rflags_sys = (c->rflags_sys & ~(u64)RFLAGS_AC) | (i->op == OP_STAC ? RFLAGS_AC : 0);
    cpu_update_mode(c);
    NEXT(c, i);
}

/* Caches are not modelled. */
static const struct insn *CACHE(struct cpu *c, const struct insn *i)
{
    TRY(c, i, cpl0_check(c));
    NEXT(c, i);
}

/* CLFLUSH reads its byte as far as faults go. */
static const struct insn *CLFLUSH(struct cpu *c, const struct insn *i)
{
    u8 byte;
    TRY(c, i, op_load(c, i, &byte, 1));
    NEXT(c, i);
}

static const struct insn *INVLPG(struct cpu *c, const struct insn *i)
{
    interp_sync(c, i);
    bool based = c->code_size != 8 || !(i->flags & INSN_SEG_PLAIN);
    u64 lin = ea(c, i) + (based ? c->seg[i->seg].base : 0);
    TRY(c, i, op_invlpg(c, c->code_size == 8 ? lin : (u32)lin));
    return interp_leave(c, i);
}

static const struct insn *INVPCID(struct cpu *c, const struct insn *i)
{
    u64 lin;
    interp_sync(c, i);
    TRY(c, i, cpl0_check(c));
    TRY(c, i, mem_address(c, i, 16, false, &lin) && mem_address_ok(c, i, lin, 16));
    TRY(c, i, op_invpcid(c, reg_get(c, i->rd, c->code_size == 8 ? 8 : 4), lin));
    return interp_leave(c, i);
}

static const struct insn *RANDOM(struct cpu *c, const struct insn *i)
{
    reg_set(c, i->rd, c->wires.random(c->wires.opaque), i->size);
    flags_load(&c->fl, RFLAGS_CF);
    NEXT(c, i);
}

/* The state movers take a linear address; their operands may be any size, so segmentation is checked over the legacy region only. */
static bool state_address(struct cpu *c, const struct insn *i, unsigned len, bool write, u64 *lin)
{
    if (!mem_address(c, i, len, write, lin))
        return false;
    bool fx = len == 512;
    if (!fx && c->code_size == 8 && *lin & 63 && interp_amd(c))
        return cpu_raise_gp(c, 0); /* AMD's silicon looks at the alignment first, save for FXSAVE and FXRSTOR */
    return mem_address_ok(c, i, *lin, len);
}

#define STATE_MOVE(name, enabled, len, write, call)                          \
    static const struct insn *name(struct cpu *c, const struct insn *i)      \
    {                                                                        \
        u64 lin;                                                             \
        TRY(c, i, enabled(c) && state_address(c, i, len, write, &lin));      \
        interp_sync(c, i);                                                   \
        TRY(c, i, call);                                                     \
        NEXT(c, i);                                                          \
    }
STATE_MOVE(FXSAVE, fxsave_enabled, 512, true, op_fxsave(c, lin, i->flags & INSN_REX_W))
STATE_MOVE(FXRSTOR, fxsave_enabled, 512, false, op_fxrstor(c, lin, i->flags & INSN_REX_W))
STATE_MOVE(XSAVE, xsave_enabled, 576, true, op_xsave(c, lin, XSAVE_PLAIN, i->flags & INSN_REX_W))
STATE_MOVE(XSAVEOPT, xsave_enabled, 576, true, op_xsave(c, lin, XSAVE_OPT, i->flags & INSN_REX_W))
STATE_MOVE(XSAVEC, xsave_enabled, 576, true, op_xsave(c, lin, XSAVE_COMPACT, i->flags & INSN_REX_W))
STATE_MOVE(XRSTOR, xsave_enabled, 576, false, op_xrstor(c, lin, i->flags & INSN_REX_W))

static handler *const handlers[OP_COUNT] = {
    [OP_CLI] = CLI, [OP_STI] = STI, [OP_PUSHF] = PUSHF, [OP_PUSHFD] = PUSHF, [OP_PUSHFQ] = PUSHF, [OP_POPF] = POPF,
    [OP_POPFD] = POPF, [OP_POPFQ] = POPF, [OP_HLT] = HLT, [OP_IN] = PORT, [OP_OUT] = PORT, [OP_CPUID] = CPUID,
    [OP_RDTSC] = RDTSC, [OP_RDTSCP] = RDTSC, [OP_RDPID] = RDPID, [OP_RDPMC] = RDPMC, [OP_CLTS] = CLTS,
    [OP_RDMSR] = RDMSR, [OP_WRMSR] = WRMSR, [OP_VMCALL] = VMCALL, [OP_VMMCALL] = VMCALL, [OP_XSETBV] = XSETBV, [OP_XGETBV] = XGETBV, [OP_RDPKRU] = RDPKRU,
    [OP_WRPKRU] = WRPKRU, [OP_MOV_FROM_CR] = MOV_FROM_CR, [OP_MOV_TO_CR] = MOV_TO_CR, [OP_MOV_FROM_DR] = MOV_FROM_DR,
    [OP_MOV_TO_DR] = MOV_TO_DR, [OP_LMSW] = LMSW, [OP_SMSW] = STORE_WORD, [OP_SLDT] = STORE_WORD, [OP_STR] = STORE_WORD,
    [OP_LGDT] = LOAD_TABLE, [OP_LIDT] = LOAD_TABLE, [OP_SGDT] = STORE_TABLE, [OP_SIDT] = STORE_TABLE,
    [OP_LLDT] = LLDT_LTR, [OP_LTR] = LLDT_LTR, [OP_LAR] = SELECTOR_TEST, [OP_LSL] = SELECTOR_TEST,
    [OP_VERR] = SELECTOR_TEST, [OP_VERW] = SELECTOR_TEST, [OP_MOV_TO_SEG] = MOV_TO_SEG,
    [OP_MOV_FROM_SEG] = MOV_FROM_SEG, [OP_PUSH_SEG] = PUSH_SEG, [OP_POP_SEG] = POP_SEG, [OP_LDS] = LOAD_FAR,
    [OP_LES] = LOAD_FAR, [OP_LFS] = LOAD_FAR, [OP_LGS] = LOAD_FAR, [OP_LSS] = LOAD_FAR, [OP_RDFSBASE] = FSGSBASE,
    [OP_RDGSBASE] = FSGSBASE, [OP_WRFSBASE] = FSGSBASE, [OP_WRGSBASE] = FSGSBASE, [OP_SWAPGS] = SWAPGS,
    [OP_STAC] = SET_AC, [OP_CLAC] = SET_AC, [OP_INVD] = CACHE, [OP_WBINVD] = CACHE, [OP_CLFLUSH] = CLFLUSH,
    [OP_CLFLUSHOPT] = CLFLUSH, [OP_INVLPG] = INVLPG, [OP_INVPCID] = INVPCID, [OP_RDRAND] = RANDOM, [OP_RDSEED] = RANDOM,
    [OP_FXSAVE] = FXSAVE, [OP_FXSAVE64] = FXSAVE, [OP_FXRSTOR] = FXRSTOR, [OP_FXRSTOR64] = FXRSTOR, [OP_XSAVE] = XSAVE,
    [OP_XSAVE64] = XSAVE, [OP_XSAVEOPT] = XSAVEOPT, [OP_XSAVEOPT64] = XSAVEOPT, [OP_XSAVEC] = XSAVEC,
    [OP_XSAVEC64] = XSAVEC, [OP_XRSTOR] = XRSTOR, [OP_XRSTOR64] = XRSTOR,
    /* Not offered by CPUID: MONITOR and MWAIT are #UD. */
    [OP_MONITOR] = interp_raise_ud, [OP_MWAIT] = interp_raise_ud,
};

insn_fn interp_bind_SYSTEM(const struct insn *i, unsigned code_size, bool flat)
{
    (void)code_size;
    (void)flat;
    return handlers[i->op];
}
