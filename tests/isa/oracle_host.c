/* oracle_host.h on x86-64 Linux. */
#include "oracle_host.h"

#include <cpuid.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/le.h"
#include "world_fpu.h"

enum {
    USER32_CS = 0x23, /* Linux's selectors */
    USER_DS = 0x2b,
    USER64_CS = 0x33,
    SPRINGBOARD = 0xfea, /* in the code page: 32-bit code comes back through it */
};

/* The way in and out. The assembly knows the offsets; a signal handler has no other way to reach it. */
struct host_state {
    u64 gpr[16];
    u64 rflags, saved_rsp, fs, gs; /* 128 */
    u64 frame[5]; /* 160: RIP CS RFLAGS RSP SS, for IRETQ */
    u64 stack[64];
    u64 own_fs; /* 712 */
    u8 pad[768 - 720];
    _Alignas(64) u8 xsave[1024]; /* 768 */
    volatile bool running;
    volatile int vector;
    volatile u32 error;
    volatile u64 addr, rip;
    u8 *code;
};
_Static_assert(offsetof(struct host_state, rflags) == 128, "in the assembly");
_Static_assert(offsetof(struct host_state, frame) == 160, "in the assembly");
_Static_assert(offsetof(struct host_state, stack) == 200, "in the assembly");
_Static_assert(offsetof(struct host_state, own_fs) == 712, "in the assembly");
_Static_assert(offsetof(struct host_state, xsave) == 768, "in the assembly");
struct host_state host_state __attribute__((visibility("hidden")));

void host_enter(void);
void host_leave(void);
void host_abort(void);
/* clang-format off */
__asm__(
    ".text\n"
    ".globl host_enter, host_leave, host_abort\n"
    ".hidden host_state\n"
    "host_enter:\n"
    "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "  mov %rsp, host_state+136(%rip)\n"
    "  rdfsbase %rax; mov %rax, host_state+712(%rip)\n"
    "  mov $7, %eax; xor %edx, %edx; xrstor64 host_state+768(%rip)\n"
    "  mov host_state+144(%rip), %rax; wrfsbase %rax\n"
    "  mov host_state+152(%rip), %rax; wrgsbase %rax\n"
    "  mov host_state+0(%rip), %rax; mov host_state+8(%rip), %rcx; mov host_state+16(%rip), %rdx; mov host_state+24(%rip), %rbx\n"
    "  mov host_state+40(%rip), %rbp; mov host_state+48(%rip), %rsi; mov host_state+56(%rip), %rdi\n"
    "  mov host_state+64(%rip), %r8; mov host_state+72(%rip), %r9; mov host_state+80(%rip), %r10; mov host_state+88(%rip), %r11\n"
    "  mov host_state+96(%rip), %r12; mov host_state+104(%rip), %r13; mov host_state+112(%rip), %r14; mov host_state+120(%rip), %r15\n"
    "  lea host_state+160(%rip), %rsp\n"
    "  iretq\n"
    "host_leave:\n"
    "  mov %rax, host_state+0(%rip); mov %rcx, host_state+8(%rip); mov %rdx, host_state+16(%rip); mov %rbx, host_state+24(%rip)\n"
    "  mov %rsp, host_state+32(%rip); mov %rbp, host_state+40(%rip); mov %rsi, host_state+48(%rip); mov %rdi, host_state+56(%rip)\n"
    "  mov %r8, host_state+64(%rip); mov %r9, host_state+72(%rip); mov %r10, host_state+80(%rip); mov %r11, host_state+88(%rip)\n"
    "  mov %r12, host_state+96(%rip); mov %r13, host_state+104(%rip); mov %r14, host_state+112(%rip); mov %r15, host_state+120(%rip)\n"
    "  lea host_state+712(%rip), %rsp\n"
    "  pushfq; popq host_state+128(%rip)\n"
    "  pushq $2; popfq\n"
    "  rdfsbase %rax; mov %rax, host_state+144(%rip)\n"
    "  rdgsbase %rax; mov %rax, host_state+152(%rip)\n"
    "  mov $7, %eax; xor %edx, %edx; xsave64 host_state+768(%rip)\n"
    "host_abort:\n"
    "  fninit; vzeroupper; ldmxcsr host_mxcsr(%rip)\n"
    "  mov host_state+712(%rip), %rax; wrfsbase %rax\n"
    "  mov host_state+136(%rip), %rsp\n"
    "  push $2; popfq\n"
    "  mov $0x2b, %eax; mov %eax, %ds; mov %eax, %es\n"
    "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "  ret\n"
    ".balign 4\n"
    "host_mxcsr: .long 0x1f80\n");
/* clang-format on */

/* ucontext's order of registers. */
static const u8 greg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                               REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* The kernel leaves RFLAGS.AC and the FS base as the case had them: put right before anything else. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
    struct host_state *s = &host_state;
    __asm__ volatile("pushq $2; popfq" ::: "memory", "cc");
    if (s->running) {
        u64 base;
        __asm__ volatile("rdfsbase %0; mov %0, %1; rdgsbase %0; mov %0, %2; wrfsbase %3"
                         : "=&r"(base), "=m"(s->fs), "=m"(s->gs)
                         : "r"(s->own_fs));
    }
    ucontext_t *u = context;
    greg_t *g = u->uc_mcontext.gregs;
    (void)info;
    if (!s->running) {
        signal(sig, SIG_DFL); /* ours, not the case's: die of it */
        return;
    }
    for (unsigned k = 0; k < 16; k++)
        s->gpr[k] = (u64)g[greg_of[k]];
    s->rflags = (u64)g[REG_EFL];
    memcpy(s->xsave, u->uc_mcontext.fpregs, 576 + 256);
    s->vector = sig == SIGSYS ? HOST_SYSCALL : (int)g[REG_TRAPNO];
    s->error = (u32)g[REG_ERR];
    s->addr = s->vector == 14 ? (u64)g[REG_CR2] : 0;
    s->rip = (u64)g[REG_RIP];
    g[REG_RIP] = (greg_t)(uintptr_t)host_abort;
    g[REG_EFL] = 2;
    g[REG_CSGSFS] = (greg_t)(((u64)g[REG_CSGSFS] & 0x0000ffffffff0000ull) | (u64)USER_DS << 48 | USER64_CS);
}

static bool code_map(void)
{
    void *at = (void *)(uintptr_t)NATIVE_CODE;
    int fd = memfd_create("code", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, PAGE_SIZE) != 0)
        return false;
    void *x = mmap(at, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    void *w = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    host_state.code = w;
    return x == at && w != MAP_FAILED;
}

static void put_springboard(u8 *page)
{
    memcpy(page + SPRINGBOARD, "\xff\x25\x00\x00\x00\x00", 6); /* JMP [RIP + 0] */
    st64(page + SPRINGBOARD + 6, (u64)(uintptr_t)host_leave);
}

bool host_init(const char **why)
{
    static u8 stack[65536];
    u32 a, b, c, d;
    *why = "the host has no AVX";
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
        return false;
    void *data = (void *)(uintptr_t)NATIVE_DATA;
    *why = "the host does not let us map low addresses";
    if (!code_map() || mmap(data, NATIVE_DATA_LEN, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != data)
        return false;
    memset(host_state.code, 0xcc, PAGE_SIZE);
    if (!(getauxval(AT_HWCAP2) & 2)) { /* HWCAP2_FSGSBASE */
        *why = "the host's kernel does not let programs write FS and GS bases";
        return false;
    }
    put_springboard(host_state.code);
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigemptyset(&sa.sa_mask);
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"((u32)USER_DS)); /* 64-bit processes have none; 32-bit code needs them */
    bool ok = sigaltstack(&ss, NULL) == 0;
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    for (unsigned k = 0; k < ARRAY_LEN(signals); k++)
        ok &= sigaction(signals[k], &sa, NULL) == 0;
    *why = "no signal handlers";
    return ok;
}

#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

bool host_seal(void)
{
#ifdef __SANITIZE_ADDRESS__
    return true; /* its runtime asks for more than can be listed */
#else
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_rt_sigreturn),
        ALLOW(SYS_write),
        ALLOW(SYS_brk),
        ALLOW(SYS_mmap),
        ALLOW(SYS_munmap),
        ALLOW(SYS_clock_gettime),
        ALLOW(SYS_newfstatat),
        ALLOW(SYS_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog p = {.len = ARRAY_LEN(f), .filter = f};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == 0;
#endif
}

static unsigned put_tail(u8 *at, unsigned room, unsigned bits)
{
    u8 tail[HOST_TAIL] = {0xff, 0x25};
    if (bits == 64) {
        st64(tail + 6, (u64)(uintptr_t)host_leave);
    } else {
        tail[0] = 0xea; /* JMP far */
        st32(tail + 1, (u32)(NATIVE_CODE + SPRINGBOARD));
        st16(tail + 5, USER64_CS);
    }
    room = room < HOST_TAIL ? room : HOST_TAIL;
    memcpy(at, tail, room);
    return room;
}

void host_page(u8 *page, u64 off, unsigned len, unsigned bits)
{
    memset(page, 0xcc, PAGE_SIZE);
    put_springboard(page);
    if (off + len <= SPRINGBOARD)
        put_tail(page + off + len, (unsigned)(SPRINGBOARD - off - len), bits);
}

void host_run(struct world *r, const u8 *code, unsigned len)
{
    struct host_state *s = &host_state;
    u64 off = r->rip - NATIVE_CODE;
    unsigned bits = r->bits;
    u8 behind[16];
    memcpy(behind, s->code + SPRINGBOARD, sizeof behind);
    memcpy(s->code + off, code, len);
    unsigned tail = off + len > SPRINGBOARD ? 0 : put_tail(s->code + off + len, (unsigned)(SPRINGBOARD - off - len), bits);
    memcpy(s->gpr, r->gpr, sizeof s->gpr);
    world_put_fpu(s->xsave, r);
    s->fs = r->fs;
    s->gs = r->gs;
    s->frame[0] = r->rip;
    s->frame[1] = bits == 64 ? USER64_CS : USER32_CS;
    s->frame[2] = r->rflags;
    s->frame[3] = r->gpr[4];
    s->frame[4] = USER_DS;
    s->vector = -1;
    s->error = 0;
    s->addr = 0;
    s->running = true;
    host_enter();
    s->running = false;
    memcpy(r->gpr, s->gpr, sizeof r->gpr);
    world_get_fpu(s->xsave, r);
    r->rflags = s->rflags;
    r->fs = s->fs;
    r->gs = s->gs;
    r->vector = s->vector;
    r->error = s->error;
    r->addr = s->addr;
    r->rip = r->vector == -1 ? r->rip + len : s->rip;
    memset(s->code + off, 0xcc, len + tail);
    memcpy(s->code + SPRINGBOARD, behind, sizeof behind);
}
