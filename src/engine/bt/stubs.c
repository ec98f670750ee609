/* The world switch and the other pieces of code that all translations share. Out of the cache is a full
 * switch: guest registers to struct cpu, the monitor's back. The one nested call is that which fills the soft
 * TLB. */
#include "engine/bt/tr.h"

/* Guest registers that stand in a host register, by host number; the rest stands in scratch.home. */
static int guest_of_host(int host)
{
    if (host == HOST_GUEST_RSP)
        return RSP;
    return host == RSP || host == HOST_T0 || host == HOST_T1 || host == HOST_BUDGET ? NO_REG : host;
}

static void push(struct emit *e, int r)
{
    if (r >= 8)
        e8(e, 0x41);
    e8(e, 0x50 | (r & 7));
}

static void pop(struct emit *e, int r)
{
    if (r >= 8)
        e8(e, 0x41);
    e8(e, 0x58 | (r & 7));
}

static const u8 saved[] = {RBX, RBP, R12, R13, R14, R15}; /* the C caller's */

/* The site in HOST_T0 leaves: what it is and the general registers. HOST_T1 goes. */
static void store_registers(struct emit *e)
{
    e_store(e, SCRATCH(info), HOST_T0);
    e_store(e, SCRATCH(budget), HOST_BUDGET);
    e_load(e, HOST_T1, SCRATCH(gpr));
    for (int h = 0; h < 16; h++)
        if (guest_of_host(h) != NO_REG)
            e_store(e, mem_opnd(HOST_T1, 8 * guest_of_host(h)), h);
}

static void load_registers(struct emit *e)
{
    e_load(e, HOST_BUDGET, SCRATCH(budget));
    e_load(e, HOST_T1, SCRATCH(gpr));
    for (int h = 0; h < 16; h++)
        if (guest_of_host(h) != NO_REG)
            e_load(e, h, mem_opnd(HOST_T1, 8 * guest_of_host(h)));
    e_load(e, HOST_T1, SCRATCH(tlb));
    e_lea(e, RSP, mem_opnd(HOST_T1, offsetof(struct tlb_table, entry)));
}

/* void enter(void): scratch.entry says where to. */
static void make_enter(struct emit *e)
{
    e->b->stub_enter = e_off(e);
    for (unsigned k = 0; k < ARRAY_LEN(saved); k++)
        push(e, saved[k]);
    e_alu_imm(e, true, ALU_SUB, RSP, 8);
    e_store(e, SCRATCH(host_rsp), RSP);
    e_load(e, HOST_T1, SCRATCH(ymm));
    vectors_load(e, HOST_T1, 0);
    e_op(e, false, 0x0fae, 2, SCRATCH(mxcsr), 0); /* LDMXCSR */
    load_registers(e);
    e_op(e, false, 0xff, 4, SCRATCH(entry), 0);
}

/* Calls the C function in FN, whose first argument is the translator, with the guest's vector registers put away. RSP is 16-aligned. */
static void call_c(struct emit *e, struct opnd fn)
{
    e_alu_imm(e, true, ALU_SUB, RSP, 16 * 32);
    vectors_store(e, RSP, 0);
    e_load(e, RDI, SCRATCH(bt));
    e_op(e, false, 0xff, 2, fn, 0);
    vectors_load(e, RSP, 0);
    e_alu_imm(e, true, ALU_ADD, RSP, 16 * 32);
}

/* HOST_T0: the site that leaves, by bt_quick if that can, which leaves vector registers and MXCSR where they are, or PUT_AWAY, by bt_call. Else as by
 * make_exit's code, with the rest of it at FULL. */
static void make_quick(struct emit *e, u32 full, bool put_away)
{
    *(put_away ? &e->b->stub_call : &e->b->stub_quick) = e_off(e);
    store_registers(e);
    e_load(e, RSP, SCRATCH(host_rsp));
    if (put_away) {
        e_op(e, false, 0x0fae, 3, SCRATCH(mxcsr), 0); /* STMXCSR */
        e_op(e, false, 0x0fae, 2, SCRATCH(mxcsr_host), 0);
        call_c(e, SCRATCH(call_fn));
        e_op(e, false, 0x0fae, 2, SCRATCH(mxcsr), 0);
    } else {
        e_load(e, RDI, SCRATCH(bt));
        e_op(e, false, 0xff, 2, SCRATCH(quick_fn), 0);
    }
    e_op(e, true, 0x85, RAX, reg_opnd(RAX), 0);
    e_patch(e->b, e_jcc(e, CC_E), full);
    e_store(e, SCRATCH(entry), RAX);
    load_registers(e);
    e_op(e, false, 0xff, 4, SCRATCH(entry), 0);
}

/* HOST_T0: the site that leaves. Where the rest of it begins, behind the general registers. */
static u32 make_exit(struct emit *e)
{
    e->b->stub_exit = e_off(e);
    store_registers(e);
    u32 full = e_off(e);
    e_load(e, HOST_T1, SCRATCH(ymm));
    vectors_store(e, HOST_T1, 0);
    e_op(e, false, 0x0fae, 3, SCRATCH(mxcsr), 0); /* STMXCSR */
    e_op(e, false, 0x0fae, 2, SCRATCH(mxcsr_host), 0);
    e_load(e, RSP, SCRATCH(host_rsp));
    e_alu_imm(e, true, ALU_ADD, RSP, 8);
    for (unsigned k = ARRAY_LEN(saved); k--;)
        pop(e, saved[k]);
    e8(e, 0xc3);
    return full;
}

static const u8 volatile_regs[] = {RAX, RCX, RDX, RSI, RDI, R8, R9};

static void push_volatile(struct emit *e)
{
    for (unsigned k = 0; k < ARRAY_LEN(volatile_regs); k++)
        push(e, volatile_regs[k]);
}

static void pop_volatile(struct emit *e)
{
    for (unsigned k = ARRAY_LEN(volatile_regs); k--;)
        pop(e, volatile_regs[k]);
}

/* From translated code's stack to the monitor's, which is 16-aligned, and back. */
static void to_monitor(struct emit *e)
{
    e_store(e, SCRATCH(stub_rsp), RSP);
    e_load(e, RSP, SCRATCH(host_rsp));
}

static void from_monitor(struct emit *e)
{
    e_load(e, RSP, SCRATCH(stub_rsp));
}

/* tlb_find, or bt_find_write, for HOST_T0 and HOST_T1 as make_miss has them, which stay on the stack. The entry in RAX. It is C code without vector registers
 * (meson.build). */
static void call_find(struct emit *e, bool write)
{
    e_load(e, RDI, write ? SCRATCH(bt) : SCRATCH(tlb));
    e_mov(e, RSI, HOST_T0);
    e_op(e, false, 0x8b, RDX, reg_opnd(HOST_T1), 0);
    if (write) {
        e_op(e, false, 0xff, 2, SCRATCH(write_fn), 0);
        return;
    }
    e_op(e, false, 0xc1, 5, reg_opnd(RDX), 1); /* SHR */
    e8(e, BT_SITE_BITS);
    e_mov_imm32(e, RCX, ACC_READ);
    e_op(e, false, 0xff, 2, SCRATCH(find_fn), 0);
}

/* Called with the linear address in HOST_T0, the site and the operand's size above BT_SITE_BITS in HOST_T1. Returns with the soft TLB's entry
 * in HOST_T1, as mem_entry has it: out of the second way, or by bt_fill; or leaves the cache. */
static void make_miss(struct emit *e, bool write)
{
    e->b->stub_miss[write] = e_off(e);
    push_volatile(e);
    to_monitor(e);
    e_alu_imm(e, true, ALU_SUB, RSP, 16);
    e_store(e, mem_opnd(RSP, 0), HOST_T0);
    e_store(e, mem_opnd(RSP, 8), HOST_T1);
    call_find(e, write);
    e_op(e, true, 0x85, RAX, reg_opnd(RAX), 0);
    u32 found = e_jcc(e, CC_NE);
    e_load(e, RSI, mem_opnd(RSP, 0));
    e_load(e, RDX, mem_opnd(RSP, 8));
    e_alu_imm(e, false, ALU_AND, RDX, (1 << BT_SITE_BITS) - 1);
    e_store(e, mem_opnd(RSP, 8), RDX);
    call_c(e, SCRATCH(fill_fn));
    e_patch(e->b, found, e_off(e));
    near_filled(e);
    e_load(e, HOST_T0, mem_opnd(RSP, 8));
    e_mov(e, HOST_T1, RAX);
    from_monitor(e);
    pop_volatile(e);
    e_op(e, true, 0x85, HOST_T1, reg_opnd(HOST_T1), 0);
    u32 none = e_jcc(e, CC_E);
    e_op(e, true, 0x2b, HOST_T1, reg_opnd(RSP), 0);
    e_lea(e, HOST_T1, mem_opnd(HOST_T1, -8)); /* the return address */
    e8(e, 0xc3);
    e_patch(e->b, none, e_off(e));
    e_jmp(e, e->b->stub_exit); /* HOST_T0 is the site */
}

/* Called where x87 state is needed and not in the FPU: bt_x87_load. */
static void make_x87(struct emit *e)
{
    e->b->stub_x87 = e_off(e);
    push_volatile(e);
    to_monitor(e);
    call_c(e, SCRATCH(x87_fn));
    from_monitor(e);
    pop_volatile(e);
    e8(e, 0xc3);
}

/* Called with what of the block is not executed, counted from the instruction, in HOST_T0: bt_tsc, into HOST_T0. */
static void make_tsc(struct emit *e)
{
    e->b->stub_tsc = e_off(e);
    push_volatile(e);
    to_monitor(e);
    e_lea(e, RSI, (struct opnd){.base = HOST_BUDGET, .index = HOST_T0});
    call_c(e, SCRATCH(tsc_fn));
    e_mov(e, HOST_T0, RAX);
    from_monitor(e);
    pop_volatile(e);
    e8(e, 0xc3);
}

void bt_make_stubs(struct bt *b)
{
    struct emit e = {.b = b, .p = b->write, .limit = b->write + 16384};
    u32 full = make_exit(&e);
    make_quick(&e, full, false);
    make_quick(&e, full, true);
    make_enter(&e);
    make_miss(&e, false);
    make_miss(&e, true);
    near_make_stubs(&e);
    flow_make_stub(&e);
    make_x87(&e);
    make_tsc(&e);
    string_make_stubs(&e);
    b->stubs_used = e_off(&e);
    b->stubs_end = (e_off(&e) + 63u) & ~63u;
}
