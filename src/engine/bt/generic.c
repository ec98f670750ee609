/* Instructions that run as they are, with their registers and their memory operand rewritten. */
#include "engine/bt/tr.h"
#include "engine/bt/x87.h"

#define OPERANDS(d, o) for (const ZydisDecodedOperand *o = (d)->ops; o < (d)->ops + (d)->z.operand_count; o++)

bool operand_gpr(const ZydisDecodedOperand *o, unsigned *g, bool *high)
{
    ZydisRegister r = o->reg.value;
    if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
        return false;
    ZydisRegisterClass c = ZydisRegisterGetClass(r);
    *high = false;
    if (c == ZYDIS_REGCLASS_GPR8) {
        *high = r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
        *g = *high                   ? (unsigned)(r - ZYDIS_REGISTER_AH)
             : r < ZYDIS_REGISTER_AH ? (unsigned)(r - ZYDIS_REGISTER_AL)
                                     : (unsigned)(r - ZYDIS_REGISTER_SPL + 4);
        return true;
    }
    if (c != ZYDIS_REGCLASS_GPR16 && c != ZYDIS_REGCLASS_GPR32 && c != ZYDIS_REGCLASS_GPR64)
        return false;
    *g = (unsigned)ZydisRegisterGetId(r);
    return true;
}

/* Named in the encoding, so that another register can be put there. */
static bool encoded(const ZydisDecodedOperand *o)
{
    return o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG ||
           o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM || o->encoding == ZYDIS_OPERAND_ENCODING_NDSNDD ||
           o->encoding == ZYDIS_OPERAND_ENCODING_OPCODE;
}

/* The guest registers without a host register among the encoded operands. */
static unsigned homeless(const struct dec *d, u8 list[3])
{
    unsigned n = 0, g;
    bool high;
    OPERANDS(d, o)
    {
        if (!operand_gpr(o, &g, &high) || !encoded(o) || host_reg(g) != NO_REG)
            continue;
        bool known = false;
        for (unsigned k = 0; k < n; k++)
            known |= list[k] == g;
        if (!known && n < 3)
            list[n++] = (u8)g;
    }
    return n;
}

const ZydisDecodedOperand *generic_memory(const struct dec *d)
{
    OPERANDS(d, o)
    {
        if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
            return o;
    }
    return NULL;
}

bool generic_memory_written(const struct dec *d)
{
    const ZydisDecodedOperand *o = generic_memory(d);
    return o && o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
}

static bool high_written(const struct dec *d)
{
    unsigned g;
    bool high;
    OPERANDS(d, o)
    {
        if (operand_gpr(o, &g, &high) && high && o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
            return true;
    }
    return false;
}

bool generic_can(const struct dec *d)
{
    u8 list[3];
    unsigned n = homeless(d, list), g, memories = 0;
    bool high, any_high = false, other = false, implied = false;
    OPERANDS(d, o)
    {
        memories += o->type == ZYDIS_OPERAND_TYPE_MEMORY;
        if (o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
            (o->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT || o->mem.type != ZYDIS_MEMOP_TYPE_MEM))
            return false;
        if (!operand_gpr(o, &g, &high))
            continue;
        if (!encoded(o) && host_reg(g) != (int)g)
            return false;
        implied |= !encoded(o);
        any_high |= high && encoded(o);
        other |= host_reg(g) != (int)g;
    }
    if (memories > 1 || n > (memories ? 1u : 2u) || (memories && !d->i.msize))
        return false;
    if (any_high && memories)
        return !implied && (d->code32 || !high_written(d));
    return !any_high || !other;
}

/* AH, CH, DH or BH beside a memory operand, whose registers need REX: where it is only read, a copy of it stands in for it. In 32-bit code its
 * bytes change places with AL's for the while: none of the address's registers is the guest's there (mem.c). The low register's number, or NO_REG. */
static int high_of(const struct dec *d, const ZydisDecodedOperand *memory)
{
    unsigned g;
    bool high;
    OPERANDS(d, o)
    {
        if (memory && operand_gpr(o, &g, &high) && high)
            return (int)g;
    }
    return NO_REG;
}

static void exchange(struct emit *e, int low)
{
    e8(e, 0x86);
    e8(e, 0xc0u | (unsigned)(low + 4) << 3 | (unsigned)low);
}

/* Which host register stands for guest G; the homeless ones have got scratch registers. */
static int stand_in(unsigned g, const u8 *list, unsigned n, const int *scratch)
{
    for (unsigned k = 0; k < n; k++)
        if (list[k] == g)
            return scratch[k];
    return host_reg(g);
}

struct fields {
    int reg, rm, vvvv, opcode; /* host registers, or NO_REG: as in the guest's bytes */
    u8 turn;                   /* bits of the opcode to change */
};

static void prefixes(struct emit *e, const struct dec *d)
{
    for (unsigned k = 0; k < d->kept_n; k++)
        e8(e, d->kept[k]);
}

/* The instruction's immediate, which is copied; where one of 32 or 64 bits is, is noted. */
static void immediate(struct tr *t, const struct dec *d)
{
    if (d->imm_n >= 4 && d->z.raw.imm[0].size == 8 * d->imm_n && !d->z.raw.imm[0].is_relative) {
        if (t->points < BT_POINTS)
            t->point[t->points++] = (struct bt_point){.host = e_off(&t->e), .guest = (u16)(d->off + d->imm_at), .bytes = d->imm_n};
        else
            t->fixed = true;
    }
    for (unsigned k = 0; k < d->imm_n; k++)
        e8(&t->e, d->bytes[d->imm_at + k]);
}

/* Emits D with F's registers and, where M is given, that memory operand. */
static void encode(struct tr *t, const struct dec *d, const struct fields *f, const struct opnd *m)
{
    struct emit *e = &t->e;
    bool vex = d->vex[0] != 0, modrm = d->z.attributes & ZYDIS_ATTRIB_HAS_MODRM;
    unsigned r = vex ? !(d->vex[0] & 0x80) : d->rex >> 2 & 1, b = vex ? !(d->vex[0] & 0x20) : d->rex & 1;
    int reg = f->reg != NO_REG ? f->reg : (int)((d->modrm >> 3 & 7) | r << 3);
    int rm = f->rm != NO_REG ? f->rm : f->opcode != NO_REG ? f->opcode : (int)((d->modrm & 7) | b << 3);
    if (!modrm && f->opcode == NO_REG)
        rm = (int)(b << 3), reg = (int)(r << 3);
    struct opnd o = m ? *m : reg_opnd(rm);
    unsigned bits = rex_for(reg, &o);
    if (vex) {
        unsigned second = d->vex[1];
        if (f->vvvv != NO_REG)
            second = (second & 0x87) | (~(unsigned)f->vvvv & 15) << 3;
        e8(e, 0xc4);
        e8(e, (d->vex[0] & 0x1f) | (bits & 4 ? 0 : 0x80u) | (bits & 2 ? 0 : 0x40u) | (bits & 1 ? 0 : 0x20u));
        e8(e, second);
    } else {
        prefixes(e, d);
        if (d->rex || bits)
            e8(e, 0x40 | (d->rex & 8u) | bits);
    }
    for (unsigned k = 0; k < d->opcode_n; k++) {
        u8 c = d->opcode[k] ^ (k + 1u == d->opcode_n ? f->turn : 0);
        if (k + 1u == d->opcode_n && f->opcode != NO_REG)
            c = (u8)((c & ~7u) | (unsigned)(f->opcode & 7));
        e8(e, c);
    }
    if (modrm)
        e_modrm(e, reg, &o, d->imm_n);
    immediate(t, d);
}

static struct fields fields_of(const struct dec *d, const u8 *list, unsigned n, const int *scratch)
{
    struct fields f = {NO_REG, NO_REG, NO_REG, NO_REG, 0};
    unsigned g;
    bool high;
    OPERANDS(d, o)
    {
        if (!operand_gpr(o, &g, &high) || !encoded(o) || high)
            continue;
        int h = stand_in(g, list, n, scratch);
        if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
            f.reg = h;
        else if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
            f.rm = h;
        else if (o->encoding == ZYDIS_OPERAND_ENCODING_NDSNDD)
            f.vvvv = h;
        else
            f.opcode = h;
    }
    return f;
}

static bool writes(const struct dec *d, unsigned want)
{
    unsigned g;
    bool high;
    OPERANDS(d, o)
    {
        if (operand_gpr(o, &g, &high) && g == want && o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
            return true;
    }
    return false;
}

static bool reads(const struct dec *d, unsigned want)
{
    unsigned g;
    bool high;
    OPERANDS(d, o)
    {
        if (operand_gpr(o, &g, &high) && g == want && o->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
            return true;
    }
    return false;
}

/* Does D give register G, which it does not read, a whole new value? */
static bool replaces(const struct dec *d, unsigned g)
{
    switch (d->i.op) {
    case OP_MOV:
    case OP_MOVZX:
    case OP_MOVSX:
    case OP_MOVSXD: return d->i.size >= 4 && !reads(d, g);
    default: return false;
    }
}

/* ---- a homeless register's place as the operand itself ---- */

static bool in_place_op(u16 op)
{
    switch (op) {
    case OP_MOV:
    case OP_ADD:
    case OP_OR:
    case OP_ADC:
    case OP_SBB:
    case OP_AND:
    case OP_SUB:
    case OP_XOR:
    case OP_CMP:
    case OP_TEST:
    case OP_INC:
    case OP_DEC:
    case OP_NEG:
    case OP_NOT:
    case OP_SHL:
    case OP_SHR:
    case OP_SAR:
    case OP_MOVZX:
    case OP_MOVSX:
    case OP_MOVSXD:
    case OP_IMUL: return true;
    default: return false;
    }
}

/* Opcodes whose bit 1 says which of the two operands is written: ADD to CMP, and MOV. */
static bool has_direction(const struct dec *d)
{
    return d->opcode_n == 1 && ((d->opcode[0] < 0x40 && (d->opcode[0] & 7) < 4) || (d->opcode[0] & 0xfc) == 0x88);
}

/* D names one homeless register, G, once, and no memory: it can use G's place in the scratch page instead. Not to write 32 bits of it, which clear the
 * upper half. */
static bool in_place(struct tr *t, const struct dec *d, unsigned g)
{
    const ZydisDecodedOperand *it = NULL, *other = NULL;
    unsigned x, n = 0;
    bool high;
    if (d->vex[0] || !(d->z.attributes & ZYDIS_ATTRIB_HAS_MODRM) || !in_place_op(d->i.op) || (writes(d, g) && d->i.size == 4))
        return false;
    OPERANDS(d, o)
    {
        if (!encoded(o) || !operand_gpr(o, &x, &high))
            continue;
        if (x == g)
            it = o, n++;
        else
            other = o;
    }
    if (n != 1 || it->encoding == ZYDIS_OPERAND_ENCODING_OPCODE)
        return false;
    struct fields f = {NO_REG, NO_REG, NO_REG, NO_REG, 0};
    if (it->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG) {
        if (!has_direction(d) || !other || !operand_gpr(other, &x, &high))
            return false;
        f.turn = 2;
        f.reg = host_reg(x);
    } else if (other && operand_gpr(other, &x, &high)) {
        f.reg = host_reg(x);
    }
    struct opnd m = home(g);
    encode(t, d, &f, &m);
    return true;
}

void generic_again(struct tr *t, const struct dec *d)
{
    static const int scratch[3] = {HOST_T0, HOST_T1, HOST_T1};
    u8 list[3];
    unsigned n = homeless(d, list);
    for (unsigned k = 0; k < n; k++)
        e_load(&t->e, scratch[k], home(list[k]));
    struct fields f = fields_of(d, list, n, scratch);
    encode(t, d, &f, NULL);
}

void generic_replay(struct tr *t, const struct dec *d)
{
    static const int scratch[2] = {HOST_T0, HOST_T1};
    const u8 list[2] = {d->i.rd, d->i.rs};
    bool homeless = d->i.form == FORM_RR && host_reg(d->i.rs) == NO_REG;
    e_load(&t->e, HOST_T0, SCRATCH(input));
    if (homeless)
        e_load(&t->e, HOST_T1, home(d->i.rs));
    struct fields f = fields_of(d, list, homeless ? 2 : 1, scratch);
    encode(t, d, &f, NULL);
}

/* What the host's CPU may refuse to execute must find the flags. */
static void may_fault(struct tr *t, struct dec *d)
{
    struct bt_map *map = &t->b->maps[t->t->map + t->index];
    map->flags_mem = t->mem;
    map->charged = t->charged;
    if (t->host || t->mem || t->cold || d->x87 == X87_NOTES || dec_is_integer(d))
        return;
    struct late *l = late_new(t, LATE_SITE, 0);
    l->site = site_new(t, SITE_STEP, t->index);
    l->fault = true;
}

/* INC and DEC whose CF can stay where it is, in memory. */
static bool leaves_carry(const struct tr *t, const struct dec *d)
{
    return (d->i.op == OP_INC || d->i.op == OP_DEC) && !t->cold && (t->parts || (t->mem && !t->host && plan_in_the_way(t)));
}

static bool is_conditional(const struct dec *d)
{
    return d->opcode[0] == 0x0f && d->opcode_n == 2 && !d->vex[0] && ((d->opcode[1] & 0xf0) == 0x40 || (d->opcode[1] & 0xf0) == 0x90);
}

static void written(struct tr *t, const struct dec *d, bool part)
{
    if (part)
        flags_written_part(t);
    else if (d->touches_flags)
        flags_written(t);
}

void generic_emit(struct tr *t, struct dec *d)
{
    u8 list[3];
    int scratch[3] = {HOST_T0, HOST_T1, HOST_T1}, spare;
    unsigned n = homeless(d, list);
    const ZydisDecodedOperand *mo = generic_memory(d);
    struct opnd m = mem_opnd(0, 0);
    if (d->x87)
        x87_before(t);
    if (mo) {
        struct ea ea = ea_of(d, t->page_off);
        m = mem_access(t, &ea, d->i.msize,
                       mo->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? ACC_WRITE : ACC_READ, &spare);
        scratch[0] = spare;
    }
    if (!dec_is_integer(d)) /* the signal handler takes the host's for all of them */
        flags_settle(t);
    bool part = leaves_carry(t, d);
    if (is_conditional(d))
        flags_for(t, d->opcode[1] & 15u, !mo);
    else if (!part && (d->reads_flags || (d->touches_flags && !d->full)))
        flags_to_host(t, !mo);
    if (n == 1 && !mo && in_place(t, d, list[0])) {
        written(t, d, part);
        return;
    }
    for (unsigned k = 0; k < n; k++)
        if (!replaces(d, list[k]))
            e_load(&t->e, scratch[k], home(list[k]));
    may_fault(t, d);
    if (n >= 2)
        t->held = 0;
    if (!t->cold && (d->replays = plan_wants_input(t)))
        e_store(&t->e, SCRATCH(input), host_reg(d->i.rd));
    struct fields f = fields_of(d, list, n, scratch);
    int low = high_of(d, mo);
    if (low != NO_REG && !d->code32) {
        e_rorx32(&t->e, f.reg = spare, low, 8);
        low = NO_REG;
    } else if (low != NO_REG) {
        f.reg = low;
        exchange(&t->e, low);
    }
    encode(t, d, &f, mo ? &m : NULL);
    if (low != NO_REG)
        exchange(&t->e, low);
    for (unsigned k = 0; k < n; k++)
        if (writes(d, list[k]))
            e_store(&t->e, home(list[k]), scratch[k]);
    written(t, d, part);
    if (d->x87)
        x87_after(t, d);
}
