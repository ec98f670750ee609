/* What the translator makes of an instruction, by the functions that it translates with. */
#include "engine/bt/bt.h"
#include "engine/bt/tr.h"

static bool has_memory_operand(const struct dec *d)
{
    for (unsigned k = 0; k < d->z.operand_count; k++)
        if (d->ops[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
            return true;
    return false;
}

enum engine_way bt_way(void *state, const u8 *bytes, unsigned n, unsigned code_size, unsigned cpl)
{
    struct bt *b = state;
    struct dec d;
    if (code_size == 2)
        return WAY_EMULATED;
    u8 now = b->cpu->code_size;
    b->cpu->code_size = (u8)code_size;
    bool decoded = bt_decode(b, &d, bytes, n, BT_MODE_SSE | BT_MODE_AVX | BT_MODE_X87 | (cpl ? BT_MODE_USER : 0) | (code_size == 4 ? BT_MODE_32 : 0));
    b->cpu->code_size = now;
    if (!decoded)
        return WAY_EMULATED;
    switch (d.kind) {
    case K_STEP: return WAY_EMULATED;
    case K_NOP:
    case K_LEA: return WAY_NATIVE;
    case K_GENERIC: return has_memory_operand(&d) ? WAY_RELOCATED : WAY_NATIVE;
    default: return WAY_INLINE;
    }
}
