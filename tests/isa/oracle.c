/* The oracle: user instructions on the host's CPU and on the interpreter, from the same state, and the whole of it compared: registers, flags, x87,
 * vectors, memory, the exception with its error code and address. docs/oracle.md.
 *
 *     oracle [--seed S] [--state FILE] [--cpu SECONDS] [--show N] [--op NAME] [COUNT [FILE]]   first the saved cases of FILE, then COUNT new ones (default 1,000,000)
 *     oracle --case 'CASE'                                              one case, as a mismatch prints it
 *     oracle --op NAME ...                                              cases of one operation alone
 *     oracle --time                                                     the rate alone: fails below 50,000 cases in a second of one core
 *
 * Cases run in a child process that can compute and print, and nothing else; if one kills it, that is told as a difference, and another child goes on
 * behind it. With --state, progress is kept in FILE at every million, and the same command goes on from there. Exit status: 0 all the same; 1
 * differences; 2 wrong usage; 77 this host cannot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "oracle_case.h"

#define COUNT        1000000ull
#define CHUNK        1000000ull
#define SHOWN_PER_OP 2u
#define DEATHS_MAX   20

/* Shared with the child, which fills it. */
struct tally {
    u64 next; /* the case that runs now; after a chunk: the first one not run */
    u64 cases, faults, differences, undefined;
    u64 cpu_ns;
    u32 per_op[OP_COUNT], shown[OP_COUNT];
};

struct options {
    u64 seed, count;
    u64 cpu_ns; /* stop when as much was used */
    const char *state, *saved, *one, *op;
    u64 show; /* differences told per operation */
    bool rate;
};

static void run_case(struct rig *k, struct tally *n, const struct icase *t, u64 show)
{
    struct world host, guest;
    unsigned op = t->i.op;
    if (k->missing[op])
        return;
    enum outcome r = case_try(k, t, &guest, &host);
    n->cases++;
    n->per_op[op]++;
    n->faults += host.vector >= 0;
    n->undefined += r == UNDEFINED_FLAGS;
    n->differences += r == DIFFERENT;
    if (r == SAME)
        return;
    if (n->shown[op] < show) {
        case_report(k, t, &guest, &host);
        fflush(stdout);
    }
    n->shown[op]++;
}

/* The cases of past failures, one a line; `#` starts a comment. */
static bool replay(struct rig *k, struct tally *n, const char *path)
{
    char line[1024];
    struct icase t;
    bool ok = true;
    FILE *f = fopen(path, "re");
    if (!f) {
        perror(path);
        return false;
    }
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (case_parse(line, &t)) {
            run_case(k, n, &t, UINT32_MAX);
        } else {
            printf("%s: not a case: %s", path, line);
            ok = false;
        }
    }
    fclose(f);
    return ok;
}

static u64 cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

static u64 case_seed(u64 seed, u64 n)
{
    u64 s = seed * 0xd1342543de82ef95 + n;
    return gen_next(&s);
}

static _Noreturn void child(struct rig *k, struct tally *n, const struct options *o, u64 to)
{
    struct icase t;
    if (!host_seal())
        _exit(77);
    u64 start = cpu_now(), used = n->cpu_ns;
    while (n->next < to) {
        gen_case(&k->gen, case_seed(o->seed, n->next), &t);
        run_case(k, n, &t, o->show);
        n->next++;
        if (!(n->next % 1024)) {
            n->cpu_ns = used + cpu_now() - start;
            if (o->cpu_ns && n->cpu_ns > o->cpu_ns)
                break;
        }
    }
    n->cpu_ns = used + cpu_now() - start;
    fflush(stdout);
    _exit(0);
}

/* False: the host cannot, or too many children died. */
static bool run_chunk(struct rig *k, struct tally *n, const struct options *o, u64 to)
{
    struct icase t;
    for (unsigned deaths = 0; n->next < to && deaths < DEATHS_MAX;) {
        int status = 0;
        fflush(stdout);
        pid_t pid = fork();
        if (pid < 0)
            return false;
        if (!pid)
            child(k, n, o, to);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            return true;
        if (WIFEXITED(status))
            return false;
        gen_case(&k->gen, case_seed(o->seed, n->next), &t);
        printf("%s: killed the child by signal %d: case ", op_name((enum op)t.i.op), WTERMSIG(status));
        case_print(stdout, &t);
        n->differences++;
        n->next++;
        deaths++;
    }
    return n->next >= to;
}

static bool state_read(const struct options *o, struct tally *n)
{
    unsigned long long v[6];
    FILE *f = o->state ? fopen(o->state, "re") : NULL;
    if (!f)
        return true;
    bool ok = fscanf(f, "seed %llu next %llu cases %llu faults %llu differences %llu undefined %llu", &v[0], &v[1], &v[2], &v[3],
                     &v[4], &v[5]) == 6;
    fclose(f);
    if (!ok || v[0] != o->seed) {
        fprintf(stderr, "%s: not the state of a run of seed %llu\n", o->state, (unsigned long long)o->seed);
        return false;
    }
    n->next = v[1];
    n->cases = v[2];
    n->faults = v[3];
    n->differences = v[4];
    n->undefined = v[5];
    return true;
}

static bool state_write(const struct options *o, const struct tally *n)
{
    char name[4096];
    if (!o->state)
        return true;
    snprintf(name, sizeof name, "%s.new", o->state);
    FILE *f = fopen(name, "we");
    if (!f)
        return false;
    fprintf(f, "seed %llu next %llu cases %llu faults %llu differences %llu undefined %llu\n", (unsigned long long)o->seed,
            (unsigned long long)n->next, (unsigned long long)n->cases, (unsigned long long)n->faults,
            (unsigned long long)n->differences, (unsigned long long)n->undefined);
    return fclose(f) == 0 && rename(name, o->state) == 0;
}

/* Operations that no bytes mean, the way the decoder is set. */
static bool has_no_encoding(unsigned op)
{
    return op == OP_ENDBR32 || op == OP_ENDBR64; /* NOPs without CET */
}

/* What has no cases by intent, a line for each reason. */
static void summarize_left_out(void)
{
    for (unsigned op = 1; op < OP_COUNT; op++) {
        const char *why = gen_left_out(op);
        bool told = !why;
        for (unsigned k = 1; k < op && !told; k++)
            told = gen_left_out(k) == why;
        if (told)
            continue;
        printf("left out (%s):", why);
        for (unsigned k = op; k < OP_COUNT; k++)
            if (gen_left_out(k) == why)
                printf(" %s", op_name((enum op)k));
        printf("\n");
    }
}

static unsigned summarize(const struct rig *k, const struct tally *n, bool all)
{
    unsigned unmet = 0;
    for (unsigned op = 1; op < OP_COUNT; op++) {
        if (!gen_wants(op))
            continue;
        if (k->missing[op])
            printf("skipped: %s: the host, or the guest's model, does not have it\n", op_name((enum op)op));
        else if (all && !n->per_op[op] && !has_no_encoding(op))
            printf("%s: no case\n", op_name((enum op)op)), unmet++;
        if (n->shown[op] > SHOWN_PER_OP)
            printf("%s: %u differences in %u cases\n", op_name((enum op)op), n->shown[op], n->per_op[op]);
    }
    printf("%llu cases, %llu of them faults, %llu differences, %llu in undefined flags alone, %u operations without a case; %llu cases "
           "per second of one core\n",
           (unsigned long long)n->cases, (unsigned long long)n->faults, (unsigned long long)n->differences,
           (unsigned long long)n->undefined, unmet,
           (unsigned long long)(n->cpu_ns ? n->cases * 1000000000ull / n->cpu_ns : 0));
    return unmet;
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    unsigned places = 0;
    *o = (struct options){.seed = 1, .count = COUNT, .show = SHOWN_PER_OP};
    for (int k = 1; k < argc; k++) {
        const char *a = argv[k];
        bool more = k + 1 < argc;
        if (!strcmp(a, "--time"))
            o->rate = true;
        else if (!strcmp(a, "--seed") && more)
            o->seed = strtoull(argv[++k], NULL, 0);
        else if (!strcmp(a, "--show") && more)
            o->show = strtoull(argv[++k], NULL, 0);
        else if (!strcmp(a, "--state") && more)
            o->state = argv[++k];
        else if (!strcmp(a, "--cpu") && more)
            o->cpu_ns = strtoull(argv[++k], NULL, 0) * 1000000000;
        else if (!strcmp(a, "--op") && more)
            o->op = argv[++k];
        else if (!strcmp(a, "--case") && more)
            o->one = argv[++k];
        else if (a[0] == '-' || places == 2)
            return false;
        else if (places++ == 0)
            o->count = strtoull(a, NULL, 0);
        else
            o->saved = a;
    }
    return true;
}

static int run_one(struct rig *k, struct tally *n, const char *text)
{
    struct icase t;
    if (!case_parse(text, &t)) {
        fprintf(stderr, "not a case\n");
        return 2;
    }
    run_case(k, n, &t, UINT32_MAX);
    summarize(k, n, false);
    return n->differences || n->undefined;
}

static bool only(struct rig *k, const char *name)
{
    unsigned op = 0;
    for (unsigned n = 1; n < OP_COUNT; n++)
        if (!strcmp(op_name((enum op)n), name))
            op = n;
    return gen_wants(op) && !k->missing[op] && gen_only(&k->gen, op);
}

int main(int argc, char **argv)
{
    static struct rig k;
    struct options o;
    const char *why;
    struct tally *n = mmap(NULL, sizeof *n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!parse_options(argc, argv, &o)) {
        fprintf(stderr, "usage: oracle [--seed S] [--state FILE] [--cpu SECONDS] [--show N] [--op NAME] [COUNT [FILE]] | --case 'CASE'\n");
        return 2;
    }
    if (!host_init(&why)) {
        printf("%s\n", why);
        return 77;
    }
    if (n == MAP_FAILED || !rig_init(&k)) {
        fprintf(stderr, "no memory for the guest\n");
        return 1;
    }
    if (o.op && !only(&k, o.op)) {
        fprintf(stderr, "%s: no cases of it are made here\n", o.op);
        return 2;
    }
    if (o.one)
        return run_one(&k, n, o.one);
    if (!state_read(&o, n))
        return 2;
    bool ok = !o.saved || replay(&k, n, o.saved);
    while (ok && n->next < o.count && (!o.cpu_ns || n->cpu_ns < o.cpu_ns)) {
        u64 to = n->next + CHUNK < o.count ? n->next + CHUNK : o.count;
        ok = run_chunk(&k, n, &o, to) && state_write(&o, n);
    }
    summarize_left_out();
    unsigned unmet = summarize(&k, n, o.count >= COUNT && !o.cpu_ns && !o.state);
    if (o.rate && n->cases * 1000000000ull / (n->cpu_ns | 1) < 50000)
        ok = false;
    return !ok || unmet || n->differences || n->undefined;
}
