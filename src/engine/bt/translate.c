/* One block: from a guest-physical address to the first branch, to what is not translated, or to the page's
 * end. */
#include <stdlib.h>
#include <string.h>

#include "engine/bt/tr.h"
#include "engine/bt/show.h"
#include "engine/bt/x87.h"
#include "isa/decode_mode.h"

u32 site_new(struct tr *t, enum bt_site_kind kind, unsigned index)
{
    u32 n = t->b->at->sites_n++;
    t->b->sites[n] =
        (struct bt_site){.block = t->n, .index = (u8)index, .kind = kind & 15, .charged = t->charged};
    if (index < BT_BLOCK_MAX && (kind == SITE_STEP || kind == SITE_MEM))
        t->b->sites[n].op = t->d[index].i.op;
    return n;
}

struct late *late_new(struct tr *t, enum late_kind kind, u32 at)
{
    struct late *l = &t->late[t->late_n < LATE_MAX - 1 ? t->late_n++ : t->late_n];
    *l = (struct late){.kind = (u8)kind,
                       .host = t->host,
                       .mem = t->mem,
                       .parts = t->parts,
                       .lost = t->lost,
                       .index = t->index,
                       .at = at,
                       .again = 0xffff};
    return l;
}

/* Takes the block's instructions off the budget; the host's flags are free. */
static void charge(struct tr *t, u16 again)
{
    struct emit *e = &t->e;
    e_alu_imm(e, true, ALU_SUB, HOST_BUDGET, t->n_insns);
    t->charged = true;
    struct late *l = late_new(t, LATE_BUDGET, e_jcc(e, CC_S));
    l->again = again;
    l->site = site_new(t, SITE_BUDGET, t->index + (again != 0xffff));
}

/* The cheapest place to charge: where the flags are in memory alone, or just before they are all written. */
static void try_charge(struct tr *t, const struct dec *d, bool must)
{
    if (t->charged)
        return;
    if (must)
        flags_give_way(t);
    if (!t->host)
        charge(t, 0xffff);
    else if (d->kind == K_GENERIC && d->full && !d->reads_flags && dec_is_integer(d) &&
             (d->i.form == FORM_RR || d->i.form == FORM_RI || d->i.form == FORM_R))
        charge(t, t->index);
}

bool touches_memory(const struct dec *d)
{
    switch (d->kind) {
    case K_PUSH:
    case K_POP:
    case K_LEAVE:
    case K_X87_CONTROL:
    case K_STRING:
    case K_CALL:
    case K_RET: return true;
    case K_GENERIC: return d->i.msize && d->i.form != FORM_RR && d->i.form != FORM_RRI && d->i.form != FORM_R;
    default: return false;
    }
}

static void emit_lea(struct tr *t, struct dec *d)
{
    struct emit *e = &t->e;
    struct ea ea = ea_of(d, t->page_off);
    bool collapsed;
    ea.seg = 0;
    struct opnd o = ea_prepare(t, &ea, &collapsed);
    int h = host_reg(d->i.rd);
    if (d->i.size == 2) {
        e_lea(e, HOST_T0, o);
        e8(e, 0x66);
        if (h == NO_REG)
            e_op(e, false, 0x89, HOST_T0, home(d->i.rd), 0);
        else
            e_op(e, false, 0x89, HOST_T0, reg_opnd(h), 0);
        return;
    }
    e_op(e, d->i.size == 8, 0x8d, h == NO_REG ? HOST_T0 : h, o, 0);
    if (h == NO_REG)
        e_store(e, home(d->i.rd), HOST_T0);
}

static void emit_one(struct tr *t, struct dec *d)
{
    bool loses = d->kind == K_X87_CONTROL || d->kind == K_STRING || d->kind == K_SENSITIVE; /* HOST_T1, at any place of theirs */
    if (loses)
        t->held = 0;
    switch (d->kind) {
    case K_NOP: break;
    case K_LEA: emit_lea(t, d); break;
    case K_PUSH: flow_push(t, d); break;
    case K_POP: flow_pop(t, d); break;
    case K_LEAVE: flow_leave(t, d); break;
    case K_X87_CONTROL: x87_control(t, d); break;
    case K_STRING: string_emit(t, d); break;
    case K_SENSITIVE: sensitive_emit(t, d); break;
    default: generic_emit(t, d);
    }
    if (loses)
        t->held = 0;
}

static void leave_by(struct tr *t, u32 site, u32 stub)
{
    e_mov_imm32(&t->e, HOST_T0, site);
    e_jmp(&t->e, stub);
}

void leave_at(struct tr *t, u32 site)
{
    leave_by(t, site, t->b->stub_exit);
}

u32 step_if(struct tr *t, unsigned cc)
{
    struct late *l = late_new(t, LATE_SITE, e_jcc(&t->e, cc));
    return l->site = site_new(t, SITE_STEP, t->index);
}

void site_describe(struct tr *t, u32 site, const struct dec *d)
{
    struct bt_site *s = &t->b->sites[site];
    s->decoded = true;
    s->len = d->i.len;
    s->size = d->i.size;
    s->rep = (d->i.op == OP_MOVS || d->i.op == OP_STOS) && d->i.asize == t->word && d->i.flags & (INSN_REP | INSN_REPNE) &&
             d->i.flags & INSN_SEG_PLAIN;
}

static void emit_late(struct tr *t, const struct late *l)
{
    struct emit *e = &t->e;
    u32 here = e_off(e);
    t->host = l->host, t->mem = l->mem, t->parts = l->parts, t->lost = l->lost, t->index = l->index;
    if (l->at)
        e_patch(t->b, l->at, here);
    if (l->fault)
        t->b->maps[t->t->map + l->index].lost = here & (BT_CODE_BYTES - 1);
    switch (l->kind) {
    case LATE_FILL: mem_late(t, l); return;
    case LATE_X87: x87_late(t, l); return;
    case LATE_RANGE:
    case LATE_PAGE: near_late(t, l); return;
    case LATE_BUDGET:
        if (l->again != 0xffff) {
            t->index = l->again;
            emit_one(t, &t->d[l->again]);
        }
        break;
    case LATE_LOOKUP:
        lookup_late(t, l);
        leave_by(t, l->site, t->b->stub_quick);
        return;
    case LATE_LINK:
        t->b->links[l->link].stub = here;
        if (l->at2)
            e_patch(t->b, l->at2, here);
        flags_to_mem(t);
        leave_by(t, l->site, l->at2 ? t->b->stub_quick : t->b->stub_exit);
        return;
    case LATE_CROSS:
        flags_clobber(t);
        flow_cross(t, l->link, l->delta);
        return;
    case LATE_SIDE:
        flow_refund(t, l->index);
        flow_exit(t, l->delta);
        return;
    default: break;
    }
    flags_to_mem(t);
    leave_at(t, l->site);
}

/* May the block go on behind this conditional branch? Not behind a loop's. */
static bool goes_on(const struct dec *d, unsigned n, unsigned sides)
{
    return d->kind == K_JCC && d->i.imm >= 0 && sides < SIDES_MAX && n < SIDES_WITHIN;
}

bool bt_cut_off(const struct bt *b, const u8 *bytes, unsigned left)
{
    struct insn i;
    return left < 15 && insn_decode(bytes, left, cpu_decode_mode(b->cpu), &i) == DECODE_MORE;
}

/* Two frames, none of which any vCPU can write to unseen, at the same time: marking the one is a safe point, where the other may be
 * written to and given up. False: they are written to all the time. */
static bool watch_both(struct cpu *c, u64 gpa, u64 gpa2)
{
    const struct mem *m = c->wires.mem;
    for (unsigned k = 0; k < 8; k++) {
        frame_mark_code(c, gpa, FRAME_TRANSLATED);
        frame_mark_code(c, gpa2, FRAME_TRANSLATED);
        if (mem_frame_flags(m, gpa) & mem_frame_flags(m, gpa2) & FRAME_TRANSLATED)
            return true;
    }
    return false;
}

bool bt_next_page(struct bt *b, u64 rip, u64 gpa, struct place *p)
{
    struct cpu *c = b->cpu;
    u64 next = (rip & PAGE_MASK) + PAGE_SIZE;
    return bt_is_code(c, next) && lin_translate(c, next, ACC_FETCH, p) && p->hva && !mem_is_smram(c->wires.mem, p->gpa, 1) &&
           watch_both(c, gpa, p->gpa);
}

/* A block of the one instruction that begins at BYTES, LEFT bytes before the page's end. False: it is executed alone. */
static bool crossing(struct tr *t, const u8 *bytes, unsigned left, u32 mode, u64 rip)
{
    struct dec *d = &t->d[0];
    struct place p;
    d->kind = K_STEP, d->i.op = OP_INVALID, d->i.len = (u8)left;
    t->t->bytes = (u16)left;
    if (!bt_next_page(t->b, rip, t->t->gpa, &p))
        return false;
    memcpy(t->fetched, bytes, left);
    memcpy(t->fetched + left, p.hva, 16);
    d->decoded = bt_decode(t->b, d, t->fetched, left + 15, mode);
    if (!d->decoded || d->kind == K_STEP) {
        d->kind = K_STEP, d->i.op = d->decoded ? d->i.op : OP_INVALID;
        d->decoded = false; /* the next page is not this block's: what stands there then is executed */
        return false;
    }
    t->t->gpa2 = p.gpa;
    t->t->bytes = d->i.len;
    t->n_insns = 1;
    return true;
}

/* The next page must be the one that was translated, wherever this runs. */
static void check_next_page(struct tr *t)
{
    struct emit *e = &t->e;
    u32 link = link_new(t, 0, true);
    flags_clobber(t);
    e_load(e, HOST_T0, SCRATCH(page_tag));
    e_op(e, true, 0x3b, HOST_T0, in_scratch(BT_TAGS_AT + 8ul * link), 0);
    struct late *l = late_new(t, LATE_SITE, e_jcc(e, CC_NE));
    l->site = site_new(t, SITE_CHECK, 0);
    t->b->sites[l->site].link = link;
}

/* Decodes the block; its n_insns instructions retire when it is gone through. False: then one follows that is
 * executed alone, t->d[n_insns]. GUEST is read once. */
static bool scan(struct tr *t, const u8 *guest, u32 mode, u64 rip)
{
    unsigned left = (unsigned)PAGE_SIZE - t->page_off, sides = 0;
    const u8 *bytes = t->fetched;
    u16 off = 0;
    memcpy(t->fetched, guest, left < sizeof t->fetched ? left : sizeof t->fetched);
    for (t->n_insns = 0; t->n_insns < BT_BLOCK_MAX && off < left;) {
        struct dec *d = &t->d[t->n_insns];
        d->decoded = bt_decode(t->b, d, bytes + off, left - off, mode);
        d->off = off;
        d->side = d->replays = false;
        if (!d->decoded && bt_cut_off(t->b, bytes + off, left - off)) {
            if (t->n_insns)
                break;
            return crossing(t, guest, left, mode, rip);
        }
        if (!d->decoded) {
            d->kind = K_STEP, d->i.op = OP_INVALID, d->i.len = (u8)(left - off < 15 ? left - off : 15);
            d->reads_flags = d->touches_flags = d->full = false;
        }
        if (d->kind == K_STEP) {
            t->t->bytes = (u16)(off + d->i.len);
            return false;
        }
        off = (u16)(off + d->i.len);
        t->t->bytes = off;
        t->n_insns++;
        if (d->kind >= K_JCC && !(d->side = goes_on(d, t->n_insns, sides++)))
            break;
    }
    return true;
}

static void emit_step(struct tr *t, const struct dec *d)
{
    flags_to_mem(t);
    u32 site = site_new(t, SITE_STEP, t->index);
    if (d->decoded)
        site_describe(t, site, d);
    if (sensitive_traps(t->b, d))
        sensitive_trap(t, d);
    leave_by(t, site, sensitive_way_out(t, d, &t->b->sites[site]));
}

static void map_here(struct tr *t)
{
    t->b->maps[t->t->map + t->index] = (struct bt_map){
        .host = (u16)(e_off(&t->e) - t->t->code), .guest = t->d[t->index].off, .flags_mem = t->mem, .charged = t->charged};
}

/* Goes through the instructions; false: the block ended by itself. */
static bool body(struct tr *t)
{
    while (t->index < t->n_insns) {
        struct dec *d = &t->d[t->index];
        map_here(t);
        bool flow = d->kind >= K_JCC;
        t->touches = 0;
        try_charge(t, d, flow || d->kind == K_SENSITIVE || touches_memory(d));
        t->b->maps[t->t->map + t->index].charged = t->charged;
        if (d->side) {
            flow_side(t, d);
            continue;
        }
        if (flow) {
            flow_emit(t, d);
            return false;
        }
        emit_one(t, d);
        t->index++;
    }
    return true;
}

/* The ways out by branches that are taken, which are not rare: behind the block's own code. */
static void emit_branches(struct tr *t)
{
    t->cold = true;
    for (u32 l = 0; l < t->late_n; l++) {
        if (t->late[l].kind != LATE_SIDE && t->late[l].kind != LATE_CROSS)
            continue;
        struct late branch = t->late[l];
        t->late[l].kind = LATE_DONE;
        emit_late(t, &branch);
    }
}

/* From here on the rare paths: in their own part of the cache, so that what runs lies close together. */
static void go_cold(struct tr *t)
{
    struct bt *b = t->b;
    struct bt_block *k = t->t;
    while (e_off(&t->e) - k->code < 5) /* a jump fits when the block is dropped */
        e8(&t->e, 0x90);
    k->code_len = (u16)(e_off(&t->e) - k->code); /* as struct bt_map's offsets are */
    b->at->used = (e_off(&t->e) + 15u) & ~15u;
    t->cold = true;
    k->cold = (u32)b->at->cold_used;
    t->e.p = b->write + b->at->cold_used;
    t->e.limit = t->e.p + BT_BLOCK_CODE;
}

/* What the block was made of, for dormant.c. */
static void keep_origin(struct tr *t)
{
    struct bt *b = t->b;
    struct bt_block *k = t->t;
    k->origin = BT_NO_ORIGIN;
    if (!bt_dormant_wants(b, k->gpa))
        return;
    u8 *to = b->origins + (k->origin = b->at->origins_n);
    k->points = t->fixed ? 0 : (u8)t->points;
    memcpy(to, t->fetched, k->bytes);
    memcpy(to + k->bytes + BT_HEAD, t->point, k->points * sizeof *t->point);
    b->at->origins_n += k->bytes + BT_HEAD + k->points * (u32)sizeof *t->point;
}

/* Where the flags are at the block's beginning. */
static void come_in(struct tr *t, u32 mode)
{
    t->host = mode & BT_MODE_FLAGS, t->parts = mode & BT_MODE_PARTS;
    t->mem = !t->host && !t->parts, t->lost = -1;
}

static void begin(struct tr *t, struct bt *b, u64 gpa, u32 mode)
{
    t->n = b->at->blocks_n++;
    t->b = b, t->t = &b->blocks[t->n];
    *t->t = (struct bt_block){.gpa = gpa, .gpa2 = BT_NO_PAGE, .mode = (u8)mode, .code = (u32)b->at->used, .map = b->at->maps_n};
    t->e = (struct emit){.b = b, .p = b->write + b->at->used, .limit = b->write + b->at->used + BT_BLOCK_CODE};
    come_in(t, mode);
    t->writer = -1;
    t->held = 0;
    t->points = 0, t->fixed = false;
    t->charged = t->cold = t->x87_there = t->fip_paged = false, t->index = 0, t->late_n = 0;
    t->page_off = (u16)(gpa & (PAGE_SIZE - 1));
    t->code32 = mode & BT_MODE_32, t->word = t->code32 ? 4 : 8;
}

u32 bt_translate(struct bt *b, u64 gpa, u32 mode, const u8 *bytes, u64 rip)
{
    bt_region_make_room(b, gpa, mode);
    struct tr *t = b->tr;
    begin(t, b, gpa, mode);
    struct bt_block *k = t->t;
    bool whole = scan(t, bytes, mode, rip);
    k->count = (u8)t->n_insns;
    t->stepped = !whole;
    plan_block(t, mode);
    if (k->gpa2 != BT_NO_PAGE)
        check_next_page(t);
    if (body(t)) {
        t->d[t->index].off = whole ? k->bytes : t->d[t->index].off;
        map_here(t);
        if (!whole) {
            emit_step(t, &t->d[t->index]);
        } else {
            if (!t->charged) {
                flags_clobber(t);
                charge(t, 0xffff);
            }
            flow_exit(t, t->page_off + k->bytes);
        }
    } else {
        b->maps[k->map + k->count] = (struct bt_map){.guest = k->bytes, .host = BT_NO_HOST};
    }
    emit_branches(t);
    go_cold(t);
    for (u32 l = 0; l < t->late_n; l++)
        if (t->late[l].kind != LATE_DONE)
            emit_late(t, &t->late[l]);
    k->stale = e_off(&t->e);
    come_in(t, mode);
    t->charged = false;
    flags_to_mem(t);
    leave_at(t, site_new(t, SITE_BUDGET, 0));
    k->cold_len = e_off(&t->e) - k->cold;
    b->at->cold_used = e_off(&t->e);
    b->at->maps_n += k->count + 1u;
    keep_origin(t);
    bt_block_commit(b, t->n);
    if (UNLIKELY(b->settings.scan))
        bt_scan(b, k);
    if (UNLIKELY(b->settings.show_line))
        bt_show(b, k, rip);
    return t->n;
}
