/* What the audit's guest prints, line by line (guest/audit/audit.h has the fields). */
#ifndef AUDIT_ROWS_H
#define AUDIT_ROWS_H

#include "base/types.h"

#define AUDIT_ROWS_MAX 1024
#define AUDIT_CODE_MAX 64

enum audit_flags { AUDIT_VARIANT = 2, AUDIT_VOLATILE = 4 };
enum audit_from { FROM_NOTHING, FROM_AX, FROM_CS, FROM_ES, FROM_FLAGS, FROM_BASE };

struct audit_row {
    u32 mode, ring, flags;
    char kind; /* 'R' brings to light, 'A' acts */
    char name[32], demand[32], saw[32];
    u8 code[AUDIT_CODE_MAX];
    u32 code_n, at, after;
    u64 ax, cx, dx, mask, value;
    enum audit_from from;
    bool right;
    double ticks;
};

struct audit_rows {
    struct audit_row *row;
    u32 n;
    u64 tsc_khz;
    bool complete; /* the guest said how many there are, and that many came */
};

/* TEXT: a guest's whole output. False: out of memory. Lines that are none are left out. */
bool audit_rows_parse(struct audit_rows *r, const char *text) MUST_CHECK;
void audit_rows_free(struct audit_rows *r);
/* Where the instruction goes through, the value is in the text. */
static inline bool audit_through(const char *outcome)
{
    return outcome[0] == 'd';
}

#endif
