/* trine check: two engines, one guest, any difference. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/values.h"
#include "trine.h"

struct check_options {
    struct trine_check check;
    char *engines; /* the text that check.engines point into */
    char **rest;   /* what is left for `run`'s options */
    int rest_n;
};

static const char *set_engines(struct check_options *o, const char *value)
{
    free(o->engines);
    o->engines = strdup(value);
    char *comma = o->engines ? strchr(o->engines, ',') : NULL;
    if (!comma || comma == o->engines || !comma[1] || strchr(comma + 1, ','))
        return "not two engines: A,B";
    *comma = 0;
    o->check.engines[0] = o->engines;
    o->check.engines[1] = comma + 1;
    return NULL;
}

static const char *set_grain(struct check_options *o, const char *value)
{
    o->check.grain = !strcmp(value, "exit")    ? TRINE_GRAIN_EXIT
                     : !strcmp(value, "block") ? TRINE_GRAIN_BLOCK
                                               : TRINE_GRAIN_INSTRUCTIONS;
    if (o->check.grain != TRINE_GRAIN_INSTRUCTIONS)
        return NULL;
    return value_u64(value, &o->check.every) && o->check.every ? NULL : "not exit, block or a number above 0";
}

static const char NOT_A_COUNT[] = "not a number of instructions";

static const char *set_until(struct check_options *o, const char *value)
{
    return value_u64(value, &o->check.until) ? NULL : NOT_A_COUNT;
}

static const char *set_at(struct check_options *o, const char *value)
{
    o->check.replay = true;
    return value_u64(value, &o->check.at) && o->check.at < UINT64_MAX ? NULL : NOT_A_COUNT;
}

static const char *set_resume(struct check_options *o, const char *value)
{
    return value_u64(value, &o->check.resume) ? NULL : NOT_A_COUNT;
}

static const struct check_option {
    const char *name, *arg, *help;
    const char *(*set)(struct check_options *o, const char *value);
} check_options[] = {
    {"engines", "A,B", "the two engines; `trine engines` lists them", set_engines},
    {"grain", "exit|block|N",
     "where vCPUs and chips are compared: at every exit, at every end of a block,\n"
     "every N instructions; default 1000000",
     set_grain},
    {"until", "COUNT", "stop there; default: when the guest ends", set_until},
    {"at", "COUNT", "compare nothing but the one instruction behind COUNT: replays a difference", set_at},
    {"tlb", NULL, "compare the soft TLBs too", NULL},
    {"resume", "COUNT", "there the second machine goes on from a snapshot of itself", set_resume},
};

#define OPTIONS (sizeof check_options / sizeof check_options[0])

/* One argument of ours: 1, and *i stands on the last one used; 0: not ours; -1: wrong, and said so. */
static int take_own(struct check_options *o, int argc, char **argv, int *i)
{
    const char *text = argv[*i] + 2, *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : strlen(text);
    for (size_t k = 0; k < OPTIONS; k++) {
        const struct check_option *opt = &check_options[k];
        if (strlen(opt->name) != n || memcmp(opt->name, text, n))
            continue;
        if (!opt->arg) {
            o->check.tlb = true;
            return 1;
        }
        const char *value = equals ? equals + 1 : *i + 1 < argc ? argv[++*i] : NULL;
        const char *why = value ? opt->set(o, value) : "needs a value";
        if (why)
            complain("--%s%s%s: %s", opt->name, value ? " " : "", value ? value : "", why);
        return why ? -1 : 1;
    }
    return 0;
}

static bool take_options(struct check_options *o, int argc, char **argv)
{
    o->rest = calloc((size_t)argc + 2, sizeof *o->rest);
    if (!o->rest) {
        complain("check: out of memory");
        return false;
    }
    static char time[] = "--time=virtual";
    o->rest[o->rest_n++] = time;
    for (int i = 0; i < argc; i++) {
        int own = !strncmp(argv[i], "--", 2) ? take_own(o, argc, argv, &i) : 0;
        if (own < 0)
            return false;
        if (!own)
            o->rest[o->rest_n++] = argv[i];
    }
    if (!o->check.engines[0])
        complain("--engines: none given: see trine check --help");
    return o->check.engines[0];
}

static void print_line(void *opaque, const char *text)
{
    (void)opaque;
    printf("%s\n", text);
    fflush(stdout);
}

/* One argument as a shell takes it. */
static void print_word(const char *word)
{
    if (*word && !strpbrk(word, " \t\n'\"\\$`*?[]{}()<>|&;#~!")) {
        printf(" %s", word);
        return;
    }
    printf(" '");
    for (; *word; word++)
        printf(*word == '\'' ? "'\\''" : "%c", *word);
    printf("'");
}

static void print_replay(const struct check_options *o, uint64_t at)
{
    printf("replay: trine check --engines %s,%s --at %" PRIu64, o->check.engines[0], o->check.engines[1], at);
    if (o->check.tlb)
        printf(" --tlb");
    if (o->check.resume)
        printf(" --resume %" PRIu64, o->check.resume);
    for (int i = 1; i < o->rest_n; i++)
        print_word(o->rest[i]);
    printf("\n");
}

static int check_report(const struct check_options *o, const struct trine_check_result *r)
{
    int status = r->agree ? EXIT_OK : EXIT_GUEST;
    if (!r->agree && r->narrowed)
        print_replay(o, r->at);
    else if (r->agree)
        printf("agree: %s and %s, to time %" PRIu64 ", %" PRIu64 " comparisons%s%s\n", o->check.engines[0],
               o->check.engines[1], r->at, r->comparisons, r->ended ? "; the guest ended: " : "",
               r->ended ? r->end.detail : "");
    if (r->time_over) {
        complain("ended after --max-time");
        status = EXIT_TIME_OVER;
    }
    int out = finish_output();
    return out == EXIT_OK ? status : out;
}

static int check_run(int argc, char **argv)
{
    struct check_options o = {.check = {.line = print_line}};
    struct run_options run;
    struct trine_check_result r;
    struct trine_error e;
    int status = EXIT_WRONG_USAGE;
    if (take_options(&o, argc, argv) && options_parse(&run, o.rest_n, o.rest)) {
        if (trine_check(&run.config, &o.check, &r, &e) == TRINE_OK) {
            status = check_report(&o, &r);
        } else {
            complain("%s", e.text);
            status = (int)e.status;
        }
    }
    free(o.rest);
    free(o.engines);
    return status;
}

static void check_help(void)
{
    printf("Usage: trine check --engines A,B [OPTION]... --kernel FILE\n\n"
           "Runs one guest on two engines under --time virtual and compares vCPUs, chips, exits and\n"
           "memory. A difference is narrowed down to one instruction. Besides the options of\n"
           "`trine run` (console output is dropped, unless --serial leads to a file or socket):\n\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct check_option *opt = &check_options[i];
        printf("  --%s%s%s\n", opt->name, opt->arg ? " " : "", opt->arg ? opt->arg : "");
        for (const char *line = opt->help; line;) {
            const char *next = strchr(line, '\n');
            printf("        %.*s\n", (int)(next ? next - line : (ptrdiff_t)strlen(line)), line);
            line = next ? next + 1 : NULL;
        }
    }
    printf(
        "\nExit status: 0 they agree; 1 they differ; 2 wrong usage; 3 the host failed; 4 an engine cannot\n"
        "run here, or not under --time virtual; 124 --max-time is over.\n");
}

const struct verb verb_check = {"check", "runs a guest on two engines and compares them", check_run,
                                check_help};
