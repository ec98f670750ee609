/* The table of registers behind gdb's target description (gdb manual, G.5.x "i386 Features"). A selector can
 * be written where it is no more than a number: in real and virtual-8086 mode. CR0, CR4 and EFER, whose bits
 * depend on each other, are read only. */
#include "mon/gdb_regs.h"

#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "cpu/system.h"
#include "cpu/tlb.h"
#include "isa/x87_value.h"

enum kind { GPR, RIP, EFLAGS, SEL, ST, FPU, TAGS, XMM, MXCSR, YMMH, BASE, FIELD, CR3, CR8 };

enum feature { CORE, SSE, AVX, SEGMENTS, SYSTEM, FEATURES };

static const char *const feature_names[FEATURES] = {
    [CORE] = "org.gnu.gdb.i386.core",         [SSE] = "org.gnu.gdb.i386.sse", [AVX] = "org.gnu.gdb.i386.avx",
    [SEGMENTS] = "org.gnu.gdb.i386.segments", [SYSTEM] = "org.trine.system",
};

struct reg {
    const char *name, *type;
    u8 feature, kind, size, arg;
    u16 at; /* FPU, FIELD: offset in struct cpu; size there in arg */
    bool fixed;
};

#define R(n, f, k, s, t, a)                                                                                  \
    {                                                                                                        \
        .name = (n), .type = (t), .feature = (f), .kind = (k), .size = (s), .arg = (a)                       \
    }
#define G(n, r) R(n, CORE, GPR, 8, "int64", r)
#define S(n, s) R(n, CORE, SEL, 4, "int32", s)
#define F(n, m)                                                                                              \
    {                                                                                                        \
        .name = (n), .type = "int", .feature = CORE, .kind = FPU, .size = 4,                                 \
        .arg = sizeof((struct cpu *)0)->m, .at = offsetof(struct cpu, m)                                     \
    }
#define SYS(n, m, ro)                                                                                        \
    {                                                                                                        \
        .name = (n), .type = "int64", .feature = SYSTEM, .kind = FIELD, .size = 8,                           \
        .arg = sizeof((struct cpu *)0)->m, .at = offsetof(struct cpu, m), .fixed = (ro)                      \
    }
#define EACH8(X)  X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7)
#define EACH16(X) EACH8(X), X(8), X(9), X(10), X(11), X(12), X(13), X(14), X(15)
#define STN(n)    R("st" #n, CORE, ST, 10, "i387_ext", n)
#define XMMN(n)   R("xmm" #n, SSE, XMM, 16, "vec128", n)
#define YMMN(n)   R("ymm" #n "h", AVX, YMMH, 16, "uint128", n)

static const struct reg regs[] = {
    G("rax", RAX),
    G("rbx", RBX),
    G("rcx", RCX),
    G("rdx", RDX),
    G("rsi", RSI),
    G("rdi", RDI),
    R("rbp", CORE, GPR, 8, "data_ptr", RBP),
    R("rsp", CORE, GPR, 8, "data_ptr", RSP),
    G("r8", R8),
    G("r9", R9),
    G("r10", R10),
    G("r11", R11),
    G("r12", R12),
    G("r13", R13),
    G("r14", R14),
    G("r15", R15),
    R("rip", CORE, RIP, 8, "code_ptr", 0),
    R("eflags", CORE, EFLAGS, 4, "i386_eflags", 0),
    S("cs", SEG_CS),
    S("ss", SEG_SS),
    S("ds", SEG_DS),
    S("es", SEG_ES),
    S("fs", SEG_FS),
    S("gs", SEG_GS),
    EACH8(STN),
    F("fctrl", fpu.fcw),
    F("fstat", fpu.fsw),
    R("ftag", CORE, TAGS, 4, "int", 0),
    F("fiseg", fpu.fcs),
    F("fioff", fpu.fip),
    F("foseg", fpu.fds),
    F("fooff", fpu.fdp),
    F("fop", fpu.fop),
    EACH16(XMMN),
    R("mxcsr", SSE, MXCSR, 4, "int", 0),
    EACH16(YMMN),
    R("fs_base", SEGMENTS, BASE, 8, "int64", SEG_FS),
    R("gs_base", SEGMENTS, BASE, 8, "int64", SEG_GS),
    SYS("k_gs_base", kernel_gs_base, false),
    R("cs_base", SYSTEM, BASE, 8, "int64", SEG_CS),
    R("ss_base", SYSTEM, BASE, 8, "int64", SEG_SS),
    R("ds_base", SYSTEM, BASE, 8, "int64", SEG_DS),
    R("es_base", SYSTEM, BASE, 8, "int64", SEG_ES),
    SYS("gdtr_base", gdt.base, true),
    SYS("idtr_base", idt.base, true),
    SYS("cr0", cr0, true),
    SYS("cr2", cr2, false),
    R("cr3", SYSTEM, CR3, 8, "int64", 0),
    SYS("cr4", cr4, true),
    R("cr8", SYSTEM, CR8, 8, "int64", 0),
    SYS("efer", efer, true),
};

#define COUNT (sizeof regs / sizeof regs[0])

unsigned gdb_regs_count(void)
{
    return COUNT;
}

unsigned gdb_reg_size(unsigned n)
{
    return regs[n].size;
}

static u8 *st_at(struct cpu *c, unsigned n)
{
    return c->fpu.st[((c->fpu.fsw >> 11) + n) & 7];
}

/* The full tag word, of which the architecture's save areas keep one bit each (SDM vol. 1, 8.1.7). */
static u16 tags_get(struct cpu *c)
{
    unsigned tags = 0;
    for (unsigned n = 0; n < 8; n++) {
        const struct f80 *a = (const void *)c->fpu.st[n];
        tags |= (c->fpu.ftw >> n & 1 ? f80_tag(a) : 3) << 2 * n;
    }
    return (u16)tags;
}

static void tags_set(struct cpu *c, u64 tags)
{
    c->fpu.ftw = 0;
    for (unsigned n = 0; n < 8; n++)
        c->fpu.ftw = (u8)(c->fpu.ftw | ((tags >> 2 * n & 3) != 3) << n);
}

void gdb_reg_get(struct cpu *c, unsigned n, u8 *out)
{
    const struct reg *r = &regs[n];
    u64 v = 0;
    switch ((enum kind)r->kind) {
    case GPR: v = c->gpr[r->arg].q; break;
    case RIP: v = c->rip; break;
    case EFLAGS: v = cpu_rflags(c); break;
    case SEL: v = c->seg[r->arg].sel; break;
    case ST: memcpy(out, st_at(c, r->arg), r->size); return;
    case TAGS: v = tags_get(c); break;
    case XMM: memcpy(out, c->fpu.ymm[r->arg], r->size); return;
    case YMMH: memcpy(out, c->fpu.ymm[r->arg] + 16, r->size); return;
    case MXCSR: v = c->fpu.mxcsr; break;
    case BASE: v = c->seg[r->arg].base; break;
    case FPU:
    case FIELD: memcpy(&v, (u8 *)c + r->at, r->arg); break;
    case CR3: v = c->cr3; break;
    case CR8: v = c->wires.cr8_read(c->wires.opaque, c); break;
    }
    st_n(out, v, r->size);
}

static bool selector_set(struct cpu *c, unsigned s, u64 v)
{
    if (v > 0xffff || (cpu_protected(c) && !cpu_v86(c)))
        return false;
    c->seg[s].sel = (u16)v;
    c->seg[s].base = v << 4;
    return true;
}

static bool base_set(struct cpu *c, unsigned s, u64 v)
{
    if ((s != SEG_FS && s != SEG_GS) || !cpu_canonical(v))
        return false;
    c->seg[s].base = v;
    return true;
}

/* Values wider than their register are refused; so is a change of what is read only. */
static bool set_number(struct cpu *c, const struct reg *r, u64 v)
{
    switch ((enum kind)r->kind) {
    case GPR: c->gpr[r->arg].q = v; return true;
    case RIP: c->rip = v; return true;
    case EFLAGS: cpu_set_rflags(c, v); return true;
    case SEL: return selector_set(c, r->arg, v);
    case TAGS: tags_set(c, v); return true;
    case MXCSR:
        if (v & ~0xffffull)
            return false;
        c->fpu.mxcsr = (u32)v;
        return true;
    case BASE: return base_set(c, r->arg, v);
    case FPU:
    case FIELD:
        if (r->fixed || (r->arg < 8 && v >> 8 * r->arg))
            return false;
        memcpy((u8 *)c + r->at, &v, r->arg);
        return true;
    case CR3:
        c->cr3 = v;
        tlb_flush_all(c);
        return true;
    case CR8:
        if (v > 15)
            return false;
        c->wires.cr8_write(c->wires.opaque, c, (u8)v);
        return true;
    default: return false;
    }
}

bool gdb_reg_set(struct cpu *c, unsigned n, const u8 *in)
{
    const struct reg *r = &regs[n];
    u8 now[GDB_REG_MAX];
    gdb_reg_get(c, n, now);
    if (!memcmp(now, in, r->size))
        return true;
    switch ((enum kind)r->kind) {
    case ST: memcpy(st_at(c, r->arg), in, r->size); break;
    case XMM: memcpy(c->fpu.ymm[r->arg], in, r->size); break;
    case YMMH: memcpy(c->fpu.ymm[r->arg] + 16, in, r->size); break;
    default:
        if (!set_number(c, r, ld_n(in, r->size)))
            return false;
    }
    c->fpu.xinuse |= r->kind == ST ? 1 : r->kind == XMM ? 2 : r->kind == YMMH ? 4 : 0;
    cpu_update_mode(c);
    return true;
}

/* Types that the features' registers need, in gdb's words. */
static const char *const feature_types[FEATURES] = {
    [CORE] = "<flags id=\"i386_eflags\" size=\"4\">"
             "<field name=\"CF\" start=\"0\" end=\"0\"/><field name=\"\" start=\"1\" end=\"1\"/>"
             "<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
             "<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"
             "<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"
             "<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"
             "<field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"RF\" start=\"16\" end=\"16\"/>"
             "<field name=\"VM\" start=\"17\" end=\"17\"/><field name=\"AC\" start=\"18\" end=\"18\"/>"
             "<field name=\"VIF\" start=\"19\" end=\"19\"/><field name=\"VIP\" start=\"20\" end=\"20\"/>"
             "<field name=\"ID\" start=\"21\" end=\"21\"/></flags>",
    [SSE] =
        "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
        "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
        "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
        "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
        "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
        "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
        "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
        "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
        "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
        "<field name=\"uint128\" type=\"uint128\"/></union>",
};

/* Appends to OUT at *USED; at the end *USED >= SIZE says that it did not fit. */
static void put(char *out, size_t size, size_t *used, const char *text)
{
    size_t n = strlen(text);
    if (*used < size && n < size - *used)
        memcpy(out + *used, text, n + 1);
    else
        n = size; /* stays full */
    *used += n;
}

size_t gdb_regs_xml(char *out, size_t size)
{
    char line[160];
    size_t used = 0;
    put(out, size, &used,
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
        "<architecture>i386:x86-64</architecture>");
    for (unsigned n = 0; n < COUNT; n++) {
        const struct reg *r = &regs[n];
        if (!n || r->feature != regs[n - 1].feature) {
            snprintf(line, sizeof line, "%s<feature name=\"%s\">", n ? "</feature>" : "",
                     feature_names[r->feature]);
            put(out, size, &used, line);
            if (feature_types[r->feature])
                put(out, size, &used, feature_types[r->feature]);
        }
        snprintf(line, sizeof line, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>", r->name,
                 r->size * 8u, r->type, n);
        put(out, size, &used, line);
    }
    put(out, size, &used, "</feature></target>");
    return used < size ? used : 0;
}
