/* What must never stand in the code cache: instructions that enter the host's kernel, move extended state
 * (which shows the host's, or takes the guest's for it), or reach the host's segments and keys. Decoded, as
 * bytes inside an immediate are no instruction; a translation is entered at its beginning alone. */
#include <Zydis/Zydis.h>

#include "engine/bt/show.h"
#include "engine/bt/tr.h"

static bool bad_category(ZydisInstructionCategory c)
{
    switch (c) {
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_IO:
    case ZYDIS_CATEGORY_IOSTRINGOP:
    case ZYDIS_CATEGORY_XSAVE:
    case ZYDIS_CATEGORY_XSAVEOPT:
    case ZYDIS_CATEGORY_RDWRFSGS:
    case ZYDIS_CATEGORY_PKU:
    case ZYDIS_CATEGORY_VTX: return true;
    default: return false;
    }
}

static bool bad_mnemonic(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT1:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_RDPKRU:
    case ZYDIS_MNEMONIC_WRPKRU:
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_POPFQ:
    case ZYDIS_MNEMONIC_PUSHF:
    case ZYDIS_MNEMONIC_PUSHFQ:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW: return true;
    default: return false;
    }
}

/* A segment register is written or read, a far pointer, or an operand through FS or GS. */
static bool bad_operand(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
    if (o->type == ZYDIS_OPERAND_TYPE_POINTER || z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return true;
    if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
        ZydisRegisterClass c = ZydisRegisterGetClass(o->reg.value);
        return c == ZYDIS_REGCLASS_SEGMENT || c == ZYDIS_REGCLASS_CONTROL || c == ZYDIS_REGCLASS_DEBUG;
    }
    return o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
           (o->mem.segment == ZYDIS_REGISTER_FS || o->mem.segment == ZYDIS_REGISTER_GS);
}

bool bt_forbidden(const u8 *bytes, size_t n, bool traps, unsigned *len)
{
    ZydisDecoder d;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    *len = 1;
    if (!ZYAN_SUCCESS(ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, bytes, n < 15 ? n : 15, &z, ops)))
        return true; /* what does not decode does not belong there either */
    *len = z.length;
    if (traps && z.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
        return false;
    if (bad_category(z.meta.category) || bad_mnemonic(z.mnemonic) ||
        z.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
        return true;
    for (unsigned k = 0; k < z.operand_count_visible; k++)
        if (bad_operand(&z, &ops[k]))
            return true;
    return false;
}

static void scan_range(struct bt *b, u32 from, u32 n)
{
    for (u32 at = 0, len; at < n; at += len) {
        const u8 *p = b->code + from + at;
        b->scanned++;
        if (bt_forbidden(p, n - at, b->settings.sensitive == SENSITIVE_TRAP, &len)) {
            b->forbidden++;
            memcpy(b->found, p, len < sizeof b->found ? len : sizeof b->found);
        }
    }
}

void bt_scan(struct bt *b, const struct bt_block *t)
{
    scan_range(b, t->code, t->code_len);
    scan_range(b, t->cold, t->cold_len);
    bt_reach(b, t);
}

void bt_scan_stubs(struct bt *b)
{
    scan_range(b, 0, b->stubs_used);
}
