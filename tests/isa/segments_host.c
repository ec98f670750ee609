/* Segment checks against the host's silicon, as far as CPL 3 reaches: descriptors of every kind that Linux
 * lets a process put into its LDT, then LAR, LSL, VERR, VERW, MOV to a segment register, far JMP and RET, and
 * IRETQ (which checks SS at the same level too) natively and through cpu/: results, vectors and error codes
 * compared. Skipped where modify_ldt is refused. */
#include <asm/ldt.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "../unit/cpu_rig.h"

#define ENTRIES  40
#define NO_FAULT (-1)

static struct {
    sigjmp_buf back;
    volatile sig_atomic_t vector;
    volatile long error;
    volatile u64 rsp;
    u64 low_top; /* of a stack below 4 GiB */
    struct user_desc ldt[ENTRIES];
} host;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    const ucontext_t *u = context;
    (void)sig, (void)info;
    host.vector = (sig_atomic_t)u->uc_mcontext.gregs[REG_TRAPNO];
    host.error = (long)u->uc_mcontext.gregs[REG_ERR];
    host.rsp = (u64)u->uc_mcontext.gregs[REG_RSP];
    siglongjmp(host.back, 1);
}

static bool signals_take(void)
{
    static _Alignas(16) char stack[65536];
    stack_t alt = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    return !sigaltstack(&alt, NULL) && !sigaction(SIGSEGV, &a, NULL) && !sigaction(SIGBUS, &a, NULL) &&
           !sigaction(SIGILL, &a, NULL);
}

/* Natively: host.vector and host.error tell what came of it. */
#define ON_SILICON(...)                                                                                      \
    do {                                                                                                     \
        host.vector = NO_FAULT;                                                                              \
        host.error = 0;                                                                                      \
        if (!sigsetjmp(host.back, 1))                                                                        \
            __asm__ volatile(__VA_ARGS__);                                                                   \
    } while (0)

static void compare(struct rig *r, bool done, const char *what, unsigned entry, u16 sel)
{
    int vector = done ? NO_FAULT : r->c->fault.vector;
    u32 error = done ? 0 : r->c->fault.error;
    if (vector == host.vector && error == (u32)host.error)
        return;
    check_failures++;
    fprintf(stderr,
            "%s, selector %#x (entry %u: contents %u, read-only %u, absent %u, pages %u): %d(%#x), silicon "
            "%d(%#lx)\n",
            what, sel, entry, host.ldt[entry].contents, host.ldt[entry].read_exec_only,
            host.ldt[entry].seg_not_present, host.ldt[entry].limit_in_pages, vector, error, host.vector,
            host.error);
}

/* The descriptor that Linux makes of it. */
static u64 descriptor_of(const struct user_desc *d)
{
    unsigned type = (unsigned)(d->read_exec_only ^ 1) << 1 | (unsigned)d->contents << 2 | 1;
    unsigned attr = type | SEG_S | SEG_DPL | (d->seg_not_present ? 0u : SEG_P) | (d->useable ? SEG_AVL : 0u) |
                    (d->seg_32bit ? SEG_DB : 0u) | (d->limit_in_pages ? SEG_G : 0u);
    return rig_desc(d->base_addr, d->limit, (u16)attr);
}

/* Fills the process's LDT and the rig's alike; entries that Linux refuses stay empty in both. */
static unsigned tables_fill(struct rig *r)
{
    unsigned filled = 0;
    for (unsigned k = 0; k < ENTRIES; k++) {
        struct user_desc d = {
            .entry_number = k,
            .base_addr = 0x1230000 * (k & 1),
            .limit = k * 0x6789 & 0xfffff,
            .seg_32bit = 1,
            .contents = k & 3,
            .read_exec_only = k >> 2 & 1,
            .limit_in_pages = k >> 3 & 1,
            .seg_not_present = k >> 4 & 1,
            .useable = k >> 1 & 1,
        };
        if (k >= 32)
            d.limit = 0xfffff, d.limit_in_pages = 1, d.seg_not_present = k & 1, d.contents = k >> 1 & 3;
        host.ldt[k] = d;
        bool ok = !syscall(SYS_modify_ldt, 0x11, &d, sizeof d);
        rig_put(r, RIG_LDT + 8 * k, ok ? descriptor_of(&d) : 0, 8);
        filled += ok;
    }
    r->c->seg[SEG_LDTR] =
        (struct seg){.sel = GDT_LDT, .attr = 0x82, .base = RIG_LDT, .limit = 8 * ENTRIES - 1};
    return filled;
}

static void queries(struct rig *r, unsigned entry, u16 sel)
{
    u32 rights = 0, limit = 0, host_rights = 0;
    u64 host_limit = 0;
    bool ok[4] = {false}, host_ok[4];
    CHECK(op_lar(r->c, sel, &rights, &ok[0]) && op_lsl(r->c, sel, &limit, &ok[1]) &&
          op_verify(r->c, sel, false, &ok[2]) && op_verify(r->c, sel, true, &ok[3]));
    __asm__("lar %2, %0" : "+r"(host_rights), "=@ccz"(host_ok[0]) : "r"((u32)sel));
    __asm__("lsl %2, %0" : "+r"(host_limit), "=@ccz"(host_ok[1]) : "r"((u64)sel));
    __asm__("verr %w1" : "=@ccz"(host_ok[2]) : "r"(sel));
    __asm__("verw %w1" : "=@ccz"(host_ok[3]) : "r"(sel));
    for (unsigned k = 0; k < 4; k++)
        CHECK_EQ(ok[k], host_ok[k]);
    if (ok[0] && host_ok[0])
        CHECK_EQ(rights, host_rights);
    if (ok[1] && host_ok[1])
        CHECK_EQ(limit, host_limit);
    (void)entry;
}

static void loads(struct rig *r, unsigned entry, u16 sel)
{
    bool done = seg_load(r->c, SEG_DS, sel);
    ON_SILICON("mov %0, %%ds; mov %1, %%ds" ::"r"((u32)sel), "r"(0));
    compare(r, done, "MOV DS", entry, sel);
    rig_enter(r, 3);
    done = seg_load(r->c, SEG_SS, sel);
    ON_SILICON("mov %%ss, %%eax; mov %0, %%ss; mov %%eax, %%ss" ::"r"((u32)sel) : "rax");
    compare(r, done, "MOV SS", entry, sel);
    rig_enter(r, 3);
}

/* Not canonical; as a 32-bit offset, the last byte below 4 GiB. Natively nothing is mapped there: the page
 * fault of the fetch shows that the transfer was made. */
#define NOWHERE 0x8000ffffffffull

/* RSP has a value in its upper half that compatibility mode drops. */
#define RSP_UPPER (0x7e00ull << 32)

static void compare_transfer(struct rig *r, bool done, const char *what, unsigned entry, u16 sel,
                             bool same_stack)
{
    if (host.vector == VEC_PF && host.error == 0x14) {
        CHECK_EQ(r->c->rip, 0xffffffff);
        if (same_stack)
            CHECK_EQ(r->c->gpr[RSP].q - RIG_STACK3, host.rsp - host.low_top);
        host.vector = NO_FAULT;
        host.error = 0;
    }
    compare(r, done, what, entry, sel);
    rig_enter(r, 3);
}

static void transfers(struct rig *r, unsigned entry, u16 sel)
{
    struct cpu *c = r->c;
    struct {
        u32 off;
        u16 sel;
    } __attribute__((packed)) far = {(u32)NOWHERE, sel}; /* AMD has no 64-bit offsets here */
    c->gpr[RSP].q |= RSP_UPPER;
    bool done = op_jmp_far(c, sel, (u32)NOWHERE, 4, RIG_CODE);
    ON_SILICON("mov %1, %%rsp; ljmp *(%0)" ::"r"(&far), "r"(host.low_top | RSP_UPPER), "m"(far));
    compare_transfer(r, done, "JMP", entry, sel, true);

    c->gpr[RSP].q |= RSP_UPPER;
    done = op_call_far(c, sel, (u32)NOWHERE, 4, RIG_CODE);
    ON_SILICON("mov %1, %%rsp; lcall *(%0)" ::"r"(&far), "r"(host.low_top | RSP_UPPER), "m"(far)
               : "memory");
    compare_transfer(r, done, "CALL", entry, sel, true);

    /* Intel drops the upper half on the way to 32-bit code; AMD holds all of it against the limit. */
    u64 away = __builtin_cpu_is("amd") ? (u32)NOWHERE : NOWHERE;
    u64 top = RIG_STACK3 - 40, ret[] = {away, sel};
    memcpy(r->m.base + top, ret, sizeof ret);
    c->gpr[RSP].q = top;
    done = op_ret_far(c, 8, 0);
    ON_SILICON("push %0; push %1; lretq" ::"r"((u64)sel), "r"(away) : "memory");
    compare_transfer(r, done, "RETF", entry, sel, false);

    u64 f[] = {away, sel, 2, RIG_STACK3, GDT_DATA3 | 3};
    memcpy(r->m.base + top, f, sizeof f);
    c->gpr[RSP].q = top;
    done = op_iret(c, 8, RIG_CODE);
    ON_SILICON(
        "mov %%ss, %%edx; mov %%rsp, %%rax; push %%rdx; push %%rax; pushfq; push %0; push %1; iretq" ::"r"(
            (u64)sel),
        "r"(away)
        : "rax", "rdx", "memory");
    compare_transfer(r, done, "IRETQ, CS", entry, sel, false);
}

/* IRETQ to 64-bit code with SEL as SS: to the next instruction, or to nowhere. */
static void iretq(struct rig *r, unsigned entry, u16 sel, bool nowhere)
{
    struct cpu *c = r->c;
    u64 top = RIG_STACK3 - 40, f[] = {nowhere ? NOWHERE : RIG_CODE, GDT_CODE3_64 | 3, 2, RIG_STACK3, sel};
    u16 cs;
    __asm__("mov %%cs, %0" : "=r"(cs));
    memcpy(r->m.base + top, f, sizeof f);
    c->gpr[RSP].q = top;
    bool done = op_iret(c, 8, RIG_CODE);
    ON_SILICON("mov %%ss, %%edx; mov %%rsp, %%rax; sub $128, %%rsp; push %q0; push %%rax; pushfq; push %q1; "
               "lea 1f(%%rip), %%rcx;"
               "test %2, %2; cmovnz %2, %%rcx; push %%rcx; iretq; 1: mov %%edx, %%ss" ::"r"((u64)sel),
               "r"((u64)cs), "r"(nowhere ? NOWHERE : 0ull)
               : "rax", "rcx", "rdx", "memory", "cc");
    compare(r, done, nowhere ? "IRETQ to nowhere" : "IRETQ", entry, sel);
    rig_enter(r, 3);
}

static void selector(struct rig *r, unsigned entry, u16 sel)
{
    queries(r, entry, sel);
    loads(r, entry, sel);
    transfers(r, entry, sel);
    iretq(r, entry, sel, false);
    if (!__builtin_cpu_is("amd")) /* which looks at RIP before SS; Trine follows Intel's order */
        iretq(r, entry, sel, true);
}

int main(void)
{
    struct rig r;
    if (!rig_create(&r))
        return 1;
    rig_reset(&r, true, 3);
    void *low = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    host.low_top = (u64)(uintptr_t)low + PAGE_SIZE;
    if (low == MAP_FAILED || !signals_take() || !tables_fill(&r)) {
        puts("this kernel lets no process have an LDT");
        rig_destroy(&r);
        return 77;
    }
    for (unsigned k = 0; k < ENTRIES; k++)
        for (unsigned rpl = 0; rpl <= 3; rpl += 3)
            selector(&r, k, (u16)(8 * k | 4 | rpl));
    selector(&r, 0, 0);
    selector(&r, 0, 3);
    selector(&r, 0, 0xfff7);
    munmap(low, PAGE_SIZE);
    rig_destroy(&r);
    return check_done();
}
