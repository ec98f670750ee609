/* VMCALL and VMMCALL as KVM's guests use them (Linux, Documentation/virt/kvm/x86/hypercalls.rst): number in
 * RAX, arguments in RBX, RCX, RDX, RSI, the result in RAX. Outside 64-bit mode all are 32 bits wide. From CPL
 * 3 the answer is always -KVM_EPERM. */
#include "cpu/exit.h"
#include "cpu/system.h"

#define KVM_EPERM 1

bool op_vmcall(struct cpu *c)
{
    u64 mask = cpu_code64(c) ? ~0ull : 0xffffffff;
    struct exit x = {.kind = EXIT_HYPERCALL, .addr = c->gpr[RAX].q & mask, .data = 0 - (u64)KVM_EPERM};
    static const u8 args[] = {RBX, RCX, RDX, RSI};
    for (unsigned i = 0; i < ARRAY_LEN(args); i++)
        x.args[i] = c->gpr[args[i]].q & mask;
    if (c->cpl == 0)
        c->wires.exit(c->wires.opaque, c, &x);
    c->gpr[RAX].q = x.data & mask;
    return true;
}
