/* trine show-translation: guest code, and beside it what the translator made of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/signals.h"
#include "cli/values.h"
#include "trine.h"

struct show {
    struct trine_vm *vm;
    bool all; /* all of it was seen */
    unsigned lines;
};

static void print_line(void *opaque, const char *text)
{
    struct show *s = opaque;
    if (text) {
        printf("%s\n", text);
        s->lines++;
        return;
    }
    s->all = true;
    trine_stop(s->vm);
}

/* ADDR[+LENGTH]; null: WHY not. */
static const char *take_address(const char *text, struct trine_config *c)
{
    char head[32];
    const char *plus = strchr(text, '+');
    size_t n = plus ? (size_t)(plus - text) : strlen(text);
    c->show_len = 1;
    if (n >= sizeof head)
        return "no address";
    memcpy(head, text, n);
    head[n] = 0;
    if (!value_u64(head, &c->show_at))
        return "no address: a number, or ADDR+LENGTH";
    if (plus && (!value_u64(plus + 1, &c->show_len) || !c->show_len || c->show_len > TRINE_SHOW_MAX))
        return "the length is not 1 to 4096";
    return c->show_at > UINT64_MAX - c->show_len ? "the range does not end" : NULL;
}

static int run_and_show(struct run_options *o)
{
    struct show s = {0};
    struct signals signals;
    struct trine_result r;
    struct trine_error e;
    o->config.show_line = print_line;
    o->config.show_opaque = &s;
    if (!signals_start(&signals, o->config.confine))
        return EXIT_HOST_FAILED;
    if (trine_create(&o->config, &s.vm, &e) != TRINE_OK) {
        complain("%s", e.text);
        return (int)e.status;
    }
    signals_watch(&signals, s.vm);
    bool ran = trine_run(s.vm, &r, &e) == TRINE_OK;
    signals_watch(&signals, NULL);
    trine_destroy(s.vm);
    int signal = signals_caught(&signals), out = finish_output();
    if (!ran) {
        complain("%s", e.text);
        return (int)e.status;
    }
    if (out != EXIT_OK || s.all)
        return out;
    if (signal)
        return 128 + signal;
    complain("show-translation: 0x%" PRIx64 ": %s when the guest ended: %s", o->config.show_at,
             s.lines ? "not all of it was translated" : "nothing there was translated", r.detail);
    return r.end == TRINE_END_MAX_TIME ? EXIT_TIME_OVER : EXIT_GUEST;
}

static int show_run(int argc, char **argv)
{
    static char engine[] = "--engine=bt", serial[] = "--serial=none";
    struct run_options o;
    if (!argc || argv[0][0] == '-') {
        complain("show-translation: no ADDR: see trine show-translation --help");
        return EXIT_WRONG_USAGE;
    }
    char **all = calloc((size_t)argc + 2, sizeof *all);
    if (!all) {
        complain("show-translation: out of memory");
        return EXIT_HOST_FAILED;
    }
    all[0] = engine;
    all[1] = serial;
    memcpy(all + 2, argv + 1, (size_t)(argc - 1) * sizeof *all);
    int status = EXIT_WRONG_USAGE;
    if (options_parse(&o, argc + 1, all)) {
        const char *why = take_address(argv[0], &o.config);
        if (!why && strcmp(o.config.engine, "bt") != 0)
            complain("show-translation: --engine %s: it translates nothing", o.config.engine);
        else if (why)
            complain("show-translation: %s: %s", argv[0], why);
        else
            status = run_and_show(&o);
    }
    free(all);
    return status;
}

static void show_help(void)
{
    printf(
        "Usage: trine show-translation ADDR[+LENGTH] [OPTION]... --kernel FILE\n\n"
        "Runs a guest on engine bt, without a console, until all code at the virtual addresses from ADDR on\n"
        "(LENGTH bytes, default 1) has been translated, and prints each translation that has some of it: on\n"
        "the left the guest's instructions, on the right the host's. The options are those of `trine "
        "run`.\n\n"
        "Exit status: 0 all of it was shown; 1 the guest ended before that; the others as those of `trine "
        "run`.\n");
}

const struct verb verb_show = {"show-translation", "prints what the translator makes of guest code", show_run,
                               show_help};
