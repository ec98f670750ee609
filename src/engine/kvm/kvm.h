/* The hardware engine: the guest runs on VT-x or AMD-V through the host's KVM. This folder is the only user
 * of linux/kvm.h (its manual: Documentation/virt/kvm/api.rst of Linux, cited as [api]).
 *
 * Where a vCPU's registers are: `cpu_valid` says that struct cpu is up to date, `kvm_valid` that KVM's copy
 * is; at least one is. Leaving KVM_RUN costs no copying: only who looks at struct cpu (pull, an event that
 * software delivers, the interpreter) pays.
 *
 * KVM gets what is computation and address translation, and, where its kernel can, the local APICs (irqchip.c); the rest stays the machine's: all MSRs but a few exit
 * (msrs.c), so MTRRs and machine checks are those of every engine. The
 * interpreter executes what KVM cannot: system management mode, a closed A20 gate, a debugger's points, and
 * single instructions that end in KVM_EXIT_INTERNAL_ERROR. */
#ifndef ENGINE_KVM_KVM_H
#define ENGINE_KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>

#include "engine/engine.h"

#define KVM_DEVICE "/dev/kvm"
/* An empty handler: a signal makes KVM_RUN return (with immediate_exit, for a signal that comes before it).
 */
#define KVM_KICK_SIGNAL (SIGRTMIN + 3)
#define KVM_CPUID_MAX   256

/* Guest-physical ranges that KVM knows as memory: below the VGA window; the blocks behind it that the host
 * bridge switches; from 1 MiB on; above 4 GiB; the firmware's flash. */
enum {
    SLOT_LOW,
    SLOT_MAIN,
    SLOT_HIGH,
    SLOT_FLASH,
    SLOT_SHADOW,
    SLOT_SHADOWS = 16,
    KVM_SLOTS = SLOT_SHADOW + SLOT_SHADOWS,
};

struct kvm_slot {
    u64 gpa, len;
    bool readonly;
};

/* A vCPU of KVM's, made with the VM. */
struct kvm_vcpu {
    int fd;
    u32 tsc_khz;        /* of the guest; the machine's clock has 1,000,000 */
    u64 deadline_ns;    /* irqchip: what the timer gets when the counter is set, from then; UINT64_MAX: none */
    bool deadline_due;
};

/* What the vCPUs of a machine share. */
struct kvm_vm {
    int device, fd;
    bool irqchip; /* the local APICs are KVM's */
    bool tr_available; /* TR is put as not busy: QEMU's TCG keeps it so, and ends itself at a ring change to 32-bit code where it is busy */
    u32 cpus;
    struct kvm_vcpu *cpu;
    struct kvm_irq_routing *routes; /* irqchip: of the IOAPIC's pins */
    size_t run_size;
    struct mem *mem;
    const struct cpu_model *model;
    pthread_mutex_t lock; /* of the slots */
    struct kvm_slot slots[KVM_SLOTS];
    u32 shadow; /* of `mem`, as the slots have it */
    bool flash_answers; /* likewise */
};

enum kvm_counter {
    KVM_EXITS, /* of KVM_RUN, all of them */
    KVM_PULLS,
    KVM_PUSHES,
    KVM_STEPS, /* single instructions on the interpreter */
    KVM_MSRS,
    KVM_INJECTIONS,
    KVM_WINDOWS,
    KVM_KICKS,
    KVM_COUNTERS,
};

/* MSRs that KVM keeps for struct cpu. */
enum { KVM_NATIVE_MSRS = 12 };

/* What KVM had ready for delivery, and software delivered. */
enum kvm_settled { SETTLED_NOTHING, SETTLED_DB, SETTLED_OTHER };

struct kvm_cpu {
    struct cpu *c;
    struct kvm_vm *vm;
    struct kvm_vcpu *own;
    int fd;
    struct kvm_run *run;
    void *inner; /* the interpreter */
    pthread_t thread;
    bool cpu_valid, kvm_valid;
    bool unfinished;             /* the access that left KVM_RUN is completed by the next one */
    bool stale;                  /* what the interpreter keeps of code and translations is old */
    bool repush;                 /* a register that KVM learns by push alone has changed */
    bool nmi_given;              /* KVM may have an NMI that waits */
    bool nmi_held;               /* ATTN_NMI waits for the end of an NMI's handler: the interpreter's turn until then */
    enum kvm_settled settled;    /* by the last look at struct cpu */
    u8 tpr;                      /* CR8 as KVM knows it */
    bool tpr_unsure;             /* the machine may have another */
    u64 tsc_offset;              /* of struct cpu, as KVM's counter has it */
    u32 tsc_khz;                 /* of the guest; the machine's clock has 1,000,000 */
    u64 native[KVM_NATIVE_MSRS]; /* as KVM has them */
    u64 steal;                   /* MSR_KVM_STEAL_TIME as KVM has it, with irqchip */
    u64 deadline;                /* IA32_TSC_DEADLINE as the guest wrote it, where the two differ */
    u64 count[KVM_COUNTERS];
};

/* vm.c */
enum status kvm_open(const struct engine_machine *m, void **shared, struct error *e);
void kvm_close(void *shared);
/* Opens the device and asks for what the engine needs. -1: WHY says in words what is missing. */
int kvm_device(char *why, size_t size);
bool kvm_doorbell(void *shared, const struct engine_doorbell *d, bool on);
/* The slots follow what the host bridge shows. False: KVM refuses one. */
bool kvm_slots_update(struct kvm_vm *vm);

/* irqchip.c */
extern const struct engine_apic kvm_apic;
/* Before the first vCPU: KVM gets the local APICs, if HOW and the kernel allow it. */
enum status kvm_irqchip_make(struct kvm_vm *vm, const struct engine_machine *m, struct error *e);
bool kvm_activity_get(struct kvm_cpu *k);
bool kvm_activity_put(const struct kvm_cpu *k);
/* The counter has been set: the deadline that `put` brought. */
void kvm_deadline_put(struct kvm_cpu *k);
/* Interrupts do not pass here then: KVM writes the steal page. */
void kvm_steal_put(struct kvm_cpu *k);

/* probe.c */
bool kvm_probe(char *why, size_t size);
bool kvm_genuine(bool measure, char *why, size_t size);
/* Does KVM learn of the guest's XSETBV? Where the processor does not intercept it (QEMU 7.2's TCG with AMD-V), XCR0 changes
 * behind its back, and is another one after the next exit. */
bool kvm_sees_xsetbv(void);

/* way.c */
enum engine_way kvm_way(void *state, const u8 *bytes, unsigned n, unsigned code_size, unsigned cpl);

/* cpuid.c */
u64 kvm_features(void);
/* All that the device offers, for a vCPU of the probe's. */
bool kvm_give_cpuid(int device, int cpu);
bool kvm_set_cpuid(const struct kvm_vm *vm, u32 index);

/* state.c */
void kvm_state_get(struct kvm_cpu *k);
bool kvm_state_put(struct kvm_cpu *k);

/* traps.c */
/* An access to ports or to memory that is no slot, as KVM_RUN left for it. */
struct kvm_traps {
    bool step;     /* RFLAGS.TF */
    u16 port;
    unsigned size; /* of a port that a breakpoint may watch, or 0 */
};
/* Is the access that KVM_RUN came back for one of an instruction whose debug trap KVM may lose? */
bool kvm_traps_expected(const struct kvm_cpu *k, struct kvm_traps *t);
/* Behind it: completes the instruction, and has its traps in struct cpu. */
void kvm_traps_take(struct kvm_cpu *k, const struct kvm_traps *t);

/* msrs.c */
bool kvm_filter_msrs(struct kvm_vm *vm);
void kvm_msrs_know(struct kvm_cpu *k); /* what a new vCPU of KVM's has */
void kvm_msrs_get(struct kvm_cpu *k);
void kvm_msrs_put(struct kvm_cpu *k);
/* The guest's RDMSR or WRMSR that KVM left to us. */
void kvm_serve_msr(struct kvm_cpu *k, bool write);
/* The guest's time-stamp counter now. */
u64 kvm_tsc(const struct kvm_cpu *k);
/* One register of the vCPU FD. */
bool kvm_msr_get(int fd, u32 msr, u64 *v);
bool kvm_msr_put(int fd, u32 msr, u64 v);

/* run.c */
/* Struct cpu becomes valid, the access in hand completed. */
void kvm_publish(struct kvm_cpu *k);

#endif
