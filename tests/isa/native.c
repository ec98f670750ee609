/* native.h on x86-64 Linux. All sixteen GPRs belong to the bytes under test, so that the stub around them
 * finds its state at fixed addresses below 2 GiB. */
#include "native.h"

#include <cpuid.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "world_fpu.h"

/* At NATIVE_STATE. The offsets stand in the assembly too. */
struct state {
    u64 gpr[16];
    u64 rflags, host_rsp, entry, leave;
    u8 pad[512 - 160];
    u8 xsave[1024]; /* offset 512: FXSAVE image, header at 512, upper halves at 576 */
    u8 stack[2048];
};
_Static_assert(__builtin_offsetof(struct state, rflags) == 128, "in the assembly");
_Static_assert(__builtin_offsetof(struct state, xsave) == 512, "in the assembly");
_Static_assert(__builtin_offsetof(struct state, stack) == 1536, "in the assembly");

void native_enter(void);
void native_leave(void);
void native_abort(void);
/* clang-format off */
__asm__(
    ".set S, 0x1c0000\n"
    ".text\n"
    ".globl native_enter, native_leave, native_abort\n"
    "native_enter:\n"
    "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "  mov %rsp, S+136\n"
    "  mov $7, %eax; xor %edx, %edx; xrstor64 S+512\n"
    "  mov $S+1536+2048, %rsp\n"
    "  pushq S+128; popfq\n"
    "  mov S+0, %rax; mov S+8, %rcx; mov S+16, %rdx; mov S+24, %rbx\n"
    "  mov S+32, %rsp; mov S+40, %rbp; mov S+48, %rsi; mov S+56, %rdi\n"
    "  mov S+64, %r8; mov S+72, %r9; mov S+80, %r10; mov S+88, %r11\n"
    "  mov S+96, %r12; mov S+104, %r13; mov S+112, %r14; mov S+120, %r15\n"
    "  jmp *S+144\n"
    "native_leave:\n"
    "  mov %rax, S+0; mov %rcx, S+8; mov %rdx, S+16; mov %rbx, S+24\n"
    "  mov %rsp, S+32; mov %rbp, S+40; mov %rsi, S+48; mov %rdi, S+56\n"
    "  mov %r8, S+64; mov %r9, S+72; mov %r10, S+80; mov %r11, S+88\n"
    "  mov %r12, S+96; mov %r13, S+104; mov %r14, S+112; mov %r15, S+120\n"
    "  mov $S+1536+2048, %rsp\n"
    "  pushfq; popq S+128\n"
    "  mov $7, %eax; xor %edx, %edx; xsave64 S+512\n"
    "native_abort:\n"
    "  mov $S+1536+2048, %rsp\n"
    "  pushq $2; popfq\n"
    "  fninit; vzeroupper\n"
    "  pushq $0x1f80; ldmxcsr (%rsp)\n"
    "  mov S+136, %rsp\n"
    "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "  ret\n");
/* clang-format on */

static struct state *state(void)
{
    return (struct state *)(uintptr_t)NATIVE_STATE;
}

/* ucontext's order of registers. */
static const u8 greg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                               REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* What the handler leaves for native_run: a signal handler has no other way to reach it. */
static volatile struct {
    int vector;
    u32 error;
    u64 addr, rip;
} caught;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    greg_t *g = u->uc_mcontext.gregs;
    (void)info;
    if ((u64)g[REG_RIP] - NATIVE_CODE >= PAGE_SIZE) {
        signal(sig, SIG_DFL); /* ours, not the case's: die of it */
        return;
    }
    struct state *s = state();
    for (unsigned k = 0; k < 16; k++)
        s->gpr[k] = (u64)g[greg_of[k]];
    s->rflags = (u64)g[REG_EFL];
    memcpy(s->xsave, u->uc_mcontext.fpregs, 576 + 256);
    caught.vector = (int)g[REG_TRAPNO];
    caught.error = (u32)g[REG_ERR];
    caught.addr = caught.vector == 14 ? (u64)g[REG_CR2] : 0;
    caught.rip = (u64)g[REG_RIP];
    g[REG_RIP] = (greg_t)(uintptr_t)native_abort;
    g[REG_EFL] = 2;
}

static bool map_at(u64 at, u64 len, int prot)
{
    void *want = (void *)(uintptr_t)at;
    return mmap(want, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == want;
}

bool native_init(const char **why)
{
    static u8 stack[65536];
    u32 a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX)) {
        *why = "the host has no AVX";
        return false;
    }
    if (!map_at(NATIVE_CODE, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC) ||
        !map_at(NATIVE_DATA, NATIVE_DATA_LEN, PROT_READ | PROT_WRITE) ||
        !map_at(NATIVE_STATE, PAGE_SIZE, PROT_READ | PROT_WRITE)) {
        *why = "the host does not let us map low addresses";
        return false;
    }
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigemptyset(&sa.sa_mask);
    bool ok = sigaltstack(&ss, NULL) == 0;
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (unsigned k = 0; k < ARRAY_LEN(signals); k++)
        ok &= sigaction(signals[k], &sa, NULL) == 0;
    *why = "no signal handlers";
    return ok;
}

void native_run(struct world *w, const u8 *code, unsigned len)
{
    struct state *s = state();
    u8 *at = (u8 *)(uintptr_t)w->rip;
    u32 slot = (u32)NATIVE_STATE + (u32) __builtin_offsetof(struct state, leave);
    memcpy(at, code, len);
    memcpy(at + len, "\xff\x24\x25", 3); /* JMP [slot] */
    memcpy(at + len + 3, &slot, 4);
    memcpy(s->gpr, w->gpr, sizeof s->gpr);
    s->rflags = w->rflags;
    s->entry = w->rip;
    s->leave = (u64)(uintptr_t)native_leave;
    world_put_fpu(s->xsave, w);
    caught.vector = -1;
    caught.error = 0;
    caught.addr = 0;
    native_enter();
    memcpy(w->gpr, s->gpr, sizeof s->gpr);
    w->rflags = s->rflags;
    world_get_fpu(s->xsave, w);
    w->vector = caught.vector;
    w->error = caught.error;
    w->addr = caught.addr;
    w->rip = w->vector < 0 ? w->rip + len : caught.rip;
}
