/* A /dev/kvm that refuses, for LD_PRELOAD: TRINE_KVM_DOUBLE says what. open: no permission; api: another
 * version; cap N: a kernel without capability N; vm, size, filter, slot, split, vcpu, cpuid: that request fails; run: KVM_RUN fails
 * at its twentieth call; sregs: the registers are not taken, MANY times; internal: KVM_RUN ends with an internal error, MANY
 * times. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define MANY 2000

int open64(const char *path, int flags, ...);

static int asked(const char *what)
{
    const char *how = getenv("TRINE_KVM_DOUBLE");
    return how && !strcmp(how, what);
}

/* TRINE_KVM_DOUBLE="cap N" */
static int lacks(unsigned long cap)
{
    const char *how = getenv("TRINE_KVM_DOUBLE");
    return how && !strncmp(how, "cap ", 4) && strtoul(how + 4, NULL, 10) == cap;
}

/* A page of the vCPU's struct kvm_run, as every mapping of it shows. */
static int fail_inside(int fd)
{
    struct kvm_run *run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (run == MAP_FAILED)
        abort();
    run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    munmap(run, 4096);
    return 0;
}

static int refuse(int error)
{
    errno = error;
    return -1;
}

int open64(const char *path, int flags, ...)
{
    int (*real)(const char *, int, ...);
    *(void **)&real = dlsym(RTLD_NEXT, "open64");
    va_list ap;
    va_start(ap, flags);
    unsigned mode = va_arg(ap, unsigned);
    va_end(ap);
    return asked("open") && !strcmp(path, "/dev/kvm") ? refuse(EACCES) : real(path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...)
{
    int (*real)(int, unsigned long, ...);
    *(void **)&real = dlsym(RTLD_NEXT, "ioctl");
    va_list ap;
    va_start(ap, request);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    if (request == KVM_GET_API_VERSION && asked("api"))
        return 11;
    if (request == KVM_CHECK_EXTENSION && lacks((unsigned long)arg))
        return 0;
    if (request == KVM_GET_VCPU_MMAP_SIZE && asked("size"))
        return 64;
    static int runs, registers;
    if (request == KVM_RUN && asked("run") && ++runs == 20)
        return refuse(EFAULT);
    if (request == KVM_RUN && asked("internal") && ++runs <= MANY)
        return fail_inside(fd);
    if (request == KVM_SET_SREGS2 && asked("sregs") && ++registers <= MANY)
        return refuse(EINVAL);
    if (request == KVM_ENABLE_CAP && asked("split") && ((const struct kvm_enable_cap *)arg)->cap == KVM_CAP_SPLIT_IRQCHIP)
        return refuse(ENOMEM);
    if ((request == KVM_CREATE_VM && asked("vm")) || (request == KVM_X86_SET_MSR_FILTER && asked("filter")) ||
        (request == KVM_SET_USER_MEMORY_REGION && asked("slot")) ||
        (request == KVM_CREATE_VCPU && asked("vcpu")) || (request == KVM_SET_CPUID2 && asked("cpuid")))
        return refuse(ENOMEM);
    return real(fd, request, arg);
}
