/* Translations as text: each guest instruction, and beside it the host's that stand for it. Addresses of the
 * host are given as what is there: a field of the scratch page, a stub, an offset in the block. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "base/bits.h"
#include "engine/bt/show.h"
#include "engine/bt/tr.h"

struct name {
    const char *name;
    u32 off, size;
};
#define FIELD(type, field)                                                                                   \
    {                                                                                                        \
#field, (u32)offsetof(struct type, field), (u32)sizeof(((struct type *)0)->field)                    \
    }

static const struct name scratch_names[] = {
    FIELD(bt_scratch, home),     FIELD(bt_scratch, rip_page), FIELD(bt_scratch, page_tag),
    FIELD(bt_scratch, key),      FIELD(bt_scratch, budget),   FIELD(bt_scratch, tlb),
    FIELD(bt_scratch, seg_base), FIELD(bt_scratch, flags),    FIELD(bt_scratch, rest),     FIELD(bt_scratch, input),    FIELD(bt_scratch, spill),
    FIELD(bt_scratch, slot),     FIELD(bt_scratch, target),   FIELD(bt_scratch, jumps),
    FIELD(bt_scratch, info),     FIELD(bt_scratch, cpu),      FIELD(bt_scratch, lin),
    FIELD(bt_scratch, by_ac),    FIELD(bt_scratch, x87_in),   FIELD(bt_scratch, icount_end),
    FIELD(bt_scratch, range),
    FIELD(bt_scratch, fcw),      FIELD(bt_scratch, fip_page), FIELD(bt_scratch, fip_off),
};

static const struct name cpu_names[] = {
    FIELD(cpu, rflags_sys), FIELD(cpu, attention),      FIELD(cpu, shadow_at), FIELD(cpu, shadow_ss),
    FIELD(cpu, view),       FIELD(cpu, kernel_gs_base), FIELD(cpu, tlb),
};

struct view {
    const struct bt *b;
    const struct bt_block *t;
    int cpu_reg; /* the register that holds the vCPU's address just now; NO_REG */
    ZydisFormatterFunc address, displacement; /* Zydis' own */
};

static const struct name *name_at(const struct name *list, size_t n, u64 off)
{
    for (size_t k = 0; k < n; k++)
        if (off >= list[k].off && off < list[k].off + list[k].size)
            return &list[k];
    return NULL;
}

static bool place_name(const struct view *v, u64 at, char *out, size_t size)
{
    const struct bt *b = v->b;
    u64 off = at - (u64)(uintptr_t)b->base, code = at - (u64)(uintptr_t)b->code;
    if (off < BT_SCRATCH_BYTES) {
        const struct name *n = name_at(scratch_names, ARRAY_LEN(scratch_names), off);
        u64 more = n ? off - n->off : 0;
        if (n)
            snprintf(out, size, more ? "%s+%" PRIu64 : "%s", n->name, more);
        else
            snprintf(out, size, "scratch+%" PRIu64, off);
    } else if (off >= BT_TAGS_AT && at < (u64)(uintptr_t)b->code) {
        snprintf(out, size, "tag");
    } else if (code < b->stubs_end) {
        snprintf(out, size, "%s",
                 code == b->stub_exit   ? "EXIT"
                 : code == b->stub_other ? "OTHER"
                 : code == b->stub_miss[0] || code == b->stub_miss[1] ? "MISS"
                 : code == b->stub_x87  ? "LOAD_X87"
                 : code == b->stub_tsc  ? "TSC"
                 : code == b->stub_call ? "CALL"
                                        : "stub");
    } else if (code - v->t->code < v->t->code_len) {
        snprintf(out, size, "block+%" PRIu64, code - v->t->code);
    } else if (code - v->t->cold < v->t->cold_len) {
        snprintf(out, size, "rare+%" PRIu64, code - v->t->cold);
    } else if (code < BT_CODE_BYTES) {
        snprintf(out, size, "another block");
    } else {
        return false;
    }
    return true;
}

/* As Zydis' own printers do it; Zycore's functions for it are not in Zydis' library. */
static ZyanStatus append(ZydisFormatterBuffer *to, const char *text)
{
    ZyanString *s;
    ZYAN_CHECK(ZydisFormatterBufferAppend(to, ZYDIS_TOKEN_SYMBOL));
    ZYAN_CHECK(ZydisFormatterBufferGetString(to, &s));
    size_t n = strlen(text);
    if (s->vector.size + n > s->vector.capacity)
        return ZYAN_STATUS_INSUFFICIENT_BUFFER_SIZE;
    memcpy((char *)s->vector.data + s->vector.size - 1, text, n + 1);
    s->vector.size += n;
    return ZYAN_STATUS_SUCCESS;
}

static ZyanStatus host_address(const ZydisFormatter *f, ZydisFormatterBuffer *to, ZydisFormatterContext *c)
{
    ZyanU64 at;
    char text[64];
    ZYAN_CHECK(ZydisCalcAbsoluteAddress(c->instruction, c->operand, c->runtime_address, &at));
    return place_name(c->user_data, at, text, sizeof text)
               ? append(to, text)
               : ((const struct view *)c->user_data)->address(f, to, c);
}

static ZyanStatus host_displacement(const ZydisFormatter *f, ZydisFormatterBuffer *to,
                                    ZydisFormatterContext *c)
{
    const struct view *v = c->user_data;
    const ZydisDecodedOperand *o = c->operand;
    if (v->cpu_reg == NO_REG || ZydisRegisterGetId(o->mem.base) != v->cpu_reg ||
        o->mem.index != ZYDIS_REGISTER_NONE)
        return v->displacement(f, to, c);
    const struct name *n = name_at(cpu_names, ARRAY_LEN(cpu_names), (u64)o->mem.disp.value);
    if (!n)
        return v->displacement(f, to, c);
    char text[64];
    snprintf(text, sizeof text, "+%s", n->name);
    return append(to, text);
}

/* Does Z load the vCPU's address, or write the register that holds it? */
static void follow_cpu(struct view *v, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops,
                       u64 at)
{
    ZyanU64 from = 0;
    if (z->mnemonic == ZYDIS_MNEMONIC_MOV && ops[1].type == ZYDIS_OPERAND_TYPE_MEMORY &&
        ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(z, &ops[1], at, &from)) &&
        from == (u64)(uintptr_t)&v->b->scratch->cpu) {
        v->cpu_reg = ZydisRegisterGetId(ops[0].reg.value);
        return;
    }
    for (unsigned k = 0; k < z->operand_count; k++)
        if (ops[k].type == ZYDIS_OPERAND_TYPE_REGISTER && ops[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
            ZydisRegisterGetClass(ops[k].reg.value) != ZYDIS_REGCLASS_FLAGS &&
            ZydisRegisterGetId(ops[k].reg.value) == v->cpu_reg)
            v->cpu_reg = NO_REG;
}

/* What becomes of the way out whose site Z loads. */
static void name_site(const struct view *v, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops,
                      char *out, size_t size)
{
    static const char *const kinds[SITE_KINDS] = {
        [SITE_STEP] = "executed alone:",
        [SITE_MEM] = "miss",
        [SITE_BUDGET] = "look around",
        [SITE_LINK] = "a branch not linked yet",
        [SITE_CHECK] = "next page",
        [SITE_LOOKUP] = "a target not known yet",
    };
    if (z->mnemonic != ZYDIS_MNEMONIC_MOV || ops[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
        z->operand_width != 32 || ops[0].type != ZYDIS_OPERAND_TYPE_REGISTER)
        return;
    int r = ZydisRegisterGetId(ops[0].reg.value);
    u64 n = ops[1].imm.value.u;
    if ((r != HOST_T0 && r != HOST_T1) || n >= BT_SITES || &v->b->blocks[v->b->sites[n].block] != v->t)
        return;
    const struct bt_site *s = &v->b->sites[n];
    snprintf(out, size, "mov %sd, site   ; %s%s%s", r == HOST_T0 ? "r10" : "r11", kinds[s->kind],
             s->kind == SITE_STEP ? " " : "", s->kind == SITE_STEP ? op_name((enum op)s->op) : "");
}

/* The instruction at BYTES, which is at AT, as text; its length. V: the host's; null: the guest's. */
static unsigned text_of(const u8 *bytes, unsigned n, u64 at, bool code32, struct view *v, char *out, size_t size)
{
    ZydisDecoder d;
    ZydisFormatter f;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    snprintf(out, size, "(none)");
    ZydisMachineMode mode = code32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_64;
    if (!ZYAN_SUCCESS(ZydisDecoderInit(&d, mode, code32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_64)) ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, bytes, n < 15 ? n : 15, &z, ops)) ||
        !ZYAN_SUCCESS(ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL)))
        return 1;
    ZydisFormatterSetProperty(&f, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_PADDING_DISABLED);
    ZydisFormatterSetProperty(&f, ZYDIS_FORMATTER_PROP_DISP_PADDING, ZYDIS_PADDING_DISABLED);
    ZydisFormatterSetProperty(&f, ZYDIS_FORMATTER_PROP_IMM_PADDING, ZYDIS_PADDING_DISABLED);
    if (v) {
        v->address = host_address, v->displacement = host_displacement; /* exchanged for Zydis' */
        ZydisFormatterSetHook(&f, ZYDIS_FORMATTER_FUNC_PRINT_ADDRESS_ABS, (const void **)(void *)&v->address);
        ZydisFormatterSetHook(&f, ZYDIS_FORMATTER_FUNC_PRINT_DISP, (const void **)(void *)&v->displacement);
    }
    ZydisFormatterFormatInstruction(&f, &z, ops, z.operand_count_visible, out, size, at, v);
    if (v) {
        follow_cpu(v, &z, ops, at);
        name_site(v, &z, ops, out, size);
    }
    return z.length;
}

static void line(struct bt *b, const char *fmt, ...) PRINTF(2, 3);
static void line(struct bt *b, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    b->settings.show_line(b->settings.show_opaque, text);
}

#define COLUMN 38

/* Host code [FROM, FROM + N) of the cache; GUEST stands beside the first line. */
static void rows(struct bt *b, struct view *v, const char *guest, u32 from, u32 n)
{
    char text[128];
    if (!n)
        line(b, "%s", guest);
    for (u32 at = 0; at < n; guest = "") {
        const u8 *p = b->code + from + at;
        at += text_of(p, n - at, (u64)(uintptr_t)p, false, v, text, sizeof text);
        line(b, "%-*s| %s", COLUMN, guest, text);
    }
}

static void list(struct bt *b, const struct bt_block *t, u64 rip)
{
    const struct tr *tr = b->tr;
    struct view v = {.b = b, .t = t, .cpu_reg = NO_REG};
    unsigned n = t->count;
    line(b,
         "block at 0x%" PRIx64 " (guest-physical 0x%" PRIx64
         "), %s, flags in %s: %u instructions, %u and %u bytes",
         rip, t->gpa, t->mode & BT_MODE_USER ? "user" : "kernel",
         t->mode & BT_MODE_FLAGS ? "the host's" : t->mode & BT_MODE_PARTS ? "parts" : "memory", n, t->code_len, t->cold_len);
    if (!n || b->maps[t->map].host) /* what it checks before the first */
        rows(b, &v, "", t->code, n ? b->maps[t->map].host : 0);
    for (unsigned k = 0; k <= n; k++) {
        const struct dec *d = &tr->d[k];
        u32 from = b->maps[t->map + k].host, to = k < n ? b->maps[t->map + k + 1].host : t->code_len;
        char guest[160], text[128];
        if (k == n && from == BT_NO_HOST) /* the last was a branch */
            break;
        if (to == BT_NO_HOST)
            to = t->code_len;
        bool one = k < n || (d->kind == K_STEP && tr->stepped);
        if (one && d->bytes)
            text_of(d->bytes, 15, rip + d->off, t->mode & BT_MODE_32, NULL, text, sizeof text);
        snprintf(guest, sizeof guest, "%06" PRIx64 "  %s", (rip + d->off) & 0xffffff, text);
        rows(b, &v, one ? guest : "", t->code + from, to - from);
    }
    line(b, "rare paths:");
    v.cpu_reg = NO_REG;
    rows(b, &v, "", t->cold, t->cold_len);
}

void bt_show(struct bt *b, const struct bt_block *t, u64 rip)
{
    struct engine_settings *s = &b->settings;
    u64 end = s->show_at + s->show_len;
    if (t->mode & (BT_MODE_CAREFUL | BT_MODE_FLAGS | BT_MODE_PARTS) || rip >= end || rip + t->bytes <= s->show_at)
        return;
    u64 from = rip < s->show_at ? s->show_at : rip, to = rip + t->bytes < end ? rip + t->bytes : end;
    bool news = false;
    for (u64 k = from; k < to; k++) {
        u64 *word = &b->shown[(k - s->show_at) / 64], bit = 1ull << (k - s->show_at) % 64;
        news |= !(*word & bit);
        b->shown_n += !(*word & bit);
        *word |= bit;
    }
    if (!news)
        return;
    list(b, t, rip);
    if (b->shown_n == s->show_len)
        s->show_line(s->show_opaque, NULL);
}
