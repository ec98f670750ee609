#include "world_fpu.h"

#include <string.h>

#include "base/le.h"

void world_put_fpu(u8 *x, const struct world *w)
{
    unsigned top = w->fsw >> 11 & 7;
    memset(x, 0, 576);
    st16(x, w->fcw);
    st16(x + 2, w->fsw);
    x[4] = w->ftw;
    st16(x + 6, w->fop);
    st64(x + 8, w->fip);
    st64(x + 16, w->fdp);
    st32(x + 24, w->mxcsr);
    for (unsigned k = 0; k < 8; k++)
        memcpy(x + 32 + 16 * k, w->st[(top + k) & 7], 10);
    for (unsigned k = 0; k < 16; k++) {
        memcpy(x + 160 + 16 * k, w->ymm[k], 16);
        memcpy(x + 576 + 16 * k, w->ymm[k] + 16, 16);
    }
    x[512] = 7; /* XSTATE_BV */
}

void world_get_fpu(const u8 *x, struct world *w)
{
    w->fcw = ld16(x);
    w->fsw = ld16(x + 2);
    w->ftw = x[4];
    w->fop = ld16(x + 6);
    w->fip = ld64(x + 8);
    w->fdp = ld64(x + 16);
    w->mxcsr = ld32(x + 24);
    unsigned top = w->fsw >> 11 & 7;
    for (unsigned k = 0; k < 8; k++)
        memcpy(w->st[(top + k) & 7], x + 32 + 16 * k, 10);
    for (unsigned k = 0; k < 16; k++) {
        memcpy(w->ymm[k], x + 160 + 16 * k, 16);
        if (x[512] & 4)
            memcpy(w->ymm[k] + 16, x + 576 + 16 * k, 16);
        else
            memset(w->ymm[k] + 16, 0, 16);
    }
}
