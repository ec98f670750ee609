/* All of struct cpu into KVM and out of it ([api] 4.11 to 4.34, 4.42, 4.131). Of the LAPIC's part of the
 * register file KVM keeps CR8 and IA32_APIC_BASE as copies. What KVM was about to deliver when it was left
 * (an injected event) is delivered by software here, so that struct cpu stands at an instruction boundary, as
 * the contract has it. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/bits.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "cpu/tlb.h"
#include "cpu/xsave_image.h"
#include "engine/kvm/kvm.h"

/* Both have 16 registers in an order of their own. */
#define GPRS(X)                                                                                              \
    X(RAX, rax)                                                                                              \
    X(RBX, rbx)                                                                                              \
    X(RCX, rcx)                                                                                              \
    X(RDX, rdx)                                                                                              \
    X(RSI, rsi) X(RDI, rdi) X(RSP, rsp) X(RBP, rbp) X(R8, r8) X(R9, r9) X(R10, r10) X(R11, r11) X(R12, r12)  \
        X(R13, r13) X(R14, r14) X(R15, r15)

static struct kvm_segment seg_put(const struct seg *s)
{
    return (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->sel,
        .type = s->attr & SEG_TYPE,
        .s = !!(s->attr & SEG_S),
        .dpl = (s->attr & SEG_DPL) >> SEG_DPL_SHIFT,
        .present = !!(s->attr & SEG_P),
        .avl = !!(s->attr & SEG_AVL),
        .l = !!(s->attr & SEG_L),
        .db = !!(s->attr & SEG_DB),
        .g = !!(s->attr & SEG_G),
        .unusable = !!(s->attr & SEG_UNUSABLE),
    };
}

static struct seg seg_get(const struct kvm_segment *s)
{
    u32 attr = (u32)(s->type & SEG_TYPE) | (s->s ? SEG_S : 0) | (u32)(s->dpl & 3) << SEG_DPL_SHIFT |
               (s->present ? SEG_P : 0) | (s->avl ? SEG_AVL : 0) | (s->l ? SEG_L : 0) | (s->db ? SEG_DB : 0) |
               (s->g ? SEG_G : 0) | (s->unusable ? SEG_UNUSABLE : 0);
    return (struct seg){.sel = s->selector, .attr = (u16)attr, .limit = s->limit, .base = s->base};
}

static struct kvm_segment *seg_of(struct kvm_sregs2 *s, unsigned n)
{
    struct kvm_segment *all[SEG_COUNT] = {
        [SEG_ES] = &s->es, [SEG_CS] = &s->cs, [SEG_SS] = &s->ss,    [SEG_DS] = &s->ds,
        [SEG_FS] = &s->fs, [SEG_GS] = &s->gs, [SEG_LDTR] = &s->ldt, [SEG_TR] = &s->tr};
    return all[n];
}

static bool pae_paging(const struct cpu *c)
{
    return c->cr0 & CR0_PG && c->cr4 & CR4_PAE && !(c->efer & EFER_LMA);
}

/* The local APIC's part of them. */
static bool apic_of(const struct kvm_cpu *k, struct kvm_sregs2 *s)
{
    struct cpu *c = k->c;
    struct kvm_sregs2 has;
    if (k->vm->irqchip) {
        if (ioctl(k->fd, KVM_GET_SREGS2, &has) < 0)
            return false;
        s->cr8 = has.cr8;
        s->apic_base = has.apic_base;
        return true;
    }
    s->cr8 = c->wires.cr8_read(c->wires.opaque, c);
    u64 base = 0;
    if (c->wires.apic_msr_read(c->wires.opaque, c, IA32_APIC_BASE, &base))
        s->apic_base = base;
    return true;
}

static bool sregs_put(struct kvm_cpu *k)
{
    struct cpu *c = k->c;
    struct kvm_sregs2 s = {
        .gdt = {.base = c->gdt.base, .limit = c->gdt.limit},
        .idt = {.base = c->idt.base, .limit = c->idt.limit},
        .cr0 = c->cr0,
        .cr2 = c->cr2,
        .cr3 = c->cr3,
        .cr4 = c->cr4,
        .efer = c->efer,
    };
    for (unsigned n = 0; n < SEG_COUNT; n++)
        *seg_of(&s, n) = seg_put(&c->seg[n]);
    if (k->vm->tr_available && !s.tr.s)
        s.tr.type &= (u8)~(TYPE_TSS_BUSY ^ TYPE_TSS);
    if (!apic_of(k, &s))
        return false;
    if (pae_paging(c)) {
        memcpy(s.pdptrs, c->pdpte, sizeof s.pdptrs);
        s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
    }
    k->tpr = (u8)s.cr8;
    return ioctl(k->fd, KVM_SET_SREGS2, &s) == 0;
}

static bool sregs_get(struct kvm_cpu *k)
{
    struct cpu *c = k->c;
    struct kvm_sregs2 s;
    if (ioctl(k->fd, KVM_GET_SREGS2, &s) < 0)
        return false;
    for (unsigned n = 0; n < SEG_COUNT; n++)
        c->seg[n] = seg_get(seg_of(&s, n));
    c->gdt = (struct dtable){s.gdt.base, s.gdt.limit};
    c->idt = (struct dtable){s.idt.base, s.idt.limit};
    c->cr0 = s.cr0;
    c->cr2 = s.cr2;
    c->cr3 = s.cr3;
    c->cr4 = s.cr4;
    c->efer = s.efer;
    if (s.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID)
        memcpy(c->pdpte, s.pdptrs, sizeof c->pdpte);
    return true;
}

static bool regs_put(const struct kvm_cpu *k)
{
    const struct cpu *c = k->c;
    struct kvm_regs r = {.rip = c->rip, .rflags = cpu_rflags(c)};
#define PUT(gpr_name, name) r.name = c->gpr[gpr_name].q;
    GPRS(PUT)
#undef PUT
    return ioctl(k->fd, KVM_SET_REGS, &r) == 0;
}

static bool regs_get(struct kvm_cpu *k)
{
    struct cpu *c = k->c;
    struct kvm_regs r;
    if (ioctl(k->fd, KVM_GET_REGS, &r) < 0)
        return false;
#define GET(gpr_name, name) c->gpr[gpr_name].q = r.name;
    GPRS(GET)
#undef GET
    c->rip = r.rip;
    cpu_set_rflags(c, r.rflags);
    return true;
}

/* The area in KVM's hands has the processor's own layout, which is the model's (cpuid.c sees to it), and is
 * never shorter. */
union area {
    struct kvm_xsave x;
    u8 bytes[sizeof(struct kvm_xsave)];
};
_Static_assert(XSAVE_IMAGE_BYTES <= sizeof(struct kvm_xsave), "an XSAVE image fits into KVM's area");

static bool fpu_put(const struct kvm_cpu *k)
{
    union area a = {0};
    struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = k->c->xcr0}};
    xsave_image_put(k->c, a.bytes);
    return ioctl(k->fd, KVM_SET_XSAVE, &a.x) == 0 && ioctl(k->fd, KVM_SET_XCRS, &x) == 0;
}

static bool fpu_get(struct kvm_cpu *k)
{
    union area a;
    struct kvm_xcrs x;
    if (ioctl(k->fd, KVM_GET_XSAVE, &a.x) < 0 || ioctl(k->fd, KVM_GET_XCRS, &x) < 0)
        return false;
    for (u32 i = 0; i < x.nr_xcrs && i < KVM_MAX_XCRS; i++)
        if (x.xcrs[i].xcr == 0)
            k->c->xcr0 = x.xcrs[i].value;
    xsave_image_get(k->c, a.bytes);
    return true;
}

static bool debug_put(const struct kvm_cpu *k)
{
    const struct cpu *c = k->c;
    struct kvm_debugregs d = {.dr6 = c->dr6, .dr7 = c->dr7};
    memcpy(d.db, c->dr, sizeof d.db);
    return ioctl(k->fd, KVM_SET_DEBUGREGS, &d) == 0;
}

static bool debug_get(struct kvm_cpu *k)
{
    struct kvm_debugregs d;
    if (ioctl(k->fd, KVM_GET_DEBUGREGS, &d) < 0)
        return false;
    memcpy(k->c->dr, d.db, sizeof d.db);
    k->c->dr6 = d.dr6;
    k->c->dr7 = d.dr7;
    return true;
}

static bool events_put(const struct kvm_cpu *k)
{
    const struct cpu *c = k->c;
    struct kvm_vcpu_events v = {.flags = KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING, .nmi.masked = c->nmi_blocked};
    if (c->shadow_at == c->icount)
        v.interrupt.shadow = c->shadow_ss ? KVM_X86_SHADOW_INT_MOV_SS : KVM_X86_SHADOW_INT_STI;
    return ioctl(k->fd, KVM_SET_VCPU_EVENTS, &v) == 0;
}

static bool events_get(struct kvm_cpu *k, struct kvm_vcpu_events *v)
{
    struct cpu *c = k->c;
    if (ioctl(k->fd, KVM_GET_VCPU_EVENTS, v) < 0)
        return false;
    c->nmi_blocked = v->nmi.masked;
    c->shadow_at = v->interrupt.shadow ? c->icount : UINT64_MAX;
    c->shadow_ss = v->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS;
    c->rep_at = UINT64_MAX;
    return true;
}

static void deliver(struct cpu *c, u8 vector)
{
    struct interrupt n = {.vector = vector, .ext = 1, .rip = c->rip};
    c->shadow_at = UINT64_MAX;
    if (interrupt_enter(c, &n) != TRANSFER_DONE)
        cpu_deliver_fault(c);
}

/* Injected already, delivered not yet. What an instruction raised on purpose (INT n, INT3, INTO) is dropped:
 * RIP is still at that instruction. */
static void events_settle(struct kvm_cpu *k, const struct kvm_vcpu_events *v)
{
    struct cpu *c = k->c;
    bool fault = v->exception.injected && v->exception.nr != VEC_BP && v->exception.nr != VEC_OF;
    if (v->nmi.pending) { /* no longer KVM's: it would come twice */
        cpu_attend(c, ATTN_NMI);
        k->kvm_valid = false;
    }
    if (fault) {
        k->settled = v->exception.nr == VEC_DB ? SETTLED_DB : SETTLED_OTHER;
        c->fault = (struct fault){.vector = v->exception.nr,
                                  .is_trap = v->exception.nr == VEC_DB && c->dr6 & DR6_BS,
                                  .has_error = v->exception.has_error_code,
                                  .error = v->exception.error_code,
                                  .addr = v->exception.nr == VEC_PF   ? c->cr2
                                          : v->exception.nr == VEC_DB ? c->dr6 & 0xe00f
                                                                      : 0};
        cpu_deliver_fault(c);
    } else if (v->interrupt.injected && !v->interrupt.soft) {
        deliver(c, v->interrupt.nr);
    } else if (v->nmi.injected) {
        c->nmi_blocked = true;
        deliver(c, VEC_NMI);
    } else {
        return;
    }
    k->kvm_valid = false;
}

void kvm_state_get(struct kvm_cpu *k)
{
    struct cpu *c = k->c;
    struct kvm_vcpu_events v = {0};
    k->count[KVM_PULLS]++;
    bool ok = kvm_activity_get(k); /* each is read, whatever became of the one before */
    ok = regs_get(k) && ok;
    ok = sregs_get(k) && ok;
    ok = fpu_get(k) && ok;
    ok = debug_get(k) && ok;
    ok = events_get(k, &v) && ok;
    kvm_msrs_get(k);
    if (!ok)
        log_operator(c->wires.log, "engine kvm: vCPU %u: some registers cannot be read", c->index);
    tlb_load_cr3(c, (u16)(c->cr4 & CR4_PCIDE ? c->cr3 & 0xfff : 0), false);
    tlb_flush_all(c);
    cpu_update_mode(c);
    k->cpu_valid = true;
    events_settle(k, &v);
}

bool kvm_state_put(struct kvm_cpu *k)
{
    k->count[KVM_PUSHES]++;
    /* CR4 and XCR0 before what depends on them; events last, because setting registers clears some. */
    bool ok = sregs_put(k);
    ok = fpu_put(k) && ok;
    ok = regs_put(k) && ok;
    ok = debug_put(k) && ok;
    kvm_msrs_put(k);
    ok = kvm_activity_put(k) && ok;
    ok = events_put(k) && ok;
    k->kvm_valid = true;
    k->repush = false;
    k->tpr_unsure = false;
    return ok;
}
