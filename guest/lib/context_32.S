/* World 32: entering a context by IRET and coming back by any vector.
 * The stubs use no register and no segment but SS and CS until DS is flat again, so that they
 * work on any writable stack: 16 or 32 bits, any base, any ring's. */

/* struct context */
    .set C_AX, 0
    .set C_CX, 4
    .set C_DX, 8
    .set C_BX, 12
    .set C_SP, 16
    .set C_BP, 20
    .set C_SI, 24
    .set C_DI, 28
    .set C_IP, 32
    .set C_FLAGS, 36
    .set C_CS, 40
    .set C_SS, 44
    .set C_DS, 48
    .set C_ES, 52
    .set C_FS, 56
    .set C_GS, 60
    .set C_VECTOR, 64
    .set C_ERROR, 68
    .set C_CR2, 72
    .set SEL_DATA, 0x10
    .set SEL_CODE, 0x08

    .text
    .code32
/* void context_run(struct context *c) */
    .globl context_run
context_run:
    push %ebx
    push %esi
    push %edi
    push %ebp
    mov 20(%esp), %eax
    mov %eax, context_current
    mov %esp, context_esp
    mov %esp, tss + 4              /* esp0 */
    mov %eax, %ebx
    testl $0x20000, C_FLAGS(%ebx)
    jnz 3f
    testl $3, C_CS(%ebx)
    jnz 2f
    /* Same ring: IRET takes no SS:ESP. */
    mov C_SS(%ebx), %ss
    mov C_SP(%ebx), %esp
    jmp 1f
3:  push C_GS(%ebx)
    push C_FS(%ebx)
    push C_DS(%ebx)
    push C_ES(%ebx)
2:  push C_SS(%ebx)
    push C_SP(%ebx)
1:  push C_FLAGS(%ebx)
    push C_CS(%ebx)
    push C_IP(%ebx)
    push C_DS(%ebx)
    push C_AX(%ebx)
    push C_BX(%ebx)
    mov C_CX(%ebx), %ecx
    mov C_DX(%ebx), %edx
    mov C_BP(%ebx), %ebp
    mov C_SI(%ebx), %esi
    mov C_DI(%ebx), %edi
    testl $0x20000, C_FLAGS(%ebx)
    jnz 4f
    mov C_ES(%ebx), %es
    mov C_FS(%ebx), %fs
    mov C_GS(%ebx), %gs
    pop %ebx
    pop %eax
    pop %ds
    iretl
4:  pop %ebx
    pop %eax
    lea 4(%esp), %esp              /* DS comes with the frame */
    iretl

/* 256 stubs of 16 bytes. */
    .balign 16
    .globl stubs
stubs:
    .set n, 0
    .rept 256
    .balign 16
    .if !((n >= 8 && n <= 14 && n != 9) || n == 17 || n == 21)
    pushl $-1
    .endif
    pushl $n
    jmp exit_common
    .set n, n + 1
    .endr

/* SS:ESP -> vector, error, eip, cs, eflags [, esp, ss [, es, ds, fs, gs]] */
exit_common:
    pushl %eax
    pushl %ds
    mov $SEL_DATA, %eax
    mov %eax, %ds
    popl exit_ds
    popl exit_ax
    popl exit_vector
    popl exit_error
    popl exit_ip
    popl exit_cs
    popl exit_flags
    mov %ebx, exit_bx
    mov context_current, %ebx
    test %ebx, %ebx
    jnz 1f
    mov $context_stray, %ebx
1:  mov %ecx, C_CX(%ebx)
    mov %edx, C_DX(%ebx)
    mov %ebp, C_BP(%ebx)
    mov %esi, C_SI(%ebx)
    mov %edi, C_DI(%ebx)
    mov exit_cs, %ecx
    mov exit_flags, %edx
    test $0x20000, %edx
    jnz 3f
    mov exit_ds, %eax
    movzwl %ax, %eax
    mov %eax, C_DS(%ebx)
    xor %eax, %eax
    mov %es, %ax
    mov %eax, C_ES(%ebx)
    mov %fs, %ax
    mov %eax, C_FS(%ebx)
    mov %gs, %ax
    mov %eax, C_GS(%ebx)
    mov %cs, %ax
    xor %ecx, %eax
    test $3, %al
    jnz 2f
    mov %esp, C_SP(%ebx)
    xor %eax, %eax
    mov %ss, %ax
    mov %eax, C_SS(%ebx)
    jmp 4f
2:  popl C_SP(%ebx)
    popl C_SS(%ebx)
    jmp 4f
3:  popl C_SP(%ebx)
    popl C_SS(%ebx)
    popl C_ES(%ebx)
    popl C_DS(%ebx)
    popl C_FS(%ebx)
    popl C_GS(%ebx)
4:  movzwl C_SS(%ebx), %eax
    mov %eax, C_SS(%ebx)
    movzwl %cx, %ecx
    mov %ecx, C_CS(%ebx)
    mov %edx, C_FLAGS(%ebx)
    mov exit_ip, %eax
    mov %eax, C_IP(%ebx)
    mov exit_ax, %eax
    mov %eax, C_AX(%ebx)
    mov exit_bx, %eax
    mov %eax, C_BX(%ebx)
    mov exit_vector, %eax
    mov %eax, C_VECTOR(%ebx)
    mov exit_error, %eax
    mov %eax, C_ERROR(%ebx)
    mov %cr2, %eax
    mov %eax, C_CR2(%ebx)
    cld
    mov $SEL_DATA, %eax
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    mov context_esp, %esp
    pushl $SEL_CODE                /* a conforming segment or a gate may have left another CS */
    pushl $1f
    lretl
1:  pushl $2
    popfl
    cmpl $0, context_current
    je 5f
    movl $0, context_current
    pop %ebp
    pop %edi
    pop %esi
    pop %ebx
    ret
5:  mov $stray_stack_top, %esp
    pushl $context_stray
    call exit_stray

    .bss
    .balign 4
    .globl context_current
context_current: .skip 4
context_esp: .skip 4
exit_ds: .skip 4
exit_ax: .skip 4
exit_bx: .skip 4
exit_vector: .skip 4
exit_error: .skip 4
exit_ip: .skip 4
exit_cs: .skip 4
exit_flags: .skip 4
context_stray: .skip 80
    .balign 16
    .skip 4096
stray_stack_top:
    .section .note.GNU-stack, "", @progbits
