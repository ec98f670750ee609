/* insn_decode for who needs the encoding too: Zydis' own result beside the record. */
#ifndef ISA_DECODE_FULL_H
#define ISA_DECODE_FULL_H

#include <Zydis/Decoder.h>

#include "isa/insn.h"

/* As insn_decode; Z and OPS (ZYDIS_MAX_OPERAND_COUNT of them) are valid after DECODE_OK. */
enum decode_status insn_decode_full(const u8 *bytes, unsigned len, unsigned code_size, struct insn *i,
                                    ZydisDecodedInstruction *z, ZydisDecodedOperand *ops);

#endif
