/* An XMM register, one half of a YMM register, or (its lower 8 bytes) an MMX register, by lanes.
 * Little-endian hosts only. */
#ifndef ISA_XMM_H
#define ISA_XMM_H

#include "base/types.h"

union xmm {
    u8 b[16];
    i8 sb[16];
    u16 w[8];
    i16 sw[8];
    u32 d[4];
    i32 sd[4];
    u64 q[2];
    i64 sq[2];
} __attribute__((aligned(16)));

#endif
