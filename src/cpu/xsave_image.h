/* x87, SSE, AVX and PKRU state as one XSAVE area in standard format, whatever mode the vCPU is in: for
 * whoever hands the state to another holder of it. */
#ifndef CPU_XSAVE_IMAGE_H
#define CPU_XSAVE_IMAGE_H

#include "cpu/model.h"

#define XSAVE_IMAGE_BYTES (XSAVE_PKRU_OFFSET + XSAVE_PKRU_SIZE)

/* AREA is XSAVE_IMAGE_BYTES long; bytes that no component of the model has are left alone. */
void xsave_image_put(const struct cpu *c, u8 *area);
/* Components that XSTATE_BV lacks become what XRSTOR makes of them. */
void xsave_image_get(struct cpu *c, const u8 *area);

#endif
