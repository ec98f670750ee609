/* A /dev/kvm that refuses, for LD_PRELOAD: TRINE_KVM_DOUBLE says what. open: no permission; api: another
 * version; cap: a kernel without immediate exit; vm, slot, vcpu, cpuid: that request fails. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int open64(const char *path, int flags, ...);

static int asked(const char *what)
{
    const char *how = getenv("TRINE_KVM_DOUBLE");
    return how && !strcmp(how, what);
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
    if (request == KVM_CHECK_EXTENSION && asked("cap") && (unsigned long)arg == KVM_CAP_IMMEDIATE_EXIT)
        return 0;
    if ((request == KVM_CREATE_VM && asked("vm")) ||
        (request == KVM_SET_USER_MEMORY_REGION && asked("slot")) ||
        (request == KVM_CREATE_VCPU && asked("vcpu")) || (request == KVM_SET_CPUID2 && asked("cpuid")))
        return refuse(ENOMEM);
    return real(fd, request, arg);
}
