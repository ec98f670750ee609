/* From bytes to a block: fetch through the soft TLB, decode, choose handlers.
 * Fetch faults: SDM vol. 3, 6.15 (#PF at the first byte that cannot be fetched), 5.3 (CS limit: #GP(0)). */
#include <string.h>

#include "base/bits.h"
#include "isa/decode_mode.h"
#include "engine/interp/inner.h"
#include "engine/interp/operand.h"
#include "engine/interp/state.h"

typedef insn_fn bind_fn(const struct insn *i, unsigned code_size, bool flat);

static bind_fn *const bind_of_op[OP_COUNT] = {
#define OP(name, family, ...) [OP_##name] = interp_bind_##family,
#include "isa/ops.def"
#undef OP
};

enum { FEAT_BASE = -1 };
static const i8 feature_of_op[OP_COUNT] = {
#define OP(name, family, feature, ...) [OP_##name] = FEAT_##feature,
#include "isa/ops.def"
#undef OP
};

/* Operations after which the block ends: they set RIP, or change what the following bytes mean. */
static bool ends_block(const struct insn *i)
{
    if (bind_of_op[i->op] == interp_bind_FLOW)
        return i->op != OP_ENTER && i->op != OP_LEAVE;
    if (bind_of_op[i->op] == interp_bind_STRING)
        return i->flags & (INSN_REP | INSN_REPNE) || i->op == OP_INS || i->op == OP_OUTS;
    switch (i->op) {
    case OP_HLT:
    case OP_IN:
    case OP_OUT:
    case OP_MOV_TO_CR:
    case OP_MOV_TO_DR:
    case OP_MOV_TO_SEG:
    case OP_POP_SEG:
    case OP_LSS:
    case OP_WRMSR:
    case OP_INVLPG:
    case OP_INVPCID:
    case OP_LMSW:
    case OP_XSETBV:
    case OP_VMCALL:
    case OP_VMMCALL:
        return true;
    default:
        return false;
    }
}

/* Bits of this CPU's ISA that an older one reads as another instruction: LZCNT and TZCNT are BSR and BSF with a REP prefix. */
bool interp_offered(const struct cpu *c, struct insn *i)
{
    int f = feature_of_op[i->op];
    if (f == FEAT_AVX && interp_needs_avx2(i))
        f = FEAT_AVX2;
    if ((f == FEAT_AES || f == FEAT_PCLMUL) && i->flags & INSN_VEX_L) /* VAES and VPCLMULQDQ, features of their own, which are not offered */
        return false;
    if (f == FEAT_BASE || cpu_has(c, (enum cpu_feature)f))
        return true;
    if (i->op == OP_LZCNT || i->op == OP_TZCNT) {
        i->op = i->op == OP_LZCNT ? OP_BSR : OP_BSF;
        return true;
    }
    return false;
}

bool interp_amd(const struct cpu *c)
{
    return silicon_is_amd(c->wires.model->silicon);
}

bool interp_store_last(const struct cpu *c)
{
    return silicon_store_last(c->wires.model->silicon);
}

/* Where the bytes of a block come from. */
struct source {
    u64 gpa;
    u64 page2;      /* frame of the second page when it was needed */
    const u8 *bytes; /* from gpa on, inside its page; null: not RAM */
    unsigned left;  /* bytes to the page's end, or to the segment limit if that is nearer */
    bool limited;   /* the limit is nearer */
    bool fleeting;  /* SMRAM: who sees it may change, so nothing may be kept of it */
};

static u64 code_linear(const struct cpu *c, u64 rip)
{
    return c->code_size == 8 ? rip : (u32)(rip + c->seg[SEG_CS].base);
}

static bool source_open(struct cpu *c, u64 rip, struct source *s)
{
    if (c->code_size == 8 ? !cpu_canonical(rip) : rip > c->seg[SEG_CS].limit)
        return cpu_raise_gp(c, 0);
    u64 lin = code_linear(c, rip);
    struct place p;
    if (!lin_translate(c, lin, ACC_FETCH, &p))
        return false;
    *s = (struct source){.gpa = p.gpa, .page2 = BLOCK_NO_PAGE, .bytes = p.hva};
    s->fleeting = !p.hva || mem_is_smram(c->wires.mem, p.gpa, 1);
    s->left = (unsigned)(PAGE_SIZE - (lin & ~PAGE_MASK));
    u64 room = (u64)c->seg[SEG_CS].limit - rip + 1;
    if (c->code_size != 8 && room < s->left) {
        s->left = (unsigned)room;
        s->limited = true;
    }
    return true;
}

/* The first instruction does not end in this page (or is not in RAM): gathers its bytes one by one. False: fault; that of the fetch comes before too great a
 * length (SDM vol. 3, table 6-2), even if the length is known by then. */
static bool decode_gathered(struct cpu *c, u64 rip, struct source *s, struct insn *i, enum decode_status *st)
{
    u8 buf[15];
    unsigned have = 0;
    do {
        u64 at = c->code_size == 8 ? rip + have : (u32)(rip + have);
        u64 lin = code_linear(c, at);
        if (c->code_size == 8 ? !cpu_canonical(lin) : at > c->seg[SEG_CS].limit || at < rip)
            return cpu_raise_gp(c, 0);
        if (have && !(lin & ~PAGE_MASK)) {
            struct place p;
            if (!lin_translate(c, lin, ACC_FETCH, &p))
                return false;
            s->page2 = p.gpa & PAGE_MASK;
            s->fleeting |= !p.hva || mem_is_smram(c->wires.mem, p.gpa, 1);
        }
        if (!lin_read(c, lin, &buf[have], 1, ACC_FETCH))
            return false;
        have++;
        *st = insn_decode(buf, have, cpu_decode_mode(c), i);
    } while ((*st == DECODE_MORE || *st == DECODE_TOO_LONG) && have < sizeof buf);
    if (*st != DECODE_OK && *st != DECODE_UNBUILT)
        i->len = (u8)have;
    return true;
}

static void finish(struct cpu *c, struct interp *it, struct insn *i, enum decode_status st, unsigned number, unsigned offset)
{
    i->off = (u8)number;
    if (st != DECODE_OK) {
        i->fn = st == DECODE_TOO_LONG ? interp_raise_too_long : st == DECODE_UNBUILT ? interp_unbuilt : interp_raise_ud;
        return;
    }
    if (i->base == GPR_RIP) { /* relative to the block instead of the next instruction */
        i64 disp = (i64)i->disp + offset + i->len;
        if (disp != (i32)disp) { /* a displacement within a page of 2 GiB: no compiler makes one (docs/deviations.md) */
            i->fn = interp_unbuilt;
            return;
        }
        i->disp = (i32)disp;
    }
    if (!interp_offered(c, i)) {
        i->fn = interp_raise_ud;
        return;
    }
    if (bind_of_op[i->op] == interp_bind_X87)
        i->imm = (i32)offset; /* FIP without counting */
    i->off = (u8)c->wires.model->silicon; /* what handlers are bound for */
    i->fn = c->company != CPU_ALONE ? interp_bind_company(i, c->company) : NULL;
    if (!i->fn)
        i->fn = bind_of_op[i->op](i, c->code_size, it->mode & MODE_FLAT);
    i->off = (u8)number;
    if (!i->fn)
        i->fn = interp_unbuilt;
}

/* Fills tail and taken. */
static void finish_links(const struct cpu *c, struct block *b)
{
    struct insn *last = &b->entry[b->count];
    struct link *tail = (struct link *)(last + 1), *taken = (struct link *)(last + 2);
    u64 at = b->gpa & ~PAGE_MASK;
    bool may = b->mode & MODE_FLAT && !(b->mode & MODE_SINGLE) && b->page2 == BLOCK_NO_PAGE;
    *tail = (struct link){.fn = interp_tail, .delta = b->bytes, .off = (u8)b->count};
    tail->linkable = may && at + b->bytes < PAGE_SIZE;
    i64 delta = (i64)b->bytes + (last->form == FORM_REL ? last->imm : 0);
    *taken = (struct link){.fn = interp_stale, .delta = delta};
    taken->linkable = may && (i64)at + delta >= 0 && (i64)at + delta < (i64)PAGE_SIZE;
    bool point = UNLIKELY(c->points) && !(b->mode & MODE_SINGLE) && points_at_offset(c->points, at);
    b->entry[0] = (struct insn){.fn = point ? interp_point : interp_enter, .imm = (i32)b->count};
}

/* Decodes up to MAX instructions from RIP into B. False: fault at the first instruction. */
static bool fill(struct interp *it, u64 rip, unsigned max, struct block *b, struct source *s)
{
    struct cpu *c = it->cpu;
    unsigned offset = 0;
    while (b->count < max) {
        if (UNLIKELY(c->points) && b->count && points_at_offset(c->points, (s->gpa + offset) & ~PAGE_MASK))
            break;
        struct insn *i = &b->entry[1 + b->count];
        memset(i, 0, sizeof *i);
        enum decode_status st = DECODE_MORE;
        if (s->bytes && offset < s->left)
            st = insn_decode(s->bytes + offset, s->left - offset, cpu_decode_mode(c), i);
        if (st == DECODE_MORE || (st == DECODE_TOO_LONG && s->left - offset < 15)) {
            if (b->count)
                break; /* a block of its own next time */
            if (!decode_gathered(c, rip, s, i, &st))
                return false;
            max = 1;
        } else if (st == DECODE_UD || st == DECODE_TOO_LONG) {
            i->len = (u8)(s->left - offset < 15 ? s->left - offset : 15); /* a write to any of them ends the verdict */
        }
        if (st != DECODE_OK && st != DECODE_UNBUILT && b->count)
            break;
        if (st == DECODE_OK && b->count && bind_of_op[i->op] == interp_bind_STRING && i->flags & (INSN_REP | INSN_REPNE))
            break; /* each iteration is a boundary: alone in its block */
        finish(c, it, i, st, b->count, offset);
        offset += i->len;
        b->count++;
        if (st != DECODE_OK || ends_block(i))
            break;
    }
    b->bytes = (u16)offset;
    return true;
}

static struct block *reserve(struct interp *it)
{
    struct block *b = block_reserve(&it->cache, BLOCK_MAX);
    if (!b) {
        block_cache_flush(&it->cache);
        b = block_reserve(&it->cache, BLOCK_MAX);
    }
    return b;
}

/* A cached block fits only if its second page is still the one behind this address. False: fault on that page. */
static bool second_page_ok(struct cpu *c, u64 rip, const struct block *b, bool *fits)
{
    *fits = true;
    if (b->page2 == BLOCK_NO_PAGE)
        return true;
    u64 lin = code_linear(c, rip);
    struct place p;
    u64 next = (lin & PAGE_MASK) + PAGE_SIZE;
    if (!lin_translate(c, c->code_size == 8 ? next : (u32)next, ACC_FETCH, &p))
        return false;
    *fits = p.gpa == b->page2;
    return true;
}

enum decoded {
    DECODED_FAULT,
    DECODED_ONCE, /* not RAM, SMRAM, or cut by a segment limit: decoded anew each time, in the free end of the arena */
    DECODED_KEEP, /* its frames were marked before they were read, and nobody wrote to code meanwhile */
    DECODED_AGAIN,
};

static enum decoded decode(struct interp *it, u64 rip, struct source s, unsigned max, struct block **made)
{
    struct cpu *c = it->cpu;
    if (s.fleeting) /* writes to what is not kept are not noticed: such code runs an instruction at a time */
        max = 1;
    bool may = !s.fleeting && !s.limited;
    if (may)
        frame_mark_code(c, s.gpa, FRAME_DECODED);
    u64 writes = it->cache.writes;
    struct block *b = *made = reserve(it);
    b->gpa = s.gpa;
    b->mode = it->mode;
    if (!fill(it, rip, max, b, &s))
        return DECODED_FAULT;
    b->page2 = s.page2;
    finish_links(c, b);
    if (!may || s.fleeting)
        return DECODED_ONCE;
    if (s.page2 != BLOCK_NO_PAGE && !(mem_frame_flags(c->wires.mem, s.page2) & FRAME_DECODED)) {
        frame_mark_code(c, s.page2, FRAME_DECODED);
        return DECODED_AGAIN;
    }
    return writes == it->cache.writes ? DECODED_KEEP : DECODED_AGAIN;
}

/* After so many disturbances by other vCPUs a single instruction is decoded, and used once. */
#define DECODE_TRIES 4

const struct insn *build_entry(struct interp *it, u64 rip)
{
    struct cpu *c = it->cpu;
    struct source s = {0};
    if (!source_open(c, rip, &s))
        return NULL;
    struct block *b = s.fleeting ? NULL : block_find(&it->cache, s.gpa, it->mode); /* RAM that is out of sight keeps its blocks */
    if (b && !s.limited) {
        bool fits;
        if (!second_page_ok(c, rip, b, &fits))
            return NULL;
        if (fits)
            return b->entry;
        if (block_find(&it->cache, s.gpa, it->mode) == b) /* looking at the page was a safe point */
            block_drop(&it->cache, b, interp_stale);
    }
    unsigned max = it->mode & MODE_SINGLE ? 1 : BLOCK_MAX;
    enum decoded d = DECODED_AGAIN;
    for (unsigned tries = 0; tries < DECODE_TRIES && d == DECODED_AGAIN; tries++)
        d = decode(it, rip, s, tries == DECODE_TRIES - 1 ? 1 : max, &b);
    if (d == DECODED_FAULT)
        return NULL;
    if (d == DECODED_KEEP)
        block_commit(&it->cache, b, c->wires.mem);
    b->entry->rd = d != DECODED_KEEP ? BLOCK_FLEETING : b->page2 != BLOCK_NO_PAGE ? BLOCK_CROSSING : 0;
    return b->entry;
}
