/* Faults that the host's CPU raises in translated code: divide errors, unmasked SIMD exceptions, misaligned
 * vector operands, instructions that this host lacks. The handler only says where: translated code is left
 * before that instruction, and the interpreter executes it and finds the guest's exception; if not, refused.c. */
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include "base/bits.h"
#include "engine/bt/bt.h"

/* The handler is the process's; what it looks at is the thread's. */
static _Thread_local struct bt *volatile running;
static struct sigaction before[NSIG];
static const int caught[] = {SIGFPE, SIGSEGV, SIGILL, SIGBUS};

void bt_signal_enter(struct bt *b)
{
    running = b;
}

static bool take(struct bt *b, const siginfo_t *info, ucontext_t *u)
{
    greg_t *r = u->uc_mcontext.gregs;
    u32 index, n = b ? bt_block_at(b, (u64)r[REG_RIP], &index) : 0;
    if (!n)
        return false;
    const struct bt_map *m = &b->maps[b->blocks[n].map + index];
    struct bt_site *s = &b->sites[SITE_FAULT];
    *s = (struct bt_site){.block = n, .index = (u8)index, .kind = SITE_STEP, .charged = m->charged};
    bt_refused_note(b, bt_cut_rip(b, bt_site_rip(b, s)), (unsigned)r[REG_TRAPNO], (u64)(uintptr_t)info->si_addr);
    if (!m->flags_mem && !m->lost)
        b->scratch->flags = bt_flags_image((u64)r[REG_EFL]);
    if (m->lost) {
        r[REG_RIP] = (greg_t)(uintptr_t)(b->code + m->lost);
        return true;
    }
    r[REG_R10] = SITE_FAULT;
    r[REG_RIP] = (greg_t)(uintptr_t)(b->code + b->stub_exit);
    return true;
}

static void handler(int sig, siginfo_t *info, void *context)
{
    bool sent = info->si_code <= 0;
    if (!sent && take(running, info, context))
        return;
    /* Not ours: what was before us is back, with its flags. The instruction faults again; what somebody sent is sent again. */
    sigaction(sig, &before[sig], NULL);
    if (sent)
        raise(sig);
}

static void install(void)
{
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    for (unsigned k = 0; k < ARRAY_LEN(caught); k++)
        sigaction(caught[k], &a, &before[caught[k]]);
}

void bt_signal_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}
