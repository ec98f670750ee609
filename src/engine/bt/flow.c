/* Control flow and the stack: near branches, PUSH, POP, LEAVE. Inside a page branches jump directly; across
 * pages a link compares its tag with the page that the code runs at; indirect ones go by the jump table. */
#include "base/bits.h"
#include "engine/bt/tr.h"

u32 link_new(struct tr *t, i32 delta, bool cross)
{
    struct bt *b = t->b;
    u32 n = b->at->links_n++;
    b->links[n] = (struct bt_link){.from = t->n, .delta = delta, .cross = cross};
    b->tags[n] = 0;
    if (!t->t->link_count++)
        t->t->link_first = n;
    return n;
}

static bool leaves_page(i32 delta)
{
    return delta < 0 || delta >= (i32)PAGE_SIZE;
}

/* Flags are in memory. */
void flow_cross(struct tr *t, u32 link, i32 delta)
{
    struct emit *e = &t->e;
    e_load(e, HOST_T0, SCRATCH(page_tag));
    e_op(e, true, 0x3b, HOST_T0, in_scratch(BT_TAGS_AT + 8ul * link), 0);
    u32 miss = e_jcc(e, CC_NE);
    i32 pages = (i32)((u32)delta & ~(u32)(PAGE_SIZE - 1));
    e_alu_imm(e, !t->code32, ALU_ADD, HOST_T0, pages);
    e_store(e, SCRATCH(page_tag), HOST_T0);
    e_alu_imm(e, !t->code32, ALU_AND, HOST_T0, -4096);
    e_store(e, SCRATCH(rip_page), HOST_T0);
    e8(e, 0xe9);
    t->b->links[link].at = e_off(e);
    e32(e, 0);
    struct late *l = late_new(t, LATE_LINK, t->b->links[link].at);
    l->at2 = miss;
    l->link = link;
    l->site = site_new(t, SITE_LINK, t->index);
    t->b->sites[l->site].link = link;
}

void flow_refund(struct tr *t, unsigned index)
{
    struct emit *e = &t->e;
    if (t->n_insns == index)
        return;
    e_lea(e, HOST_BUDGET, mem_opnd(HOST_BUDGET, (i32)(t->n_insns - index)));
}

u32 flow_near(struct tr *t, u32 at, i32 delta)
{
    struct emit *e = &t->e;
    u32 link = link_new(t, delta, false);
    if (!at) {
        flags_settle(t);
        e8(e, 0xe9);
        at = e_off(e);
        e32(e, 0);
    }
    t->b->links[link].at = at;
    struct late *l = late_new(t, LATE_LINK, at);
    l->link = link;
    l->site = site_new(t, SITE_LINK, t->index);
    t->b->sites[l->site].link = link;
    t->b->sites[l->site].flags_host = !t->mem && !t->parts;
    t->b->links[link].parts = t->parts;
    return link;
}

void flow_exit(struct tr *t, i32 delta)
{
    if (leaves_page(delta)) {
        flags_clobber(t);
        flow_cross(t, link_new(t, delta, true), delta);
    } else {
        flow_near(t, 0, delta);
    }
}

/* The branch whose rel32 is at AT goes to DELTA. */
static void taken(struct tr *t, u32 at, i32 delta)
{
    if (leaves_page(delta)) {
        struct late *l = late_new(t, LATE_CROSS, at);
        l->link = link_new(t, delta, true);
        l->delta = delta;
    } else {
        flow_near(t, at, delta);
    }
}

static i32 next_of(const struct tr *t, const struct dec *d)
{
    return t->page_off + d->off + d->i.len;
}

/* From the page's start, as all deltas. In 32-bit code they wrap at 4 GiB. */
static i32 target_of(const struct tr *t, const struct dec *d)
{
    return (i32)((u32)next_of(t, d) + (u32)d->i.imm);
}

void flow_step_if_not_canonical(struct tr *t, struct opnd value)
{
    struct emit *e = &t->e;
    t->held = 0;
    e_op(e, true, 0xc1, 4, reg_opnd(HOST_T1), 1);
    e8(e, 16);
    e_op(e, true, 0xc1, 7, reg_opnd(HOST_T1), 1);
    e8(e, 16);
    e_op(e, true, 0x3b, HOST_T1, value, 0);
    step_if(t, CC_NE);
}

/* The target in HOST_T0 must be canonical; else the interpreter executes the branch and finds its fault.
 * HOST_T1 goes. */
static void check_canonical(struct tr *t)
{
    e_mov(&t->e, HOST_T1, HOST_T0);
    flow_step_if_not_canonical(t, reg_opnd(HOST_T0));
}

/* A word of the stack, DISP bytes from its top on. */
static struct opnd stack(struct tr *t, i32 disp, unsigned acc, int *spare)
{
    struct ea ea = ea_at(t, RSP, disp);
    return mem_access(t, &ea, t->word, acc, spare);
}

static void move_rsp(struct tr *t, i32 by)
{
    e_op(&t->e, !t->code32, 0x8d, HOST_GUEST_RSP, mem_opnd(HOST_GUEST_RSP, by), 0);
}

static void load_word(struct tr *t, int r, struct opnd m)
{
    e_op(&t->e, !t->code32, 0x8b, r, m, 0);
}

static void store_word(struct tr *t, struct opnd m, int r)
{
    e_op(&t->e, !t->code32, 0x89, r, m, 0);
}

static void push_return(struct tr *t, const struct dec *d)
{
    int spare;
    struct opnd m = stack(t, -t->word, ACC_WRITE, &spare);
    e_load(&t->e, spare, SCRATCH(rip_page));
    e_lea(&t->e, spare, mem_opnd(spare, next_of(t, d)));
    store_word(t, m, spare);
    move_rsp(t, -t->word);
}

/* The operand of an indirect branch, or of PUSH r/m, into HOST_T0. */
static void load_operand(struct tr *t, const struct dec *d)
{
    struct emit *e = &t->e;
    if (d->i.form == FORM_R) {
        int h = host_reg(d->i.rd);
        if (h == NO_REG)
            e_load(e, HOST_T0, home(d->i.rd));
        else
            load_word(t, HOST_T0, reg_opnd(h));
        return;
    }
    struct ea ea = ea_of(d, t->page_off);
    int spare;
    struct opnd m = mem_access(t, &ea, t->word, ACC_READ, &spare);
    load_word(t, HOST_T0, m);
}

void lookup_late(struct tr *t, const struct late *l)
{
    struct emit *e = &t->e;
    e_patch(t->b, l->at2, e_off(e));
    e_load(e, HOST_T0, mem_opnd(HOST_T1, offsetof(struct bt_jump, rip)));
    e_patch(t->b, l->at, e_off(e));
    e_call(e, t->b->stub_other);
    u32 found = e_jcc(e, CC_E);
    e_patch(t->b, found, l->back);
}

/* Called with a target in HOST_T0, which is not in the jump table's entry HOST_T1: is it in the second? ZF says so. */
void flow_make_stub(struct emit *e)
{
    e->b->stub_other = e_off(e);
    e_store(e, SCRATCH(target), HOST_T0);
    e_alu_imm(e, true, ALU_XOR, HOST_T1, (i32)sizeof(struct bt_jump));
    e_op(e, true, 0x3b, HOST_T0, mem_opnd(HOST_T1, offsetof(struct bt_jump, rip)), 0);
    u32 no = e_jcc(e, CC_NE);
    e_load(e, HOST_T0, SCRATCH(key));
    e_op(e, true, 0x3b, HOST_T0, mem_opnd(HOST_T1, offsetof(struct bt_jump, key)), 0);
    e_patch(e->b, no, e_off(e));
    e8(e, 0xc3);
}

/* To the target in HOST_T0 by the jump table. Who finds it there pops POP bytes; else it is the dispatcher's. */
static void lookup(struct tr *t, unsigned pop)
{
    struct emit *e = &t->e;
    _Static_assert(sizeof(struct bt_jump) == 32, "index by shift");
    e_rorx32(e, HOST_T1, HOST_T0, 32 - 5);
    e_alu_imm(e, false, ALU_AND, HOST_T1, (BT_JUMPS - 1) << 5);
    e_op(e, true, 0x03, HOST_T1, SCRATCH(jumps), 0);
    e_op(e, true, 0x3b, HOST_T0, mem_opnd(HOST_T1, offsetof(struct bt_jump, rip)), 0);
    struct late *l = late_new(t, LATE_LOOKUP, e_jcc(e, CC_NE));
    e_load(e, HOST_T0, SCRATCH(key));
    e_op(e, true, 0x3b, HOST_T0, mem_opnd(HOST_T1, offsetof(struct bt_jump, key)), 0);
    l->at2 = e_jcc(e, CC_NE);
    l->site = site_new(t, SITE_LOOKUP, t->index);
    t->b->sites[l->site].pop = (u32)pop;
    l->back = e_off(e);
    e_load(e, HOST_T0, mem_opnd(HOST_T1, offsetof(struct bt_jump, page)));
    e_store(e, SCRATCH(page_tag), HOST_T0);
    e_alu_imm(e, true, ALU_AND, HOST_T0, -4096);
    e_store(e, SCRATCH(rip_page), HOST_T0);
    if (pop)
        move_rsp(t, (i32)pop);
    e_op(e, false, 0xff, 4, mem_opnd(HOST_T1, offsetof(struct bt_jump, code)), 0);
}

static void jmp_indirect(struct tr *t, const struct dec *d)
{
    flags_clobber(t);
    load_operand(t, d);
    if (d->i.op == OP_CALL) { /* whose fault comes before the push */
        if (!t->code32)
            check_canonical(t);
        e_store(&t->e, SCRATCH(target), HOST_T0);
        push_return(t, d);
        e_load(&t->e, HOST_T0, SCRATCH(target));
    }
    lookup(t, 0);
}

static void ret(struct tr *t, const struct dec *d)
{
    int spare;
    flags_clobber(t);
    struct opnd m = stack(t, 0, ACC_READ, &spare);
    load_word(t, HOST_T0, m);
    lookup(t, t->word + (d->i.form == FORM_I ? (u16)d->i.imm : 0u));
}

static void jrcxz(struct tr *t, const struct dec *d)
{
    struct emit *e = &t->e;
    if (d->i.op == OP_JECXZ)
        e8(e, 0x67);
    e8(e, 0xe3), e8(e, 5); /* over the next JMP */
    i32 next = next_of(t, d);
    if (leaves_page(next)) { /* its way out is long: through a jump too */
        e8(e, 0xe9);
        u32 at = e_off(e);
        e32(e, 0);
        taken(t, at, next);
    } else {
        flow_near(t, 0, next);
    }
    flow_exit(t, target_of(t, d));
}

/* LOOP: RCX - 1, jump when it is not zero. */
static void loop(struct tr *t, const struct dec *d)
{
    struct emit *e = &t->e;
    e_op(e, !t->code32, 0x8d, RCX, mem_opnd(RCX, -1), 0);
    if (t->code32)
        e8(e, 0x67);
    e8(e, 0xe3), e8(e, 5);
    e8(e, 0xe9);
    u32 at = e_off(e);
    e32(e, 0);
    taken(t, at, target_of(t, d));
    flow_exit(t, next_of(t, d));
}

/* A branch that the block goes on behind when it is not taken. */
void flow_side(struct tr *t, struct dec *d)
{
    flags_for(t, d->i.rv & 15, true);
    t->index++;
    struct late *l = late_new(t, LATE_SIDE, e_jcc(&t->e, d->i.rv & 15));
    l->delta = target_of(t, d);
}

void flow_emit(struct tr *t, struct dec *d)
{
    i32 next = next_of(t, d);
    switch (d->kind) {
    case K_JCC:
        flags_for(t, d->i.rv & 15, true);
        t->index++; /* its exits are behind it */
        taken(t, e_jcc(&t->e, d->i.rv & 15), target_of(t, d));
        flow_exit(t, next);
        return;
    case K_JRCXZ:
        flags_settle(t);
        t->index++;
        jrcxz(t, d);
        return;
    case K_LOOP:
        flags_settle(t);
        t->index++;
        loop(t, d);
        return;
    case K_RET:
        ret(t, d);
        t->index++;
        return;
    default:
        if (d->i.form != FORM_REL) {
            jmp_indirect(t, d);
            t->index++;
            return;
        }
        if (d->kind == K_CALL)
            push_return(t, d);
        t->index++;
        flow_exit(t, target_of(t, d));
    }
}

void flow_push(struct tr *t, struct dec *d)
{
    struct emit *e = &t->e;
    int spare;
    if (d->i.form == FORM_I) {
        struct opnd m = stack(t, -t->word, ACC_WRITE, &spare);
        e_op(e, !t->code32, 0xc7, 0, m, 4);
        e32(e, (u32)d->i.imm);
    } else if (d->i.form == FORM_R) {
        struct opnd m = stack(t, -t->word, ACC_WRITE, &spare);
        int h = host_reg(d->i.rd);
        if (h == NO_REG)
            e_load(e, h = spare, home(d->i.rd));
        store_word(t, m, h);
    } else {
        load_operand(t, d);
        e_store(e, SCRATCH(spill[2]), HOST_T0);
        struct opnd m = stack(t, -t->word, ACC_WRITE, &spare);
        e_load(e, spare, SCRATCH(spill[2]));
        store_word(t, m, spare);
    }
    move_rsp(t, -t->word);
}

struct ea pop_target(const struct tr *t, const struct dec *d)
{
    struct ea ea = ea_of(d, t->page_off);
    if (ea.base == RSP)
        ea.disp += t->word;
    return ea;
}

static void pop_to_memory(struct tr *t, const struct dec *d)
{
    struct emit *e = &t->e;
    struct ea ea = pop_target(t, d);
    int spare;
    struct opnd m = stack(t, 0, ACC_READ, &spare);
    load_word(t, spare, m);
    e_store(e, SCRATCH(spill[2]), spare);
    m = mem_access(t, &ea, t->word, ACC_WRITE, &spare);
    e_load(e, spare, SCRATCH(spill[2]));
    store_word(t, m, spare);
    move_rsp(t, t->word);
}

void flow_pop(struct tr *t, struct dec *d)
{
    struct emit *e = &t->e;
    if (d->i.form == FORM_M) {
        pop_to_memory(t, d);
        return;
    }
    int spare, h = host_reg(d->i.rd);
    struct opnd m = stack(t, 0, ACC_READ, &spare);
    load_word(t, h == NO_REG ? spare : h, m);
    if (h == NO_REG)
        e_store(e, home(d->i.rd), spare);
    if (d->i.rd != RSP)
        move_rsp(t, t->word);
}

void flow_leave(struct tr *t, struct dec *d)
{
    struct ea ea = ea_at(t, RBP, 0);
    int spare;
    (void)d;
    struct opnd m = mem_access(t, &ea, t->word, ACC_READ, &spare);
    load_word(t, spare, m);
    e_op(&t->e, !t->code32, 0x8d, HOST_GUEST_RSP, mem_opnd(RBP, t->word), 0);
    e_mov(&t->e, RBP, spare);
}
