/* One number for the whole state of a machine: vCPUs, chips, virtual time, RAM. Two runs that agree in
 * everything that a guest could ever see have the same one. FNV-1a (Fowler, Noll, Vo) with 64 bits over the
 * field tables' wire format, then mem_digest. */
#include "base/le.h"
#include "machine/cpu_image.h"
#include "machine/vm.h"

static u64 fnv1a(u64 h, const u8 *p, size_t n)
{
    for (; n; n--)
        h = (h ^ *p++) * 0x100000001b3ull;
    return h;
}

bool vm_put_state(struct vm *vm, struct buffer *b)
{
    struct error e;
    struct cpu_image image;
    u8 time[VM_TIME_BYTES];
    for (u32 i = 0; i < vm->config.cpus; i++) {
        struct vcpu *v = &vm->vcpus[i];
        if (atomic_load(&v->attached))
            vm->engine->pull(v->engine);
        cpu_image_take(&image, &v->cpu);
        if (fields_save(&cpu_image_table, &image, b, &e) != STATUS_OK)
            return false;
    }
    st64(time, vm->is_virtual ? clock_now(&vm->clock) : 0);
    for (unsigned i = 0; i < 4; i++)
        st64(time + 8 + 8 * i, vm->random.s[i]);
    return pc_save(&vm->pc, b, &e) == STATUS_OK && buffer_put(b, time, sizeof time);
}

u64 vm_state_hash(struct vm *vm)
{
    struct buffer b = {0};
    u64 h = vm_put_state(vm, &b) ? fnv1a(0xcbf29ce484222325ull, b.data, b.len) : 0;
    buffer_free(&b);
    return h ? mem_digest(&vm->mem, h) : 0;
}
