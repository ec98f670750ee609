/* A world's x87, SSE and AVX state as the processor's XSAVE area, in the standard form (SDM vol. 1, 13.4): of
 * WORLD_FPU_BYTES at least. */
#ifndef TESTS_ISA_WORLD_FPU_H
#define TESTS_ISA_WORLD_FPU_H

#include "native.h"

#define WORLD_FPU_BYTES 832

void world_put_fpu(u8 *x, const struct world *w);
void world_get_fpu(const u8 *x, struct world *w);

#endif
