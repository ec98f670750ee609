/* Which instructions leave the hardware's guest mode: those that exit unconditionally (SDM vol. 3C,
 * "Instructions That Cause VM Exits") and those that Linux's KVM has exit (arch/x86/kvm/vmx, svm:
 * intercepts). All others run as they are. */
#include "engine/kvm/kvm.h"
#include "isa/insn.h"

enum engine_way kvm_way(void *state, const u8 *bytes, unsigned n, unsigned code_size, unsigned cpl)
{
    struct insn i;
    (void)state, (void)cpl;
    if (insn_decode(bytes, n, code_size, &i) != DECODE_OK)
        return WAY_NATIVE; /* #UD is the CPU's */
    switch (i.op) {
    case OP_CPUID:
    case OP_HLT:
    case OP_IN:
    case OP_OUT:
    case OP_INS:
    case OP_OUTS:
    case OP_RDMSR:
    case OP_WRMSR:
    case OP_RDPMC:
    case OP_INVD:
    case OP_WBINVD:
    case OP_XSETBV:
    case OP_MOV_TO_CR:
    case OP_MOV_TO_DR:
    case OP_MOV_FROM_DR:
    case OP_VMCALL:
    case OP_VMMCALL:
    case OP_MONITOR:
    case OP_MWAIT: return WAY_TRAPPED;
    default: return WAY_NATIVE;
    }
}
