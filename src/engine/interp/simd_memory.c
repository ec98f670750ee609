/* Memory operands of vector instructions, the general way. Flat plain segments need no segmentation: what is
 * not canonical misses the soft TLB and faults in the slow path. */
#include "engine/interp/simd.h"

static bool simd_linear(struct cpu *c, const struct insn *i, unsigned len, bool write, u64 *lin)
{
    if (LIKELY(c->flat && i->flags & INSN_SEG_PLAIN && !(write && i->seg == SEG_CS && c->code_size != 8))) {
        *lin = ea(c, i);
        return true;
    }
    return mem_linear(c, i, len, write, lin);
}

bool simd_load(struct cpu *c, const struct insn *i, void *buf, unsigned len)
{
    u64 lin;
    return simd_linear(c, i, len, false, &lin) && lin_load(c, i, lin, buf, len);
}

bool simd_store(struct cpu *c, const struct insn *i, const void *buf, unsigned len)
{
    u64 lin;
    return simd_linear(c, i, len, true, &lin) && lin_store(c, i, lin, buf, len);
}

/* AMD's SHA instructions take any address. */
static bool simd_tolerates(const struct cpu *c, const struct insn *i)
{
    return i->op >= OP_SHA1MSG1 && i->op <= OP_SHA256RNDS2 && interp_amd(c);
}

bool simd_load_aligned(struct cpu *c, const struct insn *i, void *buf, unsigned len)
{
    u64 lin;
    if (!simd_linear(c, i, len, false, &lin))
        return false;
    if (UNLIKELY(lin & (len - 1)) && !simd_tolerates(c, i))
        return simd_misaligned(c);
    return lin_load(c, i, lin, buf, len);
}

bool simd_store_aligned(struct cpu *c, const struct insn *i, const void *buf, unsigned len)
{
    u64 lin;
    if (!simd_linear(c, i, len, true, &lin))
        return false;
    if (UNLIKELY(lin & (len - 1)))
        return simd_misaligned(c);
    return lin_store(c, i, lin, buf, len);
}
