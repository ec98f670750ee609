/* The cases, once per mode: the file that includes it defines MODE, ASM_MODE, the registers' names R_A …, and CASES, the
 * function's name. What is demanded: SDM volume 2, the instruction's page; volume 3A 5.9 (privileged
 * instructions), 6.8, 18.18 (RDPMC). */

/* Tables and identity of the machine, which anybody may read (Robin & Irvine 2000) unless UMIP is set. */
static void reads_tables(void)
{
    struct table idtr;
    __asm__ volatile("sidt %0" : "=m"(idtr));
    const uint32_t umip = CPU_HAS_UMIP ? CR4_UMIP : 0;
#define STORES(text, insn, source, cover, result)                                                                   \
    AUDIT(.name = text, .kind = READS, .code = PLAIN(insn), .from = source, .mask = cover,                         \
          .want = {DONE(result), DONE(result)});                                                                   \
    if (umip)                                                                                                      \
        AUDIT(.name = text " with UMIP", .kind = READS, .flags = VARIANT, .code = PLAIN(insn), .from = source,       \
              .mask = cover, .cr4 = umip, .want = {DONE(result), REFUSED})
    STORES("SGDT", "sgdt (" R_B ")", FROM_BASE, 0, ADDR(gdt));
    STORES("SIDT", "sidt (" R_B ")", FROM_BASE, 0, idtr.base);
    STORES("SLDT", "sldt %ax", FROM_AX, 0xffff, SEL_LDT);
    STORES("STR", "str %ax", FROM_AX, 0xffff, SEL_TSS);
    STORES("SMSW", "smsw %ax", FROM_AX, 0xffff, read_cr0() & 0xffff);
#undef STORES
    AUDIT(.name = "CPUID", .kind = READS, .code = CODE("", "cpuid", "nop"), .ax = 1, .flags = ONCE, .from = FROM_AX,
          .want = {DONE(cpuid(1, 0).a), DONE(cpuid(1, 0).a)});
}

static void reads_flags_and_segments(void)
{
    const word own[2] = {MODE == 16 ? 0x100 : SEL_CODE, MODE == 16 ? 0x11b : SEL_USER_CODE | 3};
    const word stack[2] = {MODE == 16 ? 0x110 : SEL_DATA, MODE == 16 ? 0x12b : SEL_USER_DATA | 3};
    const word rights = MODE == 16 ? 0xff00 : 0xf0ff00, code = *descriptor_at(SEL_CODE) >> 32 & rights;
    const word limit = MODE == 16 ? 0xffff : 0xffffffff;
    AUDIT(.name = "PUSHF", .kind = READS, .code = CODE("", "pushf", "pop " R_A), .flags = ONCE, .from = FROM_AX,
          .mask = FLAG_IF | FLAG_IOPL(3), .want = {DONE(0), DONE(0)});
    AUDIT(.name = "MOV from CS", .kind = READS, .code = PLAIN("mov %cs, " R_A), .from = FROM_AX, .mask = 0xffff,
          .want = {DONE(own[0]), DONE(own[1])});
    AUDIT(.name = "MOV from SS", .kind = READS, .code = PLAIN("mov %ss, " R_A), .from = FROM_AX, .mask = 0xffff,
          .want = {DONE(stack[0]), DONE(stack[1])});
#if MODE == 64
    AUDIT(.name = "PUSH FS", .kind = READS, .code = CODE("", "push %fs", "pop %rax"), .flags = ONCE, .from = FROM_AX,
          .mask = 0xffff, .want = {DONE(SEL_DATA), DONE(SEL_USER_DATA | 3)});
#else
    AUDIT(.name = "PUSH CS", .kind = READS, .code = CODE("", "push %cs", "pop " R_A), .flags = ONCE, .from = FROM_AX,
          .mask = 0xffff, .want = {DONE(own[0]), DONE(own[1])});
#endif
    AUDIT(.name = "LAR", .kind = READS, .code = PLAIN("lar " R_C ", " R_A), .cx = SEL_CODE, .from = FROM_AX, .mask = rights,
          .want = {DONE(code), DONE(0)});
    AUDIT(.name = "LSL", .kind = READS, .code = PLAIN("lsl " R_C ", " R_A), .cx = SEL_CODE, .from = FROM_AX, .mask = limit,
          .want = {DONE(limit), DONE(0)});
    AUDIT(.name = "VERR", .kind = READS, .code = CODE("", "verr %cx", "sete %al"), .cx = SEL_DATA, .from = FROM_AX,
          .mask = 0xff, .want = {DONE(1), DONE(0)});
    AUDIT(.name = "VERW", .kind = READS, .code = CODE("", "verw %cx", "sete %al"), .cx = SEL_DATA, .from = FROM_AX,
          .mask = 0xff, .want = {DONE(1), DONE(0)});
}

/* IF belongs to the machine: POPF and IRET leave it alone where IOPL does not allow, silently. */
static void acts_on_flags(void)
{
    AUDIT(.name = "POPF", .kind = ACTS, .code = CODE("push $2", "popf", ""), .eflags = FLAG_IF, .flags = ONCE, .from = FROM_FLAGS,
          .mask = FLAG_IF, .want = {DONE(0), DONE(FLAG_IF)});
#if MODE == 64
    AUDIT(.name = "IRET", .kind = ACTS,
          .code = CODE("mov %rsp, %rax; push %rdi; push %rax; push $2; push %rsi; push %rbp", "iretq", ""),
          .eflags = FLAG_IF, .flags = ONCE, .from = FROM_FLAGS, .mask = FLAG_IF, .want = {DONE(0), DONE(FLAG_IF)});
#else
    AUDIT(.name = "IRET", .kind = ACTS, .code = CODE("push $2; push " R_SI "; push " R_BP, "iret", ""), .eflags = FLAG_IF,
          .flags = ONCE, .from = FROM_FLAGS, .mask = FLAG_IF, .want = {DONE(0), DONE(FLAG_IF)});
#endif
    AUDIT(.name = "CLI", .kind = ACTS, .code = PLAIN("cli"), .eflags = FLAG_IF, .from = FROM_FLAGS, .mask = FLAG_IF,
          .want = {DONE(0), REFUSED});
    AUDIT(.name = "STI", .kind = ACTS, .code = PLAIN("sti"), .from = FROM_FLAGS, .mask = FLAG_IF,
          .want = {DONE(FLAG_IF), REFUSED});
}

static void acts_on_segments(void)
{
    const word user = SEL_USER_DATA | 3;
    AUDIT(.name = "MOV to ES", .kind = ACTS, .code = PLAIN("mov " R_C ", %es"), .cx = user, .from = FROM_ES,
          .want = {DONE(user), DONE(user)});
    AUDIT(.name = "MOV to ES of ring 0", .kind = ACTS, .flags = VARIANT, .code = PLAIN("mov " R_C ", %es"), .cx = SEL_DATA,
          .from = FROM_ES, .want = {DONE(SEL_DATA), FAULTS(GP, SEL_DATA)});
#if MODE == 64
    AUDIT(.name = "POP FS", .kind = ACTS, .code = CODE("push %rcx", "pop %fs", "mov %fs, %eax"), .cx = user, .flags = ONCE,
          .from = FROM_AX, .mask = 0xffff, .want = {DONE(user), DONE(user)});
    AUDIT(.name = "POP FS of ring 0", .kind = ACTS, .code = CODE("push %rcx", "pop %fs", "mov %fs, %eax"), .cx = SEL_DATA,
          .flags = ONCE | VARIANT, .from = FROM_AX, .mask = 0xffff, .want = {DONE(SEL_DATA), FAULTS(GP, SEL_DATA)});
#else
    AUDIT(.name = "POP ES", .kind = ACTS, .code = CODE("push " R_C, "pop %es", ""), .cx = user, .flags = ONCE, .from = FROM_ES,
          .want = {DONE(user), DONE(user)});
    AUDIT(.name = "POP ES of ring 0", .kind = ACTS, .code = CODE("push " R_C, "pop %es", ""), .cx = SEL_DATA,
          .flags = ONCE | VARIANT, .from = FROM_ES, .want = {DONE(SEL_DATA), FAULTS(GP, SEL_DATA)});
#endif
    AUDIT(.name = "LLDT", .kind = ACTS, .code = PLAIN("lldt %cx"), .cx = SEL_LDT, .want = {DONE(0), REFUSED});
    AUDIT(.name = "LTR", .kind = ACTS, .code = PLAIN("ltr %cx"), .cx = SEL_TSS, .flags = ONCE, .setup = setup_task,
          .want = {DONE(0), REFUSED});
    AUDIT(.name = "LGDT", .kind = ACTS, .code = CODE(WIDE_TABLE "sgdt (" R_B ")", WIDE_TABLE "lgdt (" R_B ")", ""),
          .want = {DONE(0), REFUSED});
    AUDIT(.name = "LIDT", .kind = ACTS, .code = CODE(WIDE_TABLE "sidt (" R_B ")", WIDE_TABLE "lidt (" R_B ")", ""),
          .want = {DONE(0), REFUSED});
}

/* Far transfers show and check the ring. */
static void transfers(void)
{
    const word own[2] = {MODE == 16 ? 0x100 : SEL_CODE, MODE == 16 ? 0x11b : SEL_USER_CODE | 3};
    AUDIT(.name = "far JMP", .kind = READS, .code = PLAIN("ljmp *0x40(" R_B ")"), .flags = ONCE, .from = FROM_CS,
          .want = {DONE(own[0]), DONE(own[1])});
    AUDIT(.name = "far CALL", .kind = READS, .code = CODE("", "lcall *0x40(" R_B ")", PUSHED_CS), .flags = ONCE, .from = FROM_AX,
          .mask = 0xffff, .want = {DONE(own[0]), DONE(own[1])});
    AUDIT(.name = "far RET", .kind = READS, .code = CODE(PUSH_FAR, LRET, ""), .flags = ONCE, .from = FROM_CS,
          .want = {DONE(own[0]), DONE(own[1])});
    AUDIT(.name = "INT n", .kind = ACTS, .code = PLAIN("int $0x40"), .want = {TRAPS(0x40), FAULTS(GP, 0x40 * 8 + IDT)});
    AUDIT(.name = "INT 0x80", .kind = ACTS, .code = PLAIN("int $0x80"), .ax = 39, .want = {TRAPS(0x80), FAULTS(GP, 0x80 * 8 + IDT)});
    AUDIT(.name = "INT3", .kind = ACTS, .code = PLAIN("int3"), .want = {TRAPS(BP_), TRAPS(BP_)});
#if MODE == 64
    AUDIT(.name = "SYSCALL", .kind = ACTS, .code = PLAIN("syscall"), .ax = 39, .flags = ONCE, .setup = setup_syscall, .from = FROM_CS,
          .want = {DONE(SEL_CODE), DONE(SEL_CODE)});
    AUDIT(.name = "SYSRET", .kind = ACTS, .code = PLAIN("sysretq"), .flags = ONCE, .setup = setup_syscall, .from = FROM_CS,
          .want = {DONE(SEL_USER_CODE64 | 3), REFUSED});
    AUDIT(.name = "SYSEXIT", .kind = ACTS, .code = PLAIN("sysexitq"), .flags = ONCE, .setup = setup_sysexit, .from = FROM_CS,
          .want = {DONE(SEL_USER_CODE64 | 3), REFUSED});
#else
    AUDIT(.name = "INTO", .kind = ACTS, .code = CODE("mov $0x7f, %al; inc %al", "into", ""), .flags = ONCE,
          .want = {TRAPS(OF), TRAPS(OF)});
    AUDIT(.name = "SYSEXIT", .kind = ACTS, .code = PLAIN("sysexit"), .flags = ONCE, .setup = setup_sysexit, .from = FROM_CS,
          .want = {DONE(SEL_USER_CODE32 | 3), REFUSED});
#endif
    AUDIT(.name = "SYSENTER", .kind = ACTS, .code = PLAIN("sysenter"), .ax = 39, .flags = ONCE, .setup = setup_sysenter,
          .from = FROM_CS, .want = {DONE(SEL_CODE), DONE(SEL_CODE)});
}

static void control_registers(void)
{
#define FROM_CR(n, result)                                                                                          \
    AUDIT(.name = "MOV from CR" #n, .kind = READS, .code = PLAIN("mov %cr" #n ", " R_CR), .from = FROM_AX,            \
          .want = {DONE(result), REFUSED})
#define TO_CR(n, value)                                                                                             \
    AUDIT(.name = "MOV to CR" #n, .kind = ACTS, .code = PLAIN("mov " R_CR ", %cr" #n), .ax = value,                   \
          .want = {DONE(0), REFUSED})
    FROM_CR(0, read_cr0());
    TO_CR(0, read_cr0());
    TO_CR(2, 0x1234);
    FROM_CR(2, 0x1234);
    FROM_CR(3, read_cr3());
    TO_CR(3, read_cr3());
    FROM_CR(4, read_cr4());
    TO_CR(4, read_cr4());
#if MODE == 64
    FROM_CR(8, 0);
    TO_CR(8, 0);
#endif
#undef FROM_CR
#undef TO_CR
    AUDIT(.name = "MOV from DR7", .kind = READS, .code = PLAIN("mov %db7, " R_CR), .from = FROM_AX,
          .want = {DONE(DR7_RESET), REFUSED});
    AUDIT(.name = "MOV to DR7", .kind = ACTS, .code = PLAIN("mov " R_CR ", %db7"), .ax = DR7_RESET, .want = {DONE(0), REFUSED});
    AUDIT(.name = "LMSW", .kind = ACTS, .code = PLAIN("lmsw %ax"), .ax = read_cr0() & 0xffff, .want = {DONE(0), REFUSED});
    AUDIT(.name = "CLTS", .kind = ACTS, .code = PLAIN("clts"), .want = {DONE(0), REFUSED});
    AUDIT(.name = "INVLPG", .kind = ACTS, .code = PLAIN("invlpg (" R_B ")"), .want = {DONE(0), REFUSED});
    if (CPU_HAS_INVPCID)
        AUDIT(.name = "INVPCID", .kind = ACTS, .code = PLAIN("invpcid (" R_B "), " R_CR), .ax = 2, .want = {DONE(0), REFUSED});
    AUDIT(.name = "INVD", .kind = ACTS, .code = PLAIN("invd"), .want = {DONE(0), REFUSED});
    AUDIT(.name = "WBINVD", .kind = ACTS, .code = PLAIN("wbinvd"), .want = {DONE(0), REFUSED});
}

static void model_specific(void)
{
    const word efer = (word)rdmsr(MSR_EFER) & EFER_LMA;
    AUDIT(.name = "RDMSR", .kind = READS, .code = PLAIN("rdmsr"), .cx = MSR_EFER, .flags = ONCE, .from = FROM_AX, .mask = EFER_LMA,
          .want = {DONE(efer), REFUSED});
    AUDIT(.name = "WRMSR", .kind = ACTS, .code = PLAIN("wrmsr"), .cx = MSR_SYSENTER_CS, .ax = SEL_CODE, .want = {DONE(0), REFUSED});
    AUDIT(.name = "RDTSC", .kind = READS, .code = PLAIN("rdtsc"), .flags = VOLATILE, .want = {DONE(0), DONE(0)});
    AUDIT(.name = "RDTSC with TSD", .kind = READS, .flags = VOLATILE | VARIANT, .code = PLAIN("rdtsc"), .cr4 = CR4_TSD,
          .want = {DONE(0), REFUSED});
    if (cpu_has(0x80000001u, 0, 'd', 27))
        AUDIT(.name = "RDTSCP", .kind = READS, .code = PLAIN("rdtscp"), .flags = VOLATILE, .want = {DONE(0), DONE(0)});
    if (cpu_has(7, 0, 'c', 22))
        AUDIT(.name = "RDPID", .kind = READS, .code = PLAIN("rdpid " R_WIDE), .from = FROM_AX, .want = {DONE(0), DONE(0)});
    /* CPUID offers no counter. */
    AUDIT(.name = "RDPMC", .kind = READS, .code = PLAIN("rdpmc"), .cx = 0x100, .want = {REFUSED, REFUSED});
    if (CPU_HAS_XSAVE) {
        AUDIT(.name = "XGETBV", .kind = READS, .code = PLAIN("xgetbv"), .cr4 = CR4_OSXSAVE, .from = FROM_AX, .mask = 1,
              .flags = ONCE, .want = {DONE(1), DONE(1)});
        AUDIT(.name = "XSETBV", .kind = ACTS, .code = PLAIN("xsetbv"), .cr4 = CR4_OSXSAVE, .ax = 1, .want = {DONE(0), REFUSED});
    }
    if (cpu_has(7, 0, 'c', 3)) {
        AUDIT(.name = "RDPKRU", .kind = READS, .code = PLAIN("rdpkru"), .cr4 = 1u << 22, .from = FROM_AX, .flags = ONCE,
              .want = {DONE(0), DONE(0)});
        AUDIT(.name = "WRPKRU", .kind = ACTS, .code = CODE("", "wrpkru", "mov $9, %eax; rdpkru"), .cr4 = 1u << 22, .from = FROM_AX,
              .want = {DONE(0), DONE(0)});
    }
#if MODE == 64
    if (CPU_HAS_FSGSBASE) {
        AUDIT(.name = "RDFSBASE", .kind = READS, .code = PLAIN("rdfsbase %rax"), .cr4 = CR4_FSGSBASE, .from = FROM_AX,
              .want = {DONE(0), DONE(0)});
        AUDIT(.name = "RDGSBASE", .kind = READS, .code = PLAIN("rdgsbase %rax"), .cr4 = CR4_FSGSBASE, .from = FROM_AX,
              .want = {DONE(0), DONE(0)});
        AUDIT(.name = "WRFSBASE", .kind = ACTS, .code = CODE("", "wrfsbase %rcx", "rdfsbase %rax"), .cr4 = CR4_FSGSBASE,
              .cx = 0x5000, .from = FROM_AX, .want = {DONE(0x5000), DONE(0x5000)});
        AUDIT(.name = "WRGSBASE", .kind = ACTS, .code = CODE("", "wrgsbase %rcx", "rdgsbase %rax"), .cr4 = CR4_FSGSBASE,
              .cx = 0x5000, .from = FROM_AX, .want = {DONE(0x5000), DONE(0x5000)});
    }
    AUDIT(.name = "SWAPGS", .kind = ACTS, .code = PLAIN("swapgs"), .want = {DONE(0), REFUSED});
#endif
    if (CPU_HAS_SMAP) {
        AUDIT(.name = "CLAC", .kind = ACTS, .code = PLAIN("clac"), .eflags = FLAG_AC, .from = FROM_FLAGS, .mask = FLAG_AC,
              .want = {DONE(0), UNDEFINED});
        AUDIT(.name = "STAC", .kind = ACTS, .code = PLAIN("stac"), .from = FROM_FLAGS, .mask = FLAG_AC,
              .want = {DONE(FLAG_AC), UNDEFINED});
    }
}

static void devices_and_halt(void)
{
    AUDIT(.name = "IN", .kind = READS, .code = PLAIN("in %dx, %al"), .dx = 0x80, .flags = VOLATILE, .want = {DONE(0), REFUSED});
    AUDIT(.name = "OUT", .kind = ACTS, .code = PLAIN("out %al, %dx"), .dx = 0x80, .want = {DONE(0), REFUSED});
    AUDIT(.name = "INS", .kind = READS, .code = CODE("mov " R_B ", " R_DI, "insb", ""), .dx = 0x80, .flags = VOLATILE,
          .want = {DONE(0), REFUSED});
    AUDIT(.name = "OUTS", .kind = ACTS, .code = CODE("mov " R_B ", " R_SI, "outsb", ""), .dx = 0x80, .want = {DONE(0), REFUSED});
    if (CPU_HAS_X2APIC)
        AUDIT(.name = "HLT", .kind = ACTS, .code = CODE("sti", "hlt", ""), .outer = PLAIN("hlt"), .setup = setup_self_ipi,
              .want = {TRAPS(0x41), REFUSED});
    /* Not offered, or not outside system management mode: #UD in every ring. */
    AUDIT(.name = "RSM", .kind = ACTS, .code = PLAIN("rsm"), .want = {UNDEFINED, UNDEFINED});
    AUDIT(.name = "GETSEC", .kind = ACTS, .code = PLAIN(".byte 0x0f, 0x37"), .want = {UNDEFINED, UNDEFINED});
    AUDIT(.name = "VMXOFF", .kind = ACTS, .code = PLAIN(".byte 0x0f, 0x01, 0xc4"), .want = {UNDEFINED, UNDEFINED});
    /* Where CPUID offers KVM's hypercalls: a number that none has; ring 3 may call none (Linux, virt/kvm/x86/hypercalls). */
    if (cpu_has(1, 0, 'c', 31) && cpuid(0x40000000u, 0).b == 0x4b4d564bu)
        AUDIT(.name = "VMCALL", .kind = ACTS, .code = PLAIN(".byte 0x0f, 0x01, 0xc1"), .ax = 0xffff, .flags = ONCE, .from = FROM_AX,
              .mask = 0xffffffff, .want = {DONE(0xfffffc18u), DONE(0xffffffffu)});
    else
        AUDIT(.name = "VMCALL", .kind = ACTS, .code = PLAIN(".byte 0x0f, 0x01, 0xc1"), .want = {UNDEFINED, UNDEFINED});
    if (!cpu_has(1, 0, 'c', 3)) {
        AUDIT(.name = "MONITOR", .kind = READS, .code = PLAIN(".byte 0x0f, 0x01, 0xc8"), .want = {UNDEFINED, UNDEFINED});
        AUDIT(.name = "MWAIT", .kind = ACTS, .code = PLAIN(".byte 0x0f, 0x01, 0xc9"), .want = {UNDEFINED, UNDEFINED});
    }
    if (!cpu_has(0xd, 1, 'a', 3))
        AUDIT(.name = "XSAVES", .kind = READS, .code = PLAIN(".byte 0x0f, 0xc7, 0x2f"), .want = {UNDEFINED, UNDEFINED});
}

void CASES(void)
{
    reads_tables();
    reads_flags_and_segments();
    acts_on_flags();
    acts_on_segments();
    transfers();
    control_registers();
    model_specific();
    devices_and_halt();
}
