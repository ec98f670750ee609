/* Control flow: near branches in line, everything far through cpu/transfer.c. The target is checked before anything is committed:
 * #GP(0) for a non-canonical address or one beyond CS's limit. */
#include "isa/alu.h"

#include "engine/interp/int.h"
#include "engine/interp/stack.h"

INLINE u64 cut_rip(u64 rip, unsigned size)
{
    return size == 8 ? rip : size == 4 ? (u32)rip : (u16)rip;
}

INLINE MUST_CHECK bool target_ok(struct cpu *c, u64 rip)
{
    if (LIKELY(c->code_size == 8 ? cpu_canonical(rip) : rip <= c->seg[SEG_CS].limit))
        return true;
    return cpu_raise_gp(c, 0);
}

/* The other way of a direct branch stands two records on. Where it is not linked, the target is checked first. */
INLINE const struct insn *take(struct cpu *c, const struct insn *i)
{
    const struct link *l = (const struct link *)(i + 2);
    if (UNLIKELY(!l->linkable))
        TRY(c, i, target_ok(c, cut_rip(c->gpr[GPR_RIP].q + (u64)l->delta, i->size)));
    return follow(c, i + 2, i->size);
}

/* One handler per condition, so that each has its own branch and evaluates only the flags it needs. */
#define JCC(cc)                                                               \
    static const struct insn *JCC_##cc(struct cpu *c, const struct insn *i)   \
    {                                                                         \
        if (condition(&c->fl, cc))                                            \
            return take(c, i);                                                \
        return follow(c, i + 1, c->code_size == 8 ? 8 : 4);                   \
    }
JCC(0) JCC(1) JCC(2) JCC(3) JCC(4) JCC(5) JCC(6) JCC(7)
JCC(8) JCC(9) JCC(10) JCC(11) JCC(12) JCC(13) JCC(14) JCC(15)

static handler *const jcc[16] = {JCC_0, JCC_1, JCC_2,  JCC_3,  JCC_4,  JCC_5,  JCC_6,  JCC_7,
                                 JCC_8, JCC_9, JCC_10, JCC_11, JCC_12, JCC_13, JCC_14, JCC_15};

static const struct insn *JMP_REL(struct cpu *c, const struct insn *i)
{
    return take(c, i);
}

/* The address of an indirect near branch, not yet checked. */
INLINE MUST_CHECK bool indirect(struct cpu *c, const struct insn *i, u64 *target)
{
    *target = 0;
    if (i->form == FORM_M)
        return op_load(c, i, target, i->size);
    *target = reg_get(c, i->rd, i->size);
    return true;
}

static const struct insn *JMP_IND(struct cpu *c, const struct insn *i)
{
    u64 rip;
    TRY(c, i, indirect(c, i, &rip) && target_ok(c, rip));
    return interp_goto(c, rip);
}

INLINE u64 return_address(const struct cpu *c, const struct insn *i)
{
    const struct link *tail = (const struct link *)(i + 1);
    return cut_rip(c->gpr[GPR_RIP].q + (u64)tail->delta, i->size);
}

/* The return address is pushed before the target is checked; a bad target leaves it below the stack's top. */
static const struct insn *CALL_REL(struct cpu *c, const struct insn *i)
{
    u64 sp = sp_add(c, c->gpr[RSP].q, -(i64)i->size), back = return_address(c, i);
    const struct link *l = (const struct link *)(i + 2);
    TRY(c, i, stack_store(c, i, sp, &back, i->size));
    if (UNLIKELY(!l->linkable))
        TRY(c, i, target_ok(c, cut_rip(c->gpr[GPR_RIP].q + (u64)l->delta, i->size)));
    sp_set(c, sp);
    return follow(c, i + 2, i->size);
}

/* 64-bit mode, on a stack page that hits. */
static const struct insn *CALL_REL_8p(struct cpu *c, const struct insn *i)
{
    u64 sp = c->gpr[RSP].q - 8;
    u8 *p = hit_write(c, sp, 8);
    const struct link *l = (const struct link *)(i + 2);
    u64 target = c->gpr[GPR_RIP].q + (u64)l->delta;
    if (UNLIKELY(!p || !cpu_canonical(target)))
        return CALL_REL(c, i);
    host_put(p, return_address(c, i), 8);
    c->gpr[RSP].q = sp;
    return follow(c, i + 2, 8);
}

static const struct insn *CALL_IND(struct cpu *c, const struct insn *i)
{
    u64 rip, sp = sp_add(c, c->gpr[RSP].q, -(i64)i->size), back = return_address(c, i);
    TRY(c, i, indirect(c, i, &rip));
    if (UNLIKELY(c->code_size == 8 && !cpu_canonical(rip)) && interp_amd(c))
        TRY(c, i, stack_probe(c, sp, i->size) && target_ok(c, rip)); /* AMD's silicon does not push then, but faults as the push */
    TRY(c, i, stack_store(c, i, sp, &back, i->size));
    TRY(c, i, target_ok(c, rip));
    sp_set(c, sp);
    return interp_goto(c, rip);
}

static const struct insn *RET(struct cpu *c, const struct insn *i)
{
    u64 rip = 0, sp = c->gpr[RSP].q;
    TRY(c, i, stack_load(c, i, sp_add(c, sp, 0), &rip, i->size));
    TRY(c, i, target_ok(c, rip));
    sp_set(c, sp_add(c, sp, (i64)i->size + (u16)i->imm));
    return interp_goto(c, rip);
}

static const struct insn *RET_8p(struct cpu *c, const struct insn *i)
{
    u64 sp = c->gpr[RSP].q;
    const u8 *p = hit_read(c, sp, 8);
    if (UNLIKELY(!p))
        return RET(c, i);
    u64 rip = host_get(p, 8);
    if (UNLIKELY(!cpu_canonical(rip)))
        return RET(c, i);
    c->gpr[RSP].q = sp + 8 + (u16)i->imm;
    return interp_goto(c, rip);
}

/* LOOP*, JrCXZ: the count register has the address size. */
static const struct insn *LOOP(struct cpu *c, const struct insn *i)
{
    const struct link *l = (const struct link *)(i + 2);
    u64 n = cut(c->gpr[RCX].q - 1, i->asize);
    bool go = n && (i->op == OP_LOOP || flag_zf(&c->fl) == (i->op == OP_LOOPE));
    if (go && UNLIKELY(!l->linkable))
        TRY(c, i, target_ok(c, cut_rip(c->gpr[GPR_RIP].q + (u64)l->delta, i->size)));
    reg_set(c, RCX, n, i->asize);
    return go ? follow(c, i + 2, i->size) : follow(c, i + 1, c->code_size == 8 ? 8 : 4);
}

static const struct insn *JCXZ(struct cpu *c, const struct insn *i)
{
    if (!cut(c->gpr[RCX].q, i->asize))
        return take(c, i);
    return follow(c, i + 1, c->code_size == 8 ? 8 : 4);
}

/* Executes one system transfer; each sets RIP itself. */
#define TRANSFER(name, call)                                              \
    static const struct insn *name(struct cpu *c, const struct insn *i)   \
    {                                                                     \
        interp_sync(c, i);                                                \
        u64 next = interp_next_rip(c, i);                                 \
        (void)next;                                                       \
        TRY(c, i, call);                                                  \
        return interp_leave_rip(c, i);                                    \
    }
TRANSFER(JMP_FAR_I, op_jmp_far(c, (u16)i->disp, cut((u32)i->imm, i->size), i->size, next))
TRANSFER(CALL_FAR_I, op_call_far(c, (u16)i->disp, cut((u32)i->imm, i->size), i->size, next))
TRANSFER(RET_FAR, op_ret_far(c, i->size, (u16)i->imm))
TRANSFER(INT_N, op_int(c, (u8)i->imm, next))
TRANSFER(INT3, op_int3(c, next))
TRANSFER(INT1, op_int1(c, next))
TRANSFER(IRET, op_iret(c, i->size, next))
TRANSFER(SYSCALL, op_syscall(c, next))
TRANSFER(SYSRET, op_sysret(c, i->size))
TRANSFER(SYSENTER, op_sysenter(c))
TRANSFER(SYSEXIT, op_sysexit(c, i->size))
TRANSFER(RSM, op_rsm(c))

static const struct insn *INTO(struct cpu *c, const struct insn *i)
{
    if (!flag_of(&c->fl))
        return follow(c, i + 1, 4);
    interp_sync(c, i);
    TRY(c, i, op_into(c, interp_next_rip(c, i)));
    return interp_leave_rip(c, i);
}

/* Far pointers in memory: offset first, then the selector. */
static const struct insn *FAR_M(struct cpu *c, const struct insn *i)
{
    u8 raw[10];
    TRY(c, i, op_load(c, i, raw, i->size + 2u));
    interp_sync(c, i);
    u64 off = host_get(raw, i->size), next = interp_next_rip(c, i);
    u16 sel = (u16)host_get(raw + i->size, 2);
    TRY(c, i, i->op == OP_JMP_FAR ? op_jmp_far(c, sel, off, i->size, next) : op_call_far(c, sel, off, i->size, next));
    return interp_leave_rip(c, i);
}

static insn_fn bind_near(const struct insn *i, unsigned code_size, bool flat)
{
    bool hot = code_size == 8 && flat && i->size == 8;
    switch (i->op) {
    case OP_JCC: return jcc[i->rv];
    case OP_JMP: return i->form == FORM_REL ? JMP_REL : JMP_IND;
    case OP_CALL: return i->form != FORM_REL ? CALL_IND : hot ? CALL_REL_8p : CALL_REL;
    case OP_RET: return hot ? RET_8p : RET;
    case OP_JCXZ:
    case OP_JECXZ:
    case OP_JRCXZ: return JCXZ;
    case OP_LOOP:
    case OP_LOOPE:
    case OP_LOOPNE: return LOOP;
    default: return NULL;
    }
}

insn_fn interp_bind_FLOW(const struct insn *i, unsigned code_size, bool flat)
{
    switch (i->op) {
    case OP_ENTER:
    case OP_LEAVE: return bind_stack(i, code_size, flat);
    case OP_JMP_FAR: return i->form == FORM_M ? FAR_M : JMP_FAR_I;
    case OP_CALL_FAR: return i->form == FORM_M ? FAR_M : CALL_FAR_I;
    case OP_RET_FAR: return RET_FAR;
    case OP_INT: return INT_N;
    case OP_INT3: return INT3;
    case OP_INT1: return INT1;
    case OP_INTO: return INTO;
    case OP_IRET:
    case OP_IRETD:
    case OP_IRETQ: return IRET;
    case OP_SYSCALL: return SYSCALL;
    case OP_SYSRET: return SYSRET;
    case OP_SYSENTER: return SYSENTER;
    case OP_SYSEXIT: return SYSEXIT;
    case OP_RSM: return RSM;
    case OP_UD0:
    case OP_UD1:
    case OP_UD2: return interp_raise_ud;
    default: return bind_near(i, code_size, flat);
    }
}
