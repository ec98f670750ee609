/* Is there hardware behind /dev/kvm? The node proves nothing: a kernel may emulate CPL 0 in software behind
 * it, at some hundred thousand instructions per second. Two witnesses: the processor (CPUID lists VMX or SVM:
 * SDM vol. 3, 24.6; APM vol. 2, 15.4), and the time that a loop takes at CPL 0, in the thread's CPU time, so
 * that a busy host does not count. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "cpu/feature_bits.h"
#include "cpu/model.h"
#include "engine/kvm/kvm.h"

#define SHORT_LOOPS   16u
#define LONG_LOOPS    1040u
#define LOOP_INSNS    (2 * (LONG_LOOPS - SHORT_LOOPS))
#define SLOW_NS       250 /* per instruction: hardware, emulated or not, is well below, software well above */
#define GUEST_GPA     0x1000u
#define MEASURE_TRIES 3

bool kvm_probe(char *why, size_t size)
{
    int fd = kvm_device(why, size);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool cpu_lists_virtualization(void)
{
    u32 reg[4];
    return (host_cpuid(1, 0, reg) && reg[2] & BIT(5)) || (host_cpuid(0x80000001, 0, reg) && reg[2] & BIT(2));
}

static u64 thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* 32-bit protected mode without paging, at the first byte of the guest's page. */
static bool guest_enter(int cpu, u32 loops)
{
    const struct kvm_segment data = {
        .limit = ~0u, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1, .selector = 16};
    struct kvm_sregs s;
    struct kvm_regs r = {.rip = GUEST_GPA, .rflags = 2, .rcx = loops};
    if (ioctl(cpu, KVM_GET_SREGS, &s) < 0)
        return false;
    s.ds = s.es = s.fs = s.gs = s.ss = s.cs = data;
    s.cs.type = 11;
    s.cs.selector = 8;
    s.cr0 |= CR0_PE;
    return ioctl(cpu, KVM_SET_SREGS, &s) == 0 && ioctl(cpu, KVM_SET_REGS, &r) == 0;
}

/* Nanoseconds of so many turns, with the way in and out, the best of some tries; 0: it did not come to its
 * HLT. */
static u64 guest_time(int cpu, const struct kvm_run *run, u32 loops)
{
    u64 best = 0;
    for (unsigned i = 0; i < MEASURE_TRIES; i++) {
        if (!guest_enter(cpu, loops))
            return 0;
        u64 start = thread_ns();
        if (ioctl(cpu, KVM_RUN, 0) < 0 || run->exit_reason != KVM_EXIT_HLT)
            return 0;
        u64 ns = thread_ns() - start + 1;
        best = !best || ns < best ? ns : best;
    }
    return best;
}

/* Of LOOP_INSNS instructions: what a long loop takes more than a short one. */
static u64 loop_time(int device, int cpu, struct kvm_run *run)
{
    (void)device;
    u64 less = guest_time(cpu, run, SHORT_LOOPS), more = guest_time(cpu, run, LONG_LOOPS);
    return !less || !more ? 0 : more > less ? more - less : 1;
}

/* What USE finds out on a new vCPU of a VM with one page of memory, which begins with CODE; 0: there is no such VM. */
typedef u64 tiny_use(int device, int cpu, struct kvm_run *run);

static u64 tiny_cpu(int device, int vm, void *page, tiny_use *use)
{
    struct kvm_userspace_memory_region r = {
        .guest_phys_addr = GUEST_GPA, .memory_size = PAGE_SIZE, .userspace_addr = (u64)(uintptr_t)page};
    int run_bytes = ioctl(device, KVM_GET_VCPU_MMAP_SIZE, 0);
    int cpu = ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r) == 0 ? ioctl(vm, KVM_CREATE_VCPU, 0) : -1;
    if (cpu < 0)
        return 0;
    void *run = run_bytes > 0 ? mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0) : MAP_FAILED;
    u64 found = run == MAP_FAILED ? 0 : use(device, cpu, run);
    if (run != MAP_FAILED)
        munmap(run, (size_t)run_bytes);
    close(cpu);
    return found;
}

static u64 tiny_vm(const u8 *code, size_t n, tiny_use *use)
{
    char why[200];
    u64 found = 0;
    int fd = kvm_device(why, sizeof why), vm = fd >= 0 ? ioctl(fd, KVM_CREATE_VM, 0) : -1;
    void *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vm >= 0 && page != MAP_FAILED) {
        memcpy(page, code, n);
        found = tiny_cpu(fd, vm, page, use);
    }
    if (page != MAP_FAILED)
        munmap(page, PAGE_SIZE);
    if (vm >= 0)
        close(vm);
    if (fd >= 0)
        close(fd);
    return found;
}

static u64 measure_ns(void)
{
    static const u8 loop[] = {0x49, 0x75, 0xfd, 0xf4}; /* 1: dec %ecx; jnz 1b; hlt */
    return tiny_vm(loop, sizeof loop, loop_time);
}

/* --- XSETBV */

enum { XSETBV_UNKNOWN, XSETBV_SEEN, XSETBV_UNSEEN };

static u64 xsetbv_use(int device, int cpu, struct kvm_run *run)
{
    struct kvm_sregs s;
    struct kvm_xcrs x;
    if (!kvm_give_cpuid(device, cpu) || !guest_enter(cpu, 0) || ioctl(cpu, KVM_GET_SREGS, &s) < 0)
        return XSETBV_UNKNOWN;
    s.cr4 |= CR4_OSFXSR | CR4_OSXSAVE;
    if (ioctl(cpu, KVM_SET_SREGS, &s) < 0 || ioctl(cpu, KVM_RUN, 0) < 0 || run->exit_reason != KVM_EXIT_HLT ||
        ioctl(cpu, KVM_GET_XCRS, &x) < 0)
        return XSETBV_UNKNOWN;
    return x.nr_xcrs && x.xcrs[0].value == (XFEATURE_X87 | XFEATURE_SSE) ? XSETBV_SEEN : XSETBV_UNSEEN;
}

bool kvm_sees_xsetbv(void)
{
    static const u8 code[] = {0xb8, 3, 0, 0, 0,  /* mov $3, %eax */
                              0x31, 0xc9,        /* xor %ecx, %ecx */
                              0x31, 0xd2,        /* xor %edx, %edx */
                              0x0f, 0x01, 0xd1,  /* xsetbv */
                              0xf4};             /* hlt */
    return tiny_vm(code, sizeof code, xsetbv_use) != XSETBV_UNSEEN;
}

bool kvm_genuine(bool measure, char *why, size_t size)
{
    bool listed = cpu_lists_virtualization();
    const char *says = listed ? "" : "the processor lists neither VMX nor SVM; ";
    if (!listed && !measure) {
        snprintf(why, size, "no hardware behind %s: the processor lists neither VMX nor SVM", KVM_DEVICE);
        return false;
    }
    u64 ns = measure_ns();
    if (!ns)
        snprintf(why, size, "no hardware behind %s: %sa loop at CPL 0 does not come to its end", KVM_DEVICE,
                 says);
    else if (!listed || ns > LOOP_INSNS * SLOW_NS)
        snprintf(why, size,
                 "no hardware behind %s: %sa loop at CPL 0 runs at %.1f million instructions per second",
                 KVM_DEVICE, says, LOOP_INSNS * 1e3 / (double)ns);
    return listed && ns && ns <= LOOP_INSNS * SLOW_NS;
}
