/* trine run: one VM from the options to the exit status. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/signals.h"
#include "cli/stats_json.h"
#include "trine.h"

/* Prints why the VM ended, where that is no success, and gives the exit status. */
static int end_status(const struct trine_result *r, int signal, bool quiet)
{
    switch (r->end) {
    case TRINE_END_POWEROFF:
    case TRINE_END_SAVED: return EXIT_OK;
    case TRINE_END_RESET:
    case TRINE_END_TRIPLE_FAULT:
    case TRINE_END_HALTED_FOREVER:
        complain("guest: %s at RIP 0x%" PRIx64, r->detail, r->rip);
        return EXIT_GUEST;
    case TRINE_END_DEBUG_EXIT: return (int)((r->debug_exit_value << 1 | 1) & 0xff);
    case TRINE_END_MAX_TIME:
        if (!quiet)
            complain("ended %s", r->detail);
        return EXIT_TIME_OVER;
    case TRINE_END_STOPPED: break;
    }
    return signal ? 128 + signal : EXIT_OK; /* without a signal: Ctrl-A x */
}

static const char *end_name(enum trine_end end)
{
    static const char *const names[] = {
        [TRINE_END_POWEROFF] = "poweroff",         [TRINE_END_RESET] = "reset",
        [TRINE_END_TRIPLE_FAULT] = "triple-fault", [TRINE_END_DEBUG_EXIT] = "debug-exit",
        [TRINE_END_MAX_TIME] = "max-time",         [TRINE_END_STOPPED] = "stopped",
        [TRINE_END_HALTED_FOREVER] = "halted",     [TRINE_END_SAVED] = "saved",
    };
    return names[end];
}

/* Runs VM to its end, and writes the report. */
static int run_vm(struct trine_vm *vm, const struct run_options *o, FILE *stats, struct signals *signals)
{
    struct trine_result r = {0};
    struct trine_error e;
    signals_watch(signals, vm);
    bool ran = trine_run(vm, &r, &e) == TRINE_OK;
    signals_watch(signals, NULL);
    int status = ran ? end_status(&r, signals_caught(signals), o->config.quiet) : (int)e.status;
    if (!ran)
        complain("%s", e.text);
    if (ran && o->config.end_after_saves && r.end != TRINE_END_SAVED && status == EXIT_OK) {
        complain("save: the guest ended before that: %s", r.detail);
        status = EXIT_GUEST;
    }
    if (stats) {
        struct trine_stats s;
        trine_get_stats(vm, &s);
        if (!stats_write(stats, &s, ran ? end_name(r.end) : "error")) {
            complain("%s: %s", o->stats, strerror(errno));
            status = EXIT_HOST_FAILED;
        }
    }
    return status;
}

int run_machine(const struct run_options *o)
{
    struct signals signals;
    struct trine_error e;
    struct trine_vm *vm;
    FILE *stats = NULL;
    if (o->stats && !(stats = fopen(o->stats, "we"))) {
        complain("%s: %s", o->stats, strerror(errno));
        return EXIT_HOST_FAILED;
    }
    int status = EXIT_HOST_FAILED;
    if (signals_start(&signals, o->config.confine)) {
        if (trine_create(&o->config, &vm, &e) == TRINE_OK) {
            status = run_vm(vm, o, stats, &signals);
            trine_destroy(vm);
        } else {
            complain("%s", e.text);
            status = (int)e.status;
        }
    }
    if (stats)
        fclose(stats);
    return status;
}

static int run_run(int argc, char **argv)
{
    struct run_options o;
    return options_parse(&o, argc, argv) ? run_machine(&o) : EXIT_WRONG_USAGE;
}

static void run_help(void)
{
    printf("Usage: trine run [OPTION]... --kernel FILE\n\n"
           "Starts a virtual machine. An option's value follows it or stands behind a `=`.\n\n");
    options_help();
    printf("\nExit status: 0 the guest powered off; 1 it reset or triple-faulted; 2 wrong usage; 3 the host "
           "failed (file,\n"
           "memory, permission); 4 the engine cannot run here; 124 --max-time is over; 128 + N ended by "
           "signal N;\n"
           "with --debug-exit what the guest chose.\n");
}

const struct verb verb_run = {"run", "starts a virtual machine", run_run, run_help};
