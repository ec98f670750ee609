/* One case on both sides: run, compare, print, parse. */
#ifndef ISA_ORACLE_CASE_H
#define ISA_ORACLE_CASE_H

#include <stdio.h>

#include "guest.h"
#include "oracle_gen.h"

/* UNDEFINED_FLAGS: nothing differs but flags that the manual leaves undefined after this operation. */
enum outcome { SAME, UNDEFINED_FLAGS, DIFFERENT };

struct rig {
    struct guest g;
    struct gen gen;
    u8 window[NATIVE_DATA_LEN];
    bool missing[OP_COUNT]; /* the host, or the guest's model, does not have it */
    bool pointers;          /* x87 pointers are compared always, not only with an exception pending */
};

bool rig_init(struct rig *k);
enum outcome case_try(struct rig *k, const struct icase *t, struct world *guest, struct world *host);
void case_print(FILE *f, const struct icase *t);
void case_report(struct rig *k, const struct icase *t, const struct world *guest, const struct world *host);
bool case_parse(const char *line, struct icase *t);

#endif
