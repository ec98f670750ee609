/* SMRAM control of the 82441FX host bridge (datasheet 290549, "SMRAMC", configuration offset 0x72): who sees
 * the memory under the VGA window at 0xa0000. A chip of its own, so that the host bridge only lends it an
 * address.
 *
 *   6 DOPEN    everybody sees it
 *   5 DCLS     data accesses in SMM do not (they reach the VGA), fetches do
 *   4 DLCK     clears DOPEN and makes the register read-only until reset
 *   3 SMRAME   the function is on: SMM sees it
 *   2..0       base segment, 010: 0xa0000
 *
 * DLCK also holds SMRAME and DCLS, as the 82443BX and later do: else ring 0 could lead SMM's fetches into
 * video memory that it writes itself. DOPEN with DCLS is undefined there; here DOPEN wins. */
#include "dev/i440fx_smram.h"

enum {
    SMRAMC_DOPEN = 0x40,
    SMRAMC_DCLS = 0x20,
    SMRAMC_DLCK = 0x10,
    SMRAMC_SMRAME = 0x08,
    SMRAMC_BASE = 0x02,
    SMRAMC_WRITABLE = SMRAMC_DOPEN | SMRAMC_DCLS | SMRAMC_DLCK | SMRAMC_SMRAME,
};

static void update(struct i440fx_smram *s)
{
    u8 v = s->value, who = v & SMRAMC_DOPEN ? SMRAM_OPEN : 0;
    if (v & SMRAMC_SMRAME)
        who |= SMRAM_CODE | (v & SMRAMC_DCLS ? 0 : SMRAM_DATA);
    atomic_store_explicit(&s->mem->smram, who, memory_order_relaxed);
}

u8 i440fx_smram_write(struct i440fx_smram *s, u8 v)
{
    if (s->value & SMRAMC_DLCK)
        return s->value;
    v = (v & SMRAMC_WRITABLE) | SMRAMC_BASE;
    if (v & SMRAMC_DLCK)
        v &= (u8)~SMRAMC_DOPEN;
    s->value = v;
    update(s);
    return v;
}

static void smram_reset(void *instance)
{
    update(instance);
}

static bool smram_after_restore(void *instance)
{
    struct i440fx_smram *s = instance;
    if ((s->value & ~SMRAMC_WRITABLE) != SMRAMC_BASE || (s->value & SMRAMC_DLCK && s->value & SMRAMC_DOPEN))
        return false;
    update(s);
    return true;
}

static const struct field smram_fields[] = {FIELD(i440fx_smram, value, SMRAMC_BASE)};
static const struct field_table smram_table = {
    .name = "i440fx_smram", .version = 1, .fields = smram_fields, .count = ARRAY_LEN(smram_fields)};
const struct device_ops i440fx_smram_ops = {
    .fields = &smram_table, .reset = smram_reset, .after_restore = smram_after_restore};

void i440fx_smram_init(struct i440fx_smram *s, struct mem *mem)
{
    *s = (struct i440fx_smram){.mem = mem};
    fields_reset(&smram_table, s);
    update(s);
}
