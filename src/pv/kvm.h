/* KVM's paravirtual interface, offered by every engine (Linux, Documentation/virt/kvm/x86: cpuid.rst,
 * msr.rst, hypercalls.rst). See kvm.c. One struct per vCPU; all calls under the VM's big lock. */
#ifndef PV_KVM_H
#define PV_KVM_H

#include "cpu/cpu.h"
#include "dev/device.h"
#include "irq/apic_bus.h"

struct pv_kvm {
    struct mem *mem;
    struct clock *clock;
    struct log *log;
    struct apic_bus *apic;
    i64 (*wall_ns)(void *opaque); /* since 1970 */
    /* How long vCPU INDEX, whose thread asks, was ready to run and had no core; null: time stands still then. */
    u64 (*stolen_ns)(void *opaque, u32 index);
    void *opaque;
    u32 index;

    u64 system_time; /* MSR_KVM_SYSTEM_TIME_NEW: address of the vCPU's clock page, bit 0: on */
    u64 wall_clock;  /* MSR_KVM_WALL_CLOCK_NEW */
    u32 version;     /* of the clock page: even */
    u64 steal_time;  /* MSR_KVM_STEAL_TIME: address of the page, bit 0: on */
    u64 stolen;      /* what it shows */
    u32 steal_version;
    u64 stolen_seen, steal_at; /* at its last writing: of stolen_ns, of the clock */
};

extern const struct device_ops pv_kvm_ops;

/* The bits of CPUID leaf 0x40000001, EAX. */
u32 pv_kvm_features(void);
/* The guest reads or writes one of KVM's MSRs on C. False: #GP. */
bool pv_kvm_msr(struct pv_kvm *p, struct cpu *c, u32 msr, bool write, u64 *v);
/* The vCPU takes an interrupt: its own thread. */
void pv_kvm_tick(struct pv_kvm *p);
/* Number NUMBER; what RAX gets. */
u64 pv_kvm_hypercall(struct pv_kvm *p, u64 number, const u64 args[4]);

#endif
