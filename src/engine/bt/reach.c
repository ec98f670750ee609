/* What translated code can reach (settings.scan): every memory operand of a translation is
 *
 *     the scratch page by a fixed displacement, but for the pointers in it, which are read alone; a link's tag, read
 *     an entry of the soft TLB's table, read: RSP, and in HOST_T1 an offset that was masked, or came from a miss
 *     guest memory: HOST_T0 or HOST_T1 is an address made with the addend of an entry, or kept in a slot of the block. The entry's tag was
 *         compared, or a miss found it; for a write, its write tag
 *     the vCPU, or what the look-up of a branch found, by a pointer out of the scratch page
 *
 * So the two registers' contents are followed through the instructions, from branch to target; never a guest's value alone is an address. That it was this
 * operand's page which was compared, and all its bytes, is not looked at: a guest's value in the operand's other register is right, as the addend is
 * added to it. */
#include <Zydis/Zydis.h>

#include "engine/bt/show.h"
#include "engine/bt/tr.h"

enum holds {
    ANY,        /* a guest's value, as far as is known */
    BITS,       /* less than an operand has bits */
    INDEX,      /* of the jump table, in bytes */
    POINTER,    /* of the monitor's */
    ENTRY,      /* of the soft TLB, from RSP on */
    COMPARED_R, /* likewise; its read tag, or its write tag, was compared just before */
    COMPARED_W,
    HIT_R, /* and was the page's */
    HIT_W,
    HOST_R, /* an address of guest memory that may be read, or written too; or an addend */
    HOST_W,
};

struct walk {
    struct bt *b;
    const struct bt_block *block;
    struct reach *at;
    u32 n;
    struct reach now;
    bool again; /* what was walked already is reached with less than it was walked with */
};

struct host_insn {
    ZydisDecodedInstruction z;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    u32 next; /* offset in the cache of the next */
};

static const struct reach unknown = {.live = true};

static int number_of(ZydisRegister r)
{
    return ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r));
}

static bool is_gpr(ZydisRegister r)
{
    return ZydisRegisterGetClass(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r)) == ZYDIS_REGCLASS_GPR64;
}

static u8 *held_by(struct reach *s, ZydisRegister r)
{
    if (!is_gpr(r))
        return NULL;
    int n = number_of(r);
    return n == HOST_T0 ? &s->t[0] : n == HOST_T1 ? &s->t[1] : NULL;
}

static enum holds value_of(struct reach *s, ZydisRegister r)
{
    const u8 *h = held_by(s, r);
    return h ? *h : ANY;
}

static bool is_host(u8 h)
{
    return h == HOST_R || h == HOST_W;
}

static bool is_hit(u8 h)
{
    return h == HIT_R || h == HIT_W;
}

static enum holds meet_holds(u8 a, u8 b)
{
    if (a == b)
        return a;
    return is_host(a) && is_host(b) ? HOST_R : is_hit(a) && is_hit(b) ? HIT_R : ANY;
}

/* What both A and B say. */
static struct reach meet(struct reach a, struct reach b)
{
    if (!a.live || !b.live)
        return a.live ? a : b;
    for (unsigned k = 0; k < 2; k++)
        a.t[k] = (u8)meet_holds(a.t[k], b.t[k]);
    a.slots &= b.slots, a.slots_w &= b.slots_w;
    return a;
}

static bool same_state(struct reach a, struct reach b)
{
    return a.live == b.live && a.t[0] == b.t[0] && a.t[1] == b.t[1] && a.slots == b.slots && a.slots_w == b.slots_w;
}

/* The place in w->at of an offset in the cache; w->n: in none of the block's parts. */
static u32 place_of(const struct walk *w, u32 off)
{
    const struct bt_block *k = w->block;
    if (off - k->code < k->code_len)
        return off - k->code;
    return off - k->cold < k->cold_len ? k->code_len + (off - k->cold) : w->n;
}

/* ---- operands ---- */

/* The distance of a RIP-relative operand from the scratch page. */
static u64 from_scratch(const struct walk *w, const struct host_insn *i, const ZydisDecodedOperand *o)
{
    u64 at = (u64)(uintptr_t)w->b->code + i->next + (u64)o->mem.disp.value;
    return at - (u64)(uintptr_t)w->b->scratch;
}

static bool is_entry(struct walk *w, const ZydisDecodedOperand *o)
{
    i64 disp = o->mem.disp.value;
    return o->mem.base == ZYDIS_REGISTER_RSP && o->mem.scale == 1 && value_of(&w->now, o->mem.index) >= ENTRY && value_of(&w->now, o->mem.index) <= HIT_W &&
           disp >= 0 && disp < (i64)sizeof(struct tlb_entry);
}

static bool within(u64 off, size_t first, size_t end)
{
    return off >= first && off < end;
}
#define AT(field) offsetof(struct bt_scratch, field)

static bool is_slot(u64 off, u32 *bit)
{
    *bit = (u32)(off - AT(slot)) / 8u & 31;
    return within(off, AT(slot), AT(slot) + sizeof(u64) * BT_SLOTS);
}

static bool written_freely(u64 off)
{
    return within(off, AT(home), AT(key)) || within(off, AT(seg_base), AT(seg_flat)) || within(off, AT(flags), AT(slot)) || off == AT(target) ||
           off == AT(lin) || within(off, AT(fcw), AT(fip_off) + 8);
}

/* A pointer of the monitor's, which translated code follows. */
static bool is_pointer(u64 off)
{
    return off == AT(tlb) || off == AT(cpu) || off == AT(by_ac[0].table) || off == AT(by_ac[1].table);
}

static bool scratch_ok(struct walk *w, const struct host_insn *i, u64 off, bool write)
{
    u32 bit;
    if (!write)
        return off < sizeof(struct bt_scratch) || within(off, BT_TAGS_AT, BT_TAGS_AT + 8ul * BT_LINKS);
    bool whole = i->z.mnemonic == ZYDIS_MNEMONIC_MOV && i->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER && i->ops[0].size == 64;
    enum holds h = whole ? value_of(&w->now, i->ops[1].reg.value) : ANY;
    if (is_slot(off, &bit)) {
        w->now.slots |= (u16)(1u << bit);
        w->now.slots_w = (u16)((w->now.slots_w & ~(1u << bit)) | (u32)(h == HOST_W) << bit);
        return is_host((u8)h);
    }
    return written_freely(off) || (off == AT(tlb) && h == POINTER);
}

/* BT and its kin count bits from a memory operand on. */
static bool bits_ok(struct walk *w, const struct host_insn *i)
{
    ZydisMnemonic m = i->z.mnemonic;
    bool counts = m == ZYDIS_MNEMONIC_BT || m == ZYDIS_MNEMONIC_BTS || m == ZYDIS_MNEMONIC_BTR || m == ZYDIS_MNEMONIC_BTC;
    return !counts || i->ops[1].type != ZYDIS_OPERAND_TYPE_REGISTER || value_of(&w->now, i->ops[1].reg.value) == BITS;
}

static bool memory_ok(struct walk *w, const struct host_insn *i, const ZydisDecodedOperand *o)
{
    bool write = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    if (o->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
        return true;
    if (o->mem.type != ZYDIS_MEMOP_TYPE_MEM || i->z.address_width != 64 || !bits_ok(w, i))
        return false;
    if (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN) /* of a call, below the table */
        return i->z.mnemonic == ZYDIS_MNEMONIC_CALL;
    if (o->mem.base == ZYDIS_REGISTER_RIP)
        return scratch_ok(w, i, from_scratch(w, i, o), write);
    if (o->mem.base == ZYDIS_REGISTER_RSP)
        return !write && is_entry(w, o);
    enum holds base = value_of(&w->now, o->mem.base), index = value_of(&w->now, o->mem.index);
    if (base == POINTER)
        return o->mem.index == ZYDIS_REGISTER_NONE;
    if (is_host((u8)base))
        return o->mem.index == ZYDIS_REGISTER_NONE && (!write || base == HOST_W);
    return o->mem.scale == 1 && (index == HOST_W || (index == HOST_R && !write));
}

/* ---- what an instruction leaves in its first operand ---- */

static enum holds loaded(struct walk *w, const struct host_insn *i, const ZydisDecodedOperand *o)
{
    u32 bit;
    if (o->mem.base == ZYDIS_REGISTER_RIP) {
        u64 off = from_scratch(w, i, o);
        if (is_slot(off, &bit))
            return w->now.slots_w >> bit & 1 ? HOST_W : w->now.slots >> bit & 1 ? HOST_R : ANY;
        return is_pointer(off) ? POINTER : ANY;
    }
    if (is_entry(w, o)) {
        enum holds h = value_of(&w->now, o->mem.index);
        bool addend = o->mem.disp.value == offsetof(struct tlb_entry, addend);
        return !addend ? ANY : h == HIT_W ? HOST_W : h == HIT_R ? HOST_R : ANY;
    }
    bool tlb = value_of(&w->now, o->mem.base) == POINTER && o->mem.disp.value == offsetof(struct cpu, tlb);
    return tlb ? POINTER : ANY;
}

static enum holds added(struct walk *w, const struct host_insn *i, enum holds old)
{
    const ZydisDecodedOperand *o = &i->ops[1];
    if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
        return ANY;
    if (o->mem.base == ZYDIS_REGISTER_RIP) {
        u64 off = from_scratch(w, i, o);
        if (off == AT(jumps) && old == INDEX)
            return POINTER;
        return off == AT(range[0].host) || off == AT(range[1].host) ? HOST_W : ANY;
    }
    return loaded(w, i, o);
}

static enum holds masked(const struct host_insn *i)
{
    const ZydisDecodedOperand *o = &i->ops[1];
    if (o->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return ANY;
    switch (o->imm.value.u) {
    case (TLB_ENTRIES - 1) << 5: return ENTRY;
    case (BT_JUMPS - 1) << 5: return INDEX;
    case 31:
    case 63: return BITS;
    default: return ANY;
    }
}

static enum holds result(struct walk *w, const struct host_insn *i, enum holds old)
{
    const ZydisDecodedOperand *from = &i->ops[1];
    bool wide = i->ops[0].size == 64;
    switch (i->z.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        if (!wide)
            return ANY;
        return from->type == ZYDIS_OPERAND_TYPE_MEMORY ? loaded(w, i, from) : from->type == ZYDIS_OPERAND_TYPE_REGISTER ? value_of(&w->now, from->reg.value) : ANY;
    case ZYDIS_MNEMONIC_ADD: return wide ? added(w, i, old) : ANY;
    case ZYDIS_MNEMONIC_AND: return i->ops[0].size == 32 ? masked(i) : ANY;
    default: return ANY;
    }
}

static bool registers_written(struct walk *w, const struct host_insn *i)
{
    struct reach next = w->now;
    bool ok = true;
    for (unsigned k = 0; k < i->z.operand_count; k++) {
        const ZydisDecodedOperand *o = &i->ops[k];
        if (o->type != ZYDIS_OPERAND_TYPE_REGISTER || !(o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) || !is_gpr(o->reg.value))
            continue;
        u8 *h = held_by(&next, o->reg.value);
        if (h)
            *h = (u8)(k ? ANY : result(w, i, *h));
        else if (number_of(o->reg.value) == RSP)
            ok &= i->z.mnemonic == ZYDIS_MNEMONIC_CALL || (i->z.mnemonic == ZYDIS_MNEMONIC_LEA && value_of(&w->now, i->ops[1].mem.base) == POINTER);
    }
    w->now = next;
    return ok;
}

/* A tag is compared: by CMP, or XOR and a CMP of the bytes that are left. The conditional branch behind it says what came of it. */
static void compares(struct walk *w, const struct host_insn *i)
{
    const ZydisDecodedOperand *o = &i->ops[1];
    if ((i->z.mnemonic != ZYDIS_MNEMONIC_XOR && i->z.mnemonic != ZYDIS_MNEMONIC_CMP) || o->type != ZYDIS_OPERAND_TYPE_MEMORY || !is_entry(w, o))
        return;
    u8 *h = held_by(&w->now, o->mem.index);
    if (h && *h == ENTRY)
        *h = o->mem.disp.value == offsetof(struct tlb_entry, read) ? COMPARED_R : o->mem.disp.value == offsetof(struct tlb_entry, write) ? COMPARED_W : ANY;
}

/* Behind a conditional branch that was not taken. */
static void falls_through(struct walk *w, ZydisMnemonic m)
{
    if (m != ZYDIS_MNEMONIC_JNBE && m != ZYDIS_MNEMONIC_JNZ)
        return;
    for (unsigned k = 0; k < 2; k++)
        w->now.t[k] = w->now.t[k] == COMPARED_R ? HIT_R : w->now.t[k] == COMPARED_W ? HIT_W : w->now.t[k];
}

/* ---- control flow ---- */

static bool called(struct walk *w, u32 to)
{
    const struct bt *b = w->b;
    u8 *t = w->now.t;
    for (unsigned k = 0; k < 8; k++)
        if (to == b->stub_rep[k / 4][k % 4])
            return t[1] == HOST_W && (k < 4 || is_host(t[0]));
    t[0] = ANY;
    for (unsigned write = 0; write < 2; write++)
        if (to == b->stub_miss[write] || to == b->stub_look[write]) {
            t[1] = write ? HIT_W : HIT_R;
            return true;
        }
    for (unsigned k = 0; k < BT_RANGES; k++)
        if (to == b->stub_note[k])
            return true;
    if (to == b->stub_other)
        return t[1] == POINTER;
    t[1] = ANY;
    return to == b->stub_x87 || to == b->stub_tsc;
}

/* The state goes to offset TO. */
static void goes_to(struct walk *w, u32 from, u32 to)
{
    u32 p = place_of(w, to);
    if (p == w->n)
        return; /* a stub, or another block */
    struct reach m = meet(w->at[p], w->now);
    w->again |= p <= from && !same_state(m, w->at[p]);
    w->at[p] = m;
}

static bool branches(struct walk *w, const struct host_insn *i, u32 from)
{
    const ZydisDecodedOperand *o = &i->ops[0];
    bool relative = o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && o->imm.is_relative;
    u32 to = relative ? i->next + (u32)o->imm.value.u : 0;
    switch (i->z.meta.category) {
    case ZYDIS_CATEGORY_CALL: return relative && called(w, to);
    case ZYDIS_CATEGORY_RET: return false;
    case ZYDIS_CATEGORY_COND_BR:
    case ZYDIS_CATEGORY_UNCOND_BR:
        if (relative)
            goes_to(w, from, to);
        falls_through(w, i->z.mnemonic);
        w->now.live = i->z.meta.category == ZYDIS_CATEGORY_COND_BR;
        return relative || (o->type == ZYDIS_OPERAND_TYPE_MEMORY && value_of(&w->now, o->mem.base) == POINTER && o->mem.disp.value == offsetof(struct bt_jump, code));
    default: return true;
    }
}

static bool one(struct walk *w, const struct host_insn *i, u32 from)
{
    bool ok = true;
    for (unsigned k = 0; k < i->z.operand_count; k++)
        if (i->ops[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
            ok &= memory_ok(w, i, &i->ops[k]);
    compares(w, i);
    ok &= registers_written(w, i);
    return branches(w, i, from) && ok;
}

/* One of the block's parts; the instructions that are wrong. */
static u64 part(struct walk *w, u32 code, u32 len)
{
    ZydisDecoder d;
    struct host_insn i;
    u64 wrong = 0;
    w->now = unknown; /* who enters the block knows nothing */
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (u32 at = 0; at < len; at += i.z.length) {
        const u8 *p = w->b->code + code + at;
        u32 place = place_of(w, code + at);
        w->now = meet(w->now, w->at[place]);
        if (!w->now.live)
            w->now = unknown; /* the handler of faults leads here, or the block's end when it is dropped */
        w->at[place] = w->now;
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, p, len - at, &i.z, i.ops)))
            return wrong + 1;
        i.next = code + at + i.z.length;
        if (!one(w, &i, place)) {
            wrong++;
            memcpy(w->b->found, p, i.z.length);
        }
    }
    return wrong;
}

void bt_reach(struct bt *b, const struct bt_block *t)
{
    struct walk w = {.b = b, .block = t, .at = b->tr->reach, .n = t->code_len + t->cold_len};
    u64 wrong;
    memset(w.at, 0, w.n * sizeof *w.at);
    do { /* a state only loses, so this ends */
        w.again = false;
        wrong = part(&w, t->code, t->code_len) + part(&w, t->cold, t->cold_len);
    } while (w.again);
    b->forbidden += wrong;
}
