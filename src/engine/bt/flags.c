/* Where the guest's arithmetic flags are. Glue needs the host's flags; before it takes them they are saved
 * once, by LAHF and SETO, until the next guest instruction writes them. Nothing is ever given up as dead: a
 * fault or an interrupt may push them. */
#include "engine/bt/tr.h"

void flags_to_mem(struct tr *t)
{
    struct emit *e = &t->e;
    if (t->mem)
        return;
    e_mov(e, HOST_T0, RAX);
    e8(e, 0x9f);                                 /* LAHF */
    e_op(e, false, 0x0f90, 0, reg_opnd(RAX), 0); /* SETO al */
    e8(e, 0x66);
    e_op(e, false, 0x89, RAX, SCRATCH(flags), 0);
    e_mov(e, RAX, HOST_T0);
    t->mem = true;
}

void flags_clobber(struct tr *t)
{
    flags_to_mem(t);
    t->host = false;
}

void flags_to_host(struct tr *t, bool scratch)
{
    struct emit *e = &t->e;
    if (t->host)
        return;
    if (scratch)
        e_mov(e, HOST_T0, RAX);
    else
        e_store(e, SCRATCH(spill[0]), RAX);
    e_op(e, false, 0x0fb7, RAX, SCRATCH(flags), 0); /* MOVZX */
    e8(e, 0x04), e8(e, 0x7f);                       /* ADD al, 7fh: OF as it was */
    e8(e, 0x9e);                                    /* SAHF */
    if (scratch)
        e_mov(e, RAX, HOST_T0);
    else
        e_load(e, RAX, SCRATCH(spill[0]));
    t->host = true;
}

void flags_written(struct tr *t)
{
    t->host = true;
    t->mem = false;
}
