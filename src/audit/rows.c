#include "audit/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS 19

static bool parse_code(struct audit_row *r, const char *hex)
{
    size_t n = strlen(hex);
    if (n % 2 || n / 2 > AUDIT_CODE_MAX)
        return false;
    for (r->code_n = 0; r->code_n < n / 2; r->code_n++)
        if (sscanf(hex + 2 * (size_t)r->code_n, "%2hhx", &r->code[r->code_n]) != 1)
            return false;
    return true;
}

static enum audit_from parse_from(const char *s)
{
    static const char *const names[] = {"none", "ax", "cs", "es", "flags", "base"};
    for (u32 i = 0; i < ARRAY_LEN(names); i++)
        if (!strcmp(names[i], s))
            return (enum audit_from)i;
    return FROM_NOTHING;
}

static u64 hex(const char *s)
{
    return strtoull(s, NULL, 16);
}

/* One line, cut at its bars. */
static bool parse_fields(struct audit_row *r, char *const *f)
{
    *r = (struct audit_row){
        .mode = (u32)strtoul(f[1], NULL, 10),
        .ring = (u32)strtoul(f[2], NULL, 10),
        .kind = f[4][0],
        .flags = (u32)strtoul(f[5], NULL, 10),
        .at = (u32)strtoul(f[7], NULL, 10),
        .after = (u32)strtoul(f[8], NULL, 10),
        .ax = hex(f[9]),
        .cx = hex(f[10]),
        .dx = hex(f[11]),
        .from = parse_from(f[12]),
        .mask = hex(f[13]),
        .value = hex(f[16]),
        .right = f[17][0] == '1',
        .ticks = strtod(f[18], NULL),
    };
    snprintf(r->name, sizeof r->name, "%s", f[3]);
    snprintf(r->demand, sizeof r->demand, "%s", f[14]);
    snprintf(r->saw, sizeof r->saw, "%s", f[15]);
    return parse_code(r, f[6]) && r->at < r->after && r->after <= r->code_n &&
           (r->mode == 16 || r->mode == 32 || r->mode == 64);
}

static bool parse_line(struct audit_row *r, char *line)
{
    char *f[FIELDS];
    unsigned n = 0;
    for (char *p = line; p && n < FIELDS; n++) {
        f[n] = p;
        p = strchr(p, '|');
        if (p)
            *p++ = 0;
    }
    return n == FIELDS && !strcmp(f[0], "audit") && parse_fields(r, f);
}

bool audit_rows_parse(struct audit_rows *r, const char *text)
{
    unsigned said, total = 0, worlds = 0;
    *r = (struct audit_rows){.row = calloc(AUDIT_ROWS_MAX, sizeof *r->row)};
    char *copy = strdup(text), *rest = NULL;
    if (!r->row || !copy) {
        free(copy);
        audit_rows_free(r);
        return false;
    }
    for (char *line = strtok_r(copy, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        if (sscanf(line, "tsc %" SCNu64, &r->tsc_khz) == 1)
            continue;
        if (sscanf(line, "audited %u", &said) == 1) {
            total += said <= AUDIT_ROWS_MAX ? said : 0;
            worlds++;
        } else if (r->n < AUDIT_ROWS_MAX && parse_line(&r->row[r->n], line)) {
            r->n++;
        }
    }
    free(copy);
    r->complete = worlds == 2 && total == r->n && r->n && r->tsc_khz;
    return true;
}

void audit_rows_free(struct audit_rows *r)
{
    free(r->row);
    *r = (struct audit_rows){0};
}
