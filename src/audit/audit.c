/* The audit: runs its guest on every engine, asks the bare CPU, and puts both beside what the manual demands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "audit/bare.h"
#include "audit/rows.h"
#include "audit/share.h"
#include "trine.h"

#define OUTPUT_MAX   (1u << 20)
#define PATIENCE_S   60
#define STEP_OWN     101u    /* instructions between two looks at the audit's own guest */
#define STEP_FOREIGN 100003u /* and at another: a prime, so that loops do not hide */

extern const u8 audit_image[], audit_image_end[];

struct audit {
    const struct trine_audit *ask;
    struct trine_audit_result *result;
    char path[40], *names; /* of the image; the engines' names, cut */
    int fd;
    unsigned reference; /* the first engine whose guest came to its end */
    const struct engine_ops *engine[TRINE_AUDIT_ENGINES];
    struct audit_rows rows[TRINE_AUDIT_ENGINES];
    enum engine_way ways[TRINE_AUDIT_ENGINES][AUDIT_ROWS_MAX];
};

static enum status image_open(struct audit *a, struct error *e)
{
    size_t n = (size_t)(audit_image_end - audit_image);
    a->fd = memfd_create("trine-audit", MFD_CLOEXEC);
    if (a->fd < 0 || write(a->fd, audit_image, n) != (ssize_t)n)
        return error_errno(e, "audit: the guest");
    snprintf(a->path, sizeof a->path, "/proc/self/fd/%d", a->fd);
    return STATUS_OK;
}

/* --- engines */

static enum status engine_add(struct audit *a, const char *name, struct error *e)
{
    char why[512];
    struct trine_audit_result *r = a->result;
    const struct engine_ops *ops = engine_get(name, false, 1, why, sizeof why, e);
    if (!ops)
        return e->status;
    if (r->engines == TRINE_AUDIT_ENGINES)
        return error_set(e, STATUS_USAGE, "--engines: more than %u", TRINE_AUDIT_ENGINES);
    a->engine[r->engines] = ops;
    r->engine[r->engines++].name = ops->name;
    return STATUS_OK;
}

static enum status engines_choose(struct audit *a, struct error *e)
{
    char why[512], *rest = NULL;
    if (!a->ask->engines) {
        const char *name;
        bool usable;
        for (unsigned i = 0; trine_engine(i, &name, &usable, why, sizeof why); i++)
            if (usable && engine_add(a, name, e) != STATUS_OK)
                return e->status;
        return a->result->engines ? STATUS_OK
                                  : error_set(e, STATUS_UNSUPPORTED, "audit: no engine can run here");
    }
    a->names = strdup(a->ask->engines);
    if (!a->names)
        return error_set(e, STATUS_HOST, "audit: out of memory");
    for (char *name = strtok_r(a->names, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        if (engine_add(a, name, e) != STATUS_OK)
            return e->status;
    return a->result->engines ? STATUS_OK : error_set(e, STATUS_USAGE, "--engines: none given");
}

/* --- the guest on an engine */

struct output {
    char *text;
    size_t n;
};

static void take_output(void *opaque, const uint8_t *data, size_t n)
{
    struct output *o = opaque;
    n = n < OUTPUT_MAX - o->n ? n : OUTPUT_MAX - o->n;
    memcpy(o->text + o->n, data, n);
    o->n += n;
}

static void own_guest(const struct audit *a, struct trine_config *c)
{
    trine_config_init(c);
    c->kernel = a->path;
    c->memory = MIB(64);
    c->debug_exit = true;
    c->quiet = true;
    c->max_time_s = PATIENCE_S;
}

static enum status guest_run(struct audit *a, unsigned k, struct error *e)
{
    struct trine_config c;
    struct trine_result r = {0};
    struct trine_error te;
    struct trine_vm *vm;
    struct output o = {.text = calloc(1, OUTPUT_MAX + 1)};
    if (!o.text)
        return error_set(e, STATUS_HOST, "audit: out of memory");
    own_guest(a, &c);
    c.engine = a->engine[k]->name;
    c.serial = TRINE_SERIAL_CALLBACK;
    c.serial_output = take_output;
    c.serial_opaque = &o;
    enum trine_status s = trine_create(&c, &vm, &te);
    if (s == TRINE_OK) {
        s = trine_run(vm, &r, &te);
        trine_destroy(vm);
    }
    bool parsed = audit_rows_parse(&a->rows[k], o.text);
    free(o.text);
    if (s != TRINE_OK)
        return error_set(e, (enum status)te.status, "%s", te.text);
    if (!parsed)
        return error_set(e, STATUS_HOST, "audit: out of memory");
    return STATUS_OK;
}

/* A guest that does not come to its end on this engine, or not with the cases of the others, is a difference
 * too. */
static bool comparable(const struct audit *a, unsigned k)
{
    const struct audit_rows *x = &a->rows[a->reference], *y = &a->rows[k];
    if (!y->complete || x->n != y->n)
        return false;
    for (u32 i = 0; i < x->n; i++)
        if (x->row[i].mode != y->row[i].mode || x->row[i].ring != y->row[i].ring ||
            strcmp(x->row[i].name, y->row[i].name))
            return false;
    return true;
}

static enum status shares_take(struct audit *a, unsigned k, const struct trine_config *foreign,
                               struct error *e)
{
    struct trine_audit_engine *r = &a->result->engine[k];
    struct trine_config c;
    struct audit_share s;
    if (!a->engine[k]->virtual_time) { /* it cannot be stopped at an instruction */
        for (u32 i = 0; i < a->rows[k].n; i++) {
            const struct audit_row *w = &a->rows[k].row[i];
            a->ways[k][i] =
                share_way(a->engine[k], NULL, w->code + w->at, w->code_n - w->at, w->mode / 8, w->ring);
        }
        return STATUS_OK;
    }
    own_guest(a, &c);
    c.append = "clock=0";
    if (share_take(&c, a->engine[k], STEP_OWN, &a->rows[k], a->ways[k], &s, e) != STATUS_OK)
        return e->status;
    if (foreign && foreign->kernel &&
        share_take(foreign, a->engine[k], STEP_FOREIGN, NULL, NULL, &s, e) != STATUS_OK)
        return e->status;
    double n = s.samples ? (double)s.samples : 1;
    r->counted = s.samples > 0;
    r->samples = s.samples;
    r->instructions = s.instructions;
    r->native = (double)s.way[WAY_NATIVE] / n;
    r->relocated = (double)s.way[WAY_RELOCATED] / n;
    r->in_line = (double)s.way[WAY_INLINE] / n;
    r->trapped = (double)s.way[WAY_TRAPPED] / n;
    r->emulated = (double)s.way[WAY_EMULATED] / n;
    return STATUS_OK;
}

/* --- the bare CPU */

static void vector_text(u32 vector, char *text, size_t size)
{
    static const char *const names[] = {"#DE", "#DB",       "NMI",      "#BP", "#OF", "#BR", "#UD",
                                        "#NM", "#DF",       "vector 9", "#TS", "#NP", "#SS", "#GP",
                                        "#PF", "vector 15", "#MF",      "#AC", "#MC", "#XM"};
    snprintf(text, size, "traps: %s", vector < ARRAY_LEN(names) ? names[vector] : "another vector");
}

/* What the instruction did, against what the guest must see. Does it escape the monitor: sensitive, and no
 * trap? */
static bool bare_text(const struct audit_row *r, const struct bare *b, char *text, size_t size)
{
    bool same = audit_through(r->demand) && b->value == r->value && !(r->flags & AUDIT_VOLATILE);
    const char *by = b->faked ? " (answered by Linux: UMIP)" : "";
    switch (b->end) {
    case BARE_UNTRIED: snprintf(text, size, "not tried: %s", b->why); return false;
    case BARE_DIED: snprintf(text, size, "ends the process"); return false;
    case BARE_KERNEL: snprintf(text, size, "enters the host's kernel"); return true;
    case BARE_TRAPPED: vector_text(b->vector, text, size); return false;
    case BARE_THROUGH: break;
    }
    if (r->from == FROM_NOTHING || r->flags & AUDIT_VOLATILE)
        snprintf(text, size, r->kind == 'R' ? "reveals the host%s" : "silently does something else%s", by);
    else if (same)
        snprintf(text, size, "no trap; the same here%s", by);
    else
        snprintf(text, size,
                 r->kind == 'R' ? "reveals the host: %llx%s" : "silently does something else: %llx%s",
                 (unsigned long long)b->value, by);
    return true;
}

/* --- the table */

static void unprivileged_add(struct trine_audit_result *r, const char *name)
{
    char *list = r->unprivileged;
    size_t n = strlen(list), len = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at++)
        if ((at == list || at[-1] == ' ') && (at[len] == ',' || !at[len]))
            return;
    if (n + len + 3 > sizeof r->unprivileged)
        return;
    snprintf(list + n, sizeof r->unprivileged - n, "%s%s", n ? ", " : "", name);
    r->unprivileged_n++;
}

static void row_judge(struct audit *a, u32 i, const bool *ran, struct trine_audit_row *row)
{
    static const char *const way_names[ENGINE_WAYS] = {"native", "relocated", "in line", "trapped",
                                                       "emulated"};
    const struct audit_row *first = &a->rows[a->reference].row[i];
    *row = (struct trine_audit_row){.mode = first->mode,
                                    .ring = first->ring,
                                    .name = first->name,
                                    .demand = first->demand,
                                    .agree = true};
    for (unsigned k = 0; k < a->result->engines; k++) {
        struct trine_audit_engine *count = &a->result->engine[k];
        const struct audit_row *r = &a->rows[k].row[i];
        if (!ran[k]) {
            row->engine[k].saw = "nothing: its guest did not end well";
            row->engine[k].way = "";
            row->agree = false;
            continue;
        }
        bool right = r->right && !strcmp(r->demand, first->demand);
        row->engine[k].saw = r->saw;
        row->engine[k].way = way_names[a->ways[k][i]];
        row->engine[k].ns = r->ticks * 1e6 / (double)a->rows[k].tsc_khz;
        row->engine[k].right = right;
        row->agree &= right;
        count->right += right;
        count->refusals += !audit_through(first->demand);
        count->refused += right && !audit_through(first->demand);
    }
}

static void table(struct audit *a, const bool *ran)
{
    struct trine_audit_result *r = a->result;
    for (u32 i = 0; i < a->rows[a->reference].n; i++) {
        const struct audit_row *first = &a->rows[a->reference].row[i];
        struct trine_audit_row row;
        char text[96];
        struct bare b = bare_run(first);
        row_judge(a, i, ran, &row);
        bool escapes = bare_text(first, &b, text, sizeof text);
        if (escapes && first->ring == 0 && !(first->flags & AUDIT_VARIANT))
            unprivileged_add(r, first->name);
        row.bare = text;
        r->cases++;
        r->agree &= row.agree;
        a->ask->row(a->ask->opaque, &row);
    }
}

static enum status audit_all(struct audit *a, const struct trine_config *foreign, struct error *e)
{
    bool ran[TRINE_AUDIT_ENGINES], some = false;
    const char *names[TRINE_AUDIT_ENGINES];
    if (image_open(a, e) != STATUS_OK || engines_choose(a, e) != STATUS_OK)
        return e->status;
    for (unsigned k = 0; k < a->result->engines; k++) {
        names[k] = a->engine[k]->name;
        if (guest_run(a, k, e) != STATUS_OK)
            return e->status;
        a->reference = some ? a->reference : k;
        ran[k] = comparable(a, k);
        some |= ran[k];
        a->result->agree &= ran[k];
        if (ran[k] && shares_take(a, k, foreign, e) != STATUS_OK)
            return e->status;
    }
    if (!some)
        return error_set(e, STATUS_HOST, "audit: the guest came to its end on no engine");
    a->ask->begin(a->ask->opaque, a->result->engines, names);
    table(a, ran);
    return STATUS_OK;
}

enum trine_status trine_audit(const struct trine_config *c, const struct trine_audit *k,
                              struct trine_audit_result *r, struct trine_error *e)
{
    struct error err = {.status = STATUS_OK};
    struct audit *a = calloc(1, sizeof *a);
    *r = (struct trine_audit_result){.agree = true};
    if (!a) {
        *e = (struct trine_error){.status = TRINE_HOST, .text = "audit: out of memory"};
        return TRINE_HOST;
    }
    a->ask = k;
    a->result = r;
    a->fd = -1;
    if (audit_all(a, c, &err) != STATUS_OK) {
        e->status = (enum trine_status)err.status;
        snprintf(e->text, sizeof e->text, "%s", err.text);
    }
    for (unsigned i = 0; i < TRINE_AUDIT_ENGINES; i++)
        audit_rows_free(&a->rows[i]);
    if (a->fd >= 0)
        close(a->fd);
    free(a->names);
    free(a);
    return (enum trine_status)err.status;
}
