/* Numbers of the model-specific registers that exist here (SDM vol. 4, table 2-2). */
#ifndef CPU_MSR_H
#define CPU_MSR_H

enum msr {
    IA32_TIME_STAMP_COUNTER = 0x10,
    MSR_KVM_WALL_CLOCK = 0x11, /* the numbers that KVM had first */
    MSR_KVM_SYSTEM_TIME = 0x12,
    IA32_PLATFORM_ID = 0x17,
    IA32_APIC_BASE = 0x1b,
    IA32_FEATURE_CONTROL = 0x3a,
    IA32_TSC_ADJUST = 0x3b,
    IA32_SPEC_CTRL = 0x48,
    IA32_PRED_CMD = 0x49,
    IA32_BIOS_SIGN_ID = 0x8b,
    MSR_PLATFORM_INFO = 0xce,
    IA32_MTRRCAP = 0xfe,
    IA32_ARCH_CAPABILITIES = 0x10a,
    MSR_MISC_FEATURES_ENABLES = 0x140,
    IA32_SYSENTER_CS = 0x174,
    IA32_SYSENTER_ESP = 0x175,
    IA32_SYSENTER_EIP = 0x176,
    IA32_MCG_CAP = 0x179,
    IA32_MCG_STATUS = 0x17a,
    IA32_MCG_CTL = 0x17b,
    IA32_MISC_ENABLE = 0x1a0,
    IA32_DEBUGCTL = 0x1d9,
    IA32_MTRR_PHYSBASE0 = 0x200, /* base and mask of eight ranges, alternating */
    IA32_MTRR_FIX64K_00000 = 0x250,
    IA32_MTRR_FIX16K_80000 = 0x258,
    IA32_MTRR_FIX4K_C0000 = 0x268,
    IA32_PAT = 0x277,
    IA32_MTRR_DEF_TYPE = 0x2ff,
    IA32_MC0_CTL = 0x400, /* CTL, STATUS, ADDR, MISC of each bank */
    IA32_TSC_DEADLINE = 0x6e0,
    IA32_X2APIC_FIRST = 0x800, /* up to 0x8ff */
    MSR_KVM_WALL_CLOCK_NEW = 0x4b564d00,
    MSR_KVM_SYSTEM_TIME_NEW = 0x4b564d01,
    MSR_KVM_STEAL_TIME = 0x4b564d03,
    IA32_EFER = 0xc0000080,
    IA32_STAR = 0xc0000081,
    IA32_LSTAR = 0xc0000082,
    IA32_CSTAR = 0xc0000083,
    IA32_FMASK = 0xc0000084,
    IA32_FS_BASE = 0xc0000100,
    IA32_GS_BASE = 0xc0000101,
    IA32_KERNEL_GS_BASE = 0xc0000102,
    IA32_TSC_AUX = 0xc0000103,
};

#define MC_BANKS 4

#define DEBUGCTL_BTF 2u

/* IA32_MISC_ENABLE after reset: fast strings; no branch trace storage, no PEBS. */
#define MISC_ENABLE_RESET (1u << 0 | 1u << 11 | 1u << 12)

#endif
