/* Behind the in-line memory accesses: misses, page crossings, devices, breakpoints, alignment checks. What is not plain RAM must be alone at its instruction
 * boundary (a device may raise an interrupt, which is taken at the very next one), so inside a block it bails out to single step. */
#include "engine/interp/operand.h"
#include "engine/interp/state.h"

/* Canonical form: the in-line paths leave it to here, for such an address never hits. What wraps at 4 GiB under a flat limit does not fault. */
bool mem_address_ok(struct cpu *c, const struct insn *i, u64 lin, unsigned len)
{
    if (LIKELY(c->code_size != 8 || (cpu_canonical(lin) && cpu_canonical(lin + len - 1))))
        return true;
    return cpu_raise_error(c, i->seg == SEG_SS ? VEC_SS : VEC_GP, 0);
}

/* Every page of the span is RAM, or the instruction is alone already. False: fault, or bail. */
static bool only_ram(struct cpu *c, u64 lin, unsigned len, unsigned acc)
{
    struct interp *it = interp_of(c);
    if (it->stepping)
        return true;
    struct place p;
    if (!lin_translate(c, lin, acc, &p))
        return false;
    bool ram = p.hva;
    u64 last = lin + len - 1;
    if (c->code_size != 8)
        last = (u32)last;
    if (ram && (last & PAGE_MASK) != (lin & PAGE_MASK)) {
        if (!lin_translate(c, last & PAGE_MASK, acc, &p))
            return false;
        ram = p.hva;
    }
    it->bail = !ram;
    return ram;
}

static bool read_slow(struct cpu *c, const struct insn *i, u64 lin, void *buf, unsigned len, unsigned acc)
{
    if (!mem_address_ok(c, i, lin, len) || !only_ram(c, lin, len, acc))
        return false;
    if (interp_of(c)->stepping)
        interp_sync(c, i);
    return lin_read(c, lin, buf, len, acc);
}

static bool write_slow(struct cpu *c, const struct insn *i, u64 lin, const void *buf, unsigned len, unsigned acc)
{
    if (!mem_address_ok(c, i, lin, len) || !only_ram(c, lin, len, acc))
        return false;
    if (interp_of(c)->stepping)
        interp_sync(c, i);
    return lin_write(c, lin, buf, len, acc);
}

bool mem_read_slow(struct cpu *c, const struct insn *i, u64 lin, void *buf, unsigned len)
{
    return read_slow(c, i, lin, buf, len, ACC_READ);
}

bool mem_write_slow(struct cpu *c, const struct insn *i, u64 lin, const void *buf, unsigned len)
{
    return write_slow(c, i, lin, buf, len, ACC_WRITE);
}

bool mem_read_element(struct cpu *c, const struct insn *i, u64 lin, void *buf, unsigned len)
{
    return read_slow(c, i, lin, buf, len, ACC_READ | ACC_NO_AC);
}

bool mem_write_element(struct cpu *c, const struct insn *i, u64 lin, const void *buf, unsigned len)
{
    return write_slow(c, i, lin, buf, len, ACC_WRITE | ACC_NO_AC);
}

bool rmw_slow(struct cpu *c, const struct insn *i, u64 lin, unsigned len, u8 **p, u8 *tmp)
{
    if (!mem_address_ok(c, i, lin, len) || !only_ram(c, lin, len, ACC_WRITE))
        return false;
    if (interp_of(c)->stepping)
        interp_sync(c, i);
    if (!lin_probe(c, lin, len, ACC_WRITE))
        return false;
    *p = tmp;
    return lin_read(c, lin, tmp, len, ACC_READ);
}

void rmw_end(struct cpu *c, u64 lin, const u8 *tmp, unsigned len)
{
    if (!lin_write(c, lin, tmp, len, ACC_WRITE))
        log_dev(c->wires.log, "a probed write failed at %#llx", (unsigned long long)lin);
}
