#include "host/nbd_library.h"

#include <dlfcn.h>
#include <string.h>

#define SONAME "libnbd.so.0"

/* dlsym(3)'s result, as POSIX has it, may be copied to a pointer to a function. */
static bool find(void *library, const char *name, void *member)
{
    void *address = dlsym(library, name);
    memcpy(member, &address, sizeof address);
    return address;
}

enum status nbd_library_load(struct nbd_library *l, struct error *e)
{
    void *library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(e, STATUS_HOST, "%s", dlerror());
#define FIND(name)                                                                                           \
    if (!find(library, "nbd_" #name, &l->name))                                                              \
        return error_set(e, STATUS_HOST, "%s: has no function nbd_%s", SONAME, #name);
    NBD_FUNCTIONS(FIND)
#undef FIND
    return STATUS_OK;
}
