/* The code runs in a forked process: a seccomp filter lets nothing through but the return from a signal and
 * the exit, everything else is SIGSYS; a timer ends it after a second. A first signal brings it in: the
 * handler rewrites the frame that sigreturn restores (selectors of 64- and 32-bit code are Linux's own,
 * 16-bit segments come from an LDT). The second signal is the outcome. The handlers use neither libc nor
 * thread-local storage: FS, GS and the data segments may be anything by then. */
#include "audit/bare.h"

#include <asm/ldt.h>
#include <cpuid.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/bits.h"

#define NAKED_HANDLER __attribute__((no_stack_protector, no_sanitize("address", "undefined")))
#define PAGE          4096u
#define POINTER       0x40u /* far pointer in the scratch page */
#define STACK_TOP     0x800u
#define USER_CS       0x33u
#define USER32_CS     0x23u
#define USER_DS       0x2bu
#define LDT_CODE      0x07u
#define LDT_DATA      0x0fu
#define LDT_STACK     0x17u

/* Shared with the parent. */
struct outcome {
    u32 arrived; /* 0: nothing yet; 1: the code was entered; 2: it came back */
    int signal;
    u64 start, vector, ip, ax, cs, es, flags;
    u8 scratch[16];
};

/* Of the child alone: what its handler must find without thread-local storage. */
static struct {
    const struct audit_row *row;
    struct outcome *out;
    u8 *area;  /* three pages: code, scratch, stack; below 4 GiB */
    u64 start; /* of the code, as its segment counts */
    u32 cs, ds, ss;
} child;

static NAKED_HANDLER void leave(void)
{
    __asm__ volatile("syscall" : : "a"(SYS_exit_group), "D"(0) : "rcx", "r11", "memory");
    __builtin_unreachable();
}

static NAKED_HANDLER void enter_code(greg_t *g)
{
    const struct audit_row *r = child.row;
    u64 base = r->mode == 16 ? 0 : (u64)(uintptr_t)child.area;
    g[REG_RAX] = (greg_t)r->ax;
    g[REG_RCX] = (greg_t)r->cx;
    g[REG_RDX] = (greg_t)r->dx;
    g[REG_RBX] = (greg_t)(r->mode == 16 ? 0 : base + PAGE);
    g[REG_RBP] = (greg_t)(child.start + r->after);
    g[REG_RSI] = child.cs;
    g[REG_RDI] = child.ss;
    g[REG_RSP] = (greg_t)(r->mode == 16 ? STACK_TOP : base + 2 * PAGE + STACK_TOP);
    g[REG_RIP] = (greg_t)child.start;
    g[REG_CSGSFS] = (greg_t)((g[REG_CSGSFS] & 0xffffffff0000) | child.cs | (u64)child.ss << 48);
    __asm__ volatile("mov %0, %%ds\n mov %0, %%es" : : "r"(child.ds));
}

static NAKED_HANDLER void on_signal(int number, siginfo_t *info, void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct outcome *o = child.out;
    (void)info;
    if (o->arrived++ == 0) {
        enter_code(g);
        return;
    }
    u32 es;
    __asm__ volatile("mov %%es, %0" : "=r"(es));
    o->signal = number;
    o->start = child.start;
    o->vector = (u64)g[REG_TRAPNO];
    o->ip = (u64)g[REG_RIP];
    o->ax = (u64)g[REG_RAX];
    o->cs = (u64)g[REG_CSGSFS] & 0xffff;
    o->es = es & 0xffff;
    o->flags = (u64)g[REG_EFL];
    for (u32 i = 0; i < sizeof o->scratch; i++)
        o->scratch[i] = child.area[PAGE + i];
    leave();
}

static bool filter_calls(void)
{
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog p = {.len = ARRAY_LEN(f), .filter = f};
    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p);
}

static bool set_segment(u32 entry, void *base, bool code)
{
    struct user_desc d = {.entry_number = entry,
                          .base_addr = (u32)(uintptr_t)base,
                          .limit = PAGE - 1,
                          .contents = code ? MODIFY_LDT_CONTENTS_CODE : MODIFY_LDT_CONTENTS_DATA,
                          .useable = 1};
    return syscall(SYS_modify_ldt, 1, &d, sizeof d) == 0;
}

/* Code, scratch and stack; the segments that lead to them. */
static bool lay_out(void)
{
    const struct audit_row *r = child.row;
    u8 *a = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (a == MAP_FAILED)
        return false;
    child.area = a;
    memset(a, 0xcc, PAGE);
    memcpy(a, r->code, r->code_n);
    child.start = r->mode == 16 ? 0 : (u64)(uintptr_t)a;
    child.cs = r->mode == 64 ? USER_CS : r->mode == 32 ? USER32_CS : LDT_CODE;
    child.ds = r->mode == 16 ? LDT_DATA : USER_DS;
    child.ss = r->mode == 16 ? LDT_STACK : USER_DS;
    if (r->mode == 16 &&
        !(set_segment(0, a, true) && set_segment(1, a + PAGE, false) && set_segment(2, a + 2 * PAGE, false)))
        return false;
    u64 after = child.start + r->after;
    memcpy(a + PAGE + POINTER, &after, 4);
    memcpy(a + PAGE + POINTER + (r->mode == 16 ? 2 : 4), &child.cs, 2);
    return mprotect(a, PAGE, PROT_READ | PROT_EXEC) == 0;
}

static bool confine(void)
{
    static u8 stack[64 * 1024];
    static const int caught[] = {SIGSEGV, SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSYS};
    stack_t s = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    struct itimerval second = {.it_value = {.tv_sec = 1}};
    struct rlimit none = {0, 0};
    sigset_t nothing;
    sigemptyset(&nothing);
    if (sigaltstack(&s, NULL) || setrlimit(RLIMIT_CORE, &none) || sigprocmask(SIG_SETMASK, &nothing, NULL))
        return false;
    for (u32 i = 0; i < ARRAY_LEN(caught); i++)
        if (sigaction(caught[i], &a, NULL))
            return false;
    signal(SIGALRM, SIG_DFL);
    return !setitimer(ITIMER_REAL, &second, NULL) && filter_calls();
}

static void child_main(const struct audit_row *r, struct outcome *o)
{
    child.row = r;
    child.out = o;
    if (lay_out() && confine())
        __asm__ volatile("int3");
    _exit(1);
}

static u64 value_of(const struct audit_row *r, const struct outcome *o)
{
    u64 v = 0;
    switch (r->from) {
    case FROM_NOTHING: return 0;
    case FROM_AX: v = o->ax; break;
    case FROM_CS: v = o->cs; break;
    case FROM_ES: v = o->es; break;
    case FROM_FLAGS: v = o->flags; break;
    case FROM_BASE: memcpy(&v, o->scratch + 2, r->mode == 64 ? 8 : 4); break;
    }
    return v & r->mask;
}

/* CPUID says UMIP, and CPL 3 was given an answer: Linux gives it (arch/x86/kernel/umip.c). */
static bool is_faked(const struct audit_row *r)
{
    u32 a, b, c = 0, d;
    const u8 *code = r->code + r->at;
    while (code[0] == 0x66 || code[0] == 0x67)
        code++;
    u32 reg = code[2] >> 3 & 7;
    bool one_of_five =
        code[0] == 0x0f && ((code[1] == 0 && reg <= 1) || (code[1] == 1 && (reg <= 1 || reg == 4)));
    return one_of_five && __get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 2 & 1;
}

static struct bare judge(const struct audit_row *r, const struct outcome *o)
{
    if (o->arrived < 2)
        return (struct bare){.end = BARE_DIED};
    if (o->signal == SIGSYS)
        return (struct bare){.end = BARE_KERNEL};
    if (o->signal == SIGTRAP && o->ip == o->start + r->code_n + 1) /* INT3 behind the code */
        return (struct bare){.end = BARE_THROUGH, .value = value_of(r, o), .faked = is_faked(r)};
    return (struct bare){.end = BARE_TRAPPED, .vector = (u32)o->vector};
}

struct bare bare_run(const struct audit_row *r)
{
    struct bare untried = {.end = BARE_UNTRIED, .why = "the host refused a sandbox for it"};
    int status;
    struct outcome *o = mmap(NULL, sizeof *o, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (o == MAP_FAILED)
        return untried;
    pid_t pid = fork();
    if (pid == 0)
        child_main(r, o);
    struct bare b = untried;
    if (pid > 0 && waitpid(pid, &status, 0) == pid && !(WIFEXITED(status) && WEXITSTATUS(status)))
        b = judge(r, o);
    munmap(o, sizeof *o);
    return b;
}
