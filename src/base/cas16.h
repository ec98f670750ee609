/* Compare-and-swap of 16 bytes, aligned, by the host; P's old contents. gcc has it in line on x86 behind
 * `cx16` alone (clang would lose that on inlining it); other hosts take its generic builtin. */
#ifndef BASE_CAS16_H
#define BASE_CAS16_H

#include "base/types.h"

#ifdef __x86_64__
__attribute__((target("cx16"), noinline))
#endif
static u128
cas16(u128 *p, u128 expect, u128 put)
{
    return __sync_val_compare_and_swap(p, expect, put);
}

#endif
