/* The decoder on arbitrary bytes, in 16, 32 and 64-bit code, at every offset of the input: what it says of a prefix must be "more" until it has a verdict, and
 * that verdict must not depend on bytes behind the instruction; the record's fields must be in the ranges that handlers rely on. */
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "isa/insn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* Decodes from a buffer that ends where the bytes do, over a record that holds GARBAGE. */
static enum decode_status decode(const u8 *bytes, unsigned len, unsigned code_size, u8 garbage, struct insn *i)
{
    u8 *exact = malloc(len ? len : 1);
    require(exact);
    memcpy(exact, bytes, len);
    memset(i, garbage, sizeof *i);
    enum decode_status s = insn_decode(exact, len, code_size, i);
    free(exact);
    i->fn = NULL; /* the one field that is not the decoder's */
    return s;
}

static void check_record(const struct insn *i, unsigned len)
{
    bool byte_register = i->size == 1 || i->msize == 1;
    require(i->len >= 1 && i->len <= 15 && i->len <= len);
    require(i->op > OP_INVALID && i->op < OP_COUNT && i->form < FORM_COUNT);
    require(i->base <= GPR_RIP && i->index <= GPR_ZERO && i->scale <= 3 && i->seg < SEG_LDTR);
    require(i->asize == 2 || i->asize == 4 || i->asize == 8);
    require(i->size <= 64 && i->rv < 128);
    require((i->rd < 32 || byte_register) && i->rd < 128 && (i->rs < 32 || byte_register) && i->rs < 128);
    require(i->base != GPR_RIP || i->index == GPR_ZERO);
}

static void check_at(const u8 *bytes, unsigned len, unsigned code_size)
{
    struct insn full, again;
    enum decode_status verdict = decode(bytes, len, code_size, 0x00, &full);
    require(decode(bytes, len, code_size, 0xff, &again) == verdict);
    unsigned have = 0;
    enum decode_status s = DECODE_MORE;
    while (have < len && s == DECODE_MORE)
        s = decode(bytes, ++have, code_size, 0xff, &again);
    require(s == verdict);
    if (verdict != DECODE_OK)
        return;
    check_record(&full, len);
    require(have == full.len && memcmp(&full, &again, sizeof full) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size && at < 4096; at++)
        for (unsigned code_size = 2; code_size <= 8; code_size *= 2)
            check_at(data + at, size - at < 15 ? (unsigned)(size - at) : 15, code_size);
    return 0;
}
