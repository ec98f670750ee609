#include "isa/disasm.h"

#include <Zydis/Zydis.h>
#include <stdio.h>

unsigned insn_text(const u8 *bytes, unsigned len, unsigned code_size, u64 rip, char *out, size_t size)
{
    ZydisDecoder d;
    ZydisFormatter f;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    ZydisMachineMode mode = code_size == 8   ? ZYDIS_MACHINE_MODE_LONG_64
                            : code_size == 4 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                                             : ZYDIS_MACHINE_MODE_LONG_COMPAT_16;
    ZydisStackWidth width = code_size == 8   ? ZYDIS_STACK_WIDTH_64
                            : code_size == 4 ? ZYDIS_STACK_WIDTH_32
                                             : ZYDIS_STACK_WIDTH_16;
    snprintf(out, size, "(bad)");
    if (!ZYAN_SUCCESS(ZydisDecoderInit(&d, mode, width)) ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, bytes, len < 15 ? len : 15, &z, ops)))
        return 0;
    if (!ZYAN_SUCCESS(ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL)) ||
        !ZYAN_SUCCESS(
            ZydisFormatterFormatInstruction(&f, &z, ops, z.operand_count_visible, out, size, rip, NULL)))
        snprintf(out, size, "(no text)");
    return z.length;
}
