/* Filters out of the table of confine_rules.c, by libseccomp, and putting them on. */
#include "host/confine.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <linux/filter.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "host/confine_rules.h"

struct confine {
    struct sock_fprog filters[CONFINE_KINDS]; /* null: not made */
};

/* --- making them */

static int add_rule(scmp_filter_ctx f, const struct confine_rule *r)
{
    struct scmp_arg_cmp conditions[CONFINE_ARGS + 1];
    unsigned n = 0;
    for (; n < r->conditions; n++)
        conditions[n] = r->condition[n];
    if (r->own_pid)
        conditions[n++] = (struct scmp_arg_cmp){r->own_pid - 1, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0};
    return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, r->call, n, conditions);
}

static int add_rules(scmp_filter_ctx f, enum confine_kind kind, unsigned may)
{
    int error = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    for (unsigned i = 0; i < confine_rules_n && !error; i++) {
        const struct confine_rule *r = &confine_rules[i];
        if (!(r->kinds >> kind & 1) || (r->may && !(r->may & may)))
            continue;
        error = add_rule(f, r);
        if (error == -EDOM || error == -EINVAL)
            error = r->call < 0 ? 0 : error; /* this architecture has no such call */
    }
    /* Its flags are in memory, where no filter sees them: glibc goes on by clone, whose flags it sees. */
    return error || !(may & CONFINE_THREADS) ? error : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

/* The program that the kernel takes, out of F. */
static enum status export(scmp_filter_ctx f, struct sock_fprog *p, struct error *e)
{
    int fd = memfd_create("trine-filter", MFD_CLOEXEC), error = fd < 0 ? -errno : seccomp_export_bpf(f, fd);
    off_t size = error ? 0 : lseek(fd, 0, SEEK_END);
    size_t n = (size_t)size / sizeof *p->filter;
    p->filter = n && n <= BPF_MAXINSNS ? malloc((size_t)size) : NULL;
    p->len = (unsigned short)n;
    if (p->filter && pread(fd, p->filter, (size_t)size, 0) != size)
        error = -EIO;
    if (fd >= 0)
        close(fd);
    errno = error ? -error : ENOMEM;
    return error || !p->filter ? error_errno(e, "sandbox: making a filter") : STATUS_OK;
}

static enum status make(struct sock_fprog *p, enum confine_kind kind, unsigned may, struct error *e)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_TRAP);
    if (!f)
        return error_set(e, STATUS_HOST, "sandbox: out of memory");
    int error = add_rules(f, kind, may);
    errno = -error;
    enum status s = error ? error_errno(e, "sandbox: making a filter") : export(f, p, e);
    seccomp_release(f);
    return s;
}

enum status confine_create(struct confine **out, unsigned kinds, unsigned may, struct error *e)
{
    struct confine *c = calloc(1, sizeof *c);
    if (!c)
        return error_set(e, STATUS_HOST, "sandbox: out of memory");
    for (unsigned kind = 0; kind < CONFINE_KINDS; kind++)
        if (kinds >> kind & 1 && make(&c->filters[kind], kind, may, e) != STATUS_OK) {
            confine_destroy(c);
            return e->status;
        }
    *out = c;
    return STATUS_OK;
}

void confine_destroy(struct confine *c)
{
    for (unsigned kind = 0; c && kind < CONFINE_KINDS; kind++)
        free(c->filters[kind].filter);
    free(c);
}

/* --- putting them on */

enum status confine_thread(const struct confine *c, enum confine_kind kind, struct error *e)
{
    if (!c)
        return STATUS_OK;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && c->filters[kind].filter &&
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &c->filters[kind]) == 0)
        return STATUS_OK;
    return error_errno(e, "sandbox: this kernel takes no filter (--sandbox off goes without)");
}
