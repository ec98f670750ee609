/* Instructions as text, for people. */
#ifndef ISA_DISASM_H
#define ISA_DISASM_H

#include "base/types.h"

/* The instruction at BYTES (at most LEN of them), which stands at RIP in code of CODE_SIZE 2, 4 or 8, in
 * Intel's syntax with absolute targets. Its length; 0: it is none, and OUT says `(bad)`. */
unsigned insn_text(const u8 *bytes, unsigned len, unsigned code_size, u64 rip, char *out, size_t size);

#endif
