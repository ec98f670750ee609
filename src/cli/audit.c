/* trine audit: every sensitive and privileged instruction on every engine and on the bare CPU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "trine.h"

struct audit_options {
    const char *engines;
    bool differences; /* print only those rows */
    char **rest;      /* what is left for `run`'s options */
    int rest_n;
    unsigned engines_n;
};

static bool take_options(struct audit_options *o, int argc, char **argv)
{
    o->rest = calloc((size_t)argc + 1, sizeof *o->rest);
    if (!o->rest) {
        complain("audit: out of memory");
        return false;
    }
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--engines")) {
            if (i + 1 == argc) {
                complain("--engines: needs a value");
                return false;
            }
            o->engines = argv[++i];
        } else if (!strncmp(argv[i], "--engines=", 10)) {
            o->engines = argv[i] + 10;
        } else if (!strcmp(argv[i], "--differences")) {
            o->differences = true;
        } else {
            o->rest[o->rest_n++] = argv[i];
        }
    }
    return true;
}

static void print_head(void *opaque, unsigned engines, const char *const *names)
{
    struct audit_options *o = opaque;
    o->engines_n = engines;
    printf("| mode | ring | instruction | the manual demands |");
    for (unsigned k = 0; k < engines; k++)
        printf(" %s: the guest saw | how | ns |", names[k]);
    printf(" bare |\n| --- | --- | --- | --- |");
    for (unsigned k = 0; k < engines; k++)
        printf(" --- | --- | --- |");
    printf(" --- |\n");
}

static void print_row(void *opaque, const struct trine_audit_row *r)
{
    const struct audit_options *o = opaque;
    if (o->differences && r->agree)
        return;
    printf("| %u | %u | %s | %s |", r->mode, r->ring, r->name, r->demand);
    for (unsigned k = 0; k < o->engines_n; k++)
        printf(" %s%s | %s | %.*f |", r->engine[k].right ? "" : "DIFFERS: ", r->engine[k].saw,
               r->engine[k].way, r->engine[k].ns < 10 ? 1 : 0, r->engine[k].ns);
    printf(" %s |\n", r->bare);
}

static void print_theorem(const struct trine_audit_result *r)
{
    printf("\nPopek and Goldberg: a monitor may run guests directly and catch what traps if every sensitive "
           "instruction is\n"
           "privileged. On this CPU %u are not: at CPL 3 they reveal the host, or do something else, and do "
           "not trap:\n%s.\n"
           "%s\n\n",
           r->unprivileged_n, r->unprivileged_n ? r->unprivileged : "none",
           r->unprivileged_n ? "So trap and emulate is no virtual machine monitor here; translation and "
                               "interpretation see them all."
                             : "The condition holds here.");
}

static void print_engine(const struct trine_audit_engine *e, unsigned cases)
{
    printf("%s: equivalence: %u of %u cases as the manual demands\n", e->name, e->right, cases);
    printf("%s: resource control: %u of %u accesses refused that must be\n", e->name, e->refused,
           e->refusals);
    if (e->counted)
        printf("%s: efficiency: %.1f %% of the instructions run unchanged on the CPU, %.1f %% with another "
               "memory operand,\n"
               "    %.1f %% replaced in line, %.1f %% trapped, %.1f %% emulated (%llu looks at %llu "
               "instructions)\n",
               e->name, 100 * e->native, 100 * e->relocated, 100 * e->in_line, 100 * e->trapped,
               100 * e->emulated, (unsigned long long)e->samples, (unsigned long long)e->instructions);
    else
        printf("%s: efficiency: not counted\n", e->name);
}

static int audit_report(const struct trine_audit_result *r)
{
    print_theorem(r);
    for (unsigned k = 0; k < r->engines; k++)
        print_engine(&r->engine[k], r->cases);
    printf("%s\n", r->agree ? "all agree" : "they differ");
    int out = finish_output();
    return out != EXIT_OK ? out : r->agree ? EXIT_OK : EXIT_GUEST;
}

static int audit_run(int argc, char **argv)
{
    struct audit_options o = {0};
    struct run_options run;
    struct trine_audit_result r;
    struct trine_error e;
    int status = EXIT_WRONG_USAGE;
    trine_config_init(&run.config);
    run.config.pv_kvm = false; /* VMCALL as a processor without a hypervisor has it */
    if (take_options(&o, argc, argv) && (!o.rest_n || options_parse(&run, o.rest_n, o.rest))) {
        struct trine_audit ask = {.engines = o.engines, .begin = print_head, .row = print_row, .opaque = &o};
        if (trine_audit(&run.config, &ask, &r, &e) == TRINE_OK) {
            status = audit_report(&r);
        } else {
            complain("%s", e.text);
            status = (int)e.status;
        }
    }
    free(o.rest);
    return status;
}

static void audit_help(void)
{
    printf(
        "Usage: trine audit [OPTION]... [--kernel FILE]\n\n"
        "Puts every sensitive and every privileged instruction to every engine, in 16-, 32- and 64-bit "
        "code,\n"
        "ring 0 and ring 3, and to the bare CPU at CPL 3 (docs/audit.md explains the table).\n\n"
        "  --engines A,B,...\n"
        "        these; default: all that are usable here\n"
        "  --differences\n"
        "        print only the rows where a guest saw something else than the manual demands\n\n"
        "With the options of `trine run` and --kernel the shares of instructions are counted over that "
        "guest.\n\n"
        "Exit status: 0 all agree; 1 a difference; 2 wrong usage; 3 the host failed; 4 an engine cannot run\n"
        "here.\n");
}

const struct verb verb_audit = {"audit", "puts every sensitive instruction to every engine", audit_run,
                                audit_help};
