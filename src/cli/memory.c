/* trine memory: the VMs of a group, once or over time, as a table or a picture; and the group's broker, which trine run starts. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/memory_svg.h"
#include "cli/values.h"
#include "trine.h"

struct memory_options {
    const char *group, *svg;
    double seconds; /* of the picture */
};

#define MEMBERS    129 /* and the pool */
#define MIB(bytes) ((bytes) >> 20)

static void print_row(const char *name, const struct trine_member *m)
{
    printf("%8s %8" PRIu64 " %9" PRIu64 " %8" PRIu64 " %10" PRIu64 " %7" PRIu64 " %8" PRIu64 " ", name, MIB(m->guest), MIB(m->resident), MIB(m->shared),
           MIB(m->ballooned), MIB(m->paged), MIB(m->working));
    if (m->target)
        printf("%7" PRIu64 "\n", MIB(m->target));
    else
        printf("%7s\n", "-");
}

static struct trine_member sum_of(const struct trine_member *list, unsigned n)
{
    struct trine_member sum = {0};
    for (unsigned i = 0; i < n; i++) {
        sum.guest += list[i].guest, sum.resident += list[i].resident, sum.shared += list[i].pid ? list[i].shared : 0, sum.ballooned += list[i].ballooned;
        sum.paged += list[i].paged, sum.working += list[i].working, sum.target += list[i].target;
    }
    return sum;
}

static void print_table(const struct trine_member *list, unsigned n)
{
    struct trine_member sum = sum_of(list, n);
    printf("%8s %8s %9s %8s %10s %7s %8s %7s\n", "PID", "SIZE", "RESIDENT", "SHARED", "BALLOONED", "PAGED", "WORKING", "TARGET");
    for (unsigned i = 0; i < n; i++) {
        char pid[16];
        snprintf(pid, sizeof pid, list[i].pid ? "%u" : "pool", list[i].pid);
        print_row(pid, &list[i]);
    }
    print_row("all", &sum);
}

static struct picture_look sum_up(const struct trine_member *list, unsigned n)
{
    struct trine_member sum = sum_of(list, n);
    return (struct picture_look){.members = n ? n - 1 : 0,
                                 .value = {
                                     [LINE_GUEST] = (double)sum.guest,
                                     [LINE_RESIDENT] = (double)sum.resident,
                                     [LINE_SHARED] = (double)sum.shared,
                                     [LINE_BALLOONED] = (double)sum.ballooned,
                                     [LINE_PAGED] = (double)sum.paged,
                                     [LINE_WORKING] = (double)sum.working,
                                 }};
}

/* One look after another, a second apart, until the time is over or the group is. */
static int draw(const struct memory_options *o)
{
    struct trine_member list[MEMBERS];
    struct trine_error e;
    unsigned n, looks = 0, most = (unsigned)o->seconds + 1;
    if (trine_group(o->group, list, MEMBERS, &n, &e) != TRINE_OK) { /* before there is a file */
        complain("%s", e.text);
        return (int)e.status;
    }
    struct picture_look *all = calloc(most, sizeof *all);
    FILE *f = fopen(o->svg, "we");
    if (!f || !all) {
        complain("%s: %s", o->svg, strerror(errno));
        free(all);
        return EXIT_HOST_FAILED;
    }
    while (looks < most && trine_group(o->group, list, MEMBERS, &n, &e) == TRINE_OK) {
        all[looks++] = sum_up(list, n);
        if (looks < most)
            nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
    int status = EXIT_HOST_FAILED;
    if (!looks)
        complain("%s", e.text);
    else if (!memory_svg(f, all, looks, o->group))
        complain("%s: %s", o->svg, strerror(errno));
    else
        status = EXIT_OK;
    fclose(f);
    free(all);
    return status;
}

static bool take_option(struct memory_options *o, const char *name, const char *value)
{
    if (!value) {
        complain("%s: needs a value: see trine memory --help", name);
        return false;
    }
    if (!strcmp(name, "--group")) {
        o->group = value;
    } else if (!strcmp(name, "--svg")) {
        o->svg = value;
    } else if (!strcmp(name, "--seconds")) {
        if (!value_seconds(value, &o->seconds) || o->seconds > PICTURE_LOOKS) {
            complain("--seconds %s: not a number of seconds up to %d", value, PICTURE_LOOKS);
            return false;
        }
    } else {
        complain("%s: unknown option: see trine memory --help", name);
        return false;
    }
    return true;
}

static int memory_run(int argc, char **argv)
{
    struct memory_options o = {.seconds = 60};
    struct trine_member list[MEMBERS];
    struct trine_error e;
    unsigned n;
    for (int i = 0; i < argc; i += 2)
        if (!take_option(&o, argv[i], i + 1 < argc ? argv[i + 1] : NULL))
            return EXIT_WRONG_USAGE;
    if (!o.group) {
        complain("memory: no --group: see trine memory --help");
        return EXIT_WRONG_USAGE;
    }
    if (o.svg)
        return draw(&o);
    if (trine_group(o.group, list, MEMBERS, &n, &e) != TRINE_OK) {
        complain("%s", e.text);
        return (int)e.status;
    }
    print_table(list, n);
    return finish_output();
}

static void memory_help(void)
{
    printf("Usage: trine memory --group GROUP [--svg FILE [--seconds N]]\n\n"
           "Prints the VMs that run with --share GROUP, in MiB: the guest's size; what of it the host holds for\n"
           "this VM alone; what it shares; what its balloon has; what is paged out; what the guest uses; and what\n"
           "the group wants it to get along with (-: no wish). The pool's row: the host's frames that are shared,\n"
           "and the pages that show them.\n\n"
           "  --svg FILE    look every second, and draw that\n"
           "  --seconds N   for so long; default 60, at most 3600\n");
}

const struct verb verb_memory = {"memory", "shows what the VMs of a group hold of the host's memory", memory_run, memory_help};

/* The listening socket is descriptor 3, its file the argument: share/group.c. */
static int broker_run_verb(int argc, char **argv)
{
    if (argc != 1) {
        complain("memory-broker: is started by trine run --share");
        return EXIT_WRONG_USAGE;
    }
    return trine_memory_broker(3, argv[0]) == TRINE_OK ? EXIT_OK : EXIT_HOST_FAILED;
}

static void broker_help(void)
{
    printf("Usage: trine memory-broker SOCKET\n\n"
           "Holds the pages that the VMs of a group share. trine run --share starts it when it is needed, with the\n"
           "socket on descriptor 3; it ends when the last of them has left.\n");
}

const struct verb verb_memory_broker = {"memory-broker", "holds the pages of a group; started by run --share", broker_run_verb, broker_help};
